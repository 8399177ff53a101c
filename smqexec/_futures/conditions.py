"""What ``concurrent.futures.wait`` and ``as_completed`` take of a future: its condition and its waiters.

These two take the conditions of many futures, read their states, count those that have not ended,
leave a waiter with each, and release the conditions; no future's state may change in between.
A lock would do that, and Ctrl-C might leave it locked for ever.  So there is none.  To take a
condition freezes the state that *the calling thread* sees of that future: a pending ``_state`` stays
pending for this thread, and a waiter that this thread leaves after the end is called at once.  The
thread that ends a future waits for nobody.

A freeze is recorded in the future's `AtEnd`.  Where Ctrl-C kept a thread from releasing the condition,
that thread goes on to see a pending ``_state``, and everything else of the future as it is.  The result
of `concurrent.futures.wait` is right all the same, as its waiter is called at once.
"""

from __future__ import annotations

from concurrent.futures._base import _AsCompletedWaiter, _Waiter
from contextlib import suppress
from threading import TIMEOUT_MAX, Event, Lock, get_ident
from typing import Any

from .._calls.interrupts import uninterrupted
from .at_end import AtEnd


class Condition:
    """The condition of a future, and the list of its waiters.  Made for each use: it has no state."""

    __slots__ = ("_future",)

    def __init__(self, future: Any) -> None:
        self._future = future

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Freeze what the calling thread sees of the future, at once."""
        here = get_ident()

        def freeze(at_end: AtEnd) -> None:
            at_end.holders[here] = at_end.holders.get(here, 0) + 1

        if not self._future._before_end(freeze) and self._future._is_frozen():  # for a signal's handler, say
            freeze(self._future._at_end)
        return True

    def release(self) -> None:
        """Let the calling thread see the future as it is."""
        future, here = self._future, get_ident()
        at_end = future._at_end
        if at_end is None:
            return
        left = at_end.holders.pop(here, 0) - 1
        if left > 0:
            at_end.holders[here] = left
        elif not at_end.holders and future._home is None:  # before, the thread that ends it needs the record
            future._at_end = None

    __enter__ = acquire

    def __exit__(self, *error: object) -> None:
        self.release()

    def append(self, waiter: Any) -> None:
        """Add *waiter*; call it at once if the end came since this thread took the condition."""
        future = self._future
        if isinstance(waiter, _Waiter):
            _make_safe(waiter)

        def add(at_end: AtEnd) -> None:
            at_end.waiters.append(waiter)

        if not future._before_end(add) and future._is_frozen():
            with uninterrupted():  # the waiter has a lock
                future._notify(waiter)

    def remove(self, waiter: Any) -> None:
        """Forget *waiter*, if it is still to be called."""

        def forget(at_end: AtEnd) -> None:
            with suppress(ValueError):
                at_end.waiters.remove(waiter)

        self._future._before_end(forget)


class _Ended:
    """For all futures that have ended, and that no thread sees otherwise."""

    def acquire(self, *_: object) -> None:
        pass

    release = append = remove = __enter__ = __exit__ = acquire


ENDED = _Ended()


def _make_safe(waiter: Any) -> None:
    """Replace what Ctrl-C might leave locked in *waiter*, before the first future has it.

    The thread that ends a future takes the lock of its event, and that of `as_completed`.
    """
    if type(waiter.event) is Event:
        waiter.event = LockEvent()
        if issubclass(type(waiter), _AsCompletedWaiter):
            waiter.lock = UninterruptedLock(waiter.lock)


class LockEvent:
    """An event for one waiting thread, which holds no lock that `set` takes."""

    __slots__ = ("_unset",)

    def __init__(self) -> None:
        self._unset = Lock()
        self._unset.acquire()

    def is_set(self) -> bool:
        return not self._unset.locked()

    def set(self) -> None:
        with suppress(RuntimeError):  # it is set
            self._unset.release()

    def clear(self) -> None:
        self._unset.acquire(blocking=False)

    def wait(self, timeout: float | None = None) -> bool:
        if not self._unset.acquire(timeout=-1 if timeout is None else min(max(timeout, 0), TIMEOUT_MAX)):
            return False
        self.set()
        return True


class UninterruptedLock:
    """A lock; Ctrl-C is put off while the main thread holds it."""

    __slots__ = ("_guard", "_lock")

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        self._guard: Any = None  # of the thread that has the lock

    def __enter__(self) -> None:
        guard = uninterrupted()
        guard.__enter__()
        self._lock.acquire()
        self._guard = guard

    def __exit__(self, *error: Any) -> None:
        guard, self._guard = self._guard, None
        self._lock.release()
        guard.__exit__(*error)
