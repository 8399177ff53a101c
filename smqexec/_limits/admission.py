"""Admit calls with options, and all calls to queues that are not plain: `Queue` decides which are.

The thread that submits makes the task, as the options and the queue demand.  At a pending limit it reserves
room for the task, and may block.  Then `Submission.add` adds the task.

A queue has *room* while its pending tasks and its reservations are fewer than the limit.  A task without room
waits, first come first served, until room is reserved for it.  So a thread that was woken always has room,
unless the queue refuses tasks by then.  A reservation ends when its task becomes pending, or when the submit
fails.
"""

import sys
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any

from .._calls.arguments import special
from .._calls.callables import Within, name_of
from .._calls.interrupts import interruptible, uninterrupted
from .._core.queue_state import CURRENT, QueueState
from .._core.state import State
from .._futures.future import new
from .._futures.names import counted
from .._futures.remote_value import keeping
from .._futures.task import Task
from .._futures.waiter import Waiter
from .._planner.nodes import Group
from .options import NO_OPTIONS, Options
from .resources import Allocation


class PendingLimit:
    """The pending limit of one queue.  The scheduler's lock guards all fields, and is held in all methods."""

    def __init__(self, limit: int) -> None:
        self.limit = limit  # constant
        # Tasks with room that are not pending yet.
        self._reserved: set[Task[Any]] = set()
        # Tasks without room, first come first, each with what its thread sleeps in.
        self._waiting: dict[Task[Any], Waiter] = {}

    def enter(self, task: Task[Any], pending: int, waiter: Waiter) -> bool:
        """Return True if *task* has room beside *pending* tasks, else let it wait: *waiter* is woken then."""
        self._waiting[task] = waiter
        self.admit(pending)
        return task in self._reserved

    def use(self, task: Task[Any]) -> None:
        """End the reservation of *task*, if it has one: it is pending now."""
        self._reserved.discard(task)

    def give_up(self, task: Task[Any], pending: int) -> None:
        """End the reservation of *task*, whose submit has failed, or its wait for one."""
        self._reserved.discard(task)
        self._waiting.pop(task, None)
        self.admit(pending)

    def admit(self, pending: int) -> None:
        """Reserve room for waiting tasks, first come first, as far as *pending* tasks leave any."""
        while self._waiting and pending + len(self._reserved) < self.limit:
            task = next(iter(self._waiting))
            self._reserved.add(task)
            self._waiting.pop(task).wake()

    def turn_away(self) -> None:
        """Wake all waiting threads, without room: the queue refuses tasks, so their submits raise."""
        while self._waiting:
            self._waiting.popitem()[1].wake()


def add(
    queue: QueueState,
    fn: Any,
    args: Any,
    form: Any,
    group: Group | None = None,
    options: Options = NO_OPTIONS,
    wait: bool = True,
) -> Any:
    """Do what `Submission.add` does, with *options*, once *queue* has room.

    If not *wait*, return None at once when there is no room.
    """
    core: State = queue.scheduler
    worker = CURRENT.worker
    # A thread of this scheduler needs no room: other tasks may need the task that it runs.
    inside = worker is not None and worker.queue.scheduler is core
    limited = queue.pending_limit is not None and not inside
    # Only fields that differ from those of a plain task are set: each needs memory.
    task: Task[Any] = new(keeping(Task) if queue.remote_values else Task)
    if options is not NO_OPTIONS:
        task._name = options.name
        task._engine = options.engine
        task._releases = options.releases
        if options.resources:
            task._allocation = Allocation(options.resources, options.hold, options.name or name_of(fn))
    if options.after or options.resources or options.releases or limited or queue.in_order:
        # A special template makes `Submission` link the task to more than its arguments.
        args, form = (), special(args, form, options.after)
    context = options.context
    if context is None and queue.copies_context:
        context = copy_context()
    if context is not None:
        fn = Within(context.run, fn)
    if queue.inline:
        fn = Within(interruptible, fn)
    add_now = partial(core.submission.add, queue, fn, args, form, group, task)
    submits_inline, CURRENT.submits_inline = CURRENT.submits_inline, queue.inline
    try:
        return _add_limited(queue, task, add_now, wait, options.timeout) if limited else add_now()
    finally:
        CURRENT.submits_inline = submits_inline


def _add_limited(
    queue: QueueState, task: Task[Any], add_now: Callable[[], Any], wait: bool, timeout: float | None
) -> Task[Any] | None:
    """Reserve room, and call *add_now*, which adds *task*; without room, and if not *wait*, return None."""
    core: State = queue.scheduler
    limit: Any = queue.pending_limit
    waiter = Waiter()
    added = None
    try:
        # Ctrl-C comes only while the thread waits for room, or at the end: no reservation stays behind.
        with uninterrupted():
            try:
                with core.exclusive():
                    # A queue that refuses tasks needs no room: `Submission.add` raises.
                    has_room = queue.refusal is not None or limit.enter(task, queue.pending, waiter)
                    if not has_room and not wait:  # now: it is in no other submit's way
                        limit.give_up(task, queue.pending)
                if has_room or (wait and _wait(queue, waiter, timeout)):
                    added = add_now()
                return added
            finally:
                if added is None:
                    with core.exclusive():
                        limit.give_up(task, queue.pending)
    except BaseException:
        if hasattr(task, "_number"):  # it was added, and the caller does not get it
            task.cancel()
        raise


def _wait(queue: QueueState, waiter: Waiter, timeout: float | None) -> bool:
    """Block until *waiter* is woken, and return True; raise after *timeout* seconds."""
    limit: Any = queue.pending_limit
    full = f"queue {queue.name!r} is full: {counted(limit.limit, 'pending task')}, max_pending={limit.limit}"
    events = sys.modules.get("asyncio.events")  # None: no thread runs an event loop
    if timeout != 0 and events is not None and events._get_running_loop() is not None:
        raise RuntimeError(
            f"{full}; submit() would block the event loop of this thread: "
            "use try_submit(), or await asyncio.to_thread(queue.submit, ...)"
        )
    room, over = f"room in queue {queue.name}", lambda: not waiter.unset.locked()
    warn = partial(queue.scheduler.ending.warn_if_stalled, room, over=over)
    if not interruptible(waiter.block, timeout, warn):
        raise TimeoutError(full)
    return True
