"""The benchmarks run and check their results; what they measure is not judged here."""

from __future__ import annotations

import importlib
import random
import re
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

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


# The tables.


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


@pytest.mark.parametrize("wrong", [{"total": 0}, {"tasks": 51}])
def test_wrong_results_are_told(
    benchmarks: Any, wrong: dict[str, int], monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    def submit(n: int, executor: Any) -> Any:
        return workload.submit(n, executor)._replace(**wrong)

    pool = benchmarks.workloads.WORKLOADS[0]
    workload = next(w for w in benchmarks.workloads.WORKLOADS if w.executor == "Queue()")
    monkeypatch.setattr(benchmarks.costs, "WORKLOADS", (pool, workload._replace(submit=submit)))
    assert main(benchmarks, "--n", "50", "--rounds", "1") == 1
    assert "wrong result: independent on Queue(): 50" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        *[(["--n", "49"], "at least"), (["--rounds", "0"], "at least"), (["--scale", "4999"], "at least")],
        (["--timelines", "none"], "none is no folder"),
    ],
)
def test_nothing_to_measure_is_refused(
    benchmarks: Any, argv: list[str], message: str, capsys: Output
) -> None:
    with pytest.raises(SystemExit):
        main(benchmarks, *argv)
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_scale(benchmarks: Any, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setattr(benchmarks.scale, "REPEATS", 1)
    assert main(benchmarks, "--only", "scale", "--scale", "5000", "--rounds", "1") == 0
    rows = section(capsys.readouterr().out, "Cost of a task among 5000")
    names = re.findall(r"^  (\S.*?)  ", rows, re.M)
    assert names == [workload.name for workload in benchmarks.scale.workloads()]
    assert {"chain", "seed, any n, two queues", "1,000 layers of 100"} < set(names)


# Several cores.


def test_engines(benchmarks: Any, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setattr(benchmarks.engines, "WORKERS", 1)
    assert main(benchmarks, "--n", "50", "--rounds", "1", "--only", "engines") == 0
    rest = section(capsys.readouterr().out, "Calls on a ProcessPoolExecutor")
    for call in benchmarks.engines.CALLS:
        for prefetch in benchmarks.engines.PREFETCH:
            assert f"\n  {call}, prefetch={prefetch}  " in rest


# Results over time.


def test_the_picture_is_drawn(benchmarks: Any, tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "results.svg"
    assert main(benchmarks, "--only", "yields", "--n", "50", "--rounds", "1", "--curve", str(file)) == 0
    assert str(file) in capsys.readouterr().out
    texts = [text.text for text in ElementTree.parse(file).iter("{http://www.w3.org/2000/svg}text")]
    for label in ("newest", "oldest", "phases on ThreadPoolExecutor", "ms since the first submission"):
        assert label in texts


def few_modules(benchmarks: Any, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the demonstration have three files, and these small."""
    files = {name: folder / name for name in ("a.py", "b.py", "c.py", "not.py")}
    for path in files.values():
        path.write_bytes(random.Random(path.name).randbytes(20000))
    monkeypatch.setattr(benchmarks.timelines, "FILES", 3)
    monkeypatch.setattr(benchmarks.timelines.demonstration, "largest", lambda *ignored: files)


def test_the_demonstration_is_drawn_both_ways(
    benchmarks: Any, monkeypatch: pytest.MonkeyPatch, capsys: Output, tmp_path: Path
) -> None:
    """Three files: three of each kind of call; each run has its own picture, on the same scale."""
    few_modules(benchmarks, monkeypatch, tmp_path)
    chosen = ["--only", "timelines", "--n", "50", "--rounds", "1"]
    assert main(benchmarks, *chosen, "--timelines", str(tmp_path)) == 0
    rows = section(capsys.readouterr().out, "The demonstration on 3 files")
    scales = []
    for name in ("newest first", "by phases"):
        assert re.search(rf"^  {name} +[0-9]+ +[0-9]+ +[0-9]+$", rows, re.M)
        file = tmp_path / f"{name.replace(' ', '-')}.svg"
        assert f"  the picture: {file}\n" in rows
        picture = ElementTree.parse(file)
        told = [(text.text, text.attrib["x"]) for text in picture.iter("{http://www.w3.org/2000/svg}text")]
        texts = [text for text, _ in told]
        assert {name, "disk 1", "compress 1", "3", *benchmarks.timelines.KINDS.values()} <= set(texts)
        paths = [path.attrib for path in picture.iter("{http://www.w3.org/2000/svg}path")]
        bars = Counter[str]()
        for path in paths:
            bars[path.get("fill", "")] += path["d"].count("z")
        assert [bars[colour] for colour in benchmarks.curve.COLOURS] == [3, 3, 3]
        scales.append([(text, x) for text, x in told if text and text.isdigit()])
    assert scales[0] == scales[1] != []
    assert main(benchmarks, *chosen) == 0
    assert "picture" not in capsys.readouterr().out


# Other libraries.  None is needed here.


def test_libraries_that_are_missing_fail_or_hang_are_told(
    benchmarks: Any, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    known = benchmarks.adapters.PEERS["smqexec"]
    peers = {"smqexec": known, "absent": known._replace(module="no_such_module"), "unknown": known}
    monkeypatch.setattr(benchmarks.peers, "PEERS", peers)
    assert main(benchmarks, "--only", "peers", "--n", "50", "--rounds", "1") == 0
    rows = section(capsys.readouterr().out, "Other libraries")
    assert len(re.findall(r"^  smqexec(?: +[0-9.]+){6}$", rows, re.M)) == 1
    assert "\n  absent: not installed\n" in rows
    assert "\n  unknown: failed: KeyError: 'unknown'\n" in rows
    assert "does not lead" not in rows
    assert "  smqexec: ended after 0.01 s" in list(benchmarks.peers.report(60, 1, seconds=0.01))


# The programs of others.


def test_each_program_has_a_row(benchmarks: Any, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = benchmarks.programs
    for name, value in {"INPUTS": 3, "POINTS": 3, "ROUNDS": 1, "STAGE": 0, "POINT": 0}.items():
        monkeypatch.setattr(programs, name, value)
    programs.main()
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["Seconds", "to", "first,", "last", "score", "pool", "queue"]
    for row, name in zip(rows, programs.PROGRAMS, strict=True):
        assert re.fullmatch(rf"{name} +([0-9.]+, [0-9.]+ *){{2}}|{name} +No module named .*", row)


# The floor that costs are compared with.


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


def test_the_table_of_the_floor(benchmarks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.floor, "TASKS", 50)
    lines = list(benchmarks.floor.report(3))
    assert [line.split("  ")[1] for line in lines[3:-1]] == list(benchmarks.floor.RUNS)


def test_bytecodes_are_counted(benchmarks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bytecodes = benchmarks.bytecodes
    monkeypatch.setattr(bytecodes, "SHAPES", {"independent": bytecodes.independent, "items": bytecodes.items})
    independent, items = (float(line.split()[1]) for line in list(bytecodes.report())[2:])
    assert 100 < independent < items
