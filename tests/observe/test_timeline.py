"""The timeline page as text: the run as the program gets it, and the page without the program."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from html import unescape
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
from traces import Event, dropped, head, item, mark, ran, synthetic, text

from smqexec._observe.trace import page as _timeline
from smqexec._observe.trace.page import UNKNOWN
from smqexec._observe.trace.read import Trace, read
from smqexec.trace import main

Output = pytest.CaptureFixture[str]


@pytest.fixture
def traced(tmp_path: Path) -> Any:
    """The trace of these events, as it is read."""

    def trace(events: Iterable[Event], torn: str | None = None) -> Trace:
        (tmp_path / "run.json").write_text(text(events, torn))
        return read(tmp_path / "run.json")

    return trace


@pytest.fixture
def columns(traced: Any) -> Any:
    """The run of these events, of queue "a" and others, as the program gets it."""
    return lambda *events: _timeline.columns(traced([*head(("a", 1), ("b", 2)), *events]))


def slices(run: Any) -> list[list[Any]]:
    """The numbers of the tasks in each lane, after its queue and thread."""
    numbers = iter(run["number"])
    lanes = [[*run["rows"][row][:2], *islice(numbers, count)] for row, count in run["lanes"]]
    assert next(numbers, None) is None
    return lanes


# -- Rows and lanes


def test_each_thread_of_a_queue_has_a_row(columns: Any) -> None:
    """And each queue one for what never ran.  Tasks are in the order of time, not of the file."""
    run = columns(ran(3, 20, 30), ran(1, 0, 10), ran(2, 0, 10, queue=2, thread=2), dropped(4, 15))
    assert slices(run) == [["a", 0, 4], ["a", 1, 1, 3], ["b", 0], ["b", 2, 2]]


def test_nested_runs_are_in_lanes_below(columns: Any) -> None:
    r"""
    ::

        1111111111  66
        22222 555
          33
    """
    spans = {1: (0, 10), 2: (0, 5), 3: (2, 4), 5: (6, 9), 6: (10, 12)}
    run = columns(*(ran(number, *span) for number, span in spans.items()))
    assert slices(run)[1:-1] == [["a", 1, 1, 6], ["a", 1, 2, 5], ["a", 1, 3]]


def test_nothing_overlaps_in_a_lane(columns: Any) -> None:
    """Whatever the file has: here threads run many tasks at once."""
    run = columns(*(ran(i, i * 7 % 40, i * 7 % 40 + i % 13, thread=i % 2 + 1) for i in range(1, 200)))
    times = zip(run["start"], run["end"], strict=True)
    for _, count in run["lanes"]:
        assert all(end <= start for (_, end), (start, _) in pairwise(islice(times, count)))
    assert next(times, None) is None


def test_how_long_a_slot_was_busy_counts_nested_runs_once(columns: Any) -> None:
    run = columns(ran(1, 0, 100), ran(2, 10, 90), ran(3, 200, 250), dropped(4, 300))
    assert run["rows"] == [["a", 0, 0.0], ["a", 1, 150.0], ["b", 0, 0.0]]


# -- Columns


def test_a_task_in_columns(columns: Any) -> None:
    run = columns(
        ran(1, 0, 10, "first", submitted=-1.5),
        ran(2, 20, 30, "second", needs=[1, 99], outcome="failed", submitted=None),
        dropped(3, 30, "first", needs=[2, 1], outcome="cancelled"),
    )
    assert run["number"] == [3, 1, 2]
    assert (run["start"], run["end"]) == ([31.5, 1.5, 21.5], [31.5, 11.5, 31.5])
    assert run["submitted"] == [None, 0, None]
    assert [run["names"][name] for name in run["name"]] == ["first", "first", "second"]
    assert [_timeline.OUTCOMES[outcome] for outcome in run["outcome"]] == ["cancelled", "done", "failed"]
    assert run["needs"] == [[2, 1], [], [1, UNKNOWN]]
    assert (run["path"], run["span"]) == ([1, 2], 31.5)


def test_an_item_has_its_task(columns: Any) -> None:
    run = columns(ran(1, 10, 100), ran(2, 10, 90), item(2, 0, 40), item(9, 5, 60))
    assert (run["number"], run["items"], run["producers"]) == ([1, 2], [40, 60], [1, UNKNOWN])


@pytest.mark.parametrize(
    ("marks", "stopped"),
    [
        ("", []),
        ("resume 10", [(0, 10)]),
        ("stop 20", [(20, 100)]),
        ("stop 20 resume 30 stop 40 resume 50", [(20, 30), (40, 50)]),
        ("resume 10 stop 20 stop 30 resume 40 resume 50", [(0, 10), (20, 30), (30, 40)]),
        ("stop 200", [(200, 200)]),
    ],
)
def test_times_in_which_the_scheduler_was_stopped(columns: Any, marks: str, stopped: Any) -> None:
    words = iter(marks.split())
    events = [mark(name, float(at)) for name, at in zip(words, words, strict=True)]
    assert [*map(tuple, columns(ran(1, 0, 100), *events)["stopped"])] == stopped


def test_all_times_are_from_the_first_submission_on(columns: Any) -> None:
    """The recording may have begun long before; so may the scheduler have gone on."""
    marks = [mark("resume", 500), mark("stop", 1150), mark("resume", 1170)]
    run = columns(ran(1, 1100, 1200, submitted=1000), item(1, 0, 1150), *marks)
    names = ("span", "start", "end", "submitted", "items", "stopped")
    assert [run[name] for name in names] == [200, [100], [200], [0], [150], [[0, 0], [150, 170]]]


# -- The page


def without_scripts(page: str) -> str:
    return re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)


def test_the_facts_are_there_without_the_program(traced: Any) -> None:
    tasks = [
        *(ran(i, i * 1e3, i * 1e3 + 500, "short", outcome="failed") for i in (1, 2)),
        *(ran(i, i * 1e3, i * 1e3 + 500, "short") for i in (3, 4)),
        ran(5, 0, 10e6, "long", queue=2, thread=1),
        dropped(6, 5000, outcome="cancelled"),
    ]
    trace = traced([*head(("disk", 1), ("cores", 4)), *tasks])
    page = unescape(without_scripts(_timeline.page(trace, "run.json")))
    assert "<title>run.json: 6 tasks in 10.00 s, 2 queues, 2 failed, 1 cancelled</title>" in page
    assert "<td>disk</td><td>1</td><td>4</td><td>2</td><td>0%</td>" in page
    assert "<td>cores</td><td>4</td><td>1</td><td>0</td><td>25%</td>" in page
    assert re.findall("<td>(long|short|work)</td><td>(.*?)</td><td>(.*?)</td>", page) == [
        ("long", "1", "10.00 s"),
        ("short", "4", "2.00 ms"),
        ("work", "1", "0 µs"),
    ]


def test_a_file_without_tasks_has_a_page_without_tables(traced: Any) -> None:
    page = without_scripts(_timeline.page(traced(head()), "run.json"))
    assert "0 tasks in 0 &#181;s, 0 queues" in page
    assert "<table>" not in page


HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "&lt;",
    "\"'`${x}",
    "\u2028\u202e\ud800\0",
    "n" * 5000,
]


def test_names_cannot_leave_their_place(traced: Any) -> None:
    """Neither the JSON nor the HTML they are in; and all of the page is ASCII."""
    events = [*head((HOSTILE[0], 1)), *(ran(i, i, i + 1, name) for i, name in enumerate(HOSTILE, 1))]
    page = _timeline.page(traced(events), HOSTILE[0])
    assert page.isascii()
    assert len(re.findall("<script", page)) == 2
    found = re.search('<script type="application/json" id="run">(.*?)</script>', page, re.DOTALL)
    assert found and "<" not in found[1]
    run = json.loads(found[1])
    assert (run["names"], {queue for queue, *_ in run["rows"]}) == (HOSTILE, {HOSTILE[0]})
    shown = unescape(without_scripts(page))
    assert f"<td>{HOSTILE[3]}</td>" in shown
    assert f"<td>{'n' * 30}\u2026{'n' * 30}</td>" in shown


def test_the_page_forbids_what_is_not_its_own(traced: Any) -> None:
    """It may run its own program, known by its digest, and fetch nothing."""
    page = _timeline.page(traced(head()), "run.json")
    program = re.search('<script type="module">(.*?)</script>', page, re.DOTALL)
    policy = re.search('http-equiv="Content-Security-Policy" content="(.*?)"', page)
    assert program and policy
    digest = b64encode(sha256(program[1].encode()).digest()).decode()
    rules = dict(rule.split(None, 1) for rule in policy[1].split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == f"'sha256-{digest}'"
    assert "http" not in page.replace("http-equiv", "")


def test_a_task_takes_a_hundred_bytes(traced: Any) -> None:
    few, many = (len(_timeline.page(traced(synthetic(n)), "")) for n in (1000, 3000))
    assert (many - few) / 2000 < 100


# -- The command


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "run.json").write_text(text([*head(("disk", 1)), ran(1, 0, 10, "sole")]))
    return tmp_path / "run.json"


def test_the_command_writes_the_page(file: Path, capsys: Output) -> None:
    """And the tables too, if both are asked for.  A page that is there is replaced."""
    output = file.with_name("run.html")
    for more in ([], ["--text"]):
        assert main([str(file), "-o", str(output), *more]) == 0
        assert output.read_text("ascii") == _timeline.page(read(file), "run.json")
        assert ("run.json: 1 task" in capsys.readouterr().out) == bool(more)


def test_the_page_does_not_replace_the_recording(file: Path, capsys: Output) -> None:
    before = file.read_bytes()
    assert main([str(file), "-o", str(file.parent / "." / "run.json")]) == 1
    assert "run.json is the recording itself: name another file" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_a_page_that_cannot_be_written(file: Path, capsys: Output) -> None:
    assert main([str(file), "-o", str(file.parent / "none" / "run.html")]) == 1
    out, err = capsys.readouterr()
    assert (out, "No such file" in err) == ("", True)


def test_all_parts_of_the_page_are_in_the_package() -> None:
    folder = Path(_timeline.__file__).parent
    parts = {path.name for path in folder.iterdir() if path.suffix in (".js", ".css", ".html")}
    assert parts == {"page.html", "page.css", *(f"{name}.js" for name in _timeline.PROGRAM)}
