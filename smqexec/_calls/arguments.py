"""Gather the futures among a call's arguments, and substitute their results.

The submitting thread encodes the arguments, once; the worker that runs the call materialises them.  Nothing
here locks or waits.  A task keeps *args* and a *form*, which says how the call is made::

    form        args      the call
    None        a tuple   fn(*args): no futures, no keyword arguments
    a dict      a tuple   fn(*args, **form): no futures
    ONE         a future  fn(its result): it is a task or item of ours
    ALL         a tuple   fn(*args), with its result in place of each: all are tasks and items of ours
    DIRECT      a tuple   fn(*args), with its result in place of each future
    a Template  ()        fn(*args, **kwargs), as the template's ``fill`` returns them
"""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from .containers import Container, Take, rebuild, search, substitute
from .kinds import FUTURE, KINDS, LIST, PLAIN, kind_of, settled

# Forms, as above, that need no template.  ONE and ALL spare the worker a look at each argument.
ONE: Any = object()
ALL: Any = object()
DIRECT: Any = object()

# The classes of our own futures, which a room above this one defines and stores here.
TASK: Any = None
ITEM: Any = None


class Template:
    """The arguments of a call as they were at submit.  One thread at a time uses a template."""

    __slots__ = ("containers", "found", "names", "parts", "special")

    def __init__(
        self, parts: Sequence[Any], names: tuple[str, ...], found: Any = None, containers: Any = ()
    ) -> None:
        # The positional, then the keyword arguments, with a `Container` in place of each one to rebuild.
        self.parts = parts
        self.names = names  # of the keyword arguments
        # Each future, ``settled`` and ``Raw``, in argument order, among other values.
        self.found: Sequence[Any] = parts if found is None else found
        self.containers: Sequence[Container] = containers  # those to rebuild, inner ones first
        self.special = False  # the submission may have more to link than the dependencies in `found`

    def fill(self, take: Take | None = None) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Do what `materialise` does, and release all parts."""
        parts, names, containers = self.parts, self.names, self.containers
        self.parts = self.found = self.names = self.containers = ()
        values = rebuild(parts, containers, take) if containers else substitute(parts, take)
        positional = len(values) - len(names)
        return tuple(values[:positional]), dict(zip(names, values[positional:], strict=True))


def encode(args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> tuple[Any, Any]:
    """Return what a task keeps of the arguments of its call: its *args* and the form."""
    if not kwargs:
        for value in args:
            if type(value) is not TASK and type(value) is not ITEM:
                break
        else:
            if len(args) > 1:
                return args, ALL
            if args:
                return args[0], ONE
    parts = (*args, *kwargs.values()) if kwargs else args
    found = PLAIN
    for value in parts:
        try:  # `kind_of` without the call
            found |= KINDS[type(value)]
        except Exception:
            found |= kind_of(type(value))
    if found == PLAIN:
        return args, kwargs or None  # an empty dict takes 64 bytes
    if found == FUTURE and not kwargs:
        return args, DIRECT
    names = tuple(kwargs or ())
    if found < LIST:
        return (), Template(parts, names)
    copied, futures, containers = search(parts)
    return ((), Template(copied, names, futures, containers)) if futures else (args, kwargs or None)


def futures_among(args: Any, form: Any) -> Sequence[Any]:
    """Return the encoded arguments that may be futures."""
    if form is ONE:
        return (args,)
    if form is ALL or form is DIRECT:
        return args  # type: ignore[no-any-return]
    return form.found if type(form) is Template else ()


def dependencies(args: Any, form: Any) -> list[tuple[Future[Any], bool]]:
    """Return the futures among encoded arguments, in argument order, each with True if it is ``settled``."""
    found: dict[tuple[int, bool], tuple[Future[Any], bool]] = {}
    for part in futures_among(args, form):
        # Not by `kind_of`, which hashes the class: `Submission` calls this under the lock.
        if issubclass(type(part), Future):
            found[id(part), False] = (part, False)
        elif type(part) is settled:
            found[id(part.future), True] = (part.future, True)
    return list(found.values())


def materialise(args: Any, form: Any, take: Take | None = None) -> tuple[Sequence[Any], dict[str, Any]]:
    """Return the arguments of the call, whose dependencies are done, with results in place of futures."""
    if form is None:
        return args, {}
    if form is ONE or form is ALL or form is DIRECT:
        return tuple(substitute(futures_among(args, form), take)), {}
    return form.fill(take) if type(form) is Template else (args, form)


def special(args: Any, form: Any, after: Sequence[Any]) -> Template:
    """Return a template of encoded arguments whose task depends on *after*, too, or has more to link."""
    if type(form) is not Template:
        named: dict[str, Any] = form if type(form) is dict else {}
        positional = (args,) if form is ONE else args
        form = Template((*positional, *named.values()), tuple(named))
    form.found = [*form.found, *after]
    form.special = True
    return form  # type: ignore[no-any-return]
