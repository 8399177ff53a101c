"""The state that all parts of one scheduler share, and which worker goes to a ready task.

The parts keep no state of a task or queue.  Each decides under `State.lock`, and acts after it: it stores
outcomes, then states, and then wakes waiters.  While the lock is held no user code runs, and no object of the
user's is released, as its finalizer would be user code.  One exception: a task that ended without a value may
be released under the lock, with its failure, by a long list of dependents or ready tasks that it was in.

If fewer workers are on their way (`QueueState.coming`) than tasks are ready, an idle worker is woken, or a
new one started, if the queue may have more; else the task waits for the next worker that completes a task, or
runs nested.  So a backend gets no more workers than it has slots, and its own order never decides anything.
"""

from _thread import start_new_thread
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias, cast

from .._calls.interrupts import LOGGER, elsewhere, uninterrupted
from .._futures.at_end import AtEnd
from .._futures.future import FAILED, Failure, PlannedFuture
from .._futures.names import counted
from .._futures.task import Task
from .._futures.waiter import Waiter
from .._planner.nodes import READY, Node
from .._planner.planner import DependencyPlanner
from .exclusive import Exclusive, ForkedLock
from .queue_state import CURRENT, EXITING, SEARCH_LIMIT, STATES, QueueState, Worker
from .upward import Allocates, Ends, EventSink

# A task or item that has ended under the lock, the record of its waiters and callbacks, and its queue.
Ended: TypeAlias = tuple[PlannedFuture[Any], AtEnd | None, QueueState]


class State(Exclusive):
    """The state of one scheduler.  Its lock guards all fields; some are read without, as they say."""

    #: The interpreter is exiting.  Of all schedulers; written by the main thread.
    exiting = False

    def __init__(self, order: str, stopped: bool, observers: EventSink) -> None:
        super().__init__()
        # False while there are none.  Each change replaces the object, so it is read without the lock.
        self.observers = observers
        self.use_planner(DependencyPlanner(order))
        # "newest" or "oldest"; constant.
        self.order = order
        # No task may start.  Written by `Dispatcher`.  Generators read it without the lock, at each value.
        self.stopped = stopped
        # All queues in the order they were made, but for lost ones that `add_queue` has forgotten.
        self.queues: list[QueueState] = []
        # The counts of forgotten queues, added up.
        self.past_counts: Counter[str] = Counter(dict.fromkeys(STATES, 0))
        # The condition of each `ConditionWait`, until the hold of the lock that makes it true, or its end.
        self.condition_waiters: dict[Any, Callable[[], bool]] = {}
        # For each running task that a stop holds at a checkpoint: what its thread sleeps in.
        self.paused: dict[PlannedFuture[Any], Waiter] = {}
        # With debug=True: takes an exception and a queue's name; returns the function to call as it is read.
        self.watch_failure: Callable[[BaseException, str], Callable[[], object]] | None = None
        # For each `Termination.drop` that takes several slices: the nodes that it has still to end.
        self.unfinished_drops: list[deque[Node]] = []
        # Relays that may be linked to no other pending node.  Code that adds one to the planner adds it here.
        self.relays: set[Node] = set()

    def use_planner(self, planner: DependencyPlanner) -> None:
        """Let *planner* decide which ready task is next.  Only `break_down` replaces the first one."""
        self.planner = planner
        # For hot paths.  With the first resource `Allocating` replaces `take_next`.  The list `freed` stays
        # the same: the order clears it.
        self.take_next: Callable[..., Any] = planner.order.take
        self.add_node = planner.add
        self.freed = planner.order.freed

    # The parts.  `Scheduler` fills them in, once.  Their modules import this one.
    dispatcher: Any
    submission: Any
    termination: Any
    waiting: Any
    streams: Any
    allocating: Allocates
    ending: Ends
    #: Return why a future has not ended, or None if it has.
    why_of: Callable[[PlannedFuture[Any]], str | None]

    def add_queue(self, queue: QueueState) -> None:
        """Add *queue* to the scheduler; forget lost queues."""
        with self.exclusive():
            self.planner.add_queue(queue)
            # Keeps the forgotten ones, and so their initializers, until the lock is released.
            queues = self.queues.copy()
            for other in queues:
                if other.lost and not other.pending and not other.workers:
                    self.queues.remove(other)
                    self.past_counts.update(other.counts())
            self.queues.append(queue)
            queue.update_rules()
            if self.exiting:
                queue.refuse(RuntimeError(EXITING))

    def observe(self, observers: EventSink) -> None:
        """Report all events to *observers* from now on.  The lock is held."""
        self.observers = observers
        for queue in self.queues:
            queue.update_rules()

    def abandon(self) -> None:
        """Replace the lock by one that raises: this is a forked child, and the tasks are the parent's."""
        self.lock = ForkedLock()
        self.observers = cast("EventSink", ())

    def running_tasks(self, queues: Iterable[QueueState] | None = None) -> list[Any]:
        """Return the running tasks of *queues*, or of all, also those that wait.  The lock is held."""
        found = self.queues if queues is None else queues
        return [task for queue in found for worker in queue.workers for task in worker.tasks()]

    def roots(self) -> list[Any]:
        """Return nodes that lead to all pending nodes that the order does not list.  The lock is held."""
        doomed = [node for nodes in self.unfinished_drops for node in nodes]
        return [*self.running_tasks(), *self.relays, *doomed]

    def waiting_tasks(self) -> set[Any]:
        """Return the running tasks that wait for a condition, and do not count as running for it.  Locked."""
        return {task for wait in self.condition_waiters if wait.scheduler is self for task in wait.held or ()}

    def counts(self) -> dict[str, int]:
        """Return how many tasks are in each state; of one moment, if the lock is held."""
        total = self.past_counts.copy()
        for queue in self.queues.copy():
            total.update(queue.counts())
        return dict(total)

    def __repr__(self) -> str:
        # Without the lock: a handler that has interrupted the lock's holder may print it.
        counts = ", ".join(f"{count} {state}" for state, count in self.counts().items() if count)
        queues = counted(sum(not queue.lost for queue in self.queues.copy()), "queue")
        stopped = " stopped" if self.stopped else ""
        return f"<Scheduler order={self.order}{stopped}, {queues}: {counts or 'no tasks'}>"

    def wake_condition_waiters(self) -> None:
        """Wake the threads whose condition holds.  The lock is held."""
        # All conditions first: the tasks of a thread that goes on no longer count as `waiting_tasks`.
        for waiter in [waiter for waiter, holds in self.condition_waiters.items() if holds()]:
            del self.condition_waiters[waiter]
            waiter.wake()

    def take(self, worker: Worker, brief: bool = False) -> Task[Any] | None:
        """Start the next task for *worker*; None if there is none, or a *brief* search has found none."""
        queue, task = worker.queue, None
        while queue.ready and not self.stopped:
            task = self.take_next(queue, SEARCH_LIMIT)
            if task is not None or brief:
                break
            self.yield_lock()  # other threads may have the lock between two slices of a long search
        worker.task = task
        return task

    def wake_for(self, freed: list[Any]) -> None:
        """Wake a worker for each of *freed*, nodes that became ready.  The lock is held."""
        for node in freed:
            queue = node._queue
            # A node that is not ready any more was taken at once by the worker that ended its dependency.
            if node._stage == READY and not queue.wakes_none:
                for search in list(queue.searches) if queue.searches else ():
                    search.freed(node)
                self.wake(queue)

    def wake(self, queue: QueueState) -> bool:
        """Send one more worker to the ready tasks of *queue*, if one is missing.  The lock is held.

        Return True if that is a new worker, which is in `starts` now.
        """
        stopped = self.stopped
        full = not queue.idle and len(queue.workers) >= queue.limit
        # A cache, for submits and ends: a ready task wakes no thread, and no search waits.  `update_rules`
        # resets it, and whatever adds an idle worker or a search.
        queue.wakes_none = (full or stopped) and not queue.searches
        if stopped:
            return False
        # Counts are enough: a worker on its way takes the ready task that then goes first, whichever it is.
        wanted = queue.ready > len(queue.coming)
        if wanted and queue.idle:
            queue.wake_idle(1)
        elif (wanted and len(queue.workers) < queue.limit) or (
            # Before a task is ready: at exit it may be too late to start a thread (CPython 3.12.1).
            queue.waiting and not queue.workers and queue.keeps_idle
        ):
            worker = Worker(queue)
            queue.workers[worker] = None
            queue.coming[worker] = None
            self.starts.append(worker)
            return True
        elif wanted:
            for search in list(queue.searches):
                search.ready_without_worker()
        return False

    def wake_all(self) -> None:
        """Send workers to all ready tasks.  The lock is held."""
        for queue in self.queues:
            for _ in range(min(queue.ready, queue.limit) or 1):
                self.wake(queue)

    def start_workers(self, starts: Sequence[Worker], submitted: Task[Any] | None = None) -> None:
        """Start workers in their backends; raise an exception of that if *submitted* failed with it."""
        if not starts:
            return
        # Ctrl-C in between would leave a worker that fills a slot and never runs.
        with uninterrupted():
            for worker in starts:
                try:
                    worker.queue.backend.start(worker.queue, worker)
                except Exception as error:
                    if submitted is None and isinstance(error, RecursionError):  # no stack is left here
                        start_new_thread(elsewhere, (self._start_failed, (worker, error)))
                    else:
                        self._start_failed(worker, error)
                    failed = submitted is not None and submitted._stage == FAILED
                    if failed and submitted._outcome.exception is error:  # type: ignore[union-attr]
                        raise
            if CURRENT.worker is None:  # else they begin when that has ended, or in a wait of it
                CURRENT.serve_due()

    def _start_failed(self, worker: Worker, error: Exception) -> None:
        """Give up *worker*; if the queue has no other, fail its ready tasks."""
        queue, helpless = worker.queue, False
        # A RecursionError of the next line goes to the submitter, and `withdraw` removes the worker.
        with self.changing():
            # If the backend begins the worker later, in another thread, `begin` returns None.
            if worker not in queue.workers:
                return
            if begun := worker.thread is not None:  # by the thread of another one, which may never begin now
                queue.leave_unbegun()
            else:
                queue.leave(worker)
            if begun or queue.idle:  # no idle worker was woken for what *worker* was on its way to
                self.wake(queue)
            for search in list(queue.searches):
                search.ready_without_worker()
            helpless = queue.ready > 0 and not queue.workers
        if helpless:
            message = "could not start a thread for queue %s; its ready tasks fail"
            LOGGER.error(message, queue.name, exc_info=error)
            self.termination.drop_pending(queue, Failure(error), READY)
