"""Errors of our own: they are logged, and no thread waits for what will never come.

An exception in the middle of a change leaves the planner in an unknown state.  All queues of a scheduler
share the planner, so all are broken then: pending tasks fail with the exception, without any call of the
planner, and `submit` raises.  Running tasks go on, and their results are published.
"""

from __future__ import annotations

import gc
from concurrent.futures.thread import BrokenThreadPool
from typing import Any

from .._calls.frames import traceback_of
from .._calls.interrupts import LOGGER, uninterrupted
from .._futures.future import Failure, PlannedFuture
from .._futures.relays import Foreign
from .._futures.task import Task
from .._planner import RUNNING, DependencyPlanner
from .queue_state import QueueState, Worker
from .searches import forget
from .state import Ended, State
from .termination import Termination


class Breakdown:
    """How a scheduler ends its tasks after an error of our own."""

    def __init__(self, core: State, termination: Termination) -> None:
        self._core = core
        self._termination = termination

    def break_down(
        self, error: BaseException, worker: Worker | None = None, task: PlannedFuture[Any] | None = None
    ) -> None:
        """Fail all pending tasks with *error*, which our own code has raised, and take no more.

        Args:
            error: The exception.
            worker: The worker that met it; it leaves, unless a task of it waits.
            task: The task or item at hand, which ends too.

        Cost: a look at each object of the process, since no link between tasks can be trusted.
        """
        with uninterrupted():
            message = "internal error of smqexec at %r: all pending tasks of %r fail with it"
            LOGGER.critical(message, task, self._core, exc_info=error)
            broken = BrokenThreadPool(f"an internal error has ended all queues of the scheduler: {error!r}")
            broken.__cause__ = error
            with self._core.exclusive():  # from here on no task is added
                for queue in self._core.queues:
                    queue.refuse(broken)
            found = [other for other in gc.get_objects() if issubclass(type(other), PlannedFuture)]
            with self._core.exclusive():
                if self._core._abandoned:
                    return
                if worker is not None:
                    worker.task = None
                ended = self._end_without_planner(found, task, Failure(error, traceback_of(error)))
                for queue in self._core.queues:
                    self._empty(queue, worker)
                left = [queue for queue in self._core.queues if not queue.workers]
                self._core.wake_condition_waiters()
            self._termination.finish(ended, task)  # type: ignore[arg-type]
            for queue in left:
                queue.pool.join(wait=False)

    def _end_without_planner(
        self, found: list[PlannedFuture[Any]], at_hand: PlannedFuture[Any] | None, failure: Failure
    ) -> list[Ended]:
        """Fail those of *found* that belong to this scheduler and do not run, and *at_hand*.  Locked."""
        ended: list[Ended] = []
        running = set(self._core.running_tasks())
        for future in found:
            queue: QueueState | None = getattr(future, "_home", None)  # none yet while it is made
            if queue is None or queue.scheduler is not self._core:
                continue
            if future in running and future is not at_hand:
                continue
            if future._stage <= RUNNING:  # else it has ended, and its waiters sleep
                future._end(failure)
                queue.failed += isinstance(future, Task)
            future._dependents = future._search = future._place = None
            if isinstance(future, Task) and future._barrier is not None:
                future._barrier = None
            forget(future)
            at_end = future._at_end
            future._leave(at_end)
            ended.append((future, at_end, queue))
        for relay in list(self._core.relays):
            if type(relay) is Foreign:
                self._termination.forget(relay)
        self._core.relays.clear()
        self._core.planner = DependencyPlanner(self._core.order)
        self._core.take_next = self._core.allocating.starter()
        self._core.add_node = self._core.planner.add
        return ended

    def _empty(self, queue: QueueState, broken: Worker | None) -> None:
        """Note that nothing of *queue* is pending, and let its workers leave.  The lock is held."""
        self._core.planner.add_queue(queue)
        queue.barrier = None
        queue.leave_unbegun()
        for worker in list(queue.workers):
            if not worker.tasks() and (worker is broken or not queue.keeps_idle):
                queue.leave(worker)
        queue.waiting = queue.ready = 0
        queue.running = sum(len(worker.tasks()) for worker in queue.workers)
        queue.wake_idle()
