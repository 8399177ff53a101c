"""The records of a search: the nodes that it owns, where it stands, and its ready nodes."""

from __future__ import annotations

from collections import defaultdict
from heapq import heapify, heappop, heappush
from math import inf
from typing import Any, TypeAlias

from .nodes import NEW, SWEEP_FROM, Node, PlannedQueue

Shelf: TypeAlias = tuple[dict[int, Node], list[int]]


class Search:
    """A suspended depth-first search, and the nodes that it owns.  Written by `NewestFirst` alone."""

    __slots__ = (
        "_number", "first", "frames", "head", "intact", "last", "later", "live", "shelves",
    )  # fmt: skip

    _stage = NEW  # that of no node in a line

    def __init__(self, head: Node) -> None:
        self.head: Node | None = head  # where it began; None once a newer search has taken it over
        self._number = head._number  # its rank: the number of its head
        self.live = True  # False once it owns nothing: a node whose search is not live has no owner
        self.intact = True  # False once it lost a node or passed one by: then no node may adopt it
        # The lowest and highest position given so far.  Those of heads are below 0.
        self.first = self.last = 0
        self.frames: list[tuple[Any, int]] = []  # a node's own dependencies, the next to visit
        self.later: Any = ()  # frames of heads, to go on with then: a deque, once there are some
        # Its ready nodes, for each queue: by position; and a heap of positions, some of them of nodes
        # that have left.  The search is in the line of each queue for which it has some.
        self.shelves: defaultdict[PlannedQueue, Shelf] = defaultdict(lambda: ({}, []))

    def shelve(self, node: Node) -> None:
        """Put ready *node*, which it owns, on the shelf of its queue.  Cost: O(log n)."""
        nodes, heap = self.shelves[node._queue]
        if not nodes:
            node._queue.line.push(self._number, self)
        nodes[node._place] = node
        heappush(heap, node._place)
        if len(heap) > 2 * len(nodes) + SWEEP_FROM:
            heap[:] = nodes
            heapify(heap)

    def unshelve(self, node: Node) -> None:
        """Take *node* from its shelf, and the search from the queue's line if that was the last."""
        nodes, heap = self.shelves[node._queue]
        del nodes[node._place]
        if not nodes:
            heap.clear()
            node._queue.line.discard(self._number)

    def pop(self, queue: PlannedQueue) -> Node:
        """Take the node that the search met first from the shelf of *queue*, which has one."""
        nodes, heap = self.shelves[queue]
        while heap[0] not in nodes:
            heappop(heap)
        node = nodes[heap[0]]
        self.unshelve(node)
        return node


class Past:
    """In a node, in place of the search that gave it back: its number."""

    __slots__ = ("_number",)
    live = False

    def __init__(self, number: int) -> None:
        self._number = number


class HeldBack:
    """The type of `HELD_BACK`, which owns all nodes that were held back, as if it was the newest search."""

    _number = inf
    live = True
    intact = False
    head = None

    def shelve(self, node: Node) -> None:
        node._queue.first[node] = None
        node._queue.line.late_top = inf  # so that the short cuts of `take` do not apply

    def unshelve(self, node: Node) -> None:
        del node._queue.first[node]


HELD_BACK = HeldBack()
