"""Inline queues have no threads of their own: for a debugger, and for tests.

The thread that submits a task, or resumes the scheduler, is the worker: it runs all that is ready, in the
order in force, and leaves before the call returns.

While a thread serves an inline queue, workers of other inline queues of the same scheduler are *due* in it:
they begin after its present worker, or within a wait of that.  So a thread has several workers only where the
outer ones wait, and a wait of the innermost may run tasks in the slots of all.

A thread that is at something else never serves an inline queue: a worker of another queue or scheduler, a
thread of another executor that ends a dependency.  It starts a thread for that alone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures.thread import BrokenThreadPool
from contextvars import Context
from functools import partial
from typing import Any

from .._calls.interrupts import headroom, uninterrupted, unmasked
from .._core.backend import Threads
from .._core.state import CURRENT, QueueState, Worker
from .loop import perform

LOGGER = logging.getLogger("concurrent.futures")  # where its users look for failed initializers


class InlinePool(Threads):
    """The backend of an inline queue.

    Args:
        initializer: Called once, by the thread that begins the first worker.
    """

    parks = False
    inline = True

    def __init__(self, initializer: Callable[[], object] | None) -> None:
        self._initializer = initializer  # None once it was called: by the first thread that serves the queue
        self._broken: Any = None  # how it failed; as that of a ThreadPoolExecutor
        self.threads: set[threading.Thread] = set()  # as for any backend; it has none

    def start(self, queue: QueueState, worker: Worker) -> None:
        """Begin *worker*: at once in the thread that submits, else as the module says."""
        outer = CURRENT.worker
        # Not nested at once: the present worker may have taken a task that *worker* waits for, and not begun.
        if outer is not None and outer.queue.inline and outer.queue.scheduler is queue.scheduler:
            CURRENT.due.append(partial(self._work, queue, worker))
        elif outer is None and (CURRENT.lent or threading.current_thread() is threading.main_thread()):
            self._serve(queue, worker)
        else:
            thread = threading.Thread(target=self._serve, args=(queue, worker), name=f"{queue.name}-beside")
            Context().run(thread.start)  # see `ThreadPool.start`

    def resize(self, number: int) -> None:
        """There are no threads."""

    def join(self, wait: bool) -> None:
        """There are no threads."""

    def _serve(self, queue: QueueState, worker: Worker) -> None:
        """Be *worker*, then the workers that have become due.

        Raises:
            RecursionError: The caller is at the bottom of a recursion, with no room to end what it begins.
        """
        headroom()
        # In the main thread Ctrl-C fails the task that runs, and no worker is lost between two tasks.
        with uninterrupted():
            self._work(queue, worker)
            while CURRENT.due:
                CURRENT.due.popleft()()

    def _work(self, queue: QueueState, worker: Worker) -> None:
        """Be *worker*, until nothing is ready."""
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
        """Call the initializer, if that was not done; False if it failed."""
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
