"""What waits, watches and ends: the Future protocol of whatever the scheduler ends.

A `PlannedFuture` is the planner's node and a future in one slotted object.  A
`threading.Condition` for each would cost more than all the rest, so it has none
of its own: whoever waits for it or watches it leaves a `Watch`, made under the
scheduler's lock, and the thread that completes it looks under the same lock
whether there is one.

What ends stores its outcome first and then its state, both under that lock, and
tells after it: locks of those who wait in ``result``, then waiters of
``concurrent.futures`` (see ``_conditions``), then callbacks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Future
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, PENDING
from concurrent.futures._base import RUNNING as RUNNING_STATE
from threading import get_ident
from time import monotonic
from types import TracebackType
from typing import Any, ClassVar, Never, Protocol, TypeAlias, TypeVar

from typing_extensions import override

from .._calls.interrupts import uninterrupted, unmasked
from .._planner import DONE, DROPPED, NEW, READY, RUNNING, WAITING, Node
from .conditions import ENDED, View
from .owner import Home

R = TypeVar("R")

Snapshot: TypeAlias = tuple[bool, bool, Any, BaseException | None]  # done, cancelled, result, exception

FAILED, CANCELLED = DROPPED + 1, DROPPED + 2

STATE_NAMES = {
    NEW: "new", WAITING: "waiting", READY: "ready", RUNNING: "running",
    DONE: "done", FAILED: "failed", CANCELLED: "cancelled",
}  # fmt: skip
_FUTURE_STATES = {RUNNING: RUNNING_STATE, DONE: FINISHED, FAILED: FINISHED, CANCELLED: CANCELLED_AND_NOTIFIED}

LOGGER = logging.getLogger("concurrent.futures")  # where users look for failing callbacks


class Relay(Protocol):
    """What a task of another scheduler depends on in place of this future."""

    scheduler: Any  # None: nothing depends on it any more

    def future_done(self, future: Any, /) -> None: ...


class Watch:
    """What is special about the end of a task.  Guarded by the scheduler's lock until the task is done."""

    __slots__ = ("asked", "blocked", "callbacks", "holders", "hooks", "items", "relays", "waiters")

    def __init__(self) -> None:
        self.asked = False  # somebody called cancel() while it was running
        self.blocked: list[Any] = []  # locks, each with a thread in result() behind it
        self.callbacks: list[Callable[[Any], object]] = []  # the user's
        # Called with the task, under the lock, as the task ends.  A hook calls no user code, and returns the
        # nodes that became ready.
        self.hooks: tuple[Callable[[Any], list[Any]], ...] = ()
        # Called with the task as the user's are, before these: what fills in its items.
        self.items: tuple[Callable[[Any], object], ...] = ()
        self.relays: tuple[Relay, ...] = ()
        # For concurrent.futures.wait and its like (see ``_conditions``): the threads that took the
        # condition before the end, and how often; each changes its own entry, also after the end.
        self.holders: dict[int, int] = {}
        self.waiters: list[Any] = []  # theirs

    def run_hooks(self, task: Any) -> list[Any]:
        """Run the hooks of *task*, which has just ended; return the nodes that became ready.  Locked."""
        hooks, self.hooks = self.hooks, ()
        freed: list[Any] = []
        for hook in hooks:
            freed += hook(task)
        return freed

    def rest(self) -> Watch | None:
        """What the task still needs of it when it has ended: who holds the condition goes on as before."""
        if not self.holders:
            return None
        watch = Watch()
        watch.holders = self.holders
        return watch

    def calls(self) -> list[Callable[[Any], object]]:
        """What is called with the task after the lock, in this order."""
        return [*self.items, *(relay.future_done for relay in self.relays), *self.callbacks]

    def is_needed(self) -> bool:
        """Whether somebody waits for the task, is to be told of its end, or needs it in another scheduler."""
        needed = any(relay.scheduler is not None for relay in self.relays)
        return needed or bool(self.blocked or self.waiters or self.callbacks)

    def unblock(self) -> None:
        for blocker in self.blocked:
            blocker.release()


class Failure:
    """How a task failed.  `origin` is None for the task that raised, so that no cycle arises."""

    __slots__ = ("exception", "origin", "seen", "traceback")

    def __init__(
        self, exception: BaseException, traceback: TracebackType | None, origin: Future[Any] | None = None
    ) -> None:
        self.exception = exception
        self.traceback = traceback
        self.origin = origin
        self.seen: Callable[[], object] | None = None  # with debug=True: to be called when somebody looks

    def of(self, origin: Future[Any]) -> Failure:
        """The same failure, of what fails with it: *origin* raised, unless that failed with it itself."""
        other = Failure(self.exception, self.traceback, self.origin or origin)
        other.seen = self.seen
        return other


#: Makes a future of one of the classes here.  They can't be called; and calling an ``__init__`` in Python
#: would take 0.1 µs, as long as all that it would do: who makes a future sets its fields.
new: Any = object.__new__


class PlannedFuture(Node, Future[R]):
    """A future that a scheduler ends: a `Task`, or an `Item` of one."""

    __slots__ = ("_outcome", "_watch")

    #: What to call its kind in a repr.
    _kind: ClassVar[str]

    # Reading `_stage`, `_home` and `_outcome` without the lock is sound, with or
    # without the GIL: each is one slot, read and written whole.  `_outcome` is
    # stored before `_stage` becomes final, and `_home` becomes None last.  A final
    # state never changes.

    #: The queue whose scheduler ends it; None once it is done.
    _home: Home | None
    _outcome: Any  # once it is done: the result, a `Failure`, or None where it was cancelled
    _watch: Watch | None

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

        The exception of a call that failed, or of the dependency that did, is
        raised with its own traceback each time.

        Args:
            timeout: Seconds to wait at most; None for no limit.

        Raises:
            CancelledError: The task was cancelled.
            TimeoutError: It was not done in time.
        """
        if self._stage == DONE:
            return self._outcome  # type: ignore[no-any-return]
        end = None if timeout is None else monotonic() + timeout
        try:
            if self._await_end(timeout) == FAILED:
                raise BaseException.with_traceback(self._outcome.exception, self._outcome.traceback)
            return self._value(end)
        finally:
            del self  # no cycle from the traceback to this frame and back

    def _value(self, end: float | None) -> R:
        """The value of a task that has returned, to be there by *end* on the monotonic clock."""
        return self._outcome  # type: ignore[no-any-return]

    @override
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

        What it raises is logged; but where it is called at once, what is no `Exception` goes to
        the caller, such as Ctrl-C.
        """
        queue = self._home
        if queue is not None:
            if queue.scheduler.deferred(self.add_done_callback, fn):
                return
            with queue.scheduler.exclusive():
                if not self.done():
                    self._watched().callbacks.append(fn)
                    return
        self._call(fn, Exception)

    def _add_relay(self, relay: Relay) -> None:
        """Tell *relay* once the task is done, or at once if it is done."""
        queue = self._home
        if queue is not None:
            with queue.scheduler.exclusive():
                if not self.done():
                    self._watched().relays += (relay,)
                    return
        relay.future_done(self)

    def _call(self, fn: Callable[[Future[R]], object], borne: type[BaseException]) -> None:
        try:
            self._deliver(fn)
        except borne:
            LOGGER.exception("exception calling callback for %r", self)

    def _deliver(self, fn: Callable[[Future[R]], object]) -> None:
        """Call ``fn(self)``: *fn* is a callback, or a waiter's method."""
        fn(self)

    # Ending.  Called by the scheduler.

    def _watched(self) -> Watch:
        """The watch of a task that is not done, made if need be.  The lock is held."""
        watch = self._watch
        if watch is None:
            watch = self._watch = Watch()
        return watch

    def _end(self, fate: Failure | None) -> None:
        """Fail as *fate* says; None: be cancelled.  The lock is held."""
        self._outcome = fate
        self._stage = CANCELLED if fate is None else FAILED

    def _leave(self, watch: Watch | None) -> None:
        """Let go of the scheduler, and of *watch*, which the caller has.  It has ended; the lock is held."""
        if watch is not None:
            self._watch = watch.rest()
        self._home = None  # last: who finds it so finds all else final

    def _maker(self) -> Any:
        """The task that has to run for it."""
        raise NotImplementedError

    def _let_go(self) -> None:
        """Let go of what it was made of.  The lock is not held: that may run user code."""
        raise NotImplementedError

    def _announce(self, watch: Watch) -> None:
        """Wake who waits for it: it has ended.  The lock is not held."""
        watch.unblock()
        for waiter in watch.waiters:
            self._notify(waiter)

    def _tell(self, watch: Watch) -> None:
        """Call the callbacks.  The lock is not held."""
        calls = watch.calls()
        if not calls:
            return
        with uninterrupted() as guard:  # the others are to be called where Ctrl-C strikes one
            for fn in calls:
                try:
                    unmasked(self._deliver, fn)
                except BaseException as error:  # a thread that ends tasks must go on
                    if not guard.keeps(error):
                        LOGGER.exception("exception calling callback for %r", self)

    def _notify(self, waiter: Any) -> None:
        if self._stage == CANCELLED:
            tell = waiter.add_cancelled
        else:
            tell = waiter.add_exception if self._stage == FAILED else waiter.add_result
        self._call(tell, BaseException)

    # What concurrent.futures reads of a future.

    @property
    def _view(self) -> Any:
        return ENDED if self._stage >= DONE and self._watch is None else View(self)

    _condition: Any = _view
    _waiters: Any = _view

    @property
    @override
    def _state(self) -> str:  # type: ignore[override]
        state = self._stage
        if state >= DONE:
            watch = self._watch
            if watch is not None and get_ident() in watch.holders:
                return PENDING
        return _FUTURE_STATES.get(state, PENDING)

    def _get_snapshot(self) -> Snapshot:
        """What asyncio of Python 3.15 reads, once the future is done."""
        state = self._stage
        if state == FAILED:
            return True, False, None, self.exception(0)
        return state >= DONE, state == CANCELLED, self._outcome if state == DONE else None, None

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
        """Raise TypeError, as other futures do: it has its place in a plan, which a copy would not."""
        raise TypeError(f"{self!r} can't be copied or pickled; take its result()")

    def _words(self) -> list[str]:
        """What to call it in a repr."""
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
