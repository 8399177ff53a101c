"""Withdraw a task whose submit was interrupted.

Ctrl-C, RecursionError and MemoryError may be raised at any line of `Submission.add`, also while it holds the
lock.  The caller never receives the task then.  So the task is cancelled by the normal path; and the order,
which is a cache over the graph, is rebuilt before the lock is released.

The interrupted thread does not do this itself: Ctrl-C may be pressed again, and no stack may be left for a
call.  It keeps the lock, and starts another thread, which does, and reports by entries of a list, *progress*.
At `UNDONE` the interrupted thread releases the lock, and at `OVER` it raises the exception again.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

from .._futures.at_end import Foreign
from .._futures.task import Task
from .._planner import NEW, RUNNING, WAITING
from .exclusive import breakdown_on_error
from .queue_state import QueueState
from .state import Effects, State

# The task is cancelled; and its waiters are woken, its callbacks called, and workers started.
UNDONE, OVER = "undone", "over"


def withdraw(
    core: State, progress: list[Any], locked: bool, queue: QueueState, task: Task[Any], ended: Any
) -> None:
    """Cancel *task* of *queue*, unless a worker has started it, and leave the scheduler as without it.

    If *locked*, the interrupted thread has the lock.  If *ended*, the task ended, but was not finished.
    """
    claim = object()
    progress.append(claim)
    if progress[0] is not claim:
        return  # Ctrl-C was pressed as this thread was started, and a second thread was started
    try:
        # An error of our own must not leave the interrupted thread waiting.
        with breakdown_on_error(core):
            if locked:
                try:
                    # No worker has seen *task*: the lock was not released since it was added.
                    effects = _undo(core, queue, task, True)
                finally:
                    progress.append(UNDONE)
                    if core.lock._is_owned():  # by this thread: no other could start
                        core.lock.release()
            else:
                with core.exclusive():
                    effects = _undo(core, queue, task, ended)
            core.termination.perform(effects, None if task._serial else task)
    finally:
        progress.append(OVER)


def _undo(core: State, queue: QueueState, task: Task[Any], ended: Any) -> Effects:
    """Repair the order and the workers, and cancel *task*.  The lock is held, maybe by another thread."""
    if not hasattr(task, "_number"):  # the interruption came before the end of `add` of the planner
        task._home, task._stage = None, NEW
    # From these `rebuild` finds all pending nodes; *task* may be half added.
    others = [task, *core.running_tasks(), *core.relays, *chain(*core.unfinished_drops)]
    core.planner.rebuild(core.queues, others)
    for each in core.queues:
        # A worker that has not begun may never have been given to its backend; if it was, it leaves.  Any
        # other may have been interrupted on the way from `idle` to `coming`, and be in neither.
        each.leave_unbegun()
        for worker in each.workers:
            worker.wakes.put(None)
    effects = Effects()
    if WAITING <= task._stage < RUNNING:
        core.termination.drop(task, None, effects)
        queue.cancelled -= 1  # it does not count as submitted
    elif task._stage == NEW or ended:
        # It was never added; or it ended as it was added, as a dependency has failed.
        if task._stage == NEW:
            task._end(None)
        effects.ended.append((task, None, queue))
    elif task._allocation is not None:
        # It runs, or has run, as a worker was faster.  No `release` can name it: so it must keep no units.
        core.wake.tell_searches(core.allocating.release(task._allocation))
    # Relays that were added for *task* before it was added itself.
    for relay in list(core.relays):
        if type(relay) is Foreign and not relay._dependents:
            core.termination.forget(relay)
    effects.starts = core.wake.wake_all(effects.starts)
    return effects
