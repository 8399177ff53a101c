"""Oldest first: the ready node that was submitted first goes first.  Nothing is searched."""

from collections import deque  # noqa: I001
from collections.abc import Iterable
from heapq import heappop, heappush
from operator import attrgetter
from typing import Any

from .nodes import (
    DONE, NONE, READY, RUNNING, SWEEP_FROM, Node, PlannedQueue, dependencies_of, own_dependents,
    release_dependencies, settle,
)  # fmt: skip


class Fifo:
    """The ready nodes of a queue by number, lowest first."""

    __slots__ = ("late", "things")

    def __init__(self) -> None:
        # Ready nodes in ascending order of number, as most are ready when they are added.  A node that leaves
        # before its turn stays as a dead entry, until it is the first or `left` removes it.
        self.things: deque[Node] = deque()
        # A heap of (number, node), for nodes that became ready after one with a higher number.
        self.late: list[tuple[int, Node]] = []

    def push(self, node: Node) -> None:
        """Add ready *node*.  Cost: O(1) if it has the highest number, else O(log n)."""
        if not self.things or self.things[-1]._number < node._number:
            self.things.append(node)
        else:
            heappush(self.late, (node._number, node))

    def pop(self) -> Node:
        """Remove the first node and return it.  There is one."""
        nodes, late = self.things, self.late
        while nodes and nodes[0]._stage != READY:
            nodes.popleft()
        while late and late[0][1]._stage != READY:
            heappop(late)
        if late and not (nodes and nodes[0]._number < late[0][0]):
            return heappop(late)[1]
        return nodes.popleft()

    def sort(self) -> None:
        """Move all ready nodes to `things`, by number, and remove all dead entries."""
        self.things = deque(sorted(self.all(), key=attrgetter("_number")))
        self.late.clear()

    def all(self) -> list[Node]:
        """Return all ready nodes."""
        return [node for node in (*self.things, *(node for _, node in self.late)) if node._stage == READY]


class OldestFirst:
    """The ready node with the lowest number starts first.  Its methods do what those of `NewestFirst` do."""

    new_line = Fifo
    # Nothing is searched.
    steps = 0
    todo = None
    # The lowest number of a promoted node so far.  `promote` writes it.
    _before = 0

    def __init__(self) -> None:
        self.freed: list[Any] = []  # as of `Searches`

    def put(self, node: Node) -> None:
        if node._stage == READY:
            node._queue.line.push(node)

    list_ready = put

    def leave(self, node: Node) -> None:
        """Do nothing: an entry can't be removed from the middle of a deque (see `left`)."""

    def left(self, nodes: list[Node]) -> None:
        for queue in dict.fromkeys(node._queue for node in nodes if node._queue is not None):
            # Remove dead entries if they are half of all, or any of a few.
            length = len(queue.line.things) + len(queue.line.late)
            if length > queue.ready and (length <= SWEEP_FROM or length > 2 * queue.ready):
                queue.line.sort()

    def promote(self, node: Node, number: int) -> None:
        """Number *node* and all it needs before all others, in the order of a search."""
        # The pending nodes that a depth-first search from *node* meets, as far as none is met twice.
        order: dict[Node, None] = {}
        todo = [node]
        while todo:
            current = todo.pop()
            if current._stage < RUNNING and current not in order:
                order[current] = None
                todo.extend(reversed(dependencies_of(current)))
        planned = [current for current in order if current._queue is not None]
        self._before -= len(planned)
        for place, current in enumerate(planned):
            current._number = self._before + place
        for queue in dict.fromkeys(current._queue for current in planned):
            queue.line.sort()

    def take(self, queue: PlannedQueue, limit: int, ended: Any = None) -> Any:
        if ended is None:
            queue.running += 1  # otherwise the task that starts takes the place of *ended*
        else:
            ended._stage = DONE
            if ended._dependents is not None:
                dependents, ended._dependents = own_dependents(ended), None
                settle(self, dependents)
        if not queue.ready:
            queue.running -= 1
            return None
        line: Fifo = queue.line
        node = line.things.popleft() if line.things and not line.late else line.pop()
        if node._stage != READY:
            node = line.pop()
        node._stage = RUNNING
        node._search = None
        queue.ready -= 1
        if node._dependencies is not NONE:
            release_dependencies(node)
        return node

    def listed(self, queues: Iterable[PlannedQueue]) -> list[Any]:
        return [node for queue in queues for node in queue.line.all()]

    def rebuild(self, queues: Iterable[PlannedQueue], pending: list[Any]) -> None:
        for queue in queues:
            queue.line = Fifo()
