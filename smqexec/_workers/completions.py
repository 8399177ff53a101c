"""Waiting for several futures, of any executors, in a task and elsewhere.

A `Completions` is a waiter as `concurrent.futures.wait` has them: each future has it among its waiters, and
calls a method of it as the future ends.  A thread that is at no task sleeps meanwhile; a task's thread runs
what the pending futures need, by a `JoinSearch`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, Future
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from .._core.blocking import block
from .._core.state import CURRENT, Worker
from .._futures.future import PlannedFuture
from .join_search import JoinSearch
from .stall import stalled


class Completions:
    """Which of some futures have ended.

    Its `add_` methods are called by the threads that end futures, perhaps several at a time.  No lock is
    needed, since methods of sets, deques and queues are atomic.
    """

    def __init__(self, futures: set[Future[Any]], return_when: str) -> None:
        self.return_when = return_when
        self.pending = futures.copy()  # not ended; the threads that end futures discard them
        self.ended: deque[Future[Any]] = deque()  # in the order of their ends; the waiting thread takes them
        self.failed = False  # one raised an exception; set by the thread that ends it
        self.search: JoinSearch | None = None  # of the task that waits, or waited last
        self._wakes: SimpleQueue[None] = SimpleQueue()  # an entry for each end, for a thread at no task
        # Under the condition of each future, as `concurrent.futures.wait` does: each is listed once.
        for future in futures:
            with future._condition:
                if future._state not in (CANCELLED_AND_NOTIFIED, FINISHED):
                    future._waiters.append(self)  # type: ignore[arg-type]
                elif future._state == FINISHED and future.exception() is not None:
                    self.add_exception(future)
                else:
                    self.add_result(future)

    # What a waiter has.

    def add_result(self, future: Future[Any]) -> None:
        self.pending.discard(future)
        self.ended.append(future)
        if self.search is not None:
            self.search.release()
        self._wakes.put(None)

    add_cancelled = add_result

    def add_exception(self, future: Future[Any]) -> None:
        self.failed = True
        self.add_result(future)

    # The waiting thread.

    def satisfied(self) -> bool:
        """Return whether the wait is over."""
        if self.return_when == FIRST_COMPLETED:
            return bool(self.ended)
        return not self.pending or (self.failed and self.return_when == FIRST_EXCEPTION)

    def wait(self, end: float | None) -> bool:
        """Block until `satisfied`; return False at *end* on the monotonic clock.

        Raises:
            RuntimeError: The calling task is needed for one of the futures, and all of them must end.
        """
        while not self.satisfied():
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return False
            worker = CURRENT.worker  # another one, where an iterator was given to another thread
            if worker is None:
                block(self._sleep, left, lambda: _warn(self.pending.copy()))
            else:
                scheduler = worker.queue.scheduler
                tell = partial(scheduler.warn_if_stalled, "several futures")
                scheduler.waiting.help(self._search_of(worker), left, tell)
        return True

    def _search_of(self, worker: Worker) -> JoinSearch:
        """Return the search of *worker*.  It serves all waits of that, or each would visit all anew."""
        if self.search is None or self.search.worker is not worker:
            if self.search is not None:
                self.search.close()
            strict = self.return_when == ALL_COMPLETED
            self.search = JoinSearch(worker, self.pending.copy, self.satisfied, strict)
            self.search.open()  # also between two waits
        return self.search

    def _sleep(self, timeout: float | None) -> bool:
        try:
            self._wakes.get(timeout=timeout)
        except Empty:
            return False
        return True

    def close(self) -> None:
        """Be told of no end any more."""
        if self.search is not None:
            self.search.close()
        for future in self.pending.copy():
            with future._condition, suppress(ValueError):
                future._waiters.remove(self)  # type: ignore[arg-type]


def _warn(pending: Iterable[Future[Any]]) -> bool:
    """Log why *pending* may never end, and return True, if all are tasks of schedulers that can't go on."""
    homes = [future._home if isinstance(future, PlannedFuture) else None for future in pending]
    schedulers = {None if home is None else home.scheduler for home in homes}
    if not all(scheduler is not None and stalled(scheduler) for scheduler in schedulers):
        return False
    return any(scheduler.warn_if_stalled("several futures") for scheduler in schedulers if scheduler)
