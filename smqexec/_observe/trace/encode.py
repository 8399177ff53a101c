"""The format of a trace file: notes of events in, lines out.

It is Chrome's trace event format, which Perfetto and chrome://tracing open, as an array with one event a
line: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.  Times are
microseconds since the recording began.  A process is a queue, its threads are the workers; process 0 is the
recording itself.  Its events are ``smqexec``, the first line: versions and machine; ``smqexec_alive``: the
time, once a second while something runs; and ``smqexec_end``, the last line if the recording was closed.
A task has a ``B`` with its facts and an ``E`` with its outcome, or one ``i`` of cat dropped if it never ran.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any
from weakref import ref

from ..._core.queue_state import QueueState

#: An event: its kind, its time in seconds (None: before the recording began), the number and queue of its
#: task, the numbers of its dependencies; and a name (submit), worker (start), index (item) or outcome (end).
Note = tuple[str, float | None, int, Any, tuple[int, ...], Any]

_quoted = lru_cache(1 << 12)(json.dumps)


class Encoder:
    """Makes lines of the events of a trace that began at *began*, in the order in which they are added."""

    def __init__(self, began: float) -> None:
        self._began = began
        self.lines: list[str] = ["["]  # to be written next
        # The place of each worker of each queue, as lines have it; of None: of the tasks that never ran.
        self._places: dict[ref[QueueState], dict[int | str | None, str]] = {}
        # The pending tasks, by number: the part of their lines that is known at the submit.  A dictionary of
        # numbers and strings, which the garbage collector need not visit.
        self._facts: dict[int, str] = {}
        self._running: dict[int, str] = {}  # the places of the running tasks, by number
        self._alive = began  # when the last ``smqexec_alive`` was added

    def meta(self, name: str, pid: int = 0, tid: int = 0, /, **args: object) -> None:
        """Add a line about the trace itself."""
        event = {"ph": "M", "name": name, "pid": pid, "tid": tid, "args": args}
        self.lines.append(json.dumps(event, separators=(",", ":")) + ",")

    def add(self, note: Note) -> None:
        """Add the line for an event, unless the submit of its task was interrupted, and so is not known."""
        kind, time, number, queue, needs, detail = note
        at = "null" if time is None else f"{(time - self._began) * 1e6:.3f}"
        line = self.lines.append
        place = self._running.get(number)
        if kind == "submit":
            if place is None:  # else the recording began in the middle of the submit
                args = f'"number":{number},"submitted":{at},"dependencies":{[*needs]}'
                self._facts[number] = f'"name":{_quoted(detail)},"args":{{{args}'
        elif kind == "start":
            facts = self._facts.pop(number, None)
            if facts is not None:  # else the recording began at the start
                place = self._running[number] = self._place(queue, detail)
                line(f'{{"ph":"B",{place},"ts":{at},"cat":"task",{facts}}}}},')
        elif kind == "end" and place is not None:
            del self._running[number]
            line(f'{{"ph":"E",{place},"ts":{at},"args":{{"number":{number},"outcome":"{detail}"}}}},')
        elif kind == "end" and number in self._facts:  # the task never ran
            facts, place = self._facts.pop(number), self._place(queue, None)
            line(f'{{"ph":"i","s":"p",{place},"ts":{at},"cat":"dropped",{facts},"outcome":"{detail}"}}}},')
        elif queue is None:
            line(f'{{"ph":"i","s":"g","pid":0,"tid":0,"ts":{at},"cat":"scheduler","name":"{kind}"}},')
        elif place is not None:
            place, args = f'"s":"t",{place}', f'"number":{number},"item":{detail}'
            line(f'{{"ph":"i",{place},"ts":{at},"cat":"item","name":"item {detail}","args":{{{args}}}}},')

    def look(self, time: float) -> None:
        """Add the time once a second while a task runs: it shows how long a program was alive that hung."""
        if self._running and time - self._alive >= 1:
            self._alive = time
            self.meta("smqexec_alive", time=self._micros(time))

    def finish(self, time: float) -> None:
        """Add the end."""
        self.meta("smqexec_end", time=self._micros(time))
        self.lines[-1] = self.lines[-1].rstrip(",")
        self.lines.append("]")

    def _micros(self, time: float) -> float:
        return round((time - self._began) * 1e6, 3)

    def _place(self, queue: QueueState, worker: int | str | None) -> str:
        """Return the place of *worker* of *queue*; add lines for them if they are new."""
        key = ref(queue)
        if key not in self._places:
            pid = len(self._places) + 1
            self._places[key] = {None: f'"pid":{pid},"tid":0'}
            self.meta("process_name", pid, name=queue.name, slots=queue.width)
        places = self._places[key]
        if worker not in places:
            pid, tid = [*self._places].index(key) + 1, len(places)
            places[worker] = f'"pid":{pid},"tid":{tid}'
            self.meta("thread_name", pid, tid, name=worker if isinstance(worker, str) else f"worker {tid}")
        return places[worker]
