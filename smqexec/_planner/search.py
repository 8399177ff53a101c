"""The records of a search: the nodes that it owns, where it stands, and its ready nodes."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from math import inf
from typing import Any

from .nodes import NEW, ORIGIN, SWEEP_FROM, Node, PlannedQueue


class Shelf:
    """The ready nodes of one search and one queue, in the queue's line while there are some."""

    __slots__ = ("_number", "_place", "heap", "nodes")

    _stage = NEW  # that of no node in a line

    def __init__(self) -> None:
        self._number = 0  # that of the search, while it is in a line
        self._place: Any = None  # its index in that line
        self.nodes: dict[int, Node] = {}  # by position
        self.heap: list[int] = []  # positions, some of them of nodes that have left

    def pop(self) -> Node:
        """Take the node that the search met first.  There is one."""
        nodes, heap = self.nodes, self.heap
        while heap[0] not in nodes:
            heappop(heap)
        node = nodes[heap[0]]
        node._search.unshelve(node)
        return node


class Search:
    """A suspended depth-first search, and the nodes that it owns.  Written by `NewestFirst` alone."""

    __slots__ = (
        "_number", "_place", "frames", "head", "highest", "intact", "later", "live", "lowest", "shelves",
    )  # fmt: skip

    _stage = NEW  # that of no node in a line

    def __init__(self, head: Node) -> None:
        self.head: Node | None = head  # where it began; None once a newer search has taken it over
        self._number = head._number  # its rank: the number of its head
        self._place: Any = None  # its index in `Searches.todo`, if it is there
        self.live = True  # False once it owns nothing: a node whose search is not live has no owner
        self.intact = True  # False once it lost a node or passed one by: then no node may adopt it
        # The lowest and highest position given so far.  Those of heads are below `ORIGIN`.
        self.lowest = self.highest = ORIGIN
        self.frames: list[tuple[Any, int]] = []  # a node's own dependencies, the next to visit
        self.later: Any = ()  # frames of heads, to go on with then: a deque, once there are some
        self.shelves: dict[PlannedQueue, Shelf] = {}  # its ready nodes, for each queue

    def shelve(self, node: Node) -> None:
        """Put ready *node*, which it owns, on the shelf of its queue.  Cost: O(log n)."""
        queue = node._queue
        shelf = self.shelves.get(queue)
        if shelf is None:
            shelf = self.shelves[queue] = Shelf()
        nodes, heap = shelf.nodes, shelf.heap
        if not nodes:
            shelf._number = self._number
            queue.line.push(shelf)
        nodes[node._place] = node
        heappush(heap, node._place)
        if len(heap) > 2 * len(nodes) + SWEEP_FROM:
            heap[:] = nodes
            heapify(heap)

    def unshelve(self, node: Node) -> None:
        """Take *node* from its shelf, and the shelf from the queue's line if that was the last."""
        shelf = self.shelves[node._queue]
        del shelf.nodes[node._place]
        if not shelf.nodes:
            shelf.heap.clear()
            node._queue.line.remove(shelf)


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
        node._queue.held_back[node] = None
        node._queue.line.late_top = inf  # so that the short cuts of `take` do not apply

    def unshelve(self, node: Node) -> None:
        del node._queue.held_back[node]


HELD_BACK = HeldBack()
