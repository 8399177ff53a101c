"""Read a trace file as records.

The format is that of ``encode``: one event a line.  A line that is no such event, as the last one of
a killed program may be, is counted and left out.  All times are microseconds since the recording began.
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


class QueueRecord(NamedTuple):
    """A queue."""

    pid: int  # its number in the file, from 1
    name: str
    slots: int


class Record(NamedTuple):
    """A task that ended, or was running at the end of the file."""

    number: int
    name: str
    queue: QueueRecord
    thread: int  # the worker's number within the queue, from 1; 0: the task never ran
    start: float
    end: float  # of a task that never ran: `start`; of one that was running: the last time in the file
    submitted: float | None  # None: before the recording began
    outcome: str  # one of OUTCOMES
    dependencies: tuple[int, ...]  # numbers of tasks, which the file may not have

    @property
    def length(self) -> float:
        """The time for which the task ran."""
        return self.end - self.start


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
    """The records of a trace file; the critical path and the final results follow from them."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}  # the versions, the machine, the time of day
        self.queues: dict[int, QueueRecord] = {}  # by `pid`
        self.ended: list[Record] = []  # the tasks that ended, in that order
        self.running: dict[int, Record] = {}  # by number: the tasks that had started and not ended
        self.items: list[ItemRecord] = []
        self.marks: list[Mark] = []
        self.last = 0.0  # the last time in the file
        self.whole = False  # the recording was closed
        self.damaged = 0  # lines that could not be read

    def add(self, event: dict[str, Any]) -> None:
        """Enter *event*, a line of the file.  Events of other programs change nothing."""
        phase, category, args = event["ph"], event.get("cat"), event.get("args", {})
        at = event.get("ts", 0.0)
        end = at + event.get("dur", 0.0)
        if phase == "X" or category == "dropped":
            self.ended.append(self._record(event, end, args["outcome"]))
        elif phase == "B":
            self.running[args["number"]] = self._record(event, end, "running")
        elif phase == "E":
            self.ended.append(self.running.pop(args["number"])._replace(end=at, outcome=args["outcome"]))
        elif category == "item":
            self.items.append(ItemRecord(at, args["number"], args["item"]))
        elif category == "scheduler":
            self.marks.append(Mark(at, event["name"]))
        elif event["name"] == "smqexec":
            self.facts = args
        elif event["name"] == "smqexec_queue":
            self.queues[event["pid"]] = QueueRecord(event["pid"], args["name"], args["slots"])
        elif event["name"] == "smqexec_end":
            self.whole = True
        self.last = max(self.last, end, args.get("time", 0.0))

    def _record(self, event: dict[str, Any], end: float, outcome: str) -> Record:
        args = event["args"]
        place = args["number"], event["name"], self.queues[event["pid"]], event["tid"]
        return Record(*place, event["ts"], end, args["submitted"], outcome, tuple(args["dependencies"]))

    @cached_property
    def tasks(self) -> list[Record]:
        """All tasks; the running ones come last."""
        return [*self.ended, *(task._replace(end=self.last) for task in self.running.values())]

    @cached_property
    def span(self) -> tuple[float, float]:
        """From the first submission, or start, to the last end."""
        begins = (
            task.start if task.submitted is None else min(task.submitted, task.start) for task in self.tasks
        )
        return min(begins, default=0.0), max((task.end for task in self.tasks), default=0.0)

    @cached_property
    def rows(self) -> dict[tuple[QueueRecord, int], list[Record]]:
        """The tasks by queue and thread.  Each queue begins with thread 0: the tasks that never ran."""
        rows: dict[tuple[QueueRecord, int], list[Record]] = {(queue, 0): [] for queue in self.queues.values()}
        for task in self.tasks:
            rows.setdefault((task.queue, task.thread), []).append(task)
        return dict(sorted(rows.items()))

    @property
    def length(self) -> float:
        """The time from the first submission, or start, to the last end."""
        return self.span[1] - self.span[0]

    @cached_property
    def sinks(self) -> list[Record]:
        """The tasks that ended and that no other task depends on, in the order of their ends."""
        needed = {number for task in self.tasks for number in task.dependencies}
        return sorted((task for task in self.ended if task.number not in needed), key=attrgetter("end"))

    @cached_property
    def critical(self) -> list[Record]:
        """The critical path: the chain of dependencies that ran longest, first task first.

        If a task starts before its dependency has ended, since an item is enough, the time in which
        both ran counts once.  Cost: one step for each dependency.
        """
        ran = {task.number: task for task in sorted(self.ended, key=attrgetter("number")) if task.thread}
        length: dict[int, float] = {}  # of the longest chain that ends with the task
        before: dict[int, int | None] = {}  # the task before it in that chain
        for task in ran.values():  # its dependencies have smaller numbers
            longest, last = 0.0, None
            for number in task.dependencies:
                if number in length:
                    other = ran[number]
                    chain = length[number] - max(other.end - max(other.start, task.start), 0.0)
                    if last is None or chain > longest:
                        longest, last = chain, number
            length[task.number] = longest + task.length
            before[task.number] = last
        path: list[Record] = []
        at = max(length, key=length.__getitem__, default=None)
        while at is not None:
            path.append(ran[at])
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
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            text = line.strip().rstrip(",")
            if text in ("[", "]", ""):
                continue
            try:
                trace.add(json.loads(text))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                trace.damaged += 1
    if not trace.facts:
        raise ValueError(f"{os.fspath(path)} is not a trace that smqexec wrote")
    return trace
