"""Resources: countable things, such as licences, of which tasks take units when they start.

A worker finds out that a task *lacks units* after the planner has started the task.  So the task gets one
more dependency, its `Allocation`, and waits again.  End hooks return units, and grant them to waiting tasks,
in the lock hold in which a task ends.

An allocation joins all its resources in one step, and takes its units when it is the first at each and there
are enough.  No deadlock: the allocation that has waited longest is the first at all its resources.  The lock
of the scheduler whose tasks use the resource guards all fields.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import takewhile
from typing import Any
from weakref import ref

from .._calls.interrupts import uninterrupted
from .._core.queue_state import QueueState, searches
from .._core.state import State
from .._futures.names import known_as
from .._futures.task import Task
from .._planner.nodes import DONE, Node
from .checks import integer

_binding = threading.Lock()  # guards `Resource._scheduler`, and no other lock is taken meanwhile


class Resource:
    """Something of which there are *n* units, such as places on a disk, licences, or frames in memory.

    ::

        frames = Resource("frames", 2)
        frame = camera.options(resources={frames: 1}, hold=True).submit(expose)
        done = analysis.options(release=[frame]).submit(analyse, frame)

    A task takes its units when it starts, all or none, and gives them back as it ends.  With
    ``hold=True`` it gives them back when all tasks that were submitted to ``release`` it have ended; at
    once, if it fails.

    A task that lacks units waits for them, and its queue starts other tasks.  First come, first served:
    units given back are kept for the task that has waited longest until there are enough, so a task
    that needs many gets them.  Under ``order="newest"`` that task is then the next of its queue.
    `Task.why` names the units that a task lacks, and the tasks that hold them.

    A resource belongs to the scheduler that first uses it, with all its queues.

    Args:
        name: What to call it in messages.
        n: How many units there are.

    Raises:
        TypeError: *name* is no str, or *n* no int.
        ValueError: *n* is less than 1.
    """

    __slots__ = ("__weakref__", "_free", "_holders", "_scheduler", "_waiting", "n", "name")

    def __init__(self, name: str, n: int) -> None:
        if not isinstance(name, str):
            raise TypeError(f"the name of a resource must be a str, not {name!r}")
        # Constant, as `n`.  Never of a user's subclass of str: `why` formats it under the lock.
        self.name = str.__str__(name)
        self.n = integer(f"the number of units of {self.name}", n, 1)
        # Units that no allocation has.  The lock of `_scheduler` guards this field and the next two.
        self._free = self.n
        # Each `Allocation` that has units, with their number.
        self._holders: dict[Allocation, int] = {}
        # Allocations that wait for units, first come first.  Ordered: its first entry is found in one step.
        self._waiting: OrderedDict[Allocation, None] = OrderedDict()
        # The scheduler whose tasks use the resource; written under `_binding`.
        self._scheduler: ref[State] | None = None

    @property
    def free(self) -> int:
        """The number of units that no task has at the moment.  A task that is done has given back its own."""
        scheduler = None if self._scheduler is None else self._scheduler()
        if scheduler is None:
            return self._free
        # Under the lock: `done()` of a task is True a moment before the same lock hold returns its units.
        with scheduler.reading():
            return self._free

    def _bind(self, scheduler: State) -> None:
        """Make the resource belong to *scheduler*; raise a ValueError if it belongs to another."""
        with uninterrupted(), _binding:
            owner = None if self._scheduler is None else self._scheduler()
            if owner is None:
                self._scheduler = ref(scheduler)
        if owner is not None and owner is not scheduler:
            raise ValueError(f"{self!r} belongs to another scheduler: give all its queues one scheduler")

    def __repr__(self) -> str:
        return f"<Resource {self.name}: {self.free} of {self.n} free>"


class Allocation(Node):
    """The units that one task takes.  A relay, which the task depends on while it lacks units."""

    __slots__ = ("amounts", "holds", "name", "released", "releasers", "task")

    def __init__(self, amounts: Mapping[Resource, int], holds: bool, name: str) -> None:
        super().__init__()
        # The number of units of each resource; never changed.
        self.amounts = amounts
        # The option: units stay beyond the end of the task.  Constant.
        self.holds = holds
        # The task's name, also never of a subclass of str; with its number once the task has ended.
        self.name = str.__str__(name)
        # The task, from its submission to its end.
        self.task: Task[Any] | None = None
        # Tasks that release the allocation and have not ended.
        self.releasers: dict[Task[Any], None] = {}
        # No unit stays beyond the end of the task: all releasers have ended, or its submit raised.
        self.released = False

    def take(self) -> bool:
        """Return True if it has all units; it takes them now, if none is missing and no other came first."""
        if any(self in resource._holders for resource in self.amounts):
            return True
        for resource, number in self.amounts.items():
            if next(iter(resource._waiting), self) is not self or resource._free < number:
                return False
        for resource, number in self.amounts.items():
            resource._waiting.pop(self, None)
            resource._free -= number
            resource._holders[self] = number
        return True

    def blockers(self) -> list[Task[Any]]:
        """Return the tasks whose ends may give this one its units: they hold units, or have waited longer."""
        found: dict[Task[Any], None] = {}
        for resource in self.amounts:
            ahead = takewhile(lambda other: other is not self, resource._waiting)
            for other in [*ahead, *resource._holders]:
                if other.task is not None:
                    found[other.task] = None
                found |= other.releasers
        return list(found)


class Allocating:
    """How tasks take and return units.  The scheduler's lock is held in all methods."""

    def __init__(self, core: State) -> None:
        self._core = core  # the state; constant

    def add_allocation(self, task: Task[Any]) -> None:
        """Record what *task*, which has just been added, takes and releases."""
        # Each hook is added before the record that the hook removes: an exception may interrupt this between
        # any two steps, and the task is then cancelled, which runs its hooks.
        at_end = task._get_at_end()
        allocation: Allocation | None = task._allocation
        if allocation is not None:
            # From the first such task on: else workers take tasks from the planner directly.
            self._core.take_next = self._next_allocated
            allocation.task = task
            at_end.hooks += (partial(self._allocation_ended, allocation),)
        for other in task._releases:
            at_end.hooks += (partial(self._releaser_ended, other),)
            other.releasers[task] = None
            for resource in other.amounts:
                self._tell_searches(resource._waiting)  # units for these depend on one more task

    def _tell_searches(self, allocations: Iterable[Allocation]) -> None:
        """Extend searches that have visited the tasks of *allocations*, which need more tasks to end."""
        for search in list(searches):
            for allocation in allocations:
                search.extend((ref(allocation.task),), (iter((allocation,)), self._core))

    def _next_allocated(self, queue: QueueState, limit: int, ended: Any = None) -> Any:
        """Do what `take` of the order does, and hold back tasks that lack units."""
        while True:
            node: Any = self._core.planner.order.take(queue, limit, ended)
            if node is None or self.allocate(node):
                return node
            ended = None  # `take` has completed it

    def allocate(self, task: Task[Any]) -> bool:
        """Give *task*, which has just started, its units; if it lacks some, hold it back and return False."""
        allocation: Allocation | None = task._allocation
        if allocation is None or allocation.take():
            return True
        for resource in allocation.amounts:
            resource._waiting[allocation] = None
        self._core.planner.add_relay(allocation)
        self._core.relays.add(allocation)
        self._core.planner.hold_back(task, allocation)
        self._tell_searches([allocation])
        return False

    # End hooks, and what they call: each returns the nodes that became ready.

    def _allocation_ended(self, allocation: Allocation, task: Task[Any]) -> list[Any]:
        """Return the units of *task*, unless it keeps them beyond its end."""
        allocation.task = None
        allocation.name = known_as(task, allocation.name)
        keeps = allocation.holds and not allocation.released and task._stage == DONE
        return [] if keeps else self._give_back(allocation)

    def _releaser_ended(self, allocation: Allocation, task: Task[Any]) -> list[Any]:
        """Release *allocation* if *task* is the last that releases it."""
        allocation.releasers.pop(task, None)
        return [] if allocation.releasers else self.release(allocation)

    def release(self, allocation: Allocation) -> list[Any]:
        """Keep no units beyond the end of the task."""
        allocation.released = True
        return self._give_back(allocation) if allocation.task is None else []

    def _give_back(self, allocation: Allocation) -> list[Any]:
        """Return all units of *allocation*, or end its wait; give what is free to waiting tasks."""
        for resource in allocation.amounts:
            resource._waiting.pop(allocation, None)
            resource._free += resource._holders.pop(allocation, 0)
        ended = [allocation]
        # If one takes its units, another may be the first at its resources: so these are looked at again.
        resources = list(allocation.amounts)
        while resources:
            first = next(iter(resources.pop()._waiting), None)
            if first is not None and first.take():
                ended.append(first)
                resources += first.amounts
        self._core.relays.difference_update(ended)
        return [node for each in ended for node in self._core.planner.done(each)]
