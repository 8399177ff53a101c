"""A stop that lasts for a block."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol


class Resumable(Protocol):
    """A scheduler as a stop sees it."""

    def take_back(self, era: int, /) -> None:
        """End one stop of those of *era*."""


class Stop:
    """What `Scheduler.stop` returns; as a context manager it takes that stop back when its block ends.

    Stops are counted, and `Scheduler.resume` ends all there are: so blocks may
    be nested, and overlap in several threads; the last one resumes.  A stop
    that is no block's stays until `resume`.  After a `resume` in the block its
    end does nothing.
    """

    __slots__ = ("_entered", "_era", "_scheduler")

    def __init__(self, scheduler: Resumable, era: int) -> None:
        self._scheduler = scheduler
        self._era = era  # how often the scheduler had been resumed
        self._entered = False

    def __enter__(self) -> None:
        if self._entered:
            raise RuntimeError("a stop lasts for one block; call stop() again for another")
        self._entered = True

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._scheduler.take_back(self._era)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._scheduler!r}>"
