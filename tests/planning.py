"""The planner as its tests drive it: verbs that are short to write, named nodes, and ranks by definition."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from smqexec import _planner
from smqexec._planner import DONE, READY, RUNNING, Group, Node, PlannedQueue, as_few, dependencies_of


class Named(Node):
    __slots__ = ("__weakref__", "name")

    def __init__(self, name: Any) -> None:
        super().__init__()
        self.name = name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"


class Tolerant(Named):
    __slots__ = ()
    _tolerant = True


class Held(Named):
    """A relay that its owner ends, such as an item."""

    __slots__ = ()
    _ended_by_owner = True


class TolerantHeld(Tolerant, Held):
    __slots__ = ()


class Planner(_planner.DependencyPlanner):
    """A planner whose owner ends all nodes at once, and gives dependencies that may be done."""

    def __init__(self, order: str = "newest") -> None:
        super().__init__(order)
        self.take = self.order.take

    def new_queue(self) -> PlannedQueue:
        queue = PlannedQueue()
        self.add_queue(queue)
        return queue

    def admit(
        self,
        node: Node,
        queue: PlannedQueue | None,
        dependencies: Iterable[Node] = (),
        group: Group | None = None,
    ) -> None:
        """Add *node*, which depends on those of *dependencies* that are not done."""
        pending = [other for other in dependencies if other._stage < DONE]
        self.add(node, queue, as_few(pending), group)

    def complete(self, node: Node, limit: int | None = None) -> tuple[Any, list[Any]]:
        """End *node* and start the next; return that, and what else became ready."""
        freed: list[Any] = []
        return self.order.take(node._queue, limit, node, freed), freed

    def drop_all(self, node: Node) -> tuple[list[Any], list[Any]]:
        """Drop *node* and all that depends on it, in one slice."""
        return self.drop(deque([node]), None, None)


def rank_of(node: Node, pending: Sequence[Any], newest: bool) -> int:
    """How many ready nodes of its queue would start before ready *node*.

    Args:
        node: The ready node.
        pending: All pending nodes of its planner that a queue starts, those with low numbers in front.
        newest: The order is "newest", not "oldest".

    Cost: a step for each pending node, and, newest first, for each dependency of one.
    """
    queue = node._queue
    if not newest:
        older = [other for other in pending if other._number < node._number]
        return sum(other._queue is queue and _ready(other) for other in older)
    first = [*queue.first]  # these go before all others
    if node in first:
        return first.index(node)
    count = len(first)
    seen = set(first)
    for sink in reversed(pending):
        todo = [sink]
        while todo:
            current = todo.pop()
            if current is node:
                return count
            if current._stage >= RUNNING or current in seen:
                continue
            seen.add(current)
            count += current._queue is queue and _ready(current)
            todo.extend(reversed(dependencies_of(current)))
    raise ValueError(f"{node!r} is not among the pending nodes")


def _ready(node: Node) -> bool:
    return node._stage == READY
