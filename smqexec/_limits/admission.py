"""Admission of calls with options, and of all calls to queues with rules (pending limit, order, contexts).

A call passes three gates.  First the pending limit: the calling thread may block, with no lock held.
Then the options decide which kind of task is made.  At last `Submission.add` adds the task.
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
from .._core.shared import State
from .._core.state import CURRENT, QueueState
from .._core.submission import Submission
from .._futures.future import new
from .._futures.remote_value import keeping
from .._futures.task import Task
from .._planner import Group
from .options import NO_OPTIONS, Options
from .pending_limit import Reservation
from .resources import Allocation

for _frame in (interruptible, uninterrupted.lifted):
    ours(_frame)


class Admission:
    """How a scheduler applies options, and the rules of queues."""

    def __init__(self, core: State, submission: Submission) -> None:
        self._core = core  # set once
        self._submission = submission  # adds the tasks; set once

    def add_with(
        self,
        queue: QueueState,
        fn: Any,
        args: Any,
        kwargs: Any,
        group: Group | None,
        options: Options = NO_OPTIONS,
    ) -> Task[Any]:
        """Do what `Submission.add` does, with *options*, after waiting for room in the queue.

        A thread of this scheduler never waits: other tasks may need the task that it runs.

        Raises:
            TimeoutError: There was no room in the time that *options* give.
            RuntimeError: As by `add`; or the wait would block the event loop that this thread runs.
        """
        lent, CURRENT.lent = CURRENT.lent, queue.inline
        try:
            task = self.try_add(queue, fn, args, kwargs, group, options, True)
        finally:
            CURRENT.lent = lent
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
        """Do what `add_with` does; return None if there is no room, or, with *wait*, was none in time."""
        limit: Any = queue.pending_limit
        worker = CURRENT.worker
        if limit is None or (worker is not None and worker.queue.scheduler is self._core):
            return self._add(queue, fn, args, kwargs, group, options, None)
        blocks_loop = wait and options.timeout != 0 and _runs_event_loop()
        reservation = Reservation()
        try:
            with self._core.exclusive():
                refused = queue.closed or queue.broken or self._core.exiting or self._core._abandoned
                admitted = bool(refused) or limit.reserve(reservation, queue.pending, wait)
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
                if reservation.task is not None:  # the caller will never get it
                    reservation.task.cancel()
            raise

    def _wait_for_room(self, queue: QueueState, reservation: Reservation, timeout: float | None) -> bool:
        warn = partial(self._core.warn_if_stalled, f"room in queue {queue.name}")
        return block(partial(acquire, reservation.blocker), timeout, warn)

    def _give_up(self, queue: QueueState, reservation: Reservation) -> None:
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
        allocates = bool(options.resources or options.releases)
        name = options.name or (name_of(fn) if allocates else "")  # of *fn* before it is wrapped
        context = options.context
        if context is None and queue.copies_context:
            context = copy_context()
        if context is not None:
            fn = Within(context.run, fn)
        if queue.inline:
            fn = Within(interruptible, fn)
        make: Any = partial(_made, queue, options, reservation, name)
        if options is NO_OPTIONS and reservation is None and not queue.in_order:
            make = partial(new, keeping(Task)) if queue.keeps else None
        elif options.after or allocates or reservation is not None or queue.in_order:
            # More than arguments is to be linked.
            args, kwargs = None, special(args, kwargs)
        return self._submission.add(queue, fn, args, kwargs, group, make)


def _made(queue: QueueState, options: Options, reservation: Reservation | None, name: str) -> Task[Any]:
    """Return a new task with *options*.  What differs from a plain task is in its own dictionary."""
    task: Task[Any] = new(keeping(Task) if queue.keeps else Task)
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
    limit: Any = queue.pending_limit
    number: int = limit.limit
    return f"queue {queue.name!r} is full: {number} pending task{'s' * (number != 1)}, max_pending={number}"


def _runs_event_loop() -> bool:
    """Return True if the calling thread runs an asyncio event loop just now."""
    events = sys.modules.get("asyncio.events")
    return events is not None and events._get_running_loop() is not None
