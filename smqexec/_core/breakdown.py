"""Errors of our own: each is logged, and no thread waits for what will never come.

An exception of our own code in the middle of a change leaves the planner in an unknown state.  All queues of
a scheduler share the planner, so all break down together: pending tasks fail with the exception, without any
call of the planner, and `submit` raises from then on.  Running tasks go on, and their results are published.
An exception from outside, such as Ctrl-C in a submit, breaks nothing down: see ``interrupted``.
"""

from __future__ import annotations

import gc
from concurrent.futures.thread import BrokenThreadPool
from typing import Any

from .._calls.interrupts import LOGGER, uninterrupted
from .._futures.future import Failure, PlannedFuture
from .._futures.task import Task
from .._planner import RUNNING, DependencyPlanner
from .exclusive import Forked
from .queue_state import QueueState, Worker
from .state import Ended, State


def break_down(
    core: State, error: BaseException, worker: Worker | None = None, task: PlannedFuture[Any] | None = None
) -> None:
    """Fail all pending tasks, and *task* that *worker* was at, with *error* of our own code; take no more."""
    if isinstance(error, Forked):  # no fault: a task of the parent has ended in a child
        if worker is not None:
            worker.task = None
        return
    with uninterrupted():
        LOGGER.critical(
            "internal error at %r: what is pending in %r fails with it", task, core, exc_info=error
        )
        broken = BrokenThreadPool(f"an internal error has ended all queues of the scheduler: {error!r}")
        broken.__cause__ = error
        # No task is added from here on, so the search misses none.
        with core.exclusive():
            for queue in core.queues:
                queue.refuse(broken)
        # No link between tasks can be trusted.  Without the lock: this looks at each object of the process.
        found = [other for other in gc.get_objects() if issubclass(type(other), PlannedFuture)]
        with core.exclusive():
            if worker is not None:
                worker.task = None
            ended = _end_without_planner(core, found, Failure(error))
            for queue in core.queues:
                _empty(queue, worker)
            without_workers = [queue for queue in core.queues if not queue.workers]
            core.wake_condition_waiters()
        core.termination.finish(ended, task)
        for queue in without_workers:  # so no last worker ends the pool
            queue.pool.join(wait=False)


def _end_without_planner(core: State, found: list[PlannedFuture[Any]], failure: Failure) -> list[Ended]:
    """Fail those of *found* that belong to this scheduler and that no worker runs.  The lock is held."""
    ended: list[Ended] = []
    # By the workers, not by `_stage`: the task at hand has the stage, and no worker any more.
    running = set(core.running_tasks())
    for future in found:
        queue: QueueState | None = getattr(future, "_home", None)  # none yet while it is made
        if queue is None or queue.scheduler is not core or future in running:
            continue
        if future._stage <= RUNNING:  # else it has ended, and its waiters sleep
            future._end(failure)
            queue.failed += isinstance(future, Task)
        # No link to another task stays: each would keep results alive.
        future._dependents = future._search = future._place = None
        at_end = future._at_end
        future._leave()
        ended.append((future, at_end, queue))
    core.relays.clear()
    # For the tasks that run: their ends call it.
    core.planner = DependencyPlanner(core.order)
    core.take_next = core.planner.order.take
    core.add_node = core.planner.add
    return ended


def _empty(queue: QueueState, broken: Worker | None) -> None:
    """Note that nothing of *queue* is pending, and let its workers leave.  The lock is held."""
    queue.scheduler.planner.add_queue(queue)
    for worker in list(queue.workers):
        # A thread leaves as `begin` finds that the queue ends; *broken* and workers without one never ask.
        if not worker.tasks() and (worker is broken or not queue.keeps_idle):
            queue.leave(worker)
    queue.waiting = queue.ready = 0
    queue.running = sum(len(worker.tasks()) for worker in queue.workers)
    queue.wake_idle()
