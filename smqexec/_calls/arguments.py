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
    AS_NEEDED   None      the arguments are the dependencies that the task lists; when
                          the task starts this becomes DIRECT, with a list
    a Template  None      fn(*args, **kwargs), as the template's ``fill`` gives them

The exact type alone decides whether an argument is searched.  Plain ``list``, ``tuple``,
``dict`` (keys and values), ``set``, ``frozenset``, named tuples, the fields of
dataclass instances, ``defaultdict``, ``OrderedDict``, ``deque`` and (from CPython
3.15 on) ``frozendict`` are *containers*, at any depth: see ``containers``.  Everything
else is *plain*, also other subclasses of the containers, a dataclass built on a type
written in C, and a field that a property stands for.

Cost: a type lookup for each argument that is no container.  For containers, a
copy and a type lookup for each item, and a microsecond or two for each item that
is itself a container or a future.  ``fill`` costs a step for each item of a container
that it rebuilds.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from .containers import Container, Take, rebuild, search, substitute, value_of
from .kinds import FUTURE, KINDS, LIST, PLAIN, SETTLED, classify, kind_of

# Forms: see above.  DIRECT is the commonest: no template is needed to find the futures again.
DIRECT: Any = object()
# A tuple beside the list of dependencies would be a third more for the garbage collector to go through.
AS_NEEDED: Any = object()


class Template:
    """The arguments of a call as they were at submit; the owner serialises access.

    Args:
        parts: The arguments by position, then those by name, with a `Container` in place of
            each container to rebuild.
        names: Of the arguments by name.
        found: Each future, ``settled`` and ``Raw``, in argument order, if not all are in *parts*.
        containers: To rebuild, inner ones first.
        special: The task has other dependencies than these, or more than dependencies is to be linked.
    """

    __slots__ = ("containers", "found", "names", "parts", "special")

    def __init__(
        self,
        parts: Sequence[Any],
        names: tuple[str, ...],
        found: Sequence[Any] | None = None,
        containers: Sequence[Container] = (),
    ) -> None:
        self.parts = parts
        self.names = names
        self.found = parts if found is None else found
        self.containers = containers
        self.special = False

    def fill(self, take: Take | None = None) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Do what `materialise` does, and release everything."""
        parts, names, containers = self.parts, self.names, self.containers
        self.parts = self.found = self.names = self.containers = ()
        values = rebuild(parts, containers, take) if containers else substitute(parts, take)
        positional = len(values) - len(names)
        return tuple(values[:positional]), dict(zip(names, values[positional:], strict=True))


def encode(args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> tuple[Any, Any]:
    """Return what a task keeps of the arguments of its call: *args* and a form."""
    parts = (*args, *kwargs.values()) if kwargs else args
    found = PLAIN
    for value in parts:
        try:  # `kind_of`, written out
            found |= KINDS[type(value)]
        except Exception:
            found |= classify(type(value))
    if not found:
        return args, kwargs or None  # an empty dict takes 64 bytes
    if found == FUTURE and not kwargs:
        return args, DIRECT
    names = tuple(kwargs or ())
    if found < LIST:
        return None, Template(parts, names)
    listed = [*parts]
    futures, containers = search(listed)
    return (None, Template(listed, names, futures, containers)) if futures else (args, kwargs or None)


def dependencies(args: Any, form: Any) -> list[tuple[Future[Any], bool]]:
    """Return the futures among encoded arguments, in argument order; True for ``settled(future)``.

    Each once, but twice where it is given both ways.  Not for AS_NEEDED: its futures are the
    task's dependencies.
    """
    parts = form.found if type(form) is Template else args if form is DIRECT else ()
    found: dict[int, tuple[Future[Any], bool]] = {}
    for part in parts:
        kind = kind_of(type(part))
        if kind == FUTURE:
            found[id(part)] = (part, False)
        elif kind == SETTLED:
            found[~id(part.future)] = (part.future, True)
    return list(found.values())


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
    if form is DIRECT:
        return tuple([value_of(value, take) for value in args]), {}
    return form.fill(take) if type(form) is Template else (args, form)


def special(args: Any, form: Any) -> Template:
    """Return a special template of encoded arguments."""
    if type(form) is Template:
        template = form
    else:
        named: dict[str, Any] = {} if form is None or form is DIRECT else form
        template = Template((*args, *named.values()), tuple(named))
    template.special = True
    return template
