"""Admit calls with options, and all calls to queues with rules: a pending limit, an order, contexts, inline.

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
from .._calls.callables import Within, name_of
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


class Admission:
    """The part of a scheduler that applies options and the rules of queues."""

    def __init__(self, core: State, submission: Submission) -> None:
        # Constant: the state; the part that adds tasks.
        self._core = core
        self._submission = submission

    def add(
        self,
        queue: QueueState,
        fn: Any,
        args: Any,
        form: Any,
        group: Group | None = None,
        options: Options = NO_OPTIONS,
        wait: bool = True,
    ) -> Task[Any] | None:
        """Do what `Submission.add` does, with *options*, once the queue has room; return None if not *wait*.

        A thread of this scheduler needs no room: other tasks may need the task that it runs.

        Raises:
            TimeoutError: There was no room within the timeout of *options*.
            RuntimeError: As by `Submission.add`; or the wait would block the event loop of this thread.
        """
        worker = CURRENT.worker
        limited = queue.pending_limit is not None and (
            worker is None or worker.queue.scheduler is not self._core
        )
        submits_inline, CURRENT.submits_inline = CURRENT.submits_inline, queue.inline
        try:
            if limited:
                return self._add_limited(queue, fn, args, form, group, options, wait)
            fn, args, form, task = _prepared(queue, fn, args, form, options, None)
            return self._submission.add(queue, fn, args, form, group, task)
        finally:
            CURRENT.submits_inline = submits_inline

    def _add_limited(
        self,
        queue: QueueState,
        fn: Any,
        args: Any,
        form: Any,
        group: Group | None,
        options: Options,
        wait: bool,
    ) -> Task[Any] | None:
        """Do what `add` does, with a reservation."""
        reservation = Reservation()
        limit: Any = queue.pending_limit
        try:
            # Ctrl-C comes while the thread waits for room, or at the end: so it leaves no reservation behind.
            with uninterrupted():
                try:
                    if not self._reserve(reservation, queue, wait, options.timeout):
                        return None
                    fn, args, form, task = _prepared(queue, fn, args, form, options, reservation)
                    return self._submission.add(queue, fn, args, form, group, task)
                except BaseException:
                    with self._core.exclusive():
                        limit.give_up(reservation, queue.pending)
                    raise
        except BaseException:
            if reservation.task is not None:
                reservation.task.cancel()  # the caller does not get it
            raise

    def _reserve(
        self, reservation: Reservation, queue: QueueState, wait: bool, timeout: float | None
    ) -> bool:
        """Reserve room in *queue* and return True; without room, block if *wait*, or else return False."""
        limit: Any = queue.pending_limit
        with self._core.exclusive():
            # A queue that refuses tasks needs no room: `Submission.add` raises.
            if queue.refusal is not None or limit.reserve(reservation, queue.pending, wait):
                return True
        if not wait:
            return False
        number: int = limit.limit
        full = f"queue {queue.name!r} is full: {counted(number, 'pending task')}, max_pending={number}"
        if timeout != 0 and _runs_event_loop():
            raise RuntimeError(
                f"{full}; submit() would block the event loop of this thread: "
                "use try_submit(), or await asyncio.to_thread(queue.submit, ...)"
            )
        warn = partial(self._core.warn_if_stalled, f"room in queue {queue.name}")
        if not interruptible(block, partial(acquire, reservation.blocker), timeout, warn):
            raise TimeoutError(full)
        return True


def _prepared(
    queue: QueueState, fn: Any, args: Any, form: Any, options: Options, reservation: Reservation | None
) -> tuple[Any, Any, Any, Task[Any]]:
    """Return the function, the arguments, their form and the new task that `Submission.add` gets."""
    # Only fields that differ from those of a plain task are set: each needs memory.
    task: Task[Any] = new(keeping(Task) if queue.remote_values else Task)
    if options is not NO_OPTIONS:
        task._name = options.name
        task._engine = options.engine
        task._after = options.after
        task._releases = options.releases
        if options.resources:
            task._allocation = Allocation(options.resources, options.hold, options.name or name_of(fn))
    if reservation is not None:
        task._reservation = reservation
    if options.after or options.resources or options.releases or reservation is not None or queue.in_order:
        # A special template makes `Submission` link the task to more than its arguments.
        args, form = (), special(args, form)
    context = options.context
    if context is None and queue.copies_context:
        context = copy_context()
    if context is not None:
        fn = Within(context.run, fn)
    if queue.inline:
        fn = Within(interruptible, fn)
    return fn, args, form, task


def _runs_event_loop() -> bool:
    """Return True if the calling thread is running an asyncio event loop."""
    events = sys.modules.get("asyncio.events")
    return events is not None and events._get_running_loop() is not None
