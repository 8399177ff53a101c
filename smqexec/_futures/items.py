"""Items, and the streams of generator tasks.

For the planner an item is a relay that depends on its task: no worker starts it.  The scheduler's lock guards
pending items.  An item is made done if its value or error is known.
"""

from __future__ import annotations

from typing import Any, TypeVar

from .._planner.nodes import NONE, WAITING
from .future import PlannedFuture, new
from .names import counted, shown
from .owner import Home
from .remote_value import Kept, keeping

R = TypeVar("R")


class Length:
    """The key of the item that ends when the length of a stream is known.  It equals no other key."""


LENGTH = Length()


class Item(PlannedFuture[R]):
    """A part of a task's output: one value of a generator task, or ``result[key]`` of an ordinary task.

    Made by ``task[key]``.  It is a future with all methods, and an argument for later calls.
    `cancel` cancels the dependents of the item; its task only with ``dependencies=True``.
    """

    __slots__ = ("_home", "_key", "_source")
    _ended_by_owner = True
    # As of all relays.
    _number = 0
    _queue = None

    _home: Home | None  # as in the base class
    _source: Any  # the `Task`; None after the end
    _key: Any  # the index or key of the part, or `LENGTH`; None after the end

    @classmethod
    def _of(cls, home: Home, source: Any, key: Any) -> Item[Any]:
        """Return a pending item for the part *key* of *source*, a task of *home*; the caller links it."""
        item: Item[Any] = new(keeping(Item) if home.remote_values else cls)
        item._stage = WAITING
        item._missing = 2  # *source*, and the end by the owner
        item._dependencies = item._source = source
        item._key = key
        item._dependents = item._search = item._place = item._outcome = item._at_end = None
        item._home = home  # last: see `break_down`
        return item

    @classmethod
    def _ended(cls, stage: int, outcome: Any) -> Item[Any]:
        """Return an item that has ended, with a final *stage*."""
        item: Item[Any] = new(keeping(Item) if type(outcome) is Kept else cls)
        item._stage = stage
        item._outcome = outcome
        item._missing = -1
        item._dependencies = NONE
        item._home = item._source = item._key = None
        item._dependents = item._search = item._place = item._at_end = None
        return item

    def _producer(self) -> Any:
        return self._source

    def _release(self) -> None:
        super()._release()
        self._source = self._key = None

    def __repr__(self) -> str:
        source, key = self._source, self._key
        if source is None:
            return self._described()
        return self._described(f"{shown(key)} of {source!r}")


class Stream:
    """The published values of a generator task, and its pending items: see ``streams``.

    Any thread may read a value below a length that it has seen, without the lock, and may add an item.  The
    scheduler's lock guards the rest until the task is done: items leave, the length becomes known.
    """

    __slots__ = ("announced", "closed", "items", "length", "values")

    def __init__(self, announced: bool) -> None:
        # The published values.  Only the worker of the task appends; nothing removes or replaces a value.
        self.values: list[Any] = []
        self.items: dict[Any, Item[Any]] = {}  # the pending ones by index, and the one for `LENGTH`
        self.announced = announced  # the function has a ``number_of_results``; constant
        self.length: int | None = None  # the announced one, once the worker has asked for it
        self.closed = False  # the generator has returned: `values` is complete; written last, by the worker

    def missing(self, index: int) -> IndexError:
        """Return the error of an item beyond the last value of a closed stream."""
        count = len(self.values)
        announced = self.length or 0
        few = f", fewer than the {announced} announced" if count < announced else ""
        return IndexError(f"there is no item {index}: the generator yielded {counted(count, 'value')}{few}")
