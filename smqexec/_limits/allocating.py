"""Allocation of resources: tasks get units as they start, and are held back while they lack some.

When a worker finds that a task lacks units, the order has already started the task.  So the task gets one
more dependency, an `AllocationWaiter`, and waits again: see `Planner.hold_back`.  End hooks give units back
and grant them to the next tasks in line, in the lock hold in which a task ends.

Until a task takes resources, workers take tasks from the order itself; from then on through
`Allocating._next_allocated`.  All methods but `bind_resources` are called under the scheduler's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from .._core.searches import searches
from .._core.shared import State
from .._core.state import QueueState
from .._planner import DONE, SEARCHING
from .resources import KEPT, TAKEN, Allocation, AllocationWaiter, Resource


class Allocating:
    """How the tasks of a scheduler take resources."""

    def __init__(self, core: State) -> None:
        self._core = core  # set once
        self._allocates = False  # a task that takes resources was added; written under the lock

    def bind_resources(self, resources: Iterable[Resource]) -> None:
        """Make *resources* belong to this scheduler; raise a ValueError if one belongs to another."""
        for resource in resources:
            resource._bind(self._core)

    def add_allocation(self, task: Any) -> None:
        """Record what *task*, which was just added, takes and releases.

        Each hook stands before the record that the hook undoes: an exception may interrupt this anywhere.
        """
        at_end = task._get_at_end()
        allocation: Allocation | None = task._allocation
        if allocation is not None:
            self._allocates = True
            self._core._next = self._next_allocated
            allocation.task = task
            at_end.hooks += (partial(self._allocation_ended, allocation),)
        releases, task._releases = task._releases, ()
        for other in releases:
            at_end.hooks += (partial(self._releaser_ended, other),)
            other.releasers[task] = None
            for resource in other.resources() if searches else ():
                for waiting in resource._line:  # its units depend on one task more
                    self._tell_searches(waiting)

    def _tell_searches(self, allocation: Allocation) -> None:
        for needs in list(searches):
            needs.held_back(self._core, allocation)

    # A task starts.

    def starter(self) -> Callable[..., Any]:
        """Return what gives a worker its next task."""
        return self._next_allocated if self._allocates else self._core.planner.order.take

    def _next_allocated(
        self, queue: QueueState, limit: int | None = None, ended: Any = None, freed: Any = None
    ) -> Any:
        while True:
            node: Any = self._core.planner.order.take(queue, limit, ended, freed)
            if node is None or node is SEARCHING or self.allocate(node):
                return node
            ended = None

    def allocate(self, task: Any) -> bool:
        """Give *task*, just started, its units; if it lacks some, hold it back and return False."""
        allocation: Allocation | None = task._allocation
        if allocation is None or allocation.take():
            return True
        waiter = allocation.waiter = AllocationWaiter(allocation)
        self._core.planner.add(waiter, None)
        self._core._outside.add(waiter)
        self._core.planner.hold_back(task, waiter)
        self._tell_searches(allocation)
        if self._core._watchers:
            self._core._tell_watchers()
        return False

    # End hooks: each returns the nodes that became ready.

    def _allocation_ended(self, allocation: Allocation, task: Any) -> list[Any]:
        """Give back the units of *task*, unless it keeps them beyond its end."""
        allocation.task = None
        allocation.serial, allocation.number = task._serial, task._number
        waiter, allocation.waiter = allocation.waiter, None
        if waiter is not None:
            self._core._outside.discard(waiter)
        if allocation.holds and not allocation.released and allocation.state == TAKEN and task._stage == DONE:
            allocation.state = KEPT
            return []
        return self._give_back(allocation)

    def _releaser_ended(self, allocation: Allocation, task: Any) -> list[Any]:
        """Give back the units that *allocation* keeps, if *task* is the last that releases it."""
        allocation.releasers.pop(task, None)
        if allocation.releasers:
            return []
        allocation.released = True
        return self._give_back(allocation) if allocation.state == KEPT else []

    def stop_holding(self, allocation: Allocation) -> list[Any]:
        """Keep nothing beyond the task's end, as its submit raised.  Returns what an end hook returns."""
        allocation.holds = False
        return self._give_back(allocation) if allocation.state == KEPT else []

    def _give_back(self, allocation: Allocation) -> list[Any]:
        """Give back all units, and grant them to tasks in line."""
        allocation.give_back()
        freed: list[Any] = []
        resources = allocation.resources()
        while resources:
            line = resources.pop()._line
            if line and (first := next(iter(line))).grant():
                waiter, first.waiter = first.waiter, None
                assert waiter is not None
                self._core._outside.discard(waiter)
                freed += self._core.planner.done(waiter)
                resources += first.resources()
        return freed
