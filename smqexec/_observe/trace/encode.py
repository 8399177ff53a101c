"""The format of a trace file: notes of events in, lines out.

It is Chrome's trace event format, which Perfetto and chrome://tracing open, as an array with one event a
line: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.  Times are
microseconds since the recording began.  A process of the trace is a queue, its threads are the queue's
workers; process 0 is the recording itself.

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

Pure: no threads, files or clocks.  One thread at a time uses an `Encoder`: see `Recording`.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Any
from weakref import ref

if TYPE_CHECKING:
    from ..._core.queue_state import QueueState

LONG = 1e6  # microseconds after which the beginning of a task that still runs is written

#: The kind and time, in seconds, of an event; the number and queue of its task; the name, worker,
#: index or outcome, by its kind; at a submit, the numbers of the dependencies.
Note = tuple[str, float, int, Any, Any, tuple[int, ...]]

_quoted = lru_cache(1 << 12)(json.dumps)


class _Row:
    """A worker of a queue: a thread of the trace."""

    __slots__ = ("place", "tasks")

    def __init__(self, pid: int, tid: int) -> None:
        self.place = f'"pid":{pid},"tid":{tid}'
        self.tasks = 0  # how many tasks it runs: several if they are nested


class Encoder:
    """Makes lines of the events of a trace that began at *began*, in the order in which they are added."""

    def __init__(self, began: float) -> None:
        self._began = began
        self.lines: list[str] = ["["]  # to be written next
        self._pids: dict[ref[QueueState], int] = {}
        # By process and worker.  An executor's worker has several rows if it runs several tasks at a time.
        self._rows: dict[tuple[int, int | str | None], list[_Row]] = {}
        self._tids: Counter[int] = Counter()  # how many rows each process has
        # The pending and running tasks, by number: the part of their lines that is known at the submit.  A
        # dictionary of numbers and strings, which the garbage collector need not visit.
        self._facts: dict[int, str] = {}
        self._running: dict[int, tuple[_Row, float]] = {}  # by number: the row, and the start in microseconds
        self._begun: set[int] = set()  # running tasks whose ``B`` was written
        self._alive = 0.0  # when the last ``smqexec_alive`` was added, in microseconds

    def micros(self, time: float) -> float:
        """Return *time*, in seconds, as the trace has it."""
        return (time - self._began) * 1e6

    def meta(self, name: str, pid: int = 0, tid: int = 0, /, **args: object) -> None:
        """Add a line about the trace itself."""
        event = {"ph": "M", "name": name, "pid": pid, "tid": tid, "args": args}
        self.lines.append(json.dumps(event, separators=(",", ":")) + ",")

    def add(self, note: Note) -> None:
        """Add the lines for an event."""
        kind, time, number, queue, detail, needs = note
        at = (time - self._began) * 1e6
        if kind == "submit":
            self.submitted(at, number, detail, needs)
        elif kind == "start":
            self.started(at, number, queue, detail)
        elif kind == "end":
            self._ended(at, number, queue, detail)
        elif kind == "item":
            running = self._running.get(number)
            if running is not None:
                self.lines.append(
                    f'{{"ph":"i","s":"t",{running[0].place},"ts":{at:.3f},"cat":"item",'
                    f'"name":"item {detail}","args":{{"number":{number},"item":{detail}}}}},'
                )
        else:
            self.lines.append(
                f'{{"ph":"i","s":"g","pid":0,"tid":0,"ts":{at:.3f},"cat":"scheduler","name":"{kind}"}},'
            )

    def submitted(self, at: float | None, number: int, name: str, needs: tuple[int, ...]) -> None:
        """Note that a task was submitted *at* so many microseconds; None: before the recording began."""
        if number not in self._running:  # else the recording began in the middle of its submit
            self._facts[number] = (
                f'"name":{_quoted(name)},"args":{{"number":{number},'
                f'"submitted":{"null" if at is None else format(at, ".3f")},'
                f'"dependencies":{[*needs]},"outcome":"'
            )

    def started(self, at: float, number: int, queue: QueueState, worker: int | str | None) -> None:
        """Note that a task started *at* so many microseconds."""
        if number in self._facts and number not in self._running:  # else its submit was interrupted
            row = self._row(queue, worker)
            row.tasks += 1
            self._running[number] = row, at

    def _ended(self, at: float, number: int, queue: QueueState, outcome: str) -> None:
        facts = self._facts.pop(number, None)
        if facts is None:  # its submit was interrupted
            return
        running = self._running.pop(number, None)
        if running is None:
            place = f'"pid":{self._pid(queue)},"tid":0,"ts":{at:.3f},"cat":"dropped"'
            self.lines.append(f'{{"ph":"i","s":"p",{place},{facts}{outcome}"}}}},')
            return
        row, start = running
        row.tasks -= 1
        if number in self._begun:
            self._begun.remove(number)
            self.lines.append(
                f'{{"ph":"E",{row.place},"ts":{at:.3f},'
                f'"cat":"task","args":{{"number":{number},"outcome":"{outcome}"}}}},'
            )
        else:
            self.lines.append(
                f'{{"ph":"X",{row.place},"ts":{start:.3f},"dur":{at - start:.3f},'
                f'"cat":"task",{facts}{outcome}"}}}},'
            )

    def look(self, time: float) -> None:
        """Add the beginnings of tasks that have run for long at *time*; and the time, if any task runs.

        The time shows how long a program was alive that was killed while its tasks hung.
        """
        at = self.micros(time)
        self._begin(at - LONG)
        if self._running and at - self._alive >= LONG:
            self._alive = at
            self.meta("smqexec_alive", time=round(at, 3))

    def finish(self, time: float) -> None:
        """Add the beginnings of the tasks that still run, and the end."""
        self._begin(inf)
        self.meta("smqexec_end", time=round(self.micros(time), 3))
        self.lines[-1] = self.lines[-1].rstrip(",")
        self.lines.append("]")

    def _begin(self, until: float) -> None:
        """Add the beginnings of the running tasks that started before *until*, in microseconds."""
        for number, (row, start) in self._running.items():
            if start <= until and number not in self._begun:
                self._begun.add(number)
                self.lines.append(
                    f'{{"ph":"B",{row.place},"ts":{start:.3f},'
                    f'"cat":"task",{self._facts[number]}running"}}}},'
                )

    def _pid(self, queue: QueueState) -> int:
        """Return the number of *queue*."""
        pid = self._pids.get(ref(queue))
        if pid is None:
            pid = self._pids[ref(queue)] = len(self._pids) + 1
            self.meta("smqexec_queue", pid, name=queue.name, slots=queue.width, order=queue.scheduler.order)
            self.meta("process_name", pid, name=queue.name)
            self.meta("process_sort_index", pid, sort_index=pid)
        return pid

    def _row(self, queue: QueueState, worker: int | str | None) -> _Row:
        """Return the row for one more task of *worker*.  A thread has one row: its tasks nest."""
        pid = self._pid(queue)
        for row in self._rows.get((pid, worker), ()):
            if not row.tasks or type(worker) is int:
                return row
        self._tids[pid] += 1
        tid = self._tids[pid]
        self.meta("thread_name", pid, tid, name=f"worker {tid}" if type(worker) is int else worker)
        row = _Row(pid, tid)
        self._rows.setdefault((pid, worker), []).append(row)
        return row
