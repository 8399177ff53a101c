"""When tasks start: workers take tasks, end them, and become idle; a stop holds all tasks that are pending.

A worker gets its first task from `Dispatcher.begin`, and the next one after it was idle.  The worker's loop
(``_workers.loop``) ends a task, and starts the next one, in one call of the planner if that end is *plain*:
the task has no record of waiters, callbacks and hooks (`AtEnd`), and the queue no rules.  `complete` ends all
other tasks, and all tasks at executors.  A task that raised ends by `Termination.fail`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from time import perf_counter
from typing import Any

from .._calls.interrupts import DEFERRED, call_deferred
from .._futures.at_end import AtEnd
from .._futures.task import Task
from .exclusive import Section
from .queue_state import QueueState, Worker
from .state import State


class Dispatcher:
    """How workers get tasks, how tasks that returned a value end, and what holds tasks."""

    def __init__(self, core: State) -> None:
        self._core = core  # constant
        # The stops that hold; this object stands for ``Scheduler(stopped=True)``.  Under the lock.
        self._stops: set[object] = {self} if core.stopped else set()

    def begin(self, queue: QueueState, worker: Worker) -> Task[Any] | None:
        """Return a task for *worker*, which is idle until one is ready; None: the worker has left."""
        core = self._core
        while True:
            task = None
            with core.lock:
                # `State._start_failed` or `leave_unbegun` may have removed the worker before it began.
                if worker not in queue.workers:
                    return None
                queue.coming.pop(worker, None)
                queue.idle.pop(worker, None)  # `QueueState.lose` leaves it there
                if worker.thread is None:
                    queue.name_worker(worker)
                # After `resize` there may be too many.
                leaves = len(queue.workers) > queue.limit
                if not leaves and (task := core.take(worker)) is None:
                    queue.idle[worker] = None
                    queue.wakes_none = False
                    # After the worker has entered `idle`, where `QueueState.lose` finds it.
                    leaves = queue.ending or not queue.keeps_idle
                if leaves:
                    queue.leave(worker)
                    core.wake(queue)  # a task may be ready for which *worker* was counted as on its way
                    if queue.ending:
                        queue.wake_idle()  # they leave too
                elif task is not None and queue.has_rules:
                    self.started(task)
                # A backend ends with the last worker, also if `shutdown` of its queue was never called.
                last = leaves and queue.ending and not queue.workers
                starts = core.take_starts() if core.starts else ()
            if DEFERRED:
                call_deferred()
            if starts:
                core.start_workers(starts)
            if last:
                queue.backend.join(wait=False)
            if task is not None or leaves:
                return task
            worker.wakes.get()

    def resize(self, queue: QueueState, workers: int | None = None, prefetch: int | None = None) -> None:
        """Let *queue* run *workers* tasks, and *prefetch* more wait at its executor; None: as before."""
        core = self._core
        if core.deferred(self.resize, queue, workers, prefetch):
            return
        with core.changing():
            prefetch = queue.limit - queue.width if prefetch is None else prefetch
            queue.width = queue.width if workers is None else workers
            queue.limit = queue.width + prefetch
            queue.backend.resize(queue.width)
            queue.update_rules()
            # Idle workers that are too many leave at once, others after their tasks.
            surplus = len(queue.workers) - queue.limit
            queue.wake_idle(min(surplus, len(queue.idle)))
            core.wake_all()

    def complete(self, worker: Worker, task: Task[Any], more: bool = True) -> Task[Any] | None:
        """End *task*, whose value is stored; return the next task for *worker*, if it wants *more*.

        The lock is held, and released here.
        """
        core = self._core
        if core.observers:  # they may call user code
            core.lock.release()
            core.observers.notify("end", worker.queue, task, worker.thread, outcome="done")
            core.lock.acquire()
        try:
            at_end = task._at_end
            freed = core.planner.done(task)
            if at_end is not None and at_end.hooks:
                freed = [*freed, *at_end.run_hooks(task)]
            worker.task = successor = self._hand_over(worker, at_end, more)
            starts = self._wake_for(freed, successor)
            # Last: if something above raises, `break_down` ends the task, and finds its waiters.
            worker.queue.done += 1
            task._leave()
        finally:
            core.lock.release()
            if DEFERRED:
                call_deferred()
        if at_end is not None:
            task._wake_waiters(at_end)
        if starts:
            core.start_workers(starts)
        if at_end is not None:
            task._call_callbacks(at_end)  # last: a callback may wait for what was just started
        return successor

    def wake_others(self, successor: Task[Any] | None) -> None:
        """Wake what waits for the plain end of a task, whose worker goes on with *successor*, if it has one.

        The lock is held, and released here.
        """
        core = self._core
        try:
            starts = self._wake_for(core.planner.take_freed(), successor)
        finally:
            core.lock.release()
            if DEFERRED:
                call_deferred()
        core.start_workers(starts)

    def _wake_for(self, freed: list[Any], successor: Task[Any] | None) -> Sequence[Worker]:
        """Wake workers for *freed*, and waiters of conditions; return the workers to start.  Locked."""
        core = self._core
        if freed and (freed[0] is not successor or len(freed) > 1):
            core.wake_for(freed)
        if successor is None and core.condition_waiters:  # with a successor as many tasks run as before
            core.wake_condition_waiters()
        return core.take_starts() if core.starts else ()

    def _hand_over(self, worker: Worker, at_end: AtEnd | None, more: bool) -> Task[Any] | None:
        """Return the next task of *worker*, or None, and wake another worker for it.  The lock is held."""
        core, queue = self._core, worker.queue
        if not queue.ready:
            return None
        # A callback may wait for whatever is ready now.
        calls = at_end is not None and (at_end.item_callbacks or at_end.relays or at_end.callbacks)
        if not more or len(queue.workers) > queue.limit or calls:
            core.wake(queue)
            return None
        successor = core.take(worker, brief=True)
        if successor is not None and queue.has_rules:
            self.started(successor)
        return successor

    def started(self, task: Task[Any]) -> None:
        """Apply the rules of the queue of *task*, which has started.  The lock is held."""
        core = self._core
        queue: Any = task._home
        if queue.pending_limit is not None:
            queue.pending_limit.admit(queue.pending)
        # The next task of the queue waits for the start of this task, and not for its end.
        barrier, task._barrier = task._barrier, None
        if barrier is not None:
            core.wake_for(core.planner.done(barrier))

    def promote(self, task: Task[Any]) -> bool:
        """Make *task* count as newly submitted; return False if it is not pending."""
        core = self._core
        if not core.deferred(self.promote, task):
            with core.changing():
                return core.planner.promote(task)
        return False

    def stop(self, stop: Stop | None = None) -> Stop:
        """Let no task start while *stop*, in general a new one, holds; return it."""
        core = self._core
        stop = stop or Stop(self)
        if core.deferred(self.stop, stop):
            return stop
        with core.changing() as section:
            self._stops.add(stop)
            self._update_stopped(section)
        if core.exiting:  # nothing may resume the scheduler any more
            core.ending.cancel_held()
        return stop

    def resume(self, stop: Stop | None = None) -> None:
        """End *stop*, if it holds; or all stops.  After the last one tasks start again."""
        core = self._core
        if core.deferred(self.resume, stop):
            return
        with core.changing() as section:
            if stop is None:
                self._stops.clear()
            self._stops.discard(stop)
            self._update_stopped(section)
            if not core.stopped:
                while core.paused:
                    core.paused.popitem()[1].wake()
                core.wake_all()

    def _update_stopped(self, section: Section) -> None:
        """Write `State.stopped`, and tell observers after the lock, which is held, before a task starts."""
        core, stopped = self._core, bool(self._stops)
        if core.observers and core.stopped is not stopped:
            event = "stop" if stopped else "resume"
            section.first.append(partial(core.observers.notify, event, time=perf_counter()))
        core.stopped = stopped
        for queue in core.queues:
            queue.update_rules()


class Stop:
    """What `Scheduler.stop` returns: as a context manager it ends that stop when its block ends.

    Blocks may be nested, and overlap in several threads; the last one resumes.  A stop without a block lasts
    until `Scheduler.resume`.  After a `resume` in the block the end of the block does nothing.
    """

    __slots__ = ("_dispatcher", "_entered")

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher  # constant
        self._entered = False  # a block has begun; written by the thread of the block

    def __enter__(self) -> None:
        if self._entered:
            raise RuntimeError("what stop() returned is for one with block; call stop() again for another")
        self._entered = True

    def __exit__(self, kind: object, value: object, traceback: object) -> None:
        self._dispatcher.resume(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._dispatcher._core!r}>"
