"""Options: what a task is submitted with, besides its call.

They are checked once, when `Queue.options` is called, and shared by all tasks
submitted with them.  A task keeps its options for as long as it lives, but without
the futures and the context: it releases those when it starts, or is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from contextvars import Context
from math import isnan
from typing import Any, TypeVar, cast

from .._calls.kinds import FUTURE, SETTLED, kind_of, settled
from .._futures.task import Task
from .resources import Allocation, Resource, amounts_of

R = TypeVar("R")

#: The options of all queues; an engine may know more.
KNOWN = frozenset({"name", "after", "context", "timeout", "resources", "hold", "release"})


class Options:
    """A record of options; not changed once it is made."""

    __slots__ = ("after", "context", "engine", "hold", "kept", "name", "releases", "resources", "timeout")

    def __init__(
        self,
        name: str | None = None,
        after: tuple[tuple[Future[Any], bool], ...] = (),
        context: Context | None = None,
        timeout: float | None = None,
        engine: dict[str, Any] | None = None,
        resources: tuple[tuple[Resource, int], ...] = (),
        hold: bool = False,
        releases: tuple[Allocation, ...] = (),
    ) -> None:
        self.name = name
        #: Futures that must be done before, each with True if any outcome will do: as in a template.
        self.after = after
        self.context = context
        #: Seconds to wait for room where the queue has a pending limit; None for no limit.
        self.timeout = timeout
        #: What the queue's engine is told.
        self.engine = engine or {}
        #: The units that the task takes; whether it keeps them beyond its end; which allocations it releases.
        self.resources = resources
        self.hold = hold
        self.releases = releases
        #: These options as a task keeps them, if it keeps not all of them.
        self.kept: Options | None = None
        if after or context is not None or releases:
            self.kept = Options(name, timeout=timeout, engine=engine, resources=resources, hold=hold)

    def within(self, timeout: float) -> Options:
        """These options, with a wait for room of *timeout* seconds at most."""
        least = max(0, timeout if self.timeout is None else min(timeout, self.timeout))
        units = self.resources, self.hold, self.releases
        return Options(self.name, self.after, self.context, least, self.engine, *units)

    def bound(self) -> list[Resource]:
        """The resources that must belong to the task's scheduler: those that it takes, and releases."""
        taken = [resource for resource, _ in self.resources]
        return taken + [resource for other in self.releases for resource in other.resources()]

    def __repr__(self) -> str:
        words = [f"{name}={getattr(self, name)!r}" for name in ("name", "timeout")]
        words += [f"{number} of {resource.name}" for resource, number in self.resources]
        words += [f"{name}={value!r}" for name, value in self.engine.items()]
        return ", ".join(word for word in words if not word.endswith("=None")) or "no name"


NO_OPTIONS = Options()


class OptionsTask(Task[R]):
    """A task submitted with options, or to a queue with rules.  Plain tasks have no slots for these."""

    # `_after`, `_releases` and `_reservation` until it is taken in; `_barrier` until it starts.
    __slots__ = ("_after", "_allocation", "_barrier", "_options", "_releases", "_reservation")


def check_flags(**flags: object) -> None:
    """Refuse what is neither True nor False.

    Raises:
        TypeError: It names the flag.
    """
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise TypeError(f"{name} must be True or False, not {flag!r}")


def read(
    known: frozenset[str],
    name: str | None,
    after: Iterable[Future[Any] | settled[Any]],
    context: Context | None,
    timeout: float | None,
    resources: Mapping[Any, int] | None,
    hold: bool,
    release: Iterable[Task[Any]],
    others: dict[str, Any],
) -> Options:
    """Check what `Queue.options` was given.

    Args:
        known: The names of the options that the queue's engine knows.
        name: See `Queue.options`, as for those that follow.
        after: See there.
        context: See there.
        timeout: See there.
        resources: See there.
        hold: See there.
        release: See there.
        others: What else was given, by name.

    Raises:
        TypeError: As there.
        ValueError: As there.
    """
    if "resources" in known and isinstance(resources, Mapping):  # the engine has some, too, by name
        named = {key: number for key, number in resources.items() if isinstance(key, str)}
        if named:
            others = {**others, "resources": named}
            resources = {key: number for key, number in resources.items() if key not in named}
    for other in others:
        if other not in known:
            names = ", ".join(sorted(KNOWN | known))
            raise TypeError(f"there is no option {other!r}; this queue knows {names}")
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be a str, not {name!r}")
    if context is not None and not isinstance(context, Context):
        raise TypeError(f"context must be a contextvars.Context, not {context!r}")
    if timeout is not None and (not isinstance(timeout, (int, float)) or isinstance(timeout, bool)):
        raise TypeError(f"timeout must be a number of seconds or None, not {timeout!r}")
    if timeout is not None and (timeout < 0 or isnan(timeout)):
        raise ValueError(f"timeout must be a number of seconds, 0 or more, not {timeout!r}")
    amounts = () if resources is None else amounts_of(resources)
    check_flags(hold=hold)
    if hold and not amounts:
        raise ValueError("hold=True keeps the resources that a task takes: give resources={...} too")
    return Options(
        name, _order(after), context, timeout, others, amounts, hold, tuple(_allocations_of(release))
    )


def _listed(name: str, given: Iterable[Any], what: str, kinds: tuple[int, ...]) -> list[Any]:
    """The entries of *given*, the option *name*: a list of *what*, and not one alone, of one of *kinds*."""
    if kind_of(type(given)) in kinds:
        raise TypeError(f"{name} must be a list of {what}, not one: write {name}=[{given!r}]")
    try:
        entries = list(given)
    except TypeError:
        entries = None
    if entries is None:
        raise TypeError(f"{name} must be a list of {what}, not {given!r}")
    return entries


def _allocations_of(release: Iterable[Task[Any]]) -> list[Allocation]:
    allocations: list[Allocation] = []
    for task in _listed("release", release, "tasks", (FUTURE,)):
        if not isinstance(task, Task):
            raise TypeError(f"release must be a list of tasks, but holds {task!r}")
        allocation = task._allocation
        if allocation is None or not allocation.holds:
            raise ValueError(f"there is nothing to release: {task!r} was not submitted with hold=True")
        allocations.append(allocation)
    return allocations


def _order(after: Iterable[Future[Any] | settled[Any]]) -> tuple[tuple[Future[Any], bool], ...]:
    found: list[tuple[Future[Any], bool]] = []
    for entry in _listed("after", after, "futures", (FUTURE, SETTLED)):
        kind = kind_of(type(entry))
        if kind == SETTLED:
            found.append((cast("settled[Any]", entry).future, True))
        elif kind == FUTURE:
            found.append((cast("Future[Any]", entry), False))
        else:
            raise TypeError(f"after must be a list of futures and settled(future), but holds {entry!r}")
    return tuple(found)
