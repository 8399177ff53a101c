"""What a scheduler does about resources: it lends them to tasks, and holds back those that lack some.

A task that lacks something has had its turn: it was taken, and with that began.  So
it gets a further dependency, a `Lack`, and waits again.  As it is granted what it
lacks it becomes ready, and is the next of its queue: see `DependencyPlanner.hold_back`.

Only a task with a claim is ever looked at here.  As long as a scheduler has lent
nothing, its runs take tasks from the order itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from ._needs import searches
from ._nodes import DONE, RUNNING, SEARCHING, Node
from ._resources import GIVEN, KEPT, TAKEN, Claim, Lack, Resource
from ._slots import Slots
from ._task import Foreign
from ._waiting import Waiting


class Lending(Waiting):
    """A scheduler that lends resources."""

    if TYPE_CHECKING:
        _outside: set[Node]
        _next: Callable[..., Any]

    def __init__(self, order: str, stopped: bool) -> None:
        super().__init__(order, stopped)
        self._lends = False

    def check_lending(self, resources: Iterable[tuple[Resource, int]], releases: Iterable[Claim]) -> None:
        """See that what tasks of this scheduler are to take and release is its own.

        Raises:
            ValueError: It is another scheduler's.
        """
        for resource, _ in resources:
            resource._bind(self)
        for claim in releases:
            for resource, _ in claim.amounts:
                resource._bind(self)

    def lend(self, task: Any) -> None:
        """Note what *task*, which was just added, takes and releases.  The lock is held."""
        claim: Claim | None = task._claim
        watch = task._watched()
        if claim is not None:
            self._lends = True
            self._next = self._next_fitting
            claim.task = task
            watch.hooks += (partial(self._claim_ended, claim),)
        releases, task._releases = task._releases, ()
        for other in releases:
            if other.state != GIVEN:
                watch.hooks += (partial(self._releaser_ended, other),)
                other.releasers[task] = None
                self._tell_searches(other)

    def _tell_searches(self, claim: Claim) -> None:
        """Let searches look at who waits for what *claim* has: there is a task more that releases it."""
        for resource, _ in claim.amounts if searches else ():
            for waiting in resource._line:
                for needs in list(searches):
                    needs.held_back(self, waiting)

    def deadlocked(self) -> bool:
        """Whether nothing can go on, as all that waits lacks resources that tasks which have ended keep.

        Unless somebody submits what releases them.  The lock is held.
        """
        if any(slots.ready or slots.running for slots in self._slots):
            return False
        lacks = [relay for relay in self._outside if type(relay) is Lack]
        if not lacks or any(type(relay) is Foreign and relay.dependents for relay in self._outside):
            return False
        for lack in lacks:
            for resource, _ in lack.claim.amounts:
                for holder in resource._holders:
                    # One whose task has just ended is about to give back.
                    if holder.state != KEPT or any(task.state >= RUNNING for task in holder.releasers):
                        return False
        return True

    # A task starts.

    def take(self, slots: Slots, limit: int | None = None) -> Any:
        """What goes first in *slots*, and lacks nothing, as `DependencyPlanner.take`."""
        return self._next(slots, limit)

    def _next_fitting(self, slots: Slots, limit: int | None = None) -> Any:
        while True:
            node: Any = self.planner.order.take(slots, limit)
            if node is None or node is SEARCHING or self.takes(node):
                return node

    def takes(self, task: Any) -> bool:
        """Take what *task*, just started, needs; where it lacks some, hold it back.  The lock is held."""
        claim: Claim | None = task._claim
        if claim is None or claim.take():
            return True
        lack = claim.lack = Lack(claim)
        self.planner.admit(lack, None)
        self._outside.add(lack)
        self.planner.hold_back(task, lack)
        for needs in list(searches):
            needs.held_back(self, claim)
        if self._watchers:
            self._tell_watchers()
        return False

    # It gives back.

    def _claim_ended(self, claim: Claim, task: Any) -> list[Any]:
        """The end hook of *task*: give back what it had, unless it keeps that."""
        claim.task = None
        claim.serial, claim.number = task._serial, task.number
        lack, claim.lack = claim.lack, None
        if lack is not None:
            self._outside.discard(lack)
        if claim.holds and not claim.released and claim.state == TAKEN and task.state == DONE:
            claim.state = KEPT
            return []
        return self._give_back(claim)

    def _releaser_ended(self, claim: Claim, task: Any) -> list[Any]:
        """The end hook of *task*, which releases *claim*: give that back, if *task* was the last to end."""
        claim.releasers.pop(task, None)
        if claim.releasers:
            return []
        claim.released = True
        return self._give_back(claim) if claim.state == KEPT else []

    def _give_back(self, claim: Claim) -> list[Any]:
        """Let *claim* have nothing any more, and others have it; return the nodes that became ready."""
        claim.give_back()
        return self._serve(resource for resource, _ in claim.amounts)

    def _serve(self, resources: Iterable[Resource]) -> list[Any]:
        """Grant what is free of *resources* to those first in line; return the nodes that became ready."""
        todo = list(resources)
        freed: list[Any] = []
        while todo:
            line = todo.pop()._line
            if line and (head := next(iter(line))).grant():
                lack, head.lack = head.lack, None
                assert lack is not None
                self._outside.discard(lack)
                freed += self.planner.done(lack)
                todo += [resource for resource, _ in head.amounts]
        return freed
