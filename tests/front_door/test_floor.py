"""The floor that costs are compared with is a correct executor, and its tables are complete."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from gate import occupy


@pytest.fixture
def floor(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    return importlib.import_module("benchmarks.floor")


def test_the_floor_is_a_correct_executor(floor: Any) -> None:
    executor = floor.FloorExecutor(2)
    a = executor.submit(int, "20")
    b = executor.submit(pow, a, 2)
    assert executor.submit(lambda *args: args, a, b, a, 1).result(executor) == (20, 400, 20, 1)
    gate, held = occupy(executor, 1)
    chain = executor.submit(abs, held)
    assert executor.submit(int).result(executor) == 0  # by the other worker
    assert chain.state == 0
    bad = executor.submit(abs, executor.submit(int, "x"))
    with pytest.raises(ValueError, match="invalid literal"):
        bad.result(executor)
    for _ in range(100):
        chain = executor.submit(abs, chain)
    gate.open()
    executor.shutdown()
    assert chain.result(executor) == 1
    assert not any(thread.is_alive() for thread in executor.threads)


def test_the_table_of_the_floor(floor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "TASKS", 50)
    lines = list(floor.report(3))
    assert [line.split("  ")[1] for line in lines[3:-1]] == list(floor.RUNS)


def test_bytecodes_are_counted(floor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bytecodes = importlib.import_module("benchmarks.bytecodes")
    monkeypatch.setattr(bytecodes, "SHAPES", {"independent": bytecodes.independent, "items": bytecodes.items})
    independent, items = (float(line.split()[1]) for line in list(bytecodes.report())[2:])
    assert 100 < independent < items
