"""Waiting for several futures, of any executors, inside a task and outside.

A `Completions` is a `Wait`, and a waiter in the sense of `concurrent.futures.wait`: it is in the list of
waiters of each future, and each future calls one of its ``add_`` methods as the future ends.  A future is in
`pending` until then, and in `ended` from then on.

One thread at a time waits; threads that end futures call the ``add_`` methods at any time.  No lock
serialises these: each step is one atomic method of a set, a deque or a queue, and the wake comes last.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, Future
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED
from typing import Any

from .join_search import JoinWait
from .stall import ELSEWHERE, stalled
from .waits import Wait, scheduler_of


class OneWait(Wait):
    """The wait for one future of a thread that runs no task: a third of the time of a `Completions`."""

    def __init__(self, future: Future[Any]) -> None:
        super().__init__()
        self.future = future  # constant

    def add_result(self, _: Future[Any]) -> None:
        """Wake the waiting thread, as the future has ended."""
        self.wake()

    add_cancelled = add_exception = add_result

    def log_if_stalled(self) -> bool:
        return log_if_stalled([self.future])


class Completions(JoinWait):
    """A wait for several futures: a record of the futures that have ended."""

    def __init__(self, futures: set[Future[Any]], return_when: str) -> None:
        super().__init__()
        # FIRST_COMPLETED, FIRST_EXCEPTION or ALL_COMPLETED; constant, as the next field.
        self.return_when = return_when
        self.strict = return_when == ALL_COMPLETED
        # The futures that have not ended; the thread that ends a future discards it.
        self.pending = futures.copy()
        # The other futures in the order of their ends, until the waiting thread takes them.
        self.ended: deque[Future[Any]] = deque()
        self.failed = False  # a future failed; set by the thread that ends it
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
        self.wake()  # after both: a thread that wakes finds the future in `ended`

    add_cancelled = add_result

    def add_exception(self, future: Future[Any]) -> None:
        """Record the failure of *future*, and wake the waiting thread."""
        self.failed = True
        self.add_result(future)

    # Called by the waiting thread.

    def awaited(self) -> set[Future[Any]]:
        """Return the futures that have not ended."""
        return self.pending.copy()

    def satisfied(self) -> bool:
        """Return True if the wait is over."""
        if self.return_when == FIRST_COMPLETED:
            return bool(self.ended)
        return not self.pending or (self.failed and self.return_when == FIRST_EXCEPTION)

    def log_if_stalled(self) -> bool:
        return log_if_stalled(list(self.awaited()))

    def close(self) -> None:
        """Leave the lists of waiters of all pending futures; wait no more."""
        super().close()
        for future in self.pending.copy():
            with future._condition:
                future._waiters.remove(self)  # type: ignore[arg-type]


def log_if_stalled(awaited: list[Any]) -> bool:
    """Log why a wait for *awaited* may never end, and return True, if the schedulers of all are stalled."""
    schedulers = dict.fromkeys(map(scheduler_of, awaited))
    if not all(each is not ELSEWHERE and stalled(each) for each in schedulers):
        return False
    name = awaited[0] if len(awaited) == 1 else "several futures"
    return any(each.warn_if_stalled(name) for each in schedulers)
