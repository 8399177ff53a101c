"""Options of tasks: everything that a call may be submitted with besides its function and arguments.

All tasks of a `Submitter` share one `Options`, which never changes, so any thread may read it without a lock.
No task keeps it, as its futures and context would live as long as the task.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextvars import Context
from math import isnan
from typing import Any, NamedTuple

from .._calls.kinds import FUTURE, SETTLED, kind_of, settled
from .._core.state import State
from .._futures.task import Task
from .checks import check_flags, integer
from .resources import Allocation, Resource

#: The options of all queues; an engine may know more.
KNOWN = frozenset({"name", "after", "context", "timeout", "resources", "hold", "release"})


class Options(NamedTuple):
    """The checked options of a task: see `Queue.options`."""

    name: str | None = None
    after: tuple[Future[Any] | settled[Any], ...] = ()
    context: Context | None = None
    timeout: float | None = None
    engine: Mapping[str, Any] = {}
    resources: Mapping[Resource, int] = {}
    hold: bool = False
    #: The allocations whose units return when this task, and all others that release them, have ended.
    releases: tuple[Allocation, ...] = ()

    def bind(self, scheduler: State) -> None:
        """Make the resources that the task takes or releases belong to its scheduler, or raise."""
        for amounts in (self.resources, *(other.amounts for other in self.releases)):
            for resource in amounts:
                resource._bind(scheduler)


NO_OPTIONS = Options()


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
    """Return the checked arguments of `Queue.options`; the queue's engine has the options *known*, too."""
    # Dask has an option of the same name.  Its keys are names; the keys of ours are `Resource` objects.
    if "resources" in known and isinstance(resources, Mapping):
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
    amounts = {} if resources is None else _amounts(resources)
    check_flags(hold=hold)
    if hold and not amounts:
        raise ValueError("hold=True keeps the resources that a task takes: give resources={...} too")
    futures = _listed("after", after, "futures and settled(future)", _is_future)
    tasks = _listed("release", release, "tasks", lambda task: isinstance(task, Task))
    for task in tasks:
        if task._allocation is None or not task._allocation.holds:
            raise ValueError(f"there is nothing to release: {task!r} was not submitted with hold=True")
    releases = tuple(task._allocation for task in tasks)
    return Options(name, futures, context, timeout, others, amounts, hold, releases)


def _amounts(resources: Any) -> dict[Resource, int]:
    """Return *resources*, the option, as a dict of its own; raise if it is invalid."""
    if not isinstance(resources, Mapping):
        raise TypeError(f"resources must be a dict such as {{disk: 2}}, not {resources!r}")
    amounts: dict[Resource, int] = {}
    for resource, number in resources.items():
        if not isinstance(resource, Resource):
            raise TypeError(f"the keys of resources must be such as Resource('disk', 4), not {resource!r}")
        number = integer(f"the units of {resource.name} that a task takes", number, 1)
        if number > resource.n:
            raise ValueError(f"a task can't take {number} of {resource.name}: there are {resource.n}")
        amounts[resource] = number
    return amounts


def _is_future(value: object) -> bool:
    return kind_of(type(value)) in (FUTURE, SETTLED)


def _listed(name: str, given: Any, contents: str, fits: Callable[[Any], bool]) -> tuple[Any, ...]:
    """Return *given*, the value of the option *name*, as a tuple; raise a TypeError if something is unfit."""
    # A task can be iterated over: that would wait for its values.
    if _is_future(given) or not isinstance(given, Iterable):
        raise TypeError(f"{name} must be a list of {contents}, not {given!r}")
    listed = tuple(given)
    for each in listed:
        if not fits(each):
            raise TypeError(f"{name} must be a list of {contents}, but holds {each!r}")
    return listed
