"""Oldest first: the ready node that was submitted first goes first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from heapq import heappop, heappush

from ._nodes import (
    DROPPED,
    READY,
    RUNNING,
    SWEEP_FROM,
    Group,
    Node,
    PlannedQueue,
    check_heap,
    dependencies_of,
)


class OldestFirst:
    """The ready node with the lowest number starts first: first in, first out."""

    def __init__(self) -> None:
        self.held = 0  # for the other order
        self.before = 0  # promoted nodes are numbered downwards from here

    def item_number(self, group: Group) -> int:
        group.count += 1
        return group.base + group.count - 1

    def added(self, node: Node, group: Group | None) -> None:
        if node.state == READY:
            self.freed(node)

    def freed(self, node: Node) -> None:
        queue: PlannedQueue = node.queue
        line = queue.line
        # Nodes that are ready when added come in the order of their numbers
        # and need no heap.
        if not line or line[-1].number < node.number:
            line.append(node)
        else:
            heappush(queue.heap, [node.number, node])

    def take(self, queue: PlannedQueue, limit: int | None = None) -> Node | None:
        line, heap = queue.line, queue.heap
        if line and not heap:  # most often
            first: Node = line.popleft()
            if first.state == READY:
                queue.start(first)
                return first
        while line and line[0].state != READY:
            line.popleft()
        while heap and heap[0][1].state != READY:
            heappop(heap)
        if heap and (not line or heap[0][0] < line[0].number):
            node: Node = heappop(heap)[1]
        elif line:
            node = line.popleft()
        else:
            return None
        queue.start(node)
        return node

    def held_back(self, node: Node) -> None:
        """It is put in when it becomes ready."""

    def dropped(self, nodes: list[Node]) -> None:
        # An entry can't be emptied in place here: a dropped node may stay
        # until it comes to an end of the line, or a later drop finds that as
        # many are dropped as ready.
        last: PlannedQueue | None = None
        for node in nodes:
            queue = node.queue
            if queue is not last and queue is not None:  # most often they are of one queue
                self._tidy(queue)
                last = queue

    def start(self, node: Node) -> None:
        node.queue.start(node)
        self._tidy(node.queue)

    def _tidy(self, queue: PlannedQueue) -> None:
        line = queue.line
        while line and line[-1].state != READY:  # the usual places are the two ends
            line.pop()
        while line and line[0].state != READY:
            line.popleft()
        length = len(line) + len(queue.heap)
        if length > queue.ready and (length <= SWEEP_FROM or length > 2 * queue.ready):
            self._sort(queue)

    def promote(self, node: Node, number: int) -> None:
        """Number *node* and all it needs before all others, in the order of a search."""
        order: list[Node] = []
        seen: set[Node] = set()
        todo = [node]
        while todo:
            current = todo.pop()
            if current.state < RUNNING and current not in seen:
                seen.add(current)
                order.append(current)
                todo.extend(reversed(dependencies_of(current)))
        self.before -= len(order)
        for place, current in enumerate(order):
            current.number = self.before + place
        for queue in dict.fromkeys(current.queue for current in order):
            if queue is not None:
                self._sort(queue)

    def ready(self, queues: Iterable[PlannedQueue]) -> list[Node]:
        """The ready nodes of *queues*."""
        nodes = [node for queue in queues for node in [*queue.line, *(cell[-1] for cell in queue.heap)]]
        return [node for node in nodes if node.state == READY]

    def _sort(self, queue: PlannedQueue) -> None:
        live = [node for node in queue.line if node.state == READY]
        live.extend(node for _, node in queue.heap if node.state == READY)
        live.sort(key=_number)
        queue.line = deque(live)
        queue.heap.clear()

    # For tests.

    def entries(self, queues: Iterable[PlannedQueue]) -> int:
        """The number of entries kept for *queues*, live and dead."""
        return sum(len(queue.line) + len(queue.heap) for queue in queues)

    def nodes(self, queues: Iterable[PlannedQueue]) -> list[Node]:
        """The pending nodes that the order itself holds."""
        return self.ready(queues)

    def check(self, queues: Iterable[PlannedQueue], nodes: Iterable[Node]) -> None:
        known = list(nodes)
        for queue in queues:
            line, heap = list(queue.line), queue.heap
            # The line and the heap are sorted by number.
            numbers = [node.number for node in line]
            assert numbers == sorted(set(numbers)), numbers
            check_heap([number for number, _ in heap])
            # An entry's number is its node's.
            assert all(number == node.number for number, node in heap), heap
            # No node is in both, or twice in one; none has started.
            listed = line + [node for _, node in heap]
            assert len(set(listed)) == len(listed), listed
            assert all(node.state in (READY, DROPPED) for node in listed), listed
            # Each ready node is in one of them.
            live = {node for node in listed if node.state == READY}
            assert live == {node for node in known if node.queue is queue and node.state == READY}, listed
        for node in known:
            # There are no plans and no places.
            assert node.plan is None, node
            assert node.place is None, node

    def describe(self) -> str:
        return f"promoted down to {self.before}"


def _number(node: Node) -> int:
    return node.number
