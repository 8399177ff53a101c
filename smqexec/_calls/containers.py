"""Search containers among a call's arguments, and rebuild those that hold futures.

The state of a container at submit counts: the search copies the contents of each container that it
visits.  A `Container` is the record of a container that holds a value which is not plain.  A record is
*tainted* if a future, ``Raw`` or ``settled`` is in the container, at any depth.  A tainted record replaces
its container in the copies, and the container is rebuilt.  All other containers are passed as they are.

Containers are rebuilt inner ones first, as the hash of a set's element, or of a key, must be final.
Containers in a cycle, and those that hold one, are rebuilt last, in three passes: the mutable ones are made
empty, which closes every cycle; the immutable ones are made of their contents; the mutable ones get their
contents, sets and dicts last, as they hash them.

Search and rebuilding are iterative, so no depth overflows a stack.  Records are not shared: the submitting
thread makes them, and the worker of the call rebuilds.
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

_UNBUILT: Any = object()  # in place of a container that is not rebuilt yet
_NO_STATE: dict[str, Any] = {}  # the attributes of a container that has none


class Container:
    """The record of a container among the arguments: a vertex of their graph, and how to rebuild it."""

    __slots__ = ("holders", "kind", "made", "make", "parts", "state", "tainted")

    def __init__(self, kind: int, make: Callable[..., Any], parts: Any, state: dict[str, Any]) -> None:
        # The kind of the container, as `kind_of` returns it.  Constant, as are the next three fields, but
        # that records replace containers in `parts`.
        self.kind = kind
        # Makes an empty container, or one of its contents.
        self.make = make
        # A copy of the contents; of a mapping, keys and values in turn; of a dataclass, its fields.
        self.parts = parts
        # All attributes of a dataclass; of a named tuple those besides its contents.
        self.state = state
        # The records of containers that contain this one, with its position.  Empty after the search.
        self.holders: list[tuple[Container, int]] = []
        # A future, ``Raw`` or ``settled`` is in the container, at any depth.
        self.tainted = False
        # The rebuilt container.
        self.made = _UNBUILT

    def taint(self) -> None:
        """Record that a future is in this container, and so in all containers around it."""
        todo = [self]
        while todo:
            container = todo.pop()
            if not container.tainted:
                container.tainted = True
                todo += [holder for holder, _ in container.holders]


def search(parts: list[Any]) -> tuple[list[Any], list[Container]]:
    """Find the futures among *parts*, and replace each container to rebuild with its `Container`.

    Returns:
        Each future, ``settled`` and ``Raw`` at any depth, in argument order; and the records of the
        containers to rebuild, inner ones first.
    """
    found: list[Any] = []
    searched: list[Container] = []
    # Visited containers by id, with None if all contents are plain.  No id is reused: the copies of the
    # contents, and *parts*, keep these containers alive.
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
    for container in searched:
        container.holders = []  # so that records form no cycle and no deep chain
    return found, tainted


def _is_plain(parts: list[Any]) -> bool:
    """Return True if all *parts* are plain."""
    try:  # without a step of Python for each part: most containers hold plain values of few types
        return not any(map(kind_of, set(map(type, parts))))
    except Exception:  # an unhashable class
        return not _positions(parts)


def _positions(parts: list[Any]) -> list[tuple[int, int]]:
    """Return the positions of all *parts* that are not plain, with their kinds."""
    return [(position, kind) for position, part in enumerate(parts) if (kind := kind_of(type(part)))]


def _copy(value: Any, kind: int) -> tuple[list[Any], dict[str, Any]]:
    """Return copies of the contents and of the attributes of the container *value*."""
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
    # One call into C, which runs no Python code, copies a list, dict or set: so the copy
    # is one state, even if other threads change the container.
    if kind not in kinds.MAPPINGS:
        return list(value.copy() if kind == kinds.DEQUE else value), _NO_STATE
    # The copy of an OrderedDict hashes the keys, which may run user code: no copy if all parts are plain.
    if kind == kinds.ORDERED_DICT and _is_plain([*dict.keys(value), *dict.values(value)]):
        return [], _NO_STATE
    return [part for item in value.copy().items() for part in item], _NO_STATE


def _stored_fields(cls: type, state: dict[str, Any]) -> list[str]:
    """Return the names of the fields that have a value in *state*; a property has none there."""
    return [name for name in layout_of(cls).fields if name in state]


def _maker(source: Any, kind: int) -> Callable[..., Any]:
    """Return a function that makes a container like *source*: an empty one, or one of its contents."""
    cls = type(source)
    if kind == kinds.DEFAULT_DICT:
        return partial(defaultdict, source.default_factory)
    if kind == kinds.DEQUE:
        return partial(deque, maxlen=source.maxlen)
    if kind == kinds.DATACLASS:
        return partial(object.__new__, cls)
    return partial(tuple.__new__, cls) if kind == kinds.NAMED else cls


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
    late: list[Container] = []  # containers in a cycle, or around one
    for container in containers:
        if _is_blocked(container):
            late.append(container)
        else:
            _fill(container, take)
    if late:
        _rebuild_cycles(late, take)
    values = substitute(parts, take)
    # Release the containers here: records may form a cycle.  And on a free-threaded build only the thread
    # that made an object frees it.  The submitting thread frees the records; if it also released the
    # containers, they would wait for this thread, which may be idle for long.
    for container in containers:
        container.parts = container.made = None
    return values


def _rebuild_cycles(late: list[Container], take: Take | None) -> None:
    """Make the containers *late*, which are in cycles or around one; all others are made."""
    mutable = sorted([other for other in late if other.kind < TUPLE], key=lambda other: other.kind)
    for container in mutable:
        container.made = container.make()
    for container in mutable:
        # A frozenset may hash a dataclass instance, so this gets the fields that are known already.
        if container.kind == kinds.DATACLASS:
            _fill(container, take)
    immutable = deque(container for container in late if container.kind >= TUPLE)
    while immutable:  # most often inner ones come first already, and one pass is enough
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
    """Make *container* of its contents; if it is made already, add the contents that are made."""
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
    """Set *attributes* without a call of ``__setattr__``, which frozen dataclasses have, or a property."""
    for name, value in attributes.items():
        if value is _UNBUILT:
            continue
        slot = slots.get(name)
        if slot is not None:
            slot.__set__(instance, value)
        else:
            object.__getattribute__(instance, "__dict__")[name] = value
