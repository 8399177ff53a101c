"""Read a trace file as records.

The format is that of ``encode``: one event a line.  A line that can't be read, such as
the last one of a killed program, is counted and left out.  All times are microseconds
since the recording began.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from functools import cached_property
from math import inf
from operator import attrgetter
from typing import Any, NamedTuple

OUTCOMES = ("done", "failed", "cancelled", "running")
LATEST = 1e15  # microseconds: 31 years


class Record(NamedTuple):
    """A task that ended, or was running at the end of the file."""

    number: int
    name: str
    queue: int  # the `pid` of its queue
    thread: int | None  # the worker's number within the queue, from 1; None: the task never ran
    start: float
    end: float  # of a task that never ran: `start`; of one that was running: the last time in the file
    submitted: float | None  # None: before the recording began
    outcome: str  # one of OUTCOMES
    dependencies: tuple[int, ...]  # numbers of tasks, which the file may not have

    @property
    def seconds(self) -> float:
        """The time for which the task ran."""
        return (self.end - self.start) / 1e6


class QueueRecord(NamedTuple):
    """A queue."""

    pid: int  # its number in the file, from 1
    name: str
    slots: int


class ItemRecord(NamedTuple):
    """A value of a generator task."""

    at: float
    task: int
    index: int  # type: ignore[assignment]  # not the method of a tuple


class Mark(NamedTuple):
    """A stop or a resume of a scheduler."""

    at: float
    name: str  # "stop" or "resume"


class Trace:
    """The records of a trace file, and what follows from them."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}  # the versions, the machine, the time of day
        self.queues: list[QueueRecord] = []
        self.tasks: list[Record] = []  # the tasks that ended, in that order
        self.running: list[Record] = []  # the tasks that had started and not ended
        self.items: list[ItemRecord] = []
        self.marks: list[Mark] = []
        self.whole = False  # the recording was closed
        self.damaged = 0  # lines that could not be read

    @cached_property
    def span(self) -> tuple[float, float]:
        """From the first submission, or start, to the last end."""
        tasks = [*self.tasks, *self.running]
        begins = [task.start if task.submitted is None else min(task.submitted, task.start) for task in tasks]
        return min(begins, default=0.0), max((task.end for task in tasks), default=0.0)

    @cached_property
    def sinks(self) -> list[Record]:
        """The tasks that no other task depends on, in the order in which they ended: the final results."""
        needed = {number for task in (*self.tasks, *self.running) for number in task.dependencies}
        sinks = [task for task in self.tasks if task.number not in needed]
        return sorted(sinks, key=attrgetter("end"))

    @cached_property
    def critical(self) -> list[int]:
        """The numbers of the critical path: the chain of dependencies that ran longest, first task first.

        If a task starts before its dependency has ended, since an item is enough, the time in which
        both ran counts once.  Cost: one step for each dependency.
        """
        ran = sorted((task for task in self.tasks if task.thread is not None), key=attrgetter("number"))
        by_number = {task.number: task for task in ran}
        length: dict[int, float] = {}  # of the longest chain that ends with the task
        before: dict[int, int | None] = {}
        for task in ran:  # what it depends on has smaller numbers
            longest, last = 0.0, None
            for number in task.dependencies:
                other = by_number.get(number)
                if other is None or number not in length:
                    continue
                chain = length[number] - max(other.end - max(other.start, task.start), 0.0)
                if last is None or chain > longest:
                    longest, last = chain, number
            length[task.number] = longest + task.end - task.start
            before[task.number] = last
        path: list[int] = []
        at = max(length, key=length.__getitem__, default=None)
        while at is not None:
            path.append(at)
            at = before[at]
        return path[::-1]


def busy(tasks: Iterable[Record]) -> float:
    """Return how long at least one of *tasks*, all of one thread, was running."""
    total, until = 0.0, -inf
    for task in sorted(tasks, key=attrgetter("start")):
        total += max(task.end - max(task.start, until), 0.0)
        until = max(until, task.end)
    return total


def read(path: str | os.PathLike[str]) -> Trace:
    """Read the trace file at *path*.

    Raises:
        OSError: It can't be opened.
        ValueError: It is not a trace of smqexec.

    Cost: some 5 µs for each task, and for each dependency.
    """
    trace = Trace()
    begun: dict[int, Record] = {}  # tasks of which only the beginning was read
    last = 0.0
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            text = line.strip().rstrip(",")
            if text in ("[", "]", ""):
                continue
            try:
                event = json.loads(text)
                at = _time(event.get("ts", 0.0)) + _time(event.get("dur", 0.0))
                closed = _time(event.get("args", {}).get("time", 0.0))
                _take(trace, begun, event)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                trace.damaged += 1
            else:
                last = max(last, at, closed)
    if not trace.facts:
        raise ValueError(f"{os.fspath(path)} is not a trace that smqexec wrote")
    trace.running += [task._replace(end=last) for task in begun.values()]
    return trace


def _take(trace: Trace, begun: dict[int, Record], event: dict[str, Any]) -> None:
    """Enter *event*, whose times are valid.  Events that smqexec does not write change nothing."""
    phase, category, args = event["ph"], event.get("cat"), event.get("args", {})
    if phase == "X":
        trace.tasks.append(_record(event, event["ts"] + event["dur"], args["outcome"]))
    elif phase == "B":
        begun[_number(args["number"])] = _record(event, event["ts"], "running")
    elif phase == "E":
        ended = begun[_number(args["number"])]._replace(end=event["ts"], outcome=_outcome(args["outcome"]))
        trace.tasks.append(ended)
        del begun[ended.number]
    elif category == "dropped":
        trace.tasks.append(_record(event, event["ts"], args["outcome"], ran=False))
    elif category == "item":
        trace.items.append(ItemRecord(event["ts"], _number(args["number"]), _number(args["item"])))
    elif category == "scheduler":
        trace.marks.append(Mark(event["ts"], _text(event["name"])))
    elif event["name"] == "smqexec":
        trace.facts = dict(args)
    elif event["name"] == "smqexec_queue":
        queue = QueueRecord(_number(event["pid"]), _text(args["name"]), _number(args["slots"]))
        trace.queues.append(queue)
    elif event["name"] == "smqexec_end":
        trace.whole = True


def _record(event: dict[str, Any], end: float, outcome: object, ran: bool = True) -> Record:
    args = event["args"]
    thread = _number(event["tid"]) if ran else None
    submitted = None if args["submitted"] is None else _time(args["submitted"])
    needs = tuple(map(_number, args["dependencies"]))
    # In the order of the fields.
    place = (_number(args["number"]), _text(event["name"]), _number(event["pid"]), thread)
    return Record(*place, event["ts"], end, submitted, _outcome(outcome), needs)


# Checks of the values of a line: any program may have written it.


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 32:
        raise ValueError(f"not the number of a task, queue, thread or item: {value!r}")
    return value


def _time(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) < LATEST:
        raise ValueError(f"not a time: {value!r}")
    return value  # type: ignore[no-any-return]


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f"not a text: {value!r}")
    return value


def _outcome(value: Any) -> str:
    if value not in OUTCOMES:
        raise ValueError(f"not an outcome: {value!r}")
    return value  # type: ignore[no-any-return]
