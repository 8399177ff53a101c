"""Queues without threads of their own: for a debugger, and for tests.

A run of such a queue is begun by the thread that submits a task, or resumes the
scheduler, as soon as one is ready; it does all that is, by the order in force, and
leaves before the call returns.  A thread that is at one begins no other of the same
scheduler beneath it: what is ready there meanwhile comes after, or while the thread
would wait.

Other threads have something else to do: where one of them makes a task ready, a
thread of another queue say, or one that is at an inline queue of another scheduler, a
thread for that alone does it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from .._calls.interrupts import headroom, uninterrupted, unmasked
from .._core.backend import Threads
from .._core.state import CURRENT, QueueState, Worker
from .loop import perform

LOGGER = logging.getLogger("concurrent.futures")  # where its users look for failed initializers


class InlinePool(Threads):
    """The backend of a queue that has no threads: the threads that submit are its workers.

    Args:
        initializer: Called once, by the thread that begins the first run.
    """

    parks = False
    inline = True

    def __init__(self, initializer: Callable[[], object] | None) -> None:
        self._initializer = initializer
        self._broken: Any = None
        self.threads: set[threading.Thread] = set()  # of those that have something else to do

    def start(self, queue: QueueState, worker: Worker) -> None:
        """See that a run is begun, perhaps at once."""
        if CURRENT.scheduler is queue.scheduler:
            CURRENT.due.append(partial(self._work, queue, worker))
        elif CURRENT.worker is None and (
            CURRENT.lent or threading.current_thread() is threading.main_thread()
        ):
            self._begin(queue, worker)
        else:
            threading.Thread(target=self._begin, args=(queue, worker), name=f"{queue.name}-beside").start()

    def _work(self, queue: QueueState, worker: Worker) -> None:
        """Be *run*, until nothing is ready."""
        below, CURRENT.worker = CURRENT.worker, worker
        CURRENT.workers.append(worker)
        begin = partial(queue.scheduler.dispatcher.begin_at_once, queue, worker)
        try:
            while perform(queue, worker, begin):
                pass
        finally:
            CURRENT.workers.remove(worker)
            CURRENT.worker = below

    def resize(self, number: int) -> None:
        """There are no threads."""

    def join(self, wait: bool) -> None:
        """There are no threads."""

    def _begin(self, queue: QueueState, worker: Worker) -> None:
        """Do what the runs are for that are due in this thread: *run*, and those that come meanwhile.

        The caller may be at the bottom of a recursion: a run needs room to end what it has begun.

        Raises:
            RecursionError: There is no room to begin.
        """
        headroom()
        with uninterrupted():
            try:
                CURRENT.scheduler = queue.scheduler
                CURRENT.due.append(partial(self._work, queue, worker))
                if self._initialize():
                    while CURRENT.due:
                        CURRENT.due.popleft()()
            finally:
                CURRENT.scheduler = None
                CURRENT.due.clear()

    def _initialize(self) -> bool:
        initializer, self._initializer = self._initializer, None
        try:
            if initializer is not None:
                unmasked(initializer)
        except BaseException as error:
            self._broken = f"the initializer failed: {error!r}"
            LOGGER.critical("Exception in initializer:", exc_info=True)
            return False
        return True
