"""The backends whose workers run in this process, and how their queues are made.

A call in a `ThreadPool` is not a task but a *worker*, which runs one task after another.  Invariant: there
are never more workers than the pool may have threads.  So no call waits in the pool, and the planner alone
decides the order of tasks.  The scheduler's lock is held in neither `submit` nor `shutdown`.

An `InlinePool` has no threads, for debuggers and tests.  The thread that submits a task *serves* the queue:
it becomes a worker, runs all ready tasks, and returns.  So does the main thread if it makes a task ready, for
example by a resume.  Any other thread starts a thread to serve the queue.  Invariant: if a thread has several
workers, all but the innermost wait.
"""

import sys
from _thread import start_new_thread
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from concurrent.futures.thread import BrokenThreadPool, _global_shutdown_lock
from contextvars import Context
from functools import partial
from itertools import count
from threading import RLock, Thread, current_thread, main_thread
from types import FrameType
from typing import Any
from weakref import WeakSet, ref

from .._calls.interrupts import elsewhere, headroom, unmasked
from .._core.process import members
from .._core.queue_state import CURRENT, Backend, QueueState, Worker
from .._core.state import State
from .._futures.future import LOGGER
from .loop import work

_inlines = count()  # numbers in the names of inline queues; `next` is atomic


def in_process(
    scheduler: State, inline: bool, max_workers: int | None, prefix: str, initializer: Any, initargs: Any
) -> QueueState:
    """Return the state of a new queue whose tasks run in threads of its own, or *inline*."""
    if inline and max_workers is None:
        max_workers = 1
    pool = ThreadPool(max_workers, prefix, initializer, initargs)  # checks them, and starts no thread yet
    if inline:
        backend = InlinePool(None if initializer is None else partial(initializer, *initargs))
        return QueueState(scheduler, backend, pool._max_workers, prefix or f"inline-{next(_inlines)}")
    queue = QueueState(scheduler, pool, pool._max_workers, pool._thread_name_prefix)
    pool.queue = ref(queue)
    return queue


def check_width(number: int) -> None:
    """Raise a ValueError, with ThreadPoolExecutor's message, if *number* of slots is not positive."""
    if number <= 0:
        raise ValueError("max_workers must be greater than 0")


class ThreadPool(Backend, ThreadPoolExecutor):
    """The `ThreadPoolExecutor` of a queue: it provides threads, their names, initializer and end."""

    # The state of its queue; set once, by `in_process`.  Weak: no cycle may keep a queue that was forgotten.
    queue: ref[QueueState]
    _idle_semaphore: Any  # of the base class, whose stubs leave it out: counts threads without a call

    @property
    def threads(self) -> Any:
        return set(members(self._threads))

    def start(self, queue: QueueState, worker: Worker) -> None:
        """Start a thread for *worker*, or run it in a thread that has no call."""
        if (self._shutdown_lock.locked() or _global_shutdown_lock.locked()) and submitting(type(self)):
            # A signal handler or finalizer has interrupted this thread in `submit`, which holds the locks.
            start_new_thread(elsewhere, (queue.scheduler.start_workers, ([worker],)))
            return
        # In an empty context, which the thread inherits on free-threaded builds from CPython 3.14 on.
        Context().run(self.submit, work, queue, worker, queue.scheduler.dispatcher.begin)

    def resize(self, number: int) -> None:
        # Never lowered: workers leave as they ask for a task, and until then each needs a thread.
        self._max_workers = max(self._max_workers, number)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(False, cancel_futures=cancel_futures)
        # The pool of a queue is part of a cycle, so it must not keep threads that have ended.  No thread is
        # added any more.
        threads: list[Thread] = members(self._threads)
        self._threads: Any = WeakSet(threads)
        for thread in threads if wait else ():
            thread.join()

    join = shutdown

    def _adjust_thread_count(self) -> None:
        # If no thread could be started for a worker, the next free thread takes its call.  On CPython 3.11
        # that thread counts as idle although a second call waits for it.  So no thread counts as idle here.
        while self._idle_semaphore.acquire(blocking=False):
            pass
        super()._adjust_thread_count()

    def _initializer_failed(self) -> None:
        # Called by the thread whose initializer has failed; the scheduler's lock is not held.
        queue = self.queue()
        if queue is not None:
            error = BrokenThreadPool("A thread initializer failed, the thread pool is not usable anymore")
            queue.scheduler.termination.break_off(queue, error)
        super()._initializer_failed()
        # Once more: the base class has removed from its queue the entry that ends idle threads.
        self.shutdown(wait=False)


class InlinePool(Backend):
    """The backend of an inline queue.

    Further workers of inline queues of the same scheduler are *due* in a thread that serves one: they begin
    when the present worker has ended, or inside a wait of it.
    """

    keeps_idle = False
    inline = True

    def __init__(self, initializer: Callable[[], object] | None) -> None:
        # Called once, by the first worker; None from then on.
        self._initializer = initializer
        # Held during the call: no other worker begins before its end.  Reentrant: the initializer may submit.
        self._initializing = RLock()

    def start(self, queue: QueueState, worker: Worker) -> None:
        """Let *worker* be due in the calling thread, or begin in a new thread."""
        outer = CURRENT.worker
        if outer is None:
            headroom(25)
            here = CURRENT.submits_inline or current_thread() is main_thread()
        else:
            here = outer.queue.inline and outer.queue.scheduler is queue.scheduler
        # Due, not now: a task of *worker* might wait for one that the present worker has taken and not yet
        # called, or for one of a worker that `start_workers` has still to start.
        begin = partial(work, queue, worker, self._begin)
        if here:
            CURRENT.due.append(begin)
        else:
            thread = Thread(target=CURRENT.serve_due, args=(begin,), name=f"{queue.name}-beside")
            Context().run(thread.start)  # see `ThreadPool.start`

    def _begin(self, queue: QueueState, worker: Worker) -> Any:
        """Call the initializer unless it was called before; return as `Dispatcher.begin`."""
        with self._initializing:
            initializer, self._initializer = self._initializer, None
            try:
                if initializer is not None:
                    unmasked(initializer)
            except BaseException as error:
                self._broken = f"the initializer failed: {error!r}"
                LOGGER.critical("Exception in initializer:", exc_info=True)
                queue.scheduler.termination.break_off(queue, BrokenThreadPool(self._broken))
        return queue.scheduler.dispatcher.begin(queue, worker)  # None if the initializer has failed


def submitting(kind: type[Executor]) -> bool:
    """Return True if the calling thread is at a ``submit`` of class *kind*, or of a pool of threads."""
    codes = (ThreadPoolExecutor.submit.__code__, getattr(kind.submit, "__code__", None))
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code not in codes:
        frame = frame.f_back
    return frame is not None
