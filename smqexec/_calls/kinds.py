"""The kind of an argument: a future, `Raw` or `settled`, a container, or plain.

Only the type of an argument decides, and no method of an argument is called.  `KINDS` remembers the kind of
each type.  It needs no lock: each access is one atomic operation, and a lost entry is found again.
"""

import atexit
import builtins
from collections import OrderedDict, defaultdict, deque
from concurrent.futures import Future
from contextlib import suppress
from types import BuiltinFunctionType
from typing import Any, Generic, TypeVar, final

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)  # so that ty takes a Raw of any function for a Raw[Callable[..., R]]


@final
class Raw(Generic[T_co]):
    """Pass *value* as it is, unsearched: a future in it is no dependency.

    It has this meaning only among the arguments of a submitted call, at any depth that is searched.
    """

    __slots__ = ("value",)

    def __init__(self, value: T_co) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Raw({self.value!r})"


@final
class settled(Generic[T]):
    """Wait for *future*, whatever its outcome, and pass the finished future itself.

    It has this meaning only among the arguments of a submitted call, at any depth that is searched.

    Raises:
        TypeError: *future* is not a ``concurrent.futures.Future``.
    """

    __slots__ = ("future",)

    def __init__(self, future: T) -> None:
        if not issubclass(type(future), Future):
            name = type(future).__name__
            raise TypeError(f"settled() takes a concurrent.futures.Future, not {name!r}")
        self.future = future

    def __repr__(self) -> str:
        return f"settled({self.future!r})"


# `encode` combines kinds by "|": of kinds before LIST, the result is before LIST.
PLAIN, FUTURE, RAW, SETTLED = range(4)
# Containers, the mutable ones first.
LIST, SET, MAPPING, DATACLASS, TUPLE, NAMED, FROZEN_DICT = range(4, 11)

_EXACT: dict[type, int] = {
    Raw: RAW, settled: SETTLED, list: LIST, deque: LIST, set: SET, tuple: TUPLE, frozenset: TUPLE,
    dict: MAPPING, defaultdict: MAPPING, OrderedDict: MAPPING,
}  # fmt: skip
if frozen_dict := getattr(builtins, "frozendict", None):  # pragma: no cover - from CPython 3.15 on
    _EXACT[frozen_dict] = FROZEN_DICT

# A cache of classes keeps them alive, and by their methods all names of their modules.  So it is cleared when
# it has _MOST entries, and at exit: objects of these modules end before the modules that their ends use.
KINDS: dict[type, int] = {}
_MOST = 1024
atexit.register(KINDS.clear)


def remember(cache: dict[type, int], cls: type, value: int) -> int:
    """Store *value* for *cls* in *cache*, unless the metaclass makes *cls* unhashable; return *value*."""
    if len(cache) >= _MOST:
        cache.clear()
    with suppress(Exception):
        cache[cls] = value
    return value


def kind_of(cls: type) -> int:
    """Return the kind of the instances of *cls*."""
    try:
        return KINDS[cls]
    except Exception:  # a new class, or any error of a metaclass that makes it unhashable
        return remember(KINDS, cls, _find_kind(cls))


def _find_kind(cls: type) -> int:
    if issubclass(cls, Future):
        return FUTURE
    for exact, kind in _EXACT.items():
        if cls is exact:
            return kind
    if issubclass(cls, tuple):
        return NAMED if type(class_attribute(cls, "_fields")) is tuple else PLAIN
    if class_attribute(cls, "__dataclass_fields__") is None:
        return PLAIN
    # A type written in C with its own constructor (Exception, deque) also has its own state, which a copy of
    # the fields would miss.
    makers = [vars(base).get("__new__") for base in cls.__mro__[:-1]]
    return PLAIN if any(type(maker) is BuiltinFunctionType for maker in makers) else DATACLASS


def class_attribute(cls: type, name: str) -> Any:
    """Return the attribute *name* of *cls*, or None, without a call of a descriptor or a metaclass."""
    for base in cls.__mro__:
        if name in vars(base):
            return vars(base)[name]
    return None
