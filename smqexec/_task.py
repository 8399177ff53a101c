"""A submitted call and its future, in one slotted object.

A `Task` is the planner's node, the call that waits to be made and the future
that the caller holds.  A `threading.Condition` for each would cost more than
all the rest, so a task has none of its own: whoever waits for it or watches it
leaves a `Watch`, made under the scheduler's lock, and the thread that
completes the task looks under the same lock whether there is one.

``concurrent.futures.wait`` and ``as_completed`` hold the conditions of many
futures while they look at them, so a task whose watch has a condition changes
its state only under that condition.  Locks are taken in this order: a task's
condition, then the scheduler's lock.  A task that a failure or a cancellation
reached while the lock was held is DROPPED: it has ended, but for those two it
stays pending until its condition could be taken: see `Task._publish`.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Future
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, PENDING
from concurrent.futures._base import RUNNING as RUNNING_STATE
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from ._nodes import DONE, DROPPED, NEW, READY, RUNNING, WAITING, Node

if TYPE_CHECKING:
    from ._dispatch import Dispatcher
    from ._slots import Slots

R = TypeVar("R")

FAILED, CANCELLED = DROPPED + 1, DROPPED + 2

STATE_NAMES = {
    NEW: "new", WAITING: "waiting", READY: "ready", RUNNING: "running",
    DONE: "done", DROPPED: "ending", FAILED: "failed", CANCELLED: "cancelled",
}  # fmt: skip
_FUTURE_STATES = {RUNNING: RUNNING_STATE, DONE: FINISHED, FAILED: FINISHED, CANCELLED: CANCELLED_AND_NOTIFIED}

LOGGER = logging.getLogger("concurrent.futures")  # where users look for failing callbacks

# Guards the making of a condition for a task that is done and belongs to no
# scheduler any more.  Nothing else is done while it is held.
_done_lock = threading.Lock()


def _renew_done_lock() -> None:
    global _done_lock
    _done_lock = threading.Lock()  # another thread may have held it at the fork


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows can't fork
    os.register_at_fork(after_in_child=_renew_done_lock)


class Watch:
    """Who waits for a task.  Guarded by the scheduler's lock until the task is done."""

    __slots__ = ("blocked", "callbacks", "condition", "waiters")

    def __init__(self) -> None:
        self.blocked: list[Any] = []  # locks, each with a thread in result() behind it
        self.callbacks: list[Callable[[Any], object]] = []
        self.condition: threading.Condition | None = None  # for concurrent.futures.wait and its like
        self.waiters: list[Any] = []  # theirs, guarded by the condition

    def unblock(self) -> None:
        for blocker in self.blocked:
            blocker.release()


class Failure:
    """How a task failed.  `origin` is None for the task that raised, so that no cycle arises."""

    __slots__ = ("exception", "origin", "traceback")

    def __init__(
        self, exception: BaseException, traceback: TracebackType | None, origin: Future[Any] | None = None
    ) -> None:
        self.exception = exception
        self.traceback = traceback
        self.origin = origin


class Task(Node, Future[R]):
    """A submitted call: the future of its result, and an argument for later calls.

    Made by `Queue.submit`.  Everything a `concurrent.futures.Future` offers
    works, from any thread; in asyncio a task can be awaited on any running
    loop.  `set_result` and its like are the scheduler's alone.
    """

    __slots__ = ("_args", "_fn", "_kwargs", "_outcome", "_watch")

    # Reading `state`, `queue` and `_outcome` without the lock is sound, with or
    # without the GIL: each is one slot, read and written whole.  `_outcome` is
    # stored before `state` becomes DONE or leaves DROPPED, and `queue` becomes
    # None last.  A final state never changes.

    def __init__(self, fn: Callable[..., R], args: Any, kwargs: Any) -> None:
        # Neither base's __init__: this is the hottest line of a submit.
        self.state = NEW
        self.queue: Slots | None = None
        self.dependencies = ()
        self.dependents = None
        self.plan = None
        self.place = None
        self._fn: Any = fn
        self._args = args
        self._kwargs = kwargs
        self._outcome: Any = None
        self._watch: Watch | None = None

    # Asking.

    def done(self) -> bool:
        """Return True if the task was cancelled, failed or returned."""
        return self.state >= DONE

    def running(self) -> bool:
        """Return True while the call is being made."""
        return self.state == RUNNING

    def cancelled(self) -> bool:
        """Return True if the task was cancelled, itself or by a dependency of it."""
        return self._end() == CANCELLED

    @property
    def origin(self) -> Future[Any] | None:
        """The task whose exception this task failed with, perhaps itself; None if it has not failed."""
        if self._end() != FAILED:
            return None
        return self._outcome.origin or self

    def result(self, timeout: float | None = None) -> R:
        """Return what the call returned, waiting for it if need be.

        The exception of a call that failed, or of the dependency that did, is
        raised with its own traceback each time.

        Args:
            timeout: Seconds to wait at most; None for no limit.

        Raises:
            CancelledError: The task was cancelled.
            TimeoutError: It was not done in time.
        """
        if self.state != DONE and self._await_end(timeout) == FAILED:
            try:
                raise self._outcome.exception.with_traceback(self._outcome.traceback)
            finally:
                del self  # no cycle from the traceback to this frame and back
        return self._outcome  # type: ignore[no-any-return]

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the exception that the call, or a dependency of it, raised; None if it returned.

        Args:
            timeout: Seconds to wait at most; None for no limit.

        Raises:
            CancelledError: The task was cancelled.
            TimeoutError: It was not done in time.
        """
        if self._await_end(timeout) == FAILED:
            exception: BaseException = self._outcome.exception
            return exception
        return None

    def _await_end(self, timeout: float | None) -> int:
        """Wait until the task is done; return DONE or FAILED."""
        end = self._end()
        if end < DONE:
            slots = self.queue
            if slots is not None and not slots.scheduler.wait_for(self, timeout):
                raise TimeoutError()
            end = self._end()
        if end == CANCELLED:
            raise CancelledError()
        return end

    def _end(self) -> int:
        """The state, final for a task that is done.  The lock is not held."""
        state = self.state  # read once: it may be changing
        if state == DROPPED:
            slots = self.queue
            if slots is None:
                return self.state
            with slots.lock:  # which whoever drops it holds until the outcome is known
                return self._final()
        return state

    def _final(self) -> int:
        if self.state != DROPPED:
            return self.state
        return CANCELLED if self._outcome is None else FAILED

    def __await__(self) -> Generator[Any, None, R]:
        from asyncio import wrap_future  # here: importing asyncio costs more than all of smqexec

        return wrap_future(self).__await__()

    # Acting.

    def cancel(self) -> bool:
        """Cancel the task, and all that depend on it, unless it runs or is done.

        Returns:
            True if the task is now cancelled.
        """
        slots = self.queue
        if slots is not None:
            slots.scheduler.cancel(self)
        return self._end() == CANCELLED

    def promote(self) -> bool:
        """Make the task count as newly submitted: what it needs, then itself, go first.

        Under ``order="oldest"`` it and what it needs go before all others.

        Returns:
            False if the task is running or done; nothing changes then.
        """
        slots = self.queue
        return slots is not None and slots.scheduler.promote(self)

    def add_done_callback(self, fn: Callable[[Future[R]], object]) -> None:
        """Call ``fn(task)`` once the task is done, in the thread that ends it, or at once if it is done.

        What it raises is logged.
        """
        slots = self.queue
        if slots is not None:
            with slots.lock:
                if not self.done():
                    self._watched().callbacks.append(fn)
                    return
        self._call(fn)

    def _call(self, fn: Callable[[Future[R]], object]) -> None:
        try:
            fn(self)
        except BaseException:  # a thread that ends tasks must go on, whatever a callback does
            LOGGER.exception("exception calling callback for %r", self)

    # Ending.  Called by the scheduler.

    def _watched(self) -> Watch:
        """The watch of a task that is not done, made if need be.  The lock is held."""
        watch = self._watch
        if watch is None:
            watch = self._watch = Watch()
        return watch

    def _settle(self) -> None:
        """Give a dropped task its final state.  The lock is held, and its condition if it has one."""
        self.state = self._final()
        watch = self._watch
        if watch is not None and watch.condition is None:
            self._watch = None  # whoever comes now finds the task done
        self.queue = None  # last: from here on `_condition` may make a new watch

    def _drop_call(self) -> None:
        """Let go of the function and its arguments.  The lock is not held: that may run user code."""
        self._fn = self._args = self._kwargs = None
        self.dependencies = ()

    def _publish(self, watch: Watch, slots: Slots) -> None:
        """Tell concurrent.futures that a dropped task ended.  The lock is not held."""
        condition = watch.condition
        if condition is not None:
            with condition:
                with slots.lock:
                    self._settle()
                self._notify(watch)
                condition.notify_all()

    def _tell(self, watch: Watch) -> None:
        """Call the callbacks."""
        for fn in watch.callbacks:
            self._call(fn)

    def _notify(self, watch: Watch) -> None:
        for waiter in watch.waiters:
            if self.state == CANCELLED:
                waiter.add_cancelled(self)
            elif self.state == FAILED:
                waiter.add_exception(self)
            else:
                waiter.add_result(self)

    # What concurrent.futures reads of a future.

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]
        watch = self._watch
        if watch is None or watch.condition is None:
            slots = self.queue
            if slots is not None:
                with slots.lock:
                    if self.queue is not None:
                        return self._with_condition()
            with _done_lock:
                return self._with_condition()
        return watch.condition

    def _with_condition(self) -> threading.Condition:
        watch = self._watched()
        if watch.condition is None:
            watch.condition = threading.Condition()
        return watch.condition

    @property
    def _waiters(self) -> list[Any]:  # type: ignore[override]
        self._condition  # noqa: B018 - makes the watch
        assert self._watch is not None
        return self._watch.waiters

    @property
    def _state(self) -> str:  # type: ignore[override]
        return _FUTURE_STATES.get(self.state, PENDING)

    def set_running_or_notify_cancel(self) -> bool:
        """Raise RuntimeError: the scheduler alone runs a task."""
        raise RuntimeError(f"{self!r} is run by its scheduler alone")

    def set_result(self, result: R) -> None:
        """Raise RuntimeError: the scheduler alone ends a task."""
        raise RuntimeError(
            f"{self!r} is ended by its scheduler alone; use a concurrent.futures.Future of your own"
        )

    def set_exception(self, exception: BaseException | None) -> None:
        """Raise RuntimeError: the scheduler alone ends a task."""
        self.set_result(exception)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        state, outcome, slots, fn = self.state, self._outcome, self.queue, self._fn
        words = [f"<{type(self).__name__} at {id(self):#x}"]
        if fn is not None:
            words.append(name_of(fn))
        words.append(f"state={STATE_NAMES[state]}")
        if state == DONE:
            words.append(f"returned {type(outcome).__name__}")
        elif state == FAILED:
            words.append(f"raised {type(outcome.exception).__name__}")
        elif slots is not None:
            words.append(f"queue={slots.name}")
        return " ".join(words) + ">"


def name_of(fn: Any) -> str:
    """A short name for a callable, safe for any object."""
    try:
        name = getattr(fn, "__qualname__", None)
    except Exception:
        name = None
    return name if isinstance(name, str) else type(fn).__qualname__


class Settled(Node):
    """A relay that is done when the one task it depends on has ended, in whatever way."""

    __slots__ = ()
    tolerant = True


class Foreign(Node):
    """A relay for a future of another executor.

    That future keeps the relay, as a part of its callback, perhaps for long.
    So the relay keeps neither the future nor, once it has ended, the scheduler.
    """

    __slots__ = ("scheduler", "settled")

    def __init__(self, scheduler: Dispatcher, settled: bool) -> None:
        super().__init__()
        self.scheduler: Dispatcher | None = scheduler
        self.settled = settled

    def future_done(self, future: Future[Any]) -> None:
        """The callback."""
        scheduler = self.scheduler
        if scheduler is not None:
            scheduler.foreign_done(self, future)
