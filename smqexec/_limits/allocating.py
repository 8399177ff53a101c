"""What a scheduler does about resources: it gives units to tasks, and holds back tasks that lack some.

When a task is found to lack units, the order has already started it.  So it gets one more dependency,
an `AllocationWaiter`, and waits again: see `Planner.hold_back`.

Only tasks with an allocation, or that release one, are looked at here.  Until there is one, a
scheduler's workers take tasks from the order itself.
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
        self._core = core
        self._allocates = False  # some task takes resources

    def bind_resources(self, resources: Iterable[Resource]) -> None:
        """Make *resources* belong to this scheduler.

        Raises:
            ValueError: One belongs to another scheduler.
        """
        for resource in resources:
            resource._bind(self._core)

    def add_allocation(self, task: Any) -> None:
        """Note what *task*, which was just added, takes and releases.  The lock is held.

        An exception may strike anywhere here: what was noted is undone by hooks that are there before.
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
                for waiting in resource._line:  # it needs one task more
                    self._tell_searches(waiting)

    def _tell_searches(self, allocation: Allocation) -> None:
        for needs in list(searches):
            needs.held_back(self._core, allocation)

    # A task starts.

    def starter(self) -> Callable[..., Any]:
        """Return what gives a run its next task."""
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
        """Give *task*, just started, its units; if it lacks some, hold it back and return False.  Locked."""
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

    # End hooks: a task gives back its units.

    def _allocation_ended(self, allocation: Allocation, task: Any) -> list[Any]:
        """Give back what *task* had, unless it keeps that."""
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
        """Give back what *allocation* keeps, if *task* was the last that was to release it."""
        allocation.releasers.pop(task, None)
        if allocation.releasers:
            return []
        allocation.released = True
        return self._give_back(allocation) if allocation.state == KEPT else []

    def stop_holding(self, allocation: Allocation) -> list[Any]:
        """Keep nothing beyond the task's end, as nobody knows of it; return as an end hook does.  Locked."""
        allocation.holds = False
        return self._give_back(allocation) if allocation.state == KEPT else []

    def _give_back(self, allocation: Allocation) -> list[Any]:
        """Give back all units; grant them to tasks in line, and return those, which are ready now."""
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
