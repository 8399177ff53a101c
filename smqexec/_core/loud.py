"""What our own code raises is said aloud, and ends what it has left in an unknown state."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Protocol


class Breakable(Protocol):
    """A scheduler as `loud` sees it."""

    def break_down(self, error: BaseException, worker: Any = None, task: Any = None) -> None:
        """Fail all that is pending with *error*: see `Breakdown.break_down`."""


class loud:
    """Around what only our own code does: what that raises ends here, and breaks *scheduler* down.

    *run* and *task* are as for `Breakdown.break_down`.
    """

    __slots__ = ("_run", "_scheduler", "_task")

    def __init__(self, scheduler: Breakable, worker: Any = None, task: Any = None) -> None:
        self._scheduler = scheduler
        self._run = worker
        self._task = task

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if not isinstance(value, Exception):  # Ctrl-C is none of ours
            return False
        self._scheduler.break_down(value, self._run, self._task)
        return True
