"""Values that stay at the engine that made them.

Such an engine returns a `Remote`, a future of its own that fetches the value on request.  The outcome of the
task is then a `Kept`, which holds the `Remote`.  As an argument of another call at that engine, the `Remote`
goes there in place of the value.
"""

from __future__ import annotations

from abc import abstractmethod
from concurrent.futures import CancelledError, Future
from functools import cache
from typing import Any


def fetched(future: Future[Any]) -> Any:
    """Return a done future of the standard library with the outcome of the done *future*; fetch its value."""
    here: Future[Any] = Future()
    try:
        error = future.exception()  # `result` would add its frames to the traceback, and they keep the task
        if error is None:
            here.set_result(future.result())
        else:
            here.set_exception(error)
    except CancelledError:
        here.cancel()
    except BaseException as failure:  # the value can't be fetched
        here.set_exception(failure)
    return here


def snapshot(future: Future[Any]) -> tuple[bool, bool, Any, BaseException | None]:
    """Return the state of *future* as asyncio of Python 3.15 reads it; fetch its value if it is done."""
    if not future.done():
        return False, False, None, None
    here = fetched(future)
    return True, here.cancelled(), here._result, here._exception


class Remote(Future[Any]):
    """The future of a call at an engine that keeps values.

    It is done when the engine has the value.  ``result`` fetches the value, and keeps it.  A done `Remote`
    keeps neither its call nor its callbacks.
    """

    _get_snapshot = snapshot

    @abstractmethod
    def part(self, key: Any) -> Remote:
        """Return the future of ``result[key]``, which the engine computes.  This must not block."""


class Kept:
    """The outcome of a task or item whose value an engine keeps.

    An item is done before the engine has computed its part, so the `Remote` of an item may still be pending,
    and may fail.
    """

    __slots__ = ("future",)

    def __init__(self, future: Remote) -> None:
        self.future = future  # constant

    def __getitem__(self, key: Any) -> Kept:
        """Return the outcome of an item: the engine computes ``value[key]``."""
        return Kept(self.future.part(key))


@cache
def keeping(kind: Any) -> Any:
    """Return a subclass of *kind* whose outcome may be `Kept`; that of an exact *kind* is read directly."""
    return type(kind.__name__, (kind,), {"__slots__": (), "__module__": kind.__module__})


def stand_in(future: Future[Any], takes: Any) -> Any:
    """Return the argument for a done *future* at an engine: its `Remote`, if ``takes(remote)``, or value."""
    outcome = getattr(future, "_outcome", None)
    if type(outcome) is Kept and takes(outcome.future):
        return outcome.future
    return future if isinstance(future, Remote) and takes(future) else future.result()
