"""The end of the process, and its double: what happens to schedulers at exit and after a fork."""

from __future__ import annotations

import concurrent.futures.thread as _before_us
import os
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from ._scheduler import Scheduler

_lock = threading.Lock()  # guards what follows; nothing of a scheduler is called while it is held
_schedulers: WeakSet[Scheduler] = WeakSet()
_executors: list[WeakSet[type]] = [WeakSet(), WeakSet()]  # that our hook comes before: made, called
exiting = False  # the interpreter is


def register(scheduler: Scheduler) -> None:
    """See that *scheduler* is told when the interpreter exits, and after a fork."""
    with _lock:
        scheduler.exiting = exiting
        _schedulers.add(scheduler)


def _at_exit() -> None:
    """Let everything submitted run to its end, while threads may still be started.

    Called when the main thread has ended, before the standard library lets
    its pools go and joins their threads.
    """
    global exiting
    with _lock:
        schedulers = list(_schedulers)
        for scheduler in schedulers:
            scheduler.exiting = True
        exiting = True
    interrupted = _interrupted()
    # All before any: a task may wait for one of another scheduler.
    for scheduler in schedulers:
        scheduler.cancel_held()
        if interrupted:
            scheduler.interrupt()
    unfinished = schedulers.copy()
    while unfinished:
        try:
            unfinished[-1].finish_at_exit()
            unfinished.pop()
        except KeyboardInterrupt:
            if interrupted:  # once more: leave at once, as the standard library does
                raise
            interrupted = True
            for scheduler in schedulers:
                scheduler.interrupt()
    for scheduler in schedulers:
        scheduler.close_at_exit()


def _interrupted() -> bool:
    """Whether Ctrl-C has ended the main thread.  Python sets `sys.last_type` as it prints a traceback."""
    last = getattr(sys, "last_type", None)
    interactive = hasattr(sys, "ps1") or sys.flags.interactive  # where it may be of long ago
    return isinstance(last, type) and issubclass(last, KeyboardInterrupt) and not interactive


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # another thread may have held it
    for scheduler in list(_schedulers):
        scheduler.abandon()
    _schedulers.clear()


def come_before(executor: type, called: bool = False) -> None:
    """See that at exit our schedulers come before executors of that class, whose module has a hook too.

    Those of `ProcessPoolExecutor` and of loky refuse what is submitted from then on.  Loky enters
    its own at the first call: so this is to be done once more when one was *called*.
    """
    with _lock:
        known = executor in _executors[called]
        _executors[called].add(executor)
    if not known:
        with suppress(RuntimeError):  # the interpreter is exiting
            threading._register_atexit(_at_exit)  # type: ignore[attr-defined]


# The hook that concurrent.futures.thread uses itself: atexit would come too
# late, when threads have been joined.  Hooks run in reverse order, so ours comes
# before that of a module imported earlier.
assert _before_us
threading._register_atexit(_at_exit)  # type: ignore[attr-defined]
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows can't fork
    os.register_at_fork(after_in_child=_after_fork)
