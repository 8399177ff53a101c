"""The one lock: tasks run, and return.

A `Dispatcher` joins a `DependencyPlanner` to threads.  Everything that changes
a task or a queue goes through it, in one pattern: decide under the lock, act
after it.  While the lock is held no user code runs and nothing is called that
may run some: no callback, no waiter of concurrent.futures, no object of the
user's is let go of.

A queue's threads are *runs* in its pool (see ``_pools``).  A run takes a task,
calls it, and hands it over for the next one, under one hold of the lock.  With
nothing ready it parks at the queue's bell.
"""

from __future__ import annotations

import threading
from typing import Any

from .._calls.interrupts import DEFERRED, call_deferred
from .._futures.future import Watch
from .._futures.task import Task
from .._planner import SEARCHING
from .loud import loud
from .searches import SEARCH_LIMIT, forget, searches
from .state import Run, Slots
from .termination import Dropping
from .waking import Starts


class Dispatcher:
    """What gives workers their tasks, and ends those that return."""

    def __init__(self, core: Dropping) -> None:
        self._core = core

    # A task goes.

    def begin(self, slots: Slots, run: Run, rung: bool) -> Task[Any] | None:
        """A task for *run*, which parks until there is one; None: the run is to leave.

        Args:
            slots: The queue's.
            run: The run that asks.
            rung: It was counted in `waking`.
        """
        core = self._core
        starts = None
        last = False
        while True:
            with core.lock:
                if core._abandoned or run not in slots.runs:
                    return None
                if rung:
                    if slots.waking:
                        slots.waking -= 1
                    else:  # a second ring for the same: see `_mend`
                        slots.parked -= 1
                    run.thread = threading.get_ident()
                    run.parked = False
                if len(slots.runs) > slots.limit:
                    starts = self._retire(slots, run)
                    break
                task = core._take(slots, run)
                if task is None:
                    if slots.ending:
                        slots.leave(run)
                        slots.ring(slots.parked)
                        last = not slots.runs
                        break
                    slots.parked += 1
                    run.parked = True
                elif slots.attentive:
                    starts = self.started(task)
            if DEFERRED:
                call_deferred()
            if task is not None:
                core._start(starts)
                return task
            rung = True
            if not slots.bell.get():  # the queue was lost
                with core.lock:
                    if slots.parked:  # nobody counted us
                        slots.parked -= 1
                        slots.waking += 1
                    else:  # rung for meanwhile, so one of the rings there is ours
                        slots.bell.get()
        if DEFERRED:
            call_deferred()
        core._start(starts)
        if last:
            slots.pool.join(wait=False)
        return None

    def _retire(self, slots: Slots, run: Run) -> Starts | None:
        """Let *run* leave, which is more than *slots* may have now.  As `_wake`."""
        slots.leave(run)
        slots.heed()
        return self._core._wake(slots)

    def resize(self, slots: Slots, workers: int | None = None, prefetch: int | None = None) -> None:
        """Let *slots* run *workers* tasks, and *prefetch* more be at its executor; None: as many as before.

        More start at once; fewer run as tasks end.
        """
        core = self._core
        if core.deferred(self.resize, slots, workers, prefetch):
            return
        with core.exclusive() as section:
            prefetch = slots.limit - slots.workers if prefetch is None else prefetch
            slots.workers = slots.workers if workers is None else workers
            slots.limit = slots.workers + prefetch
            slots.pool.resize(slots.workers)
            slots.heed()
            starts: Starts = []
            section.then(core._start, starts)
            if slots.attentive:
                slots.ring(max(0, min(slots.parked, len(slots.runs) - slots.limit)))
            for _ in range(min(slots.ready, slots.limit)):
                core._wake(slots, starts)

    def begin_at_once(self, slots: Slots, run: Run) -> Task[Any] | None:
        """A task for *run*, which does not park; None: it has left."""
        core = self._core
        with core.lock:
            if core._abandoned or run not in slots.runs:
                return None
            if run.thread is None:  # it is new, and was counted in `waking`
                slots.waking -= min(slots.waking, 1)  # see `_mend`
                slots.name_run(run)
            # There may be fewer slots than there were.
            task = core._take(slots, run) if len(slots.runs) <= slots.limit else None
            starts = None
            if task is None:
                starts = self._retire(slots, run)
            elif slots.attentive:
                starts = self.started(task)
        if DEFERRED:
            call_deferred()
        core._start(starts)
        return task

    def complete(
        self, slots: Slots, run: Run, task: Task[Any], value: Any, more: bool = True
    ) -> Task[Any] | None:
        """Note that *task* returned *value*; give *run* the next one, if it wants *more* and one is ready.

        Where the next one is not found in one step of the search, *run* gets None and has to ask
        again: tasks and threads that wait for *task* are told before a long search.
        """
        core = self._core
        if not core.lock.acquire(False):
            core._lock()
        watch = task._watch
        successor: Any = None
        starts = None
        try:
            if core._abandoned:
                return None
            task._outcome = value
            if searches:
                forget(task)
            if watch is None and more and not slots.attentive and not run.below and not core._stopped:
                # Most often: the end and the next start are one call of the planner.
                freed: list[Any] = []
                successor = core._next(slots, SEARCH_LIMIT, task, freed)
                if successor is SEARCHING:  # first tell others; `begin` goes on with the search
                    successor = None
            else:
                freed = core.planner.done(task)
                if watch is not None and watch.hooks:
                    freed = [*freed, *watch.run_hooks(task)]
                if slots.ready:
                    successor, starts = self._hand_over(slots, run, watch, more)
            run.task = successor
            if freed and (freed[0] is not successor or len(freed) > 1):
                starts = core._wake_for(freed, starts)
            if core._watchers and successor is None:  # else as many run as before
                core._tell_watchers()
            # Last: where something above raises, `break_down` ends the task, and finds what waits for it.
            slots.done += 1
            if watch is not None:
                task._watch = watch.rest()
            task._home = None  # see `_leave`
        finally:
            core.lock.release()
        if DEFERRED:
            call_deferred()
        if watch is not None:
            task._announce(watch)
            core._start(starts)
            task._tell(watch)  # last: a callback may wait for what was just started
        elif starts is not None:
            core._start(starts)
        return successor  # type: ignore[no-any-return]

    def _hand_over(
        self, slots: Slots, run: Run, watch: Watch | None, more: bool
    ) -> tuple[Task[Any] | None, Starts | None]:
        """Do what `complete` does where a task is ready.  The lock is held.

        A callback may wait for whatever is ready now: leave it to others.  And a nested task hands
        over to the one beneath it.
        """
        core = self._core
        surplus = len(slots.runs) > slots.limit
        if not more or surplus or (watch is not None and watch.calls()) or run.below:
            return None, core._wake(slots)
        successor = core._take(slots, run, brief=True)
        return successor, self.started(successor) if successor is not None and slots.attentive else None

    def started(self, task: Task[Any]) -> Starts | None:
        """Note that *task*, of an attentive queue, has started: the next may perhaps.  As `_wake_for`."""
        core = self._core
        slots: Any = task._home
        if slots.pending_limit is not None:
            slots.pending_limit.admit(slots.pending)
        barrier, task._barrier = task._barrier, None
        return None if barrier is None else core._wake_for(core.planner.done(barrier))

    def promote(self, task: Task[Any]) -> bool:
        core = self._core
        if core.deferred(self.promote, task):
            return False
        section = core.exclusive()
        with loud(core), section:
            return not core._abandoned and core.planner.promote(task)
        return False  # it has failed
