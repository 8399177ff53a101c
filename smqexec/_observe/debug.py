"""The notes and logs of ``Scheduler(debug=True)``, which cost some time for each task."""

import atexit
import os
import sys
from _thread import start_new_thread
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from .._calls.interrupts import LOGGER, elsewhere
from .._core.process import members
from .events import Event

_PACKAGE = os.path.dirname(os.path.dirname(__file__))


def observe(event: Event) -> None:
    """Note where a task was submitted, and when it starts.  Cost: about 1 µs."""
    task: Any = event.task
    if event.kind == "submit":
        frame: Any = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
            frame = frame.f_back
        task._submitted_at = f"{frame.f_code.co_filename}:{frame.f_lineno}"
    elif event.kind == "start":
        task._since = event.time


class Unseen:
    """An *exception* of any number of tasks: logged if this dies before a call notes its retrieval."""

    def __init__(self, exception: BaseException, queue: str) -> None:
        # None once the exception was retrieved or logged.  Each access is atomic.
        self._exception: BaseException | None = exception
        self._queue = queue
        _living.add(self)

    def __call__(self) -> None:
        self._exception = None

    def __del__(self) -> None:
        if self._exception is not None:
            # A finalizer may interrupt a thread that holds a lock of logging, or a scheduler's.
            with suppress(RuntimeError):  # no thread can be started
                start_new_thread(elsewhere, (_log, (self._exception, self._queue)))


# All of this process.  Those that live at its end would be collected after `logging` has shut down.
_living: WeakSet[Unseen] = WeakSet()


def _log(exception: BaseException, queue: str) -> None:
    message = "a task of queue %s failed, and its exception was never retrieved"
    LOGGER.error(message, queue, exc_info=exception)


def _at_exit() -> None:
    for unseen in members(_living):
        exception, unseen._exception = unseen._exception, None
        if exception is not None:
            _log(exception, unseen._queue)


atexit.register(_at_exit)  # so before `logging`, which was imported earlier, shuts down
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows can't fork
    os.register_at_fork(after_in_child=lambda: [unseen() for unseen in members(_living)])  # the parent's
