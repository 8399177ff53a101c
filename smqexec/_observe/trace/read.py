"""Read a trace file, in the format of ``write``, as records.

A line that is no event, as the last one of a killed program may be, is counted and left out.  All times are
microseconds since the recording began.
"""

import json
import os
from collections.abc import Iterable
from functools import cached_property
from math import inf
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

OUTCOMES = ("done", "failed", "cancelled", "running")


class QueueRecord(NamedTuple):
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
        return self.end - self.start


class Trace:
    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}  # the versions, the machine
        self.queues: dict[int, QueueRecord] = {}  # by `pid`
        self._tasks: dict[int, Record] = {}  # by number; the running ones end as they start
        self.items: list[tuple[float, int]] = []  # of generator tasks: the time, and the number of the task
        self.marks: list[tuple[float, str]] = []  # times, and "stop" or "resume" of a scheduler
        self.last = 0.0  # the last time in the file
        self.whole = False  # the recording was closed
        self.damaged = 0  # lines that could not be read

    def add(self, event: dict[str, Any]) -> None:
        """Enter *event*, a line of the file.  Events of other programs change nothing."""
        phase, category, args, at = event["ph"], event.get("cat"), event.get("args", {}), event.get("ts", 0.0)
        if phase == "B" or category == "dropped":
            place = args["number"], event["name"], self.queues[event["pid"]], event["tid"]
            outcome, needs = args.get("outcome", "running"), tuple(args["dependencies"])
            self._tasks[args["number"]] = Record(*place, at, at, args["submitted"], outcome, needs)
        elif phase == "E":
            number = args["number"]
            self._tasks[number] = self._tasks[number]._replace(end=at, outcome=args["outcome"])
        elif category == "item":
            self.items.append((at, args["number"]))
        elif category == "scheduler":
            self.marks.append((at, event["name"]))
        elif phase == "M" and event["name"] == "smqexec":
            self.facts = args
        elif phase == "M" and event["name"] == "process_name":
            self.queues[event["pid"]] = QueueRecord(event["pid"], args["name"], args["slots"])
        elif phase == "M" and event["name"] == "smqexec_end":
            self.whole = True
        self.last = max(self.last, at, args.get("time", 0.0))

    @cached_property
    def tasks(self) -> list[Record]:
        """All tasks, in the order of their starts."""
        tasks = self._tasks.values()
        return [task._replace(end=self.last) if task.outcome == "running" else task for task in tasks]

    @cached_property
    def span(self) -> tuple[float, float]:
        """From the first submission, or start, to the last end."""
        begins = (task.start if task.submitted is None else task.submitted for task in self.tasks)
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
        return self.span[1] - self.span[0]

    @cached_property
    def critical(self) -> list[Record]:
        """The critical path: the chain of dependencies that ran longest, first task first.

        A task may start before its dependency has ended, if an item is enough: that time counts once.
        """
        # A task starts after its dependencies.
        in_order = sorted(self.tasks, key=attrgetter("start", "number"))
        ran = {task.number: task for task in in_order if task.thread and task.outcome != "running"}
        # How long the longest chain is that ends with the task, and the task before it there; 0: none.
        best: dict[int, tuple[float, int]] = {}
        for task in ran.values():
            chains = [(0.0, 0)]
            for other in (ran[number] for number in task.dependencies if number in best):
                overlap = max(other.end - max(other.start, task.start), 0.0)
                chains.append((best[other.number][0] - overlap, other.number))
            length, before = max(chains, key=itemgetter(0))
            best[task.number] = length + task.length, before
        path: list[Record] = []
        at = max(best, key=best.__getitem__, default=0)
        while at:
            path.append(ran[at])
            at = best[at][1]
        return path[::-1]


def busy(tasks: Iterable[Record]) -> float:
    """Return how long at least one of *tasks*, all of one thread, was running."""
    total, until = 0.0, -inf
    for task in sorted(tasks, key=attrgetter("start")):
        total += max(task.end - max(task.start, until), 0.0)
        until = max(until, task.end)
    return total


def read(path: str | os.PathLike[str]) -> Trace:
    """Read the trace file at *path*; raise a ValueError if smqexec did not write it."""
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
