"""Write the events of schedulers to a trace file, while they happen.

An observation adds a note of each event to a deque, which needs no lock.  One thread takes the notes from
the other end, five times a second, makes lines of them (see ``encode``) and writes these.  So the memory
holds facts of the pending and running tasks, and the notes of a fifth of a second.

A recording is open until `Recording.close`, or until a write fails; at exit all are closed.
"""

from __future__ import annotations

import atexit
import logging
import os
import platform
import sys
import threading
from collections import deque
from time import perf_counter, sleep, time
from typing import TYPE_CHECKING, Any

from ..._calls.interrupts import uninterrupted
from ..._futures.names import label_of
from ..._planner import dependencies_of
from ..events import Observation, newcomers, number_of, numbers_of
from .encode import Encoder, Note

if TYPE_CHECKING:
    from typing import Self

    from ..._core.state import State

LOGGER = logging.getLogger("smqexec")

INTERVAL = 0.2  # seconds between two writes: a killed program loses so much
# If more notes than BACKLOG are not written, each further note takes PAUSE seconds.
BACKLOG, PAUSE = 50_000, 0.001

# The recordings whose files are open, by real path.  `_opening` guards it.
_recordings: dict[str, Recording] = {}
_opening = threading.Lock()


class _Notes(Observation):
    """An observation that needs no event: it adds a note to the notes of *recording*."""

    __slots__ = ("_notes",)

    def __init__(self, scheduler: State, recording: Recording) -> None:
        self._notes = recording._notes
        super().__init__(scheduler, recording.watch)  # named in the log should this fail

    def _notify(self, *fields: Any) -> None:
        kind, time, number, task, queue, worker, dependencies, index, outcome, _ = fields
        detail = worker
        if kind == "submit":
            detail = label_of(task)
        elif kind == "end":
            detail = outcome
        elif kind == "item":
            detail = index
        notes = self._notes
        notes.append((kind, time, number, queue, detail, dependencies))
        if len(notes) > BACKLOG:
            sleep(PAUSE)  # the thread that writes gets its turn


class Recording:
    """A trace file that is being written, until it is closed: `smqexec.trace.record` returns it.

    A context manager that closes at its end.  A recording that is still open at the interpreter's exit is
    closed then, after the last task.
    """

    def __init__(self, scheduler: State, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._place = os.path.realpath(os.fsdecode(path))
        with uninterrupted(), _opening:
            if self._place in _recordings:
                raise ValueError(f"{self.path} is being written by another recording")
            self._file = open(self.path, "wb", buffering=0)  # noqa: SIM115 - until `close`
            _recordings[self._place] = self
        # Notes that are not written.  Any thread adds one, the writing thread takes one: each is atomic.
        self._notes: deque[Note] = deque()
        # Guards the next three fields.  A thread that holds it may take the lock of a scheduler.
        self._writing = threading.Lock()
        self._encoder = Encoder(perf_counter())
        self._observations: list[Observation] = []
        # Nothing more is written: the recording was closed, or a write has failed.
        self._ended = False
        # `close` was called; set under `_opening`.
        self._closing = threading.Event()
        self._encoder.meta("smqexec", order=scheduler.order, **_circumstances())
        self._thread = threading.Thread(target=self._keep_writing, name="smqexec trace", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self.abandon()
            raise
        self.watch(scheduler)

    def watch(self, scheduler: State) -> None:
        """Record *scheduler* from now on, and its pending and running tasks.

        Cost: a step for each of these and its dependencies.
        """
        with uninterrupted(), self._writing:  # the lines of these tasks come before their next events
            if self._ended:
                return
            self._observations.append(_Notes(scheduler, self))
            with scheduler.exclusive():
                pending = scheduler.termination.pending()
                known = [(task, [*dependencies_of(task)]) for task in pending]
                workers = [worker for state in scheduler.queues for worker in state.workers]
                running = [(task, worker) for worker in workers for task in worker.tasks()]
            for task, needs in [*known, *((task, []) for task, _ in running)]:
                self._encoder.submitted(None, number_of(task), label_of(task), numbers_of(needs))
            at = self._encoder.micros(perf_counter())
            for task, worker in running:
                self._encoder.started(at, number_of(task), worker.queue, worker.thread)

    def _keep_writing(self) -> None:
        while not (self._closing.wait(INTERVAL) or self._ended):
            self._write()

    def _write(self, last: bool = False) -> None:
        """Write all notes; if *last*, also the end of the file."""
        with self._writing:
            if self._ended:
                return
            try:
                encoder = self._encoder
                for _ in range(len(self._notes)):
                    encoder.add(self._notes.popleft())
                (encoder.finish if last else encoder.look)(perf_counter())
                left = memoryview("\n".join([*encoder.lines, ""]).encode()) if encoder.lines else b""
                encoder.lines.clear()
                while left:
                    left = left[self._file.write(left) :]
            except Exception:
                LOGGER.exception("the trace %s ends here", self.path)
                last = True
            if last:
                self._ended = True
                for observation in self._observations:
                    observation.close()
                self._notes.clear()

    def close(self) -> None:
        """Write the rest, and close the file.  Tasks that still run are shown as not ended.

        Any thread may call it; a second call does nothing.  If the file can't be written, that is logged.
        """
        with uninterrupted():
            with _opening:
                if self._closing.is_set() or _recordings.get(self._place) is not self:
                    return
                self._closing.set()
            self._thread.join()
            self._write(last=True)
            with _opening:
                self.abandon()

    def abandon(self) -> None:
        """Close the file as it is.  In a forked child, the parent writes the rest."""
        del _recordings[self._place]
        self._ended = True
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _close_all() -> None:
    """At exit, when all tasks have ended, close all recordings."""
    for recording in list(_recordings.values()):
        recording.close()


def _after_fork() -> None:
    global _opening
    _opening = threading.Lock()  # another thread may have held it
    for recording in list(_recordings.values()):
        recording.abandon()
    newcomers.clear()


def record_everything(path: str) -> None:
    """Record all schedulers that this process will make, but no child process, in the file at *path*.

    The first scheduler opens the file.

    Raises:
        OSError: It can't be written.
    """
    path = os.path.abspath(path)
    try:
        # An existing file stays as it is: this may be the process that is to show it.
        open(path, "ab").close()
    except OSError as error:
        error.add_note("SMQEXEC_TRACE must name a file that can be written")
        raise
    opening = threading.Lock()
    recording: Recording | None = None

    def record(scheduler: State) -> None:
        nonlocal recording
        with uninterrupted(), opening:
            if recording is None:
                recording = Recording(scheduler, path)
                return
        recording.watch(scheduler)

    newcomers.append(record)


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows can't fork
    os.register_at_fork(after_in_child=_after_fork)


def _circumstances() -> dict[str, Any]:
    version = sys.modules[__name__.partition(".")[0]].__version__  # no module here imports the front door
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return {"version": version, "python": python, "cores": os.cpu_count(), "wall_start": time()}
