"""Interpreter exit and fork, for all schedulers of the process.

At exit Python first calls the hooks of `threading._register_atexit`, the last registered first, while threads
may still be started: `_at_exit`, then those of the standard library's pools.  Then it calls the hooks of
`atexit`, even if one of the first hooks raised: `_at_exit_if_interrupted`.

Ctrl-C at exit cancels pending tasks, and the exit waits for running ones.  A second Ctrl-C is raised: the
process ends at once, as with the standard library.

Only the main thread runs the hooks, so no lock is needed; `schedulers` changes by single atomic steps.
"""

import atexit
import concurrent.futures.thread as _registers_before_us
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import WeakSet

from .._calls.interrupts import LOGGER, interruptible, uninterrupted
from .._futures.names import counted
from .queue_state import CURRENT
from .state import State

# All schedulers that exist.
schedulers: WeakSet[State] = WeakSet()
# How many exit hooks there were when ours was registered last.
_hooks = 0


def members(found: WeakSet[Any]) -> list[Any]:
    """Return what is in *found*."""
    while True:
        # Before CPython 3.14 the iteration fails if another thread frees a member meanwhile.
        with suppress(RuntimeError):
            return list(found)


def _at_exit() -> None:
    """Wait until all submitted tasks have ended, while threads may still be started."""
    with uninterrupted():
        _finish(_was_interrupted())


def _at_exit_if_interrupted() -> None:
    """Do what `_at_exit` does if Ctrl-C came in the hook of another module, or in `threading._shutdown`."""
    with uninterrupted():
        if not State.exiting:
            _finish(True)
            # Python joins no threads any more, and these may still be calling callbacks.
            for scheduler in members(schedulers):
                interruptible(scheduler.ending.shutdown)


def _finish(interrupted: bool) -> None:
    """Wait for all submitted tasks.  If *interrupted*, Ctrl-C came before, and the next one is raised."""
    # First: a queue that is made from now on refuses tasks, and those made before are found here.
    State.exiting = True
    found = members(schedulers)
    for scheduler in found:
        scheduler.ending.close_at_exit()
    if interrupted:
        _cancel(found)
    # Tasks that a stop holds are cancelled before the first wait, which may wait for one of them.
    steps: list[Callable[[], None]] = [scheduler.ending.cancel_held for scheduler in found]
    steps += [partial(interruptible, scheduler.ending.finish_at_exit) for scheduler in found]
    while steps:
        try:
            steps[0]()
            del steps[0]  # not before: after the first Ctrl-C the same step goes on
        except KeyboardInterrupt:
            if interrupted:
                raise
            interrupted = True
            _cancel(found)


def _cancel(found: list[State]) -> None:
    """Cancel pending tasks, ask running tasks to end, and log how many were cancelled."""
    before = sum(scheduler.counts()["cancelled"] for scheduler in found)
    for scheduler in found:
        scheduler.ending.interrupt()
    count = sum(scheduler.counts()["cancelled"] for scheduler in found) - before
    if count:
        LOGGER.warning("cancelled %s at exit, as Ctrl-C was pressed", counted(count, "task"))


def _was_interrupted() -> bool:
    """Return True if Ctrl-C has ended the main thread: Python sets `sys.last_type` as it prints the error."""
    last = getattr(sys, "last_type", None)
    interactive = hasattr(sys, "ps1") or sys.flags.interactive  # there the traceback may be of long ago
    return isinstance(last, type) and issubclass(last, KeyboardInterrupt) and not interactive


def _after_fork() -> None:  # pragma: no cover - in a child
    """Abandon the copies of the parent's schedulers, in the child's one thread, which may run a task."""
    CURRENT.worker = None
    CURRENT.workers.clear()
    CURRENT.due.clear()
    for scheduler in members(schedulers):
        scheduler.abandon()
    # At its exit the child waits only for schedulers of its own.
    schedulers.clear()


def come_before() -> None:
    """Register our exit hook again if another module has registered a hook since."""
    # The hooks of process pools let these refuse all later calls; loky enters its hook at the first call.
    global _hooks
    hooks: Any = threading._threading_atexits  # type: ignore[attr-defined]
    if len(hooks) != _hooks:
        with suppress(RuntimeError):  # the interpreter is exiting
            threading._register_atexit(_at_exit)  # type: ignore[attr-defined]
        _hooks = len(hooks)


assert _registers_before_us  # so its hook, which joins all threads of pools, comes after ours
come_before()
atexit.register(_at_exit_if_interrupted)
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows can't fork
    os.register_at_fork(after_in_child=_after_fork)
