"""The one lock: tasks run and end, and which queue must wake.

A `Dispatcher` joins a `DependencyPlanner` to threads.  Everything that changes
a task or a queue goes through it, in one pattern: decide under the lock, act
after it.  While the lock is held no user code runs and nothing is called that
may run some: no callback, no condition of a task, no object of the user's is
let go of.

A queue's threads are *runs* in its pool (see ``_queue``).  A run takes a task,
calls it, and hands it over for the next one, under one hold of the lock.  With
nothing ready it parks at the queue's bell.  For each ready task that no run is
on its way to, a parked run is rung for, or, if the queue may have more, a new
one is started.  So the pool never holds more runs than threads, and its own
first in, first out never decides anything.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from itertools import count
from types import MethodType
from typing import Any, TypeAlias, cast

from ._debug import Unseen
from ._future import Failure, PlannedFuture, Watch, traceback_of
from ._interrupts import headroom, uninterrupted
from ._items import Item
from ._lending import Lending
from ._line import Turn
from ._needs import SEARCH_LIMIT, forget, searches
from ._nodes import DONE, READY, RUNNING, SEARCHING, Node, dependencies_of, dependents_of
from ._resources import Claim
from ._slots import Run, Slots
from ._task import Foreign, Task

LOGGER = logging.getLogger("smqexec")

# How long a callback waits for the lock, in seconds.  It is never held so long.
PATIENCE = 0.2

Starts: TypeAlias = list[tuple[Slots, Run]]  # runs to be started once the lock is not held
Ended: TypeAlias = tuple[PlannedFuture[Any], Watch | None, Slots]  # a task or item to be told of then


class Dispatcher(Lending):
    """What a `Scheduler` does for tasks and runs; what it does for its user is in ``_scheduler``."""

    def __init__(self, order: str, stopped: bool, promote_awaited: bool) -> None:
        super().__init__(order, stopped, promote_awaited)
        self._admit = self.planner.admit
        # What gives a run its next task.  The planner's own check of the queue is for others.
        self._next: Callable[..., Any] = self.planner.order.take
        # What pending tasks may wait for, and no queue is at: futures of others, and
        # parts of results.
        self._outside: set[Node] = set()

    def _lock(self) -> None:
        """Take the lock that another thread holds.  For runs, which no signal interrupts."""
        time.sleep(0)
        self._queue_up()
        self.lock.acquire()

    def _acquire_or_later(self, call: Callable[..., object], *args: Any) -> bool:
        """Take the lock; False, and make *call* in a thread of its own, if the calling thread may have it.

        For what a signal's handler may do, or a finalizer, which have perhaps
        interrupted the very thread that holds the lock.
        """
        if self.lock.acquire(timeout=PATIENCE):
            return True
        threading.Thread(target=call, args=args).start()
        return False

    def _forget(self, relay: Foreign) -> None:
        self._outside.discard(relay)
        relay.scheduler = relay.future = None

    # A task goes.

    def begin(self, slots: Slots, run: Run, rung: bool) -> Task[Any] | None:
        """A task for *run*, which parks until there is one; None: the run is to leave.

        Args:
            slots: The queue's.
            run: The run that asks.
            rung: It was counted in `waking`.
        """
        starts = None
        last = False
        while True:
            with self.lock:
                if self._abandoned or run not in slots.runs:
                    return None
                if rung:
                    if slots.waking:
                        slots.waking -= 1
                    else:  # a second ring for the same: see `_mend`
                        slots.parked -= 1
                    run.thread = threading.get_ident()
                if len(slots.runs) > slots.limit:
                    starts = self._retire(slots, run)
                    break
                task = self._take(slots, run)
                if task is None:
                    if slots.ending:
                        slots.runs.remove(run)
                        slots.ring(slots.parked)
                        last = not slots.runs
                        break
                    slots.parked += 1
                elif slots.attentive:
                    starts = self._started(task)
            if task is not None:
                self._start(starts)
                return task
            rung = True
            if not slots.bell.get():  # the queue was lost
                with self.lock:
                    if slots.parked:  # nobody counted us
                        slots.parked -= 1
                        slots.waking += 1
                    else:  # rung for meanwhile, so one of the rings there is ours
                        slots.bell.get()
        self._start(starts)
        if last:
            slots.pool.shutdown(wait=False)
        return None

    def _retire(self, slots: Slots, run: Run) -> Starts | None:
        """Let *run* leave, which is more than *slots* may have now.  As `_wake`."""
        slots.runs.remove(run)
        slots.heed()
        return self._wake(slots)

    def resize(self, slots: Slots, number: int) -> None:
        """Let *slots* run so many tasks: more at once, fewer as they end."""
        with self.lock:
            slots.limit += number - slots.workers
            slots.workers = number
            slots.pool.resize(number)
            slots.heed()
            starts: Starts = []
            if slots.attentive:
                slots.ring(max(0, min(slots.parked, len(slots.runs) - slots.limit)))
            for _ in range(min(slots.ready, slots.limit)):
                self._wake(slots, starts)
        self._start(starts)

    def begin_at_once(self, slots: Slots, run: Run, new: bool = False) -> Task[Any] | None:
        """A task for *run*, which does not park; None: it has left.

        Args:
            slots: The queue's.
            run: The run that asks.
            new: It was counted in `waking`.
        """
        with self.lock:
            if self._abandoned or run not in slots.runs:
                return None
            if new:
                slots.waking -= min(slots.waking, 1)  # see `_mend`
                taken = {other.thread for other in slots.runs}
                run.thread = next(name for name in map("slot {}".format, count(1)) if name not in taken)
            # There may be fewer slots than there were.
            task = self._take(slots, run) if len(slots.runs) <= slots.limit else None
            starts = None
            if task is None:
                starts = self._retire(slots, run)
            elif slots.attentive:
                starts = self._started(task)
        self._start(starts)
        return task

    def complete(
        self, slots: Slots, run: Run, task: Task[Any], value: Any, more: bool = True
    ) -> Task[Any] | None:
        """Note that *task* returned *value*; give *run* the next one, if it wants *more* and one is ready."""
        condition = None
        if not self.lock.acquire(False):
            self._lock()
        watch = task._watch
        if watch is not None and watch.condition is not None:
            condition = self._lock_below(watch.condition)
        successor: Any = None
        starts = None
        try:
            run.task = None
            if self._abandoned:
                return None
            task._outcome = value
            slots.done += 1
            freed = self.planner.done(task)
            if searches:
                forget(task)
            if watch is not None and condition is None:
                task._watch = None
            task._home = None  # last: from here on `_condition` may make a new watch
            if slots.ready:
                if slots.attentive:
                    successor, starts = self._hand_over(slots, run, watch, more)
                # A callback may wait for whatever is ready now: leave it to others.
                # And a nested task hands over to the one beneath it.
                elif more and (watch is None or not watch.callbacks) and not run.below:
                    if not self._stopped:
                        successor = self._next(slots, SEARCH_LIMIT)
                        if successor is SEARCHING:
                            successor = self._search(slots)
                        run.task = successor
                else:
                    starts = self._wake(slots)
            if freed and (freed[0] is not successor or len(freed) > 1):
                starts = self._wake_for(freed, starts)
            if self._watchers and successor is None:  # else as many run as before
                self._tell_watchers()
        finally:
            self.lock.release()
        if watch is not None:
            self._announce(task, watch, condition)
        if starts is not None:
            self._start(starts)
        if watch is not None:
            task._tell(watch, self.patience)  # last: a callback may wait for what was just started
        return successor  # type: ignore[no-any-return]

    def _hand_over(
        self, slots: Slots, run: Run, watch: Watch | None, more: bool
    ) -> tuple[Task[Any] | None, Starts | None]:
        """Do what `complete` does where a task of an attentive queue is ready.  The lock is held."""
        surplus = len(slots.runs) > slots.limit
        if not more or surplus or (watch is not None and watch.callbacks) or run.below:
            return None, self._wake(slots)
        successor = self._take(slots, run)
        return successor, None if successor is None else self._started(successor)

    def _started(self, task: Task[Any]) -> Starts | None:
        """Note that *task*, of an attentive queue, has started: the next may perhaps.  As `_wake_for`."""
        slots: Any = task._home
        if slots.room is not None:
            slots.room.let_in(slots.pending)
        turn, task._turn = task._turn, None
        return None if turn is None else self._wake_for(turn.leave())

    def _lock_below(self, condition: threading.Condition) -> threading.Condition:
        """Take *condition*, which comes before the lock that is held, without letting go of both for long."""
        self.lock.release()
        condition.acquire()
        self.lock.acquire()
        return condition

    def _announce(
        self, future: PlannedFuture[Any], watch: Watch, condition: threading.Condition | None
    ) -> None:
        """Wake who waits for *future*, which has a result.  Its condition is held, if it has one."""
        if condition is not None:
            future._notify(watch)
            condition.notify_all()
            condition.release()
        watch.unblock()

    def fail(
        self, slots: Slots, run: Run, task: Task[Any], exception: BaseException, cancelled: bool = False
    ) -> None:
        """Note that *task* raised *exception*: it and what depends on it end.

        Cancelled, where *exception* says that it has obeyed `cancel`, or the caller that it was *cancelled*.
        """
        # Read without the lock, once, for observers hear of it first: who asks now comes too late.
        watch = task._watch
        cancelled |= watch is not None and watch.asked and isinstance(exception, CancelledError)
        failure = None if cancelled else self.failure(exception, slots.name)
        if self.observers:
            if cancelled:
                self.tell_end(slots, task, run.thread, "cancelled")
            else:
                self.tell_end(slots, task, run.thread, "failed", exception)
        with self.lock:
            run.task = None
            if self._abandoned:
                return
            if slots.fates:
                failure = slots.fates.pop(task, failure)
            ended, starts = self._drop(task, failure)
        self._start(starts)
        self._finish(ended, task)

    def failure(self, exception: BaseException, queue: str) -> Failure:
        """How a task of *queue*, which raised *exception*, fails."""
        failure = Failure(exception, traceback_of(exception))
        if self.debug:
            failure.unseen = Unseen(exception, queue)
        return failure

    def cancel(self, future: PlannedFuture[Any], dependencies: bool = False) -> None:
        """Cancel *future* and what depends on it, if it is pending; ask it to end, if it runs.

        With *dependencies* also what it needs and nobody else does.
        """
        headroom()
        ended: list[Ended] = []
        starts: Starts | None = None
        todo: list[Any] = [future]
        abroad: list[tuple[Foreign, PlannedFuture[Any]]] = []  # what other schedulers run
        asked: list[tuple[Slots, Task[Any]]] = []  # those that run
        with uninterrupted():
            if not self._acquire_or_later(self.cancel, future, dependencies):
                return
            try:
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
                        more, starts = self._drop(node, None, starts)
                        ended += more
                        todo.extend(needs)
            finally:
                self.lock.release()
            self._start(starts)
            self._finish(ended)
        for slots, task in asked:
            slots.withdraw(task)
        for relay, other in abroad:
            home = other._home
            if relay.scheduler is None and home is not None:  # nobody here needs it any more
                home.scheduler.cancel_unneeded(other)

    def cancel_unneeded(self, future: PlannedFuture[Any]) -> None:
        """Cancel *future* and what it needs, as far as nobody needs it."""
        with self.lock:
            needed = future.state >= DONE or _is_needed(future)
        if not needed:
            self.cancel(future, dependencies=True)

    def cancel_pending(self, slots: Slots) -> None:
        """Cancel all pending tasks of *slots*, what its executor has not begun, and what depends on them."""
        self._drop_pending(slots, None)
        if not self._abandoned:
            slots.withdraw_unbegun()

    def break_off(self, slots: Slots, error: BaseException) -> None:
        """Let *slots* run nothing more: fail what is pending with *error*, and refuse what comes."""
        with self.lock:
            slots.broken = error
            if slots.room is not None:
                slots.room.turn_away()
            # A broken pool forgets the runs that no thread has begun.  The
            # others leave when they ask for a task.
            slots.runs = [run for run in slots.runs if run.thread is not None]
            slots.ring(slots.parked)
        self._drop_pending(slots, Failure(error, traceback_of(error)))

    def _drop_pending(self, slots: Slots, failure: Failure | None, ready_alone: bool = False) -> None:
        ended: list[Ended] = []
        starts: Starts | None = None
        with uninterrupted():
            with self.lock:
                if self._abandoned:
                    return
                found = self.planner.ready(self._slots) if ready_alone else self._pending()
                nodes = [node for node in found if node.queue is slots]
                for node in nodes:
                    if node.state < RUNNING:
                        more, starts = self._drop(node, failure, starts)
                        ended += more
            self._start(starts)
            self._finish(ended)

    def _pending(self) -> list[Any]:
        """All pending tasks, those submitted first in front.  Cost: the whole graph."""
        found = dict.fromkeys(self.planner.ready(self._slots))
        todo: list[Any] = [*found, *self._outside]
        todo += [task for slots in self._slots for run in slots.runs for task in run.tasks()]
        todo += [turn for slots in self._slots for turn in slots.turns]
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
        """End *node* and its dependents.  The lock is held; the caller has to `_finish` and `_start`."""
        ahead: list[Any] = []
        if node.state == RUNNING:  # else none runs that depends on it: see `_ahead`
            ahead = [other for other in dependents_of(node) if other.state == RUNNING]
        dropped, freed = self.planner.drop(node)
        inherited = failure
        if failure is not None and type(node) is not Foreign:
            inherited = failure.of(cast("PlannedFuture[Any]", node))
        for other in ahead:
            other.queue.fates[other] = inherited
        ended: list[Ended] = []
        touched: dict[Slots, None] = {}
        for task in dropped:
            for other in dependencies_of(task):
                if type(other) is Foreign and not other.dependents:
                    self._forget(other)
            if not isinstance(task, PlannedFuture):
                continue  # a relay
            if searches:
                forget(task)
            if task._turn is not None:
                freed += task._turn.leave()
                task._turn = None
            slots: Any = task._home
            task._outcome = failure if task is node else inherited
            if isinstance(task, Item):
                self._unlist(task)
            else:
                touched[slots] = None
                if failure is None:
                    slots.cancelled += 1
                else:
                    slots.failed += 1
            watch = task._watch
            if watch is None or watch.condition is None:
                task._settle()
            ended.append((task, watch, slots))
        starts = self._wake_for(freed, starts)
        for slots in touched:
            if slots.room is not None:
                slots.room.let_in(slots.pending)
            if slots.ending:
                slots.ring(slots.parked)
        if self._watchers:
            self._tell_watchers()
        return ended, starts

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
            self.tell_dropped(ended, ran)
        for _, watch, _ in ended:
            if watch is not None:
                watch.unblock()
        # Callbacks last: one may wait for any of these tasks.
        for task, watch, slots in ended:
            if watch is not None:
                task._publish(watch, slots)
        for task, watch, _ in ended:
            task._let_go()
            if watch is not None:
                task._tell(watch, self.patience)

    # Who does the work.

    def _take(self, slots: Slots, run: Run) -> Task[Any] | None:
        if not slots.ready or self._stopped:
            return None
        task: Any
        if slots.in_order is not None:
            task = slots.in_order.head()  # no search can find another
            self.planner.start(task)
            if not self.takes(task):  # it holds up those after it
                return None
        else:
            task = self._next(slots, SEARCH_LIMIT)
            if task is SEARCHING:
                task = self._search(slots)
        run.task = task
        return task  # type: ignore[no-any-return]

    def _search(self, slots: Slots) -> Any:
        """Go on with a long search in slices, between which others have the lock."""
        task: Any = SEARCHING
        while task is SEARCHING:
            self._let_in()
            task = None if self._stopped else self._next(slots, SEARCH_LIMIT)
        return task

    def _wake_for(self, freed: list[Any], starts: Starts | None = None) -> Starts | None:
        """See that somebody does what became ready: a run, or a waiting task that needs it.  As `_wake`."""
        for node in freed:
            slots = node.queue
            if node.state != READY:  # it was taken at once
                continue
            if slots.helpers:
                self._tell_helpers([node])
            if slots.parked or len(slots.runs) < slots.limit or slots.helpers:  # as in `add`
                starts = self._wake(slots, starts)
        return starts

    def _tell_helpers(self, freed: list[Any]) -> None:
        """Tell waiting tasks that need them of nodes that became ready.  The lock is held."""
        for node in freed:
            for needs in list(node.queue.helpers):
                needs.freed(node)

    def _wake(self, slots: Slots, starts: Starts | None = None) -> Starts | None:
        """See that a run is on its way to each ready task of *slots*, one more at most.

        And that there is a run at all where a task is pending: at interpreter exit
        it may be too late to start a thread (CPython 3.12.0 and 3.12.1 refuse to).
        The lock is held.

        Returns:
            *starts* and what else has to be started, for `_start` to do once
            the lock is not held.
        """
        if self._stopped:
            return starts
        wanted = slots.ready > slots.waking
        if wanted and slots.parked > 0:
            slots.ring()
        elif (wanted and len(slots.runs) < slots.limit) or (
            slots.waiting and not slots.runs and slots.parks
        ):
            run = Run(slots)
            slots.runs.append(run)
            slots.waking += 1
            starts = [] if starts is None else starts
            starts.append((slots, run))
        elif wanted:
            for needs in list(slots.helpers):
                needs.spare()
        return starts

    def _wake_all(self) -> Starts:
        starts: Starts = []
        for slots in self._slots:
            for _ in range(min(slots.ready, slots.limit) or 1):
                self._wake(slots, starts)
        return starts

    def _start(self, starts: Starts | None, submitted: Task[Any] | None = None) -> None:
        """Start runs in their pools.  The lock is not held.

        Raises:
            Exception: The run for *submitted* could not be started, and its
                queue has no other: *submitted* failed with it.
        """
        for slots, run in starts or ():
            try:
                slots.pool.submit(slots.work, slots, run)
            except Exception as error:
                self._start_failed(slots, run, error)
                outcome = None if submitted is None else submitted._outcome
                if isinstance(outcome, Failure) and outcome.exception is error:
                    raise

    def _start_failed(self, slots: Slots, run: Run, error: Exception) -> None:
        """Give up *run*; without any other, fail what is ready, for nobody would ever do it."""
        with self.lock:
            # The pool may call the run yet, should another of its threads get
            # to it; `begin` then finds that it is none of ours.
            if run not in slots.runs or run.thread is not None:
                return
            slots.runs.remove(run)
            slots.waking -= 1
            helpless = slots.ready and not slots.runs
        if helpless:
            LOGGER.error("no thread for queue %s; its ready tasks fail", slots.name, exc_info=error)
            self._drop_pending(slots, Failure(error, traceback_of(error)), ready_alone=True)

    def promote(self, task: Task[Any]) -> bool:
        headroom()
        with uninterrupted(), self.lock:
            return not self._abandoned and self.planner.promote(task)


def _is_needed(node: Any) -> bool:
    """Whether a task depends on *node*, or somebody waits for it.  The lock is held."""
    if type(node) is Turn:
        return True  # its line goes on
    # That a task stands before others in a line does not count.
    if any(other.state < DONE and type(other) is not Turn for other in dependents_of(node)):
        return True
    watch = node._watch if isinstance(node, PlannedFuture) else None
    if watch is None:
        return False
    return bool(watch.blocked or watch.condition) or not all(map(_is_ours, watch.callbacks))


def _is_ours(callback: Any) -> bool:
    """Whether *callback* is that of a stream or an item, or of a relay that nobody needs any more."""
    if type(callback) is not MethodType:
        return False
    owner = callback.__self__
    ours = issubclass(type(owner), (Dispatcher, Item, Claim))
    return ours or (type(owner) is Foreign and owner.scheduler is None)
