"""Search containers among a call's arguments, and rebuild those that hold futures (see ``arguments``)."""

from __future__ import annotations

import sys
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from .kinds import (
    DATACLASS,
    DEFAULT_DICT,
    DEQUE,
    DICT,
    FROZEN_DICT,
    FROZENSET,
    LIST,
    NAMED,
    ORDERED_DICT,
    RAW,
    SET,
    SETTLED,
    TUPLE,
    kind_of,
    layout_of,
)


class _Unbuilt:
    """The type of the placeholder for a value that is missing, or not made yet."""


_UNBUILT = _Unbuilt()


class _Node:
    """A container that the search has met: a vertex of a graph; then, if tainted, part of a recipe."""

    __slots__ = ("holes", "kind", "links", "parts", "register", "source", "state", "tainted")

    def __init__(self, kind: int, source: Any, parts: list[Any]) -> None:
        self.kind = kind
        self.source = source
        #: The contents when met; for a mapping, key and value in turn; for a dataclass, its fields.
        self.parts = parts
        #: Positions in parts, each with the containers there; cleared when the search ends.
        self.links: list[tuple[int, _Node]] = []
        #: Positions in parts, each with the register whose value belongs there.
        self.holes: list[tuple[int, int]] = []
        self.tainted = False
        self.register = 0
        #: The attributes of a dataclass or a named tuple; the keywords of a defaultdict or a deque.
        self.state: dict[str, Any] = {}


Take = Callable[[Future[Any]], Any]  # returns the value that is put in place of a future

_MAPPINGS = (DICT, DEFAULT_DICT, ORDERED_DICT, FROZEN_DICT)

_Step = tuple[Callable[[_Node, list[Any]], None], _Node]


class Recipe:
    """How to rebuild the tainted containers, without references to the originals.

    Registers hold the values while it is followed.  Those of dependencies count
    from the front, 0, 1, ..., those of containers from the back, -1, -2, ...: so
    either can be given out while the number of the others is unknown.
    """

    __slots__ = ("_containers", "_steps", "dependencies")

    def __init__(
        self,
        dependencies: list[tuple[Future[Any], bool]],
        steps: list[_Step],
        containers: int,
    ) -> None:
        self.dependencies = dependencies
        self._steps = steps
        self._containers = containers

    def follow(self, take: Take | None) -> list[Any]:
        """Return the rebuilt root, whose register is the last one given out."""
        values: list[Any] = [
            future if is_settled else future.result() if take is None else take(future)
            for future, is_settled in self.dependencies
        ]
        values += [_UNBUILT] * self._containers
        for act, node in self._steps:
            act(node, values)
        root: list[Any] = values[-self._containers]
        return root


def search(parts: tuple[Any, ...]) -> tuple[bool, Recipe | None]:
    """Look through *parts*, among which are containers.

    Returns:
        Whether a future, ``Raw`` or ``settled`` is among them, at any depth; and how to
        rebuild the containers that hold one, None where none does.
    """
    root = _Node(LIST, None, list(parts))
    dependencies: list[tuple[Future[Any], bool]] = []
    registers: dict[int, int] = {}
    # By id; None for a container whose items are all plain.  The copies keep each
    # container alive, so that no other object gets its id.
    nodes: dict[int, _Node | None] = {}
    touched = False
    frames = [(root, iter(_positions(root.parts)))]
    while frames:
        node, places = frames[-1]
        for position, kind in places:
            value = node.parts[position]
            if kind >= LIST:
                key = id(value)
                met, inside = None, []
                if key not in nodes:
                    copied = _copy_contents(value, kind)
                    inside = _positions(copied)
                    nodes[key] = met = _Node(kind, value, copied) if inside else None
                inner = nodes[key]
                if inner is not None:
                    node.links.append((position, inner))
                if met is not None:
                    frames.append((met, iter(inside)))
                    break
                continue
            node.tainted = touched = True
            if kind == RAW:
                node.parts[position] = value.value
                continue
            future, is_settled = (value.future, True) if kind == SETTLED else (value, False)
            key = ~id(future) if is_settled else id(future)
            register = registers.setdefault(key, len(dependencies))
            if register == len(dependencies):
                dependencies.append((future, is_settled))
            node.holes.append((position, register))
        else:
            frames.pop()
    if touched and root.links:
        steps, containers = _plan(root)
        if containers > 1:
            return True, Recipe(dependencies, steps, containers)
    return touched, None


def _positions(parts: list[Any]) -> list[tuple[int, int]]:
    """Return the positions of *parts* that are not plain, and their kinds."""
    try:
        # Most containers hold plain items of few types: no step of Python for each.
        plain = not any(map(kind_of, set(map(type, parts))))
    except Exception:  # a class that can't be hashed
        plain = False
    if plain:
        return []
    return [(position, kind) for position, part in enumerate(parts) if (kind := kind_of(type(part)))]


def _copy_contents(value: Any, kind: int) -> list[Any]:
    # A list, dict or set is copied by one call into C that runs no Python code, so
    # threads that change it meanwhile cannot tear it.
    if kind == DATACLASS:
        return [_read_field(value, name) for name in layout_of(type(value)).names]
    if kind in _MAPPINGS:
        # An OrderedDict hashes its keys to go through them in order, which a plain one is spared.
        if kind == ORDERED_DICT and not _positions([*dict.keys(value), *dict.values(value)]):
            return []
        return [part for item in value.copy().items() for part in item]
    if kind == DEQUE:
        return list(value.copy())
    if kind == NAMED:
        return list(tuple.__iter__(value))  # the class may have an __iter__ of its own
    return list(value)


def _read_field(instance: Any, name: str) -> Any:
    try:
        return object.__getattribute__(instance, name)
    except AttributeError:
        return _UNBUILT


def _plan(root: _Node) -> tuple[list[_Step], int]:
    """Return the steps that rebuild the tainted containers, and how many containers these are."""
    steps: list[_Step] = []
    containers = 0
    for knot in _knots([root], _linked):
        if any(node.tainted or any(inner.tainted for inner in _linked(node)) for node in knot):
            for node in knot:
                containers += 1
                node.register = -containers
                node.tainted = True
            for node in knot:
                node.holes += [(position, inner.register) for position, inner in node.links if inner.tainted]
                for position, _ in node.holes:
                    node.parts[position] = _UNBUILT
                node.state = _copy_state(node.source, node.kind)
            steps += _steps_of(knot)
        for node in knot:
            # Only the class of the original is still needed; and without links the
            # nodes are neither a deep structure nor a cycle.
            node.source = type(node.source)
            node.links = []
    return steps, containers


def _steps_of(knot: list[_Node]) -> Iterator[_Step]:
    mutable = sorted((node for node in knot if node.kind < TUPLE), key=lambda node: node.kind)
    immutable = [node for node in knot if node.kind >= TUPLE]
    yield from ((_make, node) for node in mutable)
    if len(knot) > 1:
        # A frozenset of this knot may hash a dataclass of it, so the dataclass gets
        # the fields that are known before.
        yield from ((_finish, node) for node in mutable if node.kind == DATACLASS)
        members = set(immutable)
        ordered = _knots(immutable, lambda node: [n for n in _linked(node) if n in members])
        immutable = [node for single in ordered for node in single]
    yield from ((_build, node) for node in immutable)
    yield from ((_finish, node) for node in mutable)


def _linked(node: _Node) -> Iterable[_Node]:
    return [inner for _, inner in node.links]


def _knots(starts: Iterable[_Node], below: Callable[[_Node], Iterable[_Node]]) -> Iterator[list[_Node]]:
    """Yield the strongly connected components of all nodes reached from *starts*, bottom up.

    Gabow's path-based search.  Cost: one step for each node and link.
    """
    closed = sys.maxsize
    number: dict[_Node, int] = {}  # a node's index in unclosed, later closed
    unclosed: list[_Node] = []  # met, in no finished knot yet
    bounds = [-1]  # indices in unclosed where the knots on the path begin, as far as is known
    path: list[tuple[_Node | None, Iterator[_Node]]] = [(None, iter(starts))]
    while path:
        node, rest = path[-1]
        for inner in rest:
            if inner not in number:
                number[inner] = len(unclosed)
                bounds.append(len(unclosed))
                unclosed.append(inner)
                path.append((inner, iter(below(inner))))
                break
            while bounds[-1] > number[inner]:
                bounds.pop()
        else:
            path.pop()
            if node is not None and bounds[-1] == number[node]:
                knot = unclosed[bounds.pop() :]
                del unclosed[-len(knot) :]
                number.update(dict.fromkeys(knot, closed))
                yield knot


def _copy_state(instance: Any, kind: int) -> dict[str, Any]:
    """Return what *instance* has besides its contents: attributes, a default factory, a maximal length."""
    if kind == DEFAULT_DICT:
        return {"default_factory": instance.default_factory}
    if kind == DEQUE:
        return {"maxlen": instance.maxlen}
    state: dict[str, Any] = {}
    if kind not in (DATACLASS, NAMED):
        return state
    layout = layout_of(type(instance)) if kind == DATACLASS else None
    if layout is not None:
        for name, member in layout.members.items():
            with suppress(AttributeError):
                state[name] = member.__get__(instance)
    with suppress(AttributeError):
        state.update(object.__getattribute__(instance, "__dict__"))
    if layout is not None:
        # The names stay, for the order of the attributes.
        state.update((name, _UNBUILT) for name in layout.names if name in state)
    return state


def _make(node: _Node, values: list[Any]) -> None:
    """Put the mutable container in its register, without contents."""
    made: Any
    if node.kind == LIST:
        made = node.parts
    elif node.kind == DATACLASS:
        made = object.__new__(node.source)
    elif node.kind == DEFAULT_DICT:
        made = defaultdict(node.state["default_factory"])
    elif node.kind == DEQUE:
        made = deque(maxlen=node.state["maxlen"])
    else:
        made = node.source()
    values[node.register] = made


def _finish(node: _Node, values: list[Any]) -> None:
    """Give the mutable container its contents; give a dataclass those that are built."""
    parts = _patch(node, values)
    made = values[node.register]
    if node.kind in _MAPPINGS:
        made.update(_pairs(parts))
    elif node.kind == SET:
        made.update(parts)
    elif node.kind == DEQUE:
        made.extend(parts)
    elif node.kind == DATACLASS:
        layout = layout_of(node.source)
        fields = zip(layout.names, parts, strict=True)
        _set_attributes(made, {**node.state, **dict(fields)}, layout.members)


def _build(node: _Node, values: list[Any]) -> None:
    """Put the immutable container in its register."""
    parts = _patch(node, values)
    built: Any
    if node.kind == TUPLE:
        built = tuple(parts)
    elif node.kind == FROZENSET:
        built = frozenset(parts)
    elif node.kind == FROZEN_DICT:  # pragma: no cover - from CPython 3.15 on
        built = node.source(_pairs(parts))
    else:
        built = tuple.__new__(node.source, parts)
        _set_attributes(built, node.state, {})
    values[node.register] = built


def _pairs(parts: list[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(parts[::2], parts[1::2], strict=True)


def _patch(node: _Node, values: list[Any]) -> list[Any]:
    parts = node.parts
    for position, register in node.holes:
        parts[position] = values[register]
    return parts


def _set_attributes(instance: Any, attributes: dict[str, Any], members: dict[str, Any]) -> None:
    # Around __setattr__ (frozen dataclasses) and properties.
    for name, value in attributes.items():
        if value is _UNBUILT:
            continue
        member = members.get(name)
        if member is not None:
            member.__set__(instance, value)
        else:
            object.__getattribute__(instance, "__dict__")[name] = value
