"""Items, and the stream of a generator task.

To the planner an item is a relay: never started, and done when its value is published.  An item of a
generator task depends on nothing; the worker that yields the value ends the item.  An item of an
ordinary task is a part of its result, cut when the task ends.
"""

from __future__ import annotations

from concurrent.futures import Future
from reprlib import repr as short
from typing import Any, TypeVar

from .._calls.frames import ours, strip_ours, traceback_of
from .._planner import DONE, NEW, NONE
from .future import FAILED, Failure, PlannedFuture, new
from .owner import Home
from .remote_value import Kept

R = TypeVar("R")


class Length:
    """The type of `LENGTH`, which stands in place of an index for the number of results."""


# The key of an item that only `len` waits for: no user's key is this object.
LENGTH = Length()


class Item(PlannedFuture[R]):
    """A part of a task's output: one value of a generator task, or ``result[key]`` of an ordinary one.

    Made by ``task[key]``.  A full future, and an argument for later calls.
    Cancelling it cancels its dependents, and not the task.
    """

    __slots__ = ("_home", "_key", "_source")
    _kind = "Item"
    _ended_by_owner = True

    _home: Home | None
    _source: Any  # the `Task`; None once the item has ended
    _key: Any  # of the part; `LENGTH` stands for the number of values

    def __init__(self, *_: object, **__: object) -> None:
        raise TypeError("an Item can't be made by itself: task[key] makes them")

    @classmethod
    def _of(cls, source: Any, key: Any) -> Item[Any]:
        """Return a new item for the part *key* of *source*."""
        item: Item[Any] = new(cls)
        item._number = item._missing = 0
        item._stage = NEW
        item._dependencies = NONE
        item._home = None if source is None else source._queue
        item._source = source
        item._key = key
        item._queue = item._dependents = item._search = item._place = item._outcome = item._at_end = None
        return item

    @classmethod
    def _ended(cls, state: int, outcome: Any) -> Item[Any]:
        """Return an item that is done."""
        item: Item[Any] = cls._of(None, None)
        item._outcome = outcome
        item._stage = state
        return item

    @classmethod
    @ours
    def _cut(cls, result: Any, key: Any) -> Item[Any]:
        """Return a done item for ``result[key]``, or for the error that it raises."""
        try:
            if type(result) is Kept:
                return cls._ended(DONE, Kept(result.future.part(key)))
            return cls._ended(DONE, result[key])
        except Exception as error:
            strip_ours(error)
            return cls._ended(FAILED, Failure(error, traceback_of(error)))

    @ours
    def _extract(self, task: Future[Any]) -> None:
        """Take this part of the result of *task*, which has ended: an item callback of it."""
        queue, result = self._home, task._outcome  # type: ignore[attr-defined]
        if queue is None or task.cancelled() or isinstance(result, Failure):
            return  # this item ended with the task, or before
        try:
            value = Kept(result.future.part(self._key)) if type(result) is Kept else result[self._key]
        except BaseException as error:
            strip_ours(error)
            queue.scheduler.streams.fail_item(self, error)
        else:
            queue.scheduler.streams.complete_item(self, value)

    def promote(self) -> bool:
        """Make the item's task count as newly submitted.

        Returns:
            False if that task is running or done; nothing changes then.
        """
        source = self._source
        return source is not None and source.promote()

    def _producer(self) -> Any:
        return self._source

    def _release(self) -> None:
        self._source = self._key = None
        self._dependencies = NONE

    def _words(self) -> list[str]:
        source, key = self._source, self._key
        if source is None:
            return []
        # No method of a user's type is called: a failing callback is logged with this.
        name = short(key) if type(key) in (int, str) else type(key).__qualname__
        return [f"{name} of {source!r}"]


class Stream:
    """The values of a generator task so far, and its pending items.

    Only the worker that runs the task changes `values`, which only grow: those below a length once seen
    may be read without the lock.  The scheduler's lock guards all else until the task is done.
    """

    __slots__ = ("announced", "closed", "items", "length", "values")

    def __init__(self, announced: bool) -> None:
        self.values: list[Any] = []  # the task's result is a copy
        # The pending items by index, and the one for `LENGTH`.
        self.items: dict[Any, Item[Any]] = {}
        self.announced = announced  # the function has a number_of_results
        self.length: int | None = None  # its answer, once the worker has asked
        self.closed = False  # the generator has returned: all values are there

    def missing(self, index: int) -> IndexError:
        """Return the error of an item beyond the last value of a closed stream."""
        count = len(self.values)
        announced = self.length or 0
        few = f", fewer than the {announced} announced" if count < announced else ""
        values = f"{count} value{'s' * (count != 1)}"
        return IndexError(f"there is no item {index}: the generator yielded {values}{few}")
