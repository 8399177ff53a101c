"""Write what schedulers do to a trace file, as it happens.

The observer only adds a note of each event to a deque, which needs no lock.  One
thread takes the notes from the other end, five times a second, makes lines of them
(see ``lines``) and writes these.  So in memory is what is pending and running, and what
is not written yet.
"""

from __future__ import annotations

import atexit
import logging
import os
import platform
import sys
import threading
import time
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ..._calls.interrupts import uninterrupted
from ..._futures.task import label_of
from ..._planner import dependencies_of
from ..events import Event, Observation, newcomers, number_of, numbers_of
from .lines import Lines, Note

if TYPE_CHECKING:
    from typing import Self

    from ..._core.shared import State

LOGGER = logging.getLogger("smqexec")

INTERVAL = 0.2  # seconds between two writes: what a killed program loses
BACKLOG = 50_000  # notes that are not written, with which each further one takes PAUSE seconds
PAUSE = 0.001

# Those being written, by real path.  Guarded by `_opening`.
_recordings: dict[str, Recording] = {}
_opening = threading.Lock()


class Recording:
    """A trace file that is being written, until it is closed: what `smqexec.trace.record` returns.

    A context manager that closes at its end.  A recording that is still open at the
    interpreter's exit is closed then, after the last task.
    """

    def __init__(self, scheduler: State, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._place = os.path.realpath(os.fsdecode(path))
        with uninterrupted(), _opening:
            if self._place in _recordings:
                raise ValueError(f"{self.path} is being written by another recording")
            self._file = open(self.path, "wb", buffering=0)  # noqa: SIM115 - until `close`
            _recordings[self._place] = self
        self._notes: deque[Note] = deque()  # added and taken by any thread: each is atomic
        # Guards the next three.  A thread that holds it may take the lock of a scheduler.
        self._writing = threading.Lock()
        self._lines = Lines(perf_counter())
        self._observations: list[Observation] = []
        self._ended = False  # closed, or the file can't be written
        self._closing = threading.Event()
        self._lines.meta("smqexec", order=scheduler.order, **_circumstances())
        self._thread = threading.Thread(target=self._keep_writing, name="smqexec trace", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self.abandon()
            raise
        self.watch(scheduler)

    def watch(self, scheduler: State) -> None:
        """Record *scheduler* from now on; and its pending and running tasks, as far as they are known.

        Cost: a step for each of these and its dependencies.
        """
        with uninterrupted(), self._writing:  # what is there comes before what happens to it from now on
            if self._ended:
                return
            self._observations.append(Observation(scheduler, self._note))
            with scheduler.exclusive():
                known = [(task, [*dependencies_of(task)]) for task in scheduler.termination.pending()]
                runs = [run for slots in scheduler._queues for run in slots.workers]
                running = [(task, run) for run in runs for task in run.tasks()]
            for task, needs in [*known, *((task, []) for task, _ in running)]:
                self._lines.submitted("null", number_of(task), label_of(task), numbers_of(needs))
            at = self._lines.micros(perf_counter())
            for task, run in running:
                self._lines.started(at, number_of(task), run.queue, run.thread)

    def _note(self, event: Event) -> None:
        """The observer."""
        kind = event.kind
        detail: Any = event.worker
        if kind == "submit":
            detail = event.name
        elif kind == "end":
            detail = event.outcome
        elif kind == "item":
            detail = event.index
        self._notes.append((kind, event.time, event.number, event._state, detail, event.dependencies))
        if len(self._notes) > BACKLOG:
            time.sleep(PAUSE)  # the thread that writes gets its turn

    def _keep_writing(self) -> None:
        while not (self._closing.wait(INTERVAL) or self._ended):
            self._write()

    def _write(self, last: bool = False) -> None:
        """Write all notes; if *last*, also the end of the file."""
        with self._writing:
            if self._ended:
                return
            try:
                lines = self._lines
                for _ in range(len(self._notes)):
                    lines.add(self._notes.popleft())
                (lines.finish if last else lines.look)(perf_counter())
                text = "".join(f"{line}\n" for line in lines.lines)
                lines.lines.clear()
                left = memoryview(text.encode())
                while left:
                    left = left[self._file.write(left) :]
            except Exception:
                LOGGER.exception("the trace %s ends here", self.path)
                self._end()

    def _end(self) -> None:
        """Note no more.  `_writing` is held."""
        self._ended = True
        for observation in self._observations:
            observation.close()
        self._notes.clear()

    def close(self) -> None:
        """Write what is left, and close the file.  What still runs is shown as not ended.

        From any thread; a second call does nothing.  If the file can't be written, that is logged.
        """
        with uninterrupted():
            with _opening:
                if self._closing.is_set() or _recordings.get(self._place) is not self:
                    return
                self._closing.set()
            self._thread.join()
            self._write(last=True)
            with self._writing:
                self._end()
            with _opening:
                self.abandon()

    def abandon(self) -> None:
        """Close the file as it is.  In a forked child the rest is the parent's."""
        del _recordings[self._place]
        self._ended = True
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _close_all() -> None:
    """At exit, when all tasks have ended."""
    for recording in list(_recordings.values()):
        recording.close()


def _after_fork() -> None:
    global _opening
    _opening = threading.Lock()  # another thread may have held it
    for recording in list(_recordings.values()):
        recording.abandon()
    newcomers.clear()


def record_everything(path: str) -> None:
    """Record all schedulers that this process will make, but no child of it, in the file at *path*.

    The first scheduler opens the file.

    Raises:
        OSError: It can't be written.
    """
    path = os.path.abspath(path)
    try:
        # A file that is there stays as it is: this may be the process that is to show it.
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
    version = sys.modules[__name__.partition(".")[0]].__version__  # nothing here imports the front door
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return {"version": version, "python": python, "cores": os.cpu_count(), "wall_start": time.time()}
