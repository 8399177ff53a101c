r"""What the planner knows of a task and of a queue: records, almost without behaviour.

A node is in exactly one state and moves only to the right::

    NEW --> WAITING --> READY --> RUNNING --> DONE
                 \---------\-----------\----> DROPPED

One exception: a node that was taken and can't start yet is held back, from RUNNING to WAITING.

The planner alone writes these fields, and the owner of the planner serialises its calls.  `_stage`
may be read at any time; a state of DONE or above is final.
"""

from __future__ import annotations

from typing import Any, ClassVar

WAITING, READY, RUNNING, DONE, DROPPED = range(5)
NEW = -1

# Numbers of consecutive submissions are this far apart: room for the items of
# a group, which share one submission.
STRIDE = 1 << 32

# Below this length a list of entries is not swept; above it, when it has doubled since the last
# time: a sweep then costs O(1) for each entry made.
SWEEP_FROM = 64

# What a node depends on that depends on nothing.
NONE: tuple[Any, ...] = ()


class Searching:
    """The type of `SEARCHING`: `take` used up its limit and has to be called again."""

    def __repr__(self) -> str:
        return "SEARCHING"


SEARCHING = Searching()


class Node:
    """What the planner knows of a task.  Subclass it: a task is then its own record.

    The attributes are the planner's; read them, never set them.
    """

    __slots__ = (
        "_dependencies", "_dependents", "_missing", "_number", "_place", "_queue", "_search", "_stage",
    )  # fmt: skip

    #: True: a dependency that is dropped counts as done for this node.
    _tolerant: ClassVar[bool] = False
    #: True, for a relay: it is done when the owner says so, not with its dependencies.
    _held: ClassVar[bool] = False

    #: Where it stands in the order of submission: set by `admit`, changed by `promote`.  Relays: 0.
    _number: int
    #: NEW, WAITING, READY, RUNNING, DONE or DROPPED; a subclass may go on counting above DROPPED.
    _stage: int
    #: The queue that starts it; None for a relay.  The owner may clear it once the node has ended.
    _queue: Any
    #: What it depends on, in argument order, until it starts: (), a node, or a list of nodes.  A
    #: suspended search may hold the list, so it is emptied in place when the node starts.
    _dependencies: Any
    #: How many of them are not done; one more for a relay that waits for `done`; below 0 for what has
    #: been dropped, and a relay that has ended.
    _missing: int
    #: What depends on it, until it is done: None, a node, or a list of nodes.
    _dependents: Any
    #: Newest first: the last search that visited it, and its position there.  The search owns the
    #: node as long as the search is live.  Of a node that was held back: `HELD_BACK`, and its cell
    #: [how many were held back before, the node].  Written by `NewestFirst` and its searches.
    _search: Any
    _place: Any

    def __init__(self) -> None:
        self._number = 0
        self._stage = NEW
        self._queue = None
        self._dependencies = NONE
        self._missing = 0
        self._dependents = None
        self._search = None
        self._place = None

    def _began(self) -> None:
        """Release what it needed: it starts, and all of that has ended."""
        needs = self._dependencies
        if type(needs) is list:
            needs.clear()  # in place: a suspended search may hold this very list
        else:
            self._dependencies = NONE

    def _end(self, fate: Any) -> None:
        """Take the state of a node that ends without a value; *fate* is why, for a subclass that keeps it."""
        self._stage = DROPPED


class PlannedQueue:
    """A queue as the planner sees it: what asks for nodes, and the ready nodes that wait for it.

    Made by `DependencyPlanner.add_queue`, or registered there.  The counts are for reading.
    """

    __slots__ = ("__weakref__", "heap", "line", "planner", "ready", "running", "waiting")

    def __init__(self) -> None:
        #: Its planner; set by `DependencyPlanner.add_queue`, once.
        self.planner: Any = None
        #: How many of its nodes are in each of these states; written by the planner and its order.
        self.waiting = self.ready = self.running = 0
        #: Its ready nodes; written by the order in force.  Newest first: a `Line` of nodes that no
        #: search owns and of searches that own others; oldest first: a deque of nodes.
        self.line: Any = None
        #: Newest first: cells of ready nodes that were held back, the one held back first on top.
        #: Oldest first: [number, node] of nodes that became ready out of turn.
        self.heap: list[list[Any]] = []

    def start(self, node: Node) -> None:
        """Move ready *node* of this queue, which has left the order, to RUNNING."""
        node._stage = RUNNING
        node._search = None
        self.ready -= 1
        self.running += 1
        if node._dependencies is not NONE:
            node._began()


class Group:
    """Numbers for the nodes of one submission, such as those of a `map`."""

    __slots__ = ("base", "count")

    def __init__(self, base: int) -> None:
        #: The number of the submission.
        self.base = base
        #: How many nodes it has so far; written by `item_number` of the order in force.
        self.count = 0
