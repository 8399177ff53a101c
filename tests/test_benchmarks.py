"""The benchmarks run and check their results; what they measure is not judged here."""

from __future__ import annotations

import importlib
import re
from collections.abc import Generator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Output = pytest.CaptureFixture[str]
SMALL = ["--quick", "--n", "200", "--rounds", "1"]


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """``benchmarks.__main__``, wherever pytest was started: the package is not installed."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent))
    return importlib.import_module("benchmarks.__main__")


def section(out: str, title: str) -> str:
    """What follows the line that begins with *title*, up to the next title."""
    rest = out.partition(f"\n{title}")[2]
    return re.split(r"^(?:Cost of|Steps of|Bytes of)", rest, flags=re.M)[0]


def test_all_workloads_are_reported(benchmarks: ModuleType, capsys: Output) -> None:
    assert benchmarks.main(SMALL) == 0
    out = capsys.readouterr().out
    for executor in ("ThreadPoolExecutor", "Queue()", "Queue(Scheduler())"):
        rows = re.split(r"^\S", out.partition(f"\n{executor}\n")[2], flags=re.M)[0]
        expected = [w.name for w in benchmarks.WORKLOADS if w.executor == executor]
        assert re.findall(r"^  (\S.*?)  ", rows, re.M) == expected
    for workload in benchmarks.GRAPHS:
        assert f"\n  {workload.name}  " in section(out, "Steps of")
    for arguments in benchmarks.ARGUMENTS:
        assert f"\n  {arguments}  " in section(out, "Bytes of a pending task")
    for executor in ("Queue()", "Queue(Scheduler())"):
        assert f"\n  {executor}  " in section(out, "Cost of a yield")
    assert "\n  an item  " in section(out, "Bytes of an item")


def test_a_mode_that_makes_no_sense_is_left_out(benchmarks: ModuleType) -> None:
    for workload in benchmarks.WORKLOADS:
        modes = benchmarks.modes_of(workload)
        stoppable = workload.executor != "ThreadPoolExecutor" and workload.name != "one at a time"
        assert len(modes) == 1 + stoppable


@pytest.mark.parametrize("wrong", [{"total": 0}, {"tasks": 11}])
def test_wrong_results_are_told(
    benchmarks: ModuleType, wrong: dict[str, int], monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    def submit(n: int, executor: Any) -> Any:
        return workload.submit(n, executor)._replace(**wrong)

    workload = next(w for w in benchmarks.WORKLOADS if w.executor == "Queue()")
    monkeypatch.setattr(benchmarks, "WORKLOADS", (workload._replace(submit=submit),))
    assert benchmarks.main(["--n", "10", "--rounds", "1"]) == 1
    assert "wrong result: independent on Queue(): 10" in capsys.readouterr().err


def test_wrong_values_of_a_generator_task_are_told(
    benchmarks: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    def wrong(n: int) -> Generator[int, None, None]:
        yield from range(1, n)

    monkeypatch.setattr(benchmarks, "WORKLOADS", benchmarks.WORKLOADS[:1])
    monkeypatch.setattr(importlib.import_module("benchmarks.measure"), "numbers", wrong)
    assert benchmarks.main(["--n", "10", "--rounds", "1"]) == 1
    assert "wrong result: the generator task on Queue()" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--n", "9"], ["--rounds", "0"]])
def test_nothing_to_measure_is_refused(benchmarks: ModuleType, argv: list[str], capsys: Output) -> None:
    with pytest.raises(SystemExit):
        benchmarks.main(argv)
    assert "at least" in capsys.readouterr().err
