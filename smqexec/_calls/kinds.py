"""The kind of an argument: a future, `Raw` or `settled`, a container, or plain.

Only the exact type decides.  Each type is classified once, and `KINDS` remembers its kind.  No
method of an argument is called.  The caches need no lock: each entry is stored by one atomic
operation, and a lost entry is found again.
"""

from __future__ import annotations

import builtins
from collections import OrderedDict, defaultdict, deque
from concurrent.futures import Future
from contextlib import suppress
from types import BuiltinFunctionType, MemberDescriptorType
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")
# Of Raw, so that ty takes a Raw of any function for a Raw[Callable[..., R]].
T_co = TypeVar("T_co", covariant=True)


class Raw(Generic[T_co]):
    """Pass *value* as it is, unsearched: a future in it is no dependency.

    It has this meaning only among the arguments of a submitted call, at any depth that is searched.
    """

    __slots__ = ("value",)

    def __init__(self, value: T_co) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Raw({self.value!r})"


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


# Kinds of values.  Their order matters.  `encode` combines kinds by "|": of kinds below LIST,
# the result is below LIST.  Containers that can be made empty come before immutable ones, in
# the order in which `_rebuild_cycles` fills those of one cycle.
PLAIN = 0
FUTURE = 1
RAW = 2
SETTLED = 3
LIST = 4
DEQUE = 5
DATACLASS = 6
DICT = 7
DEFAULT_DICT = 8
ORDERED_DICT = 9
SET = 10
TUPLE = 11
NAMED = 12
FROZENSET = 13
FROZEN_DICT = 14
MAPPINGS = (DICT, DEFAULT_DICT, ORDERED_DICT, FROZEN_DICT)

_EXACT: dict[type, int] = {
    list: LIST, dict: DICT, set: SET, tuple: TUPLE, frozenset: FROZENSET,
    deque: DEQUE, defaultdict: DEFAULT_DICT, OrderedDict: ORDERED_DICT,
}  # fmt: skip
if frozen_dict := getattr(builtins, "frozendict", None):  # pragma: no cover - from CPython 3.15 on
    _EXACT[frozen_dict] = FROZEN_DICT

# Both caches keep classes alive, so they are bounded: a full cache is cleared, which is cheap,
# and frequent only in a program with very many classes.
_CACHE_SIZE = 1024
KINDS: dict[type, int] = {}
_layouts: dict[int, Layout] = {}  # by id, as a metaclass may make its classes unhashable


def kind_of(cls: type) -> int:
    """Return the kind of the instances of *cls*."""
    try:
        return KINDS[cls]
    except Exception:  # a new class, or any error of a metaclass that makes it unhashable
        return classify(cls)


def classify(cls: type) -> int:
    """Find the kind of the instances of *cls*, and remember it."""
    kind = _find_kind(cls)
    if len(KINDS) >= _CACHE_SIZE:
        KINDS.clear()
    with suppress(Exception):  # an unhashable class is classified each time
        KINDS[cls] = kind
    return kind


def _find_kind(cls: type) -> int:
    """Find the kind of the instances of *cls*, without a call of user code."""
    if issubclass(cls, Future):
        return FUTURE
    if issubclass(cls, Raw):
        return RAW
    if issubclass(cls, settled):
        return SETTLED
    for container, kind in _EXACT.items():
        if cls is container:
            return kind
    if issubclass(cls, tuple):
        return NAMED if type(class_attribute(cls, "_fields")) is tuple else PLAIN
    if class_attribute(cls, "__dataclass_fields__") is not None:
        # A type written in C with its own constructor (Exception, deque) also has its own
        # state, which a copy of the fields would miss.
        makers = [vars(base).get("__new__") for base in cls.__mro__[:-1]]
        return PLAIN if any(type(maker) is BuiltinFunctionType for maker in makers) else DATACLASS
    return PLAIN


def class_attribute(cls: type, name: str) -> Any:
    """Return the attribute *name* of *cls*, or None.

    Unlike getattr, this calls no descriptor and no method of a metaclass.
    """
    for base in cls.__mro__:
        if name in vars(base):
            return vars(base)[name]
    return None


class Layout(NamedTuple):
    """The attributes of a dataclass outside of the ``__dict__`` of its instances."""

    cls: type  # the dataclass; kept alive, so that no other class gets its id
    slots: dict[str, Any]  # the descriptors of its slots and of its bases' slots, by name
    fields: tuple[str, ...]  # the names of its fields


def layout_of(cls: type) -> Layout:
    """Return the layout of the dataclass *cls*, and remember it."""
    layout = _layouts.get(id(cls))
    if layout is None:
        # Imported here: a program with a dataclass has imported it already.
        from dataclasses import fields

        slots = {
            name: attribute
            for base in reversed(cls.__mro__)
            for name, attribute in vars(base).items()
            if type(attribute) is MemberDescriptorType
        }
        if len(_layouts) >= _CACHE_SIZE:
            _layouts.clear()
        layout = _layouts[id(cls)] = Layout(cls, slots, tuple(field.name for field in fields(cls)))
    return layout
