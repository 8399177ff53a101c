"""Waits: what a thread waits for, what wakes the thread, and which tasks its worker runs meanwhile.

A `Wait` belongs to one thread at a time.  The thread blocks in `Wait.sleep`; whatever may let the thread go
on calls `Wait.wake`, from any thread.  No wake is lost: each is an entry of a queue, and stays until the
thread takes it.  A wake too many is harmless: the thread looks again, and sleeps.

The wait of a worker is also a *search* for tasks that the worker runs meanwhile, nested in its own slot and
thread.  So events of the search wake the thread too.  The wait is *active* from `begin` to `end`: then it is
in `Worker.waits`, where searches of other workers and `why` find it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias
from weakref import ref

from .._core.exclusive import Section
from .._core.queue_state import CURRENT, QueueState, Worker
from .._core.state import State
from .._core.upward import SEARCH_LIMIT, searches
from .._futures.future import PlannedFuture
from .._futures.task import Task
from .._planner import Node

#: Nodes to visit, and the scheduler of them all, as a relay does not know its own; None: each knows its own.
Frame: TypeAlias = tuple[Iterator[Any], Any]


class Wait:
    """A wait of a thread, and the search for the tasks that its worker runs meanwhile."""

    #: All awaited futures must end.
    strict = True

    def __init__(self) -> None:
        # One entry for each event that may let the thread go on.  Any thread puts one, without a lock.
        self.wakes: SimpleQueue[None] = SimpleQueue()
        # It was logged that the wait may never end.  Written by the waiting thread, as are all fields below.
        self.warned = False
        # All workers of the thread, the outermost first; none outside of tasks.  Written by `bind`, as are
        # the next two fields.
        self.workers: tuple[Worker, ...] = ()
        # The scheduler of these workers.
        self.scheduler: Any = None
        # By queue, the worker in whose slot a task of that queue runs nested.
        self.homes: dict[QueueState, Worker] = {}
        # While active: the running tasks of the thread, the outermost first; else None.  Written under the
        # lock of `scheduler`.
        self.held: list[Task[Any]] | None = None

    # What a subclass waits for.

    def awaited(self) -> Collection[Any]:
        """Return the awaited futures that have not ended, or a `ConditionWait`.  Called under any lock."""
        raise NotImplementedError

    def satisfied(self) -> bool:
        """Return True if the wait is over.  Called with any lock, or none."""
        raise NotImplementedError

    def log_if_stalled(self) -> bool:
        """Log why the wait may never end, and return True, if nothing can go on."""
        raise NotImplementedError

    # Called by the waiting thread.

    def bind(self, workers: tuple[Worker, ...]) -> None:
        """Belong to the calling thread, which has *workers*."""
        self.workers = workers
        self.scheduler = workers[0].queue.scheduler if workers else None
        self.homes = {worker.queue: worker for worker in workers}

    def begin(self) -> None:
        """Become active: the tasks of the calling thread wait."""
        workers = (*CURRENT.workers,)
        if workers != self.workers:
            # The iterator of an `as_completed` may pass from one task to another: then a new search begins.
            # Not `self.close`, which would end the wait.
            Wait.close(self)
            self.bind(workers)
        if not workers:
            return
        with Section(self.scheduler):
            outer = workers[0].waits[-1][1].held if workers[0].waits else []
            tasks = [task for worker in workers for task in worker.tasks()]
            self.held = list(dict.fromkeys([*outer, *tasks]))
            searches[self] = None
            for queue in self.homes:
                queue.searches[self] = None
                queue.wakes_none = False
            # A search that visits these workers later finds the wait in `waits`.  A search that has visited
            # them gets the event.  Both are under this lock, so no search misses the wait.
            for worker in workers:
                worker.waits.append((len(worker.suspended), self))
            needing = {*map(ref, self.held), *self.homes}
            for search in list(searches):
                if search.workers[:1] != workers[:1]:  # else the wait is nested in that one
                    search.extend(needing, (self.futures(), None))
            self.scheduler.wake_condition_waiters()  # `at_rest` may be true now

    def end(self) -> None:
        """Be active no more."""
        if self.workers:
            with Section(self.scheduler):
                self.held = None
                for worker in self.workers:
                    worker.waits.pop()  # the waits nested in this one have ended

    def close(self) -> None:
        """Receive no more events: the wait is not used again.  Takes no lock: each step is atomic."""
        searches.pop(self, None)
        for queue in self.homes:
            queue.searches.pop(self, None)

    def sleep(self, timeout: float) -> bool:
        """Block until the next wake; return False after *timeout* seconds."""
        try:
            self.wakes.get(timeout=timeout)
        except Empty:
            return False
        return True

    def warn(self) -> bool:
        """Call `log_if_stalled` until it has logged something, and return True from then on."""
        self.warned = self.warned or self.log_if_stalled()
        return self.warned

    def take(self) -> Any:
        """Start the task that goes first and return it; None if there is none, or none yet.  Locked."""
        raise NotImplementedError

    # Called by any thread.

    def wake(self) -> None:
        """Wake the waiting thread."""
        self.wakes.put(None)

    def futures(self) -> Iterator[Any]:
        """Yield the awaited futures, and keep none that was yielded.  Yield none if the wait has ended."""
        # Read at the first step: by then futures, or the wait, may have ended.
        futures = [] if self.held is None else list(self.awaited())
        while futures:
            yield futures.pop()

    def has_work(self) -> bool:
        """Return True if `take` may find a task.  Called under the lock."""
        raise NotImplementedError

    # Events.  Called under the lock of the scheduler of the node or task.

    def freed(self, node: Node) -> None:
        """Note that *node*, of one of `homes`, has become ready."""
        self.wake()

    def ready_without_worker(self) -> None:
        """Note that a task of one of `homes` is ready, and no worker is on its way to it."""
        self.wake()

    def extend(self, nodes: Iterable[Any], frame: Frame) -> None:
        """Note that *nodes*, references to nodes and queues, need the nodes in *frame* too."""


class ConditionWait(Wait):
    """A wait until a condition of a scheduler holds; its worker runs all ready tasks of its queue meanwhile.

    As an awaited future it stands for the tasks that have to end.
    """

    strict = False

    def __init__(
        self, core: State, holds: Callable[[], bool], queue: QueueState | None, warn: Callable[[], bool]
    ) -> None:
        super().__init__()
        # Constant: the state of the awaited scheduler, which calls the condition under its lock; and the
        # queue whose tasks have to end, None: of all.
        self.core = core
        self.queue = queue
        self.log_if_stalled = warn  # type: ignore[method-assign]
        with core.exclusive():
            core.condition_waiters[self] = holds
            core.wake_condition_waiters()  # it may hold already

    def nodes(self) -> list[Any]:
        """Return the tasks that have to end.  The lock is held.  Cost: the whole graph."""
        found = self.core.running_tasks() + self.core.termination.pending()
        return [task for task in found if self.queue in (None, task._queue)]

    def awaited(self) -> Collection[Any]:
        """Return what stands for the tasks that have to end."""
        return (self,)

    def satisfied(self) -> bool:
        """Return True if the condition has held once."""
        return self not in self.core.condition_waiters

    def close(self) -> None:
        """Wait no more."""
        super().close()
        with Section(self.core):
            self.core.condition_waiters.pop(self, None)

    def has_work(self) -> bool:
        """Return True if a task is ready, and may start."""
        return any(queue.ready for queue in self.homes) and not self.scheduler.stopped

    def take(self) -> Any:
        """Start the ready task that goes first and return it; None if there is none, or none yet."""
        for queue in () if self.scheduler.stopped else self.homes:
            task = self.scheduler.take_next(queue, SEARCH_LIMIT)
            if task is not None:
                return task
        return None


def scheduler_of(awaited: Any) -> Any:
    """Return the scheduler that ends *awaited*, a future or a `ConditionWait`; None if none does, or has."""
    if isinstance(awaited, ConditionWait):
        return awaited.core
    home = awaited._home if isinstance(awaited, PlannedFuture) else None
    return None if home is None else home.scheduler
