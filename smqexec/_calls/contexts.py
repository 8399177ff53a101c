"""Calls that are made through another: in a context of their own, say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .callables import generates, is_iterator, name_of
from .frames import ours


class Within:
    """A function that is called by *call*, a context's ``run`` say; so is each step, if it generates."""

    def __init__(self, call: Callable[..., Any], fn: Callable[..., Any]) -> None:
        self.call = call
        # Who asks for its name, and whether it generates, sees through it as through a decorator.
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
    """An iterator each step of which is made by *call*."""

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
