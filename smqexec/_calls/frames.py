"""Tracebacks without the frames of this package.

A frame of ours that calls the user's code knows tasks, arguments and results.  An exception
that kept such a frame would keep them alive, for as long as the exception itself.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType, TracebackType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_OURS: set[CodeType] = set()

# The base class's own: a frozen dataclass forbids all assignments.
_TRACEBACK: Any = vars(BaseException)["__traceback__"]


def ours(fn: F) -> F:
    """Mark *fn*, which calls the user's code: `strip_ours` removes its frames."""
    _OURS.add(fn.__code__)
    return fn


def traceback_of(exception: BaseException) -> TracebackType | None:
    """Return the traceback of *exception*."""
    return _TRACEBACK.__get__(exception)  # type: ignore[no-any-return]


def strip_ours(exception: BaseException) -> None:
    """Remove the outermost frames of marked functions from the traceback of *exception*."""
    traceback = traceback_of(exception)
    while traceback is not None and traceback.tb_frame.f_code in _OURS:
        traceback = traceback.tb_next
    _TRACEBACK.__set__(exception, traceback)
