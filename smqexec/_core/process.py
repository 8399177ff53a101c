"""The end of the process, and its double: what happens to schedulers at exit and after a fork."""

from __future__ import annotations

import atexit
import concurrent.futures.thread as _before_us
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar
from weakref import WeakSet

from .._calls.interrupts import LOGGER, interruptible, uninterrupted
from .._futures.names import counted
from .state import State

T = TypeVar("T")


_lock = threading.Lock()  # guards what follows; nothing of a scheduler is called while it is held
_schedulers: WeakSet[State] = WeakSet()
_executors: list[WeakSet[type]] = [WeakSet(), WeakSet()]  # that our hook comes before: made, called
exiting = False  # the interpreter is
_begun = False  # `_finish` was, so no Ctrl-C has kept our hook from its work


def members(found: WeakSet[T]) -> list[T]:
    """Return what is in *found*.

    Before CPython 3.14 going through a `WeakSet` fails where another thread frees a member of it.
    """
    while True:
        with suppress(RuntimeError):
            return list(found)


def register(scheduler: State) -> None:
    """See that *scheduler* is told when the interpreter exits, and after a fork."""
    with uninterrupted(), _lock:
        scheduler.exiting = exiting
        _schedulers.add(scheduler)


def _at_exit() -> None:
    """Let everything submitted run to its end, while threads may still be started.

    Called when the main thread has ended, before the standard library lets
    its pools go and joins their threads.
    """
    with uninterrupted():
        _finish(_interrupted())


def _at_exit_if_struck() -> None:
    """Do what `_at_exit` does, where Ctrl-C has struck before that hook could put it off.

    It may have struck in the hook of another module, or in `threading._shutdown`, which ends
    with the first exception.  Hooks of `atexit` run after it, whatever it raised, and before
    Python ends the threads.
    """
    with uninterrupted():
        if not _begun:
            _finish(True)
            # Nobody else waits for the threads now, which may be calling callbacks yet.
            for scheduler in members(_schedulers):
                interruptible(scheduler.ending.join)


def _finish(interrupted: bool) -> None:
    """Wait for what was submitted.  Ctrl-C is put off, but for the waits.

    The first Ctrl-C cancels what is pending, and the wait goes on for what runs.  The second
    one is raised: the process ends at once, as with the standard library.

    Args:
        interrupted: The first one has come before.
    """
    global exiting, _begun
    _begun = True
    with _lock:
        schedulers = members(_schedulers)
        for scheduler in schedulers:
            scheduler.exiting = True
        exiting = True
    for scheduler in schedulers:  # a queue that is made from now on refuses tasks: see `State.add_queue`
        scheduler.ending.close_at_exit()
    # All before any: a task may wait for one of another scheduler.
    steps: list[Callable[[], None]] = [scheduler.ending.cancel_held for scheduler in schedulers]
    steps += [partial(interruptible, scheduler.ending.finish_at_exit) for scheduler in schedulers]
    if interrupted:
        steps.insert(0, partial(_cancel, schedulers))
    while steps:
        try:
            steps[0]()
            del steps[0]
        except KeyboardInterrupt:
            if interrupted:
                raise
            interrupted = True
            _cancel(schedulers)


def _cancel(schedulers: list[State]) -> None:
    """Cancel what is pending, ask what runs to end, and log how many tasks that has cancelled."""
    before = sum(scheduler.counts()["cancelled"] for scheduler in schedulers)
    for scheduler in schedulers:
        scheduler.ending.interrupt()
    count = sum(scheduler.counts()["cancelled"] for scheduler in schedulers) - before
    if count:
        LOGGER.warning("cancelled %s at exit, as Ctrl-C was pressed", counted(count, "task"))


def _interrupted() -> bool:
    """Whether Ctrl-C has ended the main thread.  Python sets `sys.last_type` as it prints a traceback."""
    last = getattr(sys, "last_type", None)
    interactive = hasattr(sys, "ps1") or sys.flags.interactive  # where it may be of long ago
    return isinstance(last, type) and issubclass(last, KeyboardInterrupt) and not interactive


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # another thread may have held it
    for scheduler in members(_schedulers):
        scheduler.ending.abandon()
    _schedulers.clear()


def come_before(executor: type, called: bool = False) -> None:
    """See that at exit our schedulers come before executors of that class, whose module has a hook too.

    Those of `ProcessPoolExecutor` and of loky refuse what is submitted from then on.  Loky enters
    its own at the first call: so this is to be done once more when one was *called*.
    """
    with uninterrupted(), _lock:
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
atexit.register(_at_exit_if_struck)
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows can't fork
    os.register_at_fork(after_in_child=_after_fork)
