"""The notes and logs of ``Scheduler(debug=True)``, which cost some time for each task.

An observer notes with each task where it was submitted, and when it starts.  A failure has an `Unseen`,
which all tasks that fail with it share: if the `Unseen` is collected before the exception was
retrieved, the exception is logged.

A finalizer may interrupt any thread, also one that holds a scheduler's lock or a lock of ``threading``.
So the finalizer of `Unseen` does not log: it leaves a report to a new thread.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
from _thread import start_new_thread
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from .._calls.interrupts import elsewhere
from .._core.process import members

if TYPE_CHECKING:
    from .events import Event

LOGGER = logging.getLogger("smqexec")

_PACKAGE = os.path.dirname(os.path.dirname(__file__))


def observe(event: Event) -> None:
    """Note where a task was submitted, and when it starts.  Cost: about 1 µs."""
    task: Any = event.task
    if event.kind == "submit":
        task._submitted_at = caller()
    elif event.kind == "start":
        task._since = event.time


def caller() -> str:
    """Return the place that called this package: file and line."""
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


class Unseen:
    """An *exception* of a task of *queue* that was not retrieved yet; calling it notes the retrieval."""

    __slots__ = ("__weakref__", "_exception", "_queue")

    def __init__(self, exception: BaseException, queue: str) -> None:
        # None once the exception was retrieved or logged.  Each access is atomic.
        self._exception: BaseException | None = exception
        self._queue = queue
        _living.add(self)

    def __call__(self) -> None:
        self._exception = None

    def report(self) -> None:
        """Log the exception, unless it was retrieved.  No lock is held."""
        exception, self._exception = self._exception, None
        if exception is not None:
            _log(exception, self._queue)

    def __del__(self) -> None:
        if self._exception is not None:
            _reports.put((self._exception, self._queue))
            with suppress(RuntimeError):  # no thread can be started: the next report includes this one
                start_new_thread(elsewhere, (_report, ()))


_living: WeakSet[Unseen] = WeakSet()
_reports: SimpleQueue[tuple[BaseException, str]] = SimpleQueue()  # finalizers may put into it


def _report() -> None:
    """Log all that finalizers have left."""
    with suppress(Empty):
        while True:
            _log(*_reports.get(block=False))


def _log(exception: BaseException, queue: str) -> None:
    message = "a task of queue %s failed, and its exception was never retrieved"
    LOGGER.error(message, queue, exc_info=exception)


def _at_exit() -> None:
    """Log each failure that would be collected at the end of the program, too late to log."""
    for unseen in members(_living):
        unseen.report()


def _after_fork() -> None:
    """In a forked child: the failures are the parent's."""
    for unseen in members(_living):
        unseen()


atexit.register(_at_exit)  # so before `logging`, which was imported earlier, shuts down
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows can't fork
    os.register_at_fork(after_in_child=_after_fork)
