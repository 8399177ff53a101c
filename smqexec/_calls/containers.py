"""Search containers among a call's arguments, and rebuild those that hold futures.

The search copies the contents of each container that it visits.  A `Container` is the record of one that
holds a value which is not plain.  A record is *tainted* if a future, ``Raw`` or ``settled`` is in the
container, at any depth.  A tainted record replaces its container in the copies, and the container is rebuilt.
All other containers are passed as they are.

Search and rebuilding are iterative, so no depth overflows a stack.  The submitting thread makes the records;
the worker of the call rebuilds.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import chain
from typing import Any, TypeAlias

from .kinds import DATACLASS, FUTURE, ITEMS, MAPPING, NAMED, PLAIN, RAW, SETTLED, class_attribute, kind_of

Take: TypeAlias = Callable[[Future[Any]], Any]  # returns the value that is put in place of a future


class Container:
    """The record of a container among the arguments: a vertex of their graph, and how to rebuild it."""

    __slots__ = ("kind", "made", "make", "parts", "searched", "tainted")

    def __init__(self, kind: int, parts: list[Any], make: Callable[[Any], Any]) -> None:
        # The kind of the container, as `kind_of` returns it; constant.
        self.kind = kind
        # A copy of the contents: see `_opened`.  Records replace containers in it.
        self.parts: Any = parts
        # Makes the container of its contents.  Constant.
        self.make: Any = make
        # All parts have been searched.
        self.searched = False
        # A future, ``Raw`` or ``settled`` is in the container, at any depth.
        self.tainted = False
        # The rebuilt container.
        self.made: Any = None

    def places(self) -> list[tuple[Container, int, int]]:
        """Return the record, position and kind of each part that is not plain, the last one first."""
        places: list[tuple[Container, int, int]]
        places = [(self, i, kind) for i, part in enumerate(self.parts) if (kind := kind_of(type(part)))]
        return places[::-1]

    def rebuild(self, take: Take | None) -> None:
        """Make the container, once all containers in it are made."""
        contents: Any = substitute(self.parts, take)
        if self.kind in (MAPPING, DATACLASS):
            contents = zip(contents[::2], contents[1::2], strict=True)
        self.made = self.make(contents)

    def release(self) -> None:
        """Release the contents: on a free-threaded build only the thread that made the record can free it."""
        self.parts = self.made = self.make = None


def search(parts: Sequence[Any]) -> tuple[list[Any], list[Any], list[Container]]:
    """Find the futures among *parts*.

    Returns:
        A copy of *parts* with the record of each container to rebuild in its place; each future, ``settled``
        and ``Raw`` at any depth, in argument order; and all these records, inner ones first.

    Raises:
        ValueError: A container that would be rebuilt contains itself.
    """
    found: list[Any] = []
    tainted: list[Container] = []
    looped: list[Container] = []  # these contain themselves
    # Visited containers by id, with None if all contents are plain.  No id is reused: *visited* keeps these
    # containers alive.
    known: dict[int, Container | None] = {}
    visited: list[Any] = []
    root = Container(ITEMS, [*parts], list)
    todo = root.places()
    while todo:
        outer, position, kind = todo.pop()
        part = outer.parts[position]
        if PLAIN < kind < ITEMS:
            found.append(part)
            outer.tainted = True
            continue
        if id(part) not in known:
            visited.append(part)
            known[id(part)] = None
            contents, make = _opened(part, kind)
            try:  # without a step of Python for each part: most containers hold plain values of few types
                plain = not any(map(kind_of, set(map(type, contents))))
            except Exception:  # an unhashable class
                plain = False
            if not plain:
                known[id(part)] = container = Container(kind, contents, make)
                todo += [(outer, position, PLAIN), *container.places()]
            continue
        record = known[id(part)]
        if record is None:
            continue
        if kind == PLAIN:  # the mark after the parts of *record*
            record.searched = True
            if record.tainted:
                tainted.append(record)
        elif not record.searched:
            looped.append(record)
        if record.tainted:
            outer.tainted = True
            outer.parts[position] = record
    if any(container.tainted for container in looped):
        raise ValueError("a container among the arguments contains a future, and itself")
    return root.parts, found, tainted


def _opened(value: Any, kind: int) -> tuple[list[Any], Callable[[Any], Any]]:
    """Return the contents of the container *value*, and a function that makes the container of them.

    Of a mapping, and of the fields of a dataclass, the contents are keys and values in turn.
    """
    make: Callable[[Any], Any] = type(value)
    if kind in (DATACLASS, NAMED):
        state: Any = object.__getstate__(value)
        of_dict, of_slots = state if type(state) is tuple else (state, None)
        attributes = {**(of_dict or {}), **(of_slots or {})}
        make = partial(_remade, type(value), attributes)
        if kind == NAMED:
            return list(tuple.__iter__(value)), make  # the class may have an __iter__ of its own
        fields = class_attribute(type(value), "__dataclass_fields__")
        items: Any = [(name, attributes[name]) for name in fields if name in attributes]
    else:
        if type(value) is deque:
            make = partial(deque, maxlen=value.maxlen)
        elif type(value) is defaultdict:
            make = partial(defaultdict, value.default_factory)
        # For all types but OrderedDict this is one call into C, which runs no Python code.  So the copy is of
        # one moment, even if other threads change the container.
        copy: Any = value if type(value) is tuple else value.copy()
        if kind == ITEMS:
            return [*copy], make
        items = copy.items()
    return [*chain.from_iterable(items)], make


def _remade(cls: type[Any], attributes: dict[str, Any], contents: Any) -> Any:
    """Make a named tuple of *contents*, or a dataclass with these fields, without a call of its methods."""
    if issubclass(cls, tuple):
        made = tuple.__new__(cls, contents)
    else:
        made = object.__new__(cls)
        attributes.update(contents)
    for name, value in attributes.items():
        object.__setattr__(made, name, value)
    return made


def substitute(parts: Iterable[Any], take: Take | None) -> list[Any]:
    """Return *parts* with results in place of futures and rebuilt containers in place of records."""
    return [part.made if type(part) is Container else value_of(part, take) for part in parts]


def value_of(part: Any, take: Take | None = None) -> Any:
    """Return the value that the call gets for *part*; for a future, its result, or ``take(part)``."""
    kind = kind_of(type(part))
    if kind == FUTURE:
        return part.result() if take is None else take(part)
    if kind == RAW:
        return part.value
    return part.future if kind == SETTLED else part
