"""The backend of inline queues, which have no threads of their own: for debuggers and tests.

The thread that submits a task, or resumes the scheduler, *serves* the queue: it becomes a worker, runs all
ready tasks in order, and returns when none is left.

While a thread serves an inline queue, further workers of inline queues of the same scheduler are *due* in
that thread (`CURRENT.due`).  A due worker begins when the present worker has ended, or inside a wait of the
present worker.  Invariant: if a thread has several workers, all but the innermost wait.  So a wait of the
innermost worker may run tasks in the slots of all.

All other threads start a new thread to serve an inline queue: a worker of another queue or scheduler, or a
thread of another executor that ends a dependency.

`CURRENT` is the thread's own and needs no lock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures.thread import BrokenThreadPool
from contextvars import Context
from functools import partial
from threading import RLock, Thread, current_thread, main_thread

from .._calls.interrupts import headroom, uninterrupted, unmasked
from .._core.queue_state import CURRENT, QueueState, Worker
from .._core.upward import Backend
from .loop import perform

LOGGER = logging.getLogger("concurrent.futures")  # where users look for failing initializers


class InlinePool(Backend):
    """The backend of an inline queue.

    Args:
        initializer: Called once, without arguments, by the thread that begins the first worker.
    """

    keeps_idle = False
    inline = True

    def __init__(self, initializer: Callable[[], object] | None) -> None:
        # None once the first worker has called it.
        self._initializer = initializer
        # Held during the call: no other worker begins before its end.  Reentrant: the initializer may submit.
        self._initializing = RLock()

    def start(self, queue: QueueState, worker: Worker) -> None:
        """Begin *worker* in the calling thread, now or when it is due, or in a new thread."""
        outer = CURRENT.worker
        # Due, not now: the present worker may have taken a task and not yet called it, and a task of
        # *worker* might wait for that one.
        if outer is not None and outer.queue.inline and outer.queue.scheduler is queue.scheduler:
            CURRENT.due.append(partial(self._work, queue, worker))
        elif outer is None and (CURRENT.submits_inline or current_thread() is main_thread()):
            self._serve(queue, worker)
        else:
            thread = Thread(target=self._serve, args=(queue, worker), name=f"{queue.name}-beside")
            Context().run(thread.start)  # see `ThreadPool.start`

    def _serve(self, queue: QueueState, worker: Worker) -> None:
        """Run *worker*, then the workers that have become due.

        Raises:
            RecursionError: The caller has too little stack left; nothing was changed.
        """
        headroom()
        # Ctrl-C fails the running task.  It is masked between two tasks, where it would lose the worker.
        with uninterrupted():
            self._work(queue, worker)
            while CURRENT.due:
                CURRENT.due.popleft()()

    def _work(self, queue: QueueState, worker: Worker) -> None:
        """Run tasks as *worker* until none is ready."""
        outer, CURRENT.worker = CURRENT.worker, worker
        CURRENT.workers.append(worker)
        begin = partial(queue.scheduler.dispatcher.begin, queue, worker)
        try:
            going = self._initialize(queue)
            while going:
                going = perform(queue, worker, begin)
        finally:
            CURRENT.workers.remove(worker)
            CURRENT.worker = outer

    def _initialize(self, queue: QueueState) -> bool:
        """Call the initializer unless it was called before; return False if it fails."""
        with self._initializing:
            initializer, self._initializer = self._initializer, None
            try:
                if initializer is not None:
                    unmasked(initializer)
            except BaseException as error:
                self._broken = f"the initializer failed: {error!r}"
                LOGGER.critical("Exception in initializer:", exc_info=True)
                queue.scheduler.termination.break_off(queue, BrokenThreadPool(self._broken))
                return False
        return True
