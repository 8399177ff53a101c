"""How a thread blocks: one that has blocked for long looks whether anything can still go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

# Seconds after which a blocked thread looks, again and again.
PATIENCE = 5.0


def block(wait: Callable[[float | None], bool], timeout: float | None, told: Callable[[], bool]) -> bool:
    """Call *wait* with numbers of seconds until it returns True; return False after *timeout* seconds.

    *told* is called each `PATIENCE` seconds, until it returns True: it has logged that nothing can go on.
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
    """Acquire *lock* within *timeout* seconds, and return True; else return False.  None: no limit."""
    if timeout is None:
        return lock.acquire()  # type: ignore[no-any-return]
    if timeout <= 0:
        return lock.acquire(blocking=False)  # type: ignore[no-any-return]
    return lock.acquire(timeout=min(timeout, threading.TIMEOUT_MAX))  # type: ignore[no-any-return]
