"""Which worker takes a ready task, and which queue must wake one.

A queue's threads are *runs* in its pool (see ``_pools``).  For each ready task
that no run is on its way to, a parked run is rung for, or, if the queue may have
more, a new one is started.  So the pool never holds more runs than threads, and
its own first in, first out never decides anything.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from .._calls.frames import traceback_of
from .._calls.interrupts import LOGGER, uninterrupted
from .._futures.future import Failure
from .._futures.task import Task
from .._planner import READY, SEARCHING
from .exclusive import Section
from .loud import loud
from .searches import SEARCH_LIMIT
from .shared import State
from .state import QueueState, Worker

Starts: TypeAlias = list[tuple[QueueState, Worker]]  # runs to be started once the lock is not held


class Wake:
    """How workers get ready tasks, and how they are woken or started for them."""

    def __init__(self, core: State) -> None:
        self._core = core

    def take(self, queue: QueueState, worker: Worker, brief: bool = False) -> Task[Any] | None:
        """Let *run* start the first ready task of *slots*, if any; with *brief* in one step or not."""
        if not queue.ready or self._core._stopped:
            return None
        task: Any
        task = self._core._next(queue, SEARCH_LIMIT)
        if task is SEARCHING:
            task = None if brief else self._search(queue)
        worker.task = task
        return task  # type: ignore[no-any-return]

    def _search(self, queue: QueueState) -> Any:
        """Go on with a long search in slices, between which others have the lock."""
        task: Any = SEARCHING
        while task is SEARCHING:
            self._core._let_in()
            task = None if self._core._stopped else self._core._next(queue, SEARCH_LIMIT)
        return task

    def wake_for(self, freed: list[Any], starts: Starts | None = None) -> Starts | None:
        """See that somebody does what became ready: a run, or a waiting task that needs it.  As `wake`."""
        for node in freed:
            queue = node._queue
            if node._stage != READY:  # it was taken at once
                continue
            if queue.helpers:
                self.tell_helpers([node])
            if queue.idle or len(queue.workers) < queue.limit or queue.helpers:  # as in `add`
                starts = self.wake(queue, starts)
        return starts

    def tell_helpers(self, freed: list[Any]) -> None:
        """Tell waiting tasks that need them of nodes that became ready.  The lock is held."""
        for node in freed:
            for needs in list(node._queue.helpers):
                needs.freed(node)

    def wake(self, queue: QueueState, starts: Starts | None = None) -> Starts | None:
        """See that a run is on its way to each ready task of *slots*, one more at most.

        And that there is a run at all where a task is pending: at interpreter exit
        it may be too late to start a thread (CPython 3.12.0 and 3.12.1 refuse to).
        The lock is held.

        Returns:
            *starts* and what else has to be started, for `start` to do once
            the lock is not held.
        """
        if self._core._stopped:
            return starts
        wanted = queue.ready > len(queue.coming)
        if wanted and queue.idle:
            queue.wake_idle(1)
        elif (wanted and len(queue.workers) < queue.limit) or (
            queue.waiting and not queue.workers and queue.parks
        ):
            worker = Worker(queue)
            queue.workers[worker] = None
            queue.coming[worker] = None
            starts = [] if starts is None else starts
            starts.append((queue, worker))
        elif wanted:
            for needs in list(queue.helpers):
                needs.spare()
        return starts

    def wake_all(self) -> Starts:
        starts: Starts = []
        for queue in self._core._queues:
            for _ in range(min(queue.ready, queue.limit) or 1):
                self.wake(queue, starts)
        return starts

    def start(self, starts: Starts | None, submitted: Task[Any] | None = None) -> None:
        """Start runs in their pools.  The lock is not held.

        Raises:
            Exception: The run for *submitted* could not be started, and its
                queue has no other: *submitted* failed with it.
        """
        if not starts:
            return
        with uninterrupted():  # a run that counts and was never started would take its slot for ever
            for queue, worker in starts:
                try:
                    queue.pool.start(queue, worker)
                except Exception as error:
                    section = self._core.exclusive()  # RecursionError here leaves the worker to `Submission`
                    with loud(self._core):
                        self._start_failed(section, queue, worker, error)
                    outcome = None if submitted is None else submitted._outcome
                    if isinstance(outcome, Failure) and outcome.exception is error:
                        raise

    def _start_failed(self, section: Section, queue: QueueState, worker: Worker, error: Exception) -> None:
        """Give up *run*; without any other, fail what is ready, for nobody would ever do it."""
        core = self._core
        with section:
            # The pool may call the run yet, should another of its threads get
            # to it; `begin` then finds that it is none of ours.
            if worker not in queue.workers or worker.thread is not None:
                return
            queue.leave(worker)
            helpless = queue.ready and not queue.workers
        if helpless:
            message = "could not start a thread for queue %s; its ready tasks fail"
            LOGGER.error(message, queue.name, exc_info=error)
            core.termination.fail_ready(queue, Failure(error, traceback_of(error)))
