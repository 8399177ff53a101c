"""Oldest first: the ready node that was submitted first goes first.

Nodes that are ready when they are added come in the order of their numbers: the queue's line, a
deque.  A node that becomes ready later may come out of turn: the queue's heap.  A node that is
dropped, or started out of turn, stays in either until it comes to an end of the line or a sweep
finds it; sweeps are frequent enough that at most half of a line is dead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from heapq import heappop, heappush
from operator import attrgetter
from typing import Any

from .graph import dependencies_of, settle
from .nodes import DONE, READY, RUNNING, SWEEP_FROM, Group, Node, PlannedQueue


class OldestFirst:
    """The ready node with the lowest number starts first: first in, first out."""

    #: Nothing is ever searched.
    steps = 0
    todo = None

    def __init__(self) -> None:
        # Promoted nodes are numbered downwards from here; written by `promote`.
        self._before = 0

    def new_line(self) -> deque[Any]:
        """Return what `PlannedQueue.line` is in this order."""
        return deque()

    def item_number(self, group: Group) -> int:
        """Return the number of the next node of *group*."""
        group.count += 1
        return group.base + group.count - 1

    # What the planner tells.

    def added(self, node: Node) -> None:
        """Note that *node*, of a group, was added."""
        if node._stage == READY:
            self.freed(node)

    def freed(self, node: Node) -> None:
        """Note that *node* has become READY."""
        queue: PlannedQueue = node._queue
        line = queue.line
        if not line or line[-1]._number < node._number:
            line.append(node)
        else:
            heappush(queue.heap, [node._number, node])

    def start(self, node: Node) -> None:
        """Start ready *node*, whatever would go first."""
        node._queue.start(node)
        self._tidy(node._queue)

    def leave(self, node: Node) -> None:
        """Do nothing: an entry can't be removed from the middle of a line (see `dropped`)."""

    def dropped(self, nodes: list[Node]) -> None:
        """Forget *nodes*, which were just dropped: at once, or when a later drop finds half a line dead."""
        last: PlannedQueue | None = None
        for node in nodes:
            queue = node._queue
            if queue is not last and queue is not None:  # most often they are of one queue
                self._tidy(queue)
                last = queue

    def held_back(self, node: Node) -> None:
        """Do nothing: *node* goes by its number once it is ready again."""

    def promote(self, node: Node, number: int) -> None:
        """Number *node* and all it needs before all others, in the order of a search."""
        order: dict[Node, None] = {}
        todo = [node]
        while todo:
            current = todo.pop()
            if current._stage < RUNNING and current not in order:
                order[current] = None
                todo.extend(reversed(dependencies_of(current)))
        self._before -= len(order)
        for place, current in enumerate(order):
            if current._queue is not None:
                current._number = self._before + place
        for queue in dict.fromkeys(current._queue for current in order):
            if queue is not None:
                self._sort(queue)

    # What it answers.

    def take(
        self, queue: PlannedQueue, limit: int | None = None, ended: Any = None, freed: Any = None
    ) -> Any:
        """Do what that of `NewestFirst` does.  Cost: O(log n), and one step for each dependent of *ended*."""
        if ended is not None:
            ended._stage = DONE
            queue.running -= 1
            dependents = ended._dependents
            if dependents is not None:
                ended._dependents = None
                settle(self, dependents if type(dependents) is list else [dependents], freed)
        line, heap = queue.line, queue.heap
        if line and not heap:  # most often
            first: Node = line.popleft()
            if first._stage == READY:
                queue.start(first)
                return first
        while line and line[0]._stage != READY:
            line.popleft()
        while heap and heap[0][1]._stage != READY:
            heappop(heap)
        if heap and (not line or heap[0][0] < line[0]._number):
            node: Any = heappop(heap)[1]
        elif line:
            node = line.popleft()
        else:
            return None
        queue.start(node)
        return node

    def listed(self, queues: Iterable[PlannedQueue]) -> list[Any]:
        """Return the pending nodes that are listed: all ready ones."""
        nodes = [node for queue in queues for node in [*queue.line, *(cell[1] for cell in queue.heap)]]
        return [node for node in nodes if node._stage == READY]

    def rebuild(self, queues: Iterable[PlannedQueue], pending: Iterable[Node]) -> None:
        """Make the order anew: *pending* are all nodes that wait or are ready.  Cost: a sort."""
        for queue in queues:
            queue.line.clear()
            queue.heap.clear()
        for node in sorted(pending, key=attrgetter("_number")):
            self._before = min(self._before, node._number)
            self.added(node)

    def _tidy(self, queue: PlannedQueue) -> None:
        line = queue.line
        while line and line[-1]._stage != READY:  # the usual places are the two ends
            line.pop()
        while line and line[0]._stage != READY:
            line.popleft()
        length = len(line) + len(queue.heap)
        if length > queue.ready and (length <= SWEEP_FROM or length > 2 * queue.ready):
            self._sort(queue)

    def _sort(self, queue: PlannedQueue) -> None:
        """Let all ready nodes of *queue*, and no others, be in its line."""
        live = [node for node in [*queue.line, *(cell[1] for cell in queue.heap)] if node._stage == READY]
        live.sort(key=attrgetter("_number"))
        queue.line = deque(live)
        queue.heap.clear()
