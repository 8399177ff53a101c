"""The graph: which node waits for which.  Which ready node starts first is the order's matter.

A node waits while a dependency is not done.  `DependencyPlanner.drop` ends it, and all that depend
on it, without a value.  The planner tells its order (``newest``, ``oldest``) what happens to a
node: `added`, `freed` (it became ready), `leave` and `dropped`, `held_back`, `promote`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, TypeAlias

from .graph import as_few, dependencies_of, dependents_of, end_relay, forget, settle, unlink
from .line import Line
from .newest import NewestFirst
from .nodes import DONE, NEW, NONE, READY, RUNNING, STRIDE, WAITING, Group, Node, PlannedQueue
from .oldest import OldestFirst

# Within the class the name is that of its attribute.
_Node: TypeAlias = Node


class DependencyPlanner:
    """Order tasks that depend on each other, over several queues.

    *order* says which of a queue's ready nodes starts first:

    ``"newest"``
        The first one that a depth-first search meets which starts at the
        newest pending node, visits dependencies in argument order, then goes
        on with the next newest pending node not yet visited.
    ``"oldest"``
        The one submitted first.

    Not thread-safe, and it never calls out.  A call that raises has changed
    nothing.  To drive it from an event loop of your own::

        >>> planner = DependencyPlanner()
        >>> loop = planner.add_queue()
        >>> a, b = planner.Node(), planner.Node()
        >>> planner.add(a, loop)
        >>> planner.add(b, loop, [a])
        >>> planner.take(loop) is a     # when a slot is free: a starts
        True
        >>> planner.take(loop) is None  # b waits for it
        True
        >>> planner.done(a) == [b]      # when a has ended: b is ready
        True
        >>> planner.take(loop) is b
        True

    Raises:
        ValueError: *order* is neither of the two.
    """

    #: For owners that import this class alone.
    Node: TypeAlias = _Node

    def __init__(self, order: str = "newest") -> None:
        if order not in ("newest", "oldest"):
            raise ValueError(f"order must be 'newest' or 'oldest', not {order!r}")
        #: Which ready node goes first; an owner that needs no checks may call its `take`.
        self.order: NewestFirst | OldestFirst = NewestFirst() if order == "newest" else OldestFirst()
        # Where waiting nodes go, newest first; else None.
        self._todo: Line | None = self.order.todo
        # The number of the last submission, or promotion newest first.
        self._number = 0

    def add_queue(self, queue: PlannedQueue | None = None) -> PlannedQueue:
        """Register a new queue, or the given one, and return it.

        Raises:
            ValueError: *queue* has a planner already.
        """
        queue = PlannedQueue() if queue is None else queue
        if queue.planner is not None:
            raise ValueError("the queue belongs to a planner already; make a new queue")
        queue.planner = self
        queue.line, queue.heap = self.order.new_line(), []
        return queue

    def group(self) -> Group:
        """A submission of several nodes, the first of which counts as the newest."""
        self._number += STRIDE
        return Group(self._number)

    def add(
        self,
        node: Node,
        queue: PlannedQueue | None,
        dependencies: Iterable[Node] = (),
        group: Group | None = None,
    ) -> None:
        """Add *node* as the newest sink, or as the next of *group*.

        Args:
            node: A node not added before.
            queue: Who starts it.  None makes a relay: a node that is never
                started and done as soon as its dependencies are (unless it is
                `_held`), or, once they have started or without any, when
                `done` is called.
            dependencies: Nodes added before, in argument order.  Repeats
                count once, and one that is done does not hold *node* back.
            group: Where `group` was called for it.

        Raises:
            ValueError: *node* is known, a dependency is not, or *queue* is
                another planner's.  The planner is then unchanged.

        Cost: one step for each dependency.
        """
        if node._stage != NEW:
            raise ValueError(f"{node!r} was added before")
        if queue is not None and queue.planner is not self:
            raise ValueError("the queue belongs to another planner; make it with this one's add_queue()")
        self.admit(node, queue, self._checked(dependencies), group)

    def admit(
        self,
        node: Node,
        queue: PlannedQueue | None,
        dependencies: list[Any] | Node | None = None,
        group: Group | None = None,
    ) -> None:
        """Do what `add` does, for an owner that has made its checks.

        *dependencies*, one node, or a list that is now the planner's, has to
        hold different nodes of this planner of which none is done.
        """
        if dependencies is None:
            missing = 0
        elif isinstance(dependencies, list):
            node._dependencies = dependencies
            for other in dependencies:
                known = other._dependents
                if known is None:
                    other._dependents = node  # most have one: no list for it
                elif isinstance(known, list):
                    known.append(node)
                else:
                    other._dependents = [known, node]
            missing = len(dependencies)
        else:
            node._dependencies = dependencies  # most have one at most here too
            known = dependencies._dependents
            if known is None:
                dependencies._dependents = node
            elif isinstance(known, list):
                known.append(node)
            else:
                dependencies._dependents = [known, node]
            missing = 1
        if queue is None:
            node._number = 0
            node._missing = missing + 1 if node._held else missing or 1
            node._stage = WAITING
            return
        node._queue = queue
        if missing:
            node._missing = missing
            node._stage = WAITING
            queue.waiting += 1
        else:
            node._stage = READY
            queue.ready += 1
        if group is not None:
            node._number = self.order.item_number(group)
            self.order.added(node)
            return
        node._number = number = self._number = self._number + STRIDE
        if self._todo is not None:
            # `Line.push`, written out for what is newer than all else.
            line = self._todo if missing else queue.line
            line.numbers.append(number)
            line.things.append(node)
        elif not missing:
            queue.line.append(node)  # a deque

    def _checked(self, dependencies: Iterable[Node]) -> list[Node] | Node | None:
        listed = list(dict.fromkeys(dependencies))
        for other in listed:
            if other._stage == NEW:
                raise ValueError(f"dependency {other!r} has not been added")
            if other._queue is not None and other._queue.planner is not self:
                raise ValueError(f"dependency {other!r} belongs to another planner")
        few: list[Node] | Node | None = as_few([other for other in listed if other._stage < DONE])
        return few

    def take(self, queue: PlannedQueue, limit: int | None = None) -> Any:
        """Start the node of *queue* that goes first.

        Args:
            queue: The queue that has a free slot.
            limit: Nodes to look at before giving up for now.

        Returns:
            The node, now RUNNING; None where *queue* has no ready node; or
            `SEARCHING` where *limit* was used up: call again to go on.

        Raises:
            ValueError: *queue* is another planner's.

        Cost: newest first, a few steps for each node over its life, but one
        call may look at all pending nodes; oldest first, O(log n).
        """
        if queue.planner is not self:
            raise ValueError("the queue belongs to another planner; make it with this one's add_queue()")
        return self.order.take(queue, limit)

    def start(self, node: Node) -> None:
        """Start ready *node*, whatever would go first.

        Raises:
            ValueError: *node* is not ready.

        Cost: O(log n).
        """
        if node._stage != READY:
            raise ValueError(f"{node!r} is not ready")
        self.order.start(node)

    def hold_back(self, node: Node, relay: Node) -> None:
        """Let *node*, which has just been started, wait for *relay* after all.

        It has had its turn.  Once *relay* is done it is ready again, and newest
        first it goes before all others of its queue; oldest first it goes by its
        number, as before.

        Raises:
            ValueError: *node* is not running, or something depends on *relay* already.

        Cost: O(1).
        """
        if node._stage != RUNNING:
            raise ValueError(f"{node!r} is not running")
        if relay._dependents is not None or not WAITING <= relay._stage < DONE:
            raise ValueError(f"{relay!r} is no relay that waits for nothing else")
        queue = node._queue
        queue.running -= 1
        queue.waiting += 1
        self.order.held_back(node)
        node._stage = WAITING
        node._missing = 1
        node._dependencies = relay
        relay._dependents = node

    def done(self, node: Node) -> list[Any]:
        """Note that *node* has ended, and return the nodes that became ready.

        Raises:
            ValueError: *node* is not running; nor is it a relay that waits,
                or it is one with a dependency that has not started.

        Cost: one step for each dependent.
        """
        if node._stage == RUNNING:
            node._queue.running -= 1
            node._stage = DONE
        elif node._queue is None and node._stage == WAITING:
            needs = dependencies_of(node)
            for other in needs:
                if other._stage < RUNNING:
                    raise ValueError(f"{node!r} has a dependency that has not started")
            for other in needs:
                forget(other, node)
            end_relay(node)
        else:
            raise ValueError(f"{node!r} is not running")
        dependents = node._dependents
        if dependents is None:
            return []
        node._dependents = None
        freed: list[Any] = []
        settle(self.order, dependents if type(dependents) is list else [dependents], freed)
        return freed

    def complete(self, node: Node, limit: int | None = None) -> tuple[Any, list[Any]]:
        """Do what `done` does, and then `take` for its queue.

        An owner that needs no checks calls the `take` of `order`.

        Returns:
            What `take` does; and what became ready, where what was started at once may be missing.

        Raises:
            ValueError: *node* is not running.

        Cost: that of both.
        """
        if node._stage != RUNNING:
            raise ValueError(f"{node!r} is not running")
        freed: list[Any] = []
        return self.order.take(node._queue, limit, node, freed), freed

    def drop(self, node: Node, fate: Any = None, inherited: Any = None) -> tuple[list[Any], list[Any]]:
        """End *node*, pending or running, without a value; and all that depend on it.

        For a dependent that is `_tolerant` a dropped dependency counts as done.

        Args:
            node: What ends.
            fate: What `Node._end` of *node* is called with.
            inherited: What that of its dependents is called with.

        Returns:
            The nodes dropped, *node* first, each before its dependents, and
            the nodes that became ready.  A dropped node keeps its
            `_dependencies` for the caller to clear.

        Raises:
            ValueError: *node* was not added, or is done.

        Cost: one step for each dropped node and its dependencies and
        dependents, and a new search of what was visited through them.
        """
        if not WAITING <= node._stage <= RUNNING:
            raise ValueError(f"{node!r} is not pending or running")
        return self.drop_some(deque([node]), fate, inherited)

    def drop_some(
        self, doomed: deque[Node], fate: Any = None, inherited: Any = None, limit: int | None = None
    ) -> tuple[list[Any], list[Any]]:
        """Do what `drop` does, for an owner that wants it in slices: drop up to *limit* nodes of *doomed*.

        What is left to be dropped, at first one node, is in *doomed* again.  It waits for something
        that was dropped, so nothing but another `drop` changes its state meanwhile.

        Args:
            doomed: What to drop; to be among the others at a `mend`.
            fate: What `Node._end` of the first is called with.
            inherited: What that of the others is called with.
            limit: At most so many; None for all.

        Returns:
            As `drop`.
        """
        dropped: list[Node] = []
        settled: list[Node] = []
        pending: list[Node] = []
        while doomed and len(dropped) != limit:
            node = doomed.popleft()
            if node._stage == RUNNING:
                node._queue.running -= 1
                node._end(fate)
            elif node._stage < RUNNING:
                self._end(node, fate)
                pending.append(node)
            else:
                continue  # it depended on two that were dropped, or has been dropped meanwhile
            fate = inherited
            dropped.append(node)
            dependents, node._dependents = dependents_of(node), None
            for other in dependents:
                if other._stage >= RUNNING:
                    continue
                if other._tolerant:
                    settled.append(other)  # once for each dependency dropped
                else:
                    doomed.append(other)
        if pending:
            self.order.dropped(pending)
            unlink([node for node in pending if node._dependencies is not NONE])
        freed: list[Any] = []
        if settled:
            settle(self.order, settled, freed)
        return dropped, freed

    def _end(self, node: Node, fate: Any) -> None:
        """Let pending *node* leave the order, without a value."""
        self.order.leave(node)
        queue = node._queue
        if queue is not None:
            if node._stage == READY:
                queue.ready -= 1
            else:
                queue.waiting -= 1
        node._missing = -1  # `settle` counts down: it never gets to 0
        node._end(fate)

    def promote(self, node: Node) -> bool:
        """Make pending *node* count as newly submitted; oldest first, it and its needs go first.

        Returns:
            False, and nothing changes, where *node* is not pending.

        Cost: newest first, O(log n); oldest first, a sort of the ready nodes.
        """
        if not WAITING <= node._stage <= READY or node._queue is None:
            return False
        self._number += STRIDE
        self.order.promote(node, self._number)
        return True

    # After an exception.

    def mend(self, queues: Iterable[PlannedQueue], lost: Node | None, others: Iterable[Any]) -> None:
        """Make all anew after an exception in the middle of a call; *lost* was to be added, and was not.

        For owners that a signal, a lack of memory or a recursion too deep may
        strike anywhere.

        Args:
            queues: All of this planner's.
            lost: The node that was being added, if one was.
            others: All that runs, and relays: something pending may depend on
                these, and not be found otherwise.

        Cost: the whole graph, and a sort.
        """
        queues = list(queues)
        todo: list[Any] = [*others, *self.order.listed(queues)]
        if lost is not None:
            todo.append(lost)
        found: dict[Any, None] = dict.fromkeys(todo)
        for node in todo:  # it grows while we go
            for other in [*dependencies_of(node), *dependents_of(node)]:
                if other not in found:
                    found[other] = None
                    todo.append(other)
        if lost is not None:
            lost._end(None)
        for node in found:
            # Without *lost*, and relays whose own addition was struck.
            dependents = [other for other in dependents_of(node) if other is not lost and other._stage != NEW]
            node._dependents = as_few(dependents)
        self.rebuild(queues, found)

    def rebuild(self, queues: Iterable[PlannedQueue], nodes: Iterable[Any]) -> None:
        """Count and order anew all *nodes* that are pending or running.

        Args:
            queues: All of this planner's.
            nodes: All that are pending or running, and any that have ended.

        Cost: one step for each dependency, and a sort.
        """
        queues = list(queues)
        for queue in queues:
            queue.waiting = queue.ready = queue.running = 0
        pending: list[Node] = []
        ended: list[Any] = []  # relays that are done with their dependencies, and were not told
        for node in nodes:
            if node._stage == RUNNING:
                node._queue.running += 1
            if not WAITING <= node._stage <= READY:
                continue
            needs = dependencies_of(node)
            # What waits for something that was dropped is about to be dropped too: see `drop_some`.
            strict = not node._tolerant
            missing = sum(other._stage < DONE or (other._stage > DONE and strict) for other in needs)
            if node._queue is None:
                node._search = None
                node._missing = missing + 1 if node._held else missing or 1
                if needs and not missing and not node._held:
                    ended.append(node)
                continue
            pending.append(node)
            node._missing = missing
            if missing:
                node._stage = WAITING
                node._queue.waiting += 1
            else:
                node._stage = READY
                node._queue.ready += 1
        self.order.rebuild(queues, pending)
        settle(self.order, ended, [])

    def ready(self, queues: Iterable[PlannedQueue]) -> list[Any]:
        """Return the ready nodes of *queues*, which are all of this planner's.  Cost: all its entries."""
        return [node for node in self.order.listed(queues) if node._stage == READY]
