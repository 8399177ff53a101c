"""Functions that are called through another function: ``contextvars.Context.run``, for example.

A generator function is resumed through it, too: each step of its iterator is one call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .callables import generates, is_iterator, name_of
from .frames import ours


class Within:
    """A function that *call* calls; if it returns an iterator, *call* also makes each step.

    Args:
        call: Called with the function and its arguments: the ``run`` of a context, for example.
        fn: The function.
    """

    def __init__(self, call: Callable[..., Any], fn: Callable[..., Any]) -> None:
        self.call = call
        # `name_of` and `generates` look through this object as through a decorator.
        self.__wrapped__ = fn
        self.__qualname__ = name_of(fn)

    @ours
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        call, fn = self.call, self.__wrapped__
        value = call(fn, *args, **kwargs)
        if is_iterator(type(value)) and generates(fn):
            return _Steps(call, value)
        return value


class _Steps:
    """An iterator whose steps *call* makes."""

    __slots__ = ("call", "iterator")

    def __init__(self, call: Callable[..., Any], iterator: Iterator[Any]) -> None:
        self.call = call
        self.iterator = iterator

    @ours
    def __next__(self) -> Any:
        return self.call(next, self.iterator)

    @ours
    def close(self) -> None:
        close = getattr(self.iterator, "close", None)
        if close is not None:
            self.call(close)
