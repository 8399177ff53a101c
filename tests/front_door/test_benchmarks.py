"""The benchmarks run; what they measure is not judged here.  The floor of the costs is a correct executor."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gate import occupy

Output = pytest.CaptureFixture[str]
SMALL = ["--quick", "--n", "200", "--rounds", "1"]
EXECUTORS = ("ThreadPoolExecutor", "Queue()", "Queue(Scheduler())")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Return a module of ``benchmarks``, wherever pytest was started: the package is not installed."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    return lambda name: importlib.import_module(f"benchmarks.{name}")


def section(out: str, title: str) -> str:
    """What follows the line that begins with *title*, up to the next title."""
    rest = out.partition(f"\n{title}")[2]
    titles = "(Cost|Steps|Bytes|Speed) of|An event|Calls on|The longest|Other|The demonstration|[0-9]+ final"
    return re.split(f"^({titles})", rest, flags=re.M)[0]


@pytest.mark.slow
def test_all_workloads_are_reported(module: Any, capsys: Output) -> None:
    assert module("__main__").main(SMALL) == 0
    out = capsys.readouterr().out
    for executor in EXECUTORS:
        rest = section(out, "Cost of a task").partition(f"\n{executor}\n")[2]
        rows = re.split(r"^\S", rest, flags=re.M)[0]
        expected = [w.name for w in module("workloads").WORKLOADS if w.executor == executor]
        assert re.findall(r"^  (\S.*?)  ", rows, re.M) == expected
    graphs = [workload.name for workload in module("costs").GRAPHS]
    rows_of = {
        "Steps of": graphs,
        "The longest hold": graphs,
        "Bytes of a pending task": module("memory").ARGUMENTS,
        "Cost of a yield": EXECUTORS[1:],
        "An event is": ["independent", "chain"],
        "Bytes of an item": ["an item"],
        "196 final": ["newest, submitted first", "oldest, submitted while running"],
        "196 final results": ["phases, ThreadPoolExecutor"],
    }
    for title, names in rows_of.items():
        for name in names:
            assert f"\n  {name}  " in section(out, title)
    assert "tasks of 1.0 ms" in section(out, "Speed of") or "\n  skipped: " in section(out, "Speed of")
    assert "Other libraries" not in out
    assert "among" not in out


@pytest.mark.slow
def test_scale(module: Any, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setattr(module("scale"), "REPEATS", 1)
    assert module("__main__").main(["--only", "scale", "--scale", "5000", "--rounds", "1"]) == 0
    rows = section(capsys.readouterr().out, "Cost of a task among 5000")
    names = re.findall(r"^  (\S.*?)  ", rows, re.M)
    assert names == [workload.name for workload in module("scale").workloads()]
    assert {"chain", "all pairs, 2 queues", "1,000 layers of 100"} < set(names)


def test_engines(module: Any, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    engines = module("engines")
    monkeypatch.setattr(engines, "WORKERS", 1)
    assert module("__main__").main(["--n", "50", "--rounds", "1", "--only", "engines"]) == 0
    rest = section(capsys.readouterr().out, "Calls on a ProcessPoolExecutor")
    for call in engines.CALLS:
        for prefetch in engines.PREFETCH:
            assert f"\n  {call}, prefetch={prefetch}  " in rest


def test_each_program_has_a_row(module: Any, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = module("programs")
    for name, value in {"INPUTS": 3, "POINTS": 3, "ROUNDS": 1, "STAGE": 0, "POINT": 0}.items():
        monkeypatch.setattr(programs, name, value)
    programs.main()
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["Seconds", "to", "first,", "last", "score", "pool", "queue"]
    for row, name in zip(rows, programs.PROGRAMS, strict=True):
        assert re.fullmatch(rf"{name} +([0-9.]+, [0-9.]+ *){{2}}|{name} +No module named .*", row)


def test_the_floor_is_a_correct_executor(module: Any) -> None:
    executor = module("floor").FloorExecutor(2)
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
