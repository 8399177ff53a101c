"""The benchmarks run; what they measure is not judged here.  The floor of the costs is a correct executor."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from gate import occupy

Output = pytest.CaptureFixture[str]
SMALL = ["--quick", "--n", "200", "--rounds", "1"]
EXECUTORS = ("ThreadPoolExecutor", "Queue()", "Queue(Scheduler())")


class Package:
    """The modules of ``benchmarks``, wherever pytest was started: the package is not installed."""

    def __getattr__(self, name: str) -> ModuleType:
        return importlib.import_module(f"benchmarks.{name}")


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    return Package()


def main(benchmarks: Any, *argv: str) -> int:
    return importlib.import_module("benchmarks.__main__").main(argv)  # type: ignore[no-any-return]


def section(out: str, title: str) -> str:
    """What follows the line that begins with *title*, up to the next title."""
    rest = out.partition(f"\n{title}")[2]
    titles = "(Cost|Steps|Bytes|Speed) of|An event|Calls on|The longest|Other|The demonstration|[0-9]+ final"
    return re.split(f"^({titles})", rest, flags=re.M)[0]


@pytest.mark.slow
def test_all_workloads_are_reported(benchmarks: Any, capsys: Output) -> None:
    assert main(benchmarks, *SMALL) == 0
    out = capsys.readouterr().out
    workloads = benchmarks.workloads.WORKLOADS
    for executor in EXECUTORS:
        rest = section(out, "Cost of a task").partition(f"\n{executor}\n")[2]
        rows = re.split(r"^\S", rest, flags=re.M)[0]
        expected = [w.name for w in workloads if w.executor == executor]
        assert re.findall(r"^  (\S.*?)  ", rows, re.M) == expected
    for workload in benchmarks.costs.GRAPHS:
        assert f"\n  {workload.name}  " in section(out, "Steps of")
        assert f"\n  {workload.name}  " in section(out, "The longest hold")
    for arguments in benchmarks.memory.ARGUMENTS:
        assert f"\n  {arguments}  " in section(out, "Bytes of a pending task")
    for executor in EXECUTORS[1:]:
        assert f"\n  {executor}  " in section(out, "Cost of a yield")
    for name in ("independent", "chain"):
        assert f"\n  {name}  " in section(out, "An event is")
    assert "\n  an item  " in section(out, "Bytes of an item")
    assert "tasks of 1.0 ms" in section(out, "Speed of") or "\n  skipped: " in section(out, "Speed of")
    for name in ("newest, submitted first", "oldest, submitted while running", "phases, ThreadPoolExecutor"):
        assert f"\n  {name}  " in section(out, "196 final results")
    assert "Other libraries" not in out
    assert "among" not in out


@pytest.mark.slow
def test_scale(benchmarks: Any, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setattr(benchmarks.scale, "REPEATS", 1)
    assert main(benchmarks, "--only", "scale", "--scale", "5000", "--rounds", "1") == 0
    rows = section(capsys.readouterr().out, "Cost of a task among 5000")
    names = re.findall(r"^  (\S.*?)  ", rows, re.M)
    assert names == [workload.name for workload in benchmarks.scale.workloads()]
    assert {"chain", "seed, any n, two queues", "1,000 layers of 100"} < set(names)


def test_engines(benchmarks: Any, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setattr(benchmarks.engines, "WORKERS", 1)
    assert main(benchmarks, "--n", "50", "--rounds", "1", "--only", "engines") == 0
    rest = section(capsys.readouterr().out, "Calls on a ProcessPoolExecutor")
    for call in benchmarks.engines.CALLS:
        for prefetch in benchmarks.engines.PREFETCH:
            assert f"\n  {call}, prefetch={prefetch}  " in rest


def test_each_program_has_a_row(benchmarks: Any, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = benchmarks.programs
    for name, value in {"INPUTS": 3, "POINTS": 3, "ROUNDS": 1, "STAGE": 0, "POINT": 0}.items():
        monkeypatch.setattr(programs, name, value)
    programs.main()
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["Seconds", "to", "first,", "last", "score", "pool", "queue"]
    for row, name in zip(rows, programs.PROGRAMS, strict=True):
        assert re.fullmatch(rf"{name} +([0-9.]+, [0-9.]+ *){{2}}|{name} +No module named .*", row)


def test_the_floor_is_a_correct_executor(benchmarks: Any) -> None:
    executor = benchmarks.floor.FloorExecutor(2)
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
