"""Calls that are made in a context of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import Context
from typing import Any

from ._functions import generates, is_iterator, name_of
from ._future import ours


class InContext:
    """A function that is called in *context*; if it generates, each of its steps is made there."""

    def __init__(self, context: Context, fn: Callable[..., Any]) -> None:
        self.context = context
        # Who asks for its name, and whether it generates, sees through it as through a decorator.
        self.__wrapped__ = fn
        self.__qualname__ = name_of(fn)

    @ours
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        context, fn = self.context, self.__wrapped__
        value = context.run(fn, *args, **kwargs)
        if is_iterator(type(value)) and generates(fn):
            return _Steps(context, value)
        return value


class _Steps:
    """An iterator each step of which is made in *context*."""

    __slots__ = ("context", "iterator")

    def __init__(self, context: Context, iterator: Iterator[Any]) -> None:
        self.context = context
        self.iterator = iterator

    @ours
    def __next__(self) -> Any:
        return self.context.run(next, self.iterator)

    @ours
    def close(self) -> None:
        close = getattr(self.iterator, "close", None)
        if close is not None:
            self.context.run(close)
