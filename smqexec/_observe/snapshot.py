"""The pending and running tasks of one moment, and the dependencies between them.

A snapshot holds names and numbers, and keeps no task alive.  It is made in two steps.  Under
one hold of the lock the tasks and their dependencies are listed.  After that the tasks are
named, which may run the user's code.
"""

from __future__ import annotations

from reprlib import repr as short
from typing import TYPE_CHECKING, Any, NamedTuple

from .._futures.items import Item
from .._futures.names import label_of
from .._futures.relays import Foreign, Settled
from .._futures.task import Task
from .._planner import DONE, READY, RUNNING, STRIDE, WAITING, dependencies_of

if TYPE_CHECKING:
    from .._core.state import State

STATES = {WAITING: "waiting", READY: "ready", RUNNING: "running"}
OUTSIDE = "outside"


class GraphNode(NamedTuple):
    """A task; or a future from outside that a task waits for."""

    #: Its place in the order of submission, from 1 on; a promotion changes it.
    #: Those of one `map` have the same.  0: from outside.
    number: int
    #: Its name, or that of its function.
    name: str
    #: The name of its queue; empty: from outside.
    queue: str
    #: ``"waiting"``, ``"ready"`` or ``"running"``; ``"outside"``: a future of
    #: another executor or scheduler.
    state: str


class GraphEdge(NamedTuple):
    """A dependency."""

    #: The dependency: an index of `Graph.nodes`.
    source: int
    #: The dependent: an index of `Graph.nodes`.
    target: int
    #: Which part of the dependency is needed: empty for its result, ``[3]`` for an item,
    #: ``settled`` for its end.
    part: str


#: A dependency of a task: the node, in words which part of it is needed, and the future of another scheduler.
_Need = tuple[Any, str, Any]

Snapshot = tuple[tuple[GraphNode, ...], tuple[GraphEdge, ...]]


def snapshot(scheduler: State) -> Snapshot:
    """Return the tasks, in the order of submission, then futures from outside; and the dependencies.

    Cost: for each task 1 to 2 µs under the lock, and as much after it.
    """
    with scheduler.exclusive():
        running = [task for queue in scheduler.queues for task in queue.running_tasks()]
        tasks: Any = dict.fromkeys([*scheduler.termination.pending(), *running])
        notes = [
            (task, task._number, task._stage, task._fn, task._queue.name, _needs(task)) for task in tasks
        ]
    # The tasks of a `map` have falling numbers.
    notes.sort(key=lambda note: (note[1] // STRIDE, -note[1]))
    places = {note[0]: place for place, note in enumerate(notes)}
    nodes: list[GraphNode] = []
    for task, number, state, fn, queue, _ in notes:
        # `str.__str__`: a name of a class of the user's may do anything.
        nodes.append(GraphNode(number // STRIDE, str.__str__(label_of(task, fn)), queue, STATES[state]))
    edges: list[GraphEdge] = []
    for target, (*_, needs) in enumerate(notes):
        for node, part, future in needs:
            source = places.get(node)
            if isinstance(node, Foreign):  # each task has its own
                source = len(nodes)
                nodes.append(GraphNode(0, _name_outside(future), "", OUTSIDE))
            if source is not None:  # else the node only keeps the order of a queue
                edges.append(GraphEdge(source, target, part))
    return tuple(nodes), tuple(edges)


def _needs(task: Any) -> list[_Need]:
    """Return the pending dependencies of *task*.  The lock is held."""
    if task._stage != WAITING:
        return []
    return [
        (node, "", None) if type(node) is Task else _relayed(node)
        for node in dependencies_of(task)
        if node._stage < DONE
    ]


def _relayed(node: Any) -> _Need:
    """Return what the relay *node* stands for.  The lock is held."""
    words = []
    if isinstance(node, Settled):
        (node,) = dependencies_of(node)
        words = ["settled"]
    if isinstance(node, Item):
        kind = type(node._key)  # keys of the user's own types are not asked
        words.append(f"[{short(node._key) if kind in (int, str) else kind.__qualname__}]")
        return node._source, " ".join(words), None
    if isinstance(node, Foreign):
        return node, "settled" if node.settled else "", node.future
    return node, " ".join(words), None


def _name_outside(future: Any) -> str:
    if future is None:
        return "future of another executor"
    maker = future._producer()
    name = "" if maker is None else str.__str__(label_of(maker))
    return f"{name or 'task'} of another scheduler"
