"""Count what goes before a ready node, by the definition of the two orders.

The planner never counts: it finds what is first.  This is the naive search, over
all that is pending, for a person who asks.  Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from smqexec._planner import READY, RUNNING, Node, dependencies_of


def rank_of(node: Node, pending: Sequence[Any], newest: bool) -> int:
    """How many ready nodes of its queue would start before ready *node*.

    Args:
        node: The ready node.
        pending: All pending nodes of its planner that a queue starts, those with low numbers in front.
        newest: The order is "newest", not "oldest".

    Cost: a step for each pending node, and, newest first, for each dependency of one.
    """
    queue = node._queue
    if not newest:
        older = [other for other in pending if other._number < node._number]
        return sum(other._queue is queue and _ready(other) for other in older)
    first = [*queue.first]  # these go before all others
    if node in first:
        return first.index(node)
    count = len(first)
    seen = set(first)
    for sink in reversed(pending):
        todo = [sink]
        while todo:
            current = todo.pop()
            if current is node:
                return count
            if current._stage >= RUNNING or current in seen:
                continue
            seen.add(current)
            count += current._queue is queue and _ready(current)
            todo.extend(reversed(dependencies_of(current)))
    raise ValueError(f"{node!r} is not among the pending nodes")


def _ready(node: Node) -> bool:
    return node._stage == READY
