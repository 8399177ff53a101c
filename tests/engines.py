"""Executors for the tests of engine queues: one whose calls the test makes, one that calls at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

from gate import DEADLINE

from smqexec import Queue, Scheduler


class Manual(Executor):
    """An executor that does nothing of itself: the test runs each call, when it wants."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.calls: list[tuple[Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []
        self.refuses: BaseException | None = None

    @property
    def arguments(self) -> list[tuple[Any, ...]]:
        """Those of the calls that are there."""
        return [args for _, _, args, _ in self.calls]

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.refuses is not None:
            raise self.refuses
        future: Future[Any] = Future()
        with self._changed:
            self.calls.append((future, fn, args, kwargs))
            self._changed.notify_all()
        return future

    def run(self, number: int = 0) -> None:
        """Make the call *number* of those that are there, and forget it."""
        future, fn, args, kwargs = self.calls.pop(number)
        assert future.set_running_or_notify_cancel()
        try:
            result = fn(*args, **kwargs)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    def run_all(self) -> None:
        """Make calls in turn until none is there, also those that come meanwhile."""
        while self.calls:
            self.run()

    def wait_for(self, count: int) -> None:
        """Block until *count* calls are there."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.calls) >= count, DEADLINE):
                raise TimeoutError(f"{len(self.calls)} of {count} calls came within {DEADLINE} s")


@contextmanager
def manual(*args: Any, engine: Any = None, **options: Any) -> Iterator[Any]:
    """A scheduler, a `Manual` or another *engine*, and a queue on that."""
    engine = engine or Manual()
    with Scheduler() as scheduler:
        yield scheduler, engine, Queue(scheduler, *args, executor=engine, **options)


class Inline(Executor):
    """An executor that makes each call in `submit`, as some do for debugging."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future
