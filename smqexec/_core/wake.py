"""Which worker takes a ready task, and which worker has to be woken or started for it.

Each ready task needs a worker on its way (`QueueState.coming`).  If fewer workers are on their way than tasks
are ready, an idle worker is woken; without one a new worker is started, if the queue may have more.  Else the
task waits for the next worker that completes its task, or a task that waits runs it nested.  So a backend
never gets more workers than it has slots, and its own order never decides anything.

A woken worker looks for a task by itself, and takes the task that goes first by then.  A waker that Ctrl-C
interrupts has so taken no task with it: see `Submission`.
"""

from __future__ import annotations

from typing import Any

from .._calls.frames import traceback_of
from .._calls.interrupts import LOGGER, uninterrupted
from .._futures.future import FAILED, Failure
from .._futures.task import Task
from .._planner import READY, SEARCHING
from .exclusive import Section, breakdown_on_error
from .queue_state import QueueState, Worker
from .searches import SEARCH_LIMIT
from .state import Starts, State


class Wake:
    """How workers take ready tasks, and how they are woken or started for them."""

    def __init__(self, core: State) -> None:
        self._core = core

    def take(self, queue: QueueState, worker: Worker, brief: bool = False) -> Task[Any] | None:
        """Start the ready task of *queue* that goes first; None if there is none.  The lock is held.

        If *brief*, also None if one slice of the search does not find it.
        """
        core = self._core
        if not queue.ready or core.stopped:
            return None
        task: Any = core.take_next(queue, SEARCH_LIMIT)
        while task is SEARCHING:
            # Other threads may have the lock between two slices of a long search.
            if brief:
                task = None
            else:
                core.yield_lock()
                task = None if core.stopped else core.take_next(queue, SEARCH_LIMIT)
        worker.task = task
        return task  # type: ignore[no-any-return]

    def wake_for(self, freed: list[Any], starts: Starts | None = None) -> Starts | None:
        """Wake a worker for each of *freed*, nodes that became ready.  Locked; returns as `wake`."""
        for node in freed:
            queue = node._queue
            if node._stage != READY:  # a worker took the node at once
                continue
            if queue.searches:
                self.tell_searches([node])
            if queue.idle or len(queue.workers) < queue.limit or queue.searches:  # as in `Submission.add`
                starts = self.wake(queue, starts)
        return starts

    def tell_searches(self, freed: list[Any]) -> None:
        """Tell waiting tasks, which may run them nested, of nodes that became ready.  The lock is held."""
        for node in freed:
            for search in list(node._queue.searches):
                search.freed(node)

    def wake(self, queue: QueueState, starts: Starts | None = None) -> Starts | None:
        """Send one more worker to the ready tasks of *queue*, if one is missing.  The lock is held.

        A queue with pending tasks gets a worker even before one is ready: at interpreter exit it may be too
        late to start a thread (CPython 3.12.0 and 3.12.1 refuse to).

        Returns:
            *starts*, with the workers that are to be started by `start` once the lock is not held.
        """
        if self._core.stopped:
            return starts
        wanted = queue.ready > len(queue.coming)
        if wanted and queue.idle:
            queue.wake_idle(1)
        elif (wanted and len(queue.workers) < queue.limit) or (
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
        """Send workers to all ready tasks.  Locked; returns as `wake`."""
        for queue in self._core.queues:
            for _ in range(min(queue.ready, queue.limit) or 1):
                starts = self.wake(queue, starts)
        return starts

    def start(self, starts: Starts | None, submitted: Task[Any] | None = None) -> None:
        """Start workers in their backends.  The lock is not held.

        Raises:
            Exception: The worker for *submitted* could not be started, and its queue has no other: so
                *submitted* failed with the exception.
        """
        if not starts:
            return
        with uninterrupted():  # a worker that counts, and was never started, would take its slot for ever
            for queue, worker in starts:
                try:
                    queue.pool.start(queue, worker)
                except Exception as error:
                    # A RecursionError here leaves the worker to `Withdrawal`.
                    section = self._core.exclusive()
                    with breakdown_on_error(self._core):
                        self._start_failed(section, queue, worker, error)
                    if submitted is not None and submitted._stage == FAILED:
                        outcome: Failure = submitted._outcome
                        if outcome.exception is error:
                            raise

    def _start_failed(self, section: Section, queue: QueueState, worker: Worker, error: Exception) -> None:
        """Give up *worker*; if the queue has no other, fail its ready tasks."""
        with section:
            # The pool may start the worker yet, in another of its threads: `begin` then returns None.
            if worker not in queue.workers or worker.thread is not None:
                return
            queue.leave(worker)
            helpless = queue.ready and not queue.workers
        if helpless:
            message = "could not start a thread for queue %s; its ready tasks fail"
            LOGGER.error(message, queue.name, exc_info=error)
            self._core.termination.drop_pending(queue, Failure(error, traceback_of(error)), only_ready=True)
