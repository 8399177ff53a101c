"""Find the futures among a call's arguments, and put their results in place.

``encode`` looks at the arguments when a call is submitted, and gives what a task
keeps of them; ``dependencies`` lists the futures among them; ``materialise`` makes
the arguments that the function gets, once every dependency is done.  Pure: nothing
here locks, waits, or calls a method of an argument that holds no future.

What a task keeps is *args* and a *form*, which tells how the call is made::

    form        args      the call
    None        a tuple   fn(*args): no futures, nothing by name
    a dict      a tuple   fn(*args, **form): no futures
    DIRECT      a tuple   fn(*args), with its result in place of each future
    AS_NEEDED   None      each argument is a dependency of the task, which lists it;
                          when the task starts this becomes DIRECT, with a list, or
    SOLE        a future  fn(its result)
    a Template  None      fn(*args, **kwargs), as the template's ``fill`` gives them

The exact type alone decides whether an argument is searched.  Plain ``list``, ``tuple``,
``dict`` (keys and values), ``set``, ``frozenset``, named tuples, the fields of
dataclass instances, ``defaultdict``, ``OrderedDict``, ``deque`` and (from CPython
3.15 on) ``frozendict`` are *containers*, at any depth.  Everything else is
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
is itself a container or a future.  ``fill`` costs a step for each future, and a copy
of each container that it rebuilds.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from .containers import Recipe, Take, search
from .kinds import FUTURE, KINDS, LIST, PLAIN, RAW, SETTLED, TUPLE, classify, kind_of

# Forms: see above.  DIRECT is the commonest: no template is needed to find the futures again.
DIRECT = FUTURE
# A tuple beside the list of dependencies would be a third more for the garbage collector to go through.
AS_NEEDED: Any = object()
SOLE: Any = object()


class Template:
    """The arguments of a call as they were at submit, with holes in place of the futures.

    The owner serialises access.
    """

    # The commonest templates have no recipe: futures as direct arguments, and in lists and
    # tuples (`_Flat`) without containers.  A second search of these takes less time and memory
    # than a list of the futures found.
    __slots__ = ("_names", "_parts", "_recipe")

    def __init__(self, parts: Sequence[Any], names: tuple[str, ...], recipe: Recipe | None = None) -> None:
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
            for item in part.items if type(part) is _Flat else (part,):
                kind = kind_of(type(item))
                if kind == FUTURE:
                    found[id(item)] = (item, False)
                elif kind == SETTLED:
                    found[~id(item.future)] = (item.future, True)
        return list(found.values())

    def fill(self, take: Take | None = None) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Do what `materialise` does, and let go of everything."""
        parts, names, recipe = self._parts, self._names, self._recipe
        self._parts, self._names, self._recipe = (), (), None
        values = [_substitute(part, take) for part in parts] if recipe is None else recipe.follow(take)
        if not names:
            return tuple(values), {}
        positional = len(values) - len(names)
        return tuple(values[:positional]), dict(zip(names, values[positional:], strict=True))


class _Flat:
    """A list or a tuple that holds futures and no containers: its items at submit."""

    __slots__ = ("items", "kind")

    def __init__(self, items: list[Any], kind: int) -> None:
        self.items = items
        self.kind = kind


def encode(args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> tuple[Any, Any]:
    """Return what a task keeps of the arguments of its call: *args* and a form, None and a template.

    Cost: a type lookup for each argument; what `gather` costs for containers, and by name.
    """
    if not kwargs:
        found = PLAIN
        for value in args:
            try:  # `kind_of`, written out
                found |= KINDS[type(value)]
            except Exception:
                found |= classify(type(value))
        if not found:
            return args, None  # an empty dict takes 64 bytes
        if found == DIRECT:
            return args, DIRECT
    template = gather(args, kwargs)
    return (args, kwargs or None) if template is None else (None, template)


def dependencies(args: Any, form: Any) -> list[tuple[Future[Any], bool]]:
    """Return the futures among encoded arguments, in argument order; True for ``settled(future)``.

    Not for AS_NEEDED and SOLE: their futures are the task's dependencies.
    """
    if type(form) is Template:
        return form.dependencies
    if form is DIRECT:
        return [(value, False) for value in args if kind_of(type(value)) == FUTURE]
    return []


def materialise(args: Any, form: Any, take: Take | None = None) -> tuple[Sequence[Any], dict[str, Any]]:
    """Return the arguments of the call, by position and by name, with all results in place.

    To be called when every dependency is done; once.

    Args:
        args: As `encode` returned it, or as the task has it since it started.
        form: Likewise.
        take: Gives what is to stand in the place of a future; None: its result.

    Raises:
        BaseException: What a dependency failed with, or what rebuilding a
            container met (an unhashable result in a set, say).
    """
    if form is None:
        return args, {}
    if form is SOLE:
        return (value_of(args, take),), {}
    if form is DIRECT:
        return tuple([value_of(value, take) for value in args]), {}
    return form.fill(take) if type(form) is Template else (args, form)


def value_of(value: Any, take: Take | None = None) -> Any:
    """Return *value*; if it is a future, which is done, return its result, or what *take* returns for it."""
    if kind_of(type(value)) != FUTURE:
        return value
    return value.result() if take is None else take(value)


def gather(args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Template | None:
    """Return the template of a call's arguments, or None where they can be passed as they are.

    They can where no future, ``Raw`` or ``settled`` is among them.
    """
    parts = (*args, *kwargs.values()) if kwargs else args
    found = PLAIN
    for part in parts:
        found |= kind_of(type(part))
    if not found:
        return None
    if found < LIST:
        return Template(parts, tuple(kwargs or ()))
    flat = _flatten(parts)
    if flat is not None:
        return Template(flat, tuple(kwargs or ())) if flat else None
    touched, recipe = search(parts)
    if not touched:
        return None
    return Template(parts if recipe is None else (), tuple(kwargs or ()), recipe)


def templated(args: tuple[Any, ...], kwargs: Any) -> Template:
    """A template of arguments where *kwargs* is None, DIRECT, or of plain values."""
    named: dict[str, Any] = {} if kwargs is None or kwargs is DIRECT else kwargs
    return Template((*args, *named.values()), tuple(named))


def _flatten(parts: Sequence[Any]) -> list[Any] | None:
    """Return *parts* with a `_Flat` in place of each list and tuple that holds a future.

    Empty where nothing needs a template; None where other containers are among them, or one twice.
    """
    flat: list[Any] = []
    touched = False
    seen: set[int] = set()
    for part in parts:
        kind = kind_of(type(part))
        if kind >= LIST:
            if kind not in (LIST, TUPLE) or id(part) in seen:
                return None
            items = list(part)  # one call into C: no other thread can tear it
            inside = PLAIN
            try:
                for cls in set(map(type, items)):
                    inside |= kind_of(cls)
            except Exception:  # a class that can't be hashed
                return None
            if inside >= LIST:
                return None
            seen.add(id(part))
            if inside:
                touched = True
                part = _Flat(items, kind)
        elif kind:
            touched = True
        flat.append(part)
    return flat if touched else []


def _substitute(part: Any, take: Take | None) -> Any:
    if type(part) is _Flat:
        values = [_substitute(item, take) for item in part.items]
        return values if part.kind == LIST else tuple(values)
    kind = kind_of(type(part))
    if kind == FUTURE:
        return part.result() if take is None else take(part)
    if kind == RAW:
        return part.value
    if kind == SETTLED:
        return part.future
    return part
