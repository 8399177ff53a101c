"""The format of a trace file: notes of events in, lines out.

It is Chrome's trace event format, which Perfetto and chrome://tracing open, as an array with one event a
line: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.  Times are
microseconds since the recording began.  A process of the trace is a queue, its threads are the queue's
workers; process 0 is the recording itself.

=======================  ==================================================================
``M`` smqexec            the first line: versions and machine
``M`` process_name       a queue: name and slots
``M`` thread_name        a worker
``B`` of cat task        the start of a task, with its facts; later ``E``, with its outcome
``i`` of cat dropped     a task that ended and never ran
``i`` of cat item        a value of a generator task
``i`` of cat scheduler   a stop or resume
``M`` smqexec_alive      the time, once a second while something runs
``M`` smqexec_end        the last line, if the recording was closed
=======================  ==================================================================
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any
from weakref import ref

from ..._core.queue_state import QueueState

#: An event: its kind, and its time in seconds; of its task the number, the name if it is a submit, and the
#: queue; the worker, the numbers of the dependencies, the index and the outcome.
Note = tuple[str, float, int, str, Any, int | str | None, tuple[int, ...], int | None, str | None]

ALIVE = 1e6  # microseconds from one ``smqexec_alive`` to the next

_quoted = lru_cache(1 << 12)(json.dumps)


class Encoder:
    """Makes lines of the events of a trace that began at *began*, in the order in which they are added."""

    def __init__(self, began: float) -> None:
        self._began = began
        self.lines: list[str] = ["["]  # to be written next
        self._pids: dict[ref[QueueState], int] = {}
        # The process and thread of each worker, as lines have it; of None: of the tasks that never ran.
        self._places: dict[tuple[ref[QueueState], int | str | None], str] = {}
        # The pending tasks, by number: the part of their lines that is known at the submit.  A dictionary of
        # numbers and strings, which the garbage collector need not visit.
        self._facts: dict[int, str] = {}
        self._running: dict[int, str] = {}  # the places of the running tasks, by number
        self._alive = 0.0  # when the last ``smqexec_alive`` was added, in microseconds

    def micros(self, time: float) -> float:
        """Return *time*, in seconds, as the trace has it."""
        return (time - self._began) * 1e6

    def meta(self, name: str, pid: int = 0, tid: int = 0, /, **args: object) -> None:
        """Add a line about the trace itself."""
        event = {"ph": "M", "name": name, "pid": pid, "tid": tid, "args": args}
        self.lines.append(json.dumps(event, separators=(",", ":")) + ",")

    def add(self, note: Note) -> None:
        """Add the line for an event, unless the submit of its task was interrupted, and so is not known."""
        kind, time, number, name, queue, worker, needs, index, outcome = note
        at = (time - self._began) * 1e6
        if queue is None:
            place = '"ph":"i","s":"g","pid":0,"tid":0'
            self.lines.append(f'{{{place},"ts":{at:.3f},"cat":"scheduler","name":"{kind}"}},')
        elif kind == "submit":
            self.submitted(f"{at:.3f}", number, name, needs)
        elif kind == "start":
            self.started(at, number, queue, worker)
        elif kind == "end" and number in self._running:
            place = self._running.pop(number)
            self.lines.append(
                f'{{"ph":"E",{place},"ts":{at:.3f},"args":{{"number":{number},"outcome":"{outcome}"}}}},'
            )
        elif kind == "end" and number in self._facts:  # the task never ran
            facts, place = self._facts.pop(number), f'"ph":"i","s":"p",{self._add_place(queue, None)}'
            outcome = f'"outcome":"{outcome}"'
            self.lines.append(f'{{{place},"ts":{at:.3f},"cat":"dropped",{facts},{outcome}}}}},')
        elif number in self._running:  # an item
            place = f'"ph":"i","s":"t",{self._running[number]}'
            args = f'{{"number":{number},"item":{index}}}'
            self.lines.append(f'{{{place},"ts":{at:.3f},"cat":"item","name":"item {index}","args":{args}}},')

    def submitted(self, at: str, number: int, name: str, needs: tuple[int, ...]) -> None:
        """Note that a task was submitted *at* so many microseconds; null: before the recording began."""
        if number not in self._running:  # else the recording began in the middle of its submit
            name = _quoted(name)
            self._facts[number] = (
                f'"name":{name},"args":{{"number":{number},"submitted":{at},"dependencies":{[*needs]}'
            )

    def started(self, at: float, number: int, queue: QueueState, worker: int | str | None) -> None:
        """Note that a task started *at* so many microseconds."""
        facts = self._facts.pop(number, None)
        if facts is not None:  # else its submit was interrupted, or the recording began at its start
            place = self._places.get((ref(queue), worker)) or self._add_place(queue, worker)
            self._running[number] = place
            self.lines.append(f'{{"ph":"B",{place},"ts":{at:.3f},"cat":"task",{facts}}}}},')

    def look(self, time: float) -> None:
        """Add the time if any task runs: it shows how long a program was alive whose tasks hung."""
        at = self.micros(time)
        if self._running and at - self._alive >= ALIVE:
            self._alive = at
            self.meta("smqexec_alive", time=round(at, 3))

    def finish(self, time: float) -> None:
        """Add the end."""
        self.meta("smqexec_end", time=round(self.micros(time), 3))
        self.lines[-1] = self.lines[-1].rstrip(",")
        self.lines.append("]")

    def _add_place(self, queue: QueueState, worker: int | str | None) -> str:
        """Add the place of *worker* of *queue*, and return it.  The place of None is added with the queue."""
        key = ref(queue)
        if key not in self._pids:
            pid = self._pids[key] = len(self._pids) + 1
            self._places[key, None] = f'"pid":{pid},"tid":0'
            self.meta("process_name", pid, name=queue.name, slots=queue.width)
        if worker is not None:
            pid, tid = self._pids[key], sum(other == key for other, _ in self._places)
            self._places[key, worker] = f'"pid":{pid},"tid":{tid}'
            self.meta("thread_name", pid, tid, name=worker if isinstance(worker, str) else f"worker {tid}")
        return self._places[key, worker]
