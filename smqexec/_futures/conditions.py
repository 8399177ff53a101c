"""The condition and the waiters of a future, as ``concurrent.futures.wait`` and ``as_completed`` use them.

These functions acquire the conditions of many futures, read their states, add a waiter to each pending
future, and release the conditions.  No state may change between.  A lock would ensure that, but Ctrl-C could
leave it locked for ever.  So a condition is no lock: to acquire it *freezes* what the calling thread sees.  A
pending ``_state`` stays pending for this thread, and a waiter that this thread adds after the end is called
at once.  Other threads, and the thread that ends the future, never block on a condition.

The freeze is an entry of the thread in `AtEnd.holders`.  It is made under the scheduler's lock, before the
end; each thread changes only its own entry.  If Ctrl-C prevents the release, the thread still sees a pending
``_state``.  `concurrent.futures.wait` is right all the same, as its waiter is called at once.
"""

from __future__ import annotations

from concurrent.futures._base import _AsCompletedWaiter, _Waiter
from contextlib import suppress
from threading import TIMEOUT_MAX, Event, Lock, get_ident
from typing import Any

from .._calls.interrupts import uninterrupted
from .at_end import AtEnd


class Condition:
    """The condition of a future, and its list of waiters.  It has no state: each use makes a new one."""

    __slots__ = ("_future",)

    def __init__(self, future: Any) -> None:
        self._future = future  # constant

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Freeze what the calling thread sees of the future.  This never blocks."""
        here = get_ident()

        def freeze(at_end: AtEnd) -> None:
            at_end.holders[here] = at_end.holders.get(here, 0) + 1

        if not self._future._before_end(freeze) and self._future._is_frozen():
            # Acquired before the end, and again after it: by a signal handler, for example.
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
        elif not at_end.holders and future._home is None:  # earlier, the ending thread needs the record
            future._at_end = None

    __enter__ = acquire

    def __exit__(self, *error: object) -> None:
        self.release()

    def append(self, waiter: Any) -> None:
        """Add *waiter*; call it at once if the future ended after this thread acquired the condition."""
        future = self._future
        if isinstance(waiter, _Waiter):  # else one of ours
            _make_safe(waiter)

        def add(at_end: AtEnd) -> None:
            at_end.waiters.append(waiter)

        if not future._before_end(add) and future._is_frozen():
            with uninterrupted():  # Ctrl-C could leave the lock of the waiter locked
                future._notify(waiter)

    def remove(self, waiter: Any) -> None:
        """Remove *waiter* if the future has not ended."""

        def forget(at_end: AtEnd) -> None:
            with suppress(ValueError):
                at_end.waiters.remove(waiter)

        self._future._before_end(forget)


class _Ended:
    """The condition of each future that has ended and is frozen for no thread: it does nothing."""

    def acquire(self, *_: object) -> None:
        pass

    release = append = remove = __enter__ = __exit__ = acquire


ENDED = _Ended()


def _make_safe(waiter: Any) -> None:
    """Replace the event and the lock of *waiter*, which Ctrl-C could leave locked, before any future has it.

    The thread that ends a future acquires both, and must not block.
    """
    if type(waiter.event) is Event:
        waiter.event = LockEvent()
        if issubclass(type(waiter), _AsCompletedWaiter):
            waiter.lock = UninterruptedLock(waiter.lock)


class LockEvent:
    """An event for one waiting thread.  `set` never blocks: the waiting thread holds no lock meanwhile."""

    __slots__ = ("_unset",)

    def __init__(self) -> None:
        # Locked while the event is not set.  `set` releases it, `wait` acquires it; each is atomic.
        self._unset = Lock()
        self._unset.acquire()

    def set(self) -> None:
        with suppress(RuntimeError):  # the event was set already
            self._unset.release()

    def clear(self) -> None:
        self._unset.acquire(blocking=False)

    def wait(self, timeout: float | None = None) -> bool:
        if not self._unset.acquire(timeout=-1 if timeout is None else min(max(timeout, 0), TIMEOUT_MAX)):
            return False
        self.set()
        return True


class UninterruptedLock:
    """A lock that masks Ctrl-C while the main thread holds it."""

    __slots__ = ("_guard", "_lock")

    def __init__(self, lock: Any) -> None:
        self._lock = lock  # constant
        # The mask of the thread that holds the lock; written by that thread.
        self._guard: Any = None

    def __enter__(self) -> None:
        guard = uninterrupted()
        guard.__enter__()
        self._lock.acquire()
        self._guard = guard

    def __exit__(self, *error: Any) -> None:
        guard, self._guard = self._guard, None
        self._lock.release()
        guard.__exit__(*error)
