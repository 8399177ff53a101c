"""What the planner and its orders share: nodes, queues, groups, plans, and the states of a node.

Records alone; what happens to them is told in ``_planner``, ``_newest`` and ``_oldest``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from ._planner import DependencyPlanner

WAITING, READY, RUNNING, DONE, DROPPED = range(5)
NEW = -1

# Numbers of consecutive submissions are this far apart: room for the items of
# a group, which share one submission.
STRIDE = 1 << 32

# Sweep a list of entries only when it has doubled since the last time, and not
# below this length: a sweep then costs O(1) for each entry made.
SWEEP_FROM = 64

# The place of a waiting node that no plan owns, nor the stack holds: it was on top, and
# there was nothing to visit from there.  Its number ranks it when it becomes ready.
ASIDE: Any = "aside"

Cell = list[Any]  # a key, perhaps a tie-breaker, and last the content; None: nothing here any more

NONE: tuple[Any, ...] = ()  # what a node depends on that depends on nothing
_SEVERAL = (list, tuple)


class Searching:
    """The type of `SEARCHING`: `take` used up its limit and has to be called again."""

    def __repr__(self) -> str:
        return "SEARCHING"


SEARCHING = Searching()


class HeldBack:
    """The type of `HELD_BACK`, the plan of nodes that were held back when they had their turn.

    Such a node goes before all others of its queue once it is ready again.  No search visits it:
    one that meets it passes over it, as if a newer plan owned it.  Its place is a cell, which is
    in its queue's `front` while it is ready: [how many were held back before, the node].
    """

    number = inf
    intact = False


HELD_BACK = HeldBack()


class Node:
    """What the planner knows of a task.  Subclass it: a task is then its own record.

    The attributes are the planner's; read them, never set them.
    """

    __slots__ = ("dependencies", "dependents", "missing", "number", "place", "plan", "queue", "state")

    #: True: a dependency that is dropped counts as done for this node.
    tolerant: ClassVar[bool] = False
    #: True, for a relay: it is done when the owner says so, not with its dependencies.
    held: ClassVar[bool] = False

    #: Where it stands in the order of submission; a promotion changes it.
    number: int
    #: NEW, WAITING, READY, RUNNING, DONE or DROPPED; a subclass may go on counting above DROPPED.
    state: int
    #: The queue that starts it; None for a relay.  The owner may clear it once the node has ended.
    queue: Any
    #: What it depends on, in argument order, until it starts: (), a node, or a list of nodes.
    dependencies: Any
    #: How many of them are not done.
    missing: int
    #: What depends on it, until it is done: None, a node, or a list of nodes.
    dependents: Node | list[Node] | None
    #: The search that visited it, and its place there or in a heap (see ``_order``).
    plan: Any
    place: Any

    def __init__(self) -> None:
        self.number = 0
        self.state = NEW
        self.queue = None
        self.dependencies = NONE
        self.missing = 0
        self.dependents = None
        self.plan = None
        self.place = None

    def began(self) -> None:
        """Let go of what it needed: it starts, and all of that has ended."""
        let_go_of_dependencies(self)

    def _end(self, fate: Any) -> None:
        """Take the state of a node that ends without a value; *fate* is why, for a subclass that keeps it."""
        self.state = DROPPED


def as_few(nodes: list[Any]) -> Any:
    """*nodes* as `Node.dependencies` holds them, but None for none."""
    return nodes if len(nodes) > 1 else nodes[0] if nodes else None


def dependencies_of(node: Node) -> list[Any] | tuple[Any, ...]:
    """What *node* depends on."""
    needs = node.dependencies
    return needs if type(needs) in _SEVERAL else (needs,)


def listed_dependencies(node: Node) -> list[Any]:
    """The list of what *node* depends on, for a search that may sleep: it is emptied when the node starts."""
    needs = node.dependencies
    if type(needs) is not list:
        needs = node.dependencies = [*dependencies_of(node)]
    return needs


def let_go_of_dependencies(node: Node) -> None:
    needs = node.dependencies
    if type(needs) is list:
        needs.clear()  # in place: a suspended search looks at this very list
    else:
        node.dependencies = NONE


def dependents_of(node: Node) -> list[Node]:
    """The nodes that depend on *node*, which is not done."""
    dependents = node.dependents
    if dependents is None:
        return []
    return dependents if isinstance(dependents, list) else [dependents]


class PlannedQueue:
    """A queue as the planner sees it: who asks for work, and what waits for it.

    Made by `DependencyPlanner.add_queue`.  The counts are for reading.
    """

    __slots__ = (
        "__weakref__",
        "front",
        "heap",
        "heap_limit",
        "line",
        "planner",
        "ready",
        "running",
        "waiting",
    )

    def __init__(self) -> None:
        self.planner: DependencyPlanner | None = None
        self.waiting = self.ready = self.running = 0
        self.heap: list[list[Any]] = []  # entries of the order in force (see ``_order``)
        self.heap_limit = SWEEP_FROM
        self.line: deque[Any] = deque()
        self.front: list[Cell] = []  # newest first: a heap of ready nodes that were held back

    def start(self, node: Node) -> None:
        """Move a ready *node* of this queue to RUNNING.  For the order in force."""
        node.state = RUNNING
        self.ready -= 1
        self.running += 1
        node.place = None
        if node.dependencies is not NONE:
            node.began()


class Group:
    """Nodes of one submission, such as those of a `map`: the first counts as the newest."""

    __slots__ = ("base", "count", "listed", "nodes")

    def __init__(self, base: int) -> None:
        self.base = base
        self.count = 0
        self.listed = False  # newest first: is it on the stack?
        self.nodes: deque[Node] = deque()  # newest first: those no search has reached


class Plan:
    """A suspended depth-first search, and the ready nodes that it has met."""

    __slots__ = (
        "cells",
        "first",
        "frames",
        "head",
        "intact",
        "last",
        "later",
        "met",
        "number",
        "ready",
        "spot",
        "stuck",
    )

    def __init__(self, head: Node, number: int) -> None:
        self.head: Node | None = head
        self.number = number
        self.intact = True
        self.first = self.last = 0  # positions given out so far; heads have none above 0
        self.stuck = 1  # the position of a head that it can't do without any more
        # Where the search stands: [dependencies, index of the next to visit].
        # A frame holds the node's own list, which is emptied when the node
        # starts: a search that sleeps keeps no result alive.
        self.frames: list[list[Any]] = []
        # Frames to go on with when those are done: a deque, once there are some.
        self.later: Any = ()
        # Who waits for its queue, by position, and for each queue a heap of positions: those of
        # nodes that were lost stay until they come to the top.
        self.met: dict[int, Node] = {}
        self.ready: dict[PlannedQueue, list[int]] = {}
        self.cells: dict[PlannedQueue, Cell] = {}  # this plan's entry in the queue's heap
        self.spot: Cell | None = None  # this plan's entry in the list of searches


def check_heap(keys: Sequence[int]) -> None:
    # No entry of the heap comes before the one above it.
    assert all(keys[(index - 1) // 2] <= keys[index] for index in range(1, len(keys))), keys
