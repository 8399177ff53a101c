"""Find the futures among a call's arguments, and put their results in place.

``gather`` looks at the arguments when a call is submitted and makes a
``Template``; ``Template.fill`` makes the arguments that the function gets, once
every dependency is done.  Pure: nothing here locks, waits, or calls a method of
an argument that holds no future.

What is searched is decided by exact type alone.  Plain ``list``, ``tuple``,
``dict`` (keys and values), ``set``, ``frozenset``, named tuples and the fields
of dataclass instances are *containers*, at any depth.  Everything else is
*plain*, also other subclasses of the containers, a dataclass built on a type
written in C, and a field that a property stands for.  A container below which a
future, ``Raw`` or ``settled`` was found is *tainted*.  Tainted containers are
rebuilt, all others passed as they are.

The state that counts is that of ``gather``: each container is copied when the
search meets it, and of these copies the tainted ones are rebuilt.  The order of
rebuilding follows from three needs:

- What goes into a set, or is the key of a dict, must have its final hash by
  then.  So containers are built bottom up.
- Containers may contain each other.  So what is built bottom up are *knots*, the
  largest groups of containers that all reach each other.  Most knots are single
  containers.
- Within a knot the mutable ones are made first, empty, which closes every cycle.
  Then the immutable ones are built bottom up: every cycle has a mutable member,
  so they have a bottom.  Then the mutable ones get their contents, last those
  that hash it.

All of it is iterative, and a template is flat: no depth overflows a stack.

Cost: a type lookup for each argument that is no container.  For containers, a
copy and a type lookup for each item, and a microsecond or two for each item that
is itself a container or a future.  ``fill`` costs a step for each hole, and the
copying of what it rebuilds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from types import BuiltinFunctionType, MemberDescriptorType
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Raw(Generic[T]):
    """Pass *value* as it is, unsearched: a future in it is no dependency.

    Means something only among the arguments of a submitted call, at any depth that is searched.
    """

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Raw({self.value!r})"


class settled(Generic[T]):
    """Wait for *future*, whatever its outcome, and pass the finished future itself.

    Means something only among the arguments of a submitted call, at any depth that is searched.

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


class Template:
    """What a call's arguments were when it was submitted, with holes where the futures were.

    The owner serialises access.
    """

    # The commonest template, futures as direct arguments only, has no recipe: to
    # search two tuples again takes less memory than to note what was found.
    __slots__ = ("_names", "_parts", "_recipe")

    def __init__(
        self, parts: tuple[Any, ...], names: tuple[str, ...], recipe: _Recipe | None = None
    ) -> None:
        self._parts = parts
        self._names = names
        self._recipe = recipe

    @property
    def dependencies(self) -> list[tuple[Future[Any], bool]]:
        """The futures in argument order, with True for those given as ``settled(future)``.

        Each once, but twice where it is given both ways.  Empty after ``fill``.
        """
        if self._recipe is not None:
            return list(self._recipe.dependencies)
        found: dict[int, tuple[Future[Any], bool]] = {}
        for part in self._parts:
            kind = _kind_of(type(part))
            if kind == _FUTURE:
                found[id(part)] = (part, False)
            elif kind == _SETTLED:
                found[~id(part.future)] = (part.future, True)
        return list(found.values())

    def fill(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments with all results in place, and let go of everything.

        To be called once, when every dependency is done.

        Raises:
            BaseException: What a dependency failed with, or what rebuilding a
                container met (an unhashable result in a set, say).
        """
        parts, names, recipe = self._parts, self._names, self._recipe
        self._parts, self._names, self._recipe = (), (), None
        values = [_substitute(part) for part in parts] if recipe is None else recipe.follow()
        if not names:
            return tuple(values), {}
        positional = len(values) - len(names)
        return tuple(values[:positional]), dict(zip(names, values[positional:], strict=True))


def look(args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> int:
    """Say what a call's arguments need.

    Returns:
        0 where they can be passed as they are; DIRECT in the commonest case, where all that
        counts is futures by position, and no template is needed to find them again; else
        something else, and `gather` tells.
    """
    found = _PLAIN
    for value in args:
        try:
            found |= _kinds[type(value)]
        except (KeyError, TypeError):
            found |= _classify(type(value))
    if kwargs:
        named = _PLAIN
        for value in kwargs.values():
            named |= _kind_of(type(value))
        if found or named:
            found |= named | _BY_NAME
    return found


def value_of(value: Any) -> Any:
    """Return the result of *value* if it is a future, which is done, and else *value* itself."""
    return value.result() if _kind_of(type(value)) == _FUTURE else value


def gather(args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Template | None:
    """Return the template of a call's arguments, or None where they can be passed as they are.

    They can where no future, ``Raw`` or ``settled`` is among them.
    """
    found = look(args, kwargs)
    if not found:
        return None
    parts = (*args, *kwargs.values()) if kwargs else args
    if found & ~_BY_NAME < _LIST:
        return Template(parts, tuple(kwargs or ()))
    return _search(parts, tuple(kwargs or ()))


# Kinds of values.  The numbers matter: what is below _LIST stays so under "|"; and
# the mutable containers come before the immutable ones, in the order in which those
# of one knot get their contents.
_PLAIN = 0
_FUTURE = 1
_RAW = 2
_SETTLED = 3
_LIST = 4
_DATACLASS = 5
_DICT = 6
_SET = 7
_TUPLE = 8
_NAMED = 9
_FROZENSET = 10
_BY_NAME = 16  # no kind: beside others, that there are arguments by name

DIRECT = _FUTURE

_EXACT = {list: _LIST, dict: _DICT, set: _SET, tuple: _TUPLE, frozenset: _FROZENSET}

# Both caches keep classes alive, so they are bounded.  They begin anew when full:
# cheap, and a program must use very many classes to notice.
_CACHE_SIZE = 1024
_kinds: dict[type, int] = {}
_layouts: dict[int, _Layout] = {}  # by id, as the class of a class may refuse to be hashed


def _kind_of(cls: type) -> int:
    try:
        return _kinds[cls]
    except (KeyError, TypeError):  # not met yet; or unhashable, by its metaclass
        return _classify(cls)


def _classify(cls: type) -> int:
    """Find the kind of the instances of *cls*, and remember it."""
    kind = _find_kind(cls)
    if len(_kinds) >= _CACHE_SIZE:
        _kinds.clear()
    with suppress(TypeError):  # an unhashable class is classified each time
        _kinds[cls] = kind
    return kind


def _find_kind(cls: type) -> int:
    if issubclass(cls, Future):
        return _FUTURE
    if issubclass(cls, Raw):
        return _RAW
    if issubclass(cls, settled):
        return _SETTLED
    for container, kind in _EXACT.items():
        if cls is container:
            return kind
    if issubclass(cls, tuple):
        return _NAMED if type(_class_attribute(cls, "_fields")) is tuple else _PLAIN
    if _class_attribute(cls, "__dataclass_fields__") is not None:
        # A type written in C with a constructor of its own (Exception, OrderedDict)
        # has a state of its own, too.
        makers = [vars(base).get("__new__") for base in cls.__mro__[:-1]]
        return _PLAIN if any(type(maker) is BuiltinFunctionType for maker in makers) else _DATACLASS
    return _PLAIN


def _class_attribute(cls: type, name: str) -> Any:
    # Unlike getattr this calls no descriptor, and nothing of a metaclass.
    for base in cls.__mro__:
        if name in vars(base):
            return vars(base)[name]
    return None


class _Layout:
    """Where instances of a dataclass keep their values."""

    __slots__ = ("cls", "members", "names")

    def __init__(self, cls: type) -> None:
        # Whoever has a dataclass has paid for this import.
        from dataclasses import fields

        #: Keeps the class alive, so that its id stays its own.
        self.cls = cls
        #: Its slots, and those of its bases.
        self.members: dict[str, Any] = {
            name: attribute
            for base in reversed(cls.__mro__)
            for name, attribute in vars(base).items()
            if type(attribute) is MemberDescriptorType
        }
        #: The fields that can be read without running a property.
        self.names = tuple(field.name for field in fields(cls) if self._is_stored(field.name))

    def _is_stored(self, name: str) -> bool:
        kind = type(_class_attribute(self.cls, name))
        if kind is MemberDescriptorType:
            return True
        return not (hasattr(kind, "__set__") or hasattr(kind, "__delete__"))


def _layout_of(cls: type) -> _Layout:
    layout = _layouts.get(id(cls))
    if layout is None:
        if len(_layouts) >= _CACHE_SIZE:
            _layouts.clear()
        layout = _layouts[id(cls)] = _Layout(cls)
    return layout


def _substitute(part: Any) -> Any:
    kind = _kind_of(type(part))
    if kind == _FUTURE:
        return part.result()
    if kind == _RAW:
        return part.value
    if kind == _SETTLED:
        return part.future
    return part


class _Unbuilt:
    """Stands where a value is missing, or not made yet."""


_UNBUILT = _Unbuilt()


class _Node:
    """A container that was met: a vertex of a graph; then, if tainted, part of a recipe."""

    __slots__ = ("holes", "kind", "links", "parts", "register", "source", "state", "tainted")

    def __init__(self, kind: int, source: Any, parts: list[Any]) -> None:
        self.kind = kind
        self.source = source
        #: The contents when met; for a dict, key and value in turn; for a dataclass, its fields.
        self.parts = parts
        #: Positions in parts, each with the containers there; cleared when the search ends.
        self.links: list[tuple[int, _Node]] = []
        #: Positions in parts, each with the register whose value belongs there.
        self.holes: list[tuple[int, int]] = []
        self.tainted = False
        self.register = 0
        #: The attributes of a dataclass or a named tuple.
        self.state: dict[str, Any] = {}


_Step = tuple[Callable[[_Node, list[Any]], None], _Node]


class _Recipe:
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

    def follow(self) -> list[Any]:
        """Return the rebuilt root, whose register is the last one given out."""
        values: list[Any] = [
            future if is_settled else future.result() for future, is_settled in self.dependencies
        ]
        values += [_UNBUILT] * self._containers
        for act, node in self._steps:
            act(node, values)
        root: list[Any] = values[-self._containers]
        return root


def _search(parts: tuple[Any, ...], names: tuple[str, ...]) -> Template | None:
    """Do what ``gather`` promises where containers are among the arguments, *parts*."""
    root = _Node(_LIST, None, list(parts))
    dependencies: list[tuple[Future[Any], bool]] = []
    registers: dict[int, int] = {}
    # By id; None for a container whose items are all plain.  The copies keep what
    # was met alive, and its id with it.
    nodes: dict[int, _Node | None] = {}
    touched = False
    pending = [(root, position, kind) for position, kind in _positions(root.parts)]
    while pending:
        node, position, kind = pending.pop()
        value = node.parts[position]
        if kind >= _LIST:
            key = id(value)
            if key not in nodes:
                copied = _copy_contents(value, kind)
                inside = _positions(copied)
                nodes[key] = met = _Node(kind, value, copied) if inside else None
                if met is not None:
                    pending += [(met, place, kind) for place, kind in inside]
            inner = nodes[key]
            if inner is not None:
                node.links.append((position, inner))
            continue
        node.tainted = touched = True
        if kind == _RAW:
            node.parts[position] = value.value
            continue
        future, is_settled = (value.future, True) if kind == _SETTLED else (value, False)
        key = ~id(future) if is_settled else id(future)
        register = registers.setdefault(key, len(dependencies))
        if register == len(dependencies):
            dependencies.append((future, is_settled))
        node.holes.append((position, register))
    if not touched:
        return None
    if root.links:
        steps, containers = _plan(root)
        if containers > 1:
            return Template((), names, _Recipe(dependencies, steps, containers))
    return Template(parts, names)


def _positions(parts: list[Any]) -> list[tuple[int, int]]:
    """Return where *parts* are not plain, and their kinds, last first, as a stack wants them."""
    try:
        # Most containers hold plain items of few types: no step of Python for each.
        plain = not any(map(_kind_of, set(map(type, parts))))
    except TypeError:  # an unhashable class
        plain = False
    if plain:
        return []
    return [(i, kind) for i in range(len(parts) - 1, -1, -1) if (kind := _kind_of(type(parts[i])))]


def _copy_contents(value: Any, kind: int) -> list[Any]:
    # A list, dict or set is copied by one call into C that runs no Python code, so
    # threads that change it meanwhile cannot tear it.
    if kind == _DATACLASS:
        return [_read_field(value, name) for name in _layout_of(type(value)).names]
    if kind == _DICT:
        return [part for item in value.copy().items() for part in item]
    if kind == _NAMED:
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
                node.holes += [
                    (position, inner.register) for position, inner in node.links if inner.tainted
                ]
                for position, _ in node.holes:
                    node.parts[position] = _UNBUILT
                if node.kind in (_DATACLASS, _NAMED):
                    node.state = _copy_state(node.source, node.kind)
            steps += _steps_of(knot)
        for node in knot:
            # Of the original only the class is still needed; and without links what
            # remains is neither deep nor a cycle.
            node.source = type(node.source)
            node.links = []
    return steps, containers


def _steps_of(knot: list[_Node]) -> Iterator[_Step]:
    mutable = sorted((node for node in knot if node.kind < _TUPLE), key=lambda node: node.kind)
    immutable = [node for node in knot if node.kind >= _TUPLE]
    yield from ((_make, node) for node in mutable)
    if len(knot) > 1:
        # A frozenset of this knot may hash a dataclass of it, which therefore gets
        # what is known of its fields before.
        yield from ((_finish, node) for node in mutable if node.kind == _DATACLASS)
        members = set(immutable)
        ordered = _knots(immutable, lambda node: [n for n in _linked(node) if n in members])
        immutable = [node for single in ordered for node in single]
    yield from ((_build, node) for node in immutable)
    yield from ((_finish, node) for node in mutable)


def _linked(node: _Node) -> Iterable[_Node]:
    return [inner for _, inner in node.links]


def _knots(
    starts: Iterable[_Node], below: Callable[[_Node], Iterable[_Node]]
) -> Iterator[list[_Node]]:
    """Yield the strongly connected components of what is reached from *starts*, bottom up.

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
    """Return all attributes of *instance*, without the values of fields that were searched."""
    state: dict[str, Any] = {}
    layout = _layout_of(type(instance)) if kind == _DATACLASS else None
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
    if node.kind == _LIST:
        made = node.parts
    elif node.kind == _DICT:
        made = {}
    elif node.kind == _SET:
        made = set()
    else:
        made = object.__new__(node.source)
    values[node.register] = made


def _finish(node: _Node, values: list[Any]) -> None:
    """Give the mutable container its contents; a dataclass those that are built."""
    parts = _patch(node, values)
    made = values[node.register]
    if node.kind == _DICT:
        made.update(zip(parts[::2], parts[1::2], strict=True))
    elif node.kind == _SET:
        made.update(parts)
    elif node.kind == _DATACLASS:
        layout = _layout_of(node.source)
        fields = zip(layout.names, parts, strict=True)
        _set_attributes(made, {**node.state, **dict(fields)}, layout.members)


def _build(node: _Node, values: list[Any]) -> None:
    """Put the immutable container in its register."""
    parts = _patch(node, values)
    built: Any
    if node.kind == _TUPLE:
        built = tuple(parts)
    elif node.kind == _FROZENSET:
        built = frozenset(parts)
    else:
        built = tuple.__new__(node.source, parts)
        _set_attributes(built, node.state, {})
    values[node.register] = built


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
