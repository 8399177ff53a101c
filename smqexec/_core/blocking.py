"""How a thread blocks in every wait that may last: every 5 seconds it asks whether the wait can still end.

No thread watches others: only a thread that has already blocked for 5 seconds pays for the question.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._futures.waiters import bounded, deadline, left

# Seconds between two questions of a thread.
PATIENCE = 5.0


def block(wait: Callable[[float | None], bool], timeout: float | None, warn: Callable[[], bool]) -> bool:
    """Call *wait* with numbers of seconds until it returns True; return False after *timeout* seconds.

    Call *warn* each `PATIENCE` seconds, until it returns True: it has logged that the wait may never end.
    """
    end, seconds = deadline(timeout), timeout
    while seconds is None or seconds > PATIENCE:
        if wait(PATIENCE):
            return True
        seconds = left(end)
        if warn():
            break
    return wait(seconds)


def acquire(lock: Any, timeout: float | None) -> bool:
    """Acquire *lock* within *timeout* seconds, and return True; else return False.  None: no limit."""
    seconds = bounded(timeout)
    return lock.acquire(timeout=-1 if seconds is None else seconds)  # type: ignore[no-any-return]
