"""Remove the frames of this package from tracebacks.

A frame of ours that calls user code refers to tasks, arguments and results.  A traceback with such a frame
would keep them alive as long as the exception.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType, TracebackType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

# The code of all marked functions.  Complete when our modules are imported.
_OURS: set[CodeType] = set()

# The descriptor of the base class: a frozen dataclass refuses an assignment to the attribute.
_TRACEBACK: Any = vars(BaseException)["__traceback__"]


def ours(fn: F) -> F:
    """Mark *fn*, which calls user code: `strip_ours` removes its frames."""
    _OURS.add(fn.__code__)
    return fn


def traceback_of(exception: BaseException) -> TracebackType | None:
    """Return the traceback of *exception*, without its class's own attribute access."""
    return _TRACEBACK.__get__(exception)  # type: ignore[no-any-return]


def strip_ours(exception: BaseException) -> None:
    """Remove the outermost frames of marked functions from the traceback of *exception*."""
    traceback = traceback_of(exception)
    while traceback is not None and traceback.tb_frame.f_code in _OURS:
        traceback = traceback.tb_next
    _TRACEBACK.__set__(exception, traceback)
