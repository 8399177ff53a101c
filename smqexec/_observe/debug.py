"""What ``Scheduler(debug=True)`` sees and tells besides, at a cost for each task.

An observer notes with each task where it was submitted, and when it starts.  A
failure gets an `Unseen`, which all tasks that fail with it share: if it is collected
before anybody has looked, it is logged.

A finalizer may interrupt any thread anywhere, also one that holds a scheduler's
lock or one of ``threading``.  So it logs nothing itself: it leaves the report to a
thread that it starts by the barest means there are.
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

if TYPE_CHECKING:
    from .events import Event

LOGGER = logging.getLogger("smqexec")

_HERE = os.path.dirname(os.path.dirname(__file__))  # the package


def observe(event: Event) -> None:
    """Note where a task was submitted, and when it starts.  Cost: about 1 µs."""
    task: Any = event.task
    if event.kind == "submit":
        task._place = caller()
    elif event.kind == "start":
        task._since = event.time


def caller() -> str:
    """Where this package was called: file and line."""
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def watch(exception: BaseException, queue: str) -> Callable[[], None]:
    """Log *exception*, which a task of *queue* failed with, unless the result is called in time.

    In time: before the result, which the failure keeps, is collected.
    """
    return Unseen(exception, queue).look


class Unseen:
    """A failure that nobody has looked at yet."""

    __slots__ = ("__weakref__", "_exception", "_queue")

    def __init__(self, exception: BaseException, queue: str) -> None:
        self._exception: BaseException | None = exception
        self._queue = queue
        _living.add(self)

    def look(self) -> None:
        """Note that somebody looks at it."""
        self._exception = None

    def report(self) -> None:
        """Log it, if nobody has looked.  No lock is held."""
        exception, self._exception = self._exception, None
        if exception is not None:
            _log(exception, self._queue)

    def __del__(self) -> None:
        if self._exception is not None:
            _reports.put((self._exception, self._queue))
            with suppress(RuntimeError):  # no thread can be started: the next report takes it along
                _thread.start_new_thread(_begin_report, ())


_living: WeakSet[Unseen] = WeakSet()
_reports: SimpleQueue[tuple[BaseException, str]] = SimpleQueue()  # may be put into by finalizers


def _begin_report() -> None:  # pragma: no cover - in a thread that coverage is not told of
    # A thread that logs has to be one that `threading` knows.
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
    """Report what the end of the program would collect, when it is too late to log anything."""
    for unseen in list(_living):
        unseen.report()


def _after_fork() -> None:
    """Leave to the parent what its tasks did."""
    for unseen in list(_living):
        unseen.look()


atexit.register(_at_exit)  # so before `logging`, which was imported earlier, shuts down
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows can't fork
    os.register_at_fork(after_in_child=_after_fork)
