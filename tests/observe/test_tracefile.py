"""Trace files: the lines of events, the records read from them, and the command line."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
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


class Slots(SimpleNamespace):
    """A stand-in for a queue's state."""

    __hash__ = object.__hash__  # type: ignore[assignment]


class Scribe:
    """Notes in milliseconds, written to a file and read back; of the queue "disk", or of *queue*."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.disk = Slots(name="disk", width=2)
        self.lines = Encoder(0.0)
        self.lines.meta("smqexec", version="1", python="CPython 3", cores=2)

    def note(
        self, kind: str, ms: float, number: int = 0, detail: Any = None, needs: Any = (), queue: Any = None
    ) -> None:
        """*detail*: the name, worker, index or outcome, by *kind*."""
        self.lines.add((kind, ms / 1000, number, queue or self.disk if number else None, needs, detail))

    def ran(self, number: int, start: float, end: float, *needs: int, **options: Any) -> None:
        """Note a task that ran."""
        queue = options.get("queue")
        self.note("submit", 0, number, options.get("name", "fn"), needs, queue)
        self.note("start", start, number, options.get("worker", 7), queue=queue)
        self.note("end", end, number, options.get("outcome", "done"), queue=queue)

    def began(self, number: int, start: float, name: str, *needs: int, worker: Any = 7) -> None:
        """Note a task that is running."""
        self.note("submit", 0, number, name, needs)
        self.note("start", start, number, worker)

    def finish(self, ms: float) -> None:
        self.lines.look(ms / 1000, last=True)

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


def test_small_run_is_written_and_read_so(scribe: Scribe) -> None:
    cpu = Slots(name="cpu", width=4)
    scribe.ran(1, 1, 3, name='a "name"')
    scribe.note("submit", 2, 2, "add", (1,), cpu)
    scribe.note("submit", 2, 3, "mul", (1, 2), cpu)
    scribe.note("start", 4, 2, "tcp://far:1", queue=cpu)
    scribe.note("item", 5, 2, 0, queue=cpu)
    scribe.note("end", 5.5, 2, "failed", queue=cpu)
    scribe.note("end", 6, 3, "failed", queue=cpu)
    assert not (scribe.lines._running or scribe.lines._facts), "of ended tasks"
    scribe.note("stop", 7)
    scribe.finish(9)
    assert scribe.text() == (
        """[
{"ph":"M","name":"smqexec","pid":0,"tid":0,"args":{"version":"1","python":"CPython 3","cores":2}},
{"ph":"M","name":"process_name","pid":1,"tid":0,"args":{"name":"disk","slots":2}},
{"ph":"M","name":"thread_name","pid":1,"tid":1,"args":{"name":"worker 1"}},
{"ph":"B","pid":1,"tid":1,"ts":1000.000,"cat":"task","name":"a \\"name\\"","""
        """"args":{"number":1,"submitted":0.000,"dependencies":[]}},
{"ph":"E","pid":1,"tid":1,"ts":3000.000,"args":{"number":1,"outcome":"done"}},
{"ph":"M","name":"process_name","pid":2,"tid":0,"args":{"name":"cpu","slots":4}},
{"ph":"M","name":"thread_name","pid":2,"tid":1,"args":{"name":"tcp://far:1"}},
{"ph":"B","pid":2,"tid":1,"ts":4000.000,"cat":"task","name":"add","""
        """"args":{"number":2,"submitted":2000.000,"dependencies":[1]}},
{"ph":"i","s":"t","pid":2,"tid":1,"ts":5000.000,"cat":"item","name":"item 0","args":{"number":2,"item":0}},
{"ph":"E","pid":2,"tid":1,"ts":5500.000,"args":{"number":2,"outcome":"failed"}},
{"ph":"i","s":"p","pid":2,"tid":0,"ts":6000.000,"cat":"dropped","name":"mul","""
        """"args":{"number":3,"submitted":2000.000,"dependencies":[1, 2],"outcome":"failed"}},
{"ph":"i","s":"g","pid":0,"tid":0,"ts":7000.000,"cat":"scheduler","name":"stop"},
{"ph":"M","name":"smqexec_end","pid":0,"tid":0,"args":{"time":9000.0}}
]
"""
    )
    trace = scribe.read()
    assert trace.facts == {"version": "1", "python": "CPython 3", "cores": 2}
    other = QueueRecord(2, "cpu", 4)
    assert trace.queues == {1: DISK, 2: other}
    assert trace.tasks == [
        Record(1, 'a "name"', DISK, 1, 1 * MS, 3 * MS, 0.0, "done", ()),
        Record(2, "add", other, 1, 4 * MS, 5.5 * MS, 2 * MS, "failed", (1,)),
        Record(3, "mul", other, 0, 6 * MS, 6 * MS, 2 * MS, "failed", (1, 2)),
    ]
    assert (trace.items, trace.marks) == ([(5 * MS, 2)], [(7 * MS, "stop")])
    assert (trace.damaged, trace.whole) == (0, True)
    assert (trace.span, trace.length, trace.last) == ((0.0, 6 * MS), 6 * MS, 9 * MS)


def test_long_task_is_there_before_it_ends(scribe: Scribe) -> None:
    scribe.began(1, 1, "long")
    scribe.lines.look(0.9)  # less than a second
    scribe.lines.look(1.5)
    scribe.lines.look(1.6)  # less than a second after the last
    times = [event["args"]["time"] for event in scribe.events() if event.get("name") == "smqexec_alive"]
    assert times == [1500 * MS]
    # So it looks if the program is killed here.
    trace = scribe.read()
    assert trace.tasks == [Record(1, "long", DISK, 1, 1 * MS, 1500 * MS, 0.0, "running", ())]
    assert not trace.whole
    scribe.note("end", 2000, 1, "done")
    assert not (scribe.lines._running or scribe.lines._facts), "of ended tasks"
    scribe.lines.look(3)
    assert "smqexec_alive" not in scribe.lines.lines[-1], "nothing runs"
    scribe.finish(3100)
    trace = scribe.read()
    assert [(task.number, task.start, task.end) for task in trace.tasks] == [(1, 1 * MS, 2000 * MS)]
    check_format(scribe.events())


@pytest.mark.parametrize(("torn", "end"), [(False, 60), (True, 50)])
def test_what_runs_at_the_end_ends_with_the_file(scribe: Scribe, torn: bool, end: float) -> None:
    scribe.ran(1, 1, 50)
    scribe.began(2, 2, "unended", 1, worker=8)
    if not torn:
        scribe.finish(60)
    assert scribe.read().tasks[1:] == [Record(2, "unended", DISK, 2, 2 * MS, end * MS, 0.0, "running", (1,))]


def test_task_of_before_the_recording(scribe: Scribe) -> None:
    scribe.lines.add(("submit", None, 1, scribe.disk, (9,), "early"))
    scribe.note("start", 3, 1, 7)
    scribe.note("submit", 3, 1, "early", ())  # its submit had begun before the recording
    scribe.lines.add(("submit", None, 2, scribe.disk, (), "pending"))
    scribe.note("start", 4, 1, 7)  # its start had begun before the recording
    scribe.note("end", 5, 1, "done")
    scribe.note("start", 6, 2, 7)
    scribe.note("end", 7, 2, "done")
    scribe.note("item", 7, 3, 0)  # of an unknown task
    scribe.note("end", 8, 3, "done")
    trace = scribe.read()
    assert [(task.number, task.submitted, task.dependencies) for task in trace.tasks] == [
        (1, None, (9,)),
        (2, None, ()),
    ]
    assert trace.span[0] == trace.tasks[0].start
    assert trace.items == [] and not trace.damaged


def test_rows_are_of_workers(scribe: Scribe) -> None:
    """Of a slot of an engine by its name; nested tasks share the row of their thread."""
    scribe.began(1, 1, "outer")
    scribe.ran(2, 2, 3)
    scribe.note("end", 4, 1, "done")
    for number, worker in ((3, "slot 1"), (4, "slot 2"), (5, "slot 1")):
        scribe.ran(number, number, number + 0.5, worker=worker)
    assert {task.number: task.thread for task in scribe.read().tasks} == {1: 1, 2: 1, 3: 2, 4: 3, 5: 2}
    names = [event["args"]["name"] for event in scribe.events() if event.get("name") == "thread_name"]
    assert names == ["worker 1", "slot 1", "slot 2"]
    check_format(scribe.events())


def test_long_chain(scribe: Scribe) -> None:
    n = 20_000
    for number in range(1, n + 1):
        scribe.ran(number, number, number + 0.5, number - 1)
    scribe.finish(n)
    trace = scribe.read()
    assert len(trace.tasks) == len(trace.critical) == n


# Reading.


def test_file_torn_at_each_place_can_be_read(scribe: Scribe) -> None:
    scribe.ran(1, 1, 2, name="\u00e4")
    scribe.ran(2, 2, 3, 1)
    scribe.note("submit", 3, 3, "long")
    scribe.note("start", 3, 3, 7)
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
        '"text"',
        '{"ph":"B"}',
        '{"ph":"M","name":"other","args":1}',
        '{"ph":"B","ts":0,"pid":7,"tid":1,"name":"fn","args":{"number":2,"dependencies":[]}}',
        '{"ph":"E","args":{"number":9}}',
        '{"a":' * 100_000,
    ],
)
def test_line_that_is_no_event_of_ours_is_counted(scribe: Scribe, line: str) -> None:
    scribe.ran(1, 1, 2)
    scribe.lines.lines.append(line + ",")
    trace = scribe.read()
    assert (len(trace.tasks), trace.damaged) == (1, 1)


@pytest.mark.parametrize("text", ["", "[", "{}", "hello\n", '[\n{"ph":"M","name":"other"}\n]', None])
def test_file_of_others_is_refused(
    scribe: Scribe, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    if text is not None:
        scribe.path.write_text(text, encoding="utf-8")
    assert main([str(scribe.path), "--text"]) == 1
    error = "No such file" if text is None else "run.json is not a trace that smqexec wrote"
    assert error in capsys.readouterr().err


# What follows from it.


PATHS = {
    # 1 (2 ms) -- 3 (1 ms) -- 5 (1 ms)
    #            /           /
    # 2 (3 ms) -            /
    # 4 (3 ms) -------------     6 (3.5 ms) alone
    "the chain that ran longest": (
        [(1, 0, 2), (2, 0, 3), (3, 3, 4, 1, 2), (4, 0, 3), (5, 4, 5, 3, 4), (6, 0, 3.5)],
        [2, 3, 5],
    ),
    # Task 2 needs an item of 1, and ran beside it: 9 + 1 ms, less than the 10.5 of task 3 alone.
    "the time of two counts once": ([(1, 0, 9), (2, 1, 10, 1), (3, 0, 10.5)], [3]),
    # Task 1 needs an item of 2, which was observed later and ends later.
    "by ends": ([(1, 1, 4, 2), (2, 0, 5)], [2]),
    "by starts": ([(1, 1, 4, 2), (2, 0, 5), (3, 4, 7, 1)], [2, 1, 3]),
}


@pytest.mark.parametrize(("tasks", "path"), PATHS.values(), ids=PATHS.keys())
def test_critical_path(scribe: Scribe, tasks: Any, path: list[int]) -> None:
    for number, start, end, *needs in tasks:
        scribe.ran(number, start, end, *needs, worker=number)
    assert [task.number for task in scribe.read().critical] == path


def test_critical_path_leaves_out_what_never_ran(scribe: Scribe) -> None:
    scribe.note("submit", 0, 1, "dropped", (77,))
    scribe.note("end", 1, 1, "cancelled")
    trace = scribe.read()
    assert len(trace.tasks) == 1 and trace.critical == []
    assert (Trace().critical, Trace().span) == ([], (0.0, 0.0))


# The command line.


@pytest.fixture
def shown(scribe: Scribe, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    def show() -> str:
        scribe.read()
        assert main([str(scribe.path), "--text"]) == 0
        return capsys.readouterr().out.replace(str(scribe.path), "run.json")

    return show


def test_text(scribe: Scribe, shown: Callable[[], str]) -> None:
    cpu = Slots(name="cpu", width=1)
    scribe.ran(1, 1, 3, name="read")
    scribe.ran(2, 1, 2000, name="read", worker=8)
    scribe.ran(3, 2000, 3000, 1, 2, name="x\x1b[31m" + "y" * 60, queue=cpu)
    scribe.note("submit", 0, 4, "both", (3,), cpu)
    scribe.note("end", 3000, 4, "cancelled", queue=cpu)
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
    scribe.began(1, 1, "hangs")
    for number in range(2, 20):
        scribe.ran(number, 10 * number, 10 * number + 5, number - 1 if number > 2 else 99, worker=8)
    scribe.lines.look(2.0)
    scribe.lines.lines.append('{"ph":"B","pi')
    text = shown()
    assert "the recording was not closed, 1 unreadable line" in text
    heads = "       queue  number  began at  ran for"
    assert f"Still running\n\n{heads}\nhangs   disk       1   1.00 ms   2.00 s" in text
    assert "Critical path: 18 tasks" in text and "; the 10 longest of them" in text
    assert text.partition("10 longest")[2].count("fn ") == 10


def test_text_of_nothing_of_no_time_and_of_more_workers_than_slots(
    scribe: Scribe, shown: Callable[[], str]
) -> None:
    assert shown().startswith("run.json: 0 tasks in 0 \u00b5s, 0 queues")
    scribe.disk.width = 1
    scribe.ran(1, 0, 0, worker=1)
    scribe.ran(2, 0, 0, 1, worker=2)
    assert "\ndisk      2    2       0    0%\n" in shown()


def test_terminal_that_cannot_show_a_name_gets_its_escape(
    scribe: Scribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    scribe.ran(1, 1, 2, name="r\u00f6ntgen\udcff")
    scribe.read()
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert main([str(scribe.path)]) == 0
    assert rb"r\xf6ntgen\udcff " in raw.getvalue()


@pytest.mark.parametrize(("target", "message"), [("pipe", ""), ("/dev/full", "No space left on device")])
def test_output_that_cannot_be_written(
    scribe: Scribe,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    target: str,
    message: str,
) -> None:
    scribe.read()
    if target == "pipe":
        reader, writer = os.pipe()
        os.close(reader)  # as `head` does
    elif os.path.exists(target):
        writer = os.open(target, os.O_WRONLY)
    else:
        pytest.skip("no device that is full")
    with open(writer, "w", encoding="utf-8") as file:  # at its end nothing is left to be written
        monkeypatch.setattr(sys, "stdout", file)
        assert main([str(scribe.path)]) == 1
    errors = capsys.readouterr().err
    assert message in errors and errors.count("\n") == bool(message)
