"""The verbs, and the graph: which node waits for which.  The order decides which ready node starts first.

A node waits while a dependency is not done.  No method but `__init__` checks its arguments.
"""

from collections import deque  # noqa: I001
from collections.abc import Iterable
from itertools import count
from typing import Any

from .line import HELD_BACK
from .newest import NewestFirst
from .nodes import (
    DONE, ENDED, NEW, NONE, READY, RUNNING, STRIDE, WAITING, Group, Node, PlannedQueue, as_few,
    dependencies_of, dependents_of, forget, link, linked, own_dependents, release_dependencies, settle,
)  # fmt: skip
from .oldest import OldestFirst


class DependencyPlanner:
    """The order of tasks that depend on each other, over several queues: "newest" or "oldest" first.

    Not thread-safe: the owner serialises all calls.  `order.take` starts the node that goes first.

    Cost: O(1) for each node and dependency, and O(log n) for nodes that are not added or ready in order; the
    steps of the searches of "newest" are counted in `order.steps`.  `rebuild` visits the whole graph.
    """

    def __init__(self, order: str) -> None:
        if order not in ("newest", "oldest"):
            raise ValueError(f"order must be 'newest' or 'oldest', not {order!r}")
        # Decides which ready node goes first: a cache over the graph.  The owner calls `take` of it.  The
        # planner calls the others for each event of a node: `put` (it was added), `list_ready` (it became
        # ready), `leave` (it is about to end or start), `left` (it has), `promote`.
        self.order: NewestFirst | OldestFirst = NewestFirst() if order == "newest" else OldestFirst()
        # The number of the last submission or, newest first, promotion.
        self._number = 0

    def add_queue(self, queue: PlannedQueue) -> None:
        """Register *queue*, which has no node."""
        queue.line = self.order.new_line()
        queue.held_back = {}

    def group(self) -> Group:
        """Return the numbers of one submission of several nodes, the first of which counts as the newest."""
        self._number += STRIDE
        return count(self._number + STRIDE - 1, -1)

    def add(
        self, node: Node, queue: PlannedQueue, dependencies: Any = None, group: Group | None = None
    ) -> None:
        """Add new *node* as the newest sink, or as the next of *group*.

        *dependencies*: None, a node, or a list in argument order, now the planner's.  None of these is done.
        """
        node._queue = queue
        if dependencies is None:
            node._stage = READY
            queue.ready += 1
            line = queue.line
        else:
            if type(dependencies) is not list and dependencies._dependents is None:
                # `link`, written out for the next of a chain: it saves a call.
                node._dependencies = dependencies
                dependencies._dependents = node
                node._missing = 1
            else:
                node._missing = link(node, dependencies)
            node._stage = WAITING
            queue.waiting += 1
            line = self.order.todo
        if group is not None:
            node._number = next(group)
            self.order.put(node)
            return
        node._number = self._number = self._number + STRIDE
        if line is not None:
            # `Line.push`, written out for a node that is newer than all others: it saves a call.
            things = line.things
            node._place = len(things)
            things.append(node)

    def add_relay(self, node: Node, dependencies: Any = None) -> None:
        """Add a relay, which ends after its *dependencies*; or, if `_ended_by_owner`, only by `done`."""
        missing = 0 if dependencies is None else link(node, dependencies)
        if node._ended_by_owner or not missing:
            missing += 1  # for `done`
        node._missing = missing
        node._stage = WAITING

    def start(self, node: Node) -> None:
        """Start ready *node*, whatever would go first."""
        self.order.leave(node)
        node._stage = RUNNING
        # So `left` lists nothing again: all that was visited through *node* has ended.
        node._search = None
        node._queue.ready -= 1
        node._queue.running += 1
        release_dependencies(node)
        self.order.left([node])

    def hold_back(self, node: Node, relay: Node) -> None:
        """Let *node*, which just started, wait for *relay*; then, newest first, it goes before all others."""
        node._search = HELD_BACK
        link(node, relay)
        # If an exception strikes before this line, *node* runs, and the links do no harm.
        node._stage = WAITING
        node._missing = 1
        node._queue.running -= 1
        node._queue.waiting += 1

    def promote(self, node: Node) -> bool:
        """Make pending *node* count as newly submitted; return False if it is not pending, or a relay.

        Oldest first, *node* and all that it depends on go before all others.
        """
        if not WAITING <= node._stage <= READY or node._queue is None:
            return False
        self._number += STRIDE
        self.order.promote(node, self._number)
        return True

    def done(self, node: Node) -> list[Any]:
        """End *node*, which runs or is a relay, with a value; return the nodes that became ready."""
        dependents = node._dependents
        runs = node._stage == RUNNING
        # First: if an exception interrupts this call, `rebuild` counts *node* as done.
        node._stage = DONE
        node._dependents = None
        if runs:
            node._queue.running -= 1
        else:
            # A relay.  Its dependencies may go on, such as the generator of an item.
            needs = node._dependencies
            if type(needs) is list:
                for other in needs:
                    forget(other, node)
                needs.clear()
            elif needs is not NONE and needs._dependents is not None:
                forget(needs, node)
            node._dependencies = NONE
            node._missing = -1
            node._search = node._place = None
        if dependents is not None:
            settle(self.order, dependents if type(dependents) is list else [dependents])
        return self.take_freed() if self.order.freed else []

    def take_freed(self) -> list[Any]:
        """Return the nodes that have become ready since the last call, but for queues that wake none."""
        freed = self.order.freed.copy()
        self.order.freed.clear()
        return freed

    def drop(
        self, doomed: deque[Node], fate: Any, inherited: Any, limit: int | None = None
    ) -> tuple[list[Any], list[Any]]:
        """End without a value the nodes of *doomed*, one at the first call, and all that depend on them.

        At most *limit* nodes end: the others are left in *doomed* for a further call.  `_end` of the first is
        called with *fate*, that of the others with *inherited*.  Return the nodes dropped, each before its
        dependents, and the nodes that became ready.  The owner clears the `_dependencies` of dropped nodes.
        """
        dropped: list[Node] = []
        settled: list[Node] = []  # tolerant dependents, once for each dependency dropped
        pending: list[Node] = []  # those of `dropped` that were pending
        while doomed and len(dropped) != limit:
            node = doomed.popleft()
            if node._stage > RUNNING:
                continue  # it depended on two dropped nodes, or has been dropped meanwhile
            if node._stage < RUNNING:
                self.order.leave(node)
                node._missing = -1
                pending.append(node)
            queue = node._queue
            if queue is None:
                pass  # a relay: no queue counts it
            elif node._stage == WAITING:
                queue.waiting -= 1
            elif node._stage == READY:
                queue.ready -= 1
            elif node._stage == RUNNING:
                queue.running -= 1
            node._end(fate)
            fate = inherited
            dropped.append(node)
            for other in dependents_of(node):
                if other._stage >= RUNNING:
                    continue
                if not other._tolerant:
                    doomed.append(other)
                    continue
                settled.append(other)
                # *other* may wait for long, and does not keep *node*, or its failure, for that time.
                needs = other._dependencies
                if type(needs) is list:
                    needs[needs.index(node)] = ENDED
            node._dependents = None
        # Before the links go, as `left` follows them.
        self.order.left(pending)
        for node in pending:
            needs = dependencies_of(node)
            for other in needs:
                forget(other, node)
            if type(needs) is list:
                # In place, as a suspended search may hold the list.  The owner releases the copy, where
                # finalizers may run.
                node._dependencies = needs.copy()
                needs.clear()
        settle(self.order, settled)
        return dropped, self.take_freed()

    def rebuild(self, queues: list[Any], others: Iterable[Any]) -> None:
        """Make counts and order anew after an exception in the middle of a call.

        *others*: all running nodes, relays, and nodes that are being dropped, as these lead to pending ones.
        """
        found = linked([*others, *self.order.listed(queues)])
        for queue in queues:
            queue.waiting = queue.ready = queue.running = 0
        pending: list[Any] = []
        # Pending nodes for which one missing dependency too many is counted: `settle` counts it as done, and
        # lists those that are ready.
        ends: list[Any] = []
        for node in found:
            # Without a node whose own addition was interrupted.
            node._dependents = as_few([other for other in own_dependents(node) if other._stage != NEW])
            if node._stage == RUNNING:
                node._queue.running += 1
            elif WAITING <= node._stage < RUNNING:
                pending.append(node)
                node._stage = WAITING
                # A node that waits for a dropped one is about to be dropped too: see `drop`.
                needs = [other for other in dependencies_of(node) if other._stage != DONE]
                # One more than are missing: see `ends`.  For a relay that `done` ends, it stands for `done`.
                node._missing = 1 + sum(other._stage < DONE or not node._tolerant for other in needs)
                if node._queue is not None:
                    node._queue.waiting += 1
                if node._queue is not None or (dependencies_of(node) and not node._ended_by_owner):
                    ends.append(node)
        self.order.rebuild(queues, pending)
        settle(self.order, ends)
        self.order.freed.clear()
