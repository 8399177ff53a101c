"""Values that stay where they were made: at an engine that keeps them.

The outcome of a task whose call was made there is `Kept`: the engine's own future, a `Remote`, which
brings the value when asked for it.  As an argument of another call at that engine the `Remote` goes
there in the value's place.
"""

from __future__ import annotations

from abc import abstractmethod
from concurrent.futures import CancelledError, Future
from functools import cache
from time import monotonic
from typing import Any, TypeAlias, TypeVar

R = TypeVar("R")

Snapshot: TypeAlias = tuple[bool, bool, Any, BaseException | None]  # done, cancelled, result, exception


class Remote(Future[Any]):
    """The future of a call at an engine that keeps values.

    It is done when the value is there; ``result`` brings the value here, and keeps it.  A future that
    is done holds neither its call nor its callbacks.
    """

    def _get_snapshot(self) -> Snapshot:
        return snapshot(self) if self.done() else (False, False, None, None)

    @abstractmethod
    def part(self, key: Any) -> Remote:
        """Return the future of ``result[key]``, which the engine makes of its own value; don't block."""


class Kept:
    """An outcome that is elsewhere.  The future of an item's may not be done yet, and may fail.

    *end* is on the monotonic clock.
    """

    __slots__ = ("future",)

    def __init__(self, future: Remote) -> None:
        self.future = future

    def result(self, end: float | None) -> Any:
        return self.future.result(None if end is None else max(end - monotonic(), 0))

    def exception(self, end: float | None) -> BaseException | None:
        return self.future.exception(None if end is None else max(end - monotonic(), 0))


def brought(future: Future[R]) -> Future[R]:
    """Return a done future with the outcome of *future*, whose value is brought here."""
    here: Future[R] = Future()
    try:
        here.set_result(future.result())
    except CancelledError:
        here.cancel()
    except BaseException as error:
        here.set_exception(error)
    return here


def snapshot(future: Future[Any]) -> Snapshot:
    """Return what asyncio of Python 3.15 reads of a done *future*, whose value is brought here."""
    try:
        return True, False, future.result(), None
    except CancelledError:
        return True, True, None, None
    except BaseException as error:
        return True, False, None, error


@cache
def keeping(kind: Any) -> Any:
    """Return the class of tasks whose outcome may be `Kept`, in place of *kind*; of the same name.

    A worker reads the outcomes of a `Task` without a look for `Kept`: this class is another.
    """
    return type(kind.__name__, (kind,), {"__slots__": (), "__module__": kind.__module__})


def stand_in(future: Future[Any], takes: Any) -> Any:
    """Return what stands for *future*, which is done, in a call at an engine.

    That is its `Remote` where *takes* allows, else the value, brought here if need be.
    """
    outcome = getattr(future, "_outcome", None)
    if type(outcome) is Kept and takes(outcome.future):
        return outcome.future
    return future if isinstance(future, Remote) and takes(future) else future.result()
