"""Record what schedulers do in a file, as it happens.

The observer only notes what it is told, in a few numbers, at the end of a
deque, which needs no lock.  One thread takes the notes from the other end, makes
lines of them (``_tracelines``) and writes these, five times a second.  So what is
in memory is what is pending and running, what has not been written yet, and
where the last tasks ended that later ones may depend on.  Where notes come
faster than that thread can take them, those who make them take some too.
"""

from __future__ import annotations

import atexit
import logging
import os
import platform
import threading
import time
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..._interrupts import uninterrupted
from ..._options import label_of
from ..._planner import dependencies_of
from ..events import Observation, newcomers, number_of, numbers_of
from .lines import COUNTS, END, ITEM, START, SUBMIT, SWITCH, WIDTH, Lines

if TYPE_CHECKING:
    from typing import Self

    from ..._scheduler import Scheduler
    from ..._slots import Slots

LOGGER = logging.getLogger("smqexec")

INTERVAL = 0.2  # seconds between two writes: so much is lost of a program that is killed
SAMPLE_INTERVAL = 0.001  # seconds between two samples of a queue's counts, at least
BACKLOG = 20_000  # notes: who samples counts where there are more writes SHARE of them
SHARE = 5_000
PATIENCE = 0.01  # seconds that it waits for its turn

# Those being written, by real path.  Guarded by `_opening`.
_recordings: dict[str, Recording] = {}
_opening = threading.Lock()


class Recording:
    """A trace file that is being written, until it is closed: what `smqexec.trace.record` returns.

    A context manager that closes at its end.  What is not closed by then is
    closed at the interpreter's exit, after the last task.
    """

    def __init__(self, scheduler: Scheduler, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._place = os.path.realpath(os.fsdecode(path))
        with _opening:
            if self._place in _recordings:
                raise ValueError(f"{self.path} is being written by another recording")
            self._file = open(self.path, "wb", buffering=0)  # noqa: SIM115 - until `close`
            _recordings[self._place] = self
        self._lines = Lines(perf_counter())
        self._lines.meta("smqexec", order=scheduler.order, **_circumstances())
        self._observations: list[Observation] = []
        # One after the other, each WIDTH values.  Adding and taking off are atomic: no lock.
        self._notes: list[Any] = []
        # By queue: not by its `id`, for CPython 3.13 without the GIL takes 20 µs to find an int that
        # another thread has entered.  Made anew at each write, so that it keeps no lost queue.
        self._next_sample: dict[Slots, float] = {}
        self._writing = threading.Lock()  # guards the lines and the file; comes before those of schedulers
        self._failed = False  # the file could not be written
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_writing, name="smqexec trace", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self.abandon()
            raise
        self.watch(scheduler)

    def watch(self, scheduler: Scheduler) -> None:
        """Record what *scheduler* does from now on; what it has to do already, as far as can be known.

        Cost: its whole graph.
        """
        with self._writing:  # what is there comes before what happens to it from now on
            if self._closing.is_set() or self._failed:
                return
            self._observations.append(scheduler.observe(self._note))
            with scheduler.exclusive():
                known = [(task, [*dependencies_of(task)]) for task in scheduler._pending()]
                runs = [run for slots in scheduler._slots for run in slots.runs]
                running = [(task, run) for run in runs for task in run.tasks()]
            for task, _ in running:
                known.append((task, []))
            for task, needs in known:
                self._lines.submitted("null", number_of(task), label_of(task), numbers_of(needs))
            at = self._lines.micros(perf_counter())
            for task, run in running:
                self._lines.running(at, number_of(task), run.slots, run.thread)

    def _note(self, event: Any) -> None:
        """Note *event*: the observer."""
        kind, time, number, queue = event.kind, event.time, event.number, event._slots
        notes = self._notes
        if queue is None:
            notes += (SWITCH, time, 0, None, kind, None)
            return
        if kind == "submit":
            notes += (SUBMIT, time, number, queue, label_of(event.task), event.dependencies)
        elif kind == "start":
            notes += (START, time, number, queue, event.worker, None)
        elif kind == "end":
            notes += (END, time, number, queue, event.outcome, None)
        else:
            notes += (ITEM, time, number, queue, event.index, None)
        if time >= self._next_sample.get(queue, 0.0):
            self._next_sample[queue] = time + SAMPLE_INTERVAL
            # A task that is about to end is still counted.
            running = queue.running - (kind == "end" and event.worker is not None)
            notes += (COUNTS, time, 0, queue, (queue.waiting, queue.ready, running), None)
            if len(notes) > BACKLOG * WIDTH:
                with uninterrupted():
                    # Not for ever: a finalizer may have interrupted this very thread as it writes.
                    self._write(SHARE, PATIENCE)

    # The thread that writes.

    def _keep_writing(self) -> None:
        while not self._closing.wait(INTERVAL):
            self._write()

    def _write(self, most: int | None = None, patience: float = -1) -> None:
        """Write all notes, or *most* of them; none where it is not its turn within *patience* seconds."""
        if not self._writing.acquire(timeout=patience):
            return
        try:
            until = len(self._notes) if most is None else most * WIDTH
            notes = self._notes[:until]
            del self._notes[:until]
            self._lines.add(notes)
            if most is None:
                self._next_sample = {}
                self._lines.look_around(perf_counter())
            self._flush()
        except Exception:
            self._fail()
        finally:
            self._writing.release()

    def _flush(self) -> None:
        """Write the lines.  `_writing` is held."""
        lines = self._lines.lines
        if lines:
            left = memoryview(("\n".join(lines) + "\n").encode())
            lines.clear()
            while left and not self._failed:
                left = left[self._file.write(left) :]

    def _fail(self) -> None:
        LOGGER.exception("the trace %s ends here", self.path)
        self._failed = True
        self._stop_watching()
        self._notes.clear()
        self._lines.lines.clear()

    def _stop_watching(self) -> None:
        observations, self._observations = self._observations, []
        for observation in observations:
            observation.close()

    # Its end.

    def close(self) -> None:
        """Write what is left, and close the file.  What still runs is shown as not ended.

        From any thread; again does no harm.  Where the file can't be written, that is logged.
        """
        with uninterrupted():
            self._closing.set()
            self._stop_watching()
            with _opening:
                if _recordings.pop(self._place, None) is not self:
                    return
            self._thread.join()
            self._write()
            with self._writing:
                try:
                    self._lines.finish(perf_counter())
                    self._flush()
                except Exception:
                    self._fail()
                self._file.close()

    def abandon(self) -> None:
        """Leave the file as it is.  In a forked child it is the parent's."""
        _recordings.pop(self._place)
        self._closing.set()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
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


class _Everything:
    """Records each new scheduler of this process, in one file, which the first of them opens."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._opening = threading.Lock()
        self._recording: Recording | None = None

    def __call__(self, scheduler: Scheduler) -> None:
        with self._opening:
            recording = self._recording
            if recording is None:
                self._recording = Recording(scheduler, self._path)
                return
        recording.watch(scheduler)


def record_everything(path: str) -> None:
    """Record all schedulers that this process will make, but no child of it, in the file at *path*.

    Raises:
        OSError: It can't be written.
    """
    path = os.path.abspath(path)
    try:
        # Nothing is lost of a file that is there: this may be the process that is to show it.
        open(path, "ab").close()
    except OSError as error:
        error.add_note("SMQEXEC_TRACE must name a file that can be written")
        raise
    newcomers.append(_Everything(path))


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows can't fork
    os.register_at_fork(after_in_child=_after_fork)


def _circumstances() -> dict[str, Any]:
    from ... import __version__

    python = f"{platform.python_implementation()} {platform.python_version()}"
    return {"version": __version__, "python": python, "cores": os.cpu_count(), "wall_start": time.time()}
