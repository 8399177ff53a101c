"""The notes and logs of ``Scheduler(debug=True)``, which cost some time for each task.

An observer notes with each task where it was submitted, and when it starts.  A failure
gets an `Unseen`, which all tasks that fail with it share: if it is collected before its
exception was retrieved, the exception is logged.

A finalizer may interrupt any thread anywhere, also a thread that holds a scheduler's
lock or one of ``threading``.  So the finalizer logs nothing itself: it leaves the report
to a thread that it starts by ``_thread`` alone.
"""

from __future__ import annotations

import _thread
import atexit
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from .._core.process import members

if TYPE_CHECKING:
    from .events import Event

LOGGER = logging.getLogger("smqexec")

_HERE = os.path.dirname(os.path.dirname(__file__))  # the package


def observe(event: Event) -> None:
    """Note where a task was submitted, and when it starts.  Cost: about 1 µs."""
    task: Any = event.task
    if event.kind == "submit":
        task._submitted_at = caller()
    elif event.kind == "start":
        task._since = event.time


def caller() -> str:
    """The place that called this package: file and line."""
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def watch(exception: BaseException, queue: str) -> Callable[[], None]:
    """Log *exception* of a task of *queue* when what is returned is collected before it was called."""
    return Unseen(exception, queue).look


class Unseen:
    """A failure whose exception was not retrieved yet."""

    __slots__ = ("__weakref__", "_exception", "_queue")

    def __init__(self, exception: BaseException, queue: str) -> None:
        self._exception: BaseException | None = exception
        self._queue = queue
        _living.add(self)

    def look(self) -> None:
        """Note that the exception is retrieved."""
        self._exception = None

    def report(self) -> None:
        """Log the exception, unless it was retrieved.  No lock is held."""
        exception, self._exception = self._exception, None
        if exception is not None:
            _log(exception, self._queue)

    def __del__(self) -> None:
        if self._exception is not None:
            _reports.put((self._exception, self._queue))
            with suppress(RuntimeError):  # no thread can be started: the next report takes this one along
                _thread.start_new_thread(_begin_report, ())


_living: WeakSet[Unseen] = WeakSet()
_reports: SimpleQueue[tuple[BaseException, str]] = SimpleQueue()  # finalizers may put into it


def _begin_report() -> None:  # pragma: no cover - in a thread that coverage does not see
    # Logging asks for the current thread, so that must be one that `threading` knows.
    with suppress(RuntimeError):
        threading.Thread(target=_report, name="smqexec-debug", daemon=False).start()


def _report() -> None:
    with suppress(Empty):
        while True:
            _log(*_reports.get(block=False))


def _log(exception: BaseException, queue: str) -> None:
    message = "a task of queue %s failed, and its exception was never retrieved"
    LOGGER.error(message, queue, exc_info=exception)


def _at_exit() -> None:
    """Report what the end of the program would collect when it is too late to log."""
    for unseen in members(_living):
        unseen.report()


def _after_fork() -> None:
    """In a forked child: the failures are the parent's."""
    for unseen in members(_living):
        unseen.look()


atexit.register(_at_exit)  # so before `logging`, which was imported earlier, shuts down
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows can't fork
    os.register_at_fork(after_in_child=_after_fork)
