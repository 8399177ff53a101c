"""Records of the core: a queue, its backend and workers, and what the calling thread does for us.

A worker fills a slot of its queue for as long as it lives.  It is *coming* (started or woken, and has not
looked for a task since), then *running* (`Worker.task`), then *idle* (it waits for an entry of `wakes`), then
coming again.  It leaves when its queue ends, has too many workers, or, without a thread, when it would idle.

No wake is lost: a worker enters `QueueState.idle` under the hold of the lock in which it found no ready task.
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
from .._planner.nodes import Node, PlannedQueue
from .upward import Limit, Search

# Messages of `QueueState.refusal`, word for word those of the standard library.
SHUT_DOWN = "cannot schedule new futures after shutdown"
EXITING = "cannot schedule new futures after interpreter shutdown"

# The fields of a `QueueState` that count its tasks.
STATES = ("waiting", "ready", "running", "done", "failed", "cancelled")

# Nodes that a search visits under one hold of the lock: 0.1 ms on the slowest machine tried, 0.5 ms at worst.
SEARCH_LIMIT = 300

# Of all waiting workers.  The thread of a search adds and removes it; others iterate over a copy.
searches: dict[Search, None] = {}


class Backend:
    """What runs the workers of a queue.  Of all methods only `resize` and `lose` may find the lock held."""

    #: Workers without a task become idle; else they leave.  Constant, as the next two.
    keeps_idle = True
    #: Tasks run in the threads that submit them.
    inline = False
    #: Results of tasks may be `Kept` elsewhere.
    remote_values = False
    #: The threads of the backend.
    threads: Any = frozenset()
    #: Why the backend starts no more workers; false while it does.  Written by the backend.
    _broken: Any = None

    def start(self, queue: QueueState, worker: Worker) -> None:
        """Let *worker* begin: it takes tasks of *queue* until `Dispatcher.begin` returns None."""
        raise NotImplementedError

    def resize(self, number: int) -> None:
        """Let *number* workers run at the same time from now on.  The lock is held."""

    def join(self, wait: bool) -> None:
        """Start no more workers; with *wait*, return when the threads have ended."""

    def lose(self, queue: QueueState) -> None:
        """Note that the user's queue was collected.  Must take no lock: a finalizer calls this anywhere."""

    def cancel(self, task: Any) -> None:
        """Cancel running *task*, which was asked to end, if its call has not begun elsewhere."""

    def cancel_unbegun(self) -> None:
        """Cancel all running tasks whose calls have not begun elsewhere."""


class Worker:
    """What runs tasks in a slot of a queue: a thread's loop, or calls at an executor."""

    __slots__ = ("number", "queue", "suspended", "task", "thread", "waits", "wakes")

    def __init__(self, queue: QueueState) -> None:
        # Constant.
        self.queue = queue
        # An entry, put by any thread without a lock, wakes the idle worker.
        self.wakes: SimpleQueue[None] = SimpleQueue()
        # The running task, the innermost if nested.  The scheduler's lock guards this and all fields below.
        self.task: Task[Any] | None = None
        # Tasks that wait while `task` runs nested in them, the outermost first; None: a callback that waits.
        self.suspended: list[Task[Any] | None] = []
        # For each `Wait`, which writes its entry: the length of `suspended` as it began, and the `Wait`.
        self.waits: list[tuple[int, Any]] = []
        # None until it asks for a task; then the identifier of its thread, or else the name of its slot.
        self.thread: int | str | None = None
        # The number in the name of its slot; 0 if it has no such name.
        self.number = 0

    def tasks(self) -> list[Task[Any]]:
        """Return all its running tasks, the outermost first."""
        return [task for task in (*self.suspended, self.task) if task is not None]

    def waits_of(self, task: Task[Any]) -> list[Any]:
        """Return the waits that have to end before *task* can go on; none if *task* runs elsewhere."""
        tasks = [*self.suspended, self.task]
        depth = tasks.index(task) if task in tasks else len(tasks)
        return [wait for begun, wait in self.waits if begun >= depth]


class _Current(threading.local):
    """What the calling thread does for us.  Each thread has fields of its own."""

    # The worker whose task the thread runs; None while it runs none.
    worker: Worker | None = None
    # The thread is in a `submit` to an inline queue, and so may run its tasks.
    submits_inline = False

    def __init__(self) -> None:
        # All its workers, the outermost first: more than one if it serves inline queues.
        self.workers: list[Worker] = []
        # Each call begins one more worker of an inline queue: see ``_workers.pools``.
        self.due: deque[Callable[[], None]] = deque()

    def serve_due(self, *more: Callable[[], None]) -> None:
        """Add *more* to `due`, and make all its calls, also those that are added meanwhile."""
        self.due.extend(more)
        while self.due:
            self.due.popleft()()


CURRENT = _Current()


class Barrier(Node):
    """A relay of a queue with `in_order`: done when its task, and all before that, have started or ended::

        task 1 <-- barrier 1 <-- task 2 <-- barrier 2 <-- task 3
                       ^------------------------'

    The dispatcher ends it when its task starts; the planner, if that never starts.  So at most one task of
    the queue is ready, and the search visits through it all that the tasks before need.
    """

    __slots__ = ()
    _tolerant = True  # for the planner: its task need not succeed


class QueueState(PlannedQueue):
    """A queue, but for the public `Queue`, which its user may lose.  The scheduler's lock guards it."""

    # Slots are read faster than other fields.
    __slots__ = (
        "_numbers", "backend", "barrier", "cancelled", "coming", "copies_context", "done", "failed",
        "has_rules", "idle", "in_order", "inline", "keeps_idle", "limit", "lost", "name", "owner",
        "pending_limit", "refusal", "remote_values", "scheduler", "searches", "width", "workers",
    )  # fmt: skip

    def __init__(self, scheduler: Any, backend: Backend, limit: int, name: object) -> None:
        super().__init__()
        # The `State` of its scheduler; constant, as are the next fields up to `name`.
        self.scheduler = scheduler
        # The backend, and copies of its fields that are read at each task.
        self.backend = backend
        self.keeps_idle = backend.keeps_idle
        self.inline = backend.inline
        self.remote_values = backend.remote_values
        self.name = str(name)  # never of a user's subclass of str: `why` formats it under the lock
        # How many slots it has: ``max_workers``.
        self.width = limit
        # How many workers it may have: `width`, and ``prefetch``.  After a `resize` it has more for a while.
        self.limit = limit
        # All workers, in the order of their start.  `State.wake` adds a worker; `leave` removes it.
        self.workers: dict[Worker, None] = {}
        # Idle workers; the last one is woken first.
        self.idle: dict[Worker, None] = {}
        # Workers on their way to a task: so many ready tasks need no further worker.
        self.coming: dict[Worker, None] = {}
        # A heap of the free numbers of slots.  The highest is the first number that no worker ever had.
        self._numbers = [1]
        # Searches of its workers that wait inside a task, and may run its tasks nested.
        self.searches: dict[Search, None] = {}
        # How many of its tasks have ended with a value, with an exception, and cancelled.
        self.done = self.failed = self.cancelled = 0
        # Its tasks start in the order of submission.  Constant once the queue is made, as the next two.
        self.in_order = False
        # How many of its tasks may be pending; None: any number.
        self.pending_limit: Limit | None = None
        # Its tasks run in copies of their submitters' contexts.
        self.copies_context = False
        # If `in_order`: the `Barrier` of the task submitted last, on which the next task depends.
        self.barrier: Node | None = None
        # No end of a task is plain (see ``dispatch``), because of rules of the queue or of observers.  One
        # test for hot paths; `update_rules` writes it.
        self.has_rules = False
        # None while the queue takes tasks; then the exception of which `submit` raises a copy.
        self.refusal: BaseException | None = None
        # The user's queue; set once.
        self.owner: ref[Any] | None = None
        # The user's queue was collected.  Written by `lose`, without the lock.
        self.lost = False

    @property
    def pending(self) -> int:
        """How many tasks are waiting or ready."""
        return self.waiting + self.ready

    @property
    def ending(self) -> bool:
        """Whether no task is pending and none can be added: its workers are to leave."""
        return (self.refusal is not None or self.lost) and not self.waiting and not self.ready

    def refuse(self, refusal: BaseException) -> None:
        """Take no more tasks: `submit` raises a copy of *refusal* from now on.  The lock is held."""
        self.refusal = refusal
        if self.pending_limit is not None:
            self.pending_limit.turn_away()

    def lose(self, _: object = None) -> None:
        """Wake idle workers, as the user's queue was collected: the callback of `owner`, in any thread."""
        # No lock: this thread may hold it.  A worker that becomes idle now enters `idle`, then reads `lost`.
        self.lost = True
        for worker in list(self.idle):
            worker.wakes.put(None)
        self.backend.lose(self)

    def update_rules(self) -> None:
        """Write `has_rules`, and reset `wakes_none`.  The lock is held."""
        self.wakes_none = False
        ruled = self.in_order or self.pending_limit is not None or len(self.workers) > self.limit
        self.has_rules = ruled or self.scheduler.stopped or bool(self.scheduler.observers)

    def name_worker(self, worker: Worker) -> None:
        """Write `Worker.thread` as *worker* begins, in the calling thread.  The lock is held."""
        if self.keeps_idle:
            worker.thread = threading.get_ident()
            return
        worker.number = heappop(self._numbers)
        if not self._numbers:
            heappush(self._numbers, worker.number + 1)
        worker.thread = f"slot {worker.number}"

    def leave(self, worker: Worker) -> None:
        """Remove *worker*.  The lock is held."""
        del self.workers[worker]
        self.idle.pop(worker, None)
        self.coming.pop(worker, None)
        if worker.number:
            heappush(self._numbers, worker.number)
        self.update_rules()

    def leave_unbegun(self) -> None:
        """Remove the workers that have not begun: `Dispatcher.begin` sends them away.  The lock is held."""
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
        return {name: getattr(self, name) for name in STATES}
