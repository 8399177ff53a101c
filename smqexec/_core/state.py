"""The state that all parts of one scheduler share: the lock, the planner, the queues, and waiting threads.

The parts (`Wake`, `Dispatcher`, `Submission`, `Termination`, and those of the rooms above) keep no state of
a task or queue themselves.  They decide under `State.lock`, and act after it: outcomes are stored first, then
states, then what waits is woken.  While the lock is held no user code runs, and no object of the user's is
released.  Outside the lock this always holds, unless the scheduler is stopped or a rule of the queue says no:

    a queue with a ready task has no idle worker, and as many workers on their way as ready tasks,
    or as many workers as it may have.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from .._futures.at_end import AtEnd
from .._futures.future import PlannedFuture
from .._futures.names import counted
from .._planner import DependencyPlanner, Node
from .exclusive import Exclusive
from .queue_state import EXITING, FORKED, QueueState
from .upward import Allocates, Ends, EventSink

STATES: tuple[str, ...] = ("waiting", "ready", "running", "done", "failed", "cancelled")

# How often a thread asks for the lock before it blocks.
SPINS = 20

# A task or item that has ended under the lock: it releases its call, and wakes its waiters, after the lock.
Ended: TypeAlias = tuple[PlannedFuture[Any], AtEnd | None, QueueState]


class State(Exclusive):
    """The state of one scheduler.  Its lock guards all fields; some are read without."""

    def __init__(self, order: str, stopped: bool, observers: EventSink) -> None:
        super().__init__()
        # The observers; false while there are none.  Replaced at each change; read without the lock.
        self.observers = observers
        # Which ready task is next.  Replaced by `Breakdown` alone.
        self.planner = DependencyPlanner(order)
        # "newest" or "oldest"; never changes.
        self.order = order
        # No task may start.  Written by `set_stopped`; read by generators without the lock.
        self.stopped = stopped
        # All queues, but for lost ones that are forgotten, in the order they were made.
        self.queues: list[QueueState] = []
        # The counts of lost queues that are forgotten.
        self.past_counts: dict[str, int] = dict.fromkeys(STATES, 0)
        # Threads that wait for a condition: the condition, and a lock to release once that holds.
        self.condition_waiters: list[tuple[Callable[[], bool], Any]] = []
        # For each task that waits for such a condition: all running tasks of its worker.
        self.waiting_stacks: list[list[Any]] = []
        # Running tasks that a stop holds at a checkpoint, each with the lock that its thread waits for.
        self.paused: list[tuple[PlannedFuture[Any], Any]] = []
        # With debug=True: called with a failure and the name of the queue, it returns what is called when the
        # failure is looked at.  Set once.
        self.watch_failure: Callable[[BaseException, str], Callable[[], object]] | None = None
        # Nodes that are about to be dropped, where that takes several slices: see `Termination.drop`.
        self.unfinished_drops: list[deque[Node]] = []
        # Pending nodes that belong to no queue: relays of futures of others, items, allocation waiters.
        self.relays: set[Node] = set()
        # The hot entries of the planner.  `take_next` starts the next task of a queue: `Allocates.starter`.
        self.take_next: Callable[..., Any] = self.planner.order.take
        self.add_node = self.planner.add
        # This process is a forked child: the threads, and so the tasks, are the parent's.
        self._abandoned = False

    #: The interpreter is exiting.  Of all schedulers; written by the main thread.
    exiting = False

    # The parts that tasks, workers and rooms above call.  `Scheduler` fills them in, once.
    wake: Any
    dispatcher: Any
    submission: Any
    admission: Any
    waiting: Any
    streams: Any
    stopping: Any
    ending: Ends
    #: Return why a future has not ended, or None if it has.
    why_of: Callable[[PlannedFuture[Any]], str | None]
    allocating: Allocates
    termination: Any
    #: Log why a wait may never end, and return True, if nothing can go on.
    warn_if_stalled: Callable[..., bool]

    def add_queue(self, queue: QueueState) -> None:
        """Make *queue* part of the plan; forget lost queues."""
        with self.exclusive():
            self.planner.add_queue(queue)
            for other in [other for other in self.queues if other.lost]:
                if not (other.pending or other.workers):
                    self.queues.remove(other)
                    for name, count in other.counts().items():
                        self.past_counts[name] += count
            self.queues.append(queue)
            queue.update_rules()
            if self._abandoned or self.exiting:
                queue.refuse(RuntimeError(FORKED if self._abandoned else EXITING))

    def set_stopped(self, stopped: bool) -> None:
        """Let no task start, or let tasks start again.  The lock is held."""
        self.stopped = stopped
        for queue in self.queues:
            queue.update_rules()

    def counts(self) -> dict[str, int]:
        """Return how many tasks are in which state."""
        with self.exclusive(reads=True):
            return self._counts()

    def _counts(self) -> dict[str, int]:
        total = self.past_counts.copy()
        for queue in self.queues.copy():
            for name, count in queue.counts().items():
                total[name] += count
        return total

    def __repr__(self) -> str:
        # Without the lock: a handler that has interrupted the lock's holder may print it.
        counts = ", ".join(f"{count} {state}" for state, count in self._counts().items() if count)
        queues = counted(sum(not queue.lost for queue in self.queues.copy()), "queue")
        stopped = " stopped" if self.stopped else ""
        return f"<Scheduler order={self.order}{stopped}, {queues}: {counts or 'no tasks'}>"

    def wake_condition_waiters(self) -> None:
        """Wake the threads whose condition holds.  The lock is held."""
        for waiter in self.condition_waiters.copy():
            holds, blocker = waiter
            if holds():
                self.condition_waiters.remove(waiter)
                blocker.release()

    def yield_lock(self) -> None:
        """Release the lock, which is held, for other threads, and take it again."""
        self.lock.release()
        time.sleep(0)
        self.lock.acquire()

    def spin(self) -> None:
        """Wait for a while until the lock is free, without taking it.  Not in the main thread: Ctrl-C.

        A thread holds the lock for a microsecond or two, unless it loses the interpreter lock meanwhile.  A
        thread that blocks at once is given the lock at its release, but needs the interpreter lock to go on:
        so the next thread blocks too, and from then on each task costs a switch of threads, three times as
        much with 16 threads that submit.  To sleep for no time lets the holder go on.
        """
        for _ in range(SPINS):
            # Not `locked`, which is false while the lock is on its way to a blocked thread.
            if self.lock.acquire(False):
                self.lock.release()
                return
            time.sleep(0)

    def spin_and_lock(self) -> None:
        """Take the lock that another thread holds.  For workers with threads, which no signal interrupts."""
        self.spin()
        self.lock.acquire()

    def release_paused(self, tasks: Sequence[PlannedFuture[Any]] | None = None) -> None:
        """Let paused tasks go on: *tasks*, or all.  The lock is held."""
        paused, self.paused = self.paused, []
        for task, blocker in paused:
            if tasks is None or task in tasks:
                blocker.release()
            else:
                self.paused.append((task, blocker))

    def request_cancel(self, task: PlannedFuture[Any]) -> None:
        """Ask running *task* to end.  The lock is held."""
        task._get_at_end().cancel_requested = True
        self.release_paused([task])
