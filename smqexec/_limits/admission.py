"""Admit calls with options, and all calls to queues with a pending limit, an order or copied contexts.

A call passes three steps in its own thread.  At the pending limit the thread reserves room, and may block.
Then the options and the queue decide which kind of task is made.  At last `Submission.add` adds the task.

Invariant: a reservation ends in exactly one way: its task is added, or it is given up.  The scheduler's lock
guards reservations; it is not held between the steps, nor while the thread blocks.
"""

from __future__ import annotations

import sys
from contextvars import copy_context
from functools import partial
from typing import Any

from .._calls.arguments import special
from .._calls.callables import name_of
from .._calls.contexts import Within
from .._calls.frames import ours
from .._calls.interrupts import interruptible, uninterrupted
from .._core.blocking import acquire, block
from .._core.queue_state import CURRENT, QueueState
from .._core.state import State
from .._core.submission import Submission
from .._futures.future import new
from .._futures.names import counted
from .._futures.remote_value import keeping
from .._futures.task import Task
from .._planner import Group
from .options import NO_OPTIONS, Options
from .pending_limit import Reservation
from .resources import Allocation

# In an inline queue they stand between our frames and the user's.
for _frame in (interruptible, uninterrupted.lifted):
    ours(_frame)


class Admission:
    """The part of a scheduler that applies options and the rules of queues."""

    def __init__(self, core: State, submission: Submission) -> None:
        # Constant: the state; the part that adds tasks.
        self._core = core
        self._submission = submission

    def add_with(
        self,
        queue: QueueState,
        fn: Any,
        args: Any,
        kwargs: Any,
        group: Group | None,
        options: Options = NO_OPTIONS,
    ) -> Task[Any]:
        """Wait for room in the queue, then do what `Submission.add` does, with *options*.

        Inside a task of this scheduler this does not wait: other tasks may need the calling task.

        Raises:
            TimeoutError: There was no room within the timeout of *options*.
            RuntimeError: As by `Submission.add`; or the wait would block the event loop of this thread.
        """
        submits_inline, CURRENT.submits_inline = CURRENT.submits_inline, queue.inline
        try:
            task = self.try_add(queue, fn, args, kwargs, group, options, True)
        finally:
            CURRENT.submits_inline = submits_inline
        if task is None:
            raise TimeoutError(_full(queue))
        return task

    def try_add(
        self,
        queue: QueueState,
        fn: Any,
        args: Any,
        kwargs: Any,
        group: Group | None,
        options: Options,
        wait: bool = False,
    ) -> Task[Any] | None:
        """Do what `add_with` does, but return None if there is no room; wait for room only if *wait*."""
        limit: Any = queue.pending_limit
        worker = CURRENT.worker
        if limit is None or (worker is not None and worker.queue.scheduler is self._core):
            return self._add(queue, fn, args, kwargs, group, options, None)
        blocks_loop = wait and options.timeout != 0 and _runs_event_loop()
        reservation = Reservation()
        try:
            with self._core.exclusive():
                # A queue that refuses tasks needs no room: `add` raises.
                refused = queue.refusal is not None
                admitted = refused or limit.reserve(reservation, queue.pending, wait)
            if not admitted and blocks_loop:
                raise RuntimeError(
                    f"{_full(queue)}; submit() would block the event loop of this thread: "
                    "use try_submit(), or await asyncio.to_thread(queue.submit, ...)"
                )
            if admitted or (wait and self._wait_for_room(queue, reservation, options.timeout)):
                return self._add(queue, fn, args, kwargs, group, options, reservation)
            self._give_up(queue, reservation)
            return None
        except BaseException:
            with uninterrupted():
                self._give_up(queue, reservation)
                if reservation.task is not None:  # it was added, and the caller does not get it
                    reservation.task.cancel()
            raise

    def _wait_for_room(self, queue: QueueState, reservation: Reservation, timeout: float | None) -> bool:
        """Block until *reservation* has room, or the queue refuses tasks; return False after *timeout*."""
        warn = partial(self._core.warn_if_stalled, f"room in queue {queue.name}")
        return block(partial(acquire, reservation.blocker), timeout, warn)

    def _give_up(self, queue: QueueState, reservation: Reservation) -> None:
        """Release the room of *reservation*; do nothing if its task was added."""
        limit: Any = queue.pending_limit
        with self._core.exclusive():
            limit.give_up(reservation, queue.pending)

    def _add(
        self,
        queue: QueueState,
        fn: Any,
        args: Any,
        kwargs: Any,
        group: Group | None,
        options: Options,
        reservation: Reservation | None,
    ) -> Task[Any]:
        """Add a task of the kind that *options*, *reservation* and the queue ask for."""
        allocates = bool(options.resources or options.releases)
        name = options.name or (name_of(fn) if allocates else "")  # before *fn* is wrapped
        context = options.context
        if context is None and queue.copies_context:
            context = copy_context()
        if context is not None:
            fn = Within(context.run, fn)
        if queue.inline:
            fn = Within(interruptible, fn)
        make: Any = partial(_made, queue, options, reservation, name)
        if options is NO_OPTIONS and reservation is None and not queue.in_order:
            make = partial(new, keeping(Task)) if queue.remote_values else None
        elif options.after or allocates or reservation is not None or queue.in_order:
            # A special template makes `add` link the task to more than its arguments.
            args, kwargs = None, special(args, kwargs)
        return self._submission.add(queue, fn, args, kwargs, group, make)


def _made(queue: QueueState, options: Options, reservation: Reservation | None, name: str) -> Task[Any]:
    """Return a new task with *options*.  Only fields that differ from a plain task's are set."""
    task: Task[Any] = new(keeping(Task) if queue.remote_values else Task)
    if options is not NO_OPTIONS:
        task._name = options.name
        task._engine = options.engine
        task._after = options.after
        task._releases = options.releases
        if options.resources:
            task._allocation = Allocation(options.resources, options.hold, name)
    if reservation is not None:
        task._reservation = reservation
    return task


def _full(queue: QueueState) -> str:
    """Return the message that *queue* is full."""
    limit: Any = queue.pending_limit
    number: int = limit.limit
    return f"queue {queue.name!r} is full: {counted(number, 'pending task')}, max_pending={number}"


def _runs_event_loop() -> bool:
    """Return True if the calling thread is running an asyncio event loop."""
    events = sys.modules.get("asyncio.events")
    return events is not None and events._get_running_loop() is not None
