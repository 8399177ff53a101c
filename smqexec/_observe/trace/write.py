"""Write the events of schedulers to a trace file, while they happen.

An observation adds a note of each event to a deque, which needs no lock.  Five times a second one thread
makes lines of the notes (see ``encode``) and writes these.
"""

from __future__ import annotations

import atexit
import os
import platform
import sys
import threading
from collections import deque
from time import perf_counter, sleep
from typing import Any, Self

from ..._calls.interrupts import LOGGER, uninterrupted
from ..._core.queue_state import QueueState
from ..._core.state import State
from ..._futures.names import label_of
from ..._planner import dependencies_of
from ..events import Observation, newcomers, number_of, numbers_of
from .encode import Encoder, Note

INTERVAL = 0.2  # seconds between two writes: a killed program loses so much
# If more notes than BACKLOG are not written, each further note takes PAUSE seconds.
BACKLOG, PAUSE = 50_000, 0.001

# The recordings whose files are open, by real path.  Each step on it is atomic.
_recordings: dict[str, Recording] = {}


class Recording:
    """A trace file that is being written, until it is closed: `smqexec.trace.record` returns it.

    A context manager that closes at its end.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        # The real path: also for a program that changes its directory.
        self._place = os.path.realpath(os.fsdecode(path))
        # Notes that are not written.  Any thread adds one, `_thread` takes one: each is atomic.
        self._notes: deque[Note] = deque()
        # Guards the next two fields.  A thread that holds it may take the lock of a scheduler.
        self._lock = threading.Lock()
        self._encoder = Encoder(perf_counter())
        self._observations: list[Observation] = []
        # Nothing more is recorded: `close` was called, or a write has failed.
        self._closing = threading.Event()
        # Writes the file, from the first `watch` on.
        self._thread = threading.Thread(target=self._keep_writing, name="smqexec trace", daemon=True)
        # An existing file stays as it is until then: this may be the process that is to show it.
        open(self.path, "ab").close()

    def watch(self, scheduler: State) -> None:
        """Record *scheduler* from now on, and its pending and running tasks."""
        with uninterrupted(), self._lock:  # the lines of these tasks come before their next events
            if self._closing.is_set():
                return
            if self._thread.ident is None:
                self._begin()
            add = self._encoder.add
            self._observations.append(Observation(scheduler, self._note, with_queue=True))
            with scheduler.exclusive():
                tasks = scheduler.termination.pending()
                found: list[Any] = [(task, task._queue, [*dependencies_of(task)], None) for task in tasks]
                workers = [worker for queue in scheduler.queues for worker in queue.workers]
                found += [(task, each.queue, [], each.thread) for each in workers for task in each.tasks()]
            for task, queue, needs, worker in found:
                add(("submit", None, number_of(task), queue, numbers_of(needs), label_of(task)))
                if worker is not None:
                    add(("start", perf_counter(), number_of(task), queue, (), worker))

    def _note(self, fields: Any, queue: QueueState | None) -> None:
        """Note an event.  Keep no object of the user."""
        kind, time, number, task, _, worker, needs, index, outcome, _ = fields
        if kind == "submit":
            detail = label_of(task)
        elif kind == "start":
            detail = worker
        else:
            detail = index if kind == "item" else outcome
        notes = self._notes
        notes.append((kind, time, number, queue, needs, detail))
        if len(notes) > BACKLOG:
            sleep(PAUSE)  # the thread that writes gets its turn

    def _begin(self) -> None:
        if _recordings.setdefault(self._place, self) is not self:
            raise ValueError(f"{self.path} is being written by another recording")
        version = sys.modules[__name__.partition(".")[0]].__version__  # no module here imports the front door
        python = f"{platform.python_implementation()} {platform.python_version()}"
        self._encoder.meta("smqexec", version=version, python=python, cores=os.cpu_count())
        try:
            self._thread.start()
        except BaseException:
            self._closing.set()
            del _recordings[self._place]
            raise
        atexit.register(self.close)

    def _keep_writing(self) -> None:
        """Write until the recording is closed, or a write fails."""
        closed = False
        try:
            with open(self._place, "wb", buffering=0) as file:
                while not closed:
                    closed = self._closing.wait(INTERVAL)
                    left = memoryview(self._text(closed))
                    while left:
                        left = left[file.write(left) :]
        except Exception:
            LOGGER.exception("the trace %s ends here", self.path)
        with self._lock:
            self._closing.set()
            for observation in self._observations:
                observation.close()
        atexit.unregister(self.close)
        del _recordings[self._place]

    def _text(self, last: bool) -> bytes:
        """Return the lines of all notes; if *last*, also the end of the file."""
        with self._lock:
            encoder, notes = self._encoder, self._notes
            for _ in range(len(notes)):
                encoder.add(notes.popleft())
            (encoder.finish if last else encoder.look)(perf_counter())
            text = "\n".join([*encoder.lines, ""]).encode()
            encoder.lines.clear()
        return text

    def close(self) -> None:
        """Write the rest, and close the file.  Tasks that still run are shown as not ended.

        Any thread may call it; a second call does nothing.  If the file can't be written, that is logged.
        """
        if self._thread.is_alive():  # else a write has failed, or this is a forked child
            with uninterrupted():
                self._closing.set()
                self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows can't fork
    os.register_at_fork(after_in_child=newcomers.clear)  # the parent's threads write the files
