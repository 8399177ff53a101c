"""Waits: what a thread waits for, what wakes the thread, and which tasks its worker runs meanwhile.

One thread at a time waits.  It blocks in `sleep`; whatever may let it go on calls `wake`, from any thread.
No wake is lost: it stays until the thread takes it.  Several may be taken as one: the thread looks again.

The wait of a worker is also a *search* for the ready tasks of its own queue that the awaited futures need:
the worker runs them nested, in its slot and thread.  The waiting thread advances the search under the lock of
the worker's scheduler, and visits a node of another scheduler under the lock of that one.  It never holds
both: no two searches deadlock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, Future
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED
from heapq import heappop, heappush
from typing import Any, TypeAlias
from weakref import ref

from .._core.exclusive import Section
from .._core.queue_state import CURRENT, SEARCH_LIMIT, QueueState, Worker, searches
from .._futures.at_end import Foreign
from .._futures.future import PlannedFuture
from .._futures.task import Task
from .._futures.waiter import Waiter
from .._limits.resources import Allocation
from .._planner.nodes import DONE, NONE, READY, RUNNING, Node, listed_dependencies

#: Nodes to visit, and the scheduler of them all, as a relay does not know its own; None: each knows its own.
Frame: TypeAlias = tuple[Iterator[Any], Any]


class Wait(Waiter):
    """A wait for futures, of any executors, and the search of the thread's worker.

    The search is depth-first, and starts at the awaited futures.  It continues from::

        a pending node                    to its dependencies, in argument order
        a pending task of another queue   also to the futures that its workers await: it may need their slot
        a task that lacks units           also to the tasks that hold the units, or waited for them before
        a running task                    to the futures that its thread awaits

    Events extend it: for example, a task that was visited while it ran begins to wait.  Invariant: while
    there are no frames, `ready` has each needed ready task of the worker's queue.
    """

    core: Any = None  #: of a `ConditionWait`: the state of the awaited scheduler

    def __init__(self, futures: set[Future[Any]], return_when: str) -> None:
        super().__init__()
        # FIRST_COMPLETED, FIRST_EXCEPTION or ALL_COMPLETED; constant, as the next field.
        self.return_when = return_when
        self.strict = return_when == ALL_COMPLETED
        # The futures that have not ended.  The thread that ends a future writes this and the next two fields,
        # each by one atomic operation; no lock serialises them.
        self.pending = futures.copy()
        # The other futures in the order of their ends, until the waiting thread takes them.
        self.ended: deque[Future[Any]] = deque()
        self.failed = False
        # It was logged that the wait may never end.  Written by the waiting thread, as are all fields below.
        self.warned = False
        # While active: the running tasks of the thread, the outermost first; else None.  Written under the
        # lock of `scheduler`.
        self.held: list[Task[Any]] | None = None
        self.bind(())
        # A future's condition is held while its state is read and the waiter is added.  So a future either
        # has ended here, or calls an `add_` method later: never both.
        for future in futures:
            with future._condition:
                if future._state not in (CANCELLED_AND_NOTIFIED, FINISHED):
                    future._waiters.append(self)  # type: ignore[arg-type]
                elif future._state == FINISHED and future.exception() is not None:
                    self.add_exception(future)
                else:
                    self.add_result(future)

    def bind(self, workers: tuple[Worker, ...]) -> None:
        """Begin a search for the calling thread, which has *workers*."""
        # All workers of the thread, the outermost first; none outside of tasks.
        self.workers = workers
        self.scheduler: Any = workers[0].queue.scheduler if workers else None
        # By queue, the worker in whose slot a task of that queue runs nested.
        self.homes = {worker.queue: worker for worker in workers}
        # The place, in the order of visits, of each visited node (by weak reference, as an ended node has a
        # result), and of each other queue of which a pending task was visited.  Written under the lock of
        # the node's or queue's scheduler.  This field is replaced before the next two, and an event reads
        # it after these: so a late event of the earlier search adds nothing to the new fields.
        self.seen: dict[Any, int] = {}
        # The frames of the suspended search, the innermost last.  The waiting thread adds and removes these;
        # events add frames at the front, under any lock.
        self.frames: deque[Frame] = deque([(self.futures(), None)])
        # A heap of ready tasks by their places.  Guarded by the lock of `scheduler`.
        self.ready: list[tuple[int, ref[Any]]] = []

    def add_result(self, future: Future[Any]) -> None:
        self.pending.discard(future)
        self.ended.append(future)
        self.wake()  # after both: a thread that wakes finds the future in `ended`

    add_cancelled = add_result

    def add_exception(self, future: Future[Any]) -> None:
        self.failed = True
        self.add_result(future)

    # Called by any thread.

    def awaited(self) -> set[Any]:
        """Return the awaited futures that have not ended, or the `ConditionWait` itself."""
        return self.pending.copy()

    def futures(self) -> Iterator[Any]:
        """Yield the awaited futures, and keep none that was yielded.  Yield none if the wait has ended."""
        # Read at the first step: by then futures, or the wait, may have ended.
        futures = [] if self.held is None else list(self.awaited())
        while futures:
            yield futures.pop()

    def satisfied(self) -> bool:
        if self.return_when == FIRST_COMPLETED:
            return bool(self.ended)
        return not self.pending or (self.failed and self.return_when == FIRST_EXCEPTION)

    # Called by the waiting thread.

    def __enter__(self) -> None:
        """Become active: the tasks of the calling thread wait."""
        workers = (*CURRENT.workers,)
        if workers != self.workers:
            # The iterator of an `as_completed` may pass from one task to another.
            self.leave_search()
            self.bind(workers)
        if not workers:
            return
        with Section(self.scheduler):
            # First the tasks of the wait around this one: the workers alone do not tell how tasks are nested.
            outer = workers[0].waits[-1][1].held if workers[0].waits else []
            tasks = [task for worker in workers for task in worker.tasks()]
            self.held = list(dict.fromkeys([*outer, *tasks]))
            searches[self] = None
            for queue in self.homes:
                queue.searches[self] = None
                queue.wakes_none = False
            # A search that visits these workers later finds the wait in `waits`; one that has visited them
            # gets the event.  Both are under this lock, so none misses the wait.
            for worker in workers:
                worker.waits.append((len(worker.suspended), self))
            needing = {*map(ref, self.held), *self.homes}
            for search in list(searches):
                if search.workers[:1] != workers[:1]:  # else the wait is nested in that one
                    search.extend(needing, (self.futures(), None))
            self.scheduler.wake_condition_waiters()  # these tasks wait from now on

    def __exit__(self, kind: object, value: object, traceback: object) -> None:
        """Be active no more."""
        if self.workers:
            with Section(self.scheduler):
                self.held = None
                for worker in self.workers:
                    worker.waits.pop()  # the waits nested in this one have ended

    def leave_search(self) -> None:
        """Receive no more events.  Takes no lock: each step is atomic."""
        searches.pop(self, None)
        for queue in self.homes:
            queue.searches.pop(self, None)
        self.frames = deque()  # the outermost frame refers to this wait, which would keep what has ended

    def close(self) -> None:
        """Leave the lists of waiters of all pending futures; wait no more."""
        self.leave_search()
        for future in self.pending.copy():
            with future._condition:
                future._waiters.remove(self)  # type: ignore[arg-type]

    # Events.  Called under the lock of the scheduler of the node or task.  If that is not `scheduler`, these
    # look up single entries of `seen`, and append to `frames`: both are atomic.

    def freed(self, node: Node) -> None:
        """Note that *node*, of one of `homes`, has become ready."""
        ready, reference = self.ready, ref(node)
        place = self.seen.get(reference)
        if place is not None:
            heappush(ready, (place, reference))
            self.wake()

    def ready_without_worker(self) -> None:
        """Note that a task of one of `homes` is ready, and no worker is on its way to it."""
        if self.ready:  # the thread may have left one of these to another worker
            self.wake()

    def extend(self, nodes: Iterable[Any], frame: Frame) -> None:
        """Note that *nodes*, references to nodes and queues, need the nodes in *frame* too."""
        frames = self.frames
        if any(map(self.seen.__contains__, nodes)):  # `isdisjoint` may go through `seen`, if that is shorter
            frames.appendleft(frame)
            self.wake()

    # The search.  Called under the lock of `scheduler`.

    def has_work(self) -> bool:
        """Return True if `take` may find a task."""
        return self._may_start() or bool(self.frames)

    def _may_start(self) -> bool:
        """Return True if the first needed ready task may start here."""
        if not self.ready or self.scheduler.stopped:
            return False
        node = self.ready[0][1]()
        if node is None or node._stage != READY or node._stream is None:
            return True
        # A generator task of which an item was requested is left to a worker that is on its way: nested, it
        # would end before this thread gets the item.  But a worker of an inline queue may be long in coming.
        queue: QueueState = node._queue
        return queue.inline or queue.ready > len(queue.coming)

    def take(self) -> Any:
        """Start the task that goes first and return it; None if there is none, or none yet."""
        # Cost: over the life of the search, a step for each node and each of its dependencies.
        for _ in range(SEARCH_LIMIT):
            if self._may_start():
                node = heappop(self.ready)[1]()
                # The entry is stale if the node has ended, or another worker has started it.
                if node is not None and node._stage == READY:
                    self.scheduler.planner.start(node)
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
        if not isinstance(node, Node):  # a `ConditionWait`
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
        self.frames += [(wait.futures(), None) for wait in waits]


def scheduler_of(awaited: Any) -> Any:
    """Return the scheduler that ends *awaited*, a future or a `ConditionWait`; None if none does, or has."""
    kind: Any = type(awaited)  # not isinstance, which reads ``__class__`` of other futures: the lock is held
    if issubclass(kind, Wait):
        return awaited.core
    home = awaited._home if issubclass(kind, PlannedFuture) else None
    return None if home is None else home.scheduler
