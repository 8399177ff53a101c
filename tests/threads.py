"""Threads, and queues with their scheduler, that end with the test they are made in."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from gate import DEADLINE

from smqexec import Queue, Scheduler

T = TypeVar("T")


@contextmanager
def planned(*sizes: int, **options: Any) -> Iterator[Any]:
    """A scheduler, then a queue of it for each of *sizes*.  What is pending at the end is cancelled."""
    scheduler = Scheduler(**options)
    try:
        yield scheduler, *(Queue(scheduler, size) for size in sizes)
    finally:
        scheduler.shutdown(wait=False, cancel_futures=True)
        scheduler.resume()
        assert scheduler.wait(DEADLINE), scheduler
        scheduler.shutdown()


def beside(fn: Callable[..., T], *args: Any) -> Future[T]:
    """Call *fn* in a thread of its own.  Ask the future with a deadline."""
    future: Future[T] = Future()

    def call() -> None:
        try:
            future.set_result(fn(*args))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return future


def hold(lock: Any) -> Callable[[], None]:
    """Have a thread of its own take *lock*; return what lets it release that."""
    taken, free = threading.Event(), threading.Event()

    def keep() -> None:
        with lock:
            taken.set()
            free.wait(DEADLINE)

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    assert taken.wait(DEADLINE)

    def release() -> None:
        free.set()
        thread.join(DEADLINE)

    return release


def until(holds: Callable[[], object], pause: float = 0, deadline: float = DEADLINE) -> None:
    """Wait until *holds*, where nothing that could be waited for tells; look again after *pause* seconds."""
    end = time.monotonic() + deadline
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"not so within {deadline} s")
        time.sleep(pause)


@contextmanager
def without_collector() -> Iterator[None]:
    """Only reference counts free objects."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def collected(holds: Callable[[], object]) -> Callable[[], object]:
    """Return *holds* for `until`, to be asked after a collection each time.

    Without the GIL what one thread releases may be for another one to free, which sleeps perhaps; and
    so may what that held.  A collection frees it in any case.
    """

    def ask() -> object:
        gc.collect()
        return holds()

    return ask


def until_gone(*gone: Callable[[], object]) -> None:
    """Wait until these are freed.

    Without the GIL their owner thread hears of it a little later, and what the frame of a failure
    keeps is the collector's.
    """

    def holds() -> bool:
        return not any(each() is not None for each in gone)

    free_threaded = not getattr(sys, "_is_gil_enabled", lambda: True)()
    until(collected(holds) if free_threaded else holds)
