"""Stop and resume: whether tasks of a scheduler may start.

Stops are counted.  `Stopping.resume` ends all of them; a stop for a block ends with its block, unless a
`resume` has ended it before.  After the last one all queues start tasks again.  The scheduler's lock guards
the counts.  `State.stopped`, the only field that workers read, is True while the count is above 0.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter
from types import TracebackType

from .state import State
from .wake import Wake


class Stopping:
    """How a scheduler stops and resumes."""

    def __init__(self, core: State, wake: Wake) -> None:
        # Constant: the state, and the part that starts workers.
        self._core = core
        self._wake = wake
        # How many stops hold.
        self._stops = int(core.stopped)
        # How often all stops were ended.  A `Stop` is over if this has changed since it was made.
        self._resumes = 0

    def stop(self) -> Stop:
        """Let no task start."""
        core = self._core
        if core.deferred(self.stop):
            return Stop(self, self._resumes)
        with core.exclusive() as section:
            changed, time = not core.stopped, perf_counter()
            core.set_stopped(True)
            self._stops += 1
            # Made under the lock: no `resume` can come between the count and the stop.
            stop = Stop(self, self._resumes)
            if changed and core.observers:
                section.then(partial(core.observers.notify, "stop", time=time))
        if core.exiting:  # nothing may resume the scheduler any more
            core.ending.cancel_held()
        return stop

    def resume(self, stop_of: int | None = None) -> None:
        """End all stops; or one, made after *stop_of* resumes.  After the last one tasks start again."""
        core = self._core
        if core.deferred(self.resume, stop_of):
            return
        with core.exclusive() as section:
            if stop_of is not None:
                if stop_of != self._resumes:  # a resume has ended that stop
                    return
                self._stops -= 1
                if self._stops:
                    return
            changed, time = core.stopped, perf_counter()
            core.set_stopped(False)
            self._stops = 0
            self._resumes += 1
            core.release_paused()
            if changed and core.observers:
                section.then(partial(core.observers.notify, "resume", time=time))
            section.then(self._wake.start, self._wake.wake_all())


class Stop:
    """What `Scheduler.stop` returns: as a context manager it ends that stop when its block ends.

    Blocks may be nested, and overlap in several threads; the last one resumes.  A stop that is no
    block's stays until `Scheduler.resume`.  After a `resume` in the block its end does nothing.
    """

    __slots__ = ("_entered", "_resumes", "_stopping")

    def __init__(self, stopping: Stopping, resumes: int) -> None:
        self._stopping = stopping  # constant
        self._resumes = resumes  # `Stopping._resumes` when the stop was made; constant
        self._entered = False  # a block has begun; written by the thread of the block

    def __enter__(self) -> None:
        if self._entered:
            raise RuntimeError("what stop() returned is for one with block; call stop() again for another")
        self._entered = True

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.resume(self._resumes)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._stopping._core!r}>"
