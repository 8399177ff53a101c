"""Stop and resume: whether tasks of a scheduler may start.

`State.stopped`, the only field that workers read, is True while a stop holds.  `Stopping.resume` ends all
stops; a stop for a block ends with its block.  After the last one all queues start tasks again.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter

from .exclusive import Section
from .state import State


class Stopping:
    """How a scheduler stops and resumes."""

    def __init__(self, core: State) -> None:
        self._core = core  # constant
        # The stops that hold; this object stands for ``Scheduler(stopped=True)``.  Under the lock.
        self._stops: set[object] = {self} if core.stopped else set()

    def stop(self, stop: Stop | None = None) -> Stop:
        """Let no task start while *stop*, in general a new one, holds; return it."""
        core, stop = self._core, stop or Stop(self)
        if core.deferred(self.stop, stop):
            return stop
        with core.exclusive() as section:
            self._stops.add(stop)
            self._set_stopped(True, section)
        if core.exiting:  # nothing may resume the scheduler any more
            core.ending.cancel_held()
        return stop

    def resume(self, stop: Stop | None = None) -> None:
        """End *stop*, if it holds; or all stops.  After the last one tasks start again."""
        core = self._core
        if core.deferred(self.resume, stop):
            return
        with core.exclusive() as section:
            if stop is None:
                self._stops.clear()
            self._stops.discard(stop)
            if self._stops:
                return
            self._set_stopped(False, section)
            while core.paused:
                core.paused.popitem()[1].release()
            section.then(self._wake_all)  # after observers were told

    def _wake_all(self) -> None:
        with self._core.exclusive():
            self._core.wake_all()

    def _set_stopped(self, stopped: bool, section: Section) -> None:
        """Write `State.stopped`, and tell observers after the lock, which is held."""
        core = self._core
        if core.observers and core.stopped is not stopped:
            event = "stop" if stopped else "resume"
            section.then(partial(core.observers.notify, event, time=perf_counter()))
        core.stopped = stopped
        for queue in core.queues:
            queue.update_rules()


class Stop:
    """What `Scheduler.stop` returns: as a context manager it ends that stop when its block ends.

    Blocks may be nested, and overlap in several threads; the last one resumes.  A stop that is no
    block's lasts until `Scheduler.resume`.  After a `resume` in the block the end of the block does nothing.
    """

    __slots__ = ("_entered", "_stopping")

    def __init__(self, stopping: Stopping) -> None:
        self._stopping = stopping  # constant
        self._entered = False  # a block has begun; written by the thread of the block

    def __enter__(self) -> None:
        if self._entered:
            raise RuntimeError("what stop() returned is for one with block; call stop() again for another")
        self._entered = True

    def __exit__(self, kind: object, value: object, traceback: object) -> None:
        self._stopping.resume(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._stopping._core!r}>"
