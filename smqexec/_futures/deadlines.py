"""Deadlines: times of the monotonic clock at which waits give up.  None: no limit; NaN counts as 0."""

from __future__ import annotations

from threading import TIMEOUT_MAX
from time import monotonic


def deadline(timeout: float | None) -> float | None:
    """Return the time in *timeout* seconds."""
    return None if timeout is None else max(0, timeout) + monotonic()


def left(end: float | None) -> float | None:
    """Return the seconds until the time *end*; negative once it is over."""
    return None if end is None else end - monotonic()


def bounded(timeout: float | None) -> float | None:
    """Return *timeout* within the bounds of what the standard library's locks and queues take."""
    return None if timeout is None else min(max(0, timeout), TIMEOUT_MAX)
