"""What is told of schedulers, as the lines of a trace file.

The format is Chrome's trace event format, which Perfetto and chrome://tracing
open, as an array with one event a line:
https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.
Times are microseconds since the recording began.  A process of the trace is a
queue, its threads are the workers of that; process 0 is the recording itself.
``_tracefile`` reads it.

=======================  ==================================================================
``M`` smqexec            the first: versions, machine, when it was
``M`` smqexec_queue      a queue: name, slots, order; with ``process_name`` and ``_sort_index``
``M`` thread_name        a worker
``X`` of cat task        a task that ran, once it has ended; a long one is ``B``, and ``E`` later
``i`` of cat dropped     a task that ended and never ran
``s``, ``f``             an arrow along a dependency
``C`` tasks              how many tasks of a queue are waiting, ready, running
``i`` of cat item        a value of a generator task
``i`` of cat scheduler   a stop or resume
``M`` smqexec_end        the last, if the recording was closed
=======================  ==================================================================

No threads, files or clocks here: notes come in, in the order in which observers are
told, and lines go out.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..._slots import Slots

LONG = 1.0  # seconds after which the beginning of a task that still runs is written
KEPT = 1 << 15  # tasks that have ended, from which arrows may still go
NAMES = 1 << 12  # names of tasks that are kept in JSON


# What is noted, in this many values: kind, time, number of the task, and what the kind needs.
WIDTH = 6
SUBMIT, START, ITEM, END, SWITCH, COUNTS = range(6)

_EACH = tuple[Any, Any, Any, Any, Any, Any]


class _Row:
    """A worker of a queue: a thread of the trace."""

    __slots__ = ("place", "slots", "tasks")

    def __init__(self, slots: Slots, pid: int, tid: int) -> None:
        self.slots = slots
        self.place = f'"pid":{pid},"tid":{tid}'
        self.tasks = 0  # that it is at: one, or with nested ones more


class _Queue:
    """A queue: a process of the trace."""

    __slots__ = ("at", "counts", "pid", "rows")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.rows: dict[int | str | None, list[_Row]] = {}  # by worker: some have several
        self.counts: tuple[int, int, int] | None = None  # as last written
        self.at = 0.0  # when that was, in microseconds


class Lines:
    """The lines of a trace that began at *began*.

    What is kept of tasks are numbers and text: the garbage collector has nothing more to look at.
    """

    def __init__(self, began: float) -> None:
        self._began = began
        self.lines: list[str] = ["["]  # those to be written next
        self._queues: dict[Slots, _Queue] = {}
        self._latest: dict[int | str | None, _Row] = {}  # the row that a worker was at last
        self._pids = count(1)
        # Of the tasks that have not ended, by number.
        self._heads: dict[int, str] = {}  # the part of the line that is known when they are submitted
        self._needs: dict[int, tuple[int, ...]] = {}  # what they depend on, if anything
        # Where, since when, whether its beginning was written, when it gave its last item.
        self._running: dict[int, list[Any]] = {}
        # Of the last ones that ran: where, and until when.
        self._ends: dict[int, tuple[_Row, float]] = {}
        self._kept: deque[int] = deque()  # their numbers, oldest first: a dict's first key is dear to find
        self._arrows = count(1)
        self._names: dict[str, str] = {}  # in JSON

    def micros(self, time: float) -> float:
        """*time* as the trace has it."""
        return (time - self._began) * 1e6

    def meta(self, name: str, pid: int = 0, tid: int = 0, /, **args: object) -> None:
        """Add a line that tells about the trace itself."""
        event = {"ph": "M", "name": name, "pid": pid, "tid": tid, "args": args}
        self.lines.append(json.dumps(event, separators=(",", ":")) + ",")

    def add(self, notes: Sequence[Any]) -> None:
        """Add lines for *notes*, a whole number of them.  Times are seconds, as that of the beginning."""
        values = iter(notes)
        each: Iterable[_EACH] = zip(values, values, values, values, values, values, strict=True)
        began, latest = self._began, self._latest
        for kind, time, number, slots, detail, more in each:
            at = (time - began) * 1e6
            if kind == SUBMIT:
                self.submitted(f"{at:.3f}", number, detail, more)
            elif kind == START:
                row = latest.get(detail)
                if row is None or row.slots is not slots or (row.tasks and type(detail) is not int):
                    row = self._row(slots, detail)
                row.tasks += 1
                self._running[number] = [row, at, False, at]
            elif kind == END:
                self._ended(at, number, slots, detail)
            elif kind == COUNTS:
                self._counted(at, slots, detail)
            elif kind == SWITCH:
                self.lines.append(
                    f'{{"ph":"i","s":"g","pid":0,"tid":0,"ts":{at:.3f},"cat":"scheduler","name":"{detail}"}},'
                )
            elif number in self._running:
                running = self._running[number]
                row, running[3] = running[0], at
                self.lines.append(
                    f'{{"ph":"i","s":"t",{row.place},"ts":{at:.3f},"cat":"item","name":"item {detail}",'
                    f'"args":{{"number":{number},"item":{detail}}}}},'
                )

    def submitted(self, at: str, number: int, name: str, needs: tuple[int, ...]) -> None:
        """Note that a task was submitted *at* so many microseconds; "null": before the recording began."""
        quoted = self._names.get(name)
        if quoted is None:
            if len(self._names) >= NAMES:
                self._names.clear()
            quoted = self._names[name] = json.dumps(name)
        listed = "[]"
        if needs:
            self._needs[number] = needs
            listed = f"[{needs[0]}]" if len(needs) == 1 else str([*needs])
        self._heads[number] = (
            f'"name":{quoted},"args":{{"number":{number},"submitted":{at},"dependencies":{listed},"outcome":"'
        )

    def running(self, at: float, number: int, slots: Slots, worker: int | str | None) -> None:
        """Note that a task was running *at* so many microseconds already."""
        self._running[number] = [self._row(slots, worker), at, False, at]

    def _ended(self, end: float, number: int, slots: Slots, outcome: str) -> None:
        head = self._heads.pop(number, None)
        needs = self._needs.pop(number, None) if self._needs else None
        running = self._running.pop(number, None)
        if head is None:  # the noting of its submission was struck
            return
        if running is None:
            self.lines.append(
                f'{{"ph":"i","s":"p","pid":{self._queue(slots).pid},"tid":0,"ts":{end:.3f},'
                f'"cat":"dropped",{head}{outcome}"}}}},'
            )
            return
        row, start, begun, _ = running
        row.tasks -= 1
        started = f"{start:.3f}"
        if begun:
            self.lines.append(
                f'{{"ph":"E",{row.place},"ts":{end:.3f},'
                f'"cat":"task","args":{{"number":{number},"outcome":"{outcome}"}}}},'
            )
        else:
            self.lines.append(
                f'{{"ph":"X",{row.place},"ts":{started},"dur":{end - start:.3f},'
                f'"cat":"task",{head}{outcome}"}}}},'
            )
        if needs is not None:
            self._draw_arrows(needs, row, start, started)
        self._ends[number] = row, end
        self._kept.append(number)
        if len(self._kept) > KEPT:
            del self._ends[self._kept.popleft()]

    def _draw_arrows(self, needs: tuple[int, ...], row: _Row, start: float, started: str) -> None:
        """Add an arrow to a task, which started in *row*, from each of *needs* that is known."""
        for number in needs:
            ended = self._ends.get(number)
            if ended is not None:
                # Within the slice: at its end there is none any more.
                other, tail = ended
                tail = min(tail - 0.002, start)
            elif number in self._running:  # an item was enough
                # Not later than that: it may have ended before the start, and that not been told yet.
                other, _, _, given = self._running[number]
                tail = min(given, start)
            else:
                continue
            arrow = next(self._arrows)
            self.lines.append(
                f'{{"ph":"s","id":{arrow},{other.place},"ts":{tail:.3f},"cat":"dependency","name":"dependency"}},\n'
                f'{{"ph":"f","bp":"e","id":{arrow},{row.place},"ts":{started},"cat":"dependency","name":"dependency"}},'
            )

    def _counted(self, at: float, slots: Slots, counts: tuple[int, int, int]) -> None:
        """Add how many tasks are waiting, ready, running; where they have changed."""
        queue = self._queue(slots)
        if counts != queue.counts:
            queue.counts, queue.at = counts, at
            waiting, ready, running = counts
            self.lines.append(
                f'{{"ph":"C","pid":{queue.pid},"tid":0,"ts":{at:.3f},"name":"tasks",'
                f'"args":{{"waiting":{waiting},"ready":{ready},"running":{running}}}}},'
            )

    # What time alone brings.

    def look_around(self, time: float) -> None:
        """Add the counts of now, and the beginnings of what has run for long; forget queues that are lost.

        Counts that stay the same are written again where tasks have been running for long: so
        long the program was alive.
        """
        self._begin(self.micros(time) - LONG * 1e6)
        for slots, queue in list(self._queues.items()):
            if slots.running and self.micros(time) - queue.at >= LONG * 1e6:
                queue.counts = None
            self._counted(self.micros(time), slots, (slots.waiting, slots.ready, slots.running))
            if slots.lost and not (slots.pending or slots.running):
                del self._queues[slots]
                self._latest = {name: row for name, row in self._latest.items() if row.slots is not slots}

    def finish(self, time: float) -> None:
        """Add the beginnings of what still runs, and the end."""
        self._begin(inf)
        self.meta("smqexec_end", time=round(self.micros(time), 3))
        self.lines[-1] = self.lines[-1].rstrip(",")
        self.lines.append("]")

    def _begin(self, until: float) -> None:
        """Add the beginnings of what started before *until*, in microseconds."""
        for number, running in self._running.items():
            row, start, begun, _ = running
            head = self._heads.get(number)
            if head is not None and not begun and start <= until:
                running[2] = True
                self.lines.append(f'{{"ph":"B",{row.place},"ts":{start:.3f},"cat":"task",{head}running"}}}},')

    # Queues and their workers.

    def _queue(self, slots: Slots) -> _Queue:
        queue = self._queues.get(slots)
        if queue is None:
            pid = next(self._pids)
            queue = self._queues[slots] = _Queue(pid)
            order = slots.scheduler.order
            self.meta("smqexec_queue", pid, name=slots.name, slots=slots.workers, order=order)
            self.meta("process_name", pid, name=slots.name)
            self.meta("process_sort_index", pid, sort_index=pid)
        return queue

    def _row(self, slots: Slots, worker: int | str | None) -> _Row:
        """The row for one more task of *worker*: that of a thread, where they nest, or a free one."""
        queue = self._queue(slots)
        rows = queue.rows.setdefault(worker, [])
        for row in rows:
            if not row.tasks or type(worker) is int:
                self._latest[worker] = row
                return row
        tid = 1 + sum(map(len, queue.rows.values()))
        row = self._latest[worker] = _Row(slots, queue.pid, tid)
        rows.append(row)
        self.meta("thread_name", queue.pid, tid, name=f"worker {tid}" if type(worker) is int else worker)
        return row
