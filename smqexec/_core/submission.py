"""Tasks are added, or refused: the way of a call from `Queue.submit` to the planner.

`Submission.add` makes a task and adds it in one hold of the lock.  A task is *plain* if all futures among its
arguments are tasks and items of this scheduler, and none has failed (`_plain`).  `_add_special` does all
else.  An exception may interrupt `add` at any line: see ``recovery``.
"""

import gc
from _thread import start_new_thread
from collections.abc import Sequence
from concurrent.futures import Future
from time import sleep
from typing import Any, NamedTuple

from .._calls import kinds
from .._calls.arguments import ALL, DIRECT, ONE, Template, dependencies, futures_among
from .._calls.interrupts import DEFERRED, call_deferred, elsewhere, uninterrupted
from .._futures.at_end import Foreign, Settled
from .._futures.future import PlannedFuture, new
from .._futures.items import Item
from .._futures.owner import UNADDED
from .._futures.task import Task
from .._planner.nodes import DONE, NEW, NONE, Group, as_few
from .exclusive import REENTRANT
from .queue_state import Barrier, QueueState, Worker
from .recovery import OVER, UNDONE, withdraw
from .state import State

# What `_plain` returns for a task that is not plain.
_NOT_PLAIN: Any = object()


class Special(NamedTuple):
    """What is to be done after the lock for a task that is not plain, was refused, or starts a worker."""

    starts: list[Worker]
    foreign: list[tuple[Foreign, Any]]  # futures of others, or that have failed, each after its relay
    refusal: BaseException | None = None  # why the queue takes no task


class Submission:
    """How tasks are added to a scheduler."""

    def __init__(self, core: State) -> None:
        self._core = core  # constant

    def group(self) -> Group | None:
        """Return the numbers of one submission for the items of a `map`; None if the order needs none."""
        core = self._core
        if core.order == "oldest":
            return None
        with core.exclusive():
            return core.planner.group()

    def add(
        self, queue: QueueState, fn: Any, args: Any, form: Any, group: Group | None = None, task: Any = None
    ) -> Task[Any]:
        """Add a new task of *queue*, the call of *fn*, and return it; or raise the refusal of the queue.

        *form*: the form of *args*.  *group*: the numbers of a `map`.  *task*: the new task, if made already.
        """
        core = self._core
        lock = core.lock
        if lock._is_owned():
            raise RuntimeError(REENTRANT)
        if task is None:
            task = new(Task)
        # The fields of a pending task; its end sets `_outcome`, and `add_node` all others.
        task._fn = fn
        task._args = args
        task._form = form
        task._at_end = task._dependents = task._search = task._place = nodes = special = None
        task._dependencies = NONE
        try:
            if core.observers and queue.refusal is None:
                task._home, task._stage = UNADDED, NEW
                with uninterrupted():
                    core.observers.submitted(queue, task, args, form)
            # Not by ``with``: an exception must not release the lock before the order is rebuilt.
            if not lock.acquire(False):
                core.spin_and_lock()
            if form is not None:
                # *args*: as `_plain` returns it.  This saves the call.
                nodes = args if form is ONE and args._home is queue else self._plain(queue, task, args, form)
            if queue.refusal is None and nodes is not _NOT_PLAIN:
                core.add_node(task, queue, nodes, group)
                if not queue.wakes_none and core.wake(queue):
                    special = Special(core.take_starts(), [])
            else:
                special = self._add_special(queue, task, group)
            lock.release()
            if DEFERRED:
                call_deferred()
            if special is None:
                return task  # type: ignore[no-any-return]
            self._perform(special, queue, task)
        except BaseException:
            # Another thread withdraws *task*: see ``recovery``.  No stack may be left for Python code in this
            # one.  The next round repeats a step that was interrupted.
            progress: list[Any] = []
            mask, over, collects = None, False, False
            while not over:
                try:
                    if mask is None:
                        # These threads wait for this one: in them a finalizer would wait for the lock.
                        collects = collects or gc.isenabled()
                        gc.disable()
                        call = (core, progress, lock._is_owned(), queue, task)
                        start_new_thread(elsewhere, (withdraw, call))
                        mask = uninterrupted()
                    sleep(1e-4)
                    if UNDONE in progress and lock._is_owned():
                        lock.release()
                    over = OVER in progress and not lock._is_owned()
                    mask.__enter__()  # last, as it may fail; else a handler may raise between two rounds
                except RuntimeError:
                    if mask is None:  # no thread can be started: this one withdraws, if its stack allows
                        mask = uninterrupted()
                        withdraw(core, progress, lock._is_owned(), queue, task)
                except BaseException:  # a signal once more, or a MemoryError
                    pass
            if collects:
                gc.enable()
            if DEFERRED:
                call_deferred()
            if mask is not None:
                mask.__exit__()
            raise
        if special.refusal is not None:
            raise _anew(special.refusal)
        return task  # type: ignore[no-any-return]

    def _perform(self, special: Special, queue: QueueState, task: Task[Any]) -> None:
        """Do what was decided under the lock."""
        if special.refusal is not None:
            with uninterrupted():
                # Observers were told of *task* if it has a serial number.
                self._core.termination.finish([(task, None, queue)], None if task._serial else task)
        self._core.start_workers(special.starts, task)
        # Last: a future that is done ends its relay at once, here, and the lock is taken for that.
        for relay, future in special.foreign:
            if not issubclass(type(future), PlannedFuture):
                future.add_done_callback(relay)
            elif not future._add_at_end("relays", relay):
                relay(future)

    def _plain(self, queue: QueueState, task: Task[Any], args: Any, form: Any) -> Any:
        """Return the dependencies of a plain task, as the planner's `add` takes them; or `_NOT_PLAIN`."""
        if form is ALL:
            # A future that has ended has no home: this saves the test of its stage.
            for future in args:
                if future._home is not queue:
                    break
            else:
                task._args = None  # saves the tuple while the task is pending: see `Task._empty`
                return [*args]
        elif type(form) is Template and form.special:
            return _NOT_PLAIN
        nodes: list[Any] = []
        for future in args if form is DIRECT else futures_among(args, form):
            kind = type(future)
            if kind is Item or kind is Task:
                # Read once, and before `_home`, which a task of another scheduler loses if it ends now.
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

    def _add_special(self, queue: QueueState, task: Task[Any], group: Group | None) -> Special:
        """Add a task with dependencies of any kind, and whatever else is special; or refuse it.  Locked."""
        core = self._core
        if queue.refusal is not None:
            # Observers may have been told of the task: so it ends, as cancelled.
            task._home = None
            task._end(None)
            return Special([], [], queue.refusal)
        nodes, foreign = self._needed(dependencies(task._args, task._form))
        # The barrier is the first dependency: so the search visits earlier tasks before other dependencies.
        barrier = queue.barrier
        before = [] if barrier is None or barrier._stage >= DONE else [barrier]
        core.add_node(task, queue, as_few([*before, *nodes]), group)
        if queue.pending_limit is not None:
            queue.pending_limit.use(task)
        if queue.in_order:
            # Done when *task* and all tasks before it have started: see `Barrier`.
            task._barrier = Barrier()
            core.planner.add_relay(task._barrier, as_few([task, *before]))
            queue.barrier = task._barrier  # last: a barrier that was not added would never be done
        if task._allocation is not None or task._releases:
            core.allocating.add_allocation(task)
        core.wake(queue)
        return Special(core.take_starts(), foreign)

    def _needed(self, found: Sequence[tuple[Any, bool]]) -> tuple[list[Any], list[tuple[Foreign, Any]]]:
        """Return the nodes for the dependencies *found*, and `Special.foreign`."""
        core: Any = self._core  # the front door makes it an `Owner`, by the parts that it adds
        nodes: list[Any] = []
        foreign: list[tuple[Foreign, Any]] = []
        for future, settled in found:
            # Read once: the lock of another scheduler's task is not held.  A task without a home has ended.
            planned = issubclass(type(future), PlannedFuture)  # not isinstance, which reads ``__class__``
            owner = future._home if planned else None
            foreigner = not planned or (owner is not None and owner.scheduler is not core)
            # One that has failed, too: of all that are done the first in argument order then ends the task.
            if foreigner or (future._stage > DONE and not settled):
                relay = Foreign(core, future if planned else None, settled)
                foreign.append((relay, future))
                core.planner.add_relay(relay)
                core.relays.add(relay)  # no pending node leads to it but *task*, which may be interrupted
                nodes.append(relay)
            elif future._stage < DONE:
                node = Settled() if settled else future
                if settled:
                    core.planner.add_relay(node, future)
                nodes.append(node)
        return nodes, foreign


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
