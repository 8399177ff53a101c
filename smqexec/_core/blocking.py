"""How a thread blocks in every wait that may last: every 5 seconds it asks whether the wait can still end.

No thread watches others: only a thread that has already blocked for 5 seconds pays for the question.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import TIMEOUT_MAX
from time import monotonic
from typing import Any

# Seconds between two questions of a thread.
PATIENCE = 5.0


def block(wait: Callable[[float | None], bool], timeout: float | None, warn: Callable[[], bool]) -> bool:
    """Call *wait* with numbers of seconds until it returns True; return False after *timeout* seconds.

    Call *warn* each `PATIENCE` seconds, until it returns True: it has logged that the wait may never end.
    """
    end = None if timeout is None else monotonic() + timeout
    left = timeout
    while left is None or left > PATIENCE:
        if wait(PATIENCE):
            return True
        left = None if end is None else end - monotonic()
        if warn():
            break
    return wait(left)


def acquire(lock: Any, timeout: float | None) -> bool:
    """Acquire *lock* within *timeout* seconds, and return True; else return False.  None: no limit."""
    seconds = -1 if timeout is None else min(max(timeout, 0), TIMEOUT_MAX)
    return lock.acquire(timeout=seconds)  # type: ignore[no-any-return]
