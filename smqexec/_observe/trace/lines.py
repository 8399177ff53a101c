"""The format of a trace file: events in, lines out.

It is Chrome's trace event format, which Perfetto and chrome://tracing open, as an
array with one event a line:
https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.
Times are microseconds since the recording began.  A process of the trace is a
queue, its threads are the queue's workers; process 0 is the recording itself.

=======================  ==================================================================
``M`` smqexec            the first line: versions, machine, time of day
``M`` smqexec_queue      a queue: name, slots, order; with ``process_name`` and ``_sort_index``
``M`` thread_name        a worker
``X`` of cat task        a task that ran, once it has ended; a long one is ``B``, and ``E`` later
``i`` of cat dropped     a task that ended and never ran
``i`` of cat item        a value of a generator task
``i`` of cat scheduler   a stop or resume
``M`` smqexec_alive      the time, once a second while something runs
``M`` smqexec_end        the last line, if the recording was closed
=======================  ==================================================================

No threads, files or clocks here.
"""

from __future__ import annotations

import json
from functools import lru_cache
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from ..._core.state import QueueState

LONG = 1e6  # microseconds after which the beginning of a task that still runs is written

#: Kind and time of an event, in seconds; the number and queue of its task; the name, worker, index
#: or outcome, by its kind; at a submit, the dependencies.
Note = tuple[str, float, int, Any, Any, tuple[int, ...]]

_quoted = lru_cache(1 << 12)(json.dumps)


class _Row:
    """A worker of a queue: a thread of the trace."""

    __slots__ = ("place", "tasks")

    def __init__(self, pid: int, tid: int) -> None:
        self.place = f'"pid":{pid},"tid":{tid}'
        self.tasks = 0  # how many it runs: more than one if they are nested


class _Queue:
    """A queue: a process of the trace."""

    __slots__ = ("pid", "rows")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.rows: dict[int | str | None, list[_Row]] = {}  # by worker


class _Task:
    """A task that has not ended."""

    __slots__ = ("begun", "head", "row", "start")

    row: _Row  # this and what follows: once it has started
    start: float  # in microseconds
    begun: bool  # its beginning is written

    def __init__(self, head: str) -> None:
        self.head = head  # the part of its line that is known at the submit


class Lines:
    """The lines of a trace that began at *began*, from the events in the order in which they are told."""

    def __init__(self, began: float) -> None:
        self._began = began
        self.lines: list[str] = ["["]  # to be written next
        self._queues: WeakKeyDictionary[QueueState, _Queue] = WeakKeyDictionary()
        self._looked = 0.0  # when the time was last added, in microseconds
        self._pids = count(1)
        self._submitted: dict[int, _Task] = {}  # by number, as the next
        self._running: dict[int, _Task] = {}

    def micros(self, time: float) -> float:
        """*time* as the trace has it."""
        return (time - self._began) * 1e6

    def meta(self, name: str, pid: int = 0, tid: int = 0, /, **args: object) -> None:
        """Add a line about the trace itself."""
        event = {"ph": "M", "name": name, "pid": pid, "tid": tid, "args": args}
        self.lines.append(json.dumps(event, separators=(",", ":")) + ",")

    def add(self, note: Note) -> None:
        """Add the lines for an event."""
        kind, time, number, slots, detail, needs = note
        at = (time - self._began) * 1e6
        if kind == "submit":
            self.submitted(f"{at:.3f}", number, detail, needs)
        elif kind == "start":
            self.started(at, number, slots, detail)
        elif kind == "end":
            self._end(at, number, slots, detail)
        elif kind == "item":
            task = self._running.get(number)
            if task is not None:
                self.lines.append(
                    f'{{"ph":"i","s":"t",{task.row.place},"ts":{at:.3f},"cat":"item","name":"item {detail}",'
                    f'"args":{{"number":{number},"item":{detail}}}}},'
                )
        else:
            self.lines.append(
                f'{{"ph":"i","s":"g","pid":0,"tid":0,"ts":{at:.3f},"cat":"scheduler","name":"{kind}"}},'
            )

    def submitted(self, at: str, number: int, name: str, needs: tuple[int, ...]) -> None:
        """Note that a task was submitted *at* so many microseconds; "null": before the recording began."""
        head = (
            f'"name":{_quoted(name)},"args":{{"number":{number},"submitted":{at},'
            f'"dependencies":{[*needs]},"outcome":"'
        )
        if number not in self._running:  # else the recording began in the middle of its submit
            self._submitted[number] = _Task(head)

    def started(self, at: float, number: int, slots: QueueState, worker: int | str | None) -> None:
        """Note that a task started *at* so many microseconds."""
        task = self._submitted.pop(number, None)
        if task is not None:  # else its submit was interrupted
            task.row, task.start, task.begun = self._row(slots, worker), at, False
            task.row.tasks += 1
            self._running[number] = task

    def _end(self, end: float, number: int, slots: QueueState, outcome: str) -> None:
        task = self._running.pop(number, None)
        if task is None:
            task = self._submitted.pop(number, None)
            if task is not None:
                self.lines.append(
                    f'{{"ph":"i","s":"p","pid":{self._queue(slots).pid},"tid":0,"ts":{end:.3f},'
                    f'"cat":"dropped",{task.head}{outcome}"}}}},'
                )
            return
        row = task.row
        row.tasks -= 1
        if task.begun:
            self.lines.append(
                f'{{"ph":"E",{row.place},"ts":{end:.3f},'
                f'"cat":"task","args":{{"number":{number},"outcome":"{outcome}"}}}},'
            )
        else:
            self.lines.append(
                f'{{"ph":"X",{row.place},"ts":{task.start:.3f},"dur":{end - task.start:.3f},'
                f'"cat":"task",{task.head}{outcome}"}}}},'
            )

    def look(self, time: float) -> None:
        """Add the beginnings of what has run for long at *time*; and that time, while something runs.

        So a reader knows how long a program was alive that was killed while its tasks hung.
        """
        at = self.micros(time)
        self._begin(at - LONG)
        if self._running and at - self._looked >= LONG:
            self._looked = at
            self.meta("smqexec_alive", time=round(at, 3))

    def finish(self, time: float) -> None:
        """Add the beginnings of what still runs, and the end."""
        self._begin(inf)
        self.meta("smqexec_end", time=round(self.micros(time), 3))
        self.lines[-1] = self.lines[-1].rstrip(",")
        self.lines.append("]")

    def _begin(self, until: float) -> None:
        """Add the beginnings of the running tasks that started before *until*, in microseconds."""
        for task in self._running.values():
            if not task.begun and task.start <= until:
                task.begun = True
                self.lines.append(
                    f'{{"ph":"B",{task.row.place},"ts":{task.start:.3f},"cat":"task",{task.head}running"}}}},'
                )

    def _queue(self, slots: QueueState) -> _Queue:
        queue = self._queues.get(slots)
        if queue is None:
            pid = next(self._pids)
            queue = self._queues[slots] = _Queue(pid)
            self.meta("smqexec_queue", pid, name=slots.name, slots=slots.width, order=slots.scheduler.order)
            self.meta("process_name", pid, name=slots.name)
            self.meta("process_sort_index", pid, sort_index=pid)
        return queue

    def _row(self, slots: QueueState, worker: int | str | None) -> _Row:
        """The row for one more task of *worker*: a thread has one, as its tasks nest; else a free one."""
        queue = self._queue(slots)
        rows = queue.rows.setdefault(worker, [])
        for row in rows:
            if not row.tasks or type(worker) is int:
                return row
        tid = 1 + sum(map(len, queue.rows.values()))
        rows.append(_Row(queue.pid, tid))
        self.meta("thread_name", queue.pid, tid, name=f"worker {tid}" if type(worker) is int else worker)
        return rows[-1]
