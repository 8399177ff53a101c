"""Resources: countable things, such as licences, of which tasks take units when they start.

A task takes all its units at once, or none.  A task that lacks some is *held back*: it joins the lines of
all its resources in one step, and its queue starts another task.  A task that is first in all its lines is
*granted* its units as soon as there are enough, and is the next of its queue.  Units given back are kept
for the first task in line: first come, first served.  Lines never block each other: the task that has
waited longest is first in all its lines.

An `Allocation` is what one task takes.  It lasts as long as the task; with *holds* until the tasks that
release it have ended.  All is guarded by the lock of the scheduler whose tasks use the resource.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from itertools import takewhile
from typing import TYPE_CHECKING, Any
from weakref import ref

from .._calls.interrupts import uninterrupted
from .._planner import Node
from .checks import positive

if TYPE_CHECKING:
    from .._core.shared import State
    from .._futures.task import Task

_binding = threading.Lock()  # guards `Resource._scheduler`; held for that alone

# The states of an allocation.  QUEUED: in line, as the task lacks units.  GRANTED: it has its units, and the
# task is ready.  TAKEN: the task runs.  KEPT: the task has ended.  RETURNED: it has no units and wants none.
REQUESTED, QUEUED, GRANTED, TAKEN, KEPT, RETURNED = range(6)


class Resource:
    """Something of which there are *n* units, such as places on a disk, licences, or frames in memory.

    ::

        frames = Resource("frames", 2)
        frame = camera.options(resources={frames: 1}, hold=True).submit(expose)
        done = analysis.options(release=[frame]).submit(analyse, frame)

    A task takes its units when it starts, all or none, and gives them back as it ends.  With
    ``hold=True`` it gives them back when all tasks that were submitted to ``release`` it have ended; at
    once, if it fails.

    A task that lacks units waits in line for them, and its queue starts other tasks.  Lines are first
    come, first served: units given back are kept for the first task until there are enough, so a task
    that needs many has its turn.  That task is then the next of its queue.  `Task.why` names the units
    that a task lacks, and the tasks that hold them.

    A resource belongs to the scheduler that first uses it, with all its queues.

    Args:
        name: What to call it in messages.
        n: How many units there are.

    Raises:
        TypeError: *name* is no str, or *n* no int.
        ValueError: *n* is less than 1.
    """

    __slots__ = ("__weakref__", "_free", "_holders", "_line", "_scheduler", "n", "name")

    def __init__(self, name: str, n: int) -> None:
        if not isinstance(name, str):
            raise TypeError(f"the name of a resource must be a str, not {name!r}")
        # Not of a user's subclass of str: `why` formats it under the lock.
        self.name = str.__str__(name)
        self.n = positive(f"the number of units of {self.name}", n)
        # The next three are read and written under the lock of `_scheduler`.
        self._free = self.n
        self._holders: dict[Allocation, None] = {}
        self._line: OrderedDict[Allocation, None] = OrderedDict()  # lacking units; first come first
        self._scheduler: ref[State] | None = None  # whose tasks use it; written under `_binding`

    @property
    def free(self) -> int:
        """How many units nobody has, as things stand.  A task that is done has given back its own."""
        scheduler = None if self._scheduler is None else self._scheduler()
        if scheduler is None:
            return self._free
        # A task is seen to be done a moment before its lock hold, in which it gives back its units, ends.
        with scheduler.exclusive(reads=True):
            return self._free

    def _bind(self, scheduler: State) -> None:
        """Belong to *scheduler*, or raise a ValueError if the resource belongs to another."""
        with uninterrupted(), _binding:
            owner = None if self._scheduler is None else self._scheduler()
            if owner is None:
                self._scheduler = ref(scheduler)
            elif owner is not scheduler:
                raise ValueError(
                    f"{self!r} belongs to another scheduler; give all queues that use it one scheduler"
                )

    def __repr__(self) -> str:
        return f"<Resource {self.name}: {self.free} of {self.n} free>"


def amounts_of(resources: Any) -> tuple[tuple[Resource, int], ...]:
    """Return *resources*, what a task is to take, as pairs; raise a TypeError or ValueError if wrong."""
    if not isinstance(resources, Mapping):
        raise TypeError(f"resources must be a dict such as {{disk: 2}}, not {resources!r}")
    amounts: list[tuple[Resource, int]] = []
    for resource, number in resources.items():
        if not isinstance(resource, Resource):
            raise TypeError(
                f"resources must be a dict of Resource objects such as Resource('disk', 4), not {resource!r}"
            )
        number = positive(f"the units of {resource.name} that a task takes", number)
        if number > resource.n:
            most = resource.n
            raise ValueError(
                f"a task can't take {number} of {resource.name}: there are {most}, so ask for {most} at most"
            )
        amounts.append((resource, number))
    return tuple(amounts)


class Allocation:
    """What one task takes."""

    __slots__ = (
        "amounts", "holds", "name", "number", "released", "releasers", "serial", "state", "task", "waiter",
    )  # fmt: skip

    def __init__(self, amounts: tuple[tuple[Resource, int], ...], holds: bool, name: str) -> None:
        # All fields are written under the scheduler's lock, once the task is linked.
        self.amounts = amounts
        self.holds = holds  # the task keeps its units beyond its end
        self.name = str.__str__(name)  # of the task; for `why`, as `Resource.name`
        self.serial = self.number = 0  # of the task, once it has ended: see `numbered`
        self.state = REQUESTED
        self.task: Task[Any] | None = None  # until the task has ended
        self.waiter: AllocationWaiter | None = None  # while the allocation is in line
        self.releasers: dict[Task[Any], None] = {}  # tasks that release it, and have not ended
        self.released = False  # all tasks that release it have ended

    def resources(self) -> list[Resource]:
        return [resource for resource, _ in self.amounts]

    def take(self) -> bool:
        """Take all units as the task starts, and return True; or join the lines of all resources."""
        if self.state != GRANTED:
            if any(resource._line or resource._free < number for resource, number in self.amounts):
                self.state = QUEUED
                for resource in self.resources():
                    resource._line[self] = None
                return False
            self._get()
        self.state = TAKEN
        return True

    def grant(self) -> bool:
        """Get the units that it is in line for, if it is first in all lines and there are enough."""
        for resource, number in self.amounts:
            if next(iter(resource._line)) is not self or resource._free < number:
                return False
        for resource in self.resources():
            del resource._line[self]
        self._get()
        self.state = GRANTED
        return True

    def _get(self) -> None:
        for resource, number in self.amounts:
            resource._free -= number
            resource._holders[self] = None

    def give_back(self) -> None:
        """Give back all units; leave the lines."""
        for resource, number in self.amounts:
            if self.state == QUEUED:
                del resource._line[self]
            elif self.state != REQUESTED:
                resource._free += number
                del resource._holders[self]
        self.state = RETURNED

    def blockers(self) -> list[Any]:
        """Return the tasks whose ends may give this one its units.  Cost: all that lacks or holds units."""
        found: dict[Any, None] = {}
        for resource in self.resources():
            ahead = takewhile(lambda other: other is not self, resource._line)
            for other in [*ahead, *resource._holders]:
                found |= other.releasers if other.task is None else {other.task: None, **other.releasers}
        return list(found)


class AllocationWaiter(Node):
    """A relay that a held-back task depends on: done when the task is granted its units."""

    __slots__ = ("allocation",)

    def __init__(self, allocation: Allocation) -> None:
        super().__init__()
        self.allocation = allocation
