"""For use inside tasks: `checkpoint`, and `wait` and `as_completed` that do not deadlock there."""

from __future__ import annotations

import concurrent.futures
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError, Future
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, DoneAndNotDoneFutures
from contextlib import closing, suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from ._core.blocking import block
from ._core.state import CURRENT, Worker
from ._futures.future import PlannedFuture
from ._planner import SWEEP_FROM
from ._workers.join_search import Needs, homes_of
from ._workers.stall import stalled

R = TypeVar("R")


def checkpoint() -> None:
    """Block while the scheduler of the calling task is stopped; end the task if it was cancelled.

    "The suitable condition" that a long task can place in its code.  Every
    ``yield`` of a generator task is one.  Outside a task it does nothing, so
    that code with checkpoints can also be called directly.

    Raises:
        CancelledError: Somebody called ``cancel()`` on the running task.  Let
            it through, and the task is cancelled.

    Cost: about 0.2 µs.
    """
    worker = CURRENT.worker
    task = None if worker is None else worker.task
    if worker is None or task is None:
        return
    scheduler = worker.queue.scheduler
    # Neither is read under the lock: what comes now is seen at the next checkpoint.
    if scheduler.stopped:
        scheduler.waiting.pause(task)
    watch = task._watch
    if watch is not None and watch.asked:
        raise CancelledError()


def wait(fs: Iterable[Future[R]], timeout: float | None = None, return_when: str = ALL_COMPLETED) -> Any:
    """`concurrent.futures.wait`; inside a task its thread does meanwhile what the futures need.

    Args:
        fs: Futures of any executors.
        timeout: Seconds to wait at most, and then to the end of what was
            begun; None for no limit.
        return_when: ``FIRST_COMPLETED``, ``FIRST_EXCEPTION`` or ``ALL_COMPLETED``.

    Returns:
        A named tuple of two sets, ``done`` and ``not_done``.

    Raises:
        ValueError: *return_when* is none of the three.
        RuntimeError: The calling task is needed for one of the futures, and
            all that are left must end.
    """
    worker = CURRENT.worker
    futures = set(fs)
    if not futures or return_when not in (FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED):
        return concurrent.futures.wait(futures, timeout, return_when)
    if worker is None:
        return _wait_outside(futures, timeout, return_when)
    end = None if timeout is None else time.monotonic() + timeout
    with closing(_Ended(futures, return_when)) as ended:
        while _help(worker, ended, _left(end)) and not ended.satisfied():
            pass
    # Nobody tells it any more.
    return DoneAndNotDoneFutures(futures - ended.pending, ended.pending)


def _wait_outside(futures: set[Future[R]], timeout: float | None, return_when: str) -> Any:
    found: Any = None

    def step(seconds: float | None) -> bool:
        nonlocal found
        begun = time.monotonic()
        found = concurrent.futures.wait(futures, seconds, return_when)
        return seconds is None or time.monotonic() - begun < seconds

    block(step, timeout, lambda: _warn(found.not_done))
    return found


def _warn(pending: Iterable[Future[Any]]) -> bool:
    """Log why *pending* may never end, and return True, if all are tasks of schedulers that can't go on."""
    homes = [future._home if isinstance(future, PlannedFuture) else None for future in pending]
    schedulers = {None if home is None else home.scheduler for home in homes}
    if not all(scheduler is not None and stalled(scheduler) for scheduler in schedulers):
        return False
    return any(scheduler.warn_if_stalled("several futures") for scheduler in schedulers if scheduler)


def _left(end: float | None) -> float | None:
    """Seconds until *end* on the monotonic clock."""
    return None if end is None else end - time.monotonic()


def _help(worker: Worker, ended: _Ended, timeout: float | None) -> bool:
    """Do what *ended* needs until it is satisfied, or one future alone is left; False after *timeout*."""
    scheduler = worker.queue.scheduler
    told = partial(scheduler.warn_if_stalled, "several futures")
    return scheduler.waiting.help(ended.needs(worker), timeout, told)  # type: ignore[no-any-return]


def as_completed(fs: Iterable[Future[R]], timeout: float | None = None) -> Iterator[Future[R]]:
    """`concurrent.futures.as_completed`; inside a task its thread does meanwhile what the futures need.

    Args:
        fs: Futures of any executors; each is given once.
        timeout: Seconds from the call until the last one, and then to the end
            of what was begun; None for no limit.

    Raises:
        TimeoutError: By the iterator, when *timeout* is over.
        RuntimeError: By the iterator, where the calling task is needed for the last future.
    """
    end = None if timeout is None else time.monotonic() + timeout
    return _as_completed(set(fs), end)


def _as_completed(futures: set[Future[Any]], end: float | None) -> Iterator[Future[Any]]:
    total = len(futures)
    with closing(_Ended(futures, FIRST_COMPLETED)) as ended:
        del futures  # no name here may keep one that was given
        for given in range(total):
            while not ended.satisfied():
                left = _left(end)
                if left is not None and left <= 0:
                    raise TimeoutError(f"{total - given} (of {total}) futures unfinished")
                worker = CURRENT.worker  # the iterator may have been given to another thread
                if worker is None:
                    ended.sleep(left)
                else:
                    _help(worker, ended, left)
            yield ended.ended.popleft()


class _Ended:
    """Which of some futures have ended: a waiter, as concurrent.futures has them.

    Its methods are called by the threads that end futures, perhaps several at a time.  That no
    lock of its own is needed is due to sets and deques, whose methods are atomic.
    """

    def __init__(self, futures: set[Future[Any]], return_when: str) -> None:
        self.return_when = return_when
        self.pending = futures.copy()
        self.ended: deque[Future[Any]] = deque()
        self.failed = False
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._needs: Needs | None = None
        for future in futures:
            with future._condition:
                if future._state not in (CANCELLED_AND_NOTIFIED, FINISHED):
                    future._waiters.append(self)  # type: ignore[arg-type]
                elif future._state == FINISHED and future.exception() is not None:
                    self.add_exception(future)
                else:
                    self.add_result(future)

    def add_result(self, future: Future[Any]) -> None:
        self.pending.discard(future)
        self.ended.append(future)
        if self._needs is not None:
            self._needs.release()
        self._bell.put(None)

    add_cancelled = add_result

    def add_exception(self, future: Future[Any]) -> None:
        self.failed = True
        self.add_result(future)

    def satisfied(self) -> bool:
        if self.return_when == FIRST_COMPLETED:
            return bool(self.ended)
        return not self.pending or (self.failed and self.return_when == FIRST_EXCEPTION)

    def strict(self) -> bool:
        """Whether all that are left must end: then one that needs the waiting task is an error."""
        return self.return_when == ALL_COMPLETED or len(self.pending) == 1

    def needs(self, worker: Worker) -> Needs:
        """The search of *run* for what is left.  One for all calls, or each would look at all anew."""
        needs, strict = self._needs, self.strict()
        if (
            needs is None
            or needs.worker is not worker
            or needs.strict != strict
            or needs.homes != homes_of(worker)
            or len(needs.futures) > 2 * len(self.pending) + SWEEP_FROM
        ):
            if needs is not None:
                needs.close()
            futures = [future for future in self.pending.copy() if isinstance(future, PlannedFuture)]
            elsewhere = len(futures) < len(self.pending)

            def over() -> bool:
                return self.satisfied() or self.strict() != strict

            needs = self._needs = Needs(worker, futures, over, strict, elsewhere)
            needs.open()  # also between two calls
        return needs

    def sleep(self, timeout: float | None) -> None:
        """Until one ends, for a thread that is at no task."""
        block(self._sleep, timeout, lambda: _warn(self.pending.copy()))

    def _sleep(self, timeout: float | None) -> bool:
        try:
            self._bell.get(timeout=timeout)
        except Empty:
            return False
        return True

    def close(self) -> None:
        """Be told of nothing any more."""
        if self._needs is not None:
            self._needs.close()
        for future in self.pending.copy():
            with future._condition, suppress(ValueError):
                future._waiters.remove(self)  # type: ignore[arg-type]
