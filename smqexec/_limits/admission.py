"""A task is submitted with options, or to a queue with rules: pending limit, submission order, contexts."""

from __future__ import annotations

from contextvars import copy_context
from functools import partial
from typing import Any

from .._calls.arguments import Template, templated
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
from .options import NO_OPTIONS, Options, OptionsTask
from .pending_limit import PendingLimit, Reservation
from .resources import Allocation

for _frame in (interruptible, uninterrupted.lifted):
    ours(_frame)


class Admission:
    """How a scheduler heeds options, and the rules of queues."""

    def __init__(self, core: State, submission: Submission) -> None:
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
        """Do what `add` does, with *options*, and for a queue with rules of its own.

        Where that has no room, it blocks until there is; but never a thread of
        this scheduler, which goes through: others may wait for what it is at.

        Raises:
            TimeoutError: There was no room in the time that *options* give.
            RuntimeError: As by `add`.
        """
        lent, CURRENT.lent = CURRENT.lent, queue.inline
        try:
            task = self.try_add(queue, fn, args, kwargs, group, options, True)
        finally:
            CURRENT.lent = lent
        if task is None:
            pending_limit: Any = queue.pending_limit
            limit: int = pending_limit.limit
            count = f"{limit} pending task{'s' * (limit != 1)}"
            raise TimeoutError(f"queue {queue.name!r} is full: {count}, max_pending={limit}")
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
        """Do what `add_with` does; None where there is no room, or was none in time if it is to *wait*."""
        limit: Any = queue.pending_limit
        if limit is None:
            return self._add_with(queue, fn, args, kwargs, group, options, None)
        worker = CURRENT.worker
        if worker is not None and worker.queue.scheduler is self._core:
            return self._add_with(queue, fn, args, kwargs, group, options, None)
        reservation = Reservation()
        try:
            with self._core.exclusive():
                refused = queue.closed or queue.broken or self._core.exiting or self._core._abandoned
                admitted = bool(refused) or limit.reserve(reservation, queue.pending, wait)
            if admitted or (wait and self._wait_for_room(queue, reservation, options.timeout)):
                return self._add_with(queue, fn, args, kwargs, group, options, reservation)
            self._give_up_reservation(queue, limit, reservation)
            return None
        except BaseException:
            with uninterrupted():
                self._give_up_reservation(queue, limit, reservation)
                if reservation.task is not None:  # its caller will never know of it
                    reservation.task.cancel()
            raise

    def _wait_for_room(self, queue: QueueState, reservation: Reservation, timeout: float | None) -> bool:
        told = partial(self._core.warn_if_stalled, f"room in queue {queue.name}")
        return block(partial(acquire, reservation.blocker), timeout, told)

    def _give_up_reservation(self, queue: QueueState, limit: PendingLimit, reservation: Reservation) -> None:
        with self._core.exclusive():
            limit.give_up(reservation, queue.pending)

    def _add_with(
        self,
        queue: QueueState,
        fn: Any,
        args: Any,
        kwargs: Any,
        group: Group | None,
        options: Options,
        reservation: Reservation | None,
    ) -> Task[Any]:
        add = self._submission.add
        lent = bool(options.resources or options.releases)
        name = options.name or (name_of(fn) if lent else "")
        context = options.context
        if context is None and queue.copies_context:
            context = copy_context()
        if context is not None:
            fn = Within(context.run, fn)
        if queue.inline:
            fn = Within(interruptible, fn)
        if queue.in_order:
            group = None  # the first goes first anyhow
        elif not (options.after or lent) and reservation is None:
            if options is NO_OPTIONS:
                make = partial(new, keeping(Task)) if queue.keeps else None
                return add(queue, fn, args, kwargs, group, make)
            return add(queue, fn, args, kwargs, group, partial(_made, queue, options, None, name))
        if type(kwargs) is not Template:
            args, kwargs = None, templated(args, kwargs)
        return add(queue, fn, args, kwargs, group, partial(_made, queue, options, reservation, name))


def _made(queue: QueueState, options: Options, reservation: Reservation | None, name: str) -> Task[Any]:
    task: OptionsTask[Any] = new(keeping(OptionsTask) if queue.keeps else OptionsTask)
    task._options = None if options is NO_OPTIONS else options.kept or options
    task._after = options.after
    task._barrier = None
    task._reservation = reservation
    task._releases = options.releases
    task._allocation = Allocation(options.resources, options.hold, name) if options.resources else None
    return task
