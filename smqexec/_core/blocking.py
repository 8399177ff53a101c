"""A thread blocks; one that has blocked for long looks whether anything can still go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

# Seconds after which a thread that blocks looks for the first time, and then again and again.
PATIENCE = 5.0


def block(wait: Callable[[float | None], bool], timeout: float | None, told: Callable[[], bool]) -> bool:
    """Return whether *wait*, called with a number of seconds, is over within *timeout* seconds.

    Each time that `PATIENCE` is over *told* is called, until it returns True: it has told that nothing
    can go on.
    """
    end = None if timeout is None else monotonic() + timeout
    left = timeout
    while left is None or left > PATIENCE:
        if wait(PATIENCE):
            return True
        left = None if end is None else end - monotonic()
        if told():
            break
    return wait(left)


def acquire(lock: Any, timeout: float | None) -> bool:
    """Acquire *lock*, waiting at most *timeout* seconds, as a condition would."""
    if timeout is None:
        return lock.acquire()  # type: ignore[no-any-return]
    if timeout <= 0:
        return lock.acquire(blocking=False)  # type: ignore[no-any-return]
    return lock.acquire(timeout=min(timeout, threading.TIMEOUT_MAX))  # type: ignore[no-any-return]
