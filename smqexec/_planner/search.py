"""The records of a search: the nodes that it owns, where it stands, and its ready nodes."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from math import inf
from typing import Any

from .line import Thing
from .nodes import ORIGIN, SWEEP_FROM, Node, PlannedQueue


class Shelf(Thing):
    """The ready nodes of one search and one queue, in the queue's line while there are some."""

    __slots__ = ("heap", "nodes")

    def __init__(self) -> None:
        super().__init__(0)  # the number is that of the search, while the shelf is in the line
        # Its nodes, by their positions in the search.
        self.nodes: dict[int, Node] = {}
        # A heap of these positions, and of some nodes that have left.
        self.heap: list[int] = []

    def pop(self) -> Node:
        """Take the node that the search met first.  There is one."""
        nodes, heap = self.nodes, self.heap
        while heap[0] not in nodes:
            heappop(heap)
        node = nodes[heap[0]]
        node._search.unshelve(node)
        return node


class Search(Thing):
    """A suspended depth-first search, and the nodes that it owns.  Written by `NewestFirst` alone."""

    __slots__ = ("frames", "head", "highest", "intact", "later", "live", "lowest", "shelves")

    def __init__(self, number: float, live: bool = True) -> None:
        super().__init__(number)  # that of its head
        # The node where it began.  None: a newer search owns that node.
        self.head: Node | None = None
        # False: it owns nothing.  Its number still says how old it was to what it has visited: see `dropped`.
        self.live = live
        # False: it lost a node or skipped one, so a new node can't become its head.
        self.intact = True
        # The lowest and highest position so far.  A node visited first has the lower position; each
        # new head is put before all others, below `ORIGIN`.
        self.lowest = self.highest = ORIGIN
        # Where the walk stands: the stack of (dependencies of a node, index of the next to visit).
        self.frames: list[tuple[Any, int]] = []
        # The other dependencies of heads, as frames, to visit after that: a deque, once there are some.
        self.later: Any = ()
        # The ready nodes that it owns, for each queue.
        self.shelves: dict[PlannedQueue, Shelf] = {}

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


class HeldBack(Search):
    """The type of `HELD_BACK`, which owns all nodes that were held back, as if it was the newest search."""

    __slots__ = ()

    def shelve(self, node: Node) -> None:
        node._queue.held_back[node] = None
        # No number is above this one, so the short cuts of `take` do not apply.
        node._queue.line.late_top = inf

    def unshelve(self, node: Node) -> None:
        del node._queue.held_back[node]


HELD_BACK = HeldBack(inf)
HELD_BACK.intact = False
