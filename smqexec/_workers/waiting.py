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
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from .._calls.interrupts import DEFERRED, call_deferred
from .._core.blocking import acquire, block
from .._core.exclusive import OF_THE_PARENT, Exclusive
from .._core.loud import loud
from .._core.searches import searches
from .._core.state import HERE, EventSink, Run, Slots
from .._futures.future import PlannedFuture
from .._futures.task import Task
from .._planner import DependencyPlanner, Node
from .join_search import Anything, Everything, Needs
from .loop import nest
from .stall import rests

# How often a thread asks for the lock before it blocks.
SPINS = 20


class Waiting(Exclusive):
    """What a scheduler is made of, and how its threads wait."""

    def __init__(self, order: str, stopped: bool) -> None:
        super().__init__()
        self.planner = DependencyPlanner(order)
        self.order = order
        self._stopped = stopped
        self._slots: list[Slots] = []
        # Who waits for what: (whether it holds, a lock to release once it does).
        self._watchers: list[tuple[Callable[[], bool], Any]] = []
        # The running tasks beneath each wait for something to hold, and that wait's own.
        self._resting: list[list[Any]] = []
        # Running tasks that a stop holds, each with the lock that its thread waits for.
        self._paused: list[tuple[PlannedFuture[Any], Any]] = []
        # With debug=True: gives what to call when somebody looks at a failure of a task of that queue.
        self.watch_failure: Callable[[BaseException, str], Callable[[], object]] | None = None
        self._abandoned = False  # this is a forked child, and the threads are the parent's
        self.exiting = False  # the interpreter is

    observers: EventSink  # replaced under the lock; set before all else

    if TYPE_CHECKING:
        # Of the other half: see ``_core.dispatch``.
        def _started(self, task: Task[Any]) -> Any: ...

        def _start(self, starts: Any) -> None: ...

        def allocate(self, task: Any) -> bool: ...

        def take(self, slots: Slots, limit: int) -> Any: ...

        def warn_if_stalled(self, awaited: PlannedFuture[Any] | str) -> bool: ...

        def break_down(
            self, error: BaseException, run: Run | None = None, task: PlannedFuture[Any] | None = None
        ) -> None: ...

    def _tell_watchers(self) -> None:
        for watcher in self._watchers.copy():
            holds, blocker = watcher
            if holds():
                self._watchers.remove(watcher)
                blocker.release()

    def _let_in(self) -> None:
        """Let others have the lock, which is held, in between."""
        self.lock.release()
        time.sleep(0)
        self.lock.acquire()

    def _queue_up(self) -> None:
        """Wait for a while until the lock is free, without taking it.  Not where Ctrl-C may strike.

        It is held for a microsecond or two.  Whoever holds it and lost the
        interpreter lock meanwhile needs that first.  A thread that blocks at
        once is given the lock as it is released, but has yet to get the
        interpreter lock, so that the next one blocks too, and from then on
        every task costs a change of threads: three times as much where 16
        threads submit.  Sleeping for no time lets the holder go on, and gives
        the lock to nobody.
        """
        for _ in range(SPINS):
            if self.lock.acquire(False):  # `locked` says no while who was given it has yet to go on
                self.lock.release()
                return
            time.sleep(0)

    def _lock(self) -> None:
        """Take the lock that another thread holds.  For runs, which no signal interrupts."""
        self._queue_up()
        self.lock.acquire()

    # Waiting for a task.

    def wait_for(self, future: PlannedFuture[Any], timeout: float | None) -> bool:
        """Block the calling thread until *future* is done; False after *timeout* seconds.

        Raises:
            RuntimeError: The calling task is needed for *future*.
        """
        if timeout is not None and timeout <= 0 and not self._abandoned:
            return future.done()  # not by the lock, which a handler may have interrupted
        run = HERE.run
        blocker: Any
        if run is None:
            blocker = threading.Lock()
            blocker.acquire()
        else:
            blocker = Needs(run, (future,), future.done)
        with self.exclusive():
            if future.done():
                return True
            if self._abandoned:
                raise RuntimeError(OF_THE_PARENT)
            watch = future._watched()
            watch.blocked.append(blocker)
        try:
            told = partial(self.warn_if_stalled, future)
            if run is None:
                return block(partial(acquire, blocker), timeout, told) or future.done()
            return run.slots.scheduler.help(blocker, timeout, told)  # type: ignore[no-any-return]
        finally:
            with self.lock:
                if not future.done():  # else `unblock` may be going through the list
                    watch.blocked.remove(blocker)
            if DEFERRED:
                call_deferred()

    def help(self, needs: Needs, timeout: float | None, told: Callable[[], bool]) -> bool:
        """Do what *needs* finds until it is satisfied; False after *timeout* seconds.

        For a thread of this scheduler's.  *told* is as for `block`.

        Raises:
            RuntimeError: The task that waits is itself needed.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        run = needs.run
        needs.deadline = deadline
        opened = needs.open()
        try:
            self._begin_to_wait(needs)
            return self._help(run, needs, deadline, told)
        finally:
            with self.lock:
                for other in needs.depths:
                    with suppress(ValueError):  # Ctrl-C struck before
                        other.waits.remove(needs)
                needs.depths.clear()
            if opened:
                needs.close()
            if DEFERRED:
                call_deferred()

    def _begin_to_wait(self, needs: Needs) -> None:
        """Note that the runs in the thread of *needs* can go on only when that is satisfied."""
        with self.exclusive():
            for run in dict.fromkeys((*HERE.runs, needs.run)):
                needs.depths[run] = len(run.below)
                run.waits.append(needs)
                for other in list(searches):
                    other.extend(run, needs)
            if self._watchers:
                self._tell_watchers()

    def _help(self, run: Run, needs: Needs, deadline: float | None, told: Callable[[], bool]) -> bool:
        silent = False  # it has told that nothing can go on

        def tell() -> bool:
            nonlocal silent
            silent = told()
            return silent

        while not needs.satisfied():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return needs.satisfied()
            starts = task = None
            home = run
            with loud(self), self.lock:
                task = needs.take()
                if task is not None:
                    home = needs.homes[task.queue]
                    self.sink(home, task)
                    if home.slots.attentive:
                        starts = self._started(task)
            if DEFERRED:
                call_deferred()
            self._start(starts)
            if needs.circle:
                raise RuntimeError(_told(needs.circle))
            if task is not None:
                HERE.run = home
                try:
                    nest(home.slots, home, task)
                finally:
                    HERE.run = run
            elif run.slots.inline and HERE.due:
                HERE.due.popleft()()
            elif silent:
                needs.sleep(left)
            else:
                block(needs.sleep, left, tell)
        return True

    # Tasks that are nested in others.

    def sink(self, run: Run, task: Task[Any]) -> None:
        """Note that *run* is at *task* now, nested in what it was at.  The lock is held."""
        run.below.append(run.task)
        run.task = task

    def surface(self, run: Run) -> None:
        """Note that the nested task of *run* has ended: it is again at the one beneath."""
        with self.lock:
            run.task = run.below.pop()
            if self._watchers:
                self._tell_watchers()  # it holds again
        if DEFERRED:
            call_deferred()

    # Tasks that a stop holds.

    def pause(self, task: Task[Any]) -> None:
        """Block the thread of running *task* while the scheduler is stopped and nobody cancels *task*."""
        blocker = threading.Lock()
        blocker.acquire()
        with self.exclusive():
            watch = task._watched()
            if self._stopped and self.exiting:
                watch.asked = True  # nobody may ever resume it
            if not self._stopped or watch.asked or self._abandoned:
                return
            self._paused.append((task, blocker))
            self._tell_watchers()
        blocker.acquire()

    def _unpause(self, tasks: Sequence[PlannedFuture[Any]] | None = None) -> None:
        """Let paused tasks go on: these, or all.  The lock is held."""
        paused, self._paused = self._paused, []
        for task, blocker in paused:
            if tasks is None or task in tasks:
                blocker.release()
            else:
                self._paused.append((task, blocker))

    def _ask(self, task: PlannedFuture[Any]) -> None:
        """Ask a running task to end.  The lock is held."""
        task._watched().asked = True
        self._unpause([task])

    # Waiting until something holds.

    def _wait_until(
        self,
        holds: Callable[[], bool],
        timeout: float | None = None,
        slots: Slots | None = None,
        told: Callable[[], bool] | None = None,
    ) -> bool:
        """Block the calling thread until *holds*; in a task, do meanwhile what is ready in its queue.

        Args:
            holds: Asked under the lock.
            timeout: Seconds to wait at most.
            slots: Whose tasks have to end for it; None: of all queues.
            told: As for `block`.
        """
        run = HERE.run
        blocker: Any = threading.Lock()
        blocker.acquire()
        if run is not None:
            everything = Everything(self, slots)
            blocker = Anything(run, everything, lambda: watcher not in self._watchers, timeout is None)
        watcher = (holds, blocker)
        own = run is not None and run.slots.scheduler is self
        stack = run.tasks() if run is not None and own else []
        with self.exclusive():
            if self._abandoned:
                return True
            self._resting.append(stack)
            self._watchers.append(watcher)
            self._tell_watchers()
        try:
            told = told or partial(self.warn_if_stalled, "tasks that run")
            if run is None:
                block(partial(acquire, blocker), timeout, told)
            else:
                run.slots.scheduler.help(blocker, timeout, told)
        finally:
            with self.exclusive():
                self._resting = [other for other in self._resting if other is not stack]
                held = watcher not in self._watchers
                if not held:
                    self._watchers.remove(watcher)
        return held

    def _at_rest(self) -> bool:
        """Whether no running task can go on, but when one ends or at a resume.  The lock is held."""
        awaited: list[Any] = []  # what may come from elsewhere
        runs = [run for slots in self._slots for run in slots.runs if run.tasks()]
        return all(rests(run, awaited) for run in runs) and not awaited


def at_work(scheduler: Waiting, slots: Slots | None = None) -> bool:
    """Whether the calling thread is at a task of *scheduler*, and of *slots*."""
    run = HERE.run
    if run is None or run.slots.scheduler is not scheduler or not run.tasks():
        return False
    return slots is None or run.slots is slots


def _told(circle: list[Node]) -> str:
    """What is wrong, where the first of *circle* is waited for, and the last is who waits."""
    first, *others = [repr(node) for node in circle if isinstance(node, PlannedFuture)]
    if not others:
        return f"waiting would never end: {first} waits for itself"
    return f"waiting would never end: {first} needs {', which needs '.join(others)}, which waits for it"
