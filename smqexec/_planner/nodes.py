r"""The planner's records of a task and of a queue, and the links between tasks.

A node is in exactly one state and moves only to the right::

    NEW --> WAITING --> READY --> RUNNING --> DONE
                 \---------\-----------\----> DROPPED

One exception: a node that has just started and lacks a resource is held back, from RUNNING to WAITING.
A *relay* is a node without a queue.  It never starts, and goes from WAITING to DONE or DROPPED.

From `add` to the end the planner alone writes these fields, under its owner's lock.  Others read `_stage`.
"""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, TypeAlias

WAITING, READY, RUNNING, DONE, DROPPED = range(5)
NEW = -1

NONE: tuple[Any, ...] = ()  # the dependencies of a node without any
ORIGIN = -(1 << 40)  # positions in a search lie around it: all are below 0, so that none looks like an index
LATE = 0  # the place of a thing that is not in the stack of its line: see ``line``
# The distance between the numbers of two submissions.  Those of a group, such as a `map`, lie between.
STRIDE = 1 << 32
# A longer list of entries is swept when half of them are dead, so a sweep costs O(1) for each entry.
SWEEP_FROM = 64
Group: TypeAlias = Iterator[int]


class Node:
    """A task, as the planner sees it.  A subclass is the task itself: one object, not two."""

    __slots__ = (
        "__weakref__", "_dependencies", "_dependents", "_missing", "_number", "_place", "_queue", "_search",
        "_stage",
    )  # fmt: skip

    _tolerant: ClassVar[bool] = False  # a dependency that is dropped counts as done
    _ended_by_owner: ClassVar[bool] = False  # a relay that `done` ends, and not the end of its dependencies

    _number: int  # its rank: the order of submission; set by `add`, changed by `promote`; 0: a relay
    _stage: int  # NEW to DROPPED; a subclass may have more above; DONE and all above are final
    _queue: Any  # the `PlannedQueue` that starts it; None: a relay; the owner may clear it after the end
    # Its dependencies in argument order, until it starts: (), a node, or a list of nodes, perhaps with
    # repeats.  The list is then emptied in place, as a suspended search may hold the list.
    _dependencies: Any
    _missing: int  # dependencies not done; +1: a relay that waits for `done`; below 0: dropped or ended
    # The nodes that depend on it, without `_parts`, until it ends: None, a node, or a list of nodes.
    _dependents: Any
    _search: Any  # newest first: the last search that visited it, and owns it while live; or `HELD_BACK`
    # Newest first, where the node is: below 0 its position in `_search`, else its index in a line, or
    # `LATE`.  None: in no line, as a relay, or as a node that waits only for what has started.
    _place: Any

    def __init__(self) -> None:
        self._number = self._missing = 0
        self._stage = NEW
        self._dependencies = NONE
        self._queue = self._dependents = self._search = self._place = None

    def _parts(self) -> list[Any]:
        """Return the relays for parts of its value: dependents that the owner adds and removes by itself."""
        return []

    def _empty(self, needs: list[Any]) -> None:
        """Empty *needs*, the list of dependencies, in place: a suspended search may hold it."""
        needs.clear()

    def _end(self, fate: Any) -> None:
        """Take the state of a node that ends without a value.  A subclass may keep *fate*, the reason."""
        self._stage = DROPPED


# In a list of dependencies, in place of one that was dropped.
ENDED = Node()
ENDED._stage = DONE


def release_dependencies(node: Node) -> None:
    """Release the dependencies of *node*, which starts, or is a relay that ends: they have all ended."""
    needs = node._dependencies
    if needs is not NONE:
        if type(needs) is list:
            node._empty(needs)
        node._dependencies = NONE


class PlannedQueue:
    """A queue, as the planner sees it.  The planner and its order write the fields."""

    __slots__ = ("__weakref__", "held_back", "line", "ready", "running", "waiting", "wakes_none")

    def __init__(self) -> None:
        # How many of its nodes are at these stages.
        self.waiting = self.ready = self.running = 0
        # Its ready nodes: a `Fifo`, or a `Line` of nodes and shelves.  `add_queue` and `rebuild` set it.
        self.line: Any = None
        # Nodes that become ready are not added to `freed`.  Written by the owner, which would wake nothing.
        self.wakes_none = False
        # Newest first: nodes that were held back and are ready again, in the order in which they became so.
        self.held_back: dict[Node, None] = {}


def as_few(nodes: list[Any]) -> Any:
    """Return *nodes* in the form of `Node._dependents`: None, one node, or the list."""
    return nodes if len(nodes) > 1 else nodes[0] if nodes else None


def dependencies_of(node: Node) -> list[Any] | tuple[Any, ...]:
    needs = node._dependencies
    return needs if type(needs) is list or needs is NONE else (needs,)


def listed_dependencies(node: Node) -> list[Any]:
    """Return the list of dependencies of *node*, made if need be, for a search that is suspended."""
    needs = node._dependencies
    if type(needs) is not list:
        needs = node._dependencies = [*dependencies_of(node)]
    return needs


def dependents_of(node: Node) -> list[Any]:
    return own_dependents(node) + node._parts()


def own_dependents(node: Node) -> list[Any]:
    """Return the dependents of *node* without `_parts`: its own list, if it has one."""
    dependents = node._dependents
    return dependents if type(dependents) is list else [] if dependents is None else [dependents]


def linked(nodes: Iterable[Any]) -> list[Any]:
    """Return *nodes* and all nodes linked to them, over any number of links, each once."""
    found = dict.fromkeys(nodes)
    todo = list(found)
    # The loop extends the list: graphs of any depth need no recursion.
    for node in todo:
        new = [other for other in (*dependencies_of(node), *dependents_of(node)) if other not in found]
        found.update(dict.fromkeys(new))
        todo += dict.fromkeys(new)
    return todo


def link(node: Node, dependencies: Any) -> int:
    """Make *node* depend on *dependencies*, one node or a list; return how many they are."""
    node._dependencies = dependencies
    if type(dependencies) is not list:
        dependencies = (dependencies,)
    for other in dependencies:
        dependents = other._dependents
        if dependents is None:
            other._dependents = node  # most nodes have one dependent: this saves a list
        elif type(dependents) is list:
            dependents.append(node)
        else:
            other._dependents = [dependents, node]
    return len(dependencies)


def settle(order: Any, dependents: list[Any]) -> None:
    """Count one dependency of each of *dependents* as done, and list the nodes that became ready."""
    # The loop extends the list: chains of relays need no recursion.
    for node in dependents:
        node._missing = missing = node._missing - 1
        if missing:
            continue
        queue = node._queue
        if queue is None:
            # A relay ends, and its dependents wait for one dependency less.
            dependents += dependents_of(node)
            node._stage = DONE
            node._missing = -1
            node._dependents = node._search = node._place = None
            release_dependencies(node)
        else:
            node._stage = READY
            queue.waiting -= 1
            queue.ready += 1
            order.list_ready(node)
            if not queue.wakes_none:
                order.freed.append(node)


def forget(node: Node, ended: Node) -> None:
    """Remove *ended*, which has ended, from the dependents of *node*.  Cost: O(1), averaged over calls."""
    dependents = node._dependents
    if dependents is ended:
        node._dependents = None
    elif type(dependents) is list:
        # First the ended nodes at the end of the list: this needs no search.
        while dependents and dependents[-1]._stage >= DONE:
            dependents.pop()
        length = len(dependents)
        if 0 < length <= SWEEP_FROM or (length and dependents[length // 2]._stage >= DONE):
            # A long list is swept only if its middle entry has ended: so about half of the entries go.
            dependents[:] = [other for other in dependents if other._stage < DONE]
