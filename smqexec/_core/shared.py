"""What all parts of one scheduler share: its lock, the planner, its queues, and who waits for what."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeAlias

from .._futures.at_end import AtEnd
from .._futures.future import Failure, PlannedFuture
from .._planner import Node, Planner
from .exclusive import Exclusive
from .process import Ends
from .state import EventSink, QueueState

STATES = ("waiting", "ready", "running", "done", "failed", "cancelled")

# How often a thread asks for the lock before it blocks.
SPINS = 20

Ended: TypeAlias = tuple[PlannedFuture[Any], AtEnd | None, QueueState]  # a task or item to be told of then


class Allocates(Protocol):
    """What a scheduler does about resources, as the core sees it.  Locked, but for the first."""

    def bind_resources(self, resources: Iterable[Any], /) -> None:
        """Make *resources* belong to this scheduler, or raise ValueError."""

    def add_allocation(self, task: Any, /) -> None:
        """Note what *task*, which was just added, takes and releases."""

    def allocate(self, task: Any, /) -> bool:
        """Give *task*, just started, its units; if it lacks some, hold it back and return False."""
        ...

    def stop_holding(self, allocation: Any, /) -> list[Any]:
        """Keep nothing beyond the task's end, as nobody knows of it; return what became ready."""
        ...

    def starter(self) -> Callable[..., Any]:
        """Return what gives a run its next task: the order's own, as long as no task takes resources."""
        ...


class Terminates(Protocol):
    """How tasks end without a value, as what comes before that sees it."""

    def fail_ready(self, queue: QueueState, failure: Failure, /) -> None:
        """Fail the ready tasks of *queue*, and what depends on them.  The lock is not held."""

    def pending(self) -> list[Any]:
        """Return all pending tasks, those submitted first in front.  The lock is held."""
        ...


class State(Exclusive):
    """What all parts of one scheduler share.  Guarded by its lock."""

    def __init__(self, order: str, stopped: bool, observers: EventSink) -> None:
        super().__init__()
        self.observers = observers  # replaced under the lock
        self.planner = Planner(order)
        self.order = order
        self._stopped = stopped
        self._queues: list[QueueState] = []
        self._past = dict.fromkeys(STATES, 0)  # the counts of lost queues that are forgotten
        # Who waits for what: (whether it holds, a lock to release once it does).
        self._watchers: list[tuple[Callable[[], bool], Any]] = []
        # The running tasks beneath each wait for something to hold, and that wait's own.
        self._resting: list[list[Any]] = []
        # Running tasks that a stop holds, each with the lock that its thread waits for.
        self._paused: list[tuple[PlannedFuture[Any], Any]] = []
        # With debug=True: gives what to call when somebody looks at a failure of a task of that queue.
        self.watch_failure: Callable[[BaseException, str], Callable[[], object]] | None = None
        # What is about to be dropped, where that takes several slices.
        self._doomed: list[deque[Node]] = []
        # Those that had ended where an error of our own struck: for `break_down` to tell.
        self._untold: list[Ended] = []
        # What pending tasks may wait for, and no queue is at: futures of others, and
        # parts of results.
        self._outside: set[Node] = set()
        # What gives a run its next task, and what takes a node in.
        self._next: Callable[..., Any] = self.planner.order.take
        self._admit = self.planner.add
        self._abandoned = False  # this is a forked child, and the threads are the parent's
        self.exiting = False  # the interpreter is

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
    #: Fail all that is pending with an exception of our own code: see `Breakdown`.
    break_down: Callable[..., None]
    termination: Terminates
    #: Log why a wait may never end, and return True, if nothing can go on.
    warn_if_stalled: Callable[..., bool]

    def add_queue(self, queue: QueueState) -> None:
        """Make *queue* part of the plan; forget lost queues."""
        with self.exclusive():
            self.planner.add_queue(queue)
            for other in [other for other in self._queues if other.lost]:
                if not (other.pending or other.workers):
                    self._queues.remove(other)
                    for name, count in other.counts().items():
                        self._past[name] += count
            self._queues.append(queue)

    def counts(self) -> dict[str, int]:
        """Return how many tasks are in which state."""
        with self.exclusive(reads=True):
            return self._counts()

    def _counts(self) -> dict[str, int]:
        total = self._past.copy()
        for queue in self._queues.copy():
            for name, count in queue.counts().items():
                total[name] += count
        return total

    def __repr__(self) -> str:
        # Without the lock: a handler that has interrupted the lock's holder may print it.
        counts = ", ".join(f"{count} {state}" for state, count in self._counts().items() if count)
        number = sum(not queue.lost for queue in self._queues.copy())
        queues = f"{number} queue{'s' * (number != 1)}"
        stopped = " stopped" if self._stopped else ""
        return f"<Scheduler order={self.order}{stopped}, {queues}: {counts or 'no tasks'}>"

    def _tell_watchers(self) -> None:
        for watcher in self._watchers.copy():
            holds, blocker = watcher
            if holds():
                self._watchers.remove(watcher)
                blocker.release()

    def _let_in(self) -> None:
        """Let others have the lock, which is held, in between."""
        self.lock.release()
        time.sleep(0)
        self.lock.acquire()

    def _queue_up(self) -> None:
        """Wait for a while until the lock is free, without taking it.  Not where Ctrl-C may strike.

        It is held for a microsecond or two.  Whoever holds it and lost the
        interpreter lock meanwhile needs that first.  A thread that blocks at
        once is given the lock as it is released, but has yet to get the
        interpreter lock, so that the next one blocks too, and from then on
        every task costs a change of threads: three times as much where 16
        threads submit.  Sleeping for no time lets the holder go on, and gives
        the lock to nobody.
        """
        for _ in range(SPINS):
            if self.lock.acquire(False):  # `locked` says no while who was given it has yet to go on
                self.lock.release()
                return
            time.sleep(0)

    def _lock(self) -> None:
        """Take the lock that another thread holds.  For runs, which no signal interrupts."""
        self._queue_up()
        self.lock.acquire()

    def _unpause(self, tasks: Sequence[PlannedFuture[Any]] | None = None) -> None:
        """Let paused tasks go on: these, or all.  The lock is held."""
        paused, self._paused = self._paused, []
        for task, blocker in paused:
            if tasks is None or task in tasks:
                blocker.release()
            else:
                self._paused.append((task, blocker))

    def _ask(self, task: PlannedFuture[Any]) -> None:
        """Ask a running task to end.  The lock is held."""
        task._get_at_end().cancel_requested = True
        self._unpause([task])
