"""Which task a worker takes, and which worker is woken or started for a ready task.

Each ready task needs a worker on its way (`QueueState.coming`).  If fewer workers are on their way than tasks
are ready, an idle worker is woken.  Without an idle worker a new one is started, if the queue may have more.
Otherwise the task waits for the next worker that completes its task, or runs nested in a task that waits.  So
a backend never gets more workers than it has slots, and its own order never decides anything.

A woken worker looks for a task by itself, and takes the task that goes first by then.  So a thread that
Ctrl-C interrupts as it wakes a worker loses no task (see ``recovery``).

All methods but `start` are called under the lock.  Those that wake workers return *starts*, the workers that
`start` has to start after the lock; None stands for an empty list, as most calls start none.
"""

from __future__ import annotations

from _thread import start_new_thread
from typing import Any

from .._calls.interrupts import LOGGER, elsewhere, uninterrupted
from .._futures.future import FAILED, Failure
from .._futures.task import Task
from .._planner import READY
from .exclusive import breakdown_on_error
from .queue_state import QueueState, Worker
from .state import Starts, State
from .upward import SEARCH_LIMIT


class Wake:
    """How workers take ready tasks, and how they are woken or started for them."""

    def __init__(self, core: State) -> None:
        self._core = core  # constant

    def take(self, queue: QueueState, worker: Worker, brief: bool = False) -> Task[Any] | None:
        """Start the ready task of *queue* that goes first and return it; return None if there is none.

        If *brief*, also None if one slice of the search does not find it.
        """
        core = self._core
        task: Any = None
        while queue.ready and not core.stopped:
            task = core.take_next(queue, SEARCH_LIMIT)
            if task is not None or brief:
                break
            core.yield_lock()  # other threads may have the lock between two slices of a long search
        worker.task = task
        return task  # type: ignore[no-any-return]

    def wake_for(self, freed: list[Any], starts: Starts | None = None) -> Starts | None:
        """Wake a worker for each of *freed*, nodes that became ready.  Return *starts*, extended."""
        for node in freed:
            queue = node._queue
            # A node that is not ready any more was taken at once by the worker that ended its dependency.
            if node._stage == READY and not queue.wakes_none:
                if queue.searches:
                    self.tell_searches([node])
                starts = self.wake(queue, starts)
        return starts

    def tell_searches(self, freed: list[Any]) -> None:
        """Tell waiting tasks, which may run *freed* nested, that these nodes became ready."""
        for node in freed:
            for search in list(node._queue.searches):
                search.freed(node)

    def wake(self, queue: QueueState, starts: Starts | None = None) -> Starts | None:
        """Send one more worker to the ready tasks of *queue*, if one is missing; return *starts*."""
        stopped = self._core.stopped
        full = not queue.idle and len(queue.workers) >= queue.limit
        # True: a ready task wakes no thread, as no worker is idle or may be started, or the scheduler is
        # stopped; and no search waits.  This cache saves each submit 12 bytecodes, and each end a look at the
        # nodes that became ready.  A resume writes it for all queues.  All code that adds an idle worker or a
        # search, removes a worker or raises `limit` resets it.
        queue.wakes_none = (full or stopped) and not queue.searches
        if stopped:
            return starts
        # Counts are enough: a worker on its way takes the ready task that then goes first, whichever it is.
        wanted = queue.ready > len(queue.coming)
        if wanted and queue.idle:
            queue.wake_idle(1)
        elif (wanted and len(queue.workers) < queue.limit) or (
            # A queue with a waiting task gets a worker before the task is ready: at interpreter exit it may
            # be too late to start a thread (CPython 3.12.0 and 3.12.1 refuse to).
            queue.waiting and not queue.workers and queue.keeps_idle
        ):
            worker = Worker(queue)
            queue.workers[worker] = None
            queue.coming[worker] = None
            starts = [] if starts is None else starts
            starts.append((queue, worker))
        elif wanted:
            for search in list(queue.searches):
                search.ready_without_worker()
        return starts

    def wake_all(self, starts: Starts | None = None) -> Starts | None:
        """Send workers to all ready tasks."""
        for queue in self._core.queues:
            for _ in range(min(queue.ready, queue.limit) or 1):
                starts = self.wake(queue, starts)
        return starts

    def start(self, starts: Starts | None, submitted: Task[Any] | None = None) -> None:
        """Start workers in their backends.  Called without the lock.

        Raises:
            Exception: The worker for *submitted* could not be started, and its queue has no other: so
                *submitted* failed with the exception.
        """
        if not starts:
            return
        # Ctrl-C in between would leave a worker that fills a slot and never runs.
        with uninterrupted():
            for queue, worker in starts:
                try:
                    queue.pool.start(queue, worker)
                except Exception as error:
                    if submitted is None and isinstance(error, RecursionError):  # no stack is left here
                        start_new_thread(elsewhere, (self._start_failed, (queue, worker, error)))
                    else:
                        self._start_failed(queue, worker, error)
                    if submitted is not None and submitted._stage == FAILED:
                        outcome: Failure = submitted._outcome
                        if outcome.exception is error:
                            raise

    def _start_failed(self, queue: QueueState, worker: Worker, error: Exception) -> None:
        """Give up *worker*; if the queue has no other, fail its ready tasks."""
        # A RecursionError of this line goes to the submitter, and `withdraw` removes the worker.
        section, helpless = self._core.exclusive(), False
        with breakdown_on_error(self._core), section:
            # The pool may have begun the worker before it raised: then the worker stays.  If the pool begins
            # the worker later, in another thread, `begin` returns None.
            if worker not in queue.workers or worker.thread is not None:
                return
            queue.leave(worker)
            for search in list(queue.searches):
                search.ready_without_worker()
            helpless = queue.ready > 0 and not queue.workers
        if helpless:
            message = "could not start a thread for queue %s; its ready tasks fail"
            LOGGER.error(message, queue.name, exc_info=error)
            self._core.termination.drop_pending(queue, Failure(error), only_ready=True)
