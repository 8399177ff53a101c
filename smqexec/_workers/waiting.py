"""Threads that wait for tasks, and tasks that hold while they run: for others, for a resume.

A thread that is at no task blocks.  A task that waits does, nested in its own
slot and thread, what the awaited one needs from its own queue, and that only
(see ``_needs``); it blocks where there is nothing of the sort.  So one slot is
enough for tasks that wait for tasks, and two queues that wait for each other
do not deadlock; a task that waits for itself is told so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from .._calls.interrupts import uninterrupted
from .._core.blocking import acquire, block
from .._core.dispatch import Dispatcher
from .._core.exclusive import OF_THE_PARENT
from .._core.loud import loud
from .._core.searches import searches
from .._core.shared import State
from .._core.state import CURRENT, QueueState, Worker
from .._core.wake import Wake
from .._futures.future import PlannedFuture
from .._futures.task import Task
from .._planner import Node
from .join_search import Anything, Everything, Needs
from .loop import nest
from .stall import rests


class Waiting:
    """How the threads of a scheduler wait."""

    def __init__(self, core: State, wake: Wake, dispatcher: Dispatcher) -> None:
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
            return future.done()  # not by the lock, which a handler may have interrupted
        worker = CURRENT.worker
        blocker: Any
        if worker is None:
            blocker = threading.Lock()
            blocker.acquire()
        else:
            blocker = Needs(worker, (future,), future.done)
        with self._core.exclusive():
            if future.done():
                return True
            if self._core._abandoned:
                raise RuntimeError(OF_THE_PARENT)
            watch = future._watched()
            watch.blocked.append(blocker)
        try:
            told = partial(self._core.warn_if_stalled, future)
            if worker is None:
                return block(partial(acquire, blocker), timeout, told) or future.done()
            return worker.queue.scheduler.waiting.help(blocker, timeout, told)  # type: ignore[no-any-return]
        finally:
            with self._core.exclusive():
                if not future.done():  # else `unblock` may be going through the list
                    watch.blocked.remove(blocker)

    def help(self, needs: Needs, timeout: float | None, told: Callable[[], bool]) -> bool:
        """Do what *needs* finds until it is satisfied; False after *timeout* seconds.

        For a thread of this scheduler's.  *told* is as for `block`.

        Raises:
            RuntimeError: The task that waits is itself needed.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        worker = needs.worker
        needs.deadline = deadline
        listens = needs in searches  # whoever opened it closes it
        try:
            needs.open()
            self._begin_to_wait(needs)
            return self._help(worker, needs, deadline, told)
        finally:
            try:
                with self._core.exclusive():
                    _end_waiting(needs, listens)
            except BaseException:  # Ctrl-C struck before the section, or no stack is left for one
                with self._core.lock:
                    _end_waiting(needs, listens)
                raise

    def _begin_to_wait(self, needs: Needs) -> None:
        """Note that the runs in the thread of *needs* can go on only when that is satisfied."""
        with self._core.exclusive():
            for worker in dict.fromkeys((*CURRENT.workers, needs.worker)):
                needs.depths[worker] = len(worker.below)
                worker.waits.append(needs)
                for other in list(searches):
                    other.extend(worker, needs)
            if self._core._watchers:
                self._core._tell_watchers()

    def _help(self, worker: Worker, needs: Needs, deadline: float | None, told: Callable[[], bool]) -> bool:
        silent = False  # it has told that nothing can go on

        def tell() -> bool:
            nonlocal silent
            silent = told()
            return silent

        while not needs.satisfied():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return needs.satisfied()
            busy = True
            # For an inline queue in the main thread: a task that was taken is done, or nobody ever would.
            with uninterrupted():
                starts = task = None
                home = worker
                section = self._core.exclusive()
                with loud(self._core), section:
                    task = needs.take()
                    if task is not None:
                        home = needs.homes[task._queue]
                        self.sink(home, task)
                        if home.queue.has_rules:
                            starts = self._dispatcher.started(task)
                self._wake.start(starts)
                if needs.circle:
                    raise RuntimeError(_told(needs.circle))
                if task is not None:
                    CURRENT.worker = home
                    try:
                        nest(home.queue, home, task)
                    finally:
                        CURRENT.worker = worker
                elif worker.queue.inline and CURRENT.due:
                    CURRENT.due.popleft()()
                else:
                    busy = False
            if busy:
                continue
            if silent:
                needs.sleep(left)
            else:
                block(needs.sleep, left, tell)
        return True

    # Tasks that are nested in others.

    def sink(self, worker: Worker, task: Task[Any]) -> None:
        """Note that *run* is at *task* now, nested in what it was at.  The lock is held."""
        worker.below.append(worker.task)
        worker.task = task

    def surface(self, worker: Worker) -> None:
        """Note that the nested task of *run* has ended: it is again at the one beneath."""
        with self._core.exclusive():
            worker.task = worker.below.pop()
            if self._core._watchers:
                self._core._tell_watchers()  # it holds again

    # Tasks that a stop holds.

    def pause(self, task: Task[Any]) -> None:
        """Block the thread of running *task* while the scheduler is stopped and nobody cancels *task*."""
        blocker = threading.Lock()
        blocker.acquire()
        with self._core.exclusive():
            watch = task._watched()
            if self._core._stopped and self._core.exiting:
                watch.asked = True  # nobody may ever resume it
            if not self._core._stopped or watch.asked or self._core._abandoned:
                return
            self._core._paused.append((task, blocker))
            self._core._tell_watchers()
        blocker.acquire()

    # Waiting until something holds.

    def until(
        self,
        holds: Callable[[], bool],
        timeout: float | None = None,
        queue: QueueState | None = None,
        told: Callable[[], bool] | None = None,
    ) -> bool:
        """Block the calling thread until *holds*; in a task, do meanwhile what is ready in its queue.

        Args:
            holds: Asked under the lock.
            timeout: Seconds to wait at most.
            slots: Whose tasks have to end for it; None: of all queues.
            told: As for `block`.
        """
        worker = CURRENT.worker
        blocker: Any = threading.Lock()
        blocker.acquire()
        if worker is not None:
            everything = Everything(self._core, queue)
            blocker = Anything(
                worker, everything, lambda: watcher not in self._core._watchers, timeout is None
            )
        watcher = (holds, blocker)
        own = worker is not None and worker.queue.scheduler is self._core
        stack = worker.tasks() if worker is not None and own else []
        with self._core.exclusive():
            if self._core._abandoned:
                return True
            self._core._resting.append(stack)
            self._core._watchers.append(watcher)
            self._core._tell_watchers()
        try:
            told = told or partial(self._core.warn_if_stalled, "tasks that run")
            if worker is None:
                block(partial(acquire, blocker), timeout, told)
            else:
                worker.queue.scheduler.waiting.help(blocker, timeout, told)
        finally:
            with self._core.exclusive():
                self._core._resting = [other for other in self._core._resting if other is not stack]
                held = watcher not in self._core._watchers
                if not held:
                    self._core._watchers.remove(watcher)
        return held

    def at_rest(self) -> bool:
        """Whether no running task can go on, but when one ends or at a resume.  The lock is held."""
        awaited: list[Any] = []  # what may come from elsewhere
        workers = [worker for queue in self._core._queues for worker in queue.workers if worker.tasks()]
        return all(rests(worker, awaited) for worker in workers) and not awaited


def at_work(scheduler: State, queue: QueueState | None = None) -> bool:
    """Whether the calling thread is at a task of *scheduler*, and of *slots*."""
    worker = CURRENT.worker
    if worker is None or worker.queue.scheduler is not scheduler or not worker.tasks():
        return False
    return queue is None or worker.queue is queue


def _told(circle: list[Node]) -> str:
    """What is wrong, where the first of *circle* is waited for, and the last is who waits."""
    first, *others = [repr(node) for node in circle if isinstance(node, PlannedFuture)]
    if not others:
        return f"waiting would never end: {first} waits for itself"
    return f"waiting would never end: {first} needs {', which needs '.join(others)}, which waits for it"


def _end_waiting(needs: Needs, listens: bool) -> None:
    """Undo what `Waiting.help` did for *needs*, which goes on to listen if it *listens*."""
    for worker in needs.depths:
        if needs in worker.waits:  # else Ctrl-C struck before
            worker.waits.remove(needs)
    needs.depths.clear()
    if not listens:
        needs.close()
