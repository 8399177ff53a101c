"""What ``concurrent.futures.wait`` and ``as_completed`` take of a future: its condition and its waiters.

These two take the conditions of many futures, read their states, count those that have not ended,
leave a waiter with each, and release the conditions; no future's state may change in between.
A lock would do that, and Ctrl-C might leave it locked for ever.  So there is none.  To take a
condition freezes what *the calling thread* sees of that future: if it was pending then, its
``_state`` stays pending for this thread; and a waiter that this thread leaves after the future
has ended is told at once.  The thread that ends a future waits for nobody.

A freeze is recorded in the future's watch.  One that Ctrl-C kept from being released stays there:
that thread goes on to see a pending ``_state``, and everything else of the future as it is.  What
`concurrent.futures.wait` returns is right all the same, as its waiter is told at once.
"""

from __future__ import annotations

from concurrent.futures._base import _AsCompletedWaiter, _Waiter
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import TIMEOUT_MAX, Event, get_ident
from typing import Any

from .._calls.interrupts import uninterrupted
from .._planner import DONE


class View:
    """The condition of a future, and its waiters.  Made for each use: it has no state of its own."""

    __slots__ = ("_future",)

    def __init__(self, future: Any) -> None:
        self._future = future

    # The condition.

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Freeze what the calling thread sees of the future, at once."""
        future, here = self._future, get_ident()
        queue = future._home
        if queue is not None:
            with queue.scheduler.exclusive():
                if future._stage < DONE:
                    holders = future._watched().holders
                    holders[here] = holders.get(here, 0) + 1
                    return True
        watch = future._watch
        if watch is not None and here in watch.holders:  # for a signal's handler, say
            watch.holders[here] += 1
        return True

    def release(self) -> None:
        """Let the calling thread see the future as it is."""
        future, here = self._future, get_ident()
        watch = future._watch
        if watch is None:
            return
        holders = watch.holders
        if holders.get(here, 0) > 1:
            holders[here] -= 1
            return
        holders.pop(here, None)
        if not holders and future._home is None:  # before, the thread that ends it needs the watch
            future._watch = None

    __enter__ = acquire

    def __exit__(self, *error: object) -> None:
        self.release()

    # The waiters.

    def append(self, waiter: Any) -> None:
        """Let *waiter* be told of the end: at once, if that came since this thread took the condition."""
        future = self._future
        if isinstance(waiter, _Waiter):
            _make_safe(waiter)
        queue = future._home
        if queue is not None:
            with queue.scheduler.exclusive():
                if future._stage < DONE:
                    future._watched().waiters.append(waiter)
                    return
        watch = future._watch
        if watch is not None and get_ident() in watch.holders:
            with uninterrupted():  # the waiter has a lock
                future._notify(waiter)

    def remove(self, waiter: Any) -> None:
        """Forget *waiter*, if it is still to be told."""
        future = self._future
        queue = future._home
        if queue is not None:
            with queue.scheduler.exclusive(), suppress(ValueError):
                if future._watch is not None:  # that of one which has just ended has no waiters
                    future._watch.waiters.remove(waiter)


class _Ended(View):
    """For all futures that have ended, and that no thread sees otherwise."""

    __slots__ = ()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return True

    def release(self) -> None:
        pass

    def append(self, waiter: Any) -> None:
        pass

    remove = append
    __enter__ = acquire


ENDED = _Ended(None)


def _make_safe(waiter: Any) -> None:
    """Replace what Ctrl-C might leave locked in *waiter*, before the first future has it.

    The thread that ends a future takes the lock of its event, and that of `as_completed`.
    """
    if type(waiter.event) is Event:
        waiter.event = Bell()
        if issubclass(type(waiter), _AsCompletedWaiter):
            waiter.lock = Uninterrupted(waiter.lock)


class Bell:
    """An event that is waited for without holding a lock."""

    __slots__ = ("_rings",)

    def __init__(self) -> None:
        self._rings: SimpleQueue[None] = SimpleQueue()

    def is_set(self) -> bool:
        return not self._rings.empty()

    def set(self) -> None:
        self._rings.put(None)

    def clear(self) -> None:
        with suppress(Empty):
            while True:
                self._rings.get_nowait()

    def wait(self, timeout: float | None = None) -> bool:
        try:
            self._rings.get(timeout=None if timeout is None else min(max(timeout, 0), TIMEOUT_MAX))
        except Empty:
            return False
        self._rings.put(None)
        return True


class Uninterrupted:
    """A lock; Ctrl-C is put off while the main thread holds it."""

    __slots__ = ("_guard", "_lock")

    def __init__(self, lock: Any) -> None:
        self._lock = lock
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
