"""The records of a search: the nodes that it owns, where it stands, and its ready nodes."""

from __future__ import annotations

from collections import defaultdict
from heapq import heapify, heappop, heappush
from math import inf
from typing import Any

from .nodes import NEW, SWEEP_FROM, Node, PlannedQueue


class Search:
    """A suspended depth-first search, and the nodes that it owns.  Written by `NewestFirst` alone."""

    __slots__ = (
        "_number", "first", "frames", "head", "intact", "last", "later", "live", "shelves",
    )  # fmt: skip

    _stage = NEW  # that of no node in a line

    def __init__(self, head: Node) -> None:
        # The node at which it began.  None once a newer search has taken the head: that one will
        # visit whatever this one could still reach.
        self.head: Node | None = head
        self._number = head._number  # its rank: the number of its head
        self.live = True  # False once it owns nothing: a node whose search is not live has no owner
        self.intact = True  # False once it lost a node or passed one by: then no node may adopt it
        # The lowest and highest position given so far.  Those of heads are below 0.
        self.first = self.last = 0
        # Where it stands: (dependencies, index of the next to visit).  The list is the node's own.
        self.frames: list[tuple[list[Any], int]] = []
        # Frames of heads, to go on with when `frames` is empty: a deque, once there are some.
        self.later: Any = ()
        self.shelves: defaultdict[PlannedQueue, Shelf] = defaultdict(Shelf)  # its ready nodes

    def shelve(self, node: Node) -> None:
        """Put ready *node*, which it owns, on the shelf of its queue.  Cost: O(log n)."""
        shelf = self.shelves[node._queue]
        if not shelf.nodes:
            node._queue.line.push(self._number, self)
        shelf.put(node)

    def unshelve(self, node: Node) -> None:
        """Take *node* from its shelf, and the search from the queue's line if that was its last."""
        shelf = self.shelves[node._queue]
        del shelf.nodes[node._place]
        if not shelf.nodes:
            shelf.heap.clear()
            node._queue.line.discard(self._number)


class Shelf:
    """The ready nodes of one search for one queue.  The search is in the queue's line while there are any."""

    __slots__ = ("heap", "nodes")

    def __init__(self) -> None:
        # The nodes by position; and a heap of positions, with some of nodes that have left.
        self.nodes: dict[int, Node] = {}
        self.heap: list[int] = []

    def put(self, node: Node) -> None:
        self.nodes[node._place] = node
        heappush(self.heap, node._place)
        if len(self.heap) > 2 * len(self.nodes) + SWEEP_FROM:
            self.heap = list(self.nodes)
            heapify(self.heap)

    def first(self) -> Node:
        """Return the node that the search met first.  There is one."""
        while self.heap[0] not in self.nodes:
            heappop(self.heap)
        return self.nodes[self.heap[0]]


class Past:
    """In a node, in place of a search that gave it back: the number of that search."""

    __slots__ = ("_number",)
    live = False

    def __init__(self, number: int) -> None:
        self._number = number


class HeldBack:
    """The type of `HELD_BACK`, which stands for the search of all nodes that were held back.

    It is newer than all searches.  So other searches pass its nodes by, and these go before all
    other nodes of their queues, the one that became ready first in front.
    """

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
