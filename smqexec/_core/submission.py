"""A task comes: it is taken in, or refused, or withdrawn where an exception has struck.

As in ``dispatch``: decide under the lock, act after it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import chain
from threading import get_ident
from typing import Any, TypeAlias

from .._calls.arguments import AS_NEEDED, DIRECT, Template, dependencies
from .._calls.frames import traceback_of
from .._calls.interrupts import (
    DEFERRED,
    FRAMES,
    HEADROOM,
    LIMIT,
    STRUCK,
    call_deferred,
    make_room,
    uninterrupted,
)
from .._futures.future import Failure, PlannedFuture, new
from .._futures.items import Item
from .._futures.relays import Foreign, Settled
from .._futures.task import Task
from .._planner import DONE, NEW, NONE, RUNNING, WAITING, Group, Node, as_few, dependencies_of
from .exclusive import OF_THE_PARENT, REENTRANT
from .loud import loud
from .shared import Ended, State
from .state import EXITING, QueueState
from .submission_order import Barrier
from .termination import Termination
from .wake import Starts, Wake

_NOT_PLAIN: Any = object()  # what `_plain` returns where it is for `_link` to look closer

_Link: TypeAlias = tuple[list[Ended], list[tuple[Foreign, Any]]]


class Submission:
    """How a scheduler takes tasks in."""

    def __init__(self, core: State, wake: Wake, termination: Termination) -> None:
        self._core = core
        self._wake = wake
        self._termination = termination

    def group(self) -> Group | None:
        """One submission for the items of a `map`; None where their order needs none."""
        core = self._core
        if core.order == "oldest":
            return None
        with core.exclusive():
            return core.planner.group()

    def add(
        self,
        queue: QueueState,
        fn: Any,
        args: Any,
        kwargs: Any,
        group: Group | None,
        make: Callable[[], Task[Any]] | None = None,
    ) -> Task[Any]:
        """Take in a new task of *slots*, the call of *fn*.

        Args:
            slots: The queue's.
            fn: Called with *args* and *kwargs*.
            args: As `encode` gives them.
            kwargs: Their form.
            group: Where the task is one of several of one submission.
            make: Gives a new task that is not plain; one with other needs than arguments has a `Template`.

        Raises:
            RuntimeError: The queue takes no more tasks, or no thread could be
                started for it; or a signal's handler has interrupted the scheduler itself.
        """
        core = self._core
        if core.lock._is_owned():
            raise RuntimeError(REENTRANT)
        task: Task[Any] = new(Task) if make is None else make()
        task._stage = NEW
        task._fn = fn
        task._args = args
        task._kwargs = kwargs
        task._outcome = task._at_end = task._stream = None
        task._queue = task._dependents = task._search = task._place = None
        task._dependencies = NONE
        nodes: Any = None
        refusal = starts = link = None
        told = False  # observers know of it, and of no end.  Written with Ctrl-C put off
        guard: uninterrupted | None = None  # puts Ctrl-C off, once something has struck
        try:
            if core.observers and not (queue.closed or queue.broken or core.exiting or core._abandoned):
                with uninterrupted():
                    told = True
                    core.observers.submitted(queue, task, args, kwargs)
            # Not with `_lock`: Ctrl-C could strike between that and a `try`.
            if get_ident() not in STRUCK:
                core._queue_up()
            # Not by ``with``, which would release it where Ctrl-C strikes again before all is mended.
            core.lock.acquire()
            if queue.closed or queue.broken or core.exiting or core._abandoned:
                refusal = self._refusal(queue)
            if refusal is None:
                if kwargs is DIRECT:
                    nodes = self._plain(queue, task, args)
                elif type(kwargs) is Template:
                    nodes = _NOT_PLAIN
                if nodes is _NOT_PLAIN:
                    refusal, starts, link = self._link(queue, task, group)
                else:
                    core._admit(task, queue, nodes, group)
                    # Most often all slots are busy; else `_wake` looks closer.
                    if not core._stopped and (
                        queue.idle or len(queue.workers) < queue.limit or queue.helpers
                    ):
                        starts = self._wake.wake(queue)
            core.lock.release()
            if DEFERRED:
                call_deferred()
            if refusal is not None and told:
                with uninterrupted():
                    core.observers.tell("end", queue, task, outcome="cancelled")
                    told = False
            if link is not None and link[0]:  # a dependency has failed, and the task with it
                with uninterrupted():
                    self._termination.finish(link[0])
                    told = False
            if starts:
                self._wake.start(starts, task)
            if link is not None:
                for relay, future in link[1]:
                    if isinstance(future, PlannedFuture):
                        future._add_relay(relay)
                    else:
                        future.add_done_callback(relay.future_done)
        except BaseException:
            # Ctrl-C may strike again until it is put off.  The limit first: what struck may be that no
            # frame is left for a call.
            while guard is None:
                try:
                    with LIMIT:
                        sys.setrecursionlimit(sys.getrecursionlimit() + HEADROOM + FRAMES)
                    guard = uninterrupted().__enter__()
                except KeyboardInterrupt:
                    pass
            try:
                with loud(core):
                    # Whether no worker has seen it, and told of its end.
                    unseen = link is not None and bool(link[0])
                    if core.lock._is_owned():
                        unseen = True
                        try:
                            self._mend(task, group)
                        finally:
                            core.lock.release()
                    self._withdraw(queue, task, group, told, unseen)
            finally:
                make_room(-HEADROOM - FRAMES)
                guard.__exit__(None, None, None)
            raise
        if refusal is not None:
            try:
                raise _anew(refusal)
            finally:
                refusal = None  # no cycle with the exception
        return task

    def _mend(self, task: Task[Any], group: Group | None) -> None:
        """Undo what there is of *task*, which an exception has struck in the middle of `add`.  Locked.

        Ctrl-C, mostly; or a recursion that got too deep, or no memory.
        """
        core = self._core
        others: list[Any] = [*core._outside, *chain(*core._doomed)]
        others += [other for queue in core._queues for other in queue.running_tasks()]
        core.planner.rebuild(core._queues, others, task)
        core._next = core.allocating.starter()
        barrier = task._barrier
        waits = barrier is not None and barrier._stage == WAITING
        if barrier is not None and waits and all(other._stage >= DONE for other in dependencies_of(barrier)):
            self._wake.tell_helpers(core.planner.done(barrier))  # it needed this task alone
        if task._at_end is not None:
            self._wake.tell_helpers(task._at_end.run_hooks(task))
        for relay in list(core._outside):
            if type(relay) is Foreign and not relay._dependents:
                self._termination.forget(relay)
        for queue in core._queues:
            # A worker that has not begun may never have been given to the pool; if it was, it leaves.
            # Any other may have been interrupted on the way from `idle` to `coming`, and be in neither.
            queue.leave_unbegun()
            for worker in queue.workers:
                worker.wakes.put(None)

    def _withdraw(
        self, queue: QueueState, task: Task[Any], group: Group | None, told: bool, unseen: bool
    ) -> None:
        """See that *task*, of which its caller will never know, does not run; and that all others do.

        Unless it runs already.  *told* says whether observers know of it, *unseen* that no worker does.
        """
        core = self._core
        with core.exclusive() as section:
            if told and (unseen or task._stage < RUNNING):
                section.then(core.observers.dropped, [(task, None, queue)], None)
            if task._stage < RUNNING:
                self._mend(task, group)
            elif task._allocation is not None:
                self._wake.tell_helpers(core.allocating.stop_holding(task._allocation))
            section.then(self._wake.start, self._wake.wake_all())

    def _plain(self, queue: QueueState, task: Task[Any], args: Any) -> Any:
        """The dependencies in the commonest case: all are tasks of this scheduler, none has failed.

        As the planner's `add` takes them.  Where they are all that *args* are, *task* keeps no more.
        """
        first: Any = None
        nodes: list[Any] | None = None
        for future in args:
            kind = type(future)
            if kind is Task or kind is Item:
                # Read once, and first: one of another scheduler's may end meanwhile, and has no home then.
                state = future._stage
                if state >= DONE:
                    if state == DONE:
                        continue
                    return _NOT_PLAIN
                home = future._home
                if home is not queue and (home is None or home.scheduler is not self._core):
                    return _NOT_PLAIN
                if first is None:
                    first = future
                elif nodes is None:
                    nodes = [first, future]
                else:
                    nodes.append(future)
            elif issubclass(kind, Future):
                return _NOT_PLAIN
        if nodes is None:
            few = first
            count = 0 if first is None else 1
        else:
            if len(nodes) > 2 or first is nodes[1]:
                # Each once, and a list of just the size: one that was appended to has room for eight.
                nodes = list(dict.fromkeys(nodes))
            few = as_few(nodes)
            count = len(nodes)
        if count == len(args):
            task._args = None
            task._kwargs = AS_NEEDED
        return few

    def _refusal(self, queue: QueueState) -> BaseException:
        """Why a task may not be added."""
        if queue.broken is not None:
            return queue.broken
        if queue.closed:
            return RuntimeError(queue.closed)
        if self._core._abandoned:
            return RuntimeError("the queue was made before the fork; make a new one in the child process")
        return RuntimeError(EXITING)

    def _link(
        self, queue: QueueState, task: Task[Any], group: Group | None
    ) -> tuple[BaseException | None, Starts | None, _Link | None]:
        """Add a task with dependencies of any kind.  The lock is held.

        Returns:
            Why it may not be added; runs to start; and to be told of the end
            of a task, and to be asked of futures of others.
        """
        core = self._core
        found: Sequence[tuple[Any, bool]] = dependencies(task._args, task._kwargs)
        if task._after:
            found = [*found, *task._after]
            task._after = ()
        failed: PlannedFuture[Any] | None = None  # the first dependency that can't give a value any more
        barrier = queue.barrier  # of the task before, where tasks start in the order of submission
        before = [] if barrier is None or barrier._stage >= DONE else [barrier]
        nodes: list[Any] = [*before]
        relays: list[tuple[Node, list[Any]]] = []
        foreign: list[tuple[Foreign, Any]] = []
        future: Any
        for future, settled in found:
            # Read once: the lock of another scheduler's task is not held.
            # One that has no queue any more is done, whosoever it was.
            planned = isinstance(future, PlannedFuture)
            owner = future._home if planned else None
            if not planned or (owner is not None and owner.scheduler is not core):
                if owner is not None and owner.scheduler._abandoned:
                    return RuntimeError(OF_THE_PARENT), None, None
                this: Any = core  # some methods of an `Owner` are added above
                relay = Foreign(this, future, settled)
                foreign.append((relay, future))
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
            core._admit(node, None, as_few(needs))
        core._outside.update(relay for relay, _ in foreign)
        core._admit(task, queue, as_few(list(dict.fromkeys(nodes))), group)
        if task._reservation is not None and queue.pending_limit is not None:
            task._reservation.task = task
            queue.pending_limit.use(task._reservation)
            task._reservation = None
        if queue.in_order:
            task._barrier = Barrier()
            core._admit(task._barrier, None, as_few([task, *before]))
            queue.barrier = task._barrier
        if task._allocation is not None or task._releases:
            core.allocating.add_allocation(task)
        if failed is None:
            return None, self._wake.wake(queue), ([], foreign)
        with uninterrupted():
            ended, starts = self._termination.drop(task, _inherited(failed))
        return None, starts, (ended, foreign)

    def foreign_done(self, relay: Foreign, future: Any) -> None:
        """Note that *future*, which *relay* stands for, is done."""
        with uninterrupted():  # nobody will tell us again
            try:
                self._foreign_done(relay, future)
            except RecursionError:
                with LIMIT:
                    sys.setrecursionlimit(sys.getrecursionlimit() + FRAMES)
                try:
                    self._foreign_done(relay, future)
                finally:
                    make_room(-FRAMES)

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
            except BaseException as error:  # of a future that tells nobody how it ended
                exception = error
            if exception is not None:
                failure = Failure(exception, traceback_of(exception), future)
        section = core.exclusive()
        with loud(core), section:
            if relay not in core._outside or core._abandoned:  # nobody waits for it any more
                return
            self._termination.forget(relay)
            if failure is None and not cancelled:
                section.then(self._wake.start, self._wake.wake_for(core.planner.done(relay)))
            else:
                ended, starts = self._termination.drop(relay, failure)
                section.then(self._wake.start, starts)
                section.then(self._termination.finish, ended)


def _anew(error: BaseException) -> BaseException:
    """An error like *error*, without what has become of that."""
    kind = type(error)
    try:  # not by calling it: its constructor may want other arguments than `args`
        like = kind.__new__(kind, *error.args)
        like.__dict__.update(error.__dict__)
    except Exception:  # of the user's own class
        return error
    like.__cause__ = error.__cause__
    if notes := getattr(error, "__notes__", None):
        like.__notes__ = list(notes)
    return like


def _inherited(future: PlannedFuture[Any]) -> Failure | None:
    """The outcome of a task whose dependency *future* failed; None if it was cancelled."""
    failure: Failure | None = future._outcome
    return failure and failure.of(future)
