"""Waiting for several futures, of any executors, inside a task and outside.

A `Completions` is a waiter in the sense of `concurrent.futures.wait`: it is in the list of waiters of each
future, and each future calls one of its ``add_`` methods as the future ends.  A future is in `pending` until
then, and in `ended` from then on.  A thread outside of all tasks sleeps until the next end.  The thread of a
task runs, by a `JoinSearch`, the tasks that the pending futures need.

One thread at a time waits; threads that end futures call the ``add_`` methods at any time.  No lock
serialises these: each step is one atomic method of a set, a deque or a queue, and the wake comes last.
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
from .._core.queue_state import CURRENT, Worker
from .._futures.future import PlannedFuture
from .join_search import JoinSearch
from .stall import stalled


class Completions:
    """A wait for several futures: a record of the futures that have ended.

    Args:
        futures: The awaited futures.
        return_when: FIRST_COMPLETED, FIRST_EXCEPTION or ALL_COMPLETED.
    """

    def __init__(self, futures: set[Future[Any]], return_when: str) -> None:
        self.return_when = return_when  # constant
        # The futures that have not ended; the thread that ends a future discards it.
        self.pending = futures.copy()
        # The other futures in the order of their ends, until the waiting thread takes them.
        self.ended: deque[Future[Any]] = deque()
        self.failed = False  # a future failed; set by the thread that ends it
        # The search of the task that waits, or waited last; written by the waiting thread.
        self.search: JoinSearch | None = None
        # One entry for each end wakes a thread that waits outside of all tasks.
        self._wakes: SimpleQueue[None] = SimpleQueue()
        # A future's condition is held while its state is read and the waiter is added.  So a future either
        # has ended here, or calls an `add_` method later: never both.
        for future in futures:
            with future._condition:
                if future._state not in (CANCELLED_AND_NOTIFIED, FINISHED):
                    future._waiters.append(self)  # type: ignore[arg-type]
                elif future._state == FINISHED and future.exception() is not None:
                    self.add_exception(future)
                else:
                    self.add_result(future)

    # The methods of a waiter, called by the thread that ends *future*.

    def add_result(self, future: Future[Any]) -> None:
        """Record the end of *future*, and wake the waiting thread."""
        self.pending.discard(future)
        self.ended.append(future)
        # After both: a thread that wakes finds the future in `ended`.
        if self.search is not None:
            self.search.release()
        self._wakes.put(None)

    add_cancelled = add_result

    def add_exception(self, future: Future[Any]) -> None:
        """Record the failure of *future*, and wake the waiting thread."""
        self.failed = True
        self.add_result(future)

    # Called by the waiting thread.

    def satisfied(self) -> bool:
        """Return True if the wait is over."""
        if self.return_when == FIRST_COMPLETED:
            return bool(self.ended)
        return not self.pending or (self.failed and self.return_when == FIRST_EXCEPTION)

    def wait(self, end: float | None) -> bool:
        """Block until `satisfied` and return True; return False at the time *end* of the monotonic clock.

        Raises:
            RuntimeError: All futures must end, and one of them needs the calling task.
        """
        while not self.satisfied():
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return False
            worker = CURRENT.worker  # not always the last wait's: threads may share an iterator
            if worker is None:
                block(self._sleep, left, lambda: _warn(self.pending.copy()))
            else:
                scheduler = worker.queue.scheduler
                warn = partial(scheduler.warn_if_stalled, "several futures")
                scheduler.waiting.help(self._search_of(worker), left, warn)
        return True

    def _search_of(self, worker: Worker) -> JoinSearch:
        """Return the search of *worker*, which all its waits share: so each node is visited once."""
        if self.search is None or self.search.worker is not worker:
            if self.search is not None:
                self.search.close()
            strict = self.return_when == ALL_COMPLETED
            self.search = JoinSearch(worker, self.pending.copy, self.satisfied, strict)
            self.search.open()  # here, and not in `help`: it notes events between two waits, too
        return self.search

    def _sleep(self, timeout: float | None) -> bool:
        """Block until a future ends; return False after *timeout* seconds."""
        try:
            self._wakes.get(timeout=timeout)
        except Empty:
            return False
        return True

    def close(self) -> None:
        """Leave the lists of waiters of all pending futures."""
        if self.search is not None:
            self.search.close()
        for future in self.pending.copy():
            with future._condition, suppress(ValueError):
                future._waiters.remove(self)  # type: ignore[arg-type]


def _warn(pending: Iterable[Future[Any]]) -> bool:
    """Log why *pending* may never end, and return True, if all belong to schedulers that are stalled."""
    homes = [future._home if isinstance(future, PlannedFuture) else None for future in pending]
    schedulers = {None if home is None else home.scheduler for home in homes}
    if not all(scheduler is not None and stalled(scheduler) for scheduler in schedulers):
        return False
    return any(scheduler.warn_if_stalled("several futures") for scheduler in schedulers if scheduler)
