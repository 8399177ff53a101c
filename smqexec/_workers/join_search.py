"""Nested waiting: the join search finds the ready tasks of a worker's own queue that its waiting task needs.

A `JoinSearch` belongs to one wait of one worker.  It is a depth-first search that starts at the awaited
futures, and is suspended while the worker blocks or runs a nested task.  It continues

- from a pending node to its dependencies, in argument order;
- from a pending task of another queue also to the futures that the workers of that queue await, as the task
  may need one of their slots;
- from a task that lacks units of a resource also to the tasks that hold them;
- from a running task to the futures that its thread awaits.

Events extend the search after it has passed a node: the node becomes ready (`freed`), its worker begins to
wait (`extend`), its task lacks units (`held_back`), it ends (`forget`).

Invariants: `seen` has each visited node that has not ended.  While `frames` and `new_needs` are empty,
`ready` has each needed ready task of the worker's queue.

Locks: the waiting thread advances the search under the lock of the worker's scheduler; to visit a node of
another scheduler it releases that lock and takes the other.  It never holds both, so two searches can't
deadlock.  Other threads call the event methods under the lock of the event's scheduler.  If that is not the
worker's, an event looks up or removes single entries, and appends to `new_needs` and `wakes`: all are atomic.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from heapq import heappop, heappush
from queue import Empty, SimpleQueue
from threading import TIMEOUT_MAX
from typing import Any, TypeAlias

from .._core.queue_state import CURRENT, QueueState, Worker
from .._core.searches import SEARCH_LIMIT, searches
from .._futures.future import PlannedFuture
from .._futures.relays import Foreign
from .._limits.resources import Allocation, AllocationWaiter
from .._planner import DONE, NONE, READY, RUNNING, SEARCHING, Node, listed_dependencies

#: Nodes to visit, and the scheduler of the relays among them: a relay does not know its scheduler.
Frame: TypeAlias = tuple[Iterator[Any], Any]


class JoinSearch:
    """A wait of a worker's thread, and the search for tasks that this thread can run meanwhile.

    Args:
        worker: The waiting worker, of the calling thread.
        awaited: Returns the awaited futures that have not ended, or an `AllTasks`.  Called under any lock.
        satisfied: Returns True if the wait is over.
        strict: All awaited futures must end.
    """

    __slots__ = (
        "active", "awaited", "count", "frames", "held", "homes", "new_needs", "other_queues", "places",
        "ready", "satisfied", "scheduler", "seen", "strict", "wakes", "worker", "workers",
    )  # fmt: skip

    def __init__(
        self,
        worker: Worker,
        awaited: Callable[[], Collection[Any]],
        satisfied: Callable[[], bool],
        strict: bool = True,
    ) -> None:
        # Constant, as the parameters say.
        self.worker = worker
        self.scheduler: Any = worker.queue.scheduler
        self.awaited = awaited
        self.satisfied = satisfied
        self.strict = strict
        # All workers of the thread; and, by queue, the worker whose slot a nested task of that queue takes.
        # Both constant: a worker begins or leaves only while its thread does not wait here.
        self.workers = (*CURRENT.workers,)
        self.homes = {each.queue: each for each in self.workers}
        # True while the thread waits; and for each worker the task that waits, without the tasks around it.
        # Written by the thread under the scheduler's lock.
        self.active = False
        self.held: list[Any] = []
        # One entry for each event that may give the thread something to do; any thread puts one, without a
        # lock.  An entry stays until the thread takes it: so an event between `take` and `sleep` is not lost.
        self.wakes: SimpleQueue[None] = SimpleQueue()
        # Visited nodes that have not ended, each with its place in the order of visits; and the reverse.  The
        # waiting thread adds an entry under the lock of the node's scheduler.  `forget` removes it: a search
        # must not keep results.
        self.seen: dict[Node, int] = {}
        self.places: dict[int, Node] = {}
        # The next place.  The waiting thread's own.
        self.count = 0
        # Other queues of which a pending task was visited.  The waiting thread adds a queue under the lock of
        # the queue's scheduler, and `extend` reads under the same lock.
        self.other_queues: set[QueueState] = set()
        # The frames of the suspended search, the innermost last.  The waiting thread's own; `has_work` of
        # other threads reads whether there are any, under the lock of the worker's scheduler.
        self.frames: list[Frame] = [self.frame()]
        # Calls that make frames of further needs of visited nodes.  Events append them, under any lock.
        self.new_needs: deque[Callable[[], Frame]] = deque()
        # A heap of the places of ready tasks.  Read and written under the lock of the worker's scheduler,
        # which is that of all `homes`.
        self.ready: list[int] = []

    def open(self) -> None:
        """Receive events from now on."""
        searches[self] = None
        for queue in self.homes:
            queue.searches[self] = None

    def close(self) -> None:
        """Receive no more events."""
        searches.pop(self, None)
        for queue in self.homes:
            queue.searches.pop(self, None)

    def frame(self) -> Frame:
        """Return a frame of the awaited futures, which keeps none that was visited."""
        return _emptied(list(self.awaited())), None

    # Events.  Called by any thread under the lock of the scheduler of the node or worker.

    def release(self) -> None:
        """Wake the waiting thread."""
        self.wakes.put(None)

    def freed(self, node: Node) -> None:
        """Note that *node*, of one of `homes`, has become ready."""
        place = self.seen.get(node)
        if place is not None:
            heappush(self.ready, place)
            self.release()

    def extend(self, wait: JoinSearch, tasks: set[Any]) -> None:
        """Note that another worker has begun to *wait*: its *tasks* and its slot need the awaited futures."""
        if wait.workers[0] is self.workers[0]:
            return  # the wait is of the same thread: this one, or nested in this one
        if not (self.other_queues.isdisjoint(wait.homes) and self.seen.keys().isdisjoint(tasks)):
            # The frame is made when the search takes it up: by then futures, or the wait, may have ended.
            self.new_needs.append(lambda: wait.frame() if wait.active else (iter(()), None))
            self.release()

    def held_back(self, scheduler: Any, allocation: Allocation) -> None:
        """Note that the task of *allocation* lacks units, or needs the end of one more task for them."""
        if allocation.task in self.seen:
            waiter = allocation.waiter
            self.new_needs.append(lambda: (iter((waiter,)), scheduler))
            self.release()

    def forget(self, node: Node) -> None:
        """Release *node*, which has ended."""
        place = self.seen.pop(node, None)
        if place is not None:
            self.places.pop(place, None)

    def ready_without_worker(self) -> None:
        """Wake the thread if it has left a task to another worker, which may now take another task."""
        if self.ready:
            self.release()

    # Called by the waiting thread.

    def sleep(self, timeout: float | None) -> bool:
        """Block until the next event; return False after *timeout* seconds."""
        try:
            self.wakes.get(timeout=None if timeout is None else min(timeout, TIMEOUT_MAX))
        except Empty:
            return False
        return True

    def has_work(self) -> bool:
        """Return True if `take` may find a task.  The lock is held."""
        return self._may_start() or bool(self.frames or self.new_needs)

    def _may_start(self) -> bool:
        """Return True if the first needed ready task may start here.  The lock is held.

        A generator task of which an item was requested is left to another worker that is on its way: nested,
        it would end before this thread gets the item.
        """
        if not self.ready or self.scheduler.stopped:
            return False
        node: Any = self.places.get(self.ready[0])
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
                node: Any = self.places.get(heappop(self.ready))
                # The place is stale if the node has ended, or another worker has started it.
                if node is not None and node._stage == READY:
                    # Started under the lock: no worker takes it, too.
                    self.scheduler.planner.order.start(node)
                    if self.scheduler.allocating.allocate(node):
                        return node
            # Ready tasks go first: the search has visited them before all nodes that are still to visit.
            elif self.frames:
                self._step()
            elif self.new_needs:
                self.frames.append(self.new_needs.popleft()())
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
        if node._stage >= DONE or node in self.seen:
            return
        if type(node) is AllocationWaiter:  # not in `seen`: `held_back` has it visited again
            if node.allocation.waiter is node:
                self.frames.append((iter(node.allocation.blockers()), owner))
            return
        place = self.seen[node] = self.count
        self.places[place] = node
        self.count += 1
        # Each case records the node before it reads the state, under the lock of *owner*: so an event either
        # has changed the state already, or finds the node in `seen`.
        if node._stage == RUNNING:
            self._follow(wait for worker in node._queue.workers for wait in worker.waits_of(node))
            return
        queue: QueueState | None = node._queue
        if queue in self.homes:
            # If it becomes ready later, `freed` adds it.
            if node._stage == READY:
                heappush(self.ready, place)
        elif queue is not None and queue not in self.other_queues:
            self.other_queues.add(queue)
            self._follow(wait for worker in reversed(queue.workers) for _, wait in worker.waits)
        elif type(node) is Foreign and node.future is not None:
            self.frames.append((iter((node.future,)), None))
        if node._dependencies is not NONE:
            self.frames.append((iter(listed_dependencies(node)), owner))

    def _follow(self, waits: Iterator[JoinSearch]) -> None:
        """Visit the futures that *waits* await next."""
        self.frames += [wait.frame() for wait in waits]


def _emptied(nodes: list[Any]) -> Iterator[Any]:
    """Yield *nodes* in order; keep none that was yielded."""
    nodes.reverse()
    while nodes:
        yield nodes.pop()


class AllTasks:
    """Stands for all pending and running tasks of a scheduler, or of one queue, as an awaited future."""

    def __init__(self, scheduler: Any, queue: QueueState | None) -> None:
        self.scheduler = scheduler  # its `State`; constant
        self.queue = queue  # None: all queues; constant

    def nodes(self) -> list[Any]:
        """Return these tasks, except tasks that wait for such a wait themselves.

        The lock is held.  Cost: the whole graph.
        """
        waiting = [task for stack in self.scheduler.waiting_stacks for task in stack]
        running = [task for task in self.scheduler.running_tasks() if task not in waiting]
        found = running + self.scheduler.termination.pending()
        return [task for task in found if self.queue in (None, task._queue)]


class AnyReady(JoinSearch):
    """A wait for `AllTasks`: its thread meanwhile runs all ready tasks of its queue, in order."""

    __slots__ = ()

    def freed(self, node: Node) -> None:
        """Wake the thread: it may run any ready task."""
        self.release()

    def extend(self, wait: JoinSearch, tasks: set[Any]) -> None:
        """Do nothing: a wait of another worker makes no task ready."""

    def ready_without_worker(self) -> None:
        """Wake the thread: it may run any ready task."""
        self.release()

    def has_work(self) -> bool:
        """Return True if a task is ready, and may start.  The lock is held."""
        return any(queue.ready for queue in self.homes) and not self.scheduler.stopped

    def take(self) -> Any:
        """Start the ready task that goes first and return it; None if there is none, or none found yet."""
        for queue in () if self.scheduler.stopped else self.homes:
            task = self.scheduler.take_next(queue, SEARCH_LIMIT)
            if task is SEARCHING:
                return None
            if task is not None:
                return task
        return None
