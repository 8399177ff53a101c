"""Trace files: the lines of events, the records read from them, and the command line."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from traces import check_format

from smqexec._observe.trace.read import QueueRecord, Record, Trace, read
from smqexec._observe.trace.write import Encoder
from smqexec.trace import main

MS = 1000.0
DISK = QueueRecord(1, "disk", 2)


def slots(name: str = "disk", workers: int = 2) -> Any:
    """Return a stand-in for a queue's state."""
    return _Slots(name=name, width=workers)


class _Slots(SimpleNamespace):
    __hash__ = object.__hash__  # type: ignore[assignment]


class Scribe:
    """Notes in milliseconds, written to a file and read back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = Encoder(0.0)
        self.lines.meta("smqexec", version="1", python="CPython 3", cores=2)

    def note(
        self, kind: str, ms: float, number: int = 0, slots: Any = None, detail: Any = None, needs: Any = ()
    ) -> None:
        """*detail*: the name, worker, index or outcome, by *kind*."""
        self.lines.add((kind, ms / 1000, number, slots, needs, detail))

    def ran(self, number: int, slots: Any, start: float, end: float, *needs: int, **options: Any) -> None:
        """Note a task that ran."""
        self.note("submit", options.get("submitted", 0), number, slots, options.get("name", "fn"), needs)
        self.note("start", start, number, slots, options.get("worker", 7))
        self.note("end", end, number, slots, options.get("outcome", "done"))

    def finish(self, ms: float) -> None:
        self.lines.finish(ms / 1000)

    def text(self) -> str:
        return "\n".join(self.lines.lines) + "\n"

    def read(self) -> Trace:
        self.path.write_text(self.text(), encoding="utf-8")
        return read(self.path)

    def events(self) -> list[Any]:
        lines = self.text().split("\n")
        assert lines[0] == "["
        return [json.loads(line.rstrip(",")) for line in lines[1:] if line not in ("", "]")]


@pytest.fixture
def scribe(tmp_path: Path) -> Scribe:
    return Scribe(tmp_path / "run.json")


def test_small_run_is_written_so(scribe: Scribe) -> None:
    disk = slots()
    scribe.ran(1, disk, 1, 3, name='a "name"')
    scribe.note("submit", 2, 2, disk, "add", (1,))
    scribe.note("start", 4, 2, disk, 8)
    scribe.note("end", 5.5, 2, disk, "failed")
    scribe.note("stop", 6)
    scribe.finish(7)
    assert scribe.text() == (
        """[
{"ph":"M","name":"smqexec","pid":0,"tid":0,"args":{"version":"1","python":"CPython 3","cores":2}},
{"ph":"M","name":"process_name","pid":1,"tid":0,"args":{"name":"disk","slots":2}},
{"ph":"M","name":"thread_name","pid":1,"tid":1,"args":{"name":"worker 1"}},
{"ph":"B","pid":1,"tid":1,"ts":1000.000,"cat":"task","name":"a \\"name\\"","""
        """"args":{"number":1,"submitted":0.000,"dependencies":[]}},
{"ph":"E","pid":1,"tid":1,"ts":3000.000,"args":{"number":1,"outcome":"done"}},
{"ph":"M","name":"thread_name","pid":1,"tid":2,"args":{"name":"worker 2"}},
{"ph":"B","pid":1,"tid":2,"ts":4000.000,"cat":"task","name":"add","""
        """"args":{"number":2,"submitted":2000.000,"dependencies":[1]}},
{"ph":"E","pid":1,"tid":2,"ts":5500.000,"args":{"number":2,"outcome":"failed"}},
{"ph":"i","s":"g","pid":0,"tid":0,"ts":6000.000,"cat":"scheduler","name":"stop"},
{"ph":"M","name":"smqexec_end","pid":0,"tid":0,"args":{"time":7000.0}}
]
"""
    )


def test_what_is_written_is_read(scribe: Scribe) -> None:
    disk, cpu = slots(), slots("cpu", 4)
    scribe.ran(1, disk, 1, 3)
    scribe.note("submit", 2, 2, cpu, "add", (1,))
    scribe.note("submit", 2, 3, cpu, "mul", (1, 2))
    scribe.note("start", 4, 2, cpu, "tcp://far:1")
    scribe.note("item", 5, 2, cpu, 0)
    scribe.note("end", 6, 2, cpu, "failed")
    scribe.note("end", 6, 3, cpu, "failed")
    assert not (scribe.lines._running or scribe.lines._facts), "of ended tasks"
    scribe.note("stop", 7)
    scribe.note("resume", 8)
    scribe.finish(9)
    trace = scribe.read()
    assert trace.facts == {"version": "1", "python": "CPython 3", "cores": 2}
    other = QueueRecord(2, "cpu", 4)
    assert trace.queues == {1: DISK, 2: other}
    assert trace.tasks == [
        Record(1, "fn", DISK, 1, 1 * MS, 3 * MS, 0.0, "done", ()),
        Record(2, "add", other, 1, 4 * MS, 6 * MS, 2 * MS, "failed", (1,)),
        Record(3, "mul", other, 0, 6 * MS, 6 * MS, 2 * MS, "failed", (1, 2)),
    ]
    assert trace.items == [(5 * MS, 2)]
    assert trace.marks == [(7 * MS, "stop"), (8 * MS, "resume")]
    assert (trace.damaged, trace.whole) == (0, True)
    assert (trace.span, trace.length, trace.last) == ((0.0, 6 * MS), 6 * MS, 9 * MS)


def test_long_task_is_there_before_it_ends(scribe: Scribe) -> None:
    disk = slots()
    scribe.note("submit", 0, 1, disk, "long", ())
    scribe.note("start", 1, 1, disk, 7)
    scribe.lines.look(0.9)  # less than a second
    scribe.lines.look(1.5)
    scribe.lines.look(1.6)  # less than a second after the last
    times = [event["args"]["time"] for event in scribe.events() if event.get("name") == "smqexec_alive"]
    assert times == [1500 * MS]
    # So it looks if the program is killed here.
    trace = scribe.read()
    assert trace.tasks == [Record(1, "long", DISK, 1, 1 * MS, 1500 * MS, 0.0, "running", ())]
    assert not trace.whole
    scribe.note("end", 2000, 1, disk, "done")
    assert not (scribe.lines._running or scribe.lines._facts), "of ended tasks"
    scribe.lines.look(3)
    assert "smqexec_alive" not in scribe.lines.lines[-1], "nothing runs"
    scribe.finish(3100)
    trace = scribe.read()
    assert [(task.number, task.start, task.end) for task in trace.tasks] == [(1, 1 * MS, 2000 * MS)]
    check_format(scribe.events())


def test_what_runs_at_the_end_is_there(scribe: Scribe) -> None:
    disk = slots()
    scribe.ran(1, disk, 1, 50)
    scribe.note("submit", 0, 2, disk, "unended", (1,))
    scribe.note("start", 2, 2, disk, 8)
    scribe.finish(60)
    trace = scribe.read()
    assert trace.tasks[1:] == [Record(2, "unended", DISK, 2, 2 * MS, 60 * MS, 0.0, "running", (1,))]


def test_what_runs_at_the_end_of_a_torn_file_ends_with_it(scribe: Scribe) -> None:
    disk = slots()
    scribe.note("submit", 0, 1, disk, "unended", ())
    scribe.note("start", 1, 1, disk, 8)
    scribe.ran(2, disk, 1, 50)
    assert [task.end for task in scribe.read().tasks if task.outcome == "running"] == [50 * MS]


def test_task_of_before_the_recording(scribe: Scribe) -> None:
    disk = slots()
    scribe.lines.add(("submit", None, 1, disk, (9,), "early"))
    scribe.note("start", 3, 1, disk, 7)
    scribe.note("submit", 3, 1, disk, "early", ())  # its submit had begun before the recording
    scribe.lines.add(("submit", None, 2, disk, (), "pending"))
    scribe.note("start", 4, 1, disk, 7)  # its start had begun before the recording
    scribe.note("end", 5, 1, disk, "done")
    scribe.note("start", 6, 2, disk, 7)
    scribe.note("end", 7, 2, disk, "done")
    scribe.note("item", 7, 3, disk, 0)  # of an unknown task
    scribe.note("end", 8, 3, disk, "done")
    trace = scribe.read()
    assert [(task.number, task.submitted, task.dependencies) for task in trace.tasks] == [
        (1, None, (9,)),
        (2, None, ()),
    ]
    assert trace.span[0] == trace.tasks[0].start
    assert trace.items == []


def test_worker_of_an_engine_has_a_row_by_its_name(scribe: Scribe) -> None:
    far = slots()
    for number, worker in ((1, "slot 1"), (2, "slot 2"), (3, "slot 1")):
        scribe.ran(number, far, number, number + 0.5, worker=worker)
    rows = {task.number: task.thread for task in scribe.read().tasks}
    assert rows == {1: 1, 2: 2, 3: 1}
    names = [event["args"]["name"] for event in scribe.events() if event.get("name") == "thread_name"]
    assert names == ["slot 1", "slot 2"]


def test_nested_tasks_share_the_row_of_their_thread(scribe: Scribe) -> None:
    disk = slots()
    scribe.note("submit", 0, 1, disk, "outer", ())
    scribe.note("start", 1, 1, disk, 7)
    scribe.ran(2, disk, 2, 3)
    scribe.note("end", 4, 1, disk, "done")
    assert [task.thread for task in scribe.read().tasks] == [1, 1]
    check_format(scribe.events())


def test_long_chain(scribe: Scribe) -> None:
    n, disk = 20_000, slots()
    for number in range(1, n + 1):
        scribe.note("submit", number, number, disk, "fn", (number - 1,))
        scribe.note("start", number, number, disk, 7)
        scribe.note("end", number + 0.5, number, disk, "done")
    scribe.finish(n)
    trace = scribe.read()
    assert len(trace.tasks) == len(trace.critical) == n


# Reading.


def test_file_torn_at_each_place_can_be_read(scribe: Scribe) -> None:
    disk = slots()
    scribe.ran(1, disk, 1, 2, name="\u00e4")
    scribe.ran(2, disk, 2, 3, 1)
    scribe.note("submit", 3, 3, disk, "long", ())
    scribe.note("start", 3, 3, disk, 7)
    scribe.finish(9)
    whole = scribe.text().encode()
    first = whole.index(b"\n", 2)
    for length in range(first, len(whole) + 1):
        scribe.path.write_bytes(whole[:length])
        trace = read(scribe.path)
        assert trace.damaged <= 1
        assert len(trace.critical) <= sum(task.outcome == "done" for task in trace.tasks) <= 2


@pytest.mark.parametrize(
    "line",
    [
        "17",
        '"text"',
        "[]",
        '{"ph":"B"}',
        '{"ph":"B","ts":"a"}',
        '{"ph":"B","ts":0,"pid":7,"tid":1,"name":"fn","args":{"number":2,"dependencies":[]}}',
        '{"ph":"E","args":{"number":9}}',
        '{"a":' * 100_000,
    ],
)
def test_line_that_is_no_event_of_ours_is_counted(scribe: Scribe, line: str) -> None:
    scribe.ran(1, slots(), 1, 2)
    scribe.lines.lines.append(line + ",")
    trace = scribe.read()
    assert (len(trace.tasks), trace.damaged) == (1, 1)


@pytest.mark.parametrize("text", ["", "[", "hello\n", '[\n{"ph":"M","name":"other"}\n]'])
def test_file_of_others_is_refused(scribe: Scribe, text: str) -> None:
    scribe.path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"run\.json is not a trace that smqexec wrote"):
        read(scribe.path)


# What follows from it.


def test_critical_path_is_the_chain_that_ran_longest(scribe: Scribe) -> None:
    r"""
    1 (2 ms) -- 3 (1 ms) -- 5 (1 ms)
               /           /
    2 (3 ms) -            /
    4 (3 ms) -------------     6 (3.5 ms) alone
    """
    disk = slots()
    scribe.ran(1, disk, 0, 2, worker=1)
    scribe.ran(2, disk, 0, 3, worker=2)
    scribe.ran(3, disk, 3, 4, 1, 2, worker=1)
    scribe.ran(4, disk, 0, 3, worker=3)
    scribe.ran(5, disk, 4, 5, 3, 4, worker=1)
    scribe.ran(6, disk, 0, 3.5, worker=4)
    trace = scribe.read()
    assert [task.number for task in trace.critical] == [2, 3, 5]


def test_critical_path_counts_the_time_of_two_once(scribe: Scribe) -> None:
    """Task 2 needs an item of 1, and ran beside it: 9 + 1 ms, less than the 10.5 of task 3 alone."""
    disk = slots()
    scribe.ran(1, disk, 0, 9, worker=1)
    scribe.ran(2, disk, 1, 10, 1, worker=2)
    scribe.ran(3, disk, 0, 10.5, worker=3)
    assert [task.number for task in scribe.read().critical] == [3]


def test_critical_path_goes_by_starts(scribe: Scribe) -> None:
    """Task 1 needs an item of 2, which was observed later and ends later."""
    disk = slots()
    scribe.ran(1, disk, 1, 4, 2, worker=1)
    scribe.ran(2, disk, 0, 5, worker=2)
    assert [task.number for task in scribe.read().critical] == [2]
    scribe.ran(3, disk, 4, 7, 1, worker=1)
    assert [task.number for task in scribe.read().critical] == [2, 1, 3]


def test_critical_path_leaves_out_what_never_ran(scribe: Scribe) -> None:
    disk = slots()
    scribe.note("submit", 0, 1, disk, "dropped", (77,))
    scribe.note("end", 1, 1, disk, "cancelled")
    trace = scribe.read()
    assert len(trace.tasks) == 1 and trace.critical == []


def test_nothing_ran() -> None:
    trace = Trace()
    assert (trace.critical, trace.span) == ([], (0.0, 0.0))


# The command line.


@pytest.fixture
def shown(scribe: Scribe, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    def show() -> str:
        scribe.path.write_text(scribe.text(), encoding="utf-8")
        assert main([str(scribe.path), "--text"]) == 0
        return capsys.readouterr().out.replace(str(scribe.path), "run.json")

    yield show


def test_text(scribe: Scribe, shown: Callable[[], str]) -> None:
    disk, cpu = slots(), slots("cpu", 1)
    scribe.ran(1, disk, 1, 3, name="read")
    scribe.ran(2, disk, 1, 2000, name="read", worker=8)
    scribe.ran(3, cpu, 2000, 3000, 1, 2, name="x\x1b[31m" + "y" * 60)
    scribe.note("submit", 0, 4, cpu, "both", (3,))
    scribe.note("end", 3000, 4, cpu, "cancelled")
    scribe.finish(4000)
    assert shown() == (
        """run.json: 4 tasks in 3.00 s, 2 queues, 1 cancelled
smqexec 1, CPython 3, 2 cores

Queues

      slots  ran  failed  busy
disk      2    2       0   33%
cpu       1    1       0   33%

Most time

                                                                  tasks  in all
read                                                                  2  2.00 s
x\\x1b[31myyyyyyyyyyyyyyyyyyyyyyyy…yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy      1  1.00 s
both                                                                  1    0 µs

Critical path: 2 tasks, one after the other, ran for 100% of the time

                                                                  queue  number  began at  ran for
read                                                               disk       2   1.00 ms   2.00 s
x\\x1b[31myyyyyyyyyyyyyyyyyyyyyyyy…yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy    cpu       3    2.00 s   1.00 s

"""
    )


def test_text_of_a_killed_program(scribe: Scribe, shown: Callable[[], str]) -> None:
    disk = slots()
    scribe.note("submit", 0, 1, disk, "hangs", ())
    scribe.note("start", 1, 1, disk, 7)
    for number in range(2, 20):
        scribe.ran(
            number, disk, 10 * number, 10 * number + 5, *([number - 1] if number > 2 else []), worker=8
        )
    scribe.lines.look(2.0)
    scribe.lines.lines.append('{"ph":"B","pi')
    text = shown()
    assert "the recording was not closed, 1 unreadable line" in text
    assert (
        "Still running\n\n       queue  number  began at  ran for\nhangs   disk       1   1.00 ms   2.00 s"
        in text
    )
    assert "Critical path: 18 tasks" in text and "; the 10 longest of them" in text
    assert text.partition("10 longest")[2].count("fn ") == 10


def test_text_of_no_time_and_of_more_workers_than_slots(scribe: Scribe, shown: Callable[[], str]) -> None:
    disk = slots(workers=1)
    scribe.ran(1, disk, 0, 0, worker=1)
    scribe.ran(2, disk, 0, 0, 1, worker=2)
    assert "\ndisk      2    2       0    0%\n" in shown()


def test_text_of_nothing(scribe: Scribe, shown: Callable[[], str]) -> None:
    assert shown().startswith("run.json: 0 tasks in 0 \u00b5s, 0 queues")


def test_terminal_that_cannot_show_a_name_gets_its_escape(
    scribe: Scribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    scribe.ran(1, slots("r\u00f6ntgen\udcff"), 1, 2)
    scribe.read()
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert main([str(scribe.path)]) == 0
    assert rb"r\xf6ntgen\udcff " in raw.getvalue()


@pytest.mark.parametrize(("target", "message"), [("pipe", ""), ("full", "No space left on device")])
def test_output_that_cannot_be_written(
    scribe: Scribe,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    target: str,
    message: str,
) -> None:
    scribe.ran(1, slots(), 1, 2)
    scribe.read()
    if target == "pipe":
        reader, writer = os.pipe()
        os.close(reader)  # as `head` does
    elif os.path.exists("/dev/full"):
        writer = os.open("/dev/full", os.O_WRONLY)
    else:
        pytest.skip("no device that is full")
    with open(writer, "w", encoding="utf-8") as file:  # at its end nothing is left to be written
        monkeypatch.setattr(sys, "stdout", file)
        assert main([str(scribe.path)]) == 1
    errors = capsys.readouterr().err
    assert message in errors and errors.count("\n") == bool(message)


def test_file_that_cannot_be_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.json"), "--text"]) == 1
    assert "No such file" in capsys.readouterr().err
    (tmp_path / "other.json").write_text("{}")
    assert main([str(tmp_path / "other.json"), "--text"]) == 1
    assert "not a trace" in capsys.readouterr().err
