"""The pending and running tasks of one moment, and the dependencies between them.

A snapshot has names and numbers, and keeps no task alive.  It is made in two steps: one hold of
the lock lists the tasks and their dependencies; then the tasks are named, which may run user code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .._futures.at_end import Foreign, Settled
from .._futures.items import Item
from .._futures.names import label_of
from .._planner import DONE, READY, RUNNING, STRIDE, WAITING, dependencies_of
from .text import shown

if TYPE_CHECKING:
    from .._core.state import State

STATES = {WAITING: "waiting", READY: "ready", RUNNING: "running"}
OUTSIDE = "outside"


class GraphNode(NamedTuple):
    """A task; or a future from outside that a task waits for."""

    #: Its place in the order of submission, from 1 on; a promotion changes it.  The tasks of one
    #: `map` have the same.  0: from outside.
    number: int
    #: Its name, or that of its function.
    name: str
    #: The name of its queue; empty: from outside.
    queue: str
    #: ``"waiting"``, ``"ready"`` or ``"running"``; ``"outside"``: a future of another executor or
    #: scheduler.
    state: str


class GraphEdge(NamedTuple):
    """A dependency."""

    #: The dependency: an index of `Graph.nodes`.
    source: int
    #: The dependent: an index of `Graph.nodes`.
    target: int
    #: The part of the dependency that is needed: empty for its result, ``[3]`` for an item,
    #: ``settled`` for its end.
    part: str


def snapshot(scheduler: State) -> tuple[tuple[GraphNode, ...], tuple[GraphEdge, ...]]:
    """Return the tasks, in the order of submission, then futures from outside; and the dependencies.

    Cost: for each task 1 to 2 µs under the lock, and as much after it.
    """
    with scheduler.exclusive():
        tasks: Any = dict.fromkeys([*scheduler.termination.pending(), *scheduler.running_tasks()])
        found = [
            (task, task._number, task._stage, task._fn, task._queue.name, _needs(task)) for task in tasks
        ]
    # The tasks of a `map` have falling numbers.
    found.sort(key=lambda each: (each[1] // STRIDE, -each[1]))
    places = {task: place for place, (task, *_) in enumerate(found)}
    nodes: list[GraphNode] = []
    for task, number, stage, fn, queue, _ in found:
        # `str.__str__`: a name of a class of the user's may do anything.
        nodes.append(GraphNode(number // STRIDE, str.__str__(label_of(task, fn)), queue, STATES[stage]))
    edges: list[GraphEdge] = []
    for target, (*_, needs) in enumerate(found):
        for node, part, future in needs:
            source = places.get(node)
            if isinstance(node, Foreign):  # each task has its own
                source = len(nodes)
                nodes.append(GraphNode(0, _name_outside(future), "", OUTSIDE))
            if source is not None:  # else the node only keeps the order of a queue
                edges.append(GraphEdge(source, target, part))
    return tuple(nodes), tuple(edges)


def _needs(task: Any) -> list[tuple[Any, str, Any]]:
    """Return each pending dependency of *task*: see `_need`.  The lock is held."""
    nodes = dependencies_of(task) if task._stage == WAITING else ()
    return [_need(node) for node in dict.fromkeys(nodes) if node._stage < DONE]


def _need(node: Any) -> tuple[Any, str, Any]:
    """Return what *node* stands for: a task, or a relay `Foreign` with its future; and the part."""
    part = ""
    if isinstance(node, Settled):
        (node,) = dependencies_of(node)
        part = "settled"
    if isinstance(node, Foreign):
        return node, "settled" if node.settled else "", node.future
    if isinstance(node, Item):
        part = f"{part} [{shown(node._key)}]".lstrip()
        node = node._source
    return node, part, None


def _name_outside(future: Any) -> str:
    if future is None:
        return "future of another executor"
    maker = future._producer()
    name = "" if maker is None else str.__str__(label_of(maker))
    return f"{name or 'task'} of another scheduler"
