"""The records of a search: the nodes that it owns, where it stands, and its ready nodes."""

from __future__ import annotations

from collections import defaultdict
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
        """Remove the node that the search met first, and return it.  The shelf is on top of its line."""
        nodes = self.nodes
        while (node := nodes.pop(heappop(self.heap), None)) is None:
            pass  # the node of this position has left
        if not nodes:
            del node._queue.line.things[-1]
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
        self.shelves: defaultdict[PlannedQueue, Shelf] = defaultdict(Shelf)

    def shelve(self, node: Node) -> None:
        """Put ready *node* of this search on the shelf of its queue.  Cost: O(log n)."""
        queue = node._queue
        shelf = self.shelves[queue]
        if not shelf.nodes:
            shelf._number = number = self._number
            things = queue.line.things
            if number > things[-1]._number:  # `Line.push`, written out
                shelf._place = len(things)
                things.append(shelf)
            else:
                queue.line.push(shelf)
        shelf.nodes[node._place] = node
        heappush(shelf.heap, node._place)

    def unshelve(self, node: Node) -> None:
        """Remove ready *node* from its shelf, and an empty shelf from the line of the queue."""
        shelf = self.shelves[node._queue]
        nodes, heap = shelf.nodes, shelf.heap
        del nodes[node._place]
        if not nodes:
            node._queue.line.remove(shelf)
        if not nodes or len(heap) > 2 * len(nodes) + SWEEP_FROM:
            heap[:] = nodes
            heapify(heap)


# Owns all nodes that were held back, as if it was the newest search.
HELD_BACK = Search(inf)
HELD_BACK.intact = False
