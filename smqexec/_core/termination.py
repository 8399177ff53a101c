"""Tasks end without a value: they fail, are cancelled, or lose what they depend on.

As in ``dispatch``: decide under the lock, act after it.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import CancelledError
from itertools import chain, islice
from typing import Any, cast

from .._calls.frames import traceback_of
from .._calls.interrupts import DEFERRED, call_deferred
from .._futures.future import Failure, PlannedFuture
from .._futures.items import Item
from .._futures.relays import Foreign
from .._futures.task import Task
from .._planner import DONE, RUNNING, Node, dependencies_of, dependents_of
from .loud import loud
from .searches import forget, searches
from .shared import Ended, State
from .state import QueueState, Worker
from .submission_order import Barrier
from .wake import Starts, Wake

# So many tasks end at a time, which takes a millisecond or two.
SLICE = 300


class Termination:
    """How the tasks of a scheduler end without a value."""

    def __init__(self, core: State, wake: Wake) -> None:
        self._core = core
        self._wake = wake

    def forget(self, relay: Foreign) -> None:
        """Note that no task depends on *relay* any more, or that it has ended.  The lock is held."""
        self._core._outside.discard(relay)
        relay.scheduler = relay.future = None

    def fail(
        self,
        queue: QueueState,
        worker: Worker,
        task: Task[Any],
        exception: BaseException,
        cancelled: bool = False,
    ) -> None:
        """Note that *task* raised *exception*: it and what depends on it end.

        Cancelled, where *exception* says that it has obeyed `cancel`, or the caller that it was *cancelled*.
        """
        core = self._core
        # Read without the lock, once, for observers hear of it first: who asks now comes too late.
        at_end = task._at_end
        cancelled |= at_end is not None and at_end.cancel_requested and isinstance(exception, CancelledError)
        failure = None if cancelled else self.failure(exception, queue.name)
        if core.observers:
            if cancelled:
                core.observers.tell("end", queue, task, worker.thread, outcome="cancelled")
            else:
                core.observers.tell("end", queue, task, worker.thread, outcome="failed", error=exception)
        with core.lock:
            worker.task = None
            if core._abandoned:
                return
            ended, starts = self.drop(task, failure)
        if DEFERRED:
            call_deferred()
        self._wake.start(starts)
        self.finish(ended, task)

    def failure(self, exception: BaseException, queue: str) -> Failure:
        """How a task of *queue*, which raised *exception*, fails."""
        failure = Failure(exception, traceback_of(exception))
        if self._core.watch_failure is not None:
            failure.seen = self._core.watch_failure(exception, queue)
        return failure

    def cancel(self, future: PlannedFuture[Any], dependencies: bool = False) -> None:
        """Cancel *future* and what depends on it, if it is pending; ask it to end, if it runs.

        With *dependencies* also what it needs and nobody else does.
        """
        core = self._core
        if core.deferred(self.cancel, future, dependencies):
            return
        ended: list[Ended] = []
        starts: Starts = []
        todo: list[Any] = [future]
        abroad: list[tuple[Foreign, PlannedFuture[Any]]] = []  # what other schedulers run
        asked: list[tuple[QueueState, Task[Any]]] = []  # those that run
        section = core.exclusive()
        with loud(core), section:
            section.then(self._wake.start, starts)
            section.then(self.finish, ended)
            section.then(_withdraw, asked)
            while todo and not core._abandoned:
                node = todo.pop()
                if node is not future and (node._stage >= DONE or _is_needed(node)):
                    continue
                if node._stage == RUNNING:
                    core._ask(node)
                    asked.append((node._queue, node))
                elif node._stage < RUNNING:
                    needs = list(dependencies_of(node)) if dependencies else []
                    for relay in needs:
                        if type(relay) is Foreign and relay.future is not None:
                            abroad.append((relay, relay.future))
                    more, _ = self.drop(node, None, starts)
                    ended += more
                    todo.extend(needs)
        for relay, other in abroad:
            home = other._home
            if relay.scheduler is None and home is not None:  # nobody here needs it any more
                home.scheduler.termination.cancel_unneeded(other)

    def cancel_unneeded(self, future: PlannedFuture[Any]) -> None:
        """Cancel *future* and what it needs, as far as nobody needs it."""
        with self._core.exclusive():
            needed = future._stage >= DONE or _is_needed(future)
        if not needed:
            self.cancel(future, dependencies=True)

    def cancel_pending(self, queue: QueueState) -> None:
        """Cancel all pending tasks of *slots*, what its executor has not begun, and what depends on them."""
        self.drop_pending(queue, None)
        if not self._core._abandoned:
            queue.pool.cancel_unbegun()

    def break_off(self, queue: QueueState, error: BaseException) -> None:
        """Let *slots* run nothing more: fail what is pending with *error*, and refuse what comes."""
        with self._core.exclusive():
            queue.broken = error
            if queue.pending_limit is not None:
                queue.pending_limit.turn_away()
            # A broken pool forgets the runs that no thread has begun.  The
            # others leave when they ask for a task.
            queue.leave_unbegun()
            queue.wake_idle()
        self.drop_pending(queue, Failure(error, traceback_of(error)))

    def fail_ready(self, queue: QueueState, failure: Failure) -> None:
        """Fail the ready tasks of *queue*, and what depends on them."""
        self.drop_pending(queue, failure, ready_alone=True)

    def drop_pending(self, queue: QueueState, failure: Failure | None, ready_alone: bool = False) -> None:
        core = self._core
        if core.deferred(self.drop_pending, queue, failure, ready_alone):
            return
        ended: list[Ended] = []
        starts: Starts = []
        section = core.exclusive()
        with loud(core), section:
            section.then(self._wake.start, starts)
            section.then(self.finish, ended)
            if core._abandoned:
                return
            found = core.planner.ready(core._queues) if ready_alone else self.pending()
            nodes = [node for node in found if node._queue is queue]
            for node in nodes:
                if node._stage < RUNNING:
                    more, _ = self.drop(node, failure, starts)
                    ended += more

    def pending(self) -> list[Any]:
        """All pending tasks, those submitted first in front.  Cost: the whole graph."""
        core = self._core
        found = dict.fromkeys(core.planner.ready(core._queues))
        found |= dict.fromkeys(node for node in chain(*core._doomed) if node._stage < RUNNING)
        todo: list[Any] = [*found, *core._outside]
        todo += [task for queue in core._queues for task in queue.running_tasks()]
        while todo:
            for node in dependents_of(todo.pop()):
                if node not in found and node._stage < RUNNING:
                    found[node] = None
                    todo.append(node)
        return sorted((node for node in found if node._queue is not None), key=lambda node: node._number)

    def drop(
        self,
        node: Node,
        failure: Failure | None,
        starts: Starts | None = None,
    ) -> tuple[list[Ended], Starts | None]:
        """End *node* and its dependents.  The lock is held; the caller has to `finish` and `start`.

        In slices, between which others have the lock.
        """
        core = self._core
        inherited = failure
        if failure is not None and type(node) is not Foreign:
            inherited = failure.of(cast("PlannedFuture[Any]", node))
        ended: list[Ended] = []
        doomed = deque([node])
        core._doomed.append(doomed)
        try:
            freed = self._drop_some(doomed, failure, inherited, ended)
            starts = self._wake.wake_for(freed, starts)
            while doomed:
                core._let_in()
                freed = self._drop_some(doomed, inherited, inherited, ended)
                starts = self._wake.wake_for(freed, starts)
        except BaseException:
            core._untold += [each for each in ended if each[0]._home is None]
            raise
        finally:
            core._doomed.remove(doomed)
        return ended, starts

    def _drop_some(
        self, doomed: deque[Node], failure: Failure | None, inherited: Failure | None, ended: list[Ended]
    ) -> list[Any]:
        """Drop a slice of *doomed*, as the planner's `drop`; list in *ended* who is to be told.  Locked.

        Returns:
            What became ready.
        """
        core = self._core
        dropped, freed = core.planner.drop(doomed, failure, inherited, SLICE)
        first = len(ended)
        touched: dict[QueueState, None] = {}
        for task in dropped:
            for other in dependencies_of(task):
                if type(other) is Foreign and not other._dependents:
                    self.forget(other)
            if not isinstance(task, PlannedFuture):
                continue  # a relay
            if searches:
                forget(task)
            queue: Any = task._home
            if isinstance(task, Item):
                self._unlist(task)
            else:
                touched[queue] = None
                if failure is None:
                    queue.cancelled += 1
                else:
                    queue.failed += 1
            at_end = task._at_end
            if at_end is not None and at_end.hooks:
                freed += at_end.run_hooks(task)
            ended.append((task, at_end, queue))
        for queue in touched:
            if queue.pending_limit is not None:
                queue.pending_limit.admit(queue.pending)
            if queue.ending:
                queue.wake_idle()
        if core._watchers:
            core._tell_watchers()
        # Last: where something above raises, `break_down` finds who waits for them.
        for task, at_end, _ in islice(ended, first, None):
            task._leave(at_end)
        return freed

    def _unlist(self, item: Item[Any]) -> None:
        """Forget that somebody asked for *item*.  The lock is held."""
        self._core._outside.discard(item)
        source = item._source
        stream = None if source is None else source._stream
        if stream is not None and stream.items.get(item._key) is item:
            del stream.items[item._key]

    def finish(self, ended: list[Ended], ran: Task[Any] | None = None) -> None:
        """Let go of the calls of tasks that ended, and tell who waits for them.  The lock is not held.

        Of these *ran* has run, and its observers know that it has ended.
        """
        if self._core.observers:
            self._core.observers.dropped(ended, ran)
        for task, at_end, _ in ended:
            if at_end is not None:
                task._wake_waiters(at_end)
        # Callbacks last: one may wait for any of these tasks.
        for task, at_end, _ in ended:
            task._release()
            if at_end is not None:
                task._call_callbacks(at_end)


def _withdraw(asked: list[tuple[QueueState, Task[Any]]]) -> None:
    """See that running tasks end that their executors have not begun."""
    for queue, task in asked:
        queue.pool.cancel(task)


def _is_needed(node: Any) -> bool:
    """Whether a task depends on *node*, or somebody waits for it.  The lock is held."""
    if type(node) is Barrier:
        return True  # later tasks of the queue wait for it
    for other in dependents_of(node):
        # That later tasks of its queue wait for its start does not count; nor does an item that
        # somebody has asked for, and nobody needs.
        counts = type(other) is not Barrier and (not isinstance(other, Item) or _is_needed(other))
        if counts and other._stage < DONE:
            return True
    at_end = node._at_end if isinstance(node, PlannedFuture) else None
    return at_end is not None and at_end.is_needed()
