"""The base of tasks and items: a future that its scheduler ends.

A `PlannedFuture` is the planner's node and a future in one slotted object.  A `threading.Condition`
for each would cost more than all the rest, so it has none: threads that wait for the task, and
callbacks, are in an `AtEnd`, made under the scheduler's lock.  The thread that ends the task looks
under the same lock whether there is one.

The outcome is stored first, then the stage, both under that lock.  After the lock come threads that
wait in ``result``, then waiters of ``concurrent.futures`` (see ``conditions``), then callbacks.

`_stage`, `_home` and `_outcome` may be read without the lock, with or without the GIL: each is one
slot, read and written whole.  `_outcome` is stored before `_stage` becomes final, and `_home` becomes
None last.  A final stage never changes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Future
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, PENDING
from concurrent.futures._base import RUNNING as RUNNING_STATE
from threading import Thread, get_ident
from time import monotonic
from types import TracebackType
from typing import Any, ClassVar, Never, TypeVar

from typing_extensions import override

from .._calls.interrupts import uninterrupted, unmasked
from .._planner import DONE, DROPPED, NEW, READY, RUNNING, WAITING, Node
from .at_end import AtEnd, Relay
from .conditions import ENDED, Condition
from .owner import Home
from .remote_value import Kept, Snapshot, brought, snapshot

R = TypeVar("R")

FAILED, CANCELLED = DROPPED + 1, DROPPED + 2

STATE_NAMES = {
    NEW: "new", WAITING: "waiting", READY: "ready", RUNNING: "running",
    DONE: "done", FAILED: "failed", CANCELLED: "cancelled",
}  # fmt: skip
_FUTURE_STATES = {RUNNING: RUNNING_STATE, DONE: FINISHED, FAILED: FINISHED, CANCELLED: CANCELLED_AND_NOTIFIED}

LOGGER = logging.getLogger("concurrent.futures")  # where users look for failing callbacks


class Failure:
    """How a task failed: the outcome of a task that did."""

    __slots__ = ("exception", "origin", "seen", "traceback")

    def __init__(
        self, exception: BaseException, traceback: TracebackType | None, origin: Future[Any] | None = None
    ) -> None:
        self.exception = exception
        self.traceback = traceback
        self.origin = origin  # the task that raised; None if this one did, so that no cycle arises
        self.seen: Callable[[], object] | None = None  # under debug=True: called as the exception is read

    def of(self, origin: Future[Any]) -> Failure:
        """Return the failure of a dependent: *origin* raised, unless that failed by a dependency itself."""
        other = Failure(self.exception, self.traceback, self.origin or origin)
        other.seen = self.seen
        return other


#: Makes a task or item without a call of ``__init__``, which takes 0.1 µs: the caller sets all fields.
new: Any = object.__new__


class PlannedFuture(Node, Future[R]):
    """A future that a scheduler ends: a `Task`, or an `Item` of one."""

    __slots__ = ("_at_end", "_outcome")

    #: The name of its class in a repr.
    _kind: ClassVar[str]

    #: The queue whose scheduler ends it; None once it is done.  Of a task it is the planner's `_queue`.
    _home: Home | None
    #: Once it is done: the result, a `Failure`, or None if it was cancelled.
    _outcome: Any
    #: None if nothing is special about its end.
    _at_end: AtEnd | None

    # Asking.

    @override
    def done(self) -> bool:
        """Return True if the task was cancelled, failed or returned."""
        return self._stage >= DONE

    @override
    def running(self) -> bool:
        """Return True while the call is being made."""
        return self._stage == RUNNING

    @override
    def cancelled(self) -> bool:
        """Return True if the task was cancelled, itself or by a dependency of it."""
        return self._stage == CANCELLED

    @property
    def origin(self) -> Future[Any] | None:
        """The task whose exception this task failed with, perhaps itself; None if it has not failed."""
        if self._stage != FAILED:
            return None
        return self._outcome.origin or self

    @override
    def result(self, timeout: float | None = None) -> R:
        """Return what the call returned, waiting for it if need be.

        The exception of a call that failed, or of the dependency that did, is raised with its own
        traceback each time.  A value that is kept elsewhere is brought here.

        Args:
            timeout: Seconds to wait at most; None for no limit.

        Raises:
            CancelledError: The task was cancelled.
            TimeoutError: It was not done in time.
            Exception: The value could not be brought here.
        """
        if self._stage == DONE and type(self._outcome) is not Kept:
            return self._outcome  # type: ignore[no-any-return]
        end = None if timeout is None else monotonic() + timeout
        outcome: Any = None
        try:
            failed = self._await_end(timeout) == FAILED
            outcome = self._outcome
            if failed:
                raise BaseException.with_traceback(outcome.exception, outcome.traceback)
            return outcome.result(end) if type(outcome) is Kept else outcome  # type: ignore[no-any-return]
        finally:
            outcome = None
            del self  # no cycle from the traceback to this frame and back

    @override
    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the exception that the call, or a dependency of it, raised; None if it returned.

        A value that is kept elsewhere stays there.

        Args:
            timeout: Seconds to wait at most; None for no limit.

        Raises:
            CancelledError: The task was cancelled.
            TimeoutError: It was not done in time.
        """
        end = None if timeout is None else monotonic() + timeout
        failed = self._await_end(timeout) == FAILED
        outcome = self._outcome
        if failed:
            return outcome.exception  # type: ignore[no-any-return]
        return outcome.exception(end) if type(outcome) is Kept else None

    def _await_end(self, timeout: float | None) -> int:
        """Wait until the task is done; return DONE or FAILED."""
        end = self._stage
        if end < DONE:
            queue = self._home
            if queue is not None and not queue.scheduler.waiting.wait_for(self, timeout):
                raise TimeoutError()
            end = self._stage
        if end == CANCELLED:
            raise CancelledError()
        if end == FAILED and self._outcome.seen is not None:
            self._outcome.seen()
        return end

    def why(self) -> str:
        """One sentence on why it has not started, or not ended, as things stand; or on how it ended.

        For a person: words may change.

        Cost: a step for each task between it and what all those wait for; where it is ready and others
        come first, a step for each pending task, up to some 10 ms, during which no task starts or ends.
        """
        queue = self._home
        cause = None if queue is None else queue.scheduler.why_of(self)
        if cause is not None:
            return cause
        end = self._stage
        if end == CANCELLED:
            return "cancelled"
        if end == FAILED:
            kind, origin = type(self._outcome.exception).__name__, self._outcome.origin
            return f"failed: raised {kind}" if origin is None else f"failed: needs {origin!r}"
        return f"done: returned {type(self._outcome).__name__}"

    def __await__(self) -> Generator[Any, None, R]:
        from asyncio import wrap_future  # here: importing asyncio costs more than all of smqexec

        return wrap_future(self).__await__()

    # Acting.

    @override
    def cancel(self, dependencies: bool = False) -> bool:
        """Cancel it, and all that depends on it, unless it runs or is done.

        A running task is asked to end: `checkpoint` raises CancelledError in
        it, and a generator task is closed at its next value.

        Args:
            dependencies: If it was pending, also cancel each task that it
                depends on and that nothing else needs, and the dependencies
                of those in turn.  A running one is asked to end.  A task is
                needed if another pending task depends on it, a thread waits
                for it or it has a callback; that the caller holds the future
                is no need.  An item whose value is not there leads to its
                task; that is needed if one of its other items is.

        Returns:
            True if it is now cancelled.
        """
        queue = self._home
        if queue is not None:
            queue.scheduler.termination.cancel(self, dependencies)
        return self._stage == CANCELLED

    @override
    def add_done_callback(self, fn: Callable[[Future[R]], object]) -> None:
        """Call ``fn(task)`` once the task is done, in the thread that ends it, or at once if it is done.

        An exception of *fn* is logged; but if *fn* is called at once, what is no `Exception`, such as
        Ctrl-C, goes to the caller.
        """
        queue = self._home
        if queue is not None and queue.scheduler.deferred(self.add_done_callback, fn):
            return
        if not self._before_end(lambda at_end: at_end.callbacks.append(fn)):
            self._call(fn, Exception)

    def _add_relay(self, relay: Relay) -> None:
        """Call ``relay.future_done`` once the task is done, or at once if it is done."""

        def add(at_end: AtEnd) -> None:
            at_end.relays += (relay,)

        if not self._before_end(add):
            relay.future_done(self)

    def _before_end(self, change: Callable[[AtEnd], object]) -> bool:
        """Make *change* under the lock; return False, and make none, if the task has ended."""
        queue = self._home
        if queue is not None:
            with queue.scheduler.exclusive():
                if self._stage < DONE:
                    change(self._get_at_end())
                    return True
        return False

    def _call(self, fn: Callable[[Future[R]], object], borne: type[BaseException]) -> None:
        """Call *fn*, a callback or a method of a waiter; log an exception of type *borne*."""
        try:
            self._deliver(fn)
        except borne:
            LOGGER.exception("exception calling callback for %r", self)

    def _deliver(self, fn: Callable[[Future[R]], object]) -> None:
        if type(self._outcome) is Kept and getattr(fn, "__module__", None) == "asyncio.futures":
            # It reads the value in the thread of its loop, which must not wait for that.
            Thread(target=self._bring_and_deliver, args=(fn,), daemon=True).start()
        else:
            fn(self)

    def _bring_and_deliver(self, fn: Callable[[Future[R]], object]) -> None:
        try:
            fn(brought(self))
        except BaseException:
            LOGGER.exception("exception calling callback for %r", self)

    # Ending.  Called by the scheduler.

    def _get_at_end(self) -> AtEnd:
        """Return the record of the end of a task that is not done, made if need be.  The lock is held."""
        at_end = self._at_end
        if at_end is None:
            at_end = self._at_end = AtEnd()
        return at_end

    def _end(self, fate: Failure | None) -> None:
        """Fail as *fate* says; None: be cancelled.  The lock is held."""
        self._outcome = fate
        self._stage = CANCELLED if fate is None else FAILED

    def _leave(self, at_end: AtEnd | None) -> None:
        """Release the scheduler, and *at_end*, which the caller has.  It has ended; the lock is held."""
        if at_end is not None:
            # A thread that has the condition goes on as before.
            self._at_end = AtEnd(at_end.holders) if at_end.holders else None
        self._home = None  # last: with no home, all else is final

    def _producer(self) -> Any:
        """Return the task that has to run for it."""
        raise NotImplementedError

    def _release(self) -> None:
        """Release the call.  The lock is not held: that may run user code."""
        raise NotImplementedError

    def _wake_waiters(self, at_end: AtEnd) -> None:
        """Wake all that wait for it: it has ended.  The lock is not held."""
        for lock in at_end.locks:
            lock.release()
        for waiter in at_end.waiters:
            self._notify(waiter)

    def _notify(self, waiter: Any) -> None:
        if self._stage == CANCELLED:
            self._call(waiter.add_cancelled, BaseException)
        else:
            self._call(waiter.add_exception if self._stage == FAILED else waiter.add_result, BaseException)

    def _call_callbacks(self, at_end: AtEnd) -> None:
        """Call the callbacks.  The lock is not held."""
        calls = at_end.calls()
        if not calls:
            return
        with uninterrupted() as guard:  # if Ctrl-C strikes in one, the others are called all the same
            for fn in calls:
                try:
                    unmasked(self._deliver, fn)
                except BaseException as error:  # a thread that ends tasks must go on
                    if not guard.keeps(error):
                        LOGGER.exception("exception calling callback for %r", self)

    # Attributes that concurrent.futures reads.

    @property
    def _condition(self) -> Any:  # type: ignore[override]
        return ENDED if self._stage >= DONE and self._at_end is None else Condition(self)

    _waiters: Any = _condition

    def _is_frozen(self) -> bool:
        """Return True if the calling thread took the condition before the end."""
        at_end = self._at_end
        return at_end is not None and get_ident() in at_end.holders

    @property
    @override
    def _state(self) -> str:  # type: ignore[override]
        stage = self._stage
        if stage >= DONE and self._at_end is not None and self._is_frozen():
            return PENDING
        return _FUTURE_STATES.get(stage, PENDING)

    def _get_snapshot(self) -> Snapshot:
        """Return what asyncio of Python 3.15 reads, once the future is done."""
        stage = self._stage
        if stage == FAILED or type(self._outcome) is Kept:
            return snapshot(self)
        return stage >= DONE, stage == CANCELLED, self._outcome if stage == DONE else None, None

    @override
    def set_running_or_notify_cancel(self) -> bool:
        """Raise RuntimeError: the scheduler alone runs a task."""
        raise RuntimeError(f"{self!r} is run by its scheduler alone")

    @override
    def set_result(self, result: R) -> None:
        """Raise RuntimeError: the scheduler alone ends a task."""
        raise RuntimeError(
            f"{self!r} is ended by its scheduler alone; use a concurrent.futures.Future of your own"
        )

    @override
    def set_exception(self, exception: BaseException | None) -> None:
        """Raise RuntimeError: the scheduler alone ends a task."""
        self.set_result(exception)  # type: ignore[arg-type]

    def __reduce__(self) -> Never:
        """Raise TypeError, as other futures do: a scheduler would not end the copy."""
        raise TypeError(f"{self!r} can't be copied or pickled; take its result()")

    def _words(self) -> list[str]:
        """Return its name in a repr."""
        raise NotImplementedError

    def __repr__(self) -> str:
        state, outcome, queue = self._stage, self._outcome, self._home
        words = [f"<{self._kind} at {id(self):#x}"]
        words.extend(self._words())
        words.append(f"state={STATE_NAMES[state]}")
        if state == DONE:
            words.append(f"returned {type(outcome).__name__}")
        elif state == FAILED:
            words.append(f"raised {type(outcome.exception).__name__}")
        elif queue is not None:
            words.append(f"queue={queue.name}")
        return " ".join(words) + ">"
