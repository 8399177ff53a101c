"""Nested waiting: the join search finds ready tasks that a waiting task needs from its own queue.

A `JoinSearch` belongs to one wait of one worker.  It is a depth-first search that starts at the awaited
futures and is suspended while the worker blocks, or runs a nested task.  From a node it goes on to:

- pending: its dependencies, in argument order; of a task of another queue also the awaited futures of
  that queue's workers, as the task may need one of their slots; of a task that lacks units of a resource
  also the tasks that hold them;
- running: the awaited futures of the thread that runs it.

Invariants: `seen` has each visited node that has not ended; while `frames` and `late` are empty, each
ready task of the worker's queue that is needed is in `ready`.

Locks: fields are changed under the lock of the scheduler that owns the node at hand; `ready`, `late` and
`frames` are read under the lock of the worker's scheduler.  The search holds one lock at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from heapq import heappop, heappush
from queue import Empty, SimpleQueue
from threading import TIMEOUT_MAX
from typing import Any, TypeAlias

from .._core.searches import SEARCH_LIMIT, searches
from .._core.state import CURRENT, QueueState, Worker
from .._futures.future import PlannedFuture
from .._futures.relays import Foreign
from .._limits.resources import QUEUED, Allocation, AllocationWaiter
from .._planner import DONE, NONE, READY, RUNNING, SEARCHING, Node, listed_dependencies

#: Nodes to visit, and the scheduler of the relays among them.
Frame: TypeAlias = tuple[Iterator[Any], Any]


class JoinSearch:
    """A wait of a worker's thread, and the search for tasks that this thread can run meanwhile.

    Args:
        worker: The waiting worker, of the calling thread.
        awaited: Returns what is waited for and has not ended: futures, or `AllTasks`.  Called under any lock.
        satisfied: Returns whether the wait is over.
        strict: All of the awaited futures must end.
    """

    __slots__ = (
        "active", "awaited", "busy", "count", "frames", "homes", "late", "places", "ready", "satisfied",
        "scheduler", "seen", "strict", "wakes", "worker", "workers",
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
        # All workers of the thread; and the queues whose tasks it can run nested, each in a worker's slot.
        self.workers = (*CURRENT.workers,)
        self.homes = {each.queue: each for each in self.workers}
        # The thread waits: written by it, under the scheduler's lock.
        self.active = False
        # An entry for each event that may give the thread something to do.  Needs no lock.
        self.wakes: SimpleQueue[None] = SimpleQueue()
        # Visited nodes that have not ended, each with its place in the order of visits; the reverse; and the
        # next place.  An entry leaves when its node ends: a search must not keep results.
        self.seen: dict[Node, int] = {}
        self.places: dict[int, Node] = {}
        self.count = 0
        # Other queues that have a pending task among the visited nodes.
        self.busy: set[QueueState] = set()
        # Where the search stands, the innermost last: nodes to visit, and the scheduler of relays among them.
        self.frames: list[Frame] = [self.frame()]
        # Make frames of what visited nodes have begun to need since.  Written under any lock.
        self.late: deque[Callable[[], Frame]] = deque()
        # A heap of the places of tasks that were ready when they were visited, or have become ready.
        self.ready: list[int] = []

    def open(self) -> None:
        """Listen to events from now on."""
        searches[self] = None
        for queue in self.homes:
            queue.helpers[self] = None

    def close(self) -> None:
        """Listen to events no more."""
        searches.pop(self, None)
        for queue in self.homes:
            queue.helpers.pop(self, None)

    def frame(self) -> Frame:
        """Return a frame for the awaited futures; it keeps none that was visited."""
        return _emptied(list(self.awaited())), None

    # Events.  Called under the lock of the scheduler that owns the node, or the worker.

    def release(self) -> None:
        """Wake the waiting thread."""
        self.wakes.put(None)

    def freed(self, node: Node) -> None:
        """Note that *node*, of one of `homes`, has become ready."""
        place = self.seen.get(node)
        if place is not None:
            heappush(self.ready, place)
            self.release()

    def extend(self, worker: Worker, wait: JoinSearch) -> None:
        """Note that *worker* has begun to *wait*: its tasks, and its slot, need what that awaits."""
        if worker in self.workers:
            return  # nested in this very wait
        if worker.queue in self.busy or not self.seen.keys().isdisjoint(worker.tasks()):
            self.late.append(lambda: wait.frame() if wait.active else (iter(()), None))
            self.release()

    def held_back(self, scheduler: Any, allocation: Allocation) -> None:
        """Note that the task of *allocation* lacks units now, or needs one more task."""
        if allocation.task in self.seen:
            waiter = allocation.waiter
            self.late.append(lambda: (iter((waiter,)), scheduler))
            self.release()

    def forget(self, node: Node) -> None:
        """Release *node*, which has ended."""
        place = self.seen.pop(node, None)
        if place is not None:
            self.places.pop(place, None)

    def spare(self) -> None:
        """A ready task of this queue, which no thread is free for, matters only if it is needed."""

    # The waiting thread.

    def sleep(self, timeout: float | None) -> bool:
        """Block until there is something to look at; False after *timeout* seconds."""
        try:
            self.wakes.get(timeout=None if timeout is None else min(timeout, TIMEOUT_MAX))
        except Empty:
            return False
        return True

    def goes_on(self) -> bool:
        """Return whether `take` has something to look at.  The lock is held."""
        ready = self.ready and not self.scheduler._stopped
        return bool(ready or self.frames or self.late)

    def take(self) -> Any:
        """Start the first ready task that is needed, and return it; None without one, or for now.

        The lock is held, but not while a node of another scheduler is visited.  Cost: a step for each node
        and each of its dependencies over the life of the search; at most `SEARCH_LIMIT` steps a call.
        """
        for _ in range(SEARCH_LIMIT):
            if self.ready and not self.scheduler._stopped:
                node: Any = self.places.get(heappop(self.ready))
                if node is not None and node._stage == READY:
                    self.scheduler.planner.order.start(node)
                    if self.scheduler.allocating.allocate(node):
                        return node
            elif self.frames:
                self._step()
            elif self.late:
                self.frames.append(self.late.popleft()())
            else:
                break
        return None

    def _step(self) -> None:
        """Visit the next node of the innermost frame."""
        owner: Any
        nodes, owner = self.frames[-1]
        node = next(nodes, None)
        if node is None:  # all are visited; or the list was emptied, as its node has started or ended
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
        # One lock at a time, or two searches could block each other.  What happens to the own scheduler
        # between is told by events.
        self.scheduler.lock.release()
        owner.lock.acquire()
        try:
            self._visit(node, owner)
        finally:
            owner.lock.release()
            self.scheduler.lock.acquire()

    def _visit(self, node: Any, owner: Any) -> None:
        """Note *node*, and search what it needs next.  The lock of *owner*, its scheduler, is held."""
        if type(node) is AllTasks:
            self.frames.append((iter(node.nodes()), owner))
            return
        if node._stage >= DONE or node in self.seen:
            return
        if type(node) is AllocationWaiter:  # visited again where its task needs one task more
            if node.allocation.state == QUEUED:
                self.frames.append((iter(node.allocation.blockers()), owner))
            return
        place = self.seen[node] = self.count
        self.places[place] = node
        self.count += 1
        if node._stage == RUNNING:
            self._follow(wait for worker in node._queue.workers for wait in worker.waits_of(node))
            return
        queue: QueueState | None = node._queue
        if queue in self.homes:
            # A task that becomes ready later is told by `freed`.
            if node._stage == READY:
                heappush(self.ready, place)
        elif queue is not None and queue not in self.busy:
            self.busy.add(queue)
            self._follow(wait for worker in reversed(queue.workers) for _, wait in worker.waits)
        elif type(node) is Foreign and node.future is not None:
            self.frames.append((iter((node.future,)), None))
        if node._dependencies is not NONE:
            self.frames.append((iter(listed_dependencies(node)), owner))

    def _follow(self, waits: Iterator[JoinSearch]) -> None:
        self.frames += [wait.frame() for wait in waits]


def _emptied(nodes: list[Any]) -> Iterator[Any]:
    """Yield *nodes*, and keep none that was yielded."""
    nodes.reverse()
    while nodes:
        yield nodes.pop()


class AllTasks:
    """What a wait for a whole scheduler, or for one queue of it, awaits: all pending and running tasks."""

    def __init__(self, scheduler: Any, queue: QueueState | None) -> None:
        self.scheduler = scheduler
        self.queue = queue  # None: all queues

    def nodes(self) -> list[Any]:
        """Return these tasks, without those that wait here themselves.  Locked.  Cost: the whole graph."""
        waiting = [task for stack in self.scheduler._resting for task in stack]
        running = [task for queue in self.scheduler._queues for task in queue.running_tasks()]
        found = [task for task in running if task not in waiting] + self.scheduler.termination.pending()
        return [task for task in found if self.queue in (None, task._queue)]


class AnyReady(JoinSearch):
    """A wait for `AllTasks`: the thread runs meanwhile whatever is ready in its queue, in order."""

    __slots__ = ()

    def freed(self, node: Node) -> None:
        self.release()

    def extend(self, worker: Worker, wait: JoinSearch) -> None:
        """It makes nothing ready."""

    def spare(self) -> None:
        self.release()

    def goes_on(self) -> bool:
        return any(queue.ready for queue in self.homes) and not self.scheduler._stopped

    def take(self) -> Any:
        for queue in () if self.scheduler._stopped else self.homes:
            task = self.scheduler._next(queue, SEARCH_LIMIT)
            if task is SEARCHING:
                return None
            if task is not None:
                return task
        return None
