"""No silent error: an exception of our own code is logged, and fails all pending tasks."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Protocol


class Breakable(Protocol):
    """A scheduler as `loud` sees it: see `Breakdown`."""

    def break_down(self, error: BaseException, worker: Any = None, task: Any = None) -> None:
        """Log *error*, and fail all that is pending with it."""


class loud:
    """A block of our own code: an `Exception` ends here, and breaks *scheduler* down.

    *worker* and *task* are those of `Breakdown.break_down`.
    """

    __slots__ = ("_scheduler", "_task", "_worker")

    def __init__(self, scheduler: Breakable, worker: Any = None, task: Any = None) -> None:
        self._scheduler = scheduler
        self._worker = worker
        self._task = task

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if not isinstance(value, Exception):  # Ctrl-C is no error of ours
            return False
        self._scheduler.break_down(value, self._worker, self._task)
        return True
