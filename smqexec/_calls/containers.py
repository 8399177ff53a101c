"""Search containers among a call's arguments, and rebuild those that hold futures.

The search copies the contents of each container that it visits.  A `Container` is the record of one that
holds a value which is not plain.  A record is *tainted* if a future, ``Raw`` or ``settled`` is in the
container, at any depth.  A tainted record replaces its container in the copies, and the container is rebuilt.
All other containers are passed as they are.

Search and rebuilding are iterative, so no depth overflows a stack.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import chain
from typing import Any, TypeAlias

from . import kinds
from .kinds import DATACLASS, FUTURE, LIST, NAMED, PLAIN, TUPLE, class_attribute, kind_of

Take: TypeAlias = Callable[[Future[Any]], Any]  # returns the value that is put in place of a future

# Containers whose contents are keys and values, or names of fields and values.
_PAIRED = (kinds.MAPPING, DATACLASS, kinds.FROZEN_DICT)

_UNBUILT: Any = object()  # in place of a container that is not rebuilt yet


class Container:
    """The record of a container among the arguments: a vertex of their graph, and how to rebuild it."""

    __slots__ = ("attributes", "kind", "made", "make", "parts", "tainted")

    def __init__(self, value: Any, kind: int, parts: list[Any], attributes: dict[str, Any]) -> None:
        self.kind = kind  # as `kind_of` returns it; constant
        # A copy of the contents: see `_copy`.  Records replace containers in it.  None at the end.
        self.parts: Any = parts
        self.attributes = attributes  # of a dataclass or named tuple
        # Makes a mutable container, without contents, or an immutable one of its contents.  Constant.
        self.make: Callable[..., Any] = type(value)
        if type(value) is deque:
            self.make = partial(deque, maxlen=value.maxlen)
        elif type(value) is defaultdict:
            self.make = partial(defaultdict, value.default_factory)
        elif kind in (DATACLASS, NAMED):
            self.make = partial(object.__new__ if kind == DATACLASS else tuple.__new__, type(value))
        self.tainted = False
        self.made = _UNBUILT  # the rebuilt container

    def places(self) -> Sequence[tuple["Container", int, int]]:
        """Return the record, position and kind of each part that is not plain, the last one first."""
        return [(self, i, kind) for i, part in enumerate(self.parts) if (kind := kind_of(type(part)))][::-1]

    def fill(self, take: Take | None) -> None:
        """Give the container its contents; an immutable one is made of them."""
        contents: Any = substitute(self.parts, take)
        if self.kind in _PAIRED:
            contents = zip(contents[::2], contents[1::2], strict=True)
        if self.kind >= TUPLE:
            self.made = self.make(contents)
        elif self.kind == LIST:
            self.made.extend(contents)
        elif self.kind == DATACLASS:
            self.attributes.update(contents)
        else:
            self.made.update(contents)
        for name, value in self.attributes.items():
            if value is not _UNBUILT:
                object.__setattr__(self.made, name, value)  # a frozen dataclass has its own


def search(parts: Sequence[Any]) -> tuple[list[Any], list[Any], list[Container]]:
    """Find each future, ``settled`` and ``Raw`` among *parts*, at any depth.

    Return a copy of *parts* with the record of each container to rebuild in its place; what was found, in
    argument order; and all these records, inner ones first.
    """
    found: list[Any] = []
    holders: list[Container] = []  # of each that was found
    searched: list[Container] = []
    # Visited containers by id, with None if all contents are plain.  No id is reused: the copies of the
    # contents keep these containers alive.
    known: dict[int, Container | None] = {}
    places: defaultdict[Container, list[tuple[Container, int]]] = defaultdict(list)  # of each record
    root = Container(parts, TUPLE, [*parts], {})
    todo = [*root.places()]
    while todo:
        outer, position, kind = todo.pop()
        part = outer.parts[position]
        if kind == PLAIN:  # the mark after the parts of *outer*
            searched.append(outer)
        elif kind < LIST:
            found.append(part)
            holders.append(outer)
        else:
            if id(part) not in known:
                known[id(part)] = None
                contents, attributes = _copy(part, kind)
                if not _is_plain(contents):
                    known[id(part)] = inner = Container(part, kind, contents, attributes)
                    todo += [(inner, 0, PLAIN), *inner.places()]
            container = known[id(part)]
            if container is not None:
                places[container].append((outer, position))
    while holders:
        container = holders.pop()
        if not container.tainted:
            container.tainted = True
            holders += [outer for outer, _ in places[container]]
    tainted = [container for container in searched if container.tainted]
    for container in tainted:
        for outer, position in places[container]:
            outer.parts[position] = container
    return root.parts, found, tainted


def _is_plain(parts: list[Any]) -> bool:
    """Return True if all *parts* are plain.  A wrong False costs time alone: the search looks at all."""
    try:  # without a step of Python for each part: most containers hold plain values of few types
        return not any(map(kind_of, set(map(type, parts))))
    except Exception:  # an unhashable class
        return False


def _copy(value: Any, kind: int) -> tuple[list[Any], dict[str, Any]]:
    """Return the contents of *value*, keys and values (or fields and values) in turn, and its attributes."""
    if kind not in (DATACLASS, NAMED):
        # For all types but OrderedDict this is one call into C, which runs no Python code.  So the copy is of
        # one moment, even if other threads change the container.
        copy: Any = value if type(value) is tuple else value.copy()
        return [*chain.from_iterable(copy.items())] if kind in _PAIRED else [*copy], {}
    state: Any = object.__getstate__(value)
    of_dict, of_slots = state if type(state) is tuple else (state, None)
    attributes = {**(of_dict or {}), **(of_slots or {})}
    if kind == NAMED:
        return list(tuple.__iter__(value)), attributes  # the class may have an __iter__ of its own
    fields = class_attribute(type(value), "__dataclass_fields__")
    items = ((name, attributes[name]) for name in fields if name in attributes)
    return [*chain.from_iterable(items)], attributes


def substitute(parts: Iterable[Any], take: Take | None) -> list[Any]:
    """Return *parts* with results in place of futures and rebuilt containers in place of records."""
    return [part.made if type(part) is Container else value_of(part, take) for part in parts]


def value_of(part: Any, take: Take | None = None) -> Any:
    """Return the value that the call gets for *part*; for a future, its result, or ``take(part)``."""
    kind = kind_of(type(part))
    if kind == FUTURE:
        return part.result() if take is None else take(part)
    if kind == kinds.RAW:
        return part.value
    return part.future if kind == kinds.SETTLED else part


def rebuild(parts: Sequence[Any], containers: Sequence[Container], take: Take | None) -> list[Any]:
    """Rebuild *containers*, which `search` returned; return *parts* as `substitute` does."""
    # Inner containers come first, as a set or dict hashes its contents.  So if a container holds one that is
    # not made yet, it is part of a cycle, or holds a cycle: then it is tried again after the others.  A
    # mutable container is made, empty, at the first try, which closes the cycle.  A dataclass also gets the
    # fields that are known, as its hash may need them.
    todo = deque(containers)
    while todo:
        container = todo.popleft()
        if container.made is _UNBUILT and container.kind < TUPLE:
            container.made = container.make()
        blocked = any([type(part) is Container and part.made is _UNBUILT for part in container.parts])
        if blocked:
            todo.append(container)
        if not blocked or container.kind == DATACLASS:
            container.fill(take)
    values = substitute(parts, take)
    for container in containers:  # the records may form a cycle
        container.parts = None
    return values
