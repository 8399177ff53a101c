"""Generator functions that a test feeds, and looks at the streams of their tasks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

from gate import DEADLINE, Gate
from internals import record_of, stream_of
from outcomes import outcome
from threads import planned

from smqexec import number_of_results

END = object()


class Fed:
    """A generator function that yields what the test gives, raises what it is given to raise, ends on END."""

    def __init__(self, *given: Any) -> None:
        self._line: SimpleQueue[Any] = SimpleQueue()
        self.began = self.closed = 0
        self.give(*given)

    def give(self, *given: Any) -> None:
        for each in given:
            self._line.put(each)

    def __call__(self, *_: Any) -> Iterator[Any]:
        self.began += 1
        try:
            while (given := self._line.get(timeout=DEADLINE)) is not END:
                if isinstance(given, BaseException):
                    raise given
                if isinstance(given, Gate):
                    given.enter()
                else:
                    yield given
        finally:
            self.closed += 1


@contextmanager
def feeding(*given: Any) -> Iterator[Any]:
    """A scheduler, its queue of one slot, a `Fed` and the task of that."""
    with planned(1) as (scheduler, queue):
        fed = Fed(*given)
        yield scheduler, queue, fed, queue.submit(fed)


def count(n: int) -> Iterator[int]:
    yield from range(n)


def announced(count: Any, given: Any = ()) -> Any:
    """A `Fed` with a number of results: *count* itself, or what it gives when called."""
    fed: Any = Fed(*given)
    fed.number_of_results = count if callable(count) else lambda *_: count
    return fed


def same(x: Any = None) -> Any:
    return x


def state(*futures: Future[Any]) -> list[object]:
    """What became of *futures* so far."""
    return [outcome(future) if future.done() else None for future in futures]


def awaits(task: Any, key: Any) -> bool:
    """Return True if a thread waits for value *key* of *task*, or for its `LENGTH`."""
    stream = stream_of(task)
    item = None if stream is None else stream.items.get(key)
    at_end = None if item is None else record_of(item)
    return at_end is not None and bool(at_end.waiters or at_end.callbacks)


def before(owner: Any, name: str, act: Callable[[], object]) -> None:
    """From now on each call of method *name* of *owner* calls *act* first: the race at its worst."""
    method = getattr(owner, name)
    setattr(owner, name, lambda *args: (act(), method(*args))[1])


class Late(dict[Any, Any]):
    """The items of a stream, in place of its own: *act* is called as an item is added, before it is there."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def setdefault(self, *item: Any) -> Any:
        self.act()
        return super().setdefault(*item)


@number_of_results(lambda: 3)
def listed() -> Any:
    return [0, 1, 2]


class Counter:
    """A count that can be held, and remembers what it was asked with, and in which thread."""

    def __init__(self, gate: Gate | None = None, error: BaseException | None = None) -> None:
        self.gate, self.error = gate, error
        self.asked: list[tuple[Any, ...]] = []
        self.threads: list[int] = []

    def __call__(self, *args: Any) -> Any:
        self.asked.append(args)
        self.threads.append(threading.get_ident())
        if self.gate is not None:
            self.gate.enter()
        if self.error is not None:
            raise self.error
        return len(args[0]) if args else 0
