"""Nested waiting: a search finds the ready tasks of a worker's own queue that its waiting task needs.

A `JoinSearch` belongs to the `Wait` of a worker.  It is a depth-first search that starts at the awaited
futures, and is suspended while the worker blocks or runs a nested task.  It continues

- from a pending node to its dependencies, in argument order;
- from a pending task of another queue also to the futures that the workers of that queue await, as the task
  may need one of their slots;
- from a task that lacks units of a resource also to the tasks that hold them;
- from a running task to the futures that its thread awaits.

Two events extend the search after it has passed a node: the node becomes ready (`freed`), or needs more than
before (`extend`), as its thread begins to wait or its task lacks units.

Invariant: while `frames` and `new_needs` are empty, `ready` has each needed ready task of the worker's queue.
A search keeps no node, as an ended node has a result: references to visited nodes are weak.

Locks: the waiting thread advances the search under the lock of the worker's scheduler; to visit a node of
another scheduler it releases that lock and takes the other.  It never holds both, so two searches can't
deadlock.  Other threads call the event methods under the lock of the event's scheduler.  If that is not the
worker's, an event looks up single entries, and appends to `new_needs`: both are atomic.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Set
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeAlias
from weakref import ref

from .._core.queue_state import QueueState, Worker
from .._core.upward import SEARCH_LIMIT, searches
from .._futures.at_end import Foreign
from .._futures.future import PlannedFuture
from .._limits.resources import Allocation
from .._planner import DONE, NONE, READY, RUNNING, Node, listed_dependencies
from .waits import AllTasks, Wait

#: Nodes to visit, and the scheduler of the relays among them: a relay does not know its scheduler.
Frame: TypeAlias = tuple[Iterator[Any], Any]


class Finder:
    """The search of a wait: it finds the tasks that a worker runs meanwhile, and receives events."""

    def __init__(self, wait: Wait) -> None:
        # Constant: the wait; the scheduler of its workers; and by queue the worker in whose slot a task of
        # that queue runs nested.
        self.wait = wait
        self.scheduler: Any = wait.workers[0].queue.scheduler
        self.homes: dict[Any, Worker] = {each.queue: each for each in wait.workers}

    def open(self) -> None:
        """Receive events from now on.  The lock is held."""
        searches[self] = None
        for queue in self.homes:
            queue.searches[self] = None
            queue.wakes_none = False

    def close(self) -> None:
        """Receive no more events.  Takes no lock: each step is atomic."""
        searches.pop(self, None)
        for queue in self.homes:
            queue.searches.pop(self, None)

    # Events.  Called by any thread under the lock of the scheduler of the node or task.

    def freed(self, node: Node) -> None:
        """Note that *node*, of one of `homes`, has become ready."""
        self.wait.release()

    def ready_without_worker(self) -> None:
        """Note that a task of one of `homes` is ready, and no worker is on its way to it."""
        self.wait.release()

    def extend(self, nodes: Set[ref[Any]], queues: Iterable[QueueState], frame: Frame) -> None:
        """Note that *nodes*, and the slots of *queues*, need the nodes in *frame* too."""

    # Called by the waiting thread, under the lock.

    def has_work(self) -> bool:
        """Return True if `take` may find a task.  Any thread may call this."""
        raise NotImplementedError

    def take(self) -> Any:
        """Start the task that goes first and return it; return None if there is none, or none found yet."""
        raise NotImplementedError


class AnyReady(Finder):
    """Finds all ready tasks of the worker's queue, in order: for a wait for `AllTasks`."""

    def has_work(self) -> bool:
        """Return True if a task is ready, and may start."""
        return any(queue.ready for queue in self.homes) and not self.scheduler.stopped

    def take(self) -> Any:
        """Start the ready task that goes first and return it; None if there is none, or none found yet."""
        for queue in () if self.scheduler.stopped else self.homes:
            task = self.scheduler.take_next(queue, SEARCH_LIMIT)
            if task is not None or queue.ready:
                return task
        return None


class JoinSearch(Finder):
    """Finds the ready tasks of the worker's queue that the awaited futures need."""

    def __init__(self, wait: Wait) -> None:
        super().__init__(wait)
        # Visited nodes, each with its place in the order of visits.  The waiting thread adds an entry under
        # the lock of the node's scheduler.  The entries of ended nodes stay: no other node is equal to them.
        self.seen: dict[ref[Any], int] = {}
        # The next places.  The waiting thread's own.
        self.places = count()
        # Other queues of which a pending task was visited.  The waiting thread adds a queue under the lock of
        # the queue's scheduler, and `extend` reads under the same lock.
        self.other_queues: set[QueueState] = set()
        # The frames of the suspended search, the innermost last.  The waiting thread's own; `has_work` of
        # other threads reads whether there are any, under the lock of the worker's scheduler.
        self.frames: list[Frame] = [(wait.futures(), None)]
        # Frames of further needs of visited nodes.  Events append them, under any lock.
        self.new_needs: deque[Frame] = deque()
        # A heap of ready tasks by their places.  Read and written under the lock of the worker's scheduler,
        # which is that of all `homes`.
        self.ready: list[tuple[int, ref[Any]]] = []

    def freed(self, node: Node) -> None:
        """Add *node* to the ready tasks if it was visited."""
        reference = ref(node)
        place = self.seen.get(reference)
        if place is not None:
            heappush(self.ready, (place, reference))
            self.wait.release()

    def ready_without_worker(self) -> None:
        """Wake the thread if it has left a task to another worker, which may now take another task."""
        if self.ready:
            self.wait.release()

    def extend(self, nodes: Set[ref[Any]], queues: Iterable[QueueState], frame: Frame) -> None:
        """Visit the nodes in *frame* too if one of *nodes*, or a task of *queues*, was visited."""
        if not (self.other_queues.isdisjoint(queues) and self.seen.keys().isdisjoint(nodes)):
            self.new_needs.append(frame)
            self.wait.release()

    def has_work(self) -> bool:
        """Return True if `take` may find a task."""
        return self._may_start() or bool(self.frames or self.new_needs)

    def _may_start(self) -> bool:
        """Return True if the first needed ready task may start here.

        A generator task of which an item was requested is left to another worker that is on its way: nested,
        it would end before this thread gets the item.
        """
        if not self.ready or self.scheduler.stopped:
            return False
        node = self.ready[0][1]()
        if node is None or node._stage != READY or node._stream is None:
            return True
        queue: QueueState = node._queue
        # A worker of an inline queue may be due in a thread that is busy for long.
        return queue.inline or queue.ready > len(queue.coming)

    def take(self) -> Any:
        """Start the first needed ready task and return it; return None if there is none, or none yet.

        The lock is held, except during a visit of another scheduler's node.  Cost: over the life of the
        search, a step for each node and each of its dependencies; in one call at most `SEARCH_LIMIT` steps.
        """
        for _ in range(SEARCH_LIMIT):
            if self._may_start():
                node = heappop(self.ready)[1]()
                # The entry is stale if the node has ended, or another worker has started it.
                if node is not None and node._stage == READY:
                    # Started under the lock: no worker takes it, too.
                    self.scheduler.planner.order.start(node)
                    if self.scheduler.allocating.allocate(node):
                        return node
            # Ready tasks go first: the search has visited them before all nodes that are still to visit.
            elif self.frames:
                self._step()
            elif self.new_needs:
                self.frames.append(self.new_needs.popleft())
            else:
                break
        return None

    def _step(self) -> None:
        """Visit the next node of the innermost frame."""
        owner: Any
        nodes, owner = self.frames[-1]
        node = next(nodes, None)
        if node is None:  # all are visited, or a dependency list was emptied as its task started or ended
            self.frames.pop()
            return
        if isinstance(node, PlannedFuture):
            queue = node._home
            if queue is None:
                return  # it has ended
            owner = queue.scheduler
        elif type(node) is AllTasks:
            owner = node.scheduler
        elif not isinstance(node, Node):
            return  # a future of another executor
        if owner is self.scheduler:
            self._visit(node, owner)
            return
        # Two locks at a time could deadlock with another search.  Events report all changes of the own
        # scheduler meanwhile.  *node* may end before its lock is taken: `_visit` looks again.
        self.scheduler.lock.release()
        owner.lock.acquire()
        try:
            self._visit(node, owner)
        finally:
            owner.lock.release()
            self.scheduler.lock.acquire()

    def _visit(self, node: Any, owner: Any) -> None:
        """Record *node*, and visit its needs next.  The lock of *owner*, the node's scheduler, is held."""
        if type(node) is AllTasks:
            self.frames.append((iter(node.nodes()), owner))
            return
        reference = ref(node)
        if node._stage >= DONE or reference in self.seen:
            return
        if type(node) is Allocation:  # not in `seen`: `extend` has it visited again
            if node in owner.relays:
                self.frames.append((iter(node.blockers()), owner))
            return
        place = self.seen[reference] = next(self.places)
        # Each case records the node before it reads the state, under the lock of *owner*: so an event either
        # has changed the state already, or finds the node in `seen`.
        if node._stage == RUNNING:
            self._follow(wait for worker in node._queue.workers for wait in worker.waits_of(node))
            return
        queue: QueueState | None = node._queue
        if queue in self.homes:
            # If it becomes ready later, `freed` adds it.
            if node._stage == READY:
                heappush(self.ready, (place, reference))
        elif queue is not None and queue not in self.other_queues:
            self.other_queues.add(queue)
            self._follow(wait for worker in reversed(queue.workers) for _, wait in worker.waits)
        elif type(node) is Foreign and node.future is not None:
            self.frames.append((iter((node.future,)), None))
        if node._dependencies is not NONE:
            self.frames.append((iter(listed_dependencies(node)), owner))

    def _follow(self, waits: Iterable[Wait]) -> None:
        """Visit the futures that *waits* await next."""
        self.frames += [(wait.futures(), None) for wait in waits]
