"""A line: nodes, searches and shelves by number, of which the highest goes first; and what these are.

Most things are added in the order of their numbers, so a line is a stack.  A thing is *late* if its number is
lower than that of the top.  No two things in a line have the same number.
"""

from collections import defaultdict, deque
from heapq import heapify, heappop, heappush
from math import inf
from typing import Any

from .nodes import LATE, NEW, ORIGIN, SWEEP_FROM, Node, PlannedQueue

MOVED_AT_ONCE = 128  # so many late things move to the stack in one call: some 50 µs


class Thing:
    """What may be in a line besides nodes: a search, a shelf, the bottom or a gap."""

    __slots__ = ("_number", "_place")
    _stage = NEW  # no node in a line has this stage

    def __init__(self, number: float) -> None:
        self._number = number  # its rank
        self._place: Any = None  # where it is in its line, as of a node


BOTTOM = Thing(-1)  # below all things
# In place of a thing that was removed.  Its number is above all: a line with a gap on top is to be tidied.
GAP: Any = Thing(inf)


class Line:
    """Things by number.  Cost, averaged: O(1) for one on top or of a `map`, O(log n) for other late ones."""

    __slots__ = ("descending", "gaps", "heap", "late", "late_top", "things")

    def __init__(self) -> None:
        # The stack: `BOTTOM`, then things in ascending order of number, and gaps.  Each thing has its index
        # here in `_place`, so it is removed in O(1).
        self.things: list[Any] = [BOTTOM]
        # How many gaps are in the stack.
        self.gaps = 0
        # Late things by number; their `_place` is `LATE`.  Each moves to the stack once it has the highest
        # number of all.
        self.late: dict[int, Any] = {}
        # The numbers of late things that came in descending order, as the items of a `map` do.
        self.descending: deque[int] = deque()
        # A heap of the numbers of the other late things, negated.  Both keep some numbers of removed things.
        self.heap: list[int] = []
        # No late thing has a higher number, so a thing on top of the stack with a higher one goes first.
        self.late_top: float = -2

    def push(self, thing: Any) -> None:
        """Add *thing*, whatever its number."""
        things, number = self.things, thing._number
        # A gap on top has the highest number: all that is pushed would be late.
        while things[-1] is GAP:
            del things[-1]
            self.gaps -= 1
        if number > things[-1]._number:
            thing._place = len(things)
            things.append(thing)
            return
        thing._place = LATE
        self.late[number] = thing
        if not self.descending or number < self.descending[-1]:
            self.descending.append(number)
        else:
            heappush(self.heap, -number)
        if number > self.late_top:
            self.late_top = number

    def remove(self, thing: Any) -> bool:
        """Remove *thing*, which is in a line; return False if that is another line."""
        things, place = self.things, thing._place
        if things[-1] is thing:
            del things[-1]
        elif not place:
            # None as well: a search that is in no line.  No late thing has the number of that search.
            if self.late.pop(thing._number, None) is None:
                return False
            # The number stays.  If there are many, at most half are of removed things.
            if len(self.descending) + len(self.heap) > 2 * len(self.late) + SWEEP_FROM:
                self.descending = deque(sorted(self.late, reverse=True))
                self.heap.clear()
        elif place < len(things) and things[place] is thing:
            # The gap stays until it is on top, or swept: the line does not keep *thing*, or its result.
            things[place] = GAP
            self.gaps += 1
            if 2 * self.gaps > len(things) + SWEEP_FROM:
                self.sweep()
        else:
            return False
        return True

    def tidy(self) -> None:
        """Move the thing that goes first to the end of `things`; then `late_top` is below its number."""
        things = self.things
        while things[-1] is GAP:
            del things[-1]
            self.gaps -= 1
        if self.late_top >= things[-1]._number:
            # Some late things go before the whole stack.  Move them there, but only the first of many.
            descending, heap, late, bound = self.descending, self.heap, self.late, things[-1]._number
            moved: list[Any] = []
            while (descending or heap) and len(moved) < MOVED_AT_ONCE:
                from_heap = not descending or (heap and -heap[0] > descending[0])
                if (-heap[0] if from_heap else descending[0]) < bound:
                    break
                number = -heappop(heap) if from_heap else descending.popleft()
                # None: the thing was removed.  It may have come again, and is on top if *number* is *bound*.
                if (thing := late.pop(number, None)) is not None:
                    moved.append(thing)
            for thing in reversed(moved):
                thing._place = len(things)
                things.append(thing)
            self.late_top = max(descending[0] if descending else -2, -heap[0] if heap else -2)

    def sweep(self) -> None:
        """Remove all gaps.  Cost: O(1) for each of them, if they are half of the stack."""
        self.things[:] = [thing for thing in self.things if thing is not GAP]
        for index, thing in enumerate(self.things):
            thing._place = index
        self.gaps = 0

    def all(self) -> list[Any]:
        """Return all things, also after an exception in the middle of a change."""
        things = (*self.things, *self.late.values())
        return [thing for thing in things if thing is not GAP and thing is not BOTTOM]


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
        # False: it owns nothing.  The nodes that it visited still refer to it, for its number: see `left`.
        self.live = live
        # False: it lost a node or skipped one, so a new node can't become its head.
        self.intact = True
        # The lowest and highest position so far.  A node visited first has the lower position; each
        # new head is put before all others, below `ORIGIN`.
        self.lowest = self.highest = ORIGIN
        # Where the walk stands: the stack of (dependencies of a node, index of the next to visit).
        self.frames: list[tuple[Any, int]] = []
        # Frames of the other dependencies of heads, to visit after `frames`: a deque, once there are some.
        self.later: Any = ()
        # The ready nodes that it owns, for each queue.
        self.shelves: defaultdict[PlannedQueue, Shelf] = defaultdict(Shelf)

    def shelve(self, node: Node) -> None:
        """Put ready *node* of this search on the shelf of its queue.  Cost: O(log n)."""
        queue = node._queue
        shelf = self.shelves[queue]
        if not shelf.nodes:
            # Only here, as the number of the search may have changed since: see `begin`.
            shelf._number = self._number
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
