r"""The planner's records of a task and of a queue.

A node is in exactly one state and moves only to the right::

    NEW --> WAITING --> READY --> RUNNING --> DONE
                 \---------\-----------\----> DROPPED

One exception: a node that has just started and lacks a resource is held back, from RUNNING to WAITING.

The planner alone writes these fields, under its owner's lock.  `_stage` may be read without the
lock; DONE and above are final.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, TypeAlias

WAITING, READY, RUNNING, DONE, DROPPED = range(5)
NEW = -1

# The result of `take` if it used up its limit and has to be called again.
SEARCHING: Any = object()

# Numbers of consecutive submissions are this far apart, so that the items of a `map` fit between.
STRIDE = 1 << 32

# The numbers left for the nodes of one submission, such as a `map`.
Group: TypeAlias = Iterator[int]

# A list of entries shorter than this is not swept.  A longer one is swept when half of its
# entries are dead, so that a sweep costs O(1) for each entry made.
SWEEP_FROM = 64

# The dependencies of a node without any.  A tuple: nothing can be added by mistake.
NONE: tuple[Any, ...] = ()


class Node:
    """A task, as the planner sees it.  A subclass is the task itself: one object, not two."""

    __slots__ = (
        "_dependencies", "_dependents", "_missing", "_number", "_place", "_queue", "_search", "_stage",
    )  # fmt: skip

    # True: a dependency that is dropped counts as done for this node.
    _tolerant: ClassVar[bool] = False
    # True, for a relay: only the owner ends it, with `done`.  False: it also ends with its dependencies.
    _ended_by_owner: ClassVar[bool] = False

    _number: int  # its rank: the order of submission; set by `add`, changed by `promote`; 0: a relay
    _stage: int  # NEW to DROPPED, as above; a subclass may have more stages above DROPPED
    _queue: Any  # the `PlannedQueue` that starts it; None: a relay; the owner may clear it after the end
    # Its dependencies in argument order, until it starts: (), a node, or a list of nodes.  A
    # suspended search may hold the list, so the list is emptied in place when the node starts.
    _dependencies: Any
    # How many dependencies are not done; one more for a relay that waits for `done`.  Below 0
    # after a drop, and for a relay that has ended, so that counting down never gets to 0.
    _missing: int
    # The nodes that depend on it, until it ends: None, a node, or a list of nodes.
    _dependents: Any
    # Newest first: the last search that visited it; the search owns the node while it is live.
    # `HELD_BACK`: it was held back.
    _search: Any
    # Newest first: its position in that search.  None: in the line that its state calls for, if
    # it has a number.  `UNVISITED`: it became ready in `Searches.todo`, and is still there.
    _place: Any

    def __init__(self) -> None:
        self._number = self._missing = 0
        self._stage = NEW
        self._dependencies = NONE
        self._queue = self._dependents = self._search = self._place = None

    def _began(self) -> None:
        """Release the dependencies, which have all ended: the node starts."""
        needs = self._dependencies
        if type(needs) is list:
            needs.clear()  # in place: a suspended search may hold this very list
        else:
            self._dependencies = NONE

    def _end(self, fate: Any) -> None:
        """Take the state of a node that ends without a value.  A subclass may keep *fate*, the reason."""
        self._stage = DROPPED


class PlannedQueue:
    """A queue, as the planner sees it.  Registered by `Planner.add_queue`."""

    __slots__ = ("__weakref__", "first", "line", "ready", "running", "waiting")

    def __init__(self) -> None:
        # How many of its nodes are in each of these states; written by the planner and its order.
        self.waiting = self.ready = self.running = 0
        # Its ready nodes; written by the order.  Newest first: a `Line` of nodes that no search
        # owns and of searches that own others.  Oldest first: a `Fifo`.
        self.line: Any = None
        # Newest first: ready nodes that were held back, the one that goes first in front.
        self.first: dict[Node, None] = {}

    def start(self, node: Node) -> None:
        """Move ready *node* of this queue, which has left the order, to RUNNING."""
        node._stage = RUNNING
        node._search = None
        self.ready -= 1
        self.running += 1
        if node._dependencies is not NONE:
            node._began()
