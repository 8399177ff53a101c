"""The floor that costs are compared with is a correct executor, and its tables are complete."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gate import Gate


@pytest.fixture
def floor(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    return importlib.import_module("benchmarks.floor")


@pytest.fixture
def executor(floor: Any) -> Iterator[Any]:
    executor = floor.FloorExecutor(2)
    yield executor
    executor.shutdown()


def test_results_and_dependencies(executor: Any) -> None:
    a = executor.submit(int, "20")
    b = executor.submit(pow, a, 2)
    assert executor.submit(lambda *args: args, a, b, a, 1).result(executor) == (20, 400, 20, 1)


def test_a_dependent_waits(executor: Any) -> None:
    gate = Gate()
    held = executor.submit(gate, 7)
    gate.wait_entered()
    dependents = [executor.submit(pow, held, 2) for _ in range(3)]
    assert executor.submit(int).result(executor) == 0  # by the other worker
    assert [task.state for task in dependents] == [0, 0, 0]
    gate.open()
    assert [task.result(executor) for task in dependents] == [49, 49, 49]


def test_a_failure_reaches_dependents(executor: Any) -> None:
    bad = executor.submit(int, "x")
    below = executor.submit(abs, executor.submit(abs, bad))
    with pytest.raises(ValueError, match="invalid literal"):
        below.result(executor)


def test_shutdown_runs_what_was_submitted(floor: Any) -> None:
    executor = floor.FloorExecutor(3)
    gate = Gate()
    held = executor.submit(gate, 1)
    chain = held
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


def test_a_wrong_result_is_told(floor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "TASKS", 5)
    monkeypatch.setattr(floor, "successor", abs)
    measure = importlib.import_module("benchmarks.measure")
    with pytest.raises(measure.WrongResult, match="the last of 5 tasks gave 1"):
        floor.cpu_of(floor.floor, True)


def test_bytecodes_are_counted(floor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bytecodes = importlib.import_module("benchmarks.bytecodes")
    monkeypatch.setattr(bytecodes, "SHAPES", {"independent": bytecodes.independent, "items": bytecodes.items})
    independent, items = (float(line.split()[1]) for line in list(bytecodes.report())[2:])
    assert 100 < independent < items
