"""Threads that wait: for a future, for a condition of the whole scheduler, or for `resume`.

A thread outside of all tasks blocks.  A worker that waits inside a task runs, nested in its own slot and
thread, the tasks of its queue that the awaited future needs (see ``join_search``).  It blocks while there are
none.  So one slot is enough for tasks that wait for tasks, and two queues that wait for each other finish.

A wait is *registered* while it is in `Worker.waits`: searches of other workers follow it, and `why` shows it.
The waiting thread registers the wait before its search begins, and removes it at the end, both under the
scheduler's lock.  The lock also guards `worker.task` and `worker.suspended`; it is not held while a thread
blocks or a nested task runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from time import monotonic, sleep
from typing import Any

from .._calls.interrupts import headroom, uninterrupted
from .._core.blocking import acquire, block
from .._core.dispatch import Dispatcher
from .._core.exclusive import OF_THE_PARENT, Section, breakdown_on_error
from .._core.queue_state import CURRENT, QueueState, Worker
from .._core.searches import searches
from .._core.state import State
from .._core.wake import Wake
from .._futures.future import PlannedFuture
from .._futures.task import Task
from .cycles import cycle_of, in_words
from .join_search import AllTasks, AnyReady, JoinSearch
from .loop import nest
from .stall import is_blocked


class Waiting:
    """The part of a scheduler for threads that wait."""

    def __init__(self, core: State, wake: Wake, dispatcher: Dispatcher) -> None:
        # Constant: the state; the part that starts workers; the part that records a task's start.
        self._core = core
        self._wake = wake
        self._dispatcher = dispatcher

    # Waiting for a future.

    def wait_for(self, future: PlannedFuture[Any], timeout: float | None) -> bool:
        """Block the calling thread until *future* is done; return False after *timeout* seconds.

        Raises:
            RuntimeError: *future* needs the calling task.
        """
        if timeout is not None and timeout <= 0 and not self._core._abandoned:
            return future.done()  # without the lock, whose holder a signal handler may have interrupted
        worker = CURRENT.worker
        blocker: Any
        if worker is None:
            blocker = threading.Lock()
            blocker.acquire()
        else:
            blocker = JoinSearch(worker, lambda: (future,), future.done)
        with self._core.exclusive():
            if future.done():
                return True
            if self._core._abandoned:
                raise RuntimeError(OF_THE_PARENT)
            # No wake is lost: *future* is not done, and ends under this lock.  The thread that ends it wakes
            # each blocker in the list.
            at_end = future._get_at_end()
            at_end.locks.append(blocker)
        try:
            warn = partial(self._core.warn_if_stalled, future)
            if worker is None:
                return block(partial(acquire, blocker), timeout, warn) or future.done()
            return worker.queue.scheduler.waiting.help(blocker, timeout, warn)  # type: ignore[no-any-return]
        finally:
            # Not done: after a time-out, Ctrl-C, or the error about a cycle.
            with Section(self._core):
                if not future.done():  # else `_wake_waiters` may iterate over the list
                    at_end.locks.remove(blocker)

    def help(self, wait: JoinSearch, timeout: float | None, warn: Callable[[], bool]) -> bool:
        """Run the tasks that *wait* finds until it is satisfied; return False after *timeout* seconds.

        Called in the thread of a worker of this scheduler.  *warn* is as for `block`.

        Raises:
            RuntimeError: An awaited future needs the waiting task.
        """
        end = None if timeout is None else monotonic() + timeout
        headroom()  # once, for all sections of the wait: a RecursionError may not come between them
        opened = wait in searches  # by the caller, which also closes it
        try:
            if not opened:
                wait.open()
            self._begin(wait)
            return self._help(wait, end, warn)
        finally:
            try:
                with Section(self._core):
                    _end(wait, opened)
            except BaseException:  # Ctrl-C came before the section, or no stack is left for one
                with self._core.lock:
                    _end(wait, opened)
                raise

    def _begin(self, wait: JoinSearch) -> None:
        """Register *wait* with the workers of its thread, and extend other searches by it."""
        with Section(self._core):
            wait.active = True
            # A search that visits these workers later finds the wait in `waits`.  A search that has visited
            # them gets the event.  All are under this lock, so no search misses the wait.
            for worker in wait.workers:
                worker.waits.append((len(worker.suspended), wait))
            stacks = [worker.tasks() for worker in wait.workers]
            wait.held = [task for tasks in stacks for task in tasks[-1:]]
            tasks = {task for tasks in stacks for task in tasks}
            for other in list(searches):
                other.extend(wait, tasks)
            if self._core.condition_waiters:
                self._core.wake_condition_waiters()  # `at_rest` may be true now

    def _help(self, wait: JoinSearch, end: float | None, warn: Callable[[], bool]) -> bool:
        """Do what `help` does for a registered wait, until the time *end* of the monotonic clock."""
        may_be_cycle = wait.strict
        warned = False  # one warning a wait, however often it blocks

        def warn_once() -> bool:
            nonlocal warned
            warned = warned or warn()
            return warned

        while not wait.satisfied():
            left = None if end is None else end - monotonic()
            if left is not None and left <= 0:
                return wait.satisfied()
            if self._run_next(wait):
                continue
            # Nothing to run: look for a cycle, once, before the thread blocks.
            if may_be_cycle:
                may_be_cycle = False
                with Section(self._core):
                    cycle = cycle_of(wait)
                if cycle:
                    raise RuntimeError(in_words(cycle))
            # No wake is lost: each event since `take` found nothing has put an entry in `wakes`.
            block(wait.sleep, left, warn_once)
        return True

    def _run_next(self, wait: JoinSearch) -> bool:
        """Run the next task that *wait* finds; return False if it finds none and its search is complete."""
        outer = wait.worker
        # The thread of an inline queue may be the main thread: Ctrl-C after `take` would lose the task.
        with uninterrupted():
            starts = task = None
            worker, has_work = outer, False
            section = Section(self._core)
            with breakdown_on_error(self._core), section:
                task = wait.take()
                has_work = task is None and wait.has_work()
                if task is not None:
                    # The task runs in the slot of the waiting task: the queue's counts of workers stay.
                    worker = wait.homes[task._queue]
                    worker.suspended.append(worker.task)
                    worker.task = task
                    if worker.queue.has_rules:
                        starts = self._dispatcher.started(task)
            self._wake.start(starts)
            # The lock is not held from here on.
            if task is not None:
                CURRENT.worker = worker
                try:
                    nest(worker.queue, worker, task)
                finally:
                    CURRENT.worker = outer
            elif has_work:
                sleep(0)  # other threads may take the lock between two slices of the search
            elif outer.queue.inline and CURRENT.due:
                CURRENT.due.popleft()()
            else:
                return False
        return True

    def end_nested(self, worker: Worker) -> None:
        """Record that the nested task of *worker* has ended, and its suspended task goes on."""
        with Section(self._core):
            # The entries of `waits` stay valid: the waits of the nested task have ended with it.
            worker.task = worker.suspended.pop()
            if self._core.condition_waiters:
                self._core.wake_condition_waiters()  # the worker is blocked again, for `at_rest`

    # Waiting for `resume`.

    def pause(self, task: Task[Any]) -> None:
        """Block the thread of running *task* while the scheduler is stopped and *task* is not cancelled."""
        # `resume` and `cancel` release the blocker, under the lock under which it is added to `paused`.
        blocker = threading.Lock()
        blocker.acquire()
        with self._core.exclusive():
            at_end = task._get_at_end()
            if self._core.stopped and self._core.exiting:
                at_end.cancel_requested = True  # at interpreter exit nothing may call `resume` any more
            if not self._core.stopped or at_end.cancel_requested or self._core._abandoned:
                return
            self._core.paused.append((task, blocker))
            self._core.wake_condition_waiters()
        # Without a time-out: `resume`, `cancel` or interpreter exit releases the blocker.
        blocker.acquire()

    # Waiting until a condition holds.

    def until(
        self,
        holds: Callable[[], bool],
        timeout: float | None = None,
        queue: QueueState | None = None,
        warn: Callable[[], bool] | None = None,
    ) -> bool:
        """Block the calling thread until ``holds()``; inside a task, meanwhile run ready tasks of its queue.

        Args:
            holds: Returns True if the condition holds; called under the lock.
            timeout: Seconds to wait at most.
            queue: The queue whose tasks have to end for the condition; None: all queues.
            warn: As for `block`.

        Returns:
            False after *timeout* seconds.
        """
        core = self._core
        worker = CURRENT.worker
        blocker: Any = threading.Lock()
        blocker.acquire()
        if worker is not None:
            awaited = (AllTasks(core, queue),)
            blocker = AnyReady(worker, lambda: awaited, lambda: waiter not in core.condition_waiters, False)
        # `wake_condition_waiters` removes a waiter whose condition holds, and wakes its thread.
        waiter = (holds, blocker)
        stack = worker.tasks() if worker is not None and worker.queue.scheduler is core else []
        with core.exclusive():
            if core._abandoned:
                return True
            # The tasks of this thread wait, and do not count as running for any wait of this kind.
            core.waiting_stacks.append(stack)
            core.condition_waiters.append(waiter)
            # The condition may hold already; for other waiters too, now that these tasks wait.
            core.wake_condition_waiters()
        try:
            warn = warn or partial(core.warn_if_stalled, "tasks that run")
            if worker is None:
                block(partial(acquire, blocker), timeout, warn)
            else:
                worker.queue.scheduler.waiting.help(blocker, timeout, warn)
        finally:
            with core.exclusive():
                # By identity: two threads may have equal stacks, such as empty ones.
                core.waiting_stacks = [other for other in core.waiting_stacks if other is not stack]
                held = waiter not in core.condition_waiters
                if not held:
                    core.condition_waiters.remove(waiter)
        return held

    def at_rest(self) -> bool:
        """Return True if each running task waits for another task, or is paused.  The lock is held."""
        awaited: list[Any] = []  # other schedulers and ELSEWHERE: tasks that wait for these may go on
        workers = [worker for queue in self._core.queues for worker in queue.workers if worker.tasks()]
        return all(is_blocked(worker, awaited) for worker in workers) and not awaited


def at_work(scheduler: State, queue: QueueState | None = None) -> bool:
    """Return True if the calling thread runs a task of *scheduler*, and of *queue* if that is given."""
    worker = CURRENT.worker
    if worker is None or worker.queue.scheduler is not scheduler or not worker.tasks():
        return False
    return queue is None or worker.queue is queue


def _end(wait: JoinSearch, opened: bool) -> None:
    """Remove *wait* from its workers, if it is registered; close it unless its caller has *opened* it."""
    wait.active = False
    for worker in wait.workers:
        worker.waits[:] = [each for each in worker.waits if each[1] is not wait]
    if not opened:
        wait.close()
