"""What is pending and running, written down: tasks, and dependencies between them.

A snapshot holds names and numbers, and keeps no task: nothing lives longer because
somebody looks at it.  It is made in two steps.  Under one hold of the lock the tasks
are found and what each needs is noted.  After it names are asked for: that may call
code of the user's.
"""

from __future__ import annotations

from reprlib import repr as short
from typing import TYPE_CHECKING, Any, NamedTuple

from .._futures.items import Item
from .._futures.names import label_of
from .._futures.relays import Foreign, Settled
from .._futures.task import Task
from .._planner import DONE, READY, RUNNING, STRIDE, WAITING, Node, dependencies_of

if TYPE_CHECKING:
    from .._core.shared import State

STATES = {WAITING: "waiting", READY: "ready", RUNNING: "running"}
OUTSIDE = "outside"

_NO_KEY: Any = object()


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
    #: What of it is needed: empty for its result, ``[3]`` for an item, ``settled`` for its end.
    part: str


class _Need(NamedTuple):
    """What a task needs: the result of *node*, or only its end, or a part of it."""

    node: Node | None
    settled: bool
    key: Any
    future: Any  # of another scheduler


class _Note(NamedTuple):
    """What is known of a task under the lock."""

    task: Task[Any]
    number: int
    state: int
    fn: Any
    queue: str
    needs: list[_Need]


Snapshot = tuple[tuple[GraphNode, ...], tuple[GraphEdge, ...]]


def snapshot(scheduler: State) -> Snapshot:
    """The tasks, in the order of submission, then what is outside; the dependencies, in argument order."""
    with scheduler.exclusive():
        running = [task for state in scheduler._queues for task in state.running_tasks()]
        notes = [_noted(task) for task in dict.fromkeys([*scheduler.termination.pending(), *running])]
    # The tasks of a `map` have falling numbers.
    notes.sort(key=lambda note: (note.number // STRIDE, -note.number))
    places: dict[Any, int] = {note.task: place for place, note in enumerate(notes)}
    nodes: list[GraphNode] = []
    for task, number, state, fn, queue, _ in notes:
        # `str.__str__`: a name of a class of the user's may do anything.
        nodes.append(GraphNode(number // STRIDE, str.__str__(label_of(task, fn)), queue, STATES[state]))
    edges: list[GraphEdge] = []
    for place, note in enumerate(notes):
        for need in note.needs:
            source = places.get(need.node)
            if isinstance(need.node, Foreign):  # each task has its own
                source = len(nodes)
                nodes.append(GraphNode(0, _name_outside(need.future), "", OUTSIDE))
            if source is not None:  # else it only keeps the order of a queue
                edges.append(GraphEdge(source, place, _part(need)))
    return tuple(nodes), tuple(edges)


def _noted(task: Any) -> _Note:
    needs = dependencies_of(task) if task._stage == WAITING else ()
    pending = [_meant(node) for node in needs if node._stage < DONE]
    return _Note(task, task._number, task._stage, task._fn, task._queue.name, pending)


def _meant(node: Node) -> _Need:
    """What is needed, if a task depends on *node*."""
    settled = isinstance(node, Settled)
    if settled:
        (node,) = dependencies_of(node)
    if isinstance(node, Item):
        return _Need(node._source, settled, node._key, None)
    if isinstance(node, Foreign):
        return _Need(node, node.settled, _NO_KEY, node.future)
    return _Need(node, settled, _NO_KEY, None)


def _name_outside(future: Any) -> str:
    if future is None:
        return "future of another executor"
    maker = future._producer()
    name = "" if maker is None else str.__str__(label_of(maker))
    return f"{name or 'task'} of another scheduler"


def _part(need: _Need) -> str:
    words = ["settled"] if need.settled else []
    if need.key is not _NO_KEY:
        kind = type(need.key)  # keys of the user's own types are not asked
        words.append(f"[{short(need.key) if kind in (int, str) else kind.__qualname__}]")
    return " ".join(words)
