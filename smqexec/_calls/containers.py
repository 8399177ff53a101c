"""Search containers among a call's arguments, and rebuild those that hold futures.

A container's state at submit counts: the search copies the contents of each container when it
meets the container.  A `Container` records one that holds anything but plain values.  Where a future,
``Raw`` or ``settled`` is in the container, at any depth, the record takes the container's place in
the copies, and the container is rebuilt.  All other containers are passed as they are.

Rebuilding goes through the records with inner containers first: the hash of an element of a set,
or of a key, must be final.  Containers that contain each other, and those that hold such a cycle, come
last: their mutable ones are made first, empty, which closes every cycle; then the immutable ones are
built; then the mutable ones get their contents, last those that hash them.

All of it is iterative: no depth overflows a stack.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

from . import kinds
from .kinds import FUTURE, LIST, TUPLE, kind_of, layout_of

Take: TypeAlias = Callable[[Future[Any]], Any]  # returns the value that is put in place of a future

_UNBUILT: Any = object()  # in place of a value that is not made yet
_NO_STATE: dict[str, Any] = {}  # of what has no attributes


class Container:
    """A container among the arguments: a vertex of a graph, and how to rebuild it."""

    __slots__ = ("holders", "kind", "made", "make", "nests", "parts", "state", "tainted")

    def __init__(self, kind: int, make: Callable[..., Any], parts: Any, state: dict[str, Any]) -> None:
        self.kind = kind
        #: Makes an empty container, or an immutable one of its contents.
        self.make = make
        #: The contents when met; for a mapping, key and value in turn; for a dataclass, its fields.
        self.parts = parts
        #: All attributes of a dataclass; of a named tuple those besides its contents.
        self.state = state
        #: The records of containers that contain this one, and at which position.  Empty after the search.
        self.holders: list[tuple[Container, int]] = []
        #: It holds a future, ``Raw`` or ``settled`` at any depth.
        self.tainted = False
        #: One of its parts is such a record.
        self.nests = False
        #: The rebuilt container.
        self.made = _UNBUILT

    def taint(self) -> None:
        """Note that a future is in this container, and so in all that contain this one."""
        todo = [self]
        while todo:
            container = todo.pop()
            if not container.tainted:
                container.tainted = True
                todo += [holder for holder, _ in container.holders]


def search(parts: list[Any]) -> tuple[list[Any], list[Container]]:
    """Find the futures among *parts*, and put a `Container` in place of each container to rebuild.

    Returns:
        Each future, ``settled`` and ``Raw`` in argument order, empty if there is none at any depth;
        and the records of the containers to rebuild, inner ones first.
    """
    found: list[Any] = []
    searched: list[Container] = []
    # By id; None: all contents are plain.  The copies keep all that has an id here.
    known: dict[int, Container | None] = {}
    root = Container(LIST, list, parts, _NO_STATE)
    frames = [(root, iter(_positions(parts)))]
    while frames:
        outer, places = frames[-1]
        for position, kind in places:
            part = outer.parts[position]
            if kind < LIST:
                found.append(part)
                if not outer.tainted:
                    outer.taint()
                continue
            key = id(part)
            if key in known:
                container = known[key]
                inside: list[tuple[int, int]] = []
            else:
                copied, state = _copy(part, kind)
                inside = [] if _is_plain(copied) else _positions(copied)
                container = Container(kind, _maker(part, kind), copied, state) if inside else None
                known[key] = container
            if container is None:
                continue
            container.holders.append((outer, position))
            if container.tainted:
                outer.taint()
            elif inside:
                frames.append((container, iter(inside)))
                break
        else:
            frames.pop()
            searched.append(outer)
    searched.pop()  # the root
    tainted = [container for container in searched if container.tainted]
    for container in tainted:
        for outer, position in container.holders:
            outer.parts[position] = container
            outer.nests = True
    for container in searched:
        container.holders = []  # records are neither a deep structure nor a cycle
    return found, tainted


def _is_plain(parts: list[Any]) -> bool:
    """Return True if all *parts* are plain; most containers hold those, of few types."""
    try:  # no step of Python for each
        return not any(map(kind_of, set(map(type, parts))))
    except Exception:  # a class that can't be hashed
        return not _positions(parts)


def _positions(parts: list[Any]) -> list[tuple[int, int]]:
    """Return the positions of all *parts* that are not plain, with their kinds."""
    return [(position, kind) for position, part in enumerate(parts) if (kind := kind_of(type(part)))]


def _copy(value: Any, kind: int) -> tuple[list[Any], dict[str, Any]]:
    """Return copies of what the container *value* holds, and of its attributes."""
    if kind in (kinds.DATACLASS, kinds.NAMED):
        cls = type(value)
        state: dict[str, Any] = {}
        for name, slot in layout_of(cls).slots.items() if kind == kinds.DATACLASS else ():
            with suppress(AttributeError):
                state[name] = slot.__get__(value)
        with suppress(AttributeError):
            state.update(object.__getattribute__(value, "__dict__"))
        if kind == kinds.DATACLASS:
            return [state[name] for name in _stored_fields(cls, state)], state
        return list(tuple.__iter__(value)), state  # the class may have an __iter__ of its own
    # A list, dict or set is copied by one call into C that runs no Python code, so
    # threads that change it meanwhile cannot tear it.
    if kind not in kinds.MAPPINGS:
        return list(value.copy() if kind == kinds.DEQUE else value), _NO_STATE
    # An OrderedDict hashes its keys to go through them in order, which a plain one is spared.
    if kind == kinds.ORDERED_DICT and _is_plain([*dict.keys(value), *dict.values(value)]):
        return [], _NO_STATE
    return [part for item in value.copy().items() for part in item], _NO_STATE


def _stored_fields(cls: type, state: dict[str, Any]) -> list[str]:
    """Return the fields of an instance of *cls* that have a value, and that no property stands for."""
    return [name for name in layout_of(cls).fields if name in state]


def _maker(source: Any, kind: int) -> Callable[..., Any]:
    """Return what makes a container like *source*: an empty one, or an immutable one of its contents."""
    cls = type(source)
    if kind == kinds.DEFAULT_DICT:
        return partial(defaultdict, source.default_factory)
    if kind == kinds.DEQUE:
        return partial(deque, maxlen=source.maxlen)
    if kind == kinds.DATACLASS:
        return partial(object.__new__, cls)
    return partial(tuple.__new__, cls) if kind == kinds.NAMED else cls


def substitute(parts: Iterable[Any], take: Take | None) -> list[Any]:
    """Return *parts* with results in place of futures, and rebuilt containers in place of records."""
    return [part.made if type(part) is Container else value_of(part, take) for part in parts]


def value_of(part: Any, take: Take | None = None) -> Any:
    """Return what the call gets for *part*: its result if it is a future, or what *take* returns for it."""
    kind = kind_of(type(part))
    if kind == FUTURE:
        return part.result() if take is None else take(part)
    if kind == kinds.RAW:
        return part.value
    return part.future if kind == kinds.SETTLED else part


def rebuild(parts: Sequence[Any], containers: Sequence[Container], take: Take | None) -> list[Any]:
    """Return *parts* as `substitute` does; make *containers*, which `search` returned, for that."""
    late: list[Container] = []  # those in a cycle, and those that hold one
    for container in containers:
        if container.nests and _is_blocked(container):
            late.append(container)
        else:
            _fill(container, take)
    if late:
        _rebuild_cycles(late, take)
    values = substitute(parts, take)
    # Records may hold each other.  And on a free-threaded build only the thread that made an object
    # frees it, as soon as that thread runs again: the records are the submitter's, the containers
    # this thread's, which may be idle for long.
    for container in containers:
        container.parts = container.made = None
    return values


def _rebuild_cycles(late: list[Container], take: Take | None) -> None:
    """Make the containers *late*, which are in cycles or hold one; all others are made."""
    mutable = sorted([other for other in late if other.kind < TUPLE], key=lambda other: other.kind)
    for container in mutable:
        container.made = container.make()
    for container in mutable:
        # A frozenset may hash a dataclass, so that gets the fields that are known before.
        if container.kind == kinds.DATACLASS:
            _fill(container, take)
    immutable = deque(container for container in late if container.kind >= TUPLE)
    while immutable:  # most often in order already
        container = immutable.popleft()
        if _is_blocked(container):
            immutable.append(container)
        else:
            _fill(container, take)
    for container in mutable:
        _fill(container, take)


def _is_blocked(container: Container) -> bool:
    """Return True if *container* holds a container that is not made yet."""
    return any([type(part) is Container and part.made is _UNBUILT for part in container.parts])


def _fill(container: Container, take: Take | None) -> None:
    """Make *container* of its contents; if it is made already, give it those that are."""
    contents: Any = substitute(container.parts, take)
    kind = container.kind
    if kind in kinds.MAPPINGS:
        contents = zip(contents[::2], contents[1::2], strict=True)
    if kind == kinds.DATACLASS:
        if container.made is _UNBUILT:
            container.made = container.make()
        cls = type(container.made)
        fields = dict(zip(_stored_fields(cls, container.state), contents, strict=True))
        _set_attributes(container.made, {**container.state, **fields}, layout_of(cls).slots)
    elif container.made is _UNBUILT:
        container.made = container.make(contents)
        if container.state:
            _set_attributes(container.made, container.state, {})
    elif kind in (LIST, kinds.DEQUE):
        container.made.extend(contents)
    else:
        container.made.update(contents)


def _set_attributes(instance: Any, attributes: dict[str, Any], slots: dict[str, Any]) -> None:
    # Around __setattr__ (frozen dataclasses) and properties.
    for name, value in attributes.items():
        if value is _UNBUILT:
            continue
        slot = slots.get(name)
        if slot is not None:
            slot.__set__(instance, value)
        else:
            object.__getattribute__(instance, "__dict__")[name] = value
