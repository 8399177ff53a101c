"""The backend of most queues: a `ThreadPoolExecutor` of the queue's own.

The pool gives threads: their number, names, initializer and end.  A call in it is not a task but a *worker*,
which takes one task after another until none is left for it.  There are never more workers than the pool may
have threads, so no call waits in the pool, and its own order decides nothing.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.thread import BrokenThreadPool
from contextvars import Context
from functools import partial
from itertools import count
from typing import Any
from weakref import ref

from typing_extensions import override

from .._core.backend import Threads
from .._core.state import QueueState, Worker
from .inline import InlinePool
from .loop import work

_inlines = count()  # numbers for names


def in_threads(
    scheduler: Any, max_workers: int | None, prefix: str, initializer: Any, initargs: tuple[Any, ...]
) -> QueueState:
    """Return the state of a new queue whose workers have a thread each."""
    pool = ThreadPool(max_workers, prefix, initializer, initargs)
    queue = QueueState(scheduler, pool, pool._max_workers, str(pool._thread_name_prefix))
    pool.queue = ref(queue)
    return queue


def without_threads(
    scheduler: Any, max_workers: int | None, prefix: str, initializer: Any, initargs: tuple[Any, ...]
) -> QueueState:
    """Return the state of a new inline queue."""
    limit = 1 if max_workers is None else max_workers
    check_width(limit)
    pool = InlinePool(initializer and partial(initializer, *initargs))
    return QueueState(scheduler, pool, limit, prefix or f"inline-{next(_inlines)}")


def check_width(number: int) -> None:
    """Refuse a number of slots that is not positive, in the words of ThreadPoolExecutor."""
    if number <= 0:
        raise ValueError("max_workers must be greater than 0")


class ThreadPool(Threads, ThreadPoolExecutor):
    """A pool whose calls are workers, and which breaks its queue where an initializer fails."""

    # Written once, by `in_threads`.  Weak: a queue that is lost must not be kept by its own pool.
    queue: ref[QueueState]
    _idle_semaphore: Any

    @property
    def threads(self) -> Any:
        return self._threads

    def start(self, queue: QueueState, worker: Worker) -> None:
        """Start a thread for *worker*, or give it to a thread that has none.

        Where threads inherit a context (free-threaded builds do from CPython 3.14 on), that is an empty one:
        a task must not see the context variables of the call that happened to start its thread.
        """
        Context().run(self.submit, work, queue, worker)

    def join(self, wait: bool) -> None:
        """Start no more threads; with *wait*, return when they have ended."""
        self.shutdown(wait)

    def resize(self, number: int) -> None:
        """Let there be *number* threads.  A surplus worker leaves when it asks for a task."""
        self._max_workers = max(self._max_workers, number)

    @override
    def _adjust_thread_count(self) -> None:
        # The call of a worker that was given up, as no thread could be started, stays in the pool.  The
        # thread that takes it next counts as idle on CPython 3.11, although it goes on to a real worker;
        # so the worker after that would get no thread.  No thread counts as idle here.
        while self._idle_semaphore.acquire(blocking=False):
            pass
        super()._adjust_thread_count()

    @override
    def _initializer_failed(self) -> None:
        queue = self.queue()
        if queue is not None:
            error = BrokenThreadPool("A thread initializer failed, the thread pool is not usable anymore")
            queue.scheduler.termination.break_off(queue, error)
        super()._initializer_failed()
        # Once more, as that has thrown away what tells idle threads to leave.
        self.shutdown(wait=False)
