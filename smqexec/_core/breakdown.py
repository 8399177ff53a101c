"""Errors of our own: where our code raises, it says so, and nobody waits for what will never come.

What an exception has left of the plan in the middle of a change is unknown.  So all
queues of the scheduler are broken then, as they have one plan: what is pending fails
with the exception, without any help of the planner, and `submit` raises.  What runs
goes on, and its results are published.
"""

from __future__ import annotations

import gc
from concurrent.futures.thread import BrokenThreadPool
from typing import Any

from .._calls.frames import traceback_of
from .._calls.interrupts import uninterrupted
from .._futures.future import Failure, PlannedFuture
from .._futures.task import Foreign, Task
from .._planner import RUNNING, DependencyPlanner
from .searches import forget
from .shared import Ended
from .state import Run, Slots
from .termination import Dropping
from .waking import LOGGER


class Breakdown:
    """How a scheduler ends its tasks where its own code raises."""

    def __init__(self, core: Dropping) -> None:
        self._core = core

    def break_down(
        self, error: BaseException, run: Run | None = None, task: PlannedFuture[Any] | None = None
    ) -> None:
        """Fail all that is pending with *error*, which our own code has raised, and take no more.

        Args:
            error: The exception.
            run: The run that met it; what it is at ends too, and it leaves unless it is at a task beneath.
            task: The task or item at hand, which ends too.

        Cost: a look at each object of the process, since no link between tasks can be trusted.
        """
        with uninterrupted():
            LOGGER.critical(
                "internal error at %r: what is pending in %r fails with it", task, self._core, exc_info=error
            )
            broken = BrokenThreadPool(f"an internal error has ended all queues of the scheduler: {error!r}")
            broken.__cause__ = error
            with self._core.exclusive():  # from here on no task comes
                for slots in self._core._slots:
                    slots.broken = slots.broken or broken
                    if slots.pending_limit is not None:
                        slots.pending_limit.turn_away()
            found = [other for other in gc.get_objects() if issubclass(type(other), PlannedFuture)]
            with self._core.exclusive():
                if self._core._abandoned:
                    return
                if run is not None:
                    run.task = None
                    run.parked = False
                ended = self._end_without_planner(found, task, Failure(error, traceback_of(error)))
                for slots in self._core._slots:
                    self._empty(slots, run)
                left = [slots for slots in self._core._slots if not slots.runs]
                self._core._tell_watchers()
            self._core._finish(ended, task)  # type: ignore[arg-type]
            for slots in left:
                slots.pool.join(wait=False)

    def _end_without_planner(
        self, found: list[PlannedFuture[Any]], at_hand: PlannedFuture[Any] | None, failure: Failure
    ) -> list[Ended]:
        """Fail those *found* here that are pending, at no run, or *at_hand*.  The lock is held."""
        ended, self._core._untold = self._core._untold, []
        running = {task for slots in self._core._slots for run in slots.runs for task in run.tasks()}
        for future in found:
            slots: Slots | None = getattr(future, "_home", None)  # one that is being made has none yet
            if slots is None or slots.scheduler is not self._core:
                continue
            if future in running and future is not at_hand:
                continue
            if future.state <= RUNNING:  # else it has ended, and nobody was told
                future._end(failure)
                slots.failed += isinstance(future, Task)
            future.dependents = future.search = future.place = None
            if isinstance(future, Task) and future._barrier is not None:
                future._barrier = None
            forget(future)
            watch = future._watch
            future._leave(watch)
            ended.append((future, watch, slots))
        for relay in list(self._core._outside):
            if type(relay) is Foreign:
                self._core._forget(relay)
        self._core._outside.clear()
        self._core.planner = DependencyPlanner(self._core.order)
        self._core._next = self._core.allocating.starter()
        self._core._admit = self._core.planner.admit
        return ended

    def _empty(self, slots: Slots, struck: Run | None) -> None:
        """Note that nothing of *slots* is pending, and let its runs leave.  The lock is held."""
        slots.planner = None
        self._core.planner.add_queue(slots)
        slots.barrier = None
        slots.leave_unbegun()
        for run in list(slots.runs):
            if not run.tasks() and (run is struck or not slots.parks):
                slots.leave(run)
        slots.waiting = slots.ready = slots.waking = 0
        slots.running = sum(len(run.tasks()) for run in slots.runs)
        slots.parked = sum(run.parked for run in slots.runs)
        slots.ring(slots.parked)
