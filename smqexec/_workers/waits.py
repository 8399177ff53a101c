"""Waits: what a thread waits for, and what wakes the thread.

A `Wait` belongs to one thread at a time.  The thread blocks in `Wait.sleep`; whatever may let the thread go
on calls `Wait.release`, from any thread::

    class           in module     waits for                      woken by
    FutureWait      waiting       the end of one future          the thread that ends the future
    ConditionWait   waiting       a condition of the scheduler   the thread that makes the condition true
    Completions     completions   the ends of several futures    each thread that ends one of them

The wait of a worker also has a *search*, which finds the tasks that the worker runs meanwhile, nested in its
own slot and thread (see ``join_search``).  So events of the search wake the thread too: a task becomes ready,
another worker begins to wait, or the scheduler resumes.

A wait is *active* from `begin` to `end`.  Meanwhile it is in `Worker.waits`: searches of other workers follow
it, and `why` shows it.  ``waiting.wait_for`` begins and ends waits, in the same way for each class.

No wake is lost: each wake is an entry of a queue, and stays until the thread takes it.  A wake too many is
harmless: the thread reads `satisfied`, and sleeps again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from queue import Empty, SimpleQueue
from threading import TIMEOUT_MAX
from typing import Any
from weakref import ref

from .._core.queue_state import CURRENT, QueueState, Worker


class Wait:
    """A wait of the thread that calls `begin`."""

    #: All awaited futures must end.
    strict = True
    #: The wait is used again after its end: its search then knows which nodes it has visited.
    reused = False
    #: The class of the search, of ``join_search``.
    finder: Callable[[Any], Any]

    def __init__(self) -> None:
        # One entry for each event that may let the thread go on.  Any thread puts one, without a lock.
        self.wakes: SimpleQueue[None] = SimpleQueue()
        # The worker whose task waits, and all workers of its thread; None and () outside of tasks.  Written
        # by the waiting thread, before the wait is active.
        self.worker: Worker | None = None
        self.workers: tuple[Worker, ...] = ()
        # Finds tasks for `worker`; None outside of tasks, and after the end unless `reused`.  Written by the
        # waiting thread, under the lock of the worker's scheduler, as are the next fields.
        self.search: Any = None
        # True from `begin` to `end`.
        self.active = False
        # While active: all running tasks of the thread, in the form in which searches compare them; and the
        # innermost task of each of its workers.
        self.tasks: set[ref[Any]] = set()
        self.held: list[Any] = []

    # What a subclass waits for.

    def awaited(self) -> Collection[Any]:
        """Return the awaited futures that have not ended, or an `AllTasks`.  Called under any lock."""
        raise NotImplementedError

    def satisfied(self) -> bool:
        """Return True if the wait is over.  Called with any lock, or none."""
        raise NotImplementedError

    def enrol(self) -> None:
        """Let the awaited futures, or the scheduler, call `release` from now on."""

    def withdraw(self) -> None:
        """Undo `enrol`."""

    # Called by the waiting thread.

    def bind(self, worker: Worker | None) -> None:
        """Belong to the calling thread, which runs a task of *worker*, or none."""
        workers = () if worker is None else (*CURRENT.workers,)
        if worker is not self.worker or workers != self.workers:
            self.drop_search()
            self.worker, self.workers = worker, workers

    def begin(self) -> None:
        """Become active: the tasks of the thread wait.  The lock of their scheduler is held."""
        self.active = True
        for worker in self.workers:
            worker.waits.append((len(worker.suspended), self))
            tasks = worker.tasks()
            self.tasks.update(map(ref, tasks))
            self.held += tasks[-1:]

    def end(self) -> None:
        """Be active no more.  The lock is held."""
        self.active = False
        self.tasks, self.held = set(), []
        for worker in self.workers:
            worker.waits.pop()  # the waits nested in this one have ended

    def drop_search(self) -> None:
        """Release the search, which gets no more events."""
        search, self.search = self.search, None
        if search is not None:
            search.close()

    def sleep(self, timeout: float | None) -> bool:
        """Block until the next wake; return False after *timeout* seconds."""
        try:
            self.wakes.get(timeout=None if timeout is None else min(timeout, TIMEOUT_MAX))
        except Empty:
            return False
        return True

    # Called by any thread.

    def release(self) -> None:
        """Wake the waiting thread."""
        self.wakes.put(None)

    def futures(self) -> Iterator[Any]:
        """Yield the awaited futures, and keep none that was yielded.  Yield none if the wait has ended."""
        # Read at the first step: by then futures, or the wait, may have ended.
        futures = list(self.awaited()) if self.active else []
        while futures:
            yield futures.pop()


class AllTasks:
    """Stands for all pending and running tasks of a scheduler, or of one queue, as an awaited future."""

    def __init__(self, scheduler: Any, queue: QueueState | None) -> None:
        self.scheduler = scheduler  # its `State`; constant
        self.queue = queue  # None: all queues; constant

    def nodes(self) -> list[Any]:
        """Return these tasks.  The lock is held.  Cost: the whole graph."""
        found = self.scheduler.running_tasks() + self.scheduler.termination.pending()
        return [task for task in found if self.queue in (None, task._queue)]
