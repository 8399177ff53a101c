"""The backends whose workers run in this process, and how their queues are made.

A `ThreadPool` starts a thread for each worker, which runs one task after another until it leaves.  So no call
waits for a thread, and the planner alone decides the order of tasks.

An `InlinePool` has no threads of its own: it is for debuggers and tests.  The thread that submits a task, or
resumes the scheduler, *serves* the queue: it becomes a worker, runs all ready tasks, and returns.  While a
thread serves an inline queue, further workers of inline queues of the same scheduler are *due* in that thread
(`CURRENT.due`).  A due worker begins when the present worker has ended, or inside a wait of the present
worker.  Invariant: if a thread has several workers, all but the innermost wait.  All other threads start a
new thread to serve the queue: a worker of another queue, or a thread that ends a dependency.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.thread import BrokenThreadPool
from contextvars import Context
from functools import partial
from itertools import count
from threading import RLock, Thread, current_thread, main_thread
from typing import Any
from weakref import WeakSet

from typing_extensions import override

from .._calls.interrupts import headroom, uninterrupted, unmasked
from .._core.process import members
from .._core.queue_state import CURRENT, QueueState, Worker
from .._core.upward import Backend
from .loop import perform

LOGGER = logging.getLogger("concurrent.futures")  # where users look for failing initializers

_inlines = count()  # numbers in the names of inline queues; `next` is atomic


def in_threads(
    scheduler: Any, max_workers: int | None, prefix: str, initializer: Any, initargs: tuple[Any, ...]
) -> QueueState:
    """Return the state of a new queue whose workers have a thread each."""
    # Has the defaults, names and errors of this Python's class, and no threads.
    model: Any = ThreadPoolExecutor(max_workers, prefix, initializer, initargs)
    pool = ThreadPool(initializer and partial(initializer, *initargs))
    return QueueState(scheduler, pool, model._max_workers, str(model._thread_name_prefix))


def without_threads(
    scheduler: Any, max_workers: int | None, prefix: str, initializer: Any, initargs: tuple[Any, ...]
) -> QueueState:
    """Return the state of a new inline queue."""
    limit = 1 if max_workers is None else max_workers
    check_width(limit)
    pool = InlinePool(initializer and partial(initializer, *initargs))
    return QueueState(scheduler, pool, limit, prefix or f"inline-{next(_inlines)}")


def check_width(number: int) -> None:
    """Raise a ValueError, with ThreadPoolExecutor's message, if *number* of slots is not positive."""
    if number <= 0:
        raise ValueError("max_workers must be greater than 0")


class ThreadPool(Backend):
    """The backend of most queues: each worker has a thread of its own."""

    def __init__(self, initializer: Callable[[], object] | None) -> None:
        self._initializer = initializer  # called first in each thread; constant
        # The threads that have been started and exist; their ends remove them.
        self._threads: WeakSet[Thread] = WeakSet()
        self._numbers = count()  # in the names of threads; `next` is atomic

    @property
    def threads(self) -> Any:
        """The threads of the pool."""
        return set(members(self._threads))

    def start(self, queue: QueueState, worker: Worker) -> None:
        """Start a thread for *worker*."""
        name = f"{queue.name}_{next(self._numbers)}"
        thread = Thread(target=self._run, args=(queue, worker), name=name, daemon=False)
        # In an empty context: on free-threaded builds, from CPython 3.14 on, a thread inherits the context of
        # the thread that starts it, and a task must not see those context variables.
        Context().run(thread.start)
        self._threads.add(thread)

    def join(self, wait: bool) -> None:
        """With *wait*, return when all threads have ended."""
        for thread in members(self._threads) if wait else ():
            thread.join()

    def _run(self, queue: QueueState, worker: Worker) -> None:
        """Run tasks as *worker* until the worker has to leave."""
        outer, CURRENT.worker = CURRENT.worker, worker
        CURRENT.workers.append(worker)
        begin = partial(queue.scheduler.dispatcher.begin, queue, worker)
        try:
            going = self._initialize(queue)
            while going:  # a local name would keep a task while others run
                going = perform(queue, worker, begin)
        finally:
            CURRENT.workers.remove(worker)
            CURRENT.worker = outer

    def _initialize(self, queue: QueueState) -> bool:
        """Call the initializer; return False if it fails, after *queue* has broken."""
        try:
            if self._initializer is not None:
                unmasked(self._initializer)
        except BaseException:
            LOGGER.critical("Exception in initializer:", exc_info=True)
            self._broken = "A thread initializer failed, the thread pool is not usable anymore"
            queue.scheduler.termination.break_off(queue, BrokenThreadPool(self._broken))
            return False
        return True


class InlinePool(ThreadPool):
    """The backend of an inline queue: its initializer is called once, by the first worker."""

    keeps_idle = False
    inline = True

    def __init__(self, initializer: Callable[[], object] | None) -> None:
        super().__init__(initializer)
        self._begun = False  # the first worker has begun; written under the next field
        # Held during the initializer: no other worker begins before its end.  Reentrant, as it may submit.
        self._initializing = RLock()

    @override
    def start(self, queue: QueueState, worker: Worker) -> None:
        """Begin *worker* in the calling thread, now or when it is due, or in a new thread."""
        outer = CURRENT.worker
        # Due, not now: the present worker may have taken a task and not yet called it, and a task of
        # *worker* might wait for that one.
        if outer is not None and outer.queue.inline and outer.queue.scheduler is queue.scheduler:
            CURRENT.due.append(partial(super()._run, queue, worker))
        elif outer is None and (CURRENT.submits_inline or current_thread() is main_thread()):
            self._run(queue, worker)
        else:
            super().start(queue, worker)

    @override
    def _run(self, queue: QueueState, worker: Worker) -> None:
        headroom()
        # Ctrl-C fails the running task.  It is masked between two tasks, where it would lose the worker.
        with uninterrupted():
            super()._run(queue, worker)
            while CURRENT.due:
                CURRENT.due.popleft()()

    @override
    def _initialize(self, queue: QueueState) -> bool:
        with self._initializing:
            begun, self._begun = self._begun, True
            return begun or super()._initialize(queue)
