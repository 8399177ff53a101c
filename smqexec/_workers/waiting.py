"""Threads that wait: for a future, for a condition of the whole scheduler, or for `resume`.

A worker runs meanwhile, nested, what its wait finds: see ``waits``.  In the main thread signal handlers are
masked, except while the thread sleeps or calls user code: so one that raises leaves no wait behind, and loses
no task.  A thread outside of all tasks waits for one future without a search, and without a mask.
"""

from collections.abc import Callable
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, CancelledError
from contextlib import closing
from functools import partial
from time import sleep
from typing import Any

from .._calls.interrupts import DEFERRED, call_deferred, headroom, interruptible, make_room, uninterrupted
from .._core.exclusive import Section
from .._core.queue_state import CURRENT, SEARCH_LIMIT, QueueState, Worker
from .._core.state import State
from .._futures.future import PlannedFuture
from .._futures.task import Task
from .._futures.waiter import Waiter, deadline, left
from .loop import perform
from .stall import check_cycle, is_blocked, log_if_stalled
from .waits import Wait

# Python's recursion limit is raised by FRAMES for each nested task, as that needs so many frames of ours
# besides the user's own.  Levels beyond DEEPEST do not raise it: the limit is that of all threads, and
# recursion through C crashes at 3,000 to 7,000 frames (seen with `sorted` on CPython 3.13 and 3.11).
FRAMES, DEEPEST = 10, 2000


class ConditionWait(Wait):
    """A wait until a condition of a scheduler holds; its worker runs all ready tasks of its queue meanwhile.

    As an awaited future it stands for the tasks that have to end.
    """

    def __init__(
        self, core: State, holds: Callable[[], bool], queue: QueueState | None, warn: Callable[..., bool]
    ) -> None:
        super().__init__(set(), FIRST_COMPLETED)
        # Constant: the state of the awaited scheduler, which calls the condition under its lock; the queue
        # whose tasks have to end (None: all queues); and the function that logs that nothing can go on.
        self.core, self.queue, self.warn = core, queue, warn
        with core.exclusive():
            core.condition_waiters[self] = holds
            core.wake_condition_waiters()  # it may hold already

    def nodes(self) -> list[Any]:
        """Return the tasks that have to end.  The lock is held.  Cost: the whole graph."""
        found = self.core.running_tasks() + self.core.termination.pending()
        return [task for task in found if self.queue in (None, task._queue)]

    def awaited(self) -> set[Any]:
        return {self}

    def satisfied(self) -> bool:
        return self not in self.core.condition_waiters  # from when the condition has held once

    def close(self) -> None:
        self.leave_search()
        with Section(self.core):
            self.core.condition_waiters.pop(self, None)

    def freed(self, node: object = None) -> None:
        self.wake()

    ready_without_worker = freed

    def has_work(self) -> bool:
        return any(queue.ready for queue in self.homes) and not self.scheduler.stopped

    def take(self) -> Any:
        if not self.scheduler.stopped:
            for queue in self.homes:
                task = self.scheduler.take_next(queue, SEARCH_LIMIT)
                if task is not None:
                    return task
        return None


class Waiting:
    """The part of a scheduler for threads that wait."""

    def __init__(self, core: State) -> None:
        self._core = core  # constant

    def wait_for(self, future: PlannedFuture[Any], timeout: float | None) -> bool:
        """Block the calling thread until *future* is done; return False after *timeout* seconds."""
        if timeout is not None and timeout <= 0:
            return future.done()  # without the lock, whose holder a signal handler may have interrupted
        if CURRENT.workers:
            with uninterrupted(), closing(Wait({future}, ALL_COMPLETED)) as wait:
                return wait_for(wait, deadline(timeout))
        waiter = Waiter()  # a `Wait`, with its search, would cost some 5 µs more
        warn = partial(log_if_stalled, [future])
        ended = False  # True: the record goes with the end, and *waiter* with it
        try:
            try:
                # `interruptible`: an observer may wait here, and Ctrl-C is masked then.
                ended = (
                    not future._add_at_end("waiters", waiter)
                    or interruptible(waiter.block, timeout, warn)
                    or future.done()
                )
            finally:
                if not ended:
                    future._condition.remove(waiter)
        finally:  # again, as Ctrl-C may have prevented it
            if not ended:
                future._condition.remove(waiter)
        return ended

    def until(
        self,
        holds: Callable[[], bool],
        warn: Callable[..., bool],
        timeout: float | None = None,
        queue: QueueState | None = None,
    ) -> bool:
        """Block the calling thread until ``holds()``; return False after *timeout* seconds.

        The tasks of *queue*, or of all queues, have to end for that.  *warn* is as for `Waiter.block`, and
        gets *over*, which returns True once the wait is over.
        """
        with uninterrupted(), closing(ConditionWait(self._core, holds, queue, warn)) as wait:
            return wait_for(wait, deadline(timeout))

    def checkpoint(self, task: Task[Any]) -> None:
        """Block running *task* while the scheduler is stopped; raise CancelledError if it was cancelled."""
        # Both fields are read without the lock: the next checkpoint sees a change that comes now.
        if self._core.stopped:
            self._pause(task)
        at_end = task._at_end
        if at_end is not None and at_end.cancel_requested:
            raise CancelledError()

    def _pause(self, task: Task[Any]) -> None:
        """Block the thread of running *task* while the scheduler is stopped and *task* is not cancelled."""
        core = self._core
        # `resume`, `cancel` and interpreter exit wake it, under the lock under which it enters `paused`.
        waiter = Waiter()
        with core.exclusive():
            at_end = task._get_at_end()
            if core.stopped and core.exiting:
                at_end.cancel_requested = True  # at interpreter exit nothing may call `resume` any more
            if not core.stopped or at_end.cancel_requested:
                return
            core.paused[task] = waiter
            core.wake_condition_waiters()  # `at_rest` may be true now
        try:
            interruptible(waiter.sleep)  # the loop of an inline queue masks Ctrl-C at a `yield`
        finally:
            with core.exclusive():
                core.paused.pop(task, None)  # it is still there after Ctrl-C

    def at_rest(self) -> bool:
        """Return True if each running task waits for another task, or is paused.  The lock is held."""
        awaited: list[Any] = []  # other schedulers and ELSEWHERE: tasks that wait for these may go on
        workers = [worker for queue in self._core.queues for worker in queue.workers if worker.tasks()]
        return all(is_blocked(worker, awaited) for worker in workers) and not awaited


def at_work(scheduler: State, queue: QueueState | None = None) -> bool:
    """Return True if the calling thread runs a task of *scheduler*, and of *queue* if that is given."""
    found = [worker.queue for worker in CURRENT.workers if worker.tasks()]
    return any(each.scheduler is scheduler and queue in (None, each) for each in found)


def wait_for(wait: Wait, end: float | None) -> bool:
    """Block the calling thread until *wait* is satisfied; return False at the time *end* of `monotonic`."""
    if wait.satisfied():
        return True
    headroom()  # once, for all sections of the wait: a RecursionError may not come between them
    with uninterrupted(), wait:
        may_be_cycle = wait.strict and bool(wait.workers)
        while not wait.satisfied():
            seconds = left(end)
            if seconds is not None and seconds <= 0:
                return False
            if wait.workers and _run_next(wait):
                continue
            # Nothing to run: look for a cycle, once, before the thread sleeps.
            if may_be_cycle:
                may_be_cycle = False
                check_cycle(wait)
            # No wake is lost: each event since the search found nothing has called `wake`.
            interruptible(wait.block, seconds, partial(_warn, wait))
    return True


def _warn(wait: Wait) -> bool:
    """Log, once, why *wait* may never end, if nothing can go on; return True if that was logged."""
    if not wait.warned and isinstance(wait, ConditionWait):
        wait.warned = wait.warn(over=wait.satisfied)
    elif not wait.warned:
        wait.warned = log_if_stalled(wait.awaited())
    return wait.warned


def _run_next(wait: Wait) -> bool:
    """Run the next task that the search of *wait* finds; return False if there is none."""
    core = wait.scheduler
    task = None
    has_work = False
    try:
        with Section(core):
            found = wait.take()
            has_work = found is None and wait.has_work()
            if found is not None:
                found._get_at_end()  # so it ends by `complete`, which gives *worker* no other task
                # The task runs in the slot of the waiting task: the queue's counts of workers stay.
                worker = wait.homes[found._queue]
                worker.suspended.append(worker.task)
                worker.task = task = found  # it runs now, whatever is raised; before, `break_down` failed it
                if worker.queue.has_rules:
                    core.dispatcher.started(task)
            elif not has_work:
                # The thread blocks again, as after the end of one of several futures: `at_rest` may hold now.
                core.wake_condition_waiters()
    except Exception as error:  # not by `changing`, whose end takes memory, and would lose *task*
        core.break_down(error)
    if task is not None:
        _nest(wait.homes[task._queue], task)
    elif has_work:
        sleep(0)  # other threads may take the lock between two slices of the search
    elif CURRENT.due:  # a worker for which no other thread is there: see ``pools``
        CURRENT.due.popleft()()
    else:
        return False
    return True


def _nest(worker: Worker, task: Task[Any]) -> None:
    """Run *task* in the slot and thread of *worker*, nested in the task of this thread that waits."""
    core, outer, raises_limit = worker.queue.scheduler, CURRENT.worker, False
    try:
        CURRENT.worker = worker
        if len(worker.suspended) <= DEEPEST:
            make_room(FRAMES)
            raises_limit = True
        # No task after this one: the suspended task may be able to go on.
        perform(worker.queue, worker, lambda queue, worker: task)
    except Exception as error:  # there was no memory to call `perform`, which raises none
        core.break_down(error, worker, task)
    finally:
        with core.lock:  # not by a `Section`, for which there may be no memory; handlers are masked
            worker.task = worker.suspended.pop()  # `waits` stays valid: those of the nested task have ended
        CURRENT.worker = outer
        if DEFERRED:
            call_deferred()
        if raises_limit:
            make_room(-FRAMES)
