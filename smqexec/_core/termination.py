"""Tasks end without a value: they fail, are cancelled, or a dependency fails or is cancelled.

`Termination.drop` ends a node and all its dependents under the lock, and lists what ended.  `finish` does the
rest after the lock: it releases the calls, wakes waiters, and calls callbacks.

A drop of many nodes goes in slices, between which other threads have the lock.  No worker starts what is
still to be dropped (`State.unfinished_drops`): it waits for a node that never counts as done.
"""

from collections import deque
from concurrent.futures import CancelledError
from functools import partial
from typing import Any

from .._futures.at_end import Foreign
from .._futures.future import Failure, PlannedFuture, fate_of
from .._futures.items import Item
from .._futures.task import Task
from .._planner.nodes import DONE, RUNNING, WAITING, Node, dependencies_of, dependents_of, linked
from .exclusive import Section
from .queue_state import Barrier, QueueState, Worker
from .state import Ended, State

# How many nodes end in one slice, which takes a millisecond or two.
SLICE = 300


class Termination:
    """How the tasks of a scheduler end without a value.  Called without the lock, if not said otherwise."""

    def __init__(self, core: State) -> None:
        self._core = core  # constant

    def fail(self, worker: Worker, task: Task[Any], error: BaseException, cancelled: bool = False) -> None:
        """End *task* of *worker*, which raised *error*, or is *cancelled*, and its dependents."""
        core, queue = self._core, worker.queue
        # Read once, and without the lock, as observers are called first: a later request is too late.
        at_end = task._at_end
        cancelled |= at_end is not None and at_end.cancel_requested and isinstance(error, CancelledError)
        failure = None if cancelled else Failure(error)
        if failure is not None and core.watch_failure is not None:
            failure.seen = core.watch_failure(error, queue.name)
        if core.observers:
            outcome, shown = ("cancelled", None) if cancelled else ("failed", error)
            core.observers.notify("end", queue, task, worker.thread, outcome=outcome, error=shown)
        with Section(core) as section:
            ended = self.ended_in(section, task)
            worker.task = None
            self.drop(task, failure, ended)

    def cancel(self, future: PlannedFuture[Any], dependencies: bool = False, unneeded: bool = False) -> None:
        """Cancel pending *future* and its dependents; ask it to end, if it runs.

        With *dependencies* also those of its dependencies that nothing else needs; with *unneeded* nothing at
        all if *future* is needed itself.
        """
        core = self._core
        if core.deferred(self.cancel, future, dependencies, unneeded):
            return
        todo: list[Any] = [future]  # a dependency comes after the task that needed it
        # Tasks of other schedulers, each after the relay that stands for it.
        abroad: list[tuple[Foreign, PlannedFuture[Any]]] = []
        with core.changing() as section:
            ended = self.ended_in(section)
            while todo:
                node = todo.pop()
                if unneeded and (node._stage >= DONE or _is_needed(node)):
                    continue
                unneeded = True  # for the dependencies that are added to *todo*
                if node._stage == RUNNING:
                    # Its worker reads the request at its next checkpoint or `yield`, or as it raises.
                    node._get_at_end().cancel_requested = True
                    if node in core.paused:
                        core.paused.pop(node).wake()
                    # An executor may not have begun the call.
                    section.then(node._queue.backend.cancel, node)
                elif node._stage < RUNNING:
                    if dependencies:  # before the drop releases them
                        for need in dependencies_of(node):
                            todo.append(need)
                            if type(need) is Foreign and need.future is not None:
                                abroad.append((need, need.future))
                    self.drop(node, None, ended)
        # The lock was released: no thread ever waits for the lock of a scheduler while it holds another one.
        for relay, other in abroad:
            home = other._home
            if relay.scheduler is None and home is not None:  # no task here needs *other* any more
                home.scheduler.termination.cancel(other, True, True)

    def cancel_pending(self, queue: QueueState) -> None:
        """Cancel all pending tasks of *queue* and their dependents, and running ones not begun elsewhere."""
        if self._core.deferred(self.cancel_pending, queue):
            return
        self.drop_pending(queue, None)
        queue.backend.cancel_unbegun()

    def break_off(self, queue: QueueState, error: BaseException) -> None:
        """Break *queue*: fail its pending tasks with *error*, and refuse new ones."""
        with self._core.changing():
            queue.refuse(error)
            queue.leave_unbegun()  # a broken backend never begins these workers
            queue.wake_idle()
        self.drop_pending(queue, Failure(error))

    def drop_pending(self, queue: QueueState, failure: Failure | None, stage: int = WAITING) -> None:
        """Drop the tasks of *queue* that are pending, from *stage* on, and all their dependents."""
        core = self._core
        with core.changing() as section:
            ended = self.ended_in(section)
            # The list is made before the first drop, which may make more tasks ready.
            for node in [node for node in self.pending() if node._queue is queue and node._stage >= stage]:
                if node._stage < RUNNING:  # otherwise dropped with another node, or started meanwhile
                    self.drop(node, failure, ended)

    def pending(self) -> list[Any]:
        """Return all pending tasks, those submitted first in front.  Locked.  Cost: the whole graph."""
        core = self._core
        nodes = linked([*core.roots(), *core.planner.order.listed(core.queues)])
        found = [node for node in nodes if node._queue is not None and WAITING <= node._stage < RUNNING]
        return sorted(found, key=lambda node: node._number)

    def foreign_done(self, relay: Foreign, future: Any) -> None:
        """Note that *future*, which *relay* stands for, is done."""
        core = self._core
        if core.deferred(self.foreign_done, relay, future):
            return
        failed, failure = False, None
        if issubclass(type(future), PlannedFuture):
            failed = future._stage != DONE
            failure = future._outcome and future._outcome.of(future) if failed else None
        elif not relay.settled:
            cancelled, error = fate_of(future)
            failed = error is not None
            failure = None if error is None or cancelled else Failure(error, future)
        with core.changing() as section:
            if relay not in core.relays:  # no task depends on it any more
                return
            self.forget(relay)  # first: the future may call back twice
            if failed and not relay.settled:
                self.drop(relay, failure, self.ended_in(section))
            else:
                core.wake_for(core.planner.done(relay))

    def forget(self, relay: Foreign) -> None:
        """Release the future of *relay*, which has ended, or on which no task depends.  The lock is held."""
        self._core.relays.discard(relay)
        relay.scheduler = relay.future = None

    def drop(self, node: Any, failure: Failure | None, ended: list[Ended]) -> None:
        """End *node* and its dependents with *failure*; None: cancel them.  Extend *ended*, for `finish`.

        The lock is held, and is released for a moment between two slices.
        """
        core = self._core
        inherited = failure if failure is None or type(node) is Foreign else failure.of(node)
        to_drop: deque[Node] = deque([node])
        core.unfinished_drops.append(to_drop)
        try:
            while to_drop:
                self._drop_some(to_drop, failure, inherited, ended)
                failure = inherited
                if to_drop:
                    core.yield_lock()
        finally:
            core.unfinished_drops.remove(to_drop)

    def _drop_some(
        self, to_drop: deque[Node], failure: Failure | None, inherited: Failure | None, ended: list[Ended]
    ) -> None:
        """Drop a slice of *to_drop*, and extend *ended*.  The lock is held."""
        core = self._core
        dropped, freed = core.planner.drop(to_drop, failure, inherited, SLICE)
        slice_ended: list[Ended] = []
        touched: dict[QueueState, None] = {}
        for task in dropped:
            for other in dependencies_of(task):
                if type(other) is Foreign and not other._dependents:
                    self.forget(other)  # the foreign future may keep the relay for long
            if not isinstance(task, PlannedFuture):  # a relay without waiters
                continue
            queue: Any = task._home
            if isinstance(task, Item):
                core.relays.discard(task)
                stream = None if task._source is None else task._source._stream
                if stream is not None:  # a later request makes a new item, as this one has no value
                    stream.items.pop(task._key, None)
            else:
                touched[queue] = None
                if failure is None:
                    queue.cancelled += 1
                else:
                    queue.failed += 1
            at_end = task._at_end
            if at_end is not None and at_end.hooks:
                freed += at_end.run_hooks(task)
            slice_ended.append((task, at_end, queue))
        for queue in touched:  # once for a slice, not for each task
            if queue.pending_limit is not None:
                queue.pending_limit.admit(queue.pending)
            if queue.ending:
                queue.wake_idle()
        core.wake_condition_waiters()
        core.wake_for(freed)
        ended += slice_ended
        # Last: if something above raises, `break_down` finds the tasks, and wakes their waiters.
        for task, _, _ in slice_ended:
            task._leave()

    def ended_in(self, section: Section, ran: Task[Any] | None = None) -> list[Ended]:
        """Return a list for what ends in *section*, which then does as `finish`; workers start in between."""
        ended: list[Ended] = []
        # A task that runs in the calling thread may wait for one that waits for any of these.
        section.first.append(partial(self._tell, ended, ran))
        section.then(self._release, ended)
        return ended

    def finish(self, ended: list[Ended], ran: Task[Any] | None = None) -> None:
        """Tell observers of *ended* without *ran*, wake waiters, release the calls, call callbacks."""
        try:
            self._tell(ended, ran)
        finally:
            self._release(ended)

    def _tell(self, ended: list[Ended], ran: Task[Any] | None) -> None:
        try:
            if self._core.observers:
                self._core.observers.dropped(ended, ran)
        finally:  # also if an observer raises KeyboardInterrupt, which goes to the caller
            for task, at_end, _ in ended:
                if at_end is not None:
                    task._wake_waiters(at_end)

    def _release(self, ended: list[Ended]) -> None:
        # All waiters were woken before the first callback, which may wait for any of these tasks.
        for task, at_end, _ in ended:
            task._release()
            if at_end is not None:
                task._call_callbacks(at_end)


def _is_needed(node: Any) -> bool:
    """Whether a pending task depends on *node*, or a thread or callback waits for it.  The lock is held."""
    if type(node) is Barrier:
        return True  # later tasks of the queue depend on it
    for other in dependents_of(node):
        # A barrier needs only the start of *node*.  An item that was requested counts if it is needed itself.
        counts = type(other) is not Barrier and (not isinstance(other, Item) or _is_needed(other))
        if counts and other._stage < DONE:
            return True
    at_end = node._at_end if isinstance(node, PlannedFuture) else None
    if at_end is None:
        return False
    return bool(at_end.waiters or at_end.callbacks) or any(relay.scheduler for relay in at_end.relays)
