"""The base of tasks and items: a future that its scheduler ends.

A `PlannedFuture` is a node of the planner and a future in one slotted object.  It has no
`threading.Condition`, which would cost more than all the rest: what waits for it, or is called at its end, is
in its `AtEnd`, made on demand under the scheduler's lock.  No wake is lost: the thread that ends the future
takes the record under the same lock.

The ending thread stores the outcome, the stage, then ``_home = None``, under the lock.  After the lock it
wakes threads that wait, then calls callbacks.  `_stage`, `_home` and `_outcome` may be read without the lock:
a reader that sees a final stage sees the outcome, and one that sees no home sees both.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Future
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, PENDING
from concurrent.futures._base import RUNNING as RUNNING_STATE
from threading import Thread
from typing import Any, Literal, Never, TypeVar
from weakref import ref

from typing_extensions import override

from .._calls.frames import strip_ours, traceback_of
from .._calls.interrupts import keep, unmasked
from .._planner.nodes import DONE, DROPPED, NONE, RUNNING, Node
from .at_end import AtEnd
from .conditions import HELD, Condition
from .owner import Home
from .remote_value import Kept, fetched, snapshot
from .waiter import deadline, left

R = TypeVar("R")

# Stages of our own, above those of the planner: every stage from DONE on is final, and never changes.
FAILED, CANCELLED = DROPPED + 1, DROPPED + 2

# The stages in reprs; NEW is the last, -1.
STATE_NAMES = ("waiting", "ready", "running", "done", "dropped", "failed", "cancelled", "new")
# The states of concurrent.futures for stages; PENDING for all others.
_FUTURE_STATES = {RUNNING: RUNNING_STATE, DONE: FINISHED, FAILED: FINISHED, CANCELLED: CANCELLED_AND_NOTIFIED}

LOGGER = logging.getLogger("concurrent.futures")  # where users look for failing callbacks


class Failure:
    """The outcome of a failed task.  No field but `seen` changes."""

    __slots__ = ("exception", "origin", "seen", "traceback")

    def __init__(self, exception: BaseException, origin: Future[Any] | None = None) -> None:
        self.exception = exception
        # At the failure: to raise the exception again makes its own traceback longer.
        self.traceback = traceback_of(exception)
        self.origin = origin  # the task that raised; None if it is the failed task: no reference cycle
        self.seen: Callable[[], object] | None = None  # with debug=True: called as the exception is read

    def of(self, origin: Future[Any]) -> Failure:
        """Return the failure of a dependent of *origin*, the task that failed with this failure."""
        other = Failure(self.exception, self.origin or origin)
        other.traceback, other.seen = self.traceback, self.seen
        return other


def fate_of(future: Any) -> tuple[bool, BaseException | None]:
    """Return whether *future* of an executor was cancelled, and its exception, or None; it is done."""
    try:
        # To raise the exception of *future* here would keep frames of ours.
        cancelled = bool(future.cancelled())
        error = CancelledError() if cancelled else future.exception()
        if error is None or isinstance(error, BaseException):
            return cancelled, error
        raise error  # as its `result` does: a class, which `set_exception` accepts
    except BaseException as raised:  # by a method of the future's own class
        strip_ours(raised)
        return False, raised


#: Makes a task or item without `__init__`, which would take 0.1 µs.  The caller sets all fields.
new: Any = object.__new__


class PlannedFuture(Node, Future[R]):
    """A future that a scheduler ends: a `Task`, or an `Item` of one."""

    __slots__ = ("_at_end", "_outcome")

    # All three are written under the lock.
    #: The queue whose scheduler ends the future; None from the end on.  In a task it is the slot `_queue`.
    _home: Home | None
    #: From the end on: the result, a `Failure`, or None if the future was cancelled.
    _outcome: Any
    #: Waiters, callbacks and hooks; None while there are none.
    _at_end: AtEnd | None

    def __init__(self, *_: object, **__: object) -> None:
        kind = type(self).__name__
        raise TypeError(f"no {kind} can be made by itself: Queue.submit makes tasks, and task[key] items")

    # What the user asks.

    @override
    def done(self) -> bool:
        return self._stage >= DONE

    @override
    def running(self) -> bool:
        return self._stage == RUNNING

    @override
    def cancelled(self) -> bool:
        return self._stage == CANCELLED

    @property
    def origin(self) -> Future[Any] | None:
        """The task that raised the exception of this failed task, perhaps itself; None without a failure."""
        if self._stage != FAILED:
            return None
        return self._outcome.origin or self

    @override
    def result(self, timeout: float | None = None) -> R:
        """Return the result of the call, after waiting for it; if an engine keeps the value, fetch it.

        Args:
            timeout: Seconds to wait at most; None for no limit.

        Raises:
            CancelledError: The task was cancelled.
            TimeoutError: The task was not done in time.
            BaseException: That of the call, or of the dependency that failed, each time with its own
                traceback; or the value could not be fetched.
        """
        if self._stage == DONE and type(self._outcome) is not Kept:
            return self._outcome  # type: ignore[no-any-return]
        end = deadline(timeout)
        outcome: Any = None
        try:
            failed = self._await_end(timeout) == FAILED
            outcome = self._outcome
            if failed:
                raise BaseException.with_traceback(outcome.exception, outcome.traceback)
            return outcome.future.result(left(end)) if type(outcome) is Kept else outcome  # type: ignore[no-any-return]
        finally:
            outcome = None
            del self  # no cycle: the traceback of the exception keeps this frame

    @override
    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the exception that the call, or a dependency of it, raised; None if the call returned.

        *timeout* and other exceptions are as for `result`.  A value that an engine keeps is not fetched.
        """
        end = deadline(timeout)
        failed = self._await_end(timeout) == FAILED
        outcome = self._outcome
        if failed:
            return outcome.exception  # type: ignore[no-any-return]
        return outcome.future.exception(left(end)) if type(outcome) is Kept else None

    def _await_end(self, timeout: float | None) -> int:
        """Wait until the future has ended; return DONE or FAILED, or raise as `exception` does."""
        queue = self._home
        if self._stage < DONE and queue is not None and not queue.scheduler.waiting.wait_for(self, timeout):
            raise TimeoutError()
        stage = self._stage
        if stage == CANCELLED:
            raise CancelledError()
        if stage == FAILED and self._outcome.seen is not None:
            self._outcome.seen()
        return stage

    def why(self) -> str:
        """Return, for people, why the task has not started, or not ended yet, or how it ended.

        Cost: a step for each task on the way to the one that it waits for.  If it is ready and others come
        first, a step for each pending task, up to some 10 ms, in which no task starts or ends.
        """
        queue = self._home
        cause: str | None = None if queue is None else queue.scheduler.why_of(self)
        if cause is not None:
            return cause
        if self._stage == CANCELLED:
            return "cancelled"
        if self._stage == DONE:
            return f"done: returned {type(self._outcome).__name__}"
        origin = self._outcome.origin
        kind = type(self._outcome.exception).__name__
        return f"failed: raised {kind}" if origin is None else f"failed: needs {origin!r}"

    def __await__(self) -> Generator[Any, None, R]:
        from asyncio import wrap_future  # here: importing asyncio costs more than all of smqexec

        return wrap_future(self).__await__()

    # What the user does.

    @override
    def cancel(self, dependencies: bool = False) -> bool:
        """Cancel the task and its dependents, unless it runs or is done.

        A running task is asked to end: `checkpoint` raises CancelledError in it, and a generator task is
        closed at its next value.

        Args:
            dependencies: If the task was pending, also cancel its dependencies that nothing else needs, and
                in turn their own.  Needed is what another pending task depends on, a thread waits for, or has
                a callback; a reference does not count.  An item without a value stands for its task, which is
                needed if one of its other items is.

        Returns:
            True if the task is cancelled now.
        """
        queue = self._home
        if queue is not None:
            queue.scheduler.termination.cancel(self, dependencies)
        return self._stage == CANCELLED

    def promote(self) -> bool:
        """Make the task, or that of the item, count as newly submitted: what it needs, then itself, go first.

        Under ``order="oldest"`` it and what it needs go before all others, at 0.2 µs for each ready task.

        Returns:
            False if the task is running or done; nothing changes then.
        """
        task = self._producer()
        queue = None if task is None else task._home
        return queue is not None and queue.scheduler.dispatcher.promote(task)

    @override
    def add_done_callback(self, fn: Callable[[Future[R]], object]) -> None:
        """Call ``fn(task)`` in the thread that ends the task; or at once, if the task is done.

        An exception of *fn* is logged; but if *fn* is called at once, KeyboardInterrupt and the like are
        raised.
        """
        queue = self._home
        if queue is not None and queue.scheduler.deferred(self.add_done_callback, fn):
            return
        if not self._add_at_end("callbacks", fn):
            self._call(fn, Exception)

    def _add_at_end(self, field: Literal["callbacks", "relays", "waiters"], entry: object) -> bool:
        """Append *entry* to the list *field* of the record; return False instead if the future has ended."""
        queue = self._home
        return queue is not None and queue.scheduler.step(self._append, field, entry)

    def _append(self, field: str, entry: object) -> bool:
        """Do what `_add_at_end` does.  The lock is held."""
        if self._stage >= DONE:
            return False
        getattr(self._get_at_end(), field).append(entry)
        return True

    def _call(self, fn: Callable[[Future[R]], object], logged: type[BaseException] = BaseException) -> None:
        """Call *fn*, a callback; log an exception of type *logged*."""
        try:
            unmasked(self._deliver, fn)
        except logged as error:
            if not keep(error):
                LOGGER.exception("exception calling callback for %r", self)

    def _deliver(self, fn: Callable[[Future[R]], object]) -> None:
        """Call *fn* with this future; if *fn* is asyncio's, in a thread that first fetches a kept value."""
        if type(self._outcome) is Kept and getattr(fn, "__module__", None) == "asyncio.futures":
            # The event loop would block while it fetches the value.
            def deliver(task: Future[R]) -> None:
                fn(fetched(task))

            Thread(target=self._call, args=(deliver,), daemon=True).start()
        else:
            fn(self)

    # The end.  Called by the scheduler.

    def _get_at_end(self) -> AtEnd:
        """Return the record of a future that has not ended; make one first if it has none.  Locked."""
        at_end = self._at_end
        if at_end is None:
            at_end = self._at_end = AtEnd()
        return at_end

    def _end(self, fate: Failure | None) -> None:
        """End with the failure *fate*, or as cancelled if that is None.  The lock is held."""
        self._outcome = fate  # before the stage: see above
        self._stage = CANCELLED if fate is None else FAILED

    def _leave(self) -> None:
        """Release the scheduler and the record of the end.  The future has ended; the lock is held."""
        self._at_end = None
        self._home = None  # last: with no home, all else is final

    def _producer(self) -> Any:
        """Return the task that has to run for this future: itself, or the task of a pending item."""
        return self

    def _release(self) -> None:
        """Release the call.  The lock is not held: the release of an object may run user code."""
        self._dependencies = NONE

    def _wake_waiters(self, at_end: AtEnd) -> None:
        """Wake all threads that wait for the future, which has ended.  The lock is not held."""
        try:
            for waiter in at_end.waiters.copy():  # its thread may remove it
                self._notify(waiter)
        except MemoryError:  # nothing else wakes them
            self._wake_waiters(at_end)

    def _notify(self, waiter: Any) -> None:
        """Call the method of *waiter*, a waiter of the standard library, for this outcome."""
        if self._stage == CANCELLED:
            waiter.add_cancelled(self)
        elif self._stage == FAILED:
            waiter.add_exception(self)
        else:
            waiter.add_result(self)

    def _call_callbacks(self, at_end: AtEnd) -> None:
        """Call all callbacks in *at_end*.  The lock is not held; handlers are masked."""
        for call in (*at_end.item_callbacks, *at_end.relays):
            call(self)
        for fn in at_end.callbacks:
            self._call(fn)

    # Attributes that concurrent.futures reads.

    _condition: Any = property(Condition)
    _waiters: Any = _condition

    @property
    @override
    def _state(self) -> str:  # type: ignore[override]
        stage = self._stage
        if stage >= DONE and HELD.counts and ref(self) in HELD.counts:  # frozen for this thread
            return PENDING
        return _FUTURE_STATES.get(stage, PENDING)

    _get_snapshot = snapshot

    @override
    def set_result(self, *_: object, **__: object) -> Never:
        """Raise RuntimeError: only the scheduler runs and ends a task."""
        raise RuntimeError(
            f"{self!r} is run and ended by its scheduler alone; use a concurrent.futures.Future of your own"
        )

    set_exception = set_running_or_notify_cancel = set_result

    def __reduce__(self) -> Never:
        """Raise TypeError, as other futures do: no scheduler would end the copy."""
        raise TypeError(f"{self!r} can't be copied or pickled; take its result()")

    def _described(self, *name: str) -> str:
        """Return the repr of this future, called *name*."""
        stage, queue = self._stage, self._home
        words = [f"<{type(self).__name__} at {id(self):#x}", *name, f"state={STATE_NAMES[stage]}"]
        if stage == DONE:
            words.append(f"returned {type(self._outcome).__name__}")
        elif stage == FAILED:
            words.append(f"raised {type(self._outcome.exception).__name__}")
        elif queue is not None:
            words.append(f"queue={queue.name}")
        return " ".join(words) + ">"
