"""Values that stay where they were made: at an engine that keeps them.

The outcome of a task whose call was made there is `Kept`: the engine's own future, a `Remote`, which
brings the value when asked for it.  As an argument of another call at that engine the `Remote` goes
there in the value's place.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from functools import cache
from time import monotonic
from typing import Any, TypeVar

from .future import PlannedFuture, Snapshot

R = TypeVar("R")


class Remote(Future[Any]):
    """The future of a call at an engine that keeps values.

    It is done when the value is there; ``result`` brings the value here, and keeps it.  A future that
    is done holds neither its call nor its callbacks.
    """

    def _get_snapshot(self) -> Snapshot:
        return _snapshot(self) if self.done() else (False, False, None, None)

    @abstractmethod
    def part(self, key: Any) -> Remote:
        """Return the future of ``result[key]``, which the engine makes of its own value; don't block."""


class Kept:
    """An outcome that is elsewhere.  The future of an item's may not be done yet, and may fail."""

    __slots__ = ("future",)

    def __init__(self, future: Remote) -> None:
        self.future = future


class Keeping(PlannedFuture[R]):
    """A future whose outcome may be kept elsewhere."""

    __slots__ = ()

    def result(self, timeout: float | None = None) -> R:
        """Do what `Task.result` does; bring a value here that is kept elsewhere."""
        end = None if timeout is None else monotonic() + timeout
        try:
            outcome: Any = super().result(timeout)
            return outcome.future.result(_left(end)) if type(outcome) is Kept else outcome  # type: ignore[no-any-return]
        finally:
            outcome = None
            del self  # no cycle from the traceback to this frame and back

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Do what `Task.exception` does; a value kept elsewhere stays there."""
        end = None if timeout is None else monotonic() + timeout
        exception = super().exception(timeout)
        outcome = self._outcome
        return outcome.future.exception(_left(end)) if type(outcome) is Kept else exception

    def _get_snapshot(self) -> Snapshot:
        return _snapshot(self) if type(self._outcome) is Kept and self.done() else super()._get_snapshot()

    def _deliver(self, fn: Callable[[Future[R]], object]) -> None:
        # asyncio's callback reads the value in the thread of its loop, which must not wait.
        if type(self._outcome) is Kept and getattr(fn, "__module__", None) == "asyncio.futures":
            threading.Thread(target=self._bring_and_call, args=(fn,), daemon=True).start()
        else:
            super()._deliver(fn)

    def _bring_and_call(self, fn: Callable[[Future[R]], object]) -> None:
        brought = _brought(self)
        super()._call(lambda _: fn(brought), BaseException)


def _brought(future: Future[R]) -> Future[R]:
    """Return a done future with the outcome of *future*, whose value is brought here."""
    brought: Future[R] = Future()
    try:
        brought.set_result(future.result())
    except CancelledError:
        brought.cancel()
    except BaseException as error:
        brought.set_exception(error)
    return brought


def _snapshot(future: Future[Any]) -> Snapshot:
    try:
        return True, False, future.result(), None
    except CancelledError:
        return True, True, None, None
    except BaseException as error:
        return True, False, None, error


def _left(end: float | None) -> float | None:
    return None if end is None else max(end - monotonic(), 0)


@cache
def keeping(kind: Any) -> Any:
    """Return the class of tasks whose outcome may be `Kept`, in place of *kind*; of the same name.

    A worker reads the outcomes of plain tasks without a look for `Kept`.
    """
    return type(kind.__name__, (Keeping, kind), {"__slots__": (), "__module__": kind.__module__})


def stand_in(future: Future[Any], takes: Any) -> Any:
    """Return what stands for *future*, which is done, in a call at an engine.

    That is its `Remote` where *takes* allows, else the value, brought here if need be.
    """
    if isinstance(future, PlannedFuture):
        outcome = future._outcome
        if type(outcome) is Kept and takes(outcome.future):
            return outcome.future
    elif isinstance(future, Remote) and takes(future):
        return future
    return future.result()
