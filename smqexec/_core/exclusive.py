"""The one lock of a scheduler, and how to take it: by `Exclusive.exclusive`, except in hot paths.

A signal handler or finalizer may interrupt the thread that holds the lock, perhaps in the middle of a change.
A *reentrant* call, one that the handler makes, can't wait for the lock, as the thread goes on only when the
handler has returned.  So the calls that handlers may make are *deferred*: the same thread makes them as soon
as it has released the lock.  A call that only reads goes on; all other reentrant calls raise.  The lock is an
RLock, as an RLock knows whether the calling thread holds it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from threading import get_ident
from typing import Any, Never, TypeVar

from .._calls.interrupts import DEFERRED, MAIN, call_deferred, headroom, uninterrupted
from .queue_state import Worker

R = TypeVar("R")

REENTRANT = "a signal handler or finalizer interrupted the scheduler itself: make this call in another thread"

# How often a thread asks for the lock before it blocks.
SPINS = 20


class Forked(RuntimeError):
    """An object of the parent process was used in a forked child."""


class ForkedLock:
    """The lock, in a forked child, of a scheduler whose workers and tasks are the parent's."""

    def acquire(self, *_: object) -> Never:
        raise Forked("the queue was made before the fork, and its tasks are the parent's; make a new one")

    _is_owned = release = __enter__ = __exit__ = acquire


class Exclusive:
    """The lock, and how to take it."""

    def __init__(self) -> None:
        # Guards the planner, all queues and tasks, and all of `State`.  `State.abandon` replaces it.
        self.lock: Any = threading.RLock()
        # Workers to start.  The thread that releases the lock takes them: while it is free the list is empty.
        self.starts: list[Worker] = []

    #: Start these workers; the lock is not held.
    start_workers: Callable[[Sequence[Worker]], None]
    #: Fail all pending tasks with an exception of our own code: see ``recovery``.  Set once.
    break_down: Callable[..., None]

    def yield_lock(self) -> None:
        """Release the lock, which is held, for other threads, and take it again."""
        starts = self.take_starts()  # kept, as the thread that starts an inline worker may run its tasks
        self.lock.release()
        time.sleep(0)
        self.lock.acquire()
        self.starts = starts

    def take_starts(self) -> list[Worker]:
        """Return the workers that the caller starts once it has released the lock, which is held."""
        starts, self.starts = self.starts, []
        return starts

    def spin_and_lock(self) -> None:
        """Take the lock, which another thread holds: the caller has tried once."""
        # A thread that blocks at once gets the lock at its release, but then waits for the interpreter lock:
        # three times the cost with 16 threads.  In the main thread spinning doubles submits on 3.13t.
        if get_ident() not in MAIN:
            for _ in range(SPINS):
                time.sleep(0)  # lets the holder go on
                if self.lock.acquire(False):
                    return
        elif self.lock.acquire(True, 1e-4):
            return
        with uninterrupted():  # a periodic handler that waits here too would interrupt itself again and again
            self.lock.acquire()

    def reading(self) -> AbstractContextManager[object]:
        """Return a block that holds the lock, for code that only reads: a reentrant call may enter it."""
        return nullcontext() if self.lock._is_owned() else Section(self)

    def step(self, change: Callable[..., R], *args: Any) -> R:
        """Return ``change(*args)``, called under the lock; a reentrant call raises.

        Handlers are not masked, which would cost 2 µs: see `uninterrupted`.  So one may raise in *change*.
        """
        lock = self.lock
        if lock._is_owned():
            raise RuntimeError(REENTRANT)
        try:
            if not lock.acquire(False):
                self.spin_and_lock()
            result = change(*args)
            lock.release()
        except BaseException:
            while True:
                try:
                    if lock._is_owned():
                        lock.release()
                    break
                except BaseException:  # a signal once more
                    pass
            raise
        finally:
            if DEFERRED:
                call_deferred()
        return result

    def exclusive(self) -> Section:
        """Return a block that holds the lock and masks handlers; its begin raises in a reentrant call."""
        headroom()  # raises RecursionError before anything has been changed
        return Section(self)

    @contextmanager
    def changing(self) -> Generator[Section]:
        """Do what `exclusive` does; an error of our own in the block breaks the scheduler down."""
        section = self.exclusive()
        with uninterrupted():  # its end, and not ``try``, gets the exceptions of masked handlers
            try:
                with section:
                    yield section
            except Exception as error:
                self.break_down(error)

    def deferred(self, call: Callable[..., object], *args: Any) -> bool:
        """If this call is reentrant, defer *call* and return True; else return False."""
        with suppress(Forked):  # *call* would change tasks of the parent: it is never made
            if not self.lock._is_owned():
                return False
            DEFERRED.setdefault(get_ident(), []).append(partial(call, *args))
        return True


class Section(uninterrupted):
    """The block of `Exclusive.exclusive`, of one thread.  Cost: 2 µs in the main thread, 1 µs elsewhere."""

    __slots__ = ("_core", "_starts", "_then", "first")

    def __init__(self, core: Exclusive) -> None:
        self._core = core
        # Calls to make, in this order, after the lock was released; those of `first` before workers start.
        self.first: list[Callable[[], object]] = []
        self._then: list[Callable[[], object]] = []
        self._starts: list[Worker] = []  # the next `Exclusive.starts`: at the end there may be no memory

    def __enter__(self) -> Section:
        core = self._core
        if core.lock._is_owned():
            raise RuntimeError(REENTRANT)
        super().__enter__()
        if not core.lock.acquire(False):
            core.spin_and_lock()
        return self

    def then(self, call: Callable[..., object], *args: Any) -> None:
        """Make *call* after the lock was released, even if the block or an earlier call raises."""
        self._then.append(partial(call, *args))

    def __exit__(self, *_: object) -> None:
        core = self._core
        try:
            starts, core.starts = core.starts, self._starts
            core.lock.release()
            try:  # handlers are still masked, so all calls are made
                _perform(self.first)
            finally:
                try:
                    core.start_workers(starts)
                    if DEFERRED:
                        call_deferred()  # these, and callbacks, may wait for what was started
                finally:
                    _perform(self._then)
        finally:
            super().__exit__()


def _perform(calls: list[Callable[[], object]]) -> None:
    """Make all *calls*, and raise the last exception of them."""
    try:
        while calls:
            calls.pop(0)()
    except BaseException:
        _perform(calls)
        raise
