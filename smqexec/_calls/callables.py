"""What is called: which callables make generator tasks, their ``number_of_results``, and our wrappers.

To find out what a callable wraps, no user code is called.
"""

import atexit
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from inspect import CO_GENERATOR
from operator import index
from types import FunctionType, MethodType
from typing import Any, TypeVar

from .kinds import class_attribute, remember

Fn = TypeVar("Fn", bound=Callable[..., Any])

_NAME = "number_of_results"
_LONGEST = 100  # a chain of more wrappers is a cycle
# Classes whose instances are no iterators: a lookup is 0.1 µs faster than `is_iterator`.
NO_ITERATORS: dict[type, int] = {}
atexit.register(NO_ITERATORS.clear)  # as for `KINDS`


def is_iterator(cls: type) -> bool:
    """Return True if *cls* has a ``__next__``; remember it in `NO_ITERATORS` if not."""
    if class_attribute(cls, "__next__") is not None:
        return True
    remember(NO_ITERATORS, cls, 0)
    return False


def number_of_results(count: Callable[..., int]) -> Callable[[Fn], Fn]:
    """Announce how many values a generator task will yield: a decorator.

    The same as setting the attribute ``number_of_results`` of the function::

        @number_of_results(lambda frames: len(frames))
        def mean_of_each(frames): ...

    Args:
        count: Called with the arguments of the call, futures replaced by their results.  The worker of the
            task calls it once, when the call has returned its iterator.

    Raises:
        TypeError: *count* is not callable, or is a generator function.
    """
    if not callable(count) or generates(count):
        raise TypeError(f"number_of_results takes a callable that returns an int, not {count!r}")

    def announce(fn: Fn) -> Fn:
        setattr(fn, _NAME, count)
        return fn

    return announce


class Plain:
    """A function whose result is passed on as it is, even if the function is a generator function."""

    __slots__ = ("fn",)

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn  # constant

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.fn(*args, **kwargs)


class Within:
    """*fn*, its ``number_of_results`` and a generator's steps, called through *call*: a context's ``run``."""

    def __init__(self, call: Callable[..., Any], fn: Callable[..., Any]) -> None:
        self.call = call
        self.__wrapped__ = fn  # where `generates` looks, as decorators have it
        self.__qualname__ = name_of(fn)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        call, fn = self.call, self.__wrapped__
        value = call(fn, *args, **kwargs)
        if is_iterator(type(value)) and generates(fn):
            return _Steps(call, value)
        return value


class _Steps:
    """An iterator that takes each step of *iterator* through *call*."""

    def __init__(self, call: Callable[..., Any], iterator: Iterator[Any]) -> None:
        self.call = call  # constant
        self.iterator = iterator  # constant

    def __next__(self) -> Any:
        return self.call(next, self.iterator)

    def close(self) -> None:
        close = getattr(self.iterator, "close", None)
        if close is not None:
            self.call(close)


def generates(fn: Any) -> bool:
    """Return True if *fn* is a generator function, or has a ``number_of_results``.  Cost: 1 or 2 µs."""
    for inner, *_ in _layers(fn):
        if (type(inner) is FunctionType and inner.__code__.co_flags & CO_GENERATOR) or _announces(inner):
            return True
    return False


def announcement(fn: Any) -> Callable[..., Any] | None:
    """Return the ``number_of_results`` of *fn*, which takes what *fn* takes; None if it has none."""
    if type(fn) is Within:
        count = announcement(fn.__wrapped__)
        return None if count is None else partial(fn.call, count)
    for inner, args, keywords in _layers(fn):
        if _announces(inner):
            return partial(_ask, inner, *args, **keywords)
    return None


def _ask(announcing: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Call the ``number_of_results`` of *announcing*, which may be a descriptor of the user's."""
    return getattr(announcing, _NAME)(*args, **kwargs)


def length(count: Callable[..., Any], name: str, args: Any, kwargs: dict[str, Any]) -> int:
    """Return the result of *count*, the ``number_of_results`` of the function *name*, or raise an error."""
    try:
        number = count(*args, **kwargs)
    except BaseException as error:
        with suppress(Exception):  # a frozen dataclass takes no notes
            error.add_note(f"raised by number_of_results of {name}")
        raise
    wanted = f"number_of_results of {name} must give an int of 0 or more"
    if not hasattr(number, "__index__"):
        raise TypeError(f"{wanted}, not {type(number).__name__!r}")
    if (number := index(number)) < 0:
        raise ValueError(f"{wanted}, not {number}")
    return number


def name_of(fn: Any) -> str:
    """Return a short name for any callable; return a str, the name of a released callable, as it is."""
    if type(fn) is str:
        return fn
    if type(fn) is Plain:
        fn = fn.fn
    try:
        name = getattr(fn, "__qualname__", None)
    except Exception:
        name = None
    return name if isinstance(name, str) else type(fn).__qualname__


def _layers(fn: Any) -> Iterator[tuple[Any, tuple[Any, ...], dict[str, Any]]]:
    """Yield *fn* and each callable that it wraps, with the arguments that the outer ones bind."""
    args: tuple[Any, ...] = ()
    keywords: dict[str, Any] = {}
    for _ in range(_LONGEST):
        yield fn, args, keywords
        # Not isinstance, which would also read ``__class__`` of the object: that may run user code.
        if issubclass(type(fn), partial):
            args, keywords = (*fn.args, *args), {**fn.keywords, **keywords}
            fn = fn.func
        elif type(fn) is MethodType:
            args = (fn.__self__, *args)
            fn = fn.__func__
        elif "__wrapped__" in _own(fn):
            fn = _own(fn)["__wrapped__"]
        else:
            call = class_attribute(type(fn), "__call__")
            if type(call) is not FunctionType:
                return
            args = (fn, *args)
            fn = call


def _announces(fn: Any) -> bool:
    # Not getattr: a mock, which has every attribute, announces nothing.
    cls = fn if issubclass(type(fn), type) else type(fn)
    return _NAME in _own(fn) or class_attribute(cls, _NAME) is not None


def _own(fn: Any) -> Any:
    """Return the attributes in the dictionary of *fn*."""
    try:
        return object.__getattribute__(fn, "__dict__")
    except AttributeError:
        return {}
