"""How a thread blocks in every wait that may last: every 5 seconds it asks whether the wait can still end."""

from collections.abc import Callable

from .._futures.deadlines import deadline, left

# Seconds between two questions of a thread.
PATIENCE = 5.0


def block(wait: Callable[[float], bool], timeout: float | None, warn: Callable[[], bool]) -> bool:
    """Call *wait* with numbers of seconds until it returns True; return False after *timeout* seconds.

    Call *warn* each `PATIENCE` seconds, until it returns True: it has logged that the wait may never end.
    """
    end, seconds, warned = deadline(timeout), timeout, False
    while seconds is None or seconds > PATIENCE:
        if wait(PATIENCE):
            return True
        seconds = left(end)
        warned = warned or warn()
    return wait(max(0, seconds))
