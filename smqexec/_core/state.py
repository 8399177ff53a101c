"""A queue's slots and the runs that fill them: records, whose use is told in ``dispatch``."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from queue import SimpleQueue
from typing import Any, Protocol
from weakref import ref

from .._futures.task import Task
from .._planner import Node, PlannedQueue
from .backend import Backend
from .searches import Search

# Why a queue takes no more tasks, as the standard library says it.
SHUT_DOWN = "cannot schedule new futures after shutdown"
EXITING = "cannot schedule new futures after interpreter shutdown"


class Worker:
    """What runs tasks in a slot of a queue: a thread's loop, or calls at an executor.  Under the lock."""

    __slots__ = ("number", "queue", "suspended", "task", "thread", "waits", "wakes")

    def __init__(self, queue: QueueState) -> None:
        self.queue = queue
        # The number in the name of its slot; 0 for a worker with a thread of its own.
        self.number = 0
        self.wakes: SimpleQueue[None] = SimpleQueue()  # an entry wakes it: it looks for a task once more
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
    lent = False

    def __init__(self) -> None:
        # All its workers, the outermost first: more than one where it serves inline queues.
        self.workers: list[Worker] = []
        # Begin further workers of inline queues.
        self.due: deque[Callable[[], None]] = deque()


#: What the calling thread is at.
CURRENT = _Current()


class EventSink(Protocol):
    """What a scheduler tells of each thing that happens; false while nobody observes.

    `Scheduler` fills it in.  The lock is not held, as it calls the user's observers.
    """

    def submitted(self, queue: QueueState, task: Task[Any], args: Any, kwargs: Any) -> None:
        """*task* is about to be added; *args* and *kwargs* as for `add`."""

    def tell(
        self,
        kind: str,
        queue: QueueState | None = None,
        task: Task[Any] | None = None,
        worker: int | str | None = None,
        *,
        time: float | None = None,
        index: int | None = None,
        outcome: str | None = None,
        error: BaseException | None = None,
    ) -> None:
        """An event of another *kind*: see `Event`.  It is told before it can be seen at the task."""

    def dropped(self, ended: Sequence[tuple[Any, Any, QueueState]], ran: Task[Any] | None) -> None:
        """The tasks in *ended* have ended, and none of them ran but *ran*, whose end was told."""


class Limit(Protocol):
    """How many tasks of a queue may be pending, as the core sees it.  Called under the lock."""

    def use(self, reservation: Any, /) -> None:
        """Note that the task of *reservation* is pending now."""

    def admit(self, pending: int, /) -> None:
        """Let those that wait go on, as far as there is room beside *pending* tasks."""

    def turn_away(self) -> None:
        """Let all that wait go on without room: the queue takes no more tasks."""


class QueueState(PlannedQueue):
    """A queue's slots: how many tasks it may run, who runs them, what came of them.

    Apart from the queue itself, so that tasks and threads at work do not keep
    a queue that its user has lost.  Guarded by the scheduler's lock, but for
    `lost`.
    """

    __slots__ = (
        "_names",
        "_unnamed",
        "barrier",
        "broken",
        "cancelled",
        "closed",
        "coming",
        "copies_context",
        "done",
        "failed",
        "has_rules",
        "helpers",
        "idle",
        "in_order",
        "inline",
        "keeps",
        "limit",
        "lost",
        "name",
        "owner",
        "parks",
        "pending_limit",
        "pool",
        "scheduler",
        "width",
        "workers",
    )  # fmt: skip

    def __init__(
        self,
        scheduler: Any,
        pool: Backend,
        limit: int,
        name: str,
    ) -> None:
        super().__init__()
        self.scheduler = scheduler
        self.pool = pool
        self.parks, self.inline, self.keeps = pool.parks, pool.inline, pool.keeps  # read at each task
        self.limit = limit  # of its runs
        self.width = limit  # of the tasks that run, where some runs are there before it is their turn
        self.name = name
        self.workers: dict[Worker, None] = {}  # in order
        self._names = 0  # how many slots have had a name, and
        self._unnamed: list[int] = []  # the numbers of those that are free again, a heap
        # Workers that found no ready task and wait for a wake; the one that waits for the shortest time is
        # woken first.
        self.idle: dict[Worker, None] = {}
        # Workers that were woken or started and have not looked for a task since.
        self.coming: dict[Worker, None] = {}
        self.helpers: dict[Search, None] = {}  # searches of its workers that wait
        self.done = self.failed = self.cancelled = 0
        #: Its tasks start in the order of submission.
        self.in_order = False
        self.barrier: Node | None = None  # of the task submitted last, in such a queue
        #: How many of its tasks may be pending, if there is a limit.
        self.pending_limit: Limit | None = None
        self.copies_context = False  # its tasks run in copies of their submitters'
        #: It has rules of its own: see `started` and `_hand_over`.  Written by `update_rules`.
        self.has_rules = False
        self.closed = ""  # what `submit` says, once it takes no more tasks: SHUT_DOWN or EXITING
        self.broken: BaseException | None = None
        # The queue.  Its weakref's callback may run anywhere, also under the
        # lock: it sets `lost` and wakes the idle workers, both of which take no lock of ours.
        self.lost = False
        self.owner: ref[Any] | None = None

    @property
    def pending(self) -> int:
        return self.waiting + self.ready

    def running_tasks(self) -> list[Task[Any]]:
        """All that its workers are at, the tasks beneath nested ones too."""
        return [task for worker in self.workers for task in worker.tasks()]

    @property
    def ending(self) -> bool:
        """No task is pending and none can come: a run may leave."""
        return bool(self.closed or self.lost or self.broken) and not self.waiting and not self.ready

    def lose(self, _: object = None) -> None:
        """Note that the queue was collected."""
        self.lost = True
        for worker in list(self.idle):  # they look at `lost` once they are idle
            worker.wakes.put(None)
        self.pool.lose(self)

    def update_rules(self) -> None:
        """Look whether the queue has rules of its own.  The lock is held."""
        ruled = self.in_order or self.pending_limit is not None
        self.has_rules = ruled or len(self.workers) > self.limit

    def name_worker(self, worker: Worker) -> None:
        """Give *run*, which has no thread, the first name that is free.  The lock is held."""
        if self._unnamed:
            worker.number = heappop(self._unnamed)
        else:
            self._names += 1
            worker.number = self._names
        worker.thread = f"slot {worker.number}"

    def leave(self, worker: Worker) -> None:
        """Let *run* go.  The lock is held."""
        del self.workers[worker]
        self.idle.pop(worker, None)
        self.coming.pop(worker, None)
        if worker.number:
            heappush(self._unnamed, worker.number)

    def leave_unbegun(self) -> None:
        """Let the workers go that have not begun.  The lock is held."""
        for worker in [worker for worker in self.workers if worker.thread is None]:
            self.leave(worker)

    def wake_idle(self, count: int | None = None) -> None:
        """Wake *count* idle workers; None: all.  The lock is held."""
        for _ in range(len(self.idle) if count is None else count):
            worker, _ = self.idle.popitem()
            self.coming[worker] = None
            worker.wakes.put(None)

    def counts(self) -> dict[str, int]:
        return {
            "waiting": self.waiting, "ready": self.ready, "running": self.running,
            "done": self.done, "failed": self.failed, "cancelled": self.cancelled,
        }  # fmt: skip
