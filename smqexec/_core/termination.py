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
from .._futures.task import Foreign, Task
from .._planner import DONE, RUNNING, Node, dependencies_of, dependents_of
from .loud import loud
from .searches import forget, searches
from .shared import Ended
from .state import QueueState, Worker
from .submission_order import Barrier
from .waking import Starts, Waking

# So many tasks end at a time, which takes a millisecond or two.
SLICE = 300


class Dropping(Waking):
    """A scheduler whose tasks may end without a value."""

    def _forget(self, relay: Foreign) -> None:
        self._outside.discard(relay)
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
        # Read without the lock, once, for observers hear of it first: who asks now comes too late.
        watch = task._watch
        cancelled |= watch is not None and watch.asked and isinstance(exception, CancelledError)
        failure = None if cancelled else self.failure(exception, queue.name)
        if self.observers:
            if cancelled:
                self.observers.tell("end", queue, task, worker.thread, outcome="cancelled")
            else:
                self.observers.tell("end", queue, task, worker.thread, outcome="failed", error=exception)
        with self.lock:
            worker.task = None
            if self._abandoned:
                return
            ended, starts = self._drop(task, failure)
        if DEFERRED:
            call_deferred()
        self._start(starts)
        self._finish(ended, task)

    def failure(self, exception: BaseException, queue: str) -> Failure:
        """How a task of *queue*, which raised *exception*, fails."""
        failure = Failure(exception, traceback_of(exception))
        if self.watch_failure is not None:
            failure.seen = self.watch_failure(exception, queue)
        return failure

    def cancel(self, future: PlannedFuture[Any], dependencies: bool = False) -> None:
        """Cancel *future* and what depends on it, if it is pending; ask it to end, if it runs.

        With *dependencies* also what it needs and nobody else does.
        """
        if self.deferred(self.cancel, future, dependencies):
            return
        ended: list[Ended] = []
        starts: Starts = []
        todo: list[Any] = [future]
        abroad: list[tuple[Foreign, PlannedFuture[Any]]] = []  # what other schedulers run
        asked: list[tuple[QueueState, Task[Any]]] = []  # those that run
        section = self.exclusive()
        with loud(self), section:
            section.then(self._start, starts)
            section.then(self._finish, ended)
            section.then(_withdraw, asked)
            while todo and not self._abandoned:
                node = todo.pop()
                if node is not future and (node.state >= DONE or _is_needed(node)):
                    continue
                if node.state == RUNNING:
                    self._ask(node)
                    asked.append((node.queue, node))
                elif node.state < RUNNING:
                    needs = list(dependencies_of(node)) if dependencies else []
                    for relay in needs:
                        if type(relay) is Foreign and relay.future is not None:
                            abroad.append((relay, relay.future))
                    more, _ = self._drop(node, None, starts)
                    ended += more
                    todo.extend(needs)
        for relay, other in abroad:
            home = other._home
            if relay.scheduler is None and home is not None:  # nobody here needs it any more
                home.scheduler.cancel_unneeded(other)

    def cancel_unneeded(self, future: PlannedFuture[Any]) -> None:
        """Cancel *future* and what it needs, as far as nobody needs it."""
        with self.exclusive():
            needed = future.state >= DONE or _is_needed(future)
        if not needed:
            self.cancel(future, dependencies=True)

    def cancel_pending(self, queue: QueueState) -> None:
        """Cancel all pending tasks of *slots*, what its executor has not begun, and what depends on them."""
        self._drop_pending(queue, None)
        if not self._abandoned:
            queue.pool.cancel_unbegun()

    def break_off(self, queue: QueueState, error: BaseException) -> None:
        """Let *slots* run nothing more: fail what is pending with *error*, and refuse what comes."""
        with self.exclusive():
            queue.broken = error
            if queue.pending_limit is not None:
                queue.pending_limit.turn_away()
            # A broken pool forgets the runs that no thread has begun.  The
            # others leave when they ask for a task.
            queue.leave_unbegun()
            queue.ring(queue.parked)
        self._drop_pending(queue, Failure(error, traceback_of(error)))

    def _drop_pending(self, queue: QueueState, failure: Failure | None, ready_alone: bool = False) -> None:
        if self.deferred(self._drop_pending, queue, failure, ready_alone):
            return
        ended: list[Ended] = []
        starts: Starts = []
        section = self.exclusive()
        with loud(self), section:
            section.then(self._start, starts)
            section.then(self._finish, ended)
            if self._abandoned:
                return
            found = self.planner.ready(self._queues) if ready_alone else self._pending()
            nodes = [node for node in found if node.queue is queue]
            for node in nodes:
                if node.state < RUNNING:
                    more, _ = self._drop(node, failure, starts)
                    ended += more

    def _pending(self) -> list[Any]:
        """All pending tasks, those submitted first in front.  Cost: the whole graph."""
        found = dict.fromkeys(self.planner.ready(self._queues))
        found |= dict.fromkeys(node for node in chain(*self._doomed) if node.state < RUNNING)
        todo: list[Any] = [*found, *self._outside]
        todo += [task for queue in self._queues for task in queue.running_tasks()]
        while todo:
            for node in dependents_of(todo.pop()):
                if node not in found and node.state < RUNNING:
                    found[node] = None
                    todo.append(node)
        return sorted((node for node in found if node.queue is not None), key=lambda node: node.number)

    def _drop(
        self,
        node: Node,
        failure: Failure | None,
        starts: Starts | None = None,
    ) -> tuple[list[Ended], Starts | None]:
        """End *node* and its dependents.  The lock is held; the caller has to `_finish` and `_start`.

        In slices, between which others have the lock.
        """
        inherited = failure
        if failure is not None and type(node) is not Foreign:
            inherited = failure.of(cast("PlannedFuture[Any]", node))
        ended: list[Ended] = []
        doomed = deque([node])
        self._doomed.append(doomed)
        try:
            freed = self._drop_some(doomed, failure, inherited, ended)
            starts = self._wake_for(freed, starts)
            while doomed:
                self._let_in()
                freed = self._drop_some(doomed, inherited, inherited, ended)
                starts = self._wake_for(freed, starts)
        except BaseException:
            self._untold += [each for each in ended if each[0]._home is None]
            raise
        finally:
            self._doomed.remove(doomed)
        return ended, starts

    def _drop_some(
        self, doomed: deque[Node], failure: Failure | None, inherited: Failure | None, ended: list[Ended]
    ) -> list[Any]:
        """Drop a slice of *doomed*, as the planner's `drop_some`; list in *ended* who is to be told.  Locked.

        Returns:
            What became ready.
        """
        dropped, freed = self.planner.drop_some(doomed, failure, inherited, SLICE)
        first = len(ended)
        touched: dict[QueueState, None] = {}
        for task in dropped:
            for other in dependencies_of(task):
                if type(other) is Foreign and not other.dependents:
                    self._forget(other)
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
            watch = task._watch
            if watch is not None and watch.hooks:
                freed += watch.run_hooks(task)
            ended.append((task, watch, queue))
        for queue in touched:
            if queue.pending_limit is not None:
                queue.pending_limit.admit(queue.pending)
            if queue.ending:
                queue.ring(queue.parked)
        if self._watchers:
            self._tell_watchers()
        # Last: where something above raises, `break_down` finds who waits for them.
        for task, watch, _ in islice(ended, first, None):
            task._leave(watch)
        return freed

    def _unlist(self, item: Item[Any]) -> None:
        """Forget that somebody asked for *item*.  The lock is held."""
        self._outside.discard(item)
        source = item._source
        stream = None if source is None else source._stream
        if stream is not None and stream.items.get(item._key) is item:
            del stream.items[item._key]

    def _finish(self, ended: list[Ended], ran: Task[Any] | None = None) -> None:
        """Let go of the calls of tasks that ended, and tell who waits for them.  The lock is not held.

        Of these *ran* has run, and its observers know that it has ended.
        """
        if self.observers:
            self.observers.dropped(ended, ran)
        for task, watch, _ in ended:
            if watch is not None:
                task._announce(watch)
        # Callbacks last: one may wait for any of these tasks.
        for task, watch, _ in ended:
            task._let_go()
            if watch is not None:
                task._tell(watch)


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
        if counts and other.state < DONE:
            return True
    watch = node._watch if isinstance(node, PlannedFuture) else None
    return watch is not None and watch.is_needed()
