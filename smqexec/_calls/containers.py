"""Search containers among a call's arguments, and rebuild those that hold futures.

The state of a container that counts is that at submit: the search copies the contents of
each container when it meets it.  A container below which a future, ``Raw`` or ``settled``
was found is *tainted*.  In the copies a `_Node` stands for each tainted container; nothing
else of the search is kept.  All other containers are passed as they are.

The order of rebuilding follows from three needs:

- What goes into a set, or is the key of a dict, must have its final hash by then.  So
  containers are built bottom up.
- Containers may contain each other.  So what is built bottom up are *knots*, the largest
  groups of containers that all reach each other.  Most knots are single containers.
- Within a knot the mutable containers are made first, empty, which closes every cycle.
  Then the immutable ones are built: every cycle has a mutable member.  Then the mutable
  ones get their contents, last those that hash it.

All of it is iterative: no depth overflows a stack.
"""

from __future__ import annotations

import sys
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

from . import kinds
from .kinds import FUTURE, LIST, TUPLE, kind_of, layout_of

Take: TypeAlias = Callable[[Future[Any]], Any]  # returns the value that is put in place of a future

_UNBUILT: Any = object()  # in place of a value that is not made yet
_NO_STATE: dict[str, Any] = {}  # of what has no attributes


class Node:
    """A container that the search has met: a vertex of a graph; then, if tainted, how to rebuild it."""

    __slots__ = ("kind", "links", "low", "made", "make", "number", "parts", "source", "state", "tainted")

    def __init__(self, number: int, kind: int, source: Any, parts: list[Any], state: dict[str, Any]) -> None:
        self.kind = kind
        #: The contents when met; for a mapping, key and value in turn; for a dataclass, its fields.
        self.parts = parts
        #: All attributes of a dataclass; of a named tuple those besides its contents.
        self.state = state
        # While the search runs: the container; the containers in it, with their positions; its
        # number in order of meeting, and the lowest number of its knot that is known.
        self.source = source
        self.links: list[tuple[int, Node]] = []
        self.number = self.low = number
        self.tainted = False
        # After the search, if tainted: makes the container; the rebuilt container.
        self.make: Callable[..., Any] = list
        self.made = _UNBUILT


def search(parts: list[Any]) -> tuple[list[Any], list[list[Node]]]:
    """Find the futures among *parts*, and put a `Node` in place of each tainted container.

    Returns:
        Each future, ``settled`` and ``Raw`` in argument order, empty if there is none at any
        depth; and the knots of tainted containers, bottom up.
    """
    found: list[Any] = []
    knots: list[list[Node]] = []
    # By id.  The container is kept, so that no other object gets its id; None: all its items are plain.
    nodes: dict[int, tuple[Node | None, Any]] = {}
    root = Node(0, LIST, None, parts, _NO_STATE)
    unclosed = [root]  # met, in no finished knot yet
    frames = [(root, iter(_positions(parts)))]
    while frames:  # Tarjan's search for strongly connected components
        node, places = frames[-1]
        for position, kind in places:
            part = node.parts[position]
            if kind < LIST:
                node.tainted = True
                found.append(part)
                continue
            key = id(part)
            copied: list[Any] = []
            inside: list[tuple[int, int]] = []
            if key not in nodes:
                copied, state = _copy(part, kind)
                inside = _positions(copied)
                nodes[key] = Node(len(nodes) + 1, kind, part, copied, state) if inside else None, part
            inner, _ = nodes[key]
            if inner is None:
                continue
            node.links.append((position, inner))
            if inside and all(kind < LIST for _, kind in inside):  # the commonest
                inner.tainted = True
                found += [copied[place] for place, _ in inside]
                knots.append(_close([inner]))
            elif inside:
                unclosed.append(inner)
                frames.append((inner, iter(inside)))
                break
            node.low = min(node.low, inner.number)
            node.tainted |= inner.tainted
        else:
            frames.pop()
            if frames:
                outer = frames[-1][0]
                outer.low = min(outer.low, node.low)
                outer.tainted |= node.tainted
            if node.low == node.number:
                knot = [unclosed.pop()]
                while knot[-1] is not node:
                    knot.append(unclosed.pop())
                if _close(knot) and node is not root:
                    knots.append(knot)
    return found, knots


def _close(knot: list[Node]) -> list[Node]:
    """Prepare *knot*, whose nodes have all been searched, for rebuilding; return it if it is tainted."""
    tainted = any([node.tainted for node in knot])
    for node in knot:
        node.tainted = tainted
        node.number = sys.maxsize
    for node in knot:
        if tainted:
            for position, inner in node.links:
                if inner.tainted:
                    node.parts[position] = inner
            node.make = _maker(node.source, node.kind)
        # Without the originals and links, nodes are neither a deep structure nor a cycle.
        node.source, node.links = None, []
    return knot if tainted else []


def _positions(parts: list[Any]) -> list[tuple[int, int]]:
    """Return the positions of all *parts* that are not plain, with their kinds."""
    try:  # most containers hold plain items of few types: no step of Python for each
        plain = not any(map(kind_of, set(map(type, parts))))
    except Exception:  # a class that can't be hashed
        plain = False
    if plain:
        return []
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
    if kind == kinds.ORDERED_DICT and not _positions([*dict.keys(value), *dict.values(value)]):
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
    """Return *parts* with results in place of futures, and rebuilt containers in place of nodes."""
    return [part.made if type(part) is Node else value_of(part, take) for part in parts]


def value_of(part: Any, take: Take | None = None) -> Any:
    """Return what the call gets for *part*: its result if it is a future, or what *take* returns for it."""
    kind = kind_of(type(part))
    if kind == FUTURE:
        return part.result() if take is None else take(part)
    if kind == kinds.RAW:
        return part.value
    return part.future if kind == kinds.SETTLED else part


def rebuild(knot: list[Node], take: Take | None) -> None:
    """Make the containers of *knot*; all those below it are made."""
    if len(knot) == 1:
        _make(knot[0])
        _fill(knot[0], take)
        return
    mutable = sorted((node for node in knot if node.kind < TUPLE), key=lambda node: node.kind)
    waiting = deque(node for node in knot if node.kind >= TUPLE)
    for node in mutable:
        _make(node)
    for node in mutable:
        # A frozenset of this knot may hash a dataclass of it, so the dataclass gets the fields
        # that are known before.
        if node.kind == kinds.DATACLASS:
            _fill(node, take)
    while waiting:  # most often in order already: what was met later is built first
        node = waiting.popleft()
        if any(type(part) is Node and part.made is _UNBUILT for part in node.parts):
            waiting.append(node)
        else:
            _fill(node, take)
    for node in mutable:
        _fill(node, take)
    for node in knot:
        node.parts = []  # nodes of one knot hold each other


def release(knot: list[Node]) -> None:
    """Release the containers of *knot*, in the thread that has rebuilt them.

    On a free-threaded build only the thread that made an object frees it, as soon as that thread runs
    again.  The nodes are the submitter's: where they kept the containers, an idle worker would keep these.
    """
    for node in knot:
        node.made = _UNBUILT


def _make(node: Node) -> None:
    """Make the mutable container, empty."""
    if node.kind < TUPLE:
        node.made = node.make()


def _fill(node: Node, take: Take | None) -> None:
    """Give the mutable container its contents, as far as these are made; build the immutable one."""
    contents: Any = substitute(node.parts, take)
    if node.kind in kinds.MAPPINGS:
        contents = zip(contents[::2], contents[1::2], strict=True)
    if node.kind in (LIST, kinds.DEQUE):
        node.made.extend(contents)
    elif node.kind == kinds.DATACLASS:
        cls = type(node.made)
        names = _stored_fields(cls, node.state)
        _set_attributes(
            node.made, {**node.state, **dict(zip(names, contents, strict=True))}, layout_of(cls).slots
        )
    elif node.kind < TUPLE:
        node.made.update(contents)
    else:
        node.made = node.make(contents)
        _set_attributes(node.made, node.state, {})


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
