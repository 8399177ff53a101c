"""The planner as its tests drive it: verbs that are short to write, and named nodes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from sys import maxsize
from typing import Any

from smqexec._planner.nodes import DONE, NEW, Node, PlannedQueue, as_few
from smqexec._planner.planner import DependencyPlanner

# What `take` returns here if its limit is used up while a node is ready.
SEARCHING: Any = object()


class Named(Node):
    __slots__ = ("name",)

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


class Planner(DependencyPlanner):
    """A planner whose owner ends all nodes at once, and gives dependencies that may be done."""

    def __init__(self, order: str = "newest") -> None:
        super().__init__(order)

    def take(self, queue: PlannedQueue, limit: int | None = None) -> Any:
        """Do what the order's `take` does; return `SEARCHING` if its limit is used up."""
        return self._found(queue, self.order.take(queue, maxsize if limit is None else limit))

    def _found(self, queue: PlannedQueue, node: Any) -> Any:
        return SEARCHING if node is None and queue.ready else node

    def new_queue(self) -> PlannedQueue:
        queue = PlannedQueue()
        self.add_queue(queue)
        return queue

    def admit(self, node: Node, queue: Any, dependencies: Iterable[Node] = (), group: Any = None) -> None:
        """Add *node*, which depends on those of *dependencies* that are not done."""
        pending = [other for other in dependencies if other._stage < DONE]
        if queue is None:
            self.add_relay(node, as_few(pending))
        else:
            self.add(node, queue, as_few(pending), group)

    def complete(self, node: Node, limit: int | None = None) -> tuple[Any, list[Any]]:
        """End *node* and start the next; return that, and what else became ready."""
        queue = node._queue
        taken = self.order.take(queue, maxsize if limit is None else limit, node)
        return self._found(queue, taken), self.take_freed()

    def drop_all(self, node: Node) -> tuple[list[Any], list[Any]]:
        """Drop *node* and all that depends on it, in one slice."""
        return self.drop(deque([node]), None, None)


def withdraw(planner: Planner, node: Any) -> None:
    """Drop *node*, whose addition was interrupted: as the core does, after a rebuild."""
    if node._stage == NEW:
        node._end(None)
    else:
        planner.drop(deque([node]), None, None)
