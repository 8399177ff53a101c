"""The one lock: tasks run, and return.

A `Dispatcher` joins a `Planner` to threads.  Everything that changes
a task or a queue goes through it, in one pattern: decide under the lock, act
after it.  While the lock is held no user code runs and nothing is called that
may run some: no callback, no waiter of concurrent.futures, no object of the
user's is let go of.

A queue's threads are *runs* in its pool (see ``_pools``).  A run takes a task,
calls it, and hands it over for the next one, under one hold of the lock.  With
nothing ready it is idle until it is woken.
"""

from __future__ import annotations

import threading
from typing import Any

from .._calls.interrupts import DEFERRED, call_deferred
from .._futures.at_end import AtEnd
from .._futures.task import Task
from .._planner import SEARCHING
from .loud import loud
from .searches import SEARCH_LIMIT, forget, searches
from .shared import State
from .state import QueueState, Worker
from .wake import Starts, Wake


class Dispatcher:
    """What gives workers their tasks, and ends those that return."""

    def __init__(self, core: State, wake: Wake) -> None:
        self._core = core
        self._wake = wake

    # A task goes.

    def begin(self, queue: QueueState, worker: Worker) -> Task[Any] | None:
        """Return a task for *worker*, which is idle until there is one; None: the worker is to leave."""
        core = self._core
        while True:
            starts = task = None
            with core.lock:
                if core._abandoned or worker not in queue.workers:
                    return None
                queue.coming.pop(worker, None)
                queue.idle.pop(worker, None)  # it is still there if the queue was lost
                worker.thread = threading.get_ident()
                surplus = len(queue.workers) > queue.limit
                if surplus:
                    starts = self._retire(queue, worker)
                else:
                    task = self._wake.take(queue, worker)
                    if task is None:
                        queue.idle[worker] = None  # before it looks at `lost`: see `QueueState.lose`
                    elif queue.has_rules:
                        starts = self.started(task)
                ends = task is None and queue.ending
                if ends and not surplus:
                    queue.leave(worker)
                    queue.wake_idle()  # they leave too
                last = ends and not queue.workers
            if DEFERRED:
                call_deferred()
            self._wake.start(starts)
            if last:
                queue.pool.join(wait=False)
            if task is not None or surplus or ends:
                return task
            worker.wakes.get()

    def _retire(self, queue: QueueState, worker: Worker) -> Starts | None:
        """Let *run* leave, which is more than *slots* may have now.  As `_wake`."""
        queue.leave(worker)
        queue.update_rules()
        return self._wake.wake(queue)

    def resize(self, queue: QueueState, workers: int | None = None, prefetch: int | None = None) -> None:
        """Let *slots* run *workers* tasks, and *prefetch* more be at its executor; None: as many as before.

        More start at once; fewer run as tasks end.
        """
        core = self._core
        if core.deferred(self.resize, queue, workers, prefetch):
            return
        with core.exclusive() as section:
            prefetch = queue.limit - queue.width if prefetch is None else prefetch
            queue.width = queue.width if workers is None else workers
            queue.limit = queue.width + prefetch
            queue.pool.resize(queue.width)
            queue.update_rules()
            starts: Starts = []
            section.then(self._wake.start, starts)
            surplus = len(queue.workers) - queue.limit
            queue.wake_idle(max(0, min(surplus, len(queue.idle))))  # to leave
            for _ in range(min(queue.ready, queue.limit)):
                self._wake.wake(queue, starts)

    def begin_at_once(self, queue: QueueState, worker: Worker) -> Task[Any] | None:
        """A task for *run*, which does not park; None: it has left."""
        core = self._core
        with core.lock:
            if core._abandoned or worker not in queue.workers:
                return None
            if worker.thread is None:
                queue.coming.pop(worker, None)
                queue.name_worker(worker)
            # There may be fewer slots than there were.
            task = self._wake.take(queue, worker) if len(queue.workers) <= queue.limit else None
            starts = None
            if task is None:
                starts = self._retire(queue, worker)
            elif queue.has_rules:
                starts = self.started(task)
        if DEFERRED:
            call_deferred()
        self._wake.start(starts)
        return task

    def complete(
        self, queue: QueueState, worker: Worker, task: Task[Any], value: Any, more: bool = True
    ) -> Task[Any] | None:
        """Note that *task* returned *value*; give *run* the next one, if it wants *more* and one is ready.

        Where the next one is not found in one step of the search, *run* gets None and has to ask
        again: tasks and threads that wait for *task* are told before a long search.
        """
        core = self._core
        if not core.lock.acquire(False):
            core._lock()
        at_end = task._at_end
        successor: Any = None
        starts = None
        try:
            if core._abandoned:
                return None
            task._outcome = value
            if searches:
                forget(task)
            if at_end is None and more and not queue.has_rules and not worker.suspended and not core._stopped:
                # Most often: the end and the next start are one call of the planner.
                freed: list[Any] = []
                successor = core._next(queue, SEARCH_LIMIT, task, freed)
                if successor is SEARCHING:  # first tell others; `begin` goes on with the search
                    successor = None
            else:
                freed = core.planner.done(task)
                if at_end is not None and at_end.hooks:
                    freed = [*freed, *at_end.run_hooks(task)]
                if queue.ready:
                    successor, starts = self._hand_over(queue, worker, at_end, more)
            worker.task = successor
            if freed and (freed[0] is not successor or len(freed) > 1):
                starts = self._wake.wake_for(freed, starts)
            if core._watchers and successor is None:  # else as many run as before
                core._tell_watchers()
            # Last: where something above raises, `break_down` ends the task, and finds what waits for it.
            queue.done += 1
            if at_end is None:
                task._home = None
            else:
                task._leave(at_end)
        finally:
            core.lock.release()
        if DEFERRED:
            call_deferred()
        if at_end is not None:
            task._wake_waiters(at_end)
            self._wake.start(starts)
            task._call_callbacks(at_end)  # last: a callback may wait for what was just started
        elif starts is not None:
            self._wake.start(starts)
        return successor  # type: ignore[no-any-return]

    def _hand_over(
        self, queue: QueueState, worker: Worker, at_end: AtEnd | None, more: bool
    ) -> tuple[Task[Any] | None, Starts | None]:
        """Do what `complete` does where a task is ready.  The lock is held.

        A callback may wait for whatever is ready now: leave it to others.  And a nested task hands
        over to the one beneath it.
        """
        surplus = len(queue.workers) > queue.limit
        if not more or surplus or (at_end is not None and at_end.calls()) or worker.suspended:
            return None, self._wake.wake(queue)
        successor = self._wake.take(queue, worker, brief=True)
        return successor, self.started(successor) if successor is not None and queue.has_rules else None

    def started(self, task: Task[Any]) -> Starts | None:
        """Note that *task*, of a queue with rules, has started: the next may perhaps.  As `_wake_for`."""
        core = self._core
        queue: Any = task._home
        if queue.pending_limit is not None:
            queue.pending_limit.admit(queue.pending)
        barrier, task._barrier = task._barrier, None
        return None if barrier is None else self._wake.wake_for(core.planner.done(barrier))

    def promote(self, task: Task[Any]) -> bool:
        core = self._core
        if core.deferred(self.promote, task):
            return False
        section = core.exclusive()
        with loud(core), section:
            return not core._abandoned and core.planner.promote(task)
        return False  # it has failed
