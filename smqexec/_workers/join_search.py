"""Nested waiting: a search finds the ready tasks of a worker's own queue that its waiting task needs.

It is a depth-first search that starts at the awaited futures.  It continues from::

    a pending node                    to its dependencies, in argument order
    a pending task of another queue   also to the futures that workers there await: it may need their slot
    a task that lacks units           also to the tasks that hold the units, or have waited longer for them
    a running task                    to the futures that its thread awaits

The search is suspended while the worker blocks or runs a nested task.  Events extend it: for example, a task
that was visited while it ran begins to wait.

Invariant: while there are no frames, `ready` has each needed ready task of the worker's queue.

The waiting thread advances the search under the lock of the worker's scheduler, and visits a node of another
scheduler under the lock of that one.  It never holds both: no two searches deadlock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Any
from weakref import ref

from typing_extensions import override

from .._core.queue_state import QueueState, Worker
from .._core.upward import SEARCH_LIMIT
from .._futures.at_end import Foreign
from .._limits.resources import Allocation
from .._planner import DONE, NONE, READY, RUNNING, Node, listed_dependencies
from .waits import ConditionWait, Frame, Wait, scheduler_of


class JoinWait(Wait):
    """A wait for futures; its worker runs the ready tasks of its queue that the futures need meanwhile."""

    # The place, in the order of visits, of each visited node, and of each other queue of which a pending task
    # was visited.  Nodes are weak references, as an ended node has a result; a dead reference equals no
    # other.  The waiting thread adds an entry under the lock of the scheduler of the node or queue.
    seen: dict[Any, int]
    # The frames of the suspended search, the innermost last.  The waiting thread alone adds and removes
    # these; but events add frames at the front, under any lock.
    frames: deque[Frame]
    # A heap of ready tasks by their places.  Guarded by the lock of the worker's scheduler, which is that of
    # all `homes`.
    ready: list[tuple[int, ref[Any]]]

    @override
    def bind(self, workers: tuple[Worker, ...]) -> None:
        super().bind(workers)
        # `seen` first.  Events of an earlier search may still come; they read `seen` last.  So a place in the
        # earlier `seen` never leads to an entry in the new `frames` or `ready`.
        self.seen = {}
        self.frames = deque([(self.futures(), None)])
        self.ready = []

    @override
    def close(self) -> None:
        super().close()
        self.frames = deque()  # the outermost frame refers to this wait, which would keep what has ended

    # Events.  If the lock that is held is not that of the worker's scheduler, these look up single entries of
    # `seen`, and append to `frames`: both are atomic.

    @override
    def freed(self, node: Node) -> None:
        ready, reference = self.ready, ref(node)
        place = self.seen.get(reference)
        if place is not None:
            heappush(ready, (place, reference))
            self.wake()

    @override
    def ready_without_worker(self) -> None:
        if self.ready:  # the thread may have left one of these to another worker
            self.wake()

    @override
    def extend(self, nodes: Iterable[Any], frame: Frame) -> None:
        frames = self.frames
        if not self.seen.keys().isdisjoint(nodes):
            frames.appendleft(frame)
            self.wake()

    # Called under the lock of the worker's scheduler.

    @override
    def has_work(self) -> bool:
        return self._may_start() or bool(self.frames)

    def _may_start(self) -> bool:
        """Return True if the first needed ready task may start here."""
        if not self.ready or self.scheduler.stopped:
            return False
        node = self.ready[0][1]()
        if node is None or node._stage != READY or node._stream is None:
            return True
        # A generator task of which an item was requested is left to a worker that is on its way: nested, it
        # would end before this thread gets the item.
        queue: QueueState = node._queue
        # A worker of an inline queue may be due in a thread that is busy for long.
        return queue.inline or queue.ready > len(queue.coming)

    @override
    def take(self) -> Any:
        # Cost: over the life of the search, a step for each node and each of its dependencies.
        for _ in range(SEARCH_LIMIT):
            if self._may_start():
                node = heappop(self.ready)[1]()
                # The entry is stale if the node has ended, or another worker has started it.
                if node is not None and node._stage == READY:
                    self.scheduler.planner.order.start(node)
                    if self.scheduler.allocating.allocate(node):
                        return node
            # Ready tasks go first: the search has visited them before all nodes that are still to visit.
            elif self.frames:
                self._step()
            else:
                break
        return None

    def _step(self) -> None:
        """Visit the next node of the innermost frame."""
        nodes, owner = self.frames[-1]
        node = next(nodes, None)
        if node is None:  # all are visited, or a dependency list was emptied as its task started or ended
            self.frames.pop()
            return
        if owner is None:
            owner = scheduler_of(node)
        if owner is self.scheduler:
            self._visit(node, owner)
        elif owner is not None:
            # Events report all changes of the own scheduler meanwhile.  *node* may end before its lock is
            # taken: `_visit` looks again.
            self.scheduler.lock.release()
            owner.lock.acquire()
            try:
                self._visit(node, owner)
            finally:
                owner.lock.release()
                self.scheduler.lock.acquire()

    def _visit(self, node: Any, owner: Any) -> None:
        """Record *node*, and visit its needs next.  The lock of *owner*, the node's scheduler, is held."""
        if isinstance(node, ConditionWait):
            self.frames.append((iter(node.nodes()), owner))
            return
        reference = ref(node)
        if node._stage >= DONE or reference in self.seen:
            return
        if type(node) is Allocation:  # not in `seen`: `extend` has it visited again
            self.frames.append((iter(node.blockers()), owner))
            return
        # Each case records the node before it reads the state, under the lock of *owner*: so an event either
        # has changed the state already, or finds the node in `seen`.
        place = self.seen[reference] = len(self.seen)
        if node._stage == RUNNING:
            self._follow(wait for worker in node._queue.workers for wait in worker.waits_of(node))
            return
        queue: QueueState | None = node._queue
        if queue in self.homes:
            # If it becomes ready later, `freed` adds it.
            if node._stage == READY:
                heappush(self.ready, (place, reference))
        elif queue is not None and queue not in self.seen:
            self.seen[queue] = len(self.seen)
            self._follow(wait for worker in queue.workers for _, wait in worker.waits)
        elif type(node) is Foreign:  # for a future of another executor `future` is None: this ends the frame
            self.frames.append((iter((node.future,)), None))
        if node._dependencies is not NONE:
            self.frames.append((iter(listed_dependencies(node)), owner))

    def _follow(self, waits: Iterable[Wait]) -> None:
        """Visit the futures that *waits* await next."""
        self.frames += [(wait.futures(), None) for wait in waits]
