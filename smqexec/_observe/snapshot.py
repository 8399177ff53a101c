"""What is pending and running, written down: the tasks of a scheduler and who waits for whom.

A survey ends with names and numbers, and keeps no task: nothing lives longer
because somebody looks at it.  It is made in two steps.  Under the lock the tasks
are found, from those that are ready or run on to what depends on them, and what
is to be told of each is noted.  After it names are asked for: that may call what
is the user's.

So many tasks are looked at under one hold of the lock (`SLICE`), and in between
others have it.  What can be missed that way?  A task that is pending all the
while depends, over a chain of pending ones, on one that is ready or runs in the
end.  None of that chain has ended, so its links were there from the start.  What
is ready or runs is looked up once more, and what that leads to is found then,
under one hold.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from reprlib import repr as short
from typing import TYPE_CHECKING, Any, NamedTuple

from .._core.submission_order import Barrier
from .._futures.items import Item
from .._futures.task import Foreign, Settled, Task, called, label_of
from .._planner import DONE, READY, RUNNING, STRIDE, WAITING, Node, dependencies_of, dependents_of

if TYPE_CHECKING:
    from .._core.dispatch import Dispatcher

# Tasks looked at under one hold of the lock: some 1 ms.
SLICE = 2000

STATES = {WAITING: "waiting", READY: "ready", RUNNING: "running"}
OUTSIDE = "outside"

_NO_KEY: Any = object()


class GraphNode(NamedTuple):
    """A task; or a future from outside that one waits for."""

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

    #: What is waited for: an index of `Graph.nodes`.
    source: int
    #: Who waits for it: an index of `Graph.nodes`.
    target: int
    #: What of it: empty for its result, ``[3]`` for an item, ``settled`` for its end, whatever that is.
    part: str


class _Need(NamedTuple):
    """What a relay stands for: the result of *node*, or the end, or a part of it."""

    node: Node | None
    settled: bool
    key: Any
    future: Any  # of another scheduler


class Survey:
    """One look at *scheduler*.  It keeps what it found until it is let go of, without the lock."""

    def __init__(self, scheduler: Dispatcher) -> None:
        self.scheduler = scheduler
        self.found: dict[Node, None] = {}
        # Flat lists: a record for each would have Python's garbage collector run under the lock.
        self.told: list[Any] = []  # of each task in turn, what `_note` says
        self.needs: list[Node] = []  # what each needs in turn
        self.relays: dict[Node, _Need] = {}  # what those among them stand for

    def make(self) -> tuple[tuple[GraphNode, ...], tuple[GraphEdge, ...]]:
        """Look, and tell: the tasks in the order of submission, and what they need in argument order."""
        steps = self._look()
        going = True
        while going:
            with self.scheduler.exclusive():
                going = next(steps, False)
            time.sleep(0)
        return self._tell()

    # Under the lock.

    def _look(self) -> Iterator[bool]:
        """Find and note all tasks; at each yield others may have the lock."""
        found = self.found
        looked = 0
        slices = 0
        for last in (False, True):
            if last and not slices:
                break  # nobody had the lock meanwhile
            todo = [node for node in self._roots() if node not in found]
            found.update(dict.fromkeys(todo))
            while todo:
                dependents = dependents_of(todo.pop())
                new = [node for node in dependents if node not in found]
                found.update(dict.fromkeys(new))
                todo += new
                looked += 1 + len(dependents)
                del dependents  # others may drop theirs meanwhile, and ours would be the last
                if looked >= SLICE and not last:
                    yield True
                    looked = 0
                    slices += 1
        for node in found:
            self._note(node)
            looked += 1
            if looked >= SLICE:
                yield True
                looked = 0

    def _roots(self) -> list[Node]:
        """What is ready, runs, or comes from outside: something pending may depend on it."""
        scheduler = self.scheduler
        running = [task for slots in scheduler._slots for run in slots.runs for task in run.tasks()]
        return [*scheduler.planner.ready(scheduler._slots), *running, *scheduler._outside]

    def _note(self, node: Node) -> None:
        if not isinstance(node, Task) or node.state > RUNNING:
            return
        count = len(self.needs)
        if node.state == WAITING:
            needs = [other for other in dependencies_of(node) if other.state < DONE]
            self.needs += [other for other in needs if type(other) is not Barrier]
            for other in self.needs[count:]:
                if not isinstance(other, Task):
                    self.relays[other] = _meant(other)
        slots: Any = node.queue
        self.told += (node, node.number, node.state, node._fn, slots.name, len(self.needs) - count)

    # Without it.

    def _tell(self) -> tuple[tuple[GraphNode, ...], tuple[GraphEdge, ...]]:
        needs = iter(self.needs)
        notes: list[tuple[Any, ...]] = [
            (*note, list(islice(needs, note[-1]))) for note in zip(*[iter(self.told)] * 6, strict=True)
        ]
        # The items of a group have falling numbers.
        notes.sort(key=_order)
        places = {note[0]: place for place, note in enumerate(notes)}
        nodes: list[GraphNode] = []
        for task, number, state, fn, queue, *_ in notes:
            # Of a class of its own, a name may do anything.
            nodes.append(GraphNode(number // STRIDE, str.__str__(called(task, fn)), queue, STATES[state]))
        edges: list[GraphEdge] = []
        for place, note in enumerate(notes):
            for node in note[-1]:
                part = ""
                if node in self.relays:
                    node, settled, key, future = self.relays[node]
                    part = _part(settled, key)
                    if isinstance(node, Foreign):  # of its own for each task
                        places[node] = len(nodes)
                        nodes.append(GraphNode(0, _name_outside(future), "", OUTSIDE))
                if node in places:  # else it has ended
                    edges.append(GraphEdge(places[node], place, part))
        return tuple(nodes), tuple(edges)


def _meant(node: Node) -> _Need:
    """What is meant by *node*, a relay."""
    settled = isinstance(node, Settled)
    if settled:
        (node,) = dependencies_of(node)
    if isinstance(node, Item):
        return _Need(node._source, settled, node._key, None)
    if isinstance(node, Foreign):
        return _Need(node, node.settled, _NO_KEY, node.future)
    return _Need(node, settled, _NO_KEY, None)


def _order(note: tuple[Any, ...]) -> tuple[int, int]:
    return note[1] // STRIDE, -note[1]


def _name_outside(future: Any) -> str:
    if future is None:
        return "future of another executor"
    maker = future._maker()
    name = "" if maker is None else str.__str__(label_of(maker))
    return f"{name or 'task'} of another scheduler"


def _part(settled: bool, key: Any) -> str:
    words = ["settled"] if settled else []
    if key is not _NO_KEY:
        # Of the user's own types none is asked.
        kind = type(key)
        words.append(f"[{short(key) if kind in (int, str) else kind.__qualname__}]")
    return " ".join(words)
