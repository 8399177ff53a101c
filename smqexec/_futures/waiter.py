"""How a thread sleeps: until it is woken, or until a *deadline*.

A deadline is a time of the monotonic clock; None: no limit; NaN counts as 0.
"""

from collections.abc import Callable
from contextlib import suppress
from threading import TIMEOUT_MAX, Lock
from time import monotonic
from typing import Any

# Seconds after which a thread asks whether its wait can still end.
PATIENCE = 5.0


def deadline(timeout: float | None) -> float | None:
    """Return the time in *timeout* seconds."""
    return None if timeout is None else max(0, timeout) + monotonic()


def left(end: float | None) -> float | None:
    """Return the seconds until the time *end*; negative once it is over."""
    return None if end is None else end - monotonic()


class Waiter:
    """What one thread sleeps in: an event that Ctrl-C can't leave locked; also a waiter of a future."""

    # The thread may be awake.  (A RecursionError is a RuntimeError too, but `suppress` would have raised it.)
    _awake = suppress(RuntimeError)  # made once: there may be no memory for another one

    def __init__(self) -> None:
        # Free from `wake` on until `sleep` has it.  Not a `SimpleQueue`: up to CPython 3.12 its `get` never
        # ends if a signal handler returns after the time is over.
        self.unset = Lock()
        self.unset.acquire()

    def wake(self, _: object = None) -> None:
        """End one `sleep`, the present or the next one.  Any thread may call it."""
        with self._awake:
            self.unset.release()

    def sleep(self, timeout: float | None = None) -> bool:
        """Block until the next `wake`; return False after *timeout* seconds."""
        return self.unset.acquire(True, -1 if timeout is None else min(max(0, timeout), TIMEOUT_MAX))

    def block(self, timeout: float | None, warn: Callable[[], bool]) -> bool:
        """Do what `sleep` does, in a wait that may last for long.

        Call *warn* each `PATIENCE` seconds, until it returns True: it has logged that the wait may never end.
        """
        end, seconds, warned = deadline(timeout), timeout, False
        while seconds is None or seconds > PATIENCE:
            if self.sleep(PATIENCE):
                return True
            seconds = left(end)
            warned = warned or warn()
        return self.sleep(seconds)

    # As a waiter of a future, and as an event.
    add_result: Any = wake
    add_cancelled = add_exception = add_result
    set, wait = wake, sleep

    def clear(self) -> None:
        """Do nothing: `wait` has taken the wake."""
