"""Make a plan anew, where an exception has struck in the middle of a change.

Ctrl-C can strike between almost any two steps, RecursionError and MemoryError
at each call.  What was half changed then is not worth telling: all nodes are
found that can be reached from anywhere, and planned as if they were new.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from heapq import heappush
from typing import Any
from weakref import WeakSet

from ._newest import NewestFirst
from ._nodes import (
    DONE,
    HELD_BACK,
    NEW,
    READY,
    SWEEP_FROM,
    WAITING,
    Group,
    Node,
    Plan,
    PlannedQueue,
    as_few,
    dependencies_of,
    dependents_of,
)
from ._oldest import OldestFirst


def remake(
    order: NewestFirst | OldestFirst, queues: Iterable[PlannedQueue], lost: Node, others: Iterable[Any]
) -> NewestFirst | OldestFirst:
    """Return an order of the kind of *order*, with all that is pending but *lost*.

    Args:
        order: What is left of the old one.
        queues: All of its planner's.
        lost: What was being added; it is as if it had not been.
        others: Nodes and groups of which something pending may depend, and
            that no queue holds: what runs, and relays.

    Cost: the whole graph, and a sort.
    """
    queues = list(queues)
    listed = [[queue.heap, queue.line, queue.front] for queue in queues]
    nodes, groups = _reachable([vars(order), listed, [*others], lost])
    new = type(order)()
    if isinstance(new, OldestFirst):
        new.before = min([0, *(node.number for node in nodes if node is not lost)])
    new.held = order.held
    for queue in queues:
        queue.heap.clear()
        queue.line.clear()
        queue.front.clear()
        queue.heap_limit = SWEEP_FROM
        queue.waiting = queue.ready = 0
    for group in groups:
        group.nodes.clear()
        group.listed = False
    lost._end(None)
    for node in nodes:
        if node.plan is not HELD_BACK:
            node.plan = node.place = None
        # Without *lost*, and relays whose own addition was struck.
        dependents = [other for other in dependents_of(node) if other is not lost and other.state != NEW]
        node.dependents = as_few(dependents)
    # A member of a group has a number of its own, which is its place.
    for node in sorted((node for node in nodes if WAITING <= node.state <= READY), key=_number):
        # What waits for something that was dropped is about to be dropped too: see `drop_some`.
        needs = dependencies_of(node)
        missing = sum(other.state < DONE or (other.state > DONE and not node.tolerant) for other in needs)
        queue = node.queue
        if queue is None:
            node.missing = missing + 1 if node.held else missing or 1
            continue
        node.missing = missing
        node.state = WAITING if missing else READY
        if missing:
            queue.waiting += 1
        else:
            queue.ready += 1
        if node.plan is not HELD_BACK:
            new.added(node, None)
        elif not missing:
            heappush(queue.front, node.place)
    return new


def _reachable(things: Any) -> tuple[list[Node], list[Group]]:
    """All nodes and groups in *things*, in the plans and containers there, and in what is linked to them."""
    nodes: dict[Node, None] = {}
    groups: list[Group] = []
    seen: dict[int, Any] = {}  # by id, and kept, so that an id stays its own
    todo: list[Any] = [things]
    while todo:
        thing = todo.pop()
        if isinstance(thing, Node):
            if thing not in nodes:
                nodes[thing] = None
                todo.extend([thing.dependencies, thing.dependents, thing.plan, thing.place])
        elif isinstance(thing, (list, tuple, deque, dict, set, WeakSet, Plan, Group)):
            if id(thing) in seen:
                continue
            seen[id(thing)] = thing
            if isinstance(thing, Plan):
                todo.extend([thing.head, thing.met, thing.frames, thing.later])
            elif isinstance(thing, Group):
                groups.append(thing)
                todo.append(thing.nodes)
            elif isinstance(thing, dict):
                todo.extend([*thing.keys(), *thing.values()])
            else:
                todo.extend(thing)
    return list(nodes), groups


def _number(node: Node) -> int:
    return node.number
