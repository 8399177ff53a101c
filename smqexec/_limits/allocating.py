"""Allocate resources: a task takes units as it starts, or is held back while it lacks some.

A worker finds out that a task lacks units after the planner has started the task.  So the task gets one more
dependency, an `AllocationWaiter`, and waits again: see `hold_back`.  End hooks return units, and
grant them to the next waiting tasks, in the same lock hold in which a task ends: no worker sees units that
are free while the first waiting task could use them.

Workers take tasks from the planner directly until the first task that takes resources is added, and then
through `Allocating._next_allocated`.

All methods are called under the scheduler's lock, which guards all allocations.
"""

from __future__ import annotations

from functools import partial
from typing import Any
from weakref import ref

from .._core.queue_state import QueueState
from .._core.state import State
from .._core.upward import searches
from .._planner import DONE
from .resources import Allocation


class Allocating:
    """The part of a scheduler that allocates resources to tasks."""

    def __init__(self, core: State) -> None:
        self._core = core  # the state; constant

    def add_allocation(self, task: Any) -> None:
        """Record what *task*, which has just been added, takes and releases."""
        # Each hook is added before the record that the hook removes: an exception may interrupt this between
        # any two steps, and the task is then cancelled, which runs its hooks.
        at_end = task._get_at_end()
        allocation: Allocation | None = task._allocation
        if allocation is not None:
            self._core.take_next = self._next_allocated  # from the first such task on
            allocation.task = task
            at_end.hooks += (partial(self._allocation_ended, allocation),)
        releases, task._releases = task._releases, ()
        for other in releases:
            at_end.hooks += (partial(self._releaser_ended, other),)
            other.releasers[task] = None
            for resource in other.resources() if searches else ():
                for waiting in resource._waiting:  # its units depend on one more task
                    self._tell_searches(waiting)

    def _tell_searches(self, allocation: Allocation) -> None:
        """Extend searches that have visited the task of *allocation*: its units need more tasks to end."""
        for search in list(searches):
            search.extend({ref(allocation.task)}, (), (iter((allocation.waiter,)), self._core))

    # The start of a task.

    def _next_allocated(self, queue: QueueState, limit: int, ended: Any = None) -> Any:
        """Do what `take` of the order does, and hold back tasks that lack units."""
        while True:
            node: Any = self._core.planner.order.take(queue, limit, ended)
            if node is None or self.allocate(node):
                return node
            ended = None  # `take` has completed it

    def allocate(self, task: Any) -> bool:
        """Give *task*, which has just started, its units; if it lacks some, hold it back and return False."""
        allocation: Allocation | None = task._allocation
        if allocation is None or allocation.take():
            return True
        waiter = allocation.wait()
        self._core.planner.add_relay(waiter)
        self._core.relays.add(waiter)
        self._core.planner.hold_back(task, waiter)
        self._tell_searches(allocation)
        self._core.wake_condition_waiters()
        return False

    # End hooks: each returns the nodes that became ready.

    def _allocation_ended(self, allocation: Allocation, task: Any) -> list[Any]:
        """Return the units of *task*, unless it keeps them beyond its end."""
        allocation.task = None
        allocation.serial, allocation.number = task._serial, task._number
        keeps = allocation.holds and not allocation.released and task._stage == DONE
        return [] if keeps else self._give_back(allocation)

    def _releaser_ended(self, allocation: Allocation, task: Any) -> list[Any]:
        """Release *allocation* if *task* is the last that releases it."""
        allocation.releasers.pop(task, None)
        return [] if allocation.releasers else self.release(allocation)

    def release(self, allocation: Allocation) -> list[Any]:
        """Keep no units beyond the end of the task; return the nodes that became ready."""
        allocation.released = True
        return self._give_back(allocation) if allocation.task is None else []

    def _give_back(self, allocation: Allocation) -> list[Any]:
        """Return all units, and give them to waiting tasks; return the nodes that became ready."""
        allocation.give_back()
        self._end_wait(allocation)
        freed: list[Any] = []
        # If one takes its units, another may be the first at its resources: so these are looked at again.
        resources = allocation.resources()
        while resources:
            first = next(iter(resources.pop()._waiting), None)
            if first is not None and first.take():
                freed += self._core.planner.done(self._end_wait(first))
                resources += first.resources()
        return freed

    def _end_wait(self, allocation: Allocation) -> Any:
        """Return the waiter of *allocation*, which needs it no more; None if it has none."""
        waiter, allocation.waiter = allocation.waiter, None
        self._core.relays.discard(waiter)
        return waiter
