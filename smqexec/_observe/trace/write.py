"""Write the events of schedulers to a trace file, while they happen.

An observation adds a note of each event to a deque, which needs no lock.  Five times a second one thread
makes lines of the notes and writes these, in Chrome's trace event format, which Perfetto and chrome://tracing
open: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.

The file is an array with one event a line; times are microseconds since the recording began.  A process is a
queue, its threads are the workers; process 0 is the recording itself.  Its events are ``smqexec``, the first
line: versions and machine; ``smqexec_alive``: the time, once a second while something runs; and
``smqexec_end``, the last line if the recording was closed.  A task has a ``B`` with its facts and an ``E``
with its outcome, or one ``i`` of cat dropped if it never ran.
"""

import atexit
import json
import os
import platform
import sys
import threading
from collections import deque
from contextlib import AbstractContextManager
from functools import lru_cache
from time import perf_counter, sleep
from typing import Any
from weakref import ref

from ..._calls.interrupts import LOGGER, uninterrupted
from ..._core.queue_state import QueueState
from ..._core.state import State
from ..._futures.names import label_of
from ..._planner.nodes import dependencies_of
from ..events import Observation, new_scheduler_hooks, number_of, numbers_of

INTERVAL = 0.2  # seconds between two writes: a killed program loses so much
# If more notes than BACKLOG are not written, each further note takes PAUSE seconds.
BACKLOG, PAUSE = 50_000, 0.001

#: An event: its kind, its time in seconds (None: before the recording began), the number and queue of its
#: task, the numbers of its dependencies; and a name (submit), worker (start), index (item) or outcome (end).
Note = tuple[str, float | None, int, Any, tuple[int, ...], Any]

_quoted = lru_cache(1 << 12)(json.dumps)


class Encoder:
    """Makes lines of the events of a trace that began at *began*, in the order in which they are added."""

    def __init__(self, began: float) -> None:
        self._began = began
        self.lines: list[str] = ["["]  # to be written next
        # The process of each queue, and the thread of each worker; of None: for the tasks that never ran.
        self._queues: dict[ref[QueueState], tuple[int, dict[int | str | None, int]]] = {}
        # By number, what is known of pending tasks: text, which the garbage collector need not visit.
        self._facts: dict[int, str] = {}
        self._running: dict[int, str] = {}  # the places of the running tasks, by number
        self._alive = began  # when the last ``smqexec_alive`` was added

    def meta(self, name: str, pid: int = 0, tid: int = 0, /, **args: object) -> None:
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

    def look(self, time: float, last: bool = False) -> None:
        """Add the time once a second while a task runs, as a program may hang; or the *last* lines."""
        if last or (self._running and time - self._alive >= 1):
            self._alive = time
            micros = round((time - self._began) * 1e6, 3)
            self.meta("smqexec_end" if last else "smqexec_alive", time=micros)
        if last:
            self.lines[-1:] = [self.lines[-1].rstrip(","), "]"]

    def _place(self, queue: QueueState, worker: int | str | None) -> str:
        key = ref(queue)
        if key not in self._queues:
            self._queues[key] = len(self._queues) + 1, {None: 0}
            self.meta("process_name", len(self._queues), name=queue.name, slots=queue.width)
        pid, tids = self._queues[key]
        if worker not in tids:
            tids[worker] = tid = len(tids)
            self.meta("thread_name", pid, tid, name=worker if isinstance(worker, str) else f"worker {tid}")
        return f'"pid":{pid},"tid":{tids[worker]}'


class Recording(AbstractContextManager["Recording"]):
    """A trace file that is written until it is closed: `record` returns it.  A ``with`` block closes it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        # The real path: also for a program that changes its directory.
        self._real_path = os.path.realpath(os.fsdecode(path))
        # Notes that are not written.  Any thread adds one, `_thread` takes one: each is atomic.
        self._notes: deque[Note] = deque()
        # Guards the next two fields.  A thread that holds it may take the lock of a scheduler.
        self._lock = threading.Lock()
        self._encoder = Encoder(perf_counter())
        version = sys.modules[__name__.partition(".")[0]].__version__  # no module here imports the front door
        python = f"{platform.python_implementation()} {platform.python_version()}"
        self._encoder.meta("smqexec", version=version, python=python, cores=os.cpu_count())
        self._observations: list[Observation] = []
        # Nothing more is recorded: `close` was called, or a write has failed.
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_writing, name="smqexec trace", daemon=True)
        # An existing file stays as it is until the first `watch`: this may be the process that is to show it.
        open(self.path, "ab").close()

    def watch(self, scheduler: State) -> None:
        """Record *scheduler* from now on, and its pending and running tasks."""
        with uninterrupted(), self._lock:  # the lines of these tasks come before their next events
            if self._closing.is_set():
                return
            if self._thread.ident is None:
                if _recordings.setdefault(self._real_path, self) is not self:
                    raise ValueError(f"{self.path} is being written by another recording")
                try:
                    open(self._real_path, "wb").close()  # no run of before, if this one is killed at once
                    self._thread.start()
                except BaseException:
                    del _recordings[self._real_path]
                    raise
                atexit.register(self.close)
            add, now = self._encoder.add, perf_counter()  # before any event that is noted
            self._observations.append(Observation(scheduler, self._note, with_queue=True))
            with scheduler.exclusive():
                tasks = scheduler.termination.pending()
                found: list[Any] = [(task, task._queue, [*dependencies_of(task)], None) for task in tasks]
                for each in [worker for queue in scheduler.queues for worker in queue.workers]:
                    # Else the call of a task is over, and its end perhaps reported, to others alone.
                    running = [task for task in each.tasks() if task._args is not None]
                    found += [(task, each.queue, [], each.thread) for task in running]
            for task, queue, needs, worker in found:
                add(("submit", None, number_of(task), queue, numbers_of(needs), label_of(task)))
                if worker is not None:
                    add(("start", now, number_of(task), queue, (), worker))

    def _note(self, fields: Any, queue: QueueState | None) -> None:
        kind, time, number, task, _, worker, needs, index, outcome, _ = fields
        # No object of the user is kept.
        detail = label_of(task) if kind == "submit" else worker if kind == "start" else outcome or index
        self._notes.append((kind, time, number, queue, needs, detail))
        if len(self._notes) > BACKLOG:
            sleep(PAUSE)  # the thread that writes gets its turn

    def _keep_writing(self) -> None:
        encoder, notes, last = self._encoder, self._notes, False
        try:
            with open(self._real_path, "wb", buffering=0) as file:
                while not last:
                    last = self._closing.wait(INTERVAL)
                    with self._lock:
                        for _ in range(len(notes)):
                            encoder.add(notes.popleft())
                        encoder.look(perf_counter(), last)
                        left = memoryview("\n".join([*encoder.lines, ""]).encode())
                        encoder.lines.clear()
                    while left:
                        left = left[file.write(left) :]
        except Exception:
            LOGGER.exception("the trace %s ends here", self.path)
        with self._lock:
            self._closing.set()
            for observation in self._observations:
                observation.close()
        atexit.unregister(self.close)
        del _recordings[self._real_path]

    def close(self) -> None:
        """Write the rest, and close the file.  Tasks that still run are shown as not ended.

        Any thread may call it; a second call does nothing.  If the file can't be written, that is logged.
        """
        if self._thread.is_alive():  # else a write has failed, or this is a forked child
            with uninterrupted():
                self._closing.set()
                self._thread.join()

    def __exit__(self, *exception: object) -> None:
        self.close()


# The recordings whose files are open, by real path.  Each step on it is atomic.
_recordings: dict[str, Recording] = {}

if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows can't fork
    os.register_at_fork(after_in_child=new_scheduler_hooks.clear)  # the parent's threads write the files
