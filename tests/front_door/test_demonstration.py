"""The demonstration, ``python -m smqexec``: mostly by calls of its ``main``, with small files."""

from __future__ import annotations

import os
import random
import re
import runpy
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest
from gate import DEADLINE

import smqexec
from smqexec import Scheduler
from smqexec import __main__ as demonstration

main = demonstration.main
Output = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five files: *twin* and *copy* are the same, *near* is almost, the others are noise."""
    noise = random.Random(0)
    twin = noise.randbytes(2000)
    for name, text in {
        "copy": twin,
        "far": noise.randbytes(2000),
        "near": twin[:1800] + noise.randbytes(200),
        "other": noise.randbytes(2000),
        "twin": twin,
    }.items():
        (tmp_path / name).write_bytes(text)
    return tmp_path


def paths(folder: Path, names: str) -> list[str]:
    return [str(folder / name) for name in names.split()]


def pairs_in(out: str) -> list[tuple[float, str, str]]:
    """The printed pairs: distance, and the last parts of both names."""
    found = re.findall(r"^ *(-?\d+\.\d{3})  (\S+)  (\S+)$", out, re.MULTILINE)
    return [(float(distance), Path(x).name, Path(y).name) for distance, x, y in found]


def compared(out: str) -> int:
    """How many pairs the report says it has."""
    match = re.search(r"Pairs compared: ([\d,]+)\.", out)
    assert match, out
    return int(match[1].replace(",", ""))


# -- What it finds


def test_identical_files_come_first(folder: Path, capsys: Output) -> None:
    assert main([str(folder)]) == 0
    out, err = capsys.readouterr()
    found = pairs_in(out)
    assert (compared(out), len(found), err) == (10, 10, "")
    assert found[0][1:] == ("copy", "twin")
    assert found[0][0] < 0.02
    assert {found[1][1:], found[2][1:]} == {("near", "twin"), ("copy", "near")}
    distances = [distance for distance, _, _ in found]
    assert distances == sorted(distances)
    assert found[3][0] > 0.9


def test_twins_larger_than_any_small_window(tmp_path: Path, capsys: Output) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(random.Random(1).randbytes(200_000))
    assert main([str(tmp_path)]) == 0
    assert pairs_in(capsys.readouterr().out)[0][0] < 0.01


def test_distance_is_the_formula() -> None:
    x, y = b"abcabcabc" * 9, b"0123456789" * 3
    c_x, c_y, c_xy = (demonstration.compressed(text) for text in (x, y, x + y))
    expected = (c_xy - min(c_x, c_y)) / max(c_x, c_y)
    assert demonstration.distance(x, y, c_x, c_y) == expected


MOMENTS = r": first pair after (\S+) s, half after (\S+) s, last after (\S+) s$"


def test_report(folder: Path, capsys: Output) -> None:
    """The closest pair so far as it changes, as many pairs as asked for, moments, a line to copy."""
    assert main(["--jobs", "1", "--top", "2", str(folder)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("5 files: which are most alike?  The closest so far:\n")
    shown = re.findall(r"^ +(\d+\.\d\d) s +(-?\d\.\d{3})  \S+  \S+$", out, re.MULTILINE)
    moments, distances = ([float(pair[i]) for pair in shown] for i in (0, 1))
    assert moments == sorted(moments)
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.02, "copy and twin"
    assert (len(pairs_in(out)), compared(out)) == (2, 10)
    match = re.search("^smqexec" + MOMENTS, out, re.MULTILINE)
    assert match, out
    moments = [float(moment) for moment in match.groups()]
    assert moments == sorted(moments)
    assert re.fullmatch(
        r"SMQEXEC_TRACE=run.json \S+ -m smqexec --jobs 1 --top 2 \S+ && \S+ -m smqexec.trace .*",
        out.splitlines()[-1],
    )


def test_compare_finds_the_same_by_phases(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    """What cannot be read is named by both runs, or once.  Both wait for a slow disk, if asked."""
    delays: list[float] = []
    monkeypatch.setattr(demonstration, "sleep", delays.append)
    (folder / "empty").touch()
    assert main(["--compare", "--read-delay", "0.5", str(folder)]) == 0
    assert delays == [0.5] * 12  # six files, twice
    out, err = capsys.readouterr()
    assert out.index("By phases") < out.index("With smqexec")
    for name in ("phases", "smqexec"):
        assert re.search(f"^{name}{MOMENTS}", out, re.MULTILINE), out
    assert (compared(out), err) == (10, f"smqexec: {folder / 'empty'}: empty\n")
    files = demonstration.named([str(folder)])
    runs: list[list[demonstration.Pair]] = [[], []]
    demonstration.by_phases(files, 2, 0.0, runs[0].append)
    demonstration.compare(files, 2, "newest", 0.0, runs[1].append)
    phases, queues = ({pair[:3] for pair in run} for run in runs)
    assert phases == queues and len(phases) == 10


# -- Its options


def test_jobs_run_at_once_and_the_disk_has_one_slot(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    """Oldest first, files are read in the order given."""
    names, threads = [], set()
    barrier, calls = threading.Barrier(3), count()
    read, distance = demonstration.read, demonstration.distance

    def noted(path: Path, delay: float) -> bytes:
        names.append(path.name)
        threads.add(threading.current_thread())
        return read(path, delay)

    def together(*args: Any) -> float:
        if next(calls) < 3:
            barrier.wait(DEADLINE)  # raises unless three are here at once
        return distance(*args)

    monkeypatch.setattr(demonstration, "read", noted)
    monkeypatch.setattr(demonstration, "distance", together)
    assert main(["--jobs", "3", "--order", "oldest", *paths(folder, "twin far other copy near")]) == 0
    assert compared(capsys.readouterr().out) == 10
    assert names == ["twin", "far", "other", "copy", "near"]
    assert len(threads) == 1


def test_tasks_are_named_by_what_they_are_about(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    class Observed(Scheduler):
        def __init__(self, order: str) -> None:
            super().__init__(order)
            names.append(order)
            self.observe(lambda event: names.append(event.name) if event.kind == "submit" else None)

    monkeypatch.setattr(demonstration, "Scheduler", Observed)
    twin, copy = paths(folder, "twin copy")
    assert main([twin, copy]) == 0
    reads = [f"read {twin}", f"C({twin})", f"read {copy}", f"C({copy})"]
    assert names == ["newest", *reads, f"{twin} - {copy}"]


WRONG = [["--jobs", "0"], ["--top", "few"], ["--order", "best"], ["--what"], ["--read-delay", "-1"]]


@pytest.mark.parametrize("argv", WRONG)
def test_wrong_options_are_refused(argv: list[str], capsys: Output) -> None:
    with pytest.raises(SystemExit) as refused:
        main(argv)
    assert refused.value.code == 2
    err = capsys.readouterr().err
    assert argv[0] in err
    assert re.search(r"must be |invalid|unrecognized", err)


# -- Its input


def test_directories_are_searched_and_sorted(tmp_path: Path) -> None:
    (tmp_path / "d" / "deep").mkdir(parents=True)
    names = ["d/b", "d/deep/c", "d/a", "z", "d/.hidden"]
    for name in names:
        (tmp_path / name).write_text(name)
    z, d = str(tmp_path / "z"), str(tmp_path / "d")
    files = demonstration.named([z, d, z])
    inside = sorted(str(tmp_path / name) for name in names if name != "z")
    assert list(files) == [z, *inside], "each once"
    assert files[z] == Path(z)


def test_what_cannot_be_read_is_named_once_and_the_rest_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    (folder / "empty").touch()
    (folder / "gone").symlink_to(folder / "nowhere")
    (folder / "closed").mkdir()
    missing = str(folder / "missing")
    scandir, read_bytes = os.scandir, Path.read_bytes

    def refuse(path: Path, act: Any) -> Any:
        if Path(path).name in ("closed", "far"):
            raise PermissionError(13, "Permission denied", str(path))
        return act(path)

    monkeypatch.setattr(os, "scandir", lambda path: refuse(path, scandir))
    monkeypatch.setattr(Path, "read_bytes", lambda path: refuse(path, read_bytes))
    assert main([missing, str(folder), os.devnull]) == 0
    out, err = capsys.readouterr()
    reasons = {
        **{missing: os.strerror(2), folder / "gone": os.strerror(2), folder / "empty": "empty"},
        **{os.devnull: "not a regular file"},
        **{folder / name: "Permission denied" for name in ("closed", "far")},
    }
    assert sorted(err.splitlines()) == sorted(f"smqexec: {path}: {why}" for path, why in reasons.items())
    assert compared(out) == 6


def test_a_pair_that_fails_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    calls = count()
    real = demonstration.distance

    def distance(*args: Any) -> float:
        if next(calls) in (0, 10):  # the first one of each run
            raise MemoryError
        return real(*args)

    monkeypatch.setattr(demonstration, "distance", distance)
    assert main(["--compare", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert re.fullmatch(r"smqexec: \S+ and \S+: MemoryError\(\)\n", err)
    assert compared(out) == 9


@pytest.mark.parametrize("names", ["", "twin missing", "twin twin"])
def test_fewer_than_two_usable_files(names: str, folder: Path, capsys: Output) -> None:
    nothing = folder / "nothing"
    nothing.mkdir()
    assert main([str(nothing), *paths(folder, names)]) == 2
    out, err = capsys.readouterr()
    assert "Pairs" not in out
    assert err.splitlines()[-1] == "smqexec: fewer than two usable files: name two, or a folder of some"
    assert len(err.splitlines()) == 1 + names.count("missing")


def test_a_name_that_standard_output_cannot_show(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = folder / "caf\udce9-\u20ac"
    try:
        odd.write_bytes(b"x" * 999)
    except OSError:
        pytest.skip("this file system refuses such names")
    with open(folder / "out", "w", encoding="ascii") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert main([str(odd), str(folder / "twin")]) == 0
    assert "caf\\udce9-\\u20ac" in (folder / "out").read_text(encoding="ascii")


def test_largest_modules(tmp_path: Path) -> None:
    sizes = {"a.py": 50, "p/b.py": 70, "c.py": 10, "note.txt": 999, "test/d.py": 999}
    sizes |= {"p/tests/e.py": 999, "site-packages/f.py": 999}
    for name, size in sizes.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(b"x" * size)
    (tmp_path / "dangling.py").symlink_to("nowhere.py")
    largest = demonstration.largest
    assert list(largest(tmp_path, 9)) == ["a.py", "c.py", os.path.join("p", "b.py")]
    assert list(largest(tmp_path, 2)) == ["a.py", os.path.join("p", "b.py")]
    assert list(largest(tmp_path, 1)) == [os.path.join("p", "b.py")]
    assert largest(tmp_path, 9)["c.py"] == tmp_path / "c.py"


def test_default_is_the_standard_library(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setattr(demonstration, "FILES", 5)
    assert main([]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("5 files of the standard library: which are most alike?  ")
    assert max(map(len, out.splitlines()[:-1])) <= 80  # the last one is to be copied
    assert compared(out) == 10
    assert err == ""


# -- A terminal, or none


@pytest.mark.parametrize("terminal", [True, False])
def test_bars_on_a_terminal(terminal: bool, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setattr(demonstration, "progress", lambda scheduler: shown.append(scheduler) or nullcontext())
    assert main([str(folder)]) == 0
    assert [scheduler.counts()["done"] for scheduler in shown] == ([20] if terminal else [])


# -- Ctrl-C


@pytest.mark.parametrize(
    ("options", "ended", "pairs"), [([], 0, 0), ([], 6, 3), (["--compare"], 0, 0), (["--compare"], 2, 2)]
)
def test_interrupt(
    options: list[str], ended: int, pairs: int, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    """While the files are searched; and while results come, after some have come, of either run."""

    def ends(tasks: Any) -> Iterator[Any]:
        yield from islice(smqexec.as_completed(tasks), ended)
        raise KeyboardInterrupt

    def interrupt(*args: object) -> Any:
        raise KeyboardInterrupt

    if options or ended:
        monkeypatch.setattr(demonstration, "as_completed", ends)
    else:
        monkeypatch.setattr(demonstration, "named", interrupt)
    assert main([*options, *paths(folder, "near far twin")]) == 130
    out, err = capsys.readouterr()
    assert "Interrupted.  Pairs compared: " in out
    assert (compared(out), "first pair after" in out, err) == (pairs, pairs > 0, "")


def test_python_m(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setattr(sys, "argv", ["smqexec", str(folder)])
    monkeypatch.delitem(sys.modules, "smqexec.__main__")
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("smqexec", run_name="__main__")
    out, err = capsys.readouterr()
    assert (ended.value.code, compared(out), "\r" in out, err) == (0, 10, False, "")
