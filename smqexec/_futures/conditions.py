"""The condition and the waiters of a future, as `concurrent.futures.wait` and `as_completed` use them.

These functions acquire the conditions of many futures, read their states, add a waiter to each pending
future, and release the conditions.  No state may change between.  A lock would ensure that, but Ctrl-C could
leave it locked for ever.  So a condition is no lock: to acquire it *freezes* what the calling thread sees.  A
pending ``_state`` stays pending for this thread, and a waiter that this thread adds after the end is called
at once.  If Ctrl-C prevents the release, the future stays pending for this thread, and yet a later ``wait``
returns: its waiter is called at once.
"""

from concurrent.futures._base import _Waiter
from contextlib import suppress
from threading import Event, RLock, local
from typing import Any
from weakref import ref

from .._planner.nodes import DONE
from .waiter import Waiter


class Held(local):
    """The conditions that the calling thread holds."""

    def __init__(self) -> None:
        # By future: how often this thread has acquired its condition, from before the end of the future on.
        self.counts: dict[ref[Any], int] = {}


HELD = Held()


class Condition:
    """The condition of a future, and its list of waiters.  It has no state: each use makes a new one."""

    __slots__ = ("_future",)

    def __init__(self, future: Any) -> None:
        self._future = future  # constant

    def acquire(self, *_: object) -> bool:
        """Freeze what the calling thread sees of the future.  This never blocks."""
        future, counts = self._future, HELD.counts
        if future._stage < DONE or (counts and ref(future) in counts):
            key = ref(future, counts.pop)
            counts[key] = counts.get(key, 0) + 1
        return True

    def release(self, *_: object) -> None:
        """Let the calling thread see the future as it is."""
        counts = HELD.counts
        if counts and (key := ref(self._future)) in counts:
            counts[key] -= 1
            if not counts[key]:
                del counts[key]

    __enter__, __exit__ = acquire, release

    def append(self, waiter: Any) -> None:
        """Add *waiter*; call it at once if the future ended after this thread acquired the condition."""
        future = self._future
        if issubclass(type(waiter), _Waiter) and type(waiter.event) is Event:
            # Ctrl-C could leave the event or the lock locked, and the thread that ends the future must not
            # block.  So both are replaced.  No other thread uses them yet: this thread holds the conditions
            # of all futures that have the waiter.
            waiter.event = Waiter()
            waiter.lock = RLock()  # a signal handler may end a future
        if not future._add_at_end("waiters", waiter) and ref(future) in HELD.counts:
            future._notify(waiter)

    def remove(self, waiter: Any) -> None:
        """Remove *waiter* if the future has not ended."""
        at_end = self._future._at_end
        if at_end is not None:
            with suppress(ValueError):
                at_end.waiters.remove(waiter)
