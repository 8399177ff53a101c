"""The state that all parts of one scheduler share: the lock, the planner, the queues, and waiting threads.

The parts (`Wake`, `Dispatcher`, `Submission`, `Termination`, `Stopping`, and those of the rooms above) keep
no state of a task or queue.  Each decides under `State.lock`, and acts after it: it stores outcomes, then
states, and then wakes waiters.  While the lock is held no user code runs.  Nor is an object of the user's
released, as its finalizer would be user code.

Invariant, whenever the lock is free, the scheduler not stopped, and no rule of the queue says otherwise: a
queue with a ready task has no idle worker; and it has as many workers on their way as ready tasks, or as many
workers as it may have.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, cast

from .._futures.at_end import AtEnd
from .._futures.future import PlannedFuture
from .._futures.names import counted
from .._planner import DependencyPlanner, Node
from .exclusive import Exclusive, ForkedLock
from .queue_state import EXITING, STATES, QueueState, Worker
from .upward import Allocates, Ends, EventSink

# A task or item that has ended under the lock, the record of its waiters and callbacks, and its queue: after
# the lock its call is released, and its waiters are woken.
Ended: TypeAlias = tuple[PlannedFuture[Any], AtEnd | None, QueueState]

# Workers to start in their backends, after the lock.
Starts: TypeAlias = list[tuple[QueueState, Worker]]


class Effects:
    """What was decided under the lock: `Termination.perform` does it after the lock was released."""

    __slots__ = ("ended", "starts")

    def __init__(self, starts: Starts | None = None) -> None:
        self.starts = starts
        self.ended: list[Ended] = []


class State(Exclusive):
    """The state of one scheduler.  Its lock guards all fields; some are read without, as they say."""

    #: The interpreter is exiting.  Of all schedulers; written by the main thread.
    exiting = False

    def __init__(self, order: str, stopped: bool, observers: EventSink) -> None:
        super().__init__()
        # The observers; false while there are none.  Each change replaces the object, so a thread that reads
        # it without the lock sees the observers of one moment.
        self.observers = observers
        # Which ready task is next.  Only `break_down` replaces it.
        self.planner = DependencyPlanner(order)
        # "newest" or "oldest"; constant.
        self.order = order
        # No task may start.  Written by `Stopping`.  Generators read it without the lock, at each value.
        self.stopped = stopped
        # All queues in the order they were made, but for lost ones that `add_queue` has forgotten.
        self.queues: list[QueueState] = []
        # The counts of forgotten queues, added up.
        self.past_counts: Counter[str] = Counter(dict.fromkeys(STATES, 0))
        # The condition of each `ConditionWait`.  The waiting thread adds it; `wake_condition_waiters` removes
        # it under the lock hold that makes the condition true.
        self.condition_waiters: dict[Any, Callable[[], bool]] = {}
        # For each running task that a stop holds at a checkpoint: the lock that its thread waits for.
        # `Waiting.pause` adds it; a resume or a cancel removes it.
        self.paused: dict[PlannedFuture[Any], Any] = {}
        # With debug=True: takes an exception and the name of the queue, and returns the function to call when
        # a user reads the failure.  Set once.
        self.watch_failure: Callable[[BaseException, str], Callable[[], object]] | None = None
        # For each `Termination.drop` that takes several slices: the nodes that it has still to end.
        self.unfinished_drops: list[deque[Node]] = []
        # Relays that may be linked to no other pending node: of foreign futures, items of ordinary tasks,
        # allocation waiters.  The code that adds such a relay to the planner adds it here.
        self.relays: set[Node] = set()
        # The entries of the planner that hot paths call.  `take_next` takes a queue and starts its next task;
        # `Allocating.add_allocation` replaces it when the first task that takes resources is added.
        self.take_next: Callable[..., Any] = self.planner.order.take
        self.add_node = self.planner.add

    # The parts.  `Scheduler` fills them in, once.  The modules of those of type Any import this one.
    wake: Any
    dispatcher: Any
    submission: Any
    termination: Any
    admission: Any
    waiting: Any
    streams: Any
    allocating: Allocates
    ending: Ends
    #: Return why a future has not ended, or None if it has.
    why_of: Callable[[PlannedFuture[Any]], str | None]
    #: Log why a wait may never end, and return True, if nothing can go on.
    warn_if_stalled: Callable[..., bool]

    def add_queue(self, queue: QueueState) -> None:
        """Add *queue* to the scheduler; forget lost queues."""
        with self.exclusive():
            self.planner.add_queue(queue)
            for other in self.queues.copy():
                if other.lost and not other.pending and not other.workers:
                    self.queues.remove(other)
                    self.past_counts.update(other.counts())
            self.queues.append(queue)
            queue.update_rules()
            if self.exiting:
                queue.refuse(RuntimeError(EXITING))

    def abandon(self) -> None:
        """Replace the lock by one that raises: this is a forked child, and the tasks are the parent's."""
        self.lock = ForkedLock()
        self.observers = cast("EventSink", ())

    def running_tasks(self, queues: Iterable[QueueState] | None = None) -> list[Any]:
        """Return the running tasks of *queues*, or of all, also those that wait.  The lock is held."""
        found = self.queues if queues is None else queues
        return [task for queue in found for worker in queue.workers for task in worker.tasks()]

    def waiting_tasks(self) -> set[Any]:
        """Return the running tasks that wait for a condition, and do not count as running for it.  Locked."""
        return {task for wait in self.condition_waiters if wait.scheduler is self for task in wait.held or ()}

    def counts(self) -> dict[str, int]:
        """Return how many tasks are in each state."""
        with self.reading():
            return self._counts()

    def _counts(self) -> dict[str, int]:
        total = self.past_counts.copy()
        for queue in self.queues.copy():
            total.update(queue.counts())
        return dict(total)

    def __repr__(self) -> str:
        # Without the lock: a handler that has interrupted the lock's holder may print it.
        counts = ", ".join(f"{count} {state}" for state, count in self._counts().items() if count)
        queues = counted(sum(not queue.lost for queue in self.queues.copy()), "queue")
        stopped = " stopped" if self.stopped else ""
        return f"<Scheduler order={self.order}{stopped}, {queues}: {counts or 'no tasks'}>"

    def wake_condition_waiters(self) -> None:
        """Wake the threads whose condition holds.  The lock is held."""
        # All conditions first: the tasks of a thread that goes on no longer count as `waiting_tasks`.
        for waiter in [waiter for waiter, holds in self.condition_waiters.items() if holds()]:
            del self.condition_waiters[waiter]
            waiter.wake()
