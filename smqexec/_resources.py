"""Resources: something of which there is so much, and which tasks take when they start.

A task takes all that it needs at its start, or nothing.  Where it lacks some it is
*held back*: it gets in line for each resource it needs, all in one step, and its
queue takes another.  Who is first in all its lines, and finds enough of each, is
*granted* them: they are its own from then on, and it goes next in its queue.  So
nobody takes of a resource before those who came to lack it earlier, and one that
needs much has its turn as any other: what is given back is kept for it meanwhile.
And as all get in line in one step, the earliest of all is first in all its lines:
lines never block each other.

A `Claim` is what one task takes.  It outlives the task where that *holds*: until
those have ended that were submitted to release it.

Records, guarded by the lock of the one scheduler whose tasks use the resource; what
happens to them is told in ``_lending``.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from itertools import takewhile
from operator import index
from typing import TYPE_CHECKING, Any
from weakref import ref

from ._nodes import Node

if TYPE_CHECKING:
    from ._lending import Lending
    from ._task import Task

_binding = threading.Lock()  # guards to which scheduler a resource belongs; nothing else is done meanwhile

# What has become of a claim.  Granted and taken: the task has it; kept: it does although the task has ended.
ASKED, LINED, GRANTED, TAKEN, KEPT, GIVEN = range(6)


class Resource:
    """Something of which there are *n* units, such as places on a disk, licences, or frames in memory.

    Tasks take units of it by ``queue.options(resources={resource: 2})``.  It
    belongs to the scheduler that first uses it, with all its queues.

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
        self.name = str.__str__(name)  # not of a class of the user's: it is put into words under the lock
        self.n = _units(n, f"the number of units of {self.name}")
        self._free = self.n
        self._holders: dict[Claim, None] = {}
        self._line: OrderedDict[Claim, None] = OrderedDict()  # who lacks it, first come first
        self._scheduler: ref[Lending] | None = None

    @property
    def free(self) -> int:
        """How many units nobody has, as things stand.  A task that is done has given back its own."""
        return self._free

    def _bind(self, scheduler: Lending) -> None:
        """Belong to *scheduler*.

        Raises:
            ValueError: It belongs to another.
        """
        with _binding:
            owner = None if self._scheduler is None else self._scheduler()
            if owner is None:
                self._scheduler = ref(scheduler)
            elif owner is not scheduler:
                raise ValueError(
                    f"{self!r} belongs to another scheduler; give all queues that use it one scheduler"
                )

    def __repr__(self) -> str:
        return f"<Resource {self.name}: {self._free} of {self.n} free>"


def amounts_of(resources: Any) -> tuple[tuple[Resource, int], ...]:
    """Check what was given as the resources of a task.

    Raises:
        TypeError: It is no dict of resources and ints.
        ValueError: An amount is less than 1, or more than there is.
    """
    if not isinstance(resources, Mapping):
        raise TypeError(f"resources must be a dict such as {{disk: 2}}, not {resources!r}")
    amounts: list[tuple[Resource, int]] = []
    for resource, number in resources.items():
        if not isinstance(resource, Resource):
            raise TypeError(
                f"resources must be a dict of Resource objects such as Resource('disk', 4), not {resource!r}"
            )
        number = _units(number, f"the units of {resource.name} that a task takes")
        if number > resource.n:
            most = resource.n
            raise ValueError(
                f"a task can't take {number} of {resource.name}: there are {most}, so ask for {most} at most"
            )
        amounts.append((resource, number))
    return tuple(amounts)


def _units(number: Any, what: str) -> int:
    try:
        units = index(number)
    except TypeError:
        units = None
    if units is None:
        raise TypeError(f"{what} must be an int, not {number!r}")
    if units < 1:
        raise ValueError(f"{what} must be 1 or more, not {units}")
    return units


class Claim:
    """What one task takes."""

    __slots__ = (
        "amounts", "holds", "lack", "name", "number", "released", "releasers", "serial", "state", "task",
    )  # fmt: skip

    def __init__(self, amounts: tuple[tuple[Resource, int], ...], holds: bool, name: str) -> None:
        self.amounts = amounts
        self.holds = holds  # it keeps them beyond its end
        self.name = str.__str__(name)  # of its task; as for a resource
        self.serial = self.number = 0  # of its task, once that has ended: see `numbered`
        self.state = ASKED
        self.task: Task[Any] | None = None  # until it has ended
        self.lack: Lack | None = None  # while it is in line
        self.releasers: dict[Task[Any], None] = {}  # those that have not ended
        self.released = False  # there were some, and all have ended

    def take(self) -> bool:
        """Take all of it now, or get in line; tell which."""
        if self.state == GRANTED:
            self.state = TAKEN
            return True
        if any(resource._line or resource._free < number for resource, number in self.amounts):
            self.state = LINED
            for resource, _ in self.amounts:
                resource._line[self] = None
            return False
        self._get()
        self.state = TAKEN
        return True

    def grant(self) -> bool:
        """Give it what it is in line for, if it is first and there is enough."""
        for resource, number in self.amounts:
            if next(iter(resource._line)) is not self or resource._free < number:
                return False
        for resource, _ in self.amounts:
            del resource._line[self]
        self._get()
        self.state = GRANTED
        return True

    def _get(self) -> None:
        for resource, number in self.amounts:
            resource._free -= number
            resource._holders[self] = None

    def give_back(self) -> None:
        """Have nothing any more, nor wait for it."""
        for resource, number in self.amounts:
            if self.state == LINED:
                del resource._line[self]
            elif self.state != ASKED:
                resource._free += number
                del resource._holders[self]
        self.state = GIVEN

    def needs(self) -> tuple[list[Any], list[Any]]:
        """The tasks that have to end before this one, which is in line, can have its turn.

        Returns:
            Those that have to in any case; and those of which perhaps only some have to.

        Cost: all that is before it in its lines.
        """
        must: dict[Any, None] = {}
        others: dict[Any, None] = {}
        for resource, number in self.amounts:
            for ahead in takewhile(lambda other: other is not self, resource._line):
                must[ahead.task] = None
                others.update(ahead.releasers)
            for holder in resource._holders:
                enough = must if resource.n - dict(holder.amounts)[resource] < number else others
                if holder.state == KEPT:
                    enough.update(holder.releasers)
                else:
                    enough[holder.task] = None
                    others.update(holder.releasers)  # where it does not fail
        return list(must), list(others)


class Lack(Node):
    """A relay that a task which was held back waits for: done when it is granted what it lacks."""

    __slots__ = ("claim",)

    def __init__(self, claim: Claim) -> None:
        super().__init__()
        self.claim = claim
