"""What the tasks of a queue run in: a pool of threads, or no threads at all; and its slots.

The pool gives what it is good at: threads, their names, their initializer,
their end.  What runs in it is not one call for each task but *runs*: a run is
submitted once, takes one task after another from the scheduler, and parks when
none is ready.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.thread import BrokenThreadPool
from functools import partial
from itertools import count
from threading import Thread
from typing import Any
from weakref import ref

from typing_extensions import override

from .._core.backend import Threads
from .._core.state import QueueState, Worker
from .inline import InlinePool
from .loop import work

_inlines = count()  # numbers for names


def in_threads(
    scheduler: Any,
    max_workers: int | None,
    prefix: str,
    first: Initializer | None,
    initargs: tuple[Any, ...],
) -> QueueState:
    """Slots with a thread each."""
    pool = ThreadPool(max_workers, prefix, first, initargs)
    name = str(pool._thread_name_prefix)
    return QueueState(scheduler, pool, pool._max_workers, name)


def without_threads(
    scheduler: Any,
    max_workers: int | None,
    name: str,
    first: Initializer | None,
    initargs: tuple[Any, ...],
) -> QueueState:
    """Slots without any thread."""
    limit = 1 if max_workers is None else max_workers
    check_width(limit)
    pool = InlinePool(first and partial(first, *initargs))
    name = name or f"inline-{next(_inlines)}"
    return QueueState(scheduler, pool, limit, name)


def check_width(number: int) -> None:
    """Refuse a number of slots that is none."""
    if number <= 0:
        raise ValueError("max_workers must be greater than 0")


class ThreadPool(Threads, ThreadPoolExecutor):
    """A pool that gives each run a thread, and tells idle threads to leave when an initializer failed."""

    _idle_semaphore: Any

    @property
    def threads(self) -> Any:
        return self._threads

    def start(self, queue: QueueState, worker: Worker) -> None:
        """Start a thread for *run*, or give it to one that would end."""
        self.submit(work, queue, worker)

    def join(self, wait: bool) -> None:
        """Start no more threads; with *wait*, return when they have ended."""
        self.shutdown(wait)

    def resize(self, number: int) -> None:
        """See that there may be so many threads.

        It never gets smaller: a run that is too many has yet to get a thread, to
        be told so.
        """
        self._max_workers = max(self._max_workers, number)

    @override
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait, cancel_futures=cancel_futures)
        # A ThreadPoolExecutor is freed by reference counts, and its threads with it.  A queue's
        # pool is part of a cycle: it must not keep threads that have ended.  No thread comes any more.
        self._threads: Any = WeakThreads(self._threads)

    @override
    def _adjust_thread_count(self) -> None:
        # A run that was given up, since no thread could be started for it, stays in the pool
        # for the next thread, which CPython 3.11 counts as idle then, although it goes on to
        # the next run; and the run after that would get none.  So none is idle: there are
        # never more runs than the pool may have threads.
        while self._idle_semaphore.acquire(blocking=False):
            pass
        super()._adjust_thread_count()

    @override
    def _initializer_failed(self) -> None:
        super()._initializer_failed()
        # After it: it throws away all that its threads were to get, also this.
        self.shutdown(wait=False)


class WeakThreads:
    """Some threads, as long as they exist.

    Not a `WeakSet`: before CPython 3.14 going through one fails where another thread frees a member.
    """

    def __init__(self, threads: Iterable[Thread]) -> None:
        self._refs = [ref(thread) for thread in threads]

    def __iter__(self) -> Iterator[Thread]:
        return iter([thread for each in self._refs if (thread := each()) is not None])

    def __len__(self) -> int:
        return len(list(iter(self)))


class Initializer:
    """The user's initializer, whose failure also breaks our queue."""

    def __init__(self, initializer: Callable[..., object]) -> None:
        self.initializer = initializer
        self.queue: ref[QueueState] | None = None  # a pool's thread must not keep the queue

    def __call__(self, *args: Any) -> None:
        try:
            self.initializer(*args)
        except BaseException:
            queue = None if self.queue is None else self.queue()
            if queue is not None:
                error = BrokenThreadPool("A thread initializer failed, the thread pool is not usable anymore")
                queue.scheduler.termination.break_off(queue, error)
            raise
