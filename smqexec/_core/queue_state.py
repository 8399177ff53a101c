"""Records of the core: a worker, what the calling thread is at, a queue.

A queue has slots, and a worker fills a slot for as long as it lives.  A worker with a thread is in one of
these states, written under the lock of its scheduler::

    coming --> running --> idle --> coming --> ...

*Coming*: it was started or woken, and has not looked for a task since.  *Running*: `Worker.task` is its task.
*Idle*: it found no ready task, and waits.  A worker leaves when its queue ends, or has too many workers.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from queue import SimpleQueue
from typing import Any
from weakref import ref

from .._futures.task import Task
from .._planner import Node, PlannedQueue
from .searches import Search
from .upward import Backend, Limit

# Why a queue takes no more tasks; two of them as the standard library says it.
SHUT_DOWN = "cannot schedule new futures after shutdown"
EXITING = "cannot schedule new futures after interpreter shutdown"
FORKED = "the queue was made before the fork; make a new one in the child process"


class Worker:
    """What runs tasks in a slot of a queue: a thread's loop, or calls at an executor.  Under the lock."""

    __slots__ = ("number", "queue", "suspended", "task", "thread", "waits", "wakes")

    def __init__(self, queue: QueueState) -> None:
        self.queue = queue
        # The number in the name of its slot; 0 for a worker with a thread of its own.
        self.number = 0
        # An entry wakes the idle worker; one too many makes it look for a task in vain.  No lock needed.
        self.wakes: SimpleQueue[None] = SimpleQueue()
        # The running task.
        self.task: Task[Any] | None = None
        # Tasks that wait while `task` runs nested in them, the outermost first; None for a callback that
        # waits, whose task has ended.
        self.suspended: list[Task[Any] | None] = []
        # Its waits, the outermost first (`JoinSearch`), each with the length of `suspended` at its begin.
        self.waits: list[tuple[int, Any]] = []
        # The thread's identifier, once that has asked for a task; or the name of the slot, without a thread.
        self.thread: int | str | None = None

    def tasks(self) -> list[Task[Any]]:
        """Return all its running tasks, the outermost first."""
        return [task for task in (*self.suspended, self.task) if task is not None]

    def waits_of(self, task: Task[Any]) -> list[Any]:
        """Return the waits that have to end before *task* can go on; none if *task* runs elsewhere."""
        tasks = [*self.suspended, self.task]
        depth = tasks.index(task) if task in tasks else len(tasks)
        return [wait for begun, wait in self.waits if begun >= depth]

    def held_by(self, wait: Any) -> list[Any]:
        """Return the tasks that can't go on before *wait* has ended."""
        depths = [begun for begun, each in self.waits if each is wait]
        tasks = [*self.suspended, self.task][: depths[0] + 1] if depths else []
        return [task for task in tasks if task is not None]


class _Current(threading.local):
    # Each field is the thread's own.  The worker whose task it runs; None at no task of ours.
    worker: Worker | None = None
    # It submits to an inline queue.
    submits_inline = False

    def __init__(self) -> None:
        # All its workers, the outermost first: more than one where it serves inline queues.
        self.workers: list[Worker] = []
        # Begin further workers of inline queues.
        self.due: deque[Callable[[], None]] = deque()


#: What the calling thread is at.
CURRENT = _Current()


class QueueState(PlannedQueue):
    """A queue: its slots, workers and counts.  All fields but `lost` are written under the scheduler's lock.

    Apart from the public `Queue`, so that tasks and workers do not keep a queue that its user has lost.
    """

    __slots__ = (
        "_names", "_unnamed", "barrier", "cancelled", "coming", "copies_context", "done", "failed",
        "has_rules", "idle", "in_order", "inline", "keeps_idle", "limit", "lost", "name", "owner",
        "pending_limit", "pool", "refusal", "remote_values", "scheduler", "searches", "width", "workers",
    )  # fmt: skip

    def __init__(
        self,
        scheduler: Any,
        pool: Backend,
        limit: int,
        name: str,
    ) -> None:
        super().__init__()
        # The `State` of its scheduler; set once, as are the next fields up to `name`.
        self.scheduler = scheduler
        # The backend, and copies of its fields that are read at each task.
        self.pool = pool
        self.keeps_idle, self.inline, self.remote_values = pool.keeps_idle, pool.inline, pool.remote_values
        self.name = name
        # How many workers it may have: `width`, and those that wait at an executor (``prefetch``).
        self.limit = limit
        # How many slots it has: ``max_workers``.
        self.width = limit
        # All workers, in the order of their start.
        self.workers: dict[Worker, None] = {}
        # Idle workers, and workers on their way.  The worker that went idle last is woken first.
        self.idle: dict[Worker, None] = {}
        self.coming: dict[Worker, None] = {}
        # How many slots have had a name, and the numbers of free ones among these, a heap.
        self._names = 0
        self._unnamed: list[int] = []
        # Searches of its workers that wait inside a task, and may run its tasks nested.
        self.searches: dict[Search, None] = {}
        # How many of its tasks have ended, and how.
        self.done = self.failed = self.cancelled = 0
        # Its tasks start in the order of submission; the barrier is that of the task submitted last.
        self.in_order = False
        self.barrier: Node | None = None
        # How many of its tasks may be pending, if there is a limit.  Set once.
        self.pending_limit: Limit | None = None
        # Its tasks run in copies of their submitters' contexts.  Set once.
        self.copies_context = False
        # A cache, written by `update_rules`, so that the hand-over has one test: `in_order`, a pending limit,
        # more workers than `limit`, a scheduler that is stopped, or one that was made before a fork.
        self.has_rules = False
        # None while the queue takes tasks; then the exception of which `submit` raises a copy, as the queue
        # was shut down, is broken, was made before a fork, or the interpreter exits.  Written by `refuse`.
        self.refusal: BaseException | None = None
        # The user's queue, and whether it was collected.  The callback of the weak reference may run in any
        # thread, also under the lock: it takes no lock.
        self.owner: ref[Any] | None = None
        self.lost = False

    @property
    def pending(self) -> int:
        """How many tasks are waiting or ready."""
        return self.waiting + self.ready

    def running_tasks(self) -> list[Task[Any]]:
        """Return the tasks of all workers, those that wait while others run nested in them too."""
        return [task for worker in self.workers for task in worker.tasks()]

    @property
    def ending(self) -> bool:
        """Whether no task is pending and none can come: its workers are to leave."""
        return (self.refusal is not None or self.lost) and not self.waiting and not self.ready

    def refuse(self, refusal: BaseException) -> None:
        """Take no more tasks: `submit` raises a copy of *refusal* from now on.  The lock is held."""
        self.refusal = refusal
        if self.pending_limit is not None:
            self.pending_limit.turn_away()

    def lose(self, _: object = None) -> None:
        """Note that the user's queue was collected.  Takes no lock."""
        self.lost = True
        # A worker that becomes idle now looks at `lost` after it has entered `idle`: see `Dispatcher.begin`.
        for worker in list(self.idle):
            worker.wakes.put(None)
        self.pool.lose(self)

    def update_rules(self) -> None:
        """Write `has_rules`.  The lock is held."""
        ruled = self.in_order or self.pending_limit is not None or len(self.workers) > self.limit
        self.has_rules = ruled or self.scheduler.stopped or self.scheduler._abandoned

    def name_worker(self, worker: Worker) -> None:
        """Give *worker*, which has no thread, the first free name of a slot, once.  The lock is held."""
        if worker.number:
            return
        if self._unnamed:
            worker.number = heappop(self._unnamed)
        else:
            self._names += 1
            worker.number = self._names
        worker.thread = f"slot {worker.number}"

    def leave(self, worker: Worker) -> None:
        """Remove *worker*.  The lock is held."""
        del self.workers[worker]
        self.idle.pop(worker, None)
        self.coming.pop(worker, None)
        if worker.number:
            heappush(self._unnamed, worker.number)

    def leave_unbegun(self) -> None:
        """Remove the workers that have not begun.  The lock is held."""
        for worker in [worker for worker in self.workers if worker.thread is None]:
            self.leave(worker)

    def wake_idle(self, count: int | None = None) -> None:
        """Wake *count* idle workers; None: all.  The lock is held."""
        for _ in range(len(self.idle) if count is None else count):
            worker, _ = self.idle.popitem()
            self.coming[worker] = None
            worker.wakes.put(None)

    def counts(self) -> dict[str, int]:
        """Return how many of its tasks are in each state."""
        return {
            "waiting": self.waiting, "ready": self.ready, "running": self.running,
            "done": self.done, "failed": self.failed, "cancelled": self.cancelled,
        }  # fmt: skip
