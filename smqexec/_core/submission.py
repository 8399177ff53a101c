"""A task is added, refused, or withdrawn after an interruption.

`Submission.add` makes a task and adds it in one hold of the lock.  A task is *plain* if all futures among its
arguments are tasks and items of this scheduler, and none has failed (`_plain`).  `_link` does all the rest.

Interruption.  Ctrl-C, RecursionError and MemoryError may be raised at any line of `add`, also while it holds
the lock.  The caller never receives the task then: the task is cancelled by the normal path, and the order,
which is a cache over the graph, is rebuilt before the lock is released.  Another thread does it, `_withdraw`,
while the interrupted thread keeps the lock: Ctrl-C may be pressed again, and no stack may be left for a call.
"""

from __future__ import annotations

from _thread import start_new_thread
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import chain
from threading import get_ident
from time import sleep
from typing import Any, TypeAlias

from .._calls import kinds
from .._calls.arguments import ALL, DIRECT, ONE, Template, dependencies, futures_among
from .._calls.frames import traceback_of
from .._calls.interrupts import DEFERRED, MAIN, call_deferred, elsewhere, uninterrupted
from .._futures.future import Failure, PlannedFuture, new
from .._futures.items import Item
from .._futures.relays import Foreign, Settled
from .._futures.task import Task
from .._planner import DONE, NEW, NONE, RUNNING, WAITING, Group, Node, as_few
from .exclusive import OF_THE_PARENT, REENTRANT, breakdown_on_error
from .queue_state import QueueState
from .state import Ended, State
from .submission_order import Barrier
from .termination import Termination
from .wake import Starts, Wake

# What `_plain` returns for a task that is not plain.
_NOT_PLAIN: Any = object()

# Returns a new task that is not plain; None for a plain one.
Make: TypeAlias = Callable[[], Task[Any]] | None

# Steps of `Submission._withdraw`.
UNDONE, OVER = "undone", "over"


class Special:
    """What is to be done after the lock for a task that is not plain, or was refused."""

    __slots__ = ("ended", "foreign", "refusal", "starts")

    def __init__(self) -> None:
        self.refusal: BaseException | None = None  # why the queue takes no task
        self.starts: Starts | None = None  # workers to start
        self.ended: list[Ended] = []  # the task, where a dependency has failed, or the queue has refused it
        self.foreign: list[tuple[Foreign, Any]] = []  # futures of others, with the relays that stand for them

    def raise_refusal(self) -> None:
        """Raise a copy of `refusal`, if there is one."""
        refusal, self.refusal = self.refusal, None
        try:
            if refusal is not None:
                raise _anew(refusal)
        finally:
            del refusal  # no cycle with the exception


class Submission:
    """How tasks are added to a scheduler."""

    def __init__(self, core: State, wake: Wake, termination: Termination) -> None:
        self._core = core
        self._wake = wake
        self._termination = termination

    def group(self) -> Group | None:
        """Return the numbers of one submission for the items of a `map`; None if the order needs none."""
        core = self._core
        if core.order == "oldest":
            return None
        with core.exclusive():
            return core.planner.group()

    def add(
        self, queue: QueueState, fn: Any, args: Any, kwargs: Any, group: Group | None, make: Make = None
    ) -> Task[Any]:
        """Add a new task of *queue*, the call of *fn*, and return it; or raise the refusal of the queue.

        `encode` returned *args* and *kwargs*, the form of *args*; a `Template` is special if the task has
        other dependencies.  *group*: the numbers of a `map`.  *make* returns a new task that is not plain.
        """
        core = self._core
        lock = core.lock
        if lock._is_owned():
            raise RuntimeError(REENTRANT)
        task: Task[Any] = new(Task) if make is None else make()
        # The fields of a pending task; its end sets `_outcome`, and `add_node` all others.
        task._fn = fn
        task._args = args
        task._kwargs = kwargs
        task._at_end = task._dependents = task._search = task._place = nodes = starts = special = None
        task._dependencies = NONE
        try:
            if core.observers and queue.refusal is None:
                task._home, task._stage = None, NEW
                with uninterrupted():
                    core.observers.submitted(queue, task, args, kwargs)
            # Not by ``with``: an exception must not release the lock before the order is rebuilt.
            if not lock.acquire(False):
                if get_ident() not in MAIN:
                    core.spin()
                lock.acquire()
            if kwargs is ONE and args._home is queue and args._stage < DONE:
                nodes = args  # as `_plain` returns it: this saves the call
            elif kwargs is not None:
                nodes = self._plain(queue, args, kwargs)
            if queue.refusal is not None:
                special = self._refuse(queue, task, queue.refusal)
            elif nodes is _NOT_PLAIN:
                special = self._link(queue, task, group)
            else:
                core.add_node(task, queue, nodes, group)
                if not core.stopped and (queue.idle or len(queue.workers) < queue.limit or queue.searches):
                    starts = self._wake.wake(queue)
            lock.release()
            if DEFERRED:
                call_deferred()
            if starts is None and special is None:
                return task
            self._perform(starts, special, task)
        except BaseException:
            # No call of Python code, for which no stack may be left: see above.
            progress: list[Any] = []
            begun = over = False
            while not over:
                try:
                    if not begun:
                        call = (progress, lock._is_owned(), queue, task, special)
                        start_new_thread(elsewhere, (self._withdraw, call))
                        begun = True
                    if UNDONE in progress and lock._is_owned():
                        lock.release()
                    over = OVER in progress and not lock._is_owned()
                    sleep(1e-4)
                except (KeyboardInterrupt, MemoryError):
                    pass
                except RuntimeError:  # the process has as many threads as it may have
                    begun = True
                    self._withdraw(progress, lock._is_owned(), queue, task, special)
            raise
        if special is not None:
            special.raise_refusal()
        return task

    def _perform(self, starts: Starts | None, special: Special | None, task: Task[Any]) -> None:
        """Do what was decided under the lock."""
        if special is None:
            self._wake.start(starts, task)
            return
        if special.ended:
            with uninterrupted():
                self._finish(special.ended, task)
                special.ended = []
        self._wake.start(special.starts, task)
        for relay, future in special.foreign:
            if isinstance(future, PlannedFuture):
                future._add_relay(relay)
            else:
                future.add_done_callback(relay.future_done)

    def _finish(self, ended: list[Ended], task: Task[Any]) -> None:
        """Finish what has *ended*.  Observers know of the submit of *task* if it has a number for them."""
        self._termination.finish(ended, None if task._serial else task)

    def _withdraw(
        self, progress: list[Any], locked: bool, queue: QueueState, task: Task[Any], special: Special | None
    ) -> None:
        """Cancel *task*, whose submit an exception has interrupted: its caller never received the task.

        Args:
            progress: What has been done so far.
            locked: The interrupted thread keeps the lock until *progress* contains `UNDONE`.
            queue: The queue of *task*.
            task: It is cancelled unless a worker has started it.
            special: What `_link` decided.
        """
        first = object()
        progress.append(first)
        if progress[0] is not first:
            return  # Ctrl-C was pressed as this thread was started, and another one was started
        ended: list[Ended] = []
        starts: Starts = []
        try:
            with breakdown_on_error(self._core):
                try:
                    if locked:
                        self._undo(queue, task, True, ended, starts)
                finally:
                    progress.append(UNDONE)
                    if self._core.lock._is_owned():  # no other thread could be started for this
                        self._core.lock.release()
                if not locked:
                    with self._core.exclusive():
                        unseen = special is not None and bool(special.ended)
                        self._undo(queue, task, unseen, ended, starts)
                self._finish(ended, task)
                self._wake.start(starts)
        finally:
            progress.append(OVER)

    def _undo(
        self, queue: QueueState, task: Task[Any], unseen: bool, ended: list[Ended], starts: Starts
    ) -> None:
        """Rebuild the order; cancel *task*, if it is pending; and wake all workers that have work.

        The lock is held, perhaps by the interrupted thread.  *unseen* says that no worker has seen *task*.
        """
        core = self._core
        if not hasattr(task, "_number"):
            task._home, task._stage = None, NEW  # the interruption was before the end of `add` of the planner
        others: list[Any] = [task, *core.relays, *chain(*core.unfinished_drops)]
        others += [other for state in core.queues for other in state.running_tasks()]
        core.planner.rebuild(core.queues, others)
        core.take_next = core.allocating.starter()
        for state in core.queues:
            # A worker that has not begun may never have been given to the pool; if it was, it leaves.
            # Any other may have been interrupted on the way from `idle` to `coming`, and be in neither.
            state.leave_unbegun()
            for worker in state.workers:
                worker.wakes.put(None)
        if WAITING <= task._stage < RUNNING:
            more, _ = self._termination.drop(task, None, starts)
            ended += more
            queue.cancelled -= 1  # it does not count as submitted
        elif task._stage == NEW or unseen:
            if task._stage == NEW:
                task._end(None)
            ended.append((task, None, queue))
        elif task._allocation is not None:
            self._wake.tell_searches(core.allocating.stop_holding(task._allocation))
        for relay in list(core.relays):
            if type(relay) is Foreign and not relay._dependents:
                self._termination.forget(relay)
        starts += self._wake.wake_all()

    def _plain(self, queue: QueueState, args: Any, kwargs: Any) -> Any:
        """Return the dependencies in the commonest case: all are tasks of this scheduler, none has failed.

        In the form of the planner's `add`; `_NOT_PLAIN` in any other case.
        """
        if kwargs is ALL:
            for future in args:
                if future._home is not queue or future._stage >= DONE:
                    break
            else:
                return [*args]
        elif type(kwargs) is Template and kwargs.special:
            return _NOT_PLAIN
        nodes: list[Any] = []
        for future in args if kwargs is DIRECT else futures_among(args, kwargs):
            kind = type(future)
            if kind is Item or kind is Task:
                # Read once, and before `_home`, which a task of another scheduler may lose as it ends now.
                state = future._stage
                if state >= DONE:
                    if state == DONE:
                        continue
                    return _NOT_PLAIN
                home = future._home
                if home is not queue and (home is None or home.scheduler is not self._core):
                    return _NOT_PLAIN
                nodes.append(future)
            elif issubclass(kind, (Future, kinds.settled)):
                return _NOT_PLAIN
        return nodes if len(nodes) > 1 else nodes[0] if nodes else None

    def _refuse(self, queue: QueueState, task: Task[Any], refusal: BaseException) -> Special:
        """Refuse *task*.  The lock is held."""
        special = Special()
        special.refusal = refusal
        task._home = None
        task._end(None)
        special.ended.append((task, None, queue))
        return special

    def _link(self, queue: QueueState, task: Task[Any], group: Group | None) -> Special:
        """Add a task with dependencies of any kind, and whatever else is special.  The lock is held."""
        special = Special()
        core = self._core
        found: Sequence[tuple[Any, bool]] = dependencies(task._args, task._kwargs)
        if task._after:
            found = [*found, *task._after]
            task._after = ()
        # The first dependency that has failed or was cancelled.
        failed: PlannedFuture[Any] | None = None
        # The barrier of the task submitted before, if tasks of the queue start in that order.
        barrier = queue.barrier
        before = [] if barrier is None or barrier._stage >= DONE else [barrier]
        nodes: list[Any] = [*before]
        relays: list[tuple[Node, list[Any]]] = []
        future: Any
        for future, settled in found:
            # Read once: the lock of another scheduler's task is not held.  A task without a home has ended.
            planned = isinstance(future, PlannedFuture)
            owner = future._home if planned else None
            if not planned or (owner is not None and owner.scheduler is not core):
                if owner is not None and owner.scheduler._abandoned:
                    return self._refuse(queue, task, RuntimeError(OF_THE_PARENT))
                this: Any = core  # the front door adds some parts of an `Owner`
                relay = Foreign(this, future, settled)
                special.foreign.append((relay, future))
                relays.append((relay, []))
                nodes.append(relay)
            elif future._stage < DONE:
                if settled:
                    relays.append((Settled(), [future]))
                    nodes.append(relays[-1][0])
                else:
                    nodes.append(future)
            elif future._stage != DONE and not settled and failed is None:
                failed = future
        for node, needs in relays:
            core.add_node(node, None, as_few(needs))
        core.relays.update(relay for relay, _ in special.foreign)
        core.add_node(task, queue, as_few(list(dict.fromkeys(nodes))), group)
        if task._reservation is not None and queue.pending_limit is not None:
            task._reservation.task = task
            queue.pending_limit.use(task._reservation)
            task._reservation = None
        if queue.in_order:
            task._barrier = Barrier()
            core.add_node(task._barrier, None, as_few([task, *before]))
            queue.barrier = task._barrier
        if task._allocation is not None or task._releases:
            core.allocating.add_allocation(task)
        if failed is None:
            special.starts = self._wake.wake(queue)
        else:
            with uninterrupted():
                special.ended, special.starts = self._termination.drop(task, _inherited(failed))
        return special

    def foreign_done(self, relay: Foreign, future: Any) -> None:
        """Note that *future*, which *relay* stands for, is done."""
        with uninterrupted():  # *future* calls this once
            try:
                self._foreign_done(relay, future)
            except RecursionError:  # no stack is left here, and nothing has been changed
                start_new_thread(elsewhere, (self._foreign_done, (relay, future)))

    def _foreign_done(self, relay: Foreign, future: Any) -> None:
        core = self._core
        if core.deferred(self._foreign_done, relay, future):
            return
        failure: Failure | None = None
        cancelled = False
        if isinstance(future, PlannedFuture) and not relay.settled:
            cancelled = future.cancelled()
            failure = _inherited(future) if future.origin is not None else None
        elif not relay.settled:
            try:
                cancelled = future.cancelled()
                exception = None if cancelled else future.exception()
            except BaseException as error:  # of a future whose methods raise
                exception = error
            if exception is not None:
                failure = Failure(exception, traceback_of(exception), future)
        section = core.exclusive()
        with breakdown_on_error(core), section:
            if relay not in core.relays or core._abandoned:  # no task depends on it any more
                return
            self._termination.forget(relay)
            if failure is None and not cancelled:
                section.then(self._wake.start, self._wake.wake_for(core.planner.done(relay)))
            else:
                ended, starts = self._termination.drop(relay, failure)
                section.then(self._wake.start, starts)
                section.then(self._termination.finish, ended)


def _anew(error: BaseException) -> BaseException:
    """Return a copy of *error*, as each raise changes the traceback and context of an exception."""
    kind = type(error)
    try:  # not by a call of *kind*: its constructor may want other arguments than `args`
        like = kind.__new__(kind, *error.args)
        like.__dict__.update(error.__dict__)
    except Exception:  # of the user's own class
        return error
    like.__cause__ = error.__cause__
    if notes := getattr(error, "__notes__", None):
        like.__notes__ = list(notes)
    return like


def _inherited(future: PlannedFuture[Any]) -> Failure | None:
    """Return the outcome of a task whose dependency *future* failed; None if *future* was cancelled."""
    failure: Failure | None = future._outcome
    return failure and failure.of(future)
