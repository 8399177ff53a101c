"""How a scheduler recovers from an exception in the middle of a change.

An exception from outside (Ctrl-C, RecursionError, MemoryError) may be raised at any line of `Submission.add`,
also while it holds the lock, and the caller never gets the task.  So `withdraw` rebuilds the order, a cache
over the graph, and cancels the task.  It runs in another thread, as Ctrl-C may be pressed again, and no stack
may be left.  By entries of *progress* it tells the interrupted thread when to release the lock, and to raise.

An exception of our own code leaves the planner in an unknown state.  So `break_down` fails all pending tasks
with it, without the planner, and `submit` raises from then on.  Running tasks go on.
"""

import gc
from concurrent.futures.thread import BrokenThreadPool
from typing import Any

from .._calls.interrupts import LOGGER, uninterrupted
from .._futures.at_end import Foreign
from .._futures.future import Failure, PlannedFuture
from .._futures.task import Task
from .._planner.nodes import NEW, RUNNING, WAITING
from .._planner.planner import DependencyPlanner
from .exclusive import Forked
from .queue_state import QueueState, Worker
from .state import Ended, State

# UNDONE: the task is cancelled.  OVER: its waiters are woken, its callbacks called, and workers started, too.
UNDONE, OVER = "undone", "over"


def withdraw(core: State, progress: list[Any], locked: bool, queue: QueueState, task: Task[Any]) -> None:
    """Cancel *task*, if it has not started, and repair all else.  *locked*: its thread has the lock."""
    claim = object()
    progress.append(claim)
    if progress[0] is not claim:
        return  # Ctrl-C was pressed as this thread was started, and a second thread was started
    try:
        if locked:
            try:
                # No worker has seen *task*: the lock was not released since it was added.
                starts, all_ended = _undo(core, queue, task)
            finally:
                progress.append(UNDONE)
                if core.lock._is_owned():  # by this thread: no other could start
                    core.lock.release()
        else:
            with core.exclusive():
                starts, all_ended = _undo(core, queue, task)
        core.start_workers(starts)
        core.termination.finish(all_ended, None if task._serial else task)
    except Exception as error:  # of our own: it must not leave the interrupted thread waiting
        core.break_down(error)
    finally:
        progress.append(OVER)


def _undo(core: State, queue: QueueState, task: Task[Any]) -> tuple[list[Worker], list[Ended]]:
    """Repair the order and the workers, and cancel *task*.  The lock is held, maybe by another thread."""
    if not hasattr(task, "_number"):  # the interruption came before the end of `add` of the planner
        task._home, task._stage = None, NEW
    core.planner.rebuild(core.queues, [task, *core.roots()])  # *task* may be half added
    for each in core.queues:
        # The backend may lack a worker that has not begun; others may be in neither `idle` nor `coming`.
        each.leave_unbegun()
        for worker in each.workers:
            worker.wakes.put(None)
    all_ended: list[Ended] = []
    if WAITING <= task._stage < RUNNING:
        core.termination.drop(task, None, all_ended)
        queue.cancelled -= 1  # *task* does not count as submitted
    elif task._stage == NEW:
        task._end(None)
        all_ended.append((task, None, queue))
    elif task._allocation is not None:
        # A worker has started *task*.  Its caller never gets it and can't `release` it: so it keeps no units.
        core.wake_for(core.allocating.release(task._allocation))
    # Relays that were added for *task* before *task* was added.
    for relay in list(core.relays):
        if type(relay) is Foreign and not relay._dependents:
            core.termination.forget(relay)
    core.wake_all()
    return core.take_starts(), all_ended


def break_down(
    core: State, error: BaseException, worker: Worker | None = None, task: PlannedFuture[Any] | None = None
) -> None:
    """Fail all pending tasks, and *task* of *worker*, with *error* of our own code; refuse new tasks."""
    if isinstance(error, Forked):  # no fault: a task of the parent has ended in a child
        if worker is not None:
            worker.task = None
        return
    if core.lock._is_owned():  # *error* came in a hold of the lock
        core.lock.release()
    with uninterrupted():
        message = "internal error at %r: what is pending in %r fails with it"
        LOGGER.critical(message, task, core, exc_info=error)
        broken = BrokenThreadPool(f"an internal error has ended all queues of the scheduler: {error!r}")
        broken.__cause__ = error
        # No task is added from here on, so the search for tasks below misses none.
        with core.exclusive():
            for queue in core.queues:
                queue.refuse(broken)
        # No link between tasks can be trusted.  Without the lock, as this visits all objects of the process.
        found = [other for other in gc.get_objects() if issubclass(type(other), PlannedFuture)]
        with core.exclusive() as section:
            if worker is not None:
                worker.task = None
            ended = core.termination.ended_in(section, task)
            ended += _end_without_planner(core, found, Failure(error), worker)
            for queue in core.queues:
                if not queue.workers:  # otherwise the last worker ends the backend
                    section.then(queue.backend.join, False)
            core.wake_condition_waiters()


def _end_without_planner(
    core: State, found: list[PlannedFuture[Any]], failure: Failure, broken: Worker | None
) -> list[Ended]:
    """Fail the futures of *found* that belong to this scheduler and that no worker runs; empty the queues."""
    ended: list[Ended] = []
    # Not by `_stage`: the task of `break_down` may be RUNNING, and no worker runs it any more.
    running = set(core.running_tasks())
    for future in found:
        home: Any = getattr(future, "_home", None)  # none if it is being made
        if home not in core.queues or future in running:
            continue
        if future._stage <= RUNNING:  # otherwise it has ended, and its waiters were not woken
            future._end(failure)
            home.failed += isinstance(future, Task)
        ended.append((future, future._at_end, home))
        future._leave()
    for node in (*running, *core.relays):
        node._dependents = None  # the end of *node* must not reach what has failed here
    core.relays.clear()
    # A new planner, as the ends of running tasks call it.
    core.use_planner(DependencyPlanner(core.order))
    for queue in core.queues:
        core.planner.add_queue(queue)
        for worker in list(queue.workers):
            # A worker with a thread leaves by `begin`; *broken*, and workers without one, do not call it.
            if not worker.tasks() and (worker is broken or not queue.keeps_idle):
                queue.leave(worker)
        queue.waiting = queue.ready = 0
        queue.running = sum(len(worker.tasks()) for worker in queue.workers)
        for worker in queue.workers:  # *error* may have struck between a worker's wake and its mark as coming
            worker.wakes.put(None)
    return ended
