"""Call functions through another function, for example through ``contextvars.Context.run``.

The steps of a generator run through it, too: each ``next`` is one call of the other function.  No field
changes, so there is nothing to serialise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .callables import generates, is_iterator, name_of
from .frames import ours


class Within:
    """The function *fn*, called through *call*; if it makes a generator task, so are the iterator's steps.

    Args:
        call: Called with a function and its arguments, for example the ``run`` of a context.
        fn: The function.
    """

    def __init__(self, call: Callable[..., Any], fn: Callable[..., Any]) -> None:
        # As the parameters say; constant.
        self.call = call
        # So named, as `generates` looks through ``__wrapped__`` of a decorator.
        self.__wrapped__ = fn
        # For `name_of`.
        self.__qualname__ = name_of(fn)

    @ours
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        call, fn = self.call, self.__wrapped__
        value = call(fn, *args, **kwargs)
        if is_iterator(type(value)) and generates(fn):
            return _Steps(call, value)
        return value


class _Steps:
    """An iterator that takes each step of *iterator* through *call*."""

    __slots__ = ("call", "iterator")

    def __init__(self, call: Callable[..., Any], iterator: Iterator[Any]) -> None:
        self.call = call  # constant
        self.iterator = iterator  # constant

    @ours
    def __next__(self) -> Any:
        return self.call(next, self.iterator)

    @ours
    def close(self) -> None:
        close = getattr(self.iterator, "close", None)
        if close is not None:
            self.call(close)
