"""For use inside tasks: `checkpoint`; `wait` and `as_completed` without the deadlocks of the originals."""

import concurrent.futures
from collections.abc import Iterable, Iterator
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, Future
from concurrent.futures._base import DoneAndNotDoneFutures
from contextlib import closing
from typing import Any, TypeVar

from ._core.queue_state import CURRENT
from ._futures.waiter import deadline
from ._workers.waiting import wait_for
from ._workers.waits import Wait

R = TypeVar("R")
F = TypeVar("F", bound=Future[Any])


def checkpoint() -> None:
    """Block while the scheduler of the calling task is stopped; end the task if it was cancelled.

    A long task calls this where it can pause or end.  Every ``yield`` of a generator task is a checkpoint.
    Outside a task this does nothing.

    Raises:
        CancelledError: ``cancel()`` was called on the running task, which is cancelled if it lets this
            exception through.

    Cost: about 0.2 µs.
    """
    worker = CURRENT.worker
    if worker is not None and worker.task is not None:
        worker.queue.scheduler.waiting.checkpoint(worker.task)


def wait(
    fs: Iterable[Future[R]], timeout: float | None = None, return_when: str = ALL_COMPLETED
) -> DoneAndNotDoneFutures[R]:
    """`concurrent.futures.wait`; inside a task, its thread meanwhile runs tasks that the futures need.

    Args:
        timeout: In seconds.  A nested task that was begun before is run to its end first.

    Raises:
        ValueError: *return_when* is none of the three.
        RuntimeError: All must end, and the calling task is needed for one of them.
    """
    futures = set(fs)
    if not futures or return_when not in (FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED):
        return concurrent.futures.wait(futures, timeout, return_when)
    end = deadline(timeout)
    with closing(Wait(futures, return_when)) as completions:
        wait_for(completions, end)
        not_done = completions.awaited()  # a copy: the thread that ends a future may change it at any time
    return DoneAndNotDoneFutures(futures - not_done, not_done)


def as_completed(fs: Iterable[F], timeout: float | None = None) -> Iterator[F]:
    """`concurrent.futures.as_completed`; inside a task, its thread meanwhile runs tasks they need.

    Raises:
        TimeoutError: By the iterator, after *timeout* seconds, once a nested task that was begun has ended.
    """
    return _as_completed(set(fs), deadline(timeout))


def _as_completed(futures: set[Any], end: float | None) -> Iterator[Any]:
    total = len(futures)
    with closing(Wait(futures, FIRST_COMPLETED)) as completions:
        del futures  # no name here may keep a future that was given
        for given in range(total):
            if not wait_for(completions, end):
                raise TimeoutError(f"{total - given} (of {total}) futures unfinished")
            yield completions.ended.popleft()
