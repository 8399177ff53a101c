"""Values that stay where they were made: at an engine that keeps them.

The outcome of a task whose call was made there is `Kept`: the engine's own
future, which brings the value when asked for it.  As an argument of another call
at that engine this future goes there in the value's place.
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

    It is done when the value is there; ``result`` brings it here, and keeps it.
    Of the call it keeps nothing then, nor of its callbacks: they know the call.
    """

    def _get_snapshot(self) -> Snapshot:
        return _snapshot(self) if self.done() else (False, False, None, None)

    @abstractmethod
    def part(self, key: Any) -> Remote:
        """The future of ``result[key]``, which the engine makes of its own value.  It does not block."""


class Kept:
    """An outcome that is elsewhere: `future` has it.  That of an item may not be done yet, and fail."""

    __slots__ = ("future",)

    def __init__(self, future: Remote) -> None:
        self.future = future


class Keeping(PlannedFuture[R]):
    """A future whose outcome may be kept elsewhere."""

    __slots__ = ()

    def result(self, timeout: float | None = None) -> R:
        """Return what the call returned, waiting for it if need be; a value kept elsewhere is brought here.

        The exception of a call that failed, or of the dependency that did, is
        raised with its own traceback each time.

        Args:
            timeout: Seconds to wait at most; None for no limit.

        Raises:
            CancelledError: The task was cancelled.
            TimeoutError: It was not done in time.
            Exception: The value could not be brought here.
        """
        end = None if timeout is None else monotonic() + timeout
        try:
            outcome: Any = super().result(timeout)
            return outcome.future.result(_left(end)) if type(outcome) is Kept else outcome  # type: ignore[no-any-return]
        finally:
            outcome = None
            del self  # no cycle from the traceback to this frame and back

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the exception that the call, or a dependency of it, raised; None if it returned.

        A value kept elsewhere stays there.

        Args:
            timeout: Seconds to wait at most; None for no limit.

        Raises:
            CancelledError: The task was cancelled.
            TimeoutError: It was not done in time.
        """
        end = None if timeout is None else monotonic() + timeout
        exception = super().exception(timeout)
        outcome = self._outcome
        return outcome.future.exception(_left(end)) if type(outcome) is Kept else exception

    def _get_snapshot(self) -> Snapshot:
        return _snapshot(self) if type(self._outcome) is Kept and self.done() else super()._get_snapshot()

    def _deliver(self, fn: Callable[[Future[R]], object]) -> None:
        # That of asyncio reads the value in the thread of its loop, which must not wait for it.
        if type(self._outcome) is Kept and getattr(fn, "__module__", None) == "asyncio.futures":
            threading.Thread(target=self._bring_and_call, args=(fn,), daemon=True).start()
        else:
            super()._deliver(fn)

    def _bring_and_call(self, fn: Callable[[Future[R]], object]) -> None:
        brought = _brought(self)
        super()._call(lambda _: fn(brought), BaseException)


def _brought(future: Future[R]) -> Future[R]:
    """A future of what *future* gives, whose value is kept elsewhere, and is brought here."""
    brought: Future[R] = Future()
    try:
        brought.set_result(future.result())
    except CancelledError:
        brought.cancel()
    except BaseException as error:
        brought.set_exception(error)
    return brought


def _snapshot(future: Future[Any]) -> Snapshot:
    brought = _brought(future)
    if brought.cancelled():
        return True, True, None, None
    error = brought.exception()
    return True, False, None if error is not None else brought.result(), error


def _left(end: float | None) -> float | None:
    return None if end is None else max(end - monotonic(), 0)


@cache
def keeping(kind: Any) -> Any:
    """The class of tasks whose outcome may be `Kept`, in place of *kind*; of the same name.

    A class of its own: who reads the outcomes of plain tasks looks for no other.
    """
    return type(kind.__name__, (Keeping, kind), {"__slots__": (), "__module__": kind.__module__})


def stand_in(future: Future[Any], takes: Any) -> Any:
    """What stands for *future*, which is done, in a call at an engine.

    Args:
        future: A dependency of the call.
        takes: Tells whether a `Remote` may stand for its value there.

    Returns:
        A `Remote` where that will do, and else the value, brought here if need be.
    """
    if isinstance(future, PlannedFuture):
        outcome = future._outcome
        if type(outcome) is Kept and takes(outcome.future):
            return outcome.future
    elif isinstance(future, Remote) and takes(future):
        return future
    return future.result()
