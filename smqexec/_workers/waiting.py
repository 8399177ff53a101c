"""Threads that wait: for tasks, for a condition of the whole scheduler, for a resume.

A thread at no task blocks.  A worker that waits inside a task runs, nested in its own slot and thread, the
tasks of its queue that the awaited one needs, and no others (see ``join_search``); it blocks where there are
none.  So one slot is enough for tasks that wait for tasks, and two queues that wait for each other finish.

A wait is registered before it looks for tasks, and all under the scheduler's lock: as long as it is in
`Worker.waits`, searches of other workers follow it, and `why` shows it.
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
from .._core.exclusive import OF_THE_PARENT, Section
from .._core.loud import loud
from .._core.searches import searches
from .._core.shared import State
from .._core.state import CURRENT, QueueState, Worker
from .._core.wake import Wake
from .._futures.future import PlannedFuture
from .._futures.task import Task
from .cycles import cycle_of, in_words
from .join_search import AllTasks, AnyReady, JoinSearch
from .loop import nest
from .stall import rests


class Waiting:
    """How the threads of a scheduler wait."""

    def __init__(self, core: State, wake: Wake, dispatcher: Dispatcher) -> None:
        # Constant: the state, and the parts that start workers and that note a task's start.
        self._core = core
        self._wake = wake
        self._dispatcher = dispatcher

    # Waiting for a task.

    def wait_for(self, future: PlannedFuture[Any], timeout: float | None) -> bool:
        """Block the calling thread until *future* is done; False after *timeout* seconds.

        Raises:
            RuntimeError: The calling task is needed for *future*.
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
            # The thread that ends *future* does so under this lock, and wakes all that it finds here.
            at_end = future._get_at_end()
            at_end.locks.append(blocker)
        try:
            tell = partial(self._core.warn_if_stalled, future)
            if worker is None:
                return block(partial(acquire, blocker), timeout, tell) or future.done()
            return worker.queue.scheduler.waiting.help(blocker, timeout, tell)  # type: ignore[no-any-return]
        finally:
            with Section(self._core):
                if not future.done():  # else `unblock` may be going through the list
                    at_end.locks.remove(blocker)

    def help(self, wait: JoinSearch, timeout: float | None, tell: Callable[[], bool]) -> bool:
        """Run the tasks that *wait* finds until it is satisfied; False after *timeout* seconds.

        Called in the thread of a worker of this scheduler.  *tell* is as for `block`.

        Raises:
            RuntimeError: The waiting task is itself needed.
        """
        end = None if timeout is None else monotonic() + timeout
        headroom()  # once, for all sections of the wait: none may fail when others are done
        listens = wait in searches  # the caller has opened it, and closes it
        try:
            if not listens:
                wait.open()
            self._begin(wait)
            return self._help(wait, end, tell)
        finally:
            try:
                with Section(self._core):
                    _end(wait, listens)
            except BaseException:  # Ctrl-C came before the section, or no stack is left for one
                with self._core.lock:
                    _end(wait, listens)
                raise

    def _begin(self, wait: JoinSearch) -> None:
        """Register *wait* with the workers of its thread, and tell other searches of it."""
        with Section(self._core):
            wait.active = True
            # Searches that visit these workers from here on find the wait; the others are told of it.
            for worker in wait.workers:
                worker.waits.append((len(worker.suspended), wait))
                for other in list(searches):
                    other.extend(worker, wait)
            if self._core._watchers:
                self._core._tell_watchers()  # `at_rest` may hold now

    def _help(self, wait: JoinSearch, end: float | None, tell: Callable[[], bool]) -> bool:
        """Do what `help` does, for a registered wait."""
        may_be_cycle = wait.strict
        told = False

        def tell_once() -> bool:
            nonlocal told
            told = told or tell()
            return told

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
            # What has happened since `take` found nothing has put an entry in `wakes`: no wake is lost.
            block(wait.sleep, left, tell_once)
        return True

    def _run_next(self, wait: JoinSearch) -> bool:
        """Run the next task that *wait* finds; False where there is nothing to run, nor to look at."""
        outer = wait.worker
        # An inline queue's thread may be the main thread, and no other would run a task that was taken.
        with uninterrupted():
            starts = task = None
            worker, goes_on = outer, False
            section = Section(self._core)
            with loud(self._core), section:
                task = wait.take()
                goes_on = task is None and wait.goes_on()
                if task is not None:
                    # The task takes the slot of the waiting task; the queue's counts of workers stay.
                    worker = wait.homes[task._queue]
                    worker.suspended.append(worker.task)
                    worker.task = task
                    if worker.queue.has_rules:
                        starts = self._dispatcher.started(task)
            self._wake.start(starts)
            # Neither branch holds the lock.
            if task is not None:
                CURRENT.worker = worker
                try:
                    nest(worker.queue, worker, task)
                finally:
                    CURRENT.worker = outer
            elif goes_on:
                sleep(0)  # others may have the lock between two slices of the search
            elif outer.queue.inline and CURRENT.due:
                CURRENT.due.popleft()()
            else:
                return False
        return True

    def end_nested(self, worker: Worker) -> None:
        """Note that the nested task of *worker* has ended: the suspended one goes on."""
        with Section(self._core):
            worker.task = worker.suspended.pop()
            if self._core._watchers:
                self._core._tell_watchers()  # a task that waits again counts as held

    # Tasks that a stop holds.

    def pause(self, task: Task[Any]) -> None:
        """Block the thread of running *task* while the scheduler is stopped and *task* is not cancelled."""
        blocker = threading.Lock()
        blocker.acquire()
        with self._core.exclusive():
            at_end = task._get_at_end()
            if self._core._stopped and self._core.exiting:
                at_end.cancel_requested = True  # `resume` may never be called
            if not self._core._stopped or at_end.cancel_requested or self._core._abandoned:
                return
            self._core._paused.append((task, blocker))
            self._core._tell_watchers()
        blocker.acquire()

    # Waiting until a condition holds.

    def until(
        self,
        holds: Callable[[], bool],
        timeout: float | None = None,
        queue: QueueState | None = None,
        tell: Callable[[], bool] | None = None,
    ) -> bool:
        """Block the calling thread until *holds*; in a task, run meanwhile what is ready in its queue.

        Args:
            holds: Asked under the lock.
            timeout: Seconds to wait at most.
            queue: The queue whose tasks have to end for it; None: all queues.
            tell: As for `block`.
        """
        core = self._core
        worker = CURRENT.worker
        blocker: Any = threading.Lock()
        blocker.acquire()
        if worker is not None:
            awaited = (AllTasks(core, queue),)
            blocker = AnyReady(worker, lambda: awaited, lambda: watcher not in core._watchers, False)
        watcher = (holds, blocker)
        stack = worker.tasks() if worker is not None and worker.queue.scheduler is core else []
        with core.exclusive():
            if core._abandoned:
                return True
            # The tasks of this thread don't count as running for any such wait: they wait themselves.
            core._resting.append(stack)
            core._watchers.append(watcher)
            core._tell_watchers()
        try:
            tell = tell or partial(core.warn_if_stalled, "tasks that run")
            if worker is None:
                block(partial(acquire, blocker), timeout, tell)
            else:
                worker.queue.scheduler.waiting.help(blocker, timeout, tell)
        finally:
            with core.exclusive():
                core._resting = [other for other in core._resting if other is not stack]
                held = watcher not in core._watchers
                if not held:
                    core._watchers.remove(watcher)
        return held

    def at_rest(self) -> bool:
        """Return whether each running task waits for another one, or for a resume.  The lock is held."""
        awaited: list[Any] = []  # what may come from elsewhere
        workers = [worker for queue in self._core._queues for worker in queue.workers if worker.tasks()]
        return all(rests(worker, awaited) for worker in workers) and not awaited


def at_work(scheduler: State, queue: QueueState | None = None) -> bool:
    """Return whether the calling thread is at a task of *scheduler*, and of *queue*."""
    worker = CURRENT.worker
    if worker is None or worker.queue.scheduler is not scheduler or not worker.tasks():
        return False
    return queue is None or worker.queue is queue


def _end(wait: JoinSearch, listens: bool) -> None:
    """Undo what `Waiting.help` did for *wait*, as far as it did; close that unless it still *listens*."""
    wait.active = False
    for worker in wait.workers:
        worker.waits[:] = [each for each in worker.waits if each[1] is not wait]
    if not listens:
        wait.close()
