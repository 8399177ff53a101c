"""Items, and the streams of generator tasks: a user's request makes an item, and its value ends the item.

A `Stream` belongs to one generator task.  Only the worker of the task writes `Stream.values`, without the
lock.  A pending item of a generator task is in `Stream.items`.  For the planner it is a relay that depends on
the task: so dependents of the item need the task.  A request adds it without the lock; under the lock it
ends, and leaves `Stream.items`, when its value is published or the task ends without that value.

No request misses the end of its item.  The request adds the item, then looks whether the value, or the end
of the stream or of the task, is there; the other thread writes one of these, then looks for items.  So at
least one of the two sees the other: methods of lists and dicts are atomic, and full memory barriers.  If
both do, the lock lets one of them end the item.  If the request alone does, the task may end before it has
ended the item: so the end of a task spares the items that have a value.

An item of an ordinary task is a relay, too.  The end of the task calls `Item._extract`, and until the item
has ended it is in `State.relays`.
"""

from __future__ import annotations

from typing import Any

from .._calls.interrupts import DEFERRED, call_deferred
from .._core.exclusive import breakdown_on_error
from .._core.queue_state import QueueState
from .._core.state import State
from .._core.termination import Termination
from .._core.wake import Wake
from .._futures.future import CANCELLED, Failure
from .._futures.items import LENGTH, Item, Stream
from .._futures.task import Task
from .._planner import DONE, WAITING

# Stands for an item that was cancelled.
CANCELLED_ITEM: Item[Any] = Item._ended(CANCELLED, None)


class Streams:
    """The part of a scheduler for generator tasks and items."""

    def __init__(self, core: State, wake: Wake, termination: Termination) -> None:
        # Constant: the state; the part that starts workers; the part that ends items without a value.
        self._core = core
        self._wake = wake
        self._termination = termination

    # Requests for a part of a task.  Called by any thread.

    def stream(self, task: Task[Any], announced: bool) -> Stream | None:
        """Return the stream of *task*; make one first if *task* has none and is not done.

        Args:
            task: A task whose function `generates`.
            announced: The function has a ``number_of_results``.
        """
        with self._core.exclusive():
            if task._stream is None and task._stage < DONE:
                task._stream = Stream(announced)
                task._get_at_end().item_callbacks += (self.end_items,)
            return task._stream

    def item(self, home: QueueState, task: Task[Any], stream: Stream, index: int) -> Item[Any]:
        """Return the item of *task*, of the queue *home*, for value *index*.  Takes no lock, in general."""
        item = stream.items.get(index)
        if item is None:
            item = stream.items.setdefault(index, Item._of(home, task, index))
        # Also for an item of an earlier request, which Ctrl-C may have interrupted.
        if index < len(stream.values) or stream.closed or task._stage >= DONE:
            self._end_late(task, stream, item, index)
        return item

    def _end_late(self, task: Task[Any], stream: Stream, item: Item[Any], index: int) -> None:
        """End *item*, which was perhaps added after its value, or its error, was known."""
        known = task._known(stream, index)
        with self._core.exclusive() as section:
            if known._stage == DONE:
                section.then(self.complete_item, item, known._outcome)
                section.then(stream.items.pop, index, None)
            else:
                section.then(self.fail_item, item, known._outcome)

    def length(self, task: Task[Any], stream: Stream) -> Item[int] | None:
        """Return the pending item for the length of *task*; None if that is known or *task* has ended."""
        with self._core.exclusive():
            if stream.length is not None or task._stage >= DONE:
                return None
            item = stream.items.get(LENGTH)
            if item is None:
                item = stream.items[LENGTH] = self._part(task, LENGTH)
            return item

    def part(self, task: Task[Any], key: Any) -> Item[Any] | None:
        """Return a pending item for ``result[key]`` of an ordinary *task*; None if *task* has ended."""
        with self._core.exclusive():
            if task._stage >= DONE:
                return None
            item = self._part(task, key)
            self._core.planner.add_relay(item, task)
            task._get_at_end().item_callbacks += (item._extract,)
            # Between the ends of the task and of the item, no running task leads to the item.
            self._core.relays.add(item)
            return item

    def _part(self, task: Task[Any], key: Any) -> Item[Any]:
        """Return a new item of *task*, which has not ended.  The lock is held."""
        home: Any = task._home
        return Item._of(home, task, key)

    # Called by the worker of the generator task.

    def announce(self, stream: Stream, length: int) -> None:
        """Store the announced *length*, and end the item that threads in ``len(task)`` wait for."""
        with self._core.exclusive() as section:
            # `length` looks at this under the same lock before it makes an item: so no item is left behind.
            stream.length = length
            item = stream.items.pop(LENGTH, None)
            if item is not None:
                section.then(self.complete_item, item, length)

    def publish(self, stream: Stream, value: Any) -> None:
        """Append *value*, and end its item if there is one; else take no lock."""
        values = stream.values
        index = len(values)
        values.append(value)
        if index in stream.items:
            if not self._core.lock.acquire(False):
                self._core.spin_and_lock()
            self._complete(stream.items.pop(index, CANCELLED_ITEM), value)

    def close_stream(self, stream: Stream) -> None:
        """Record that the generator has returned; fail the items that have no value."""
        with self._core.exclusive():
            # First: a request that adds its item after the copy sees this.
            stream.closed = True
            left = stream.without_value()
        for index, item in left.items():
            self.fail_item(item, Failure(stream.missing(index)))

    def end_items(self, task: Any) -> None:
        """End the items of *task*, which has ended although its call returned no iterator.

        In all other cases no item is pending here: a failure, a cancellation or `close_stream` ended them.
        """
        stream: Stream = task._stream
        with self._core.exclusive():
            length = stream.items.pop(LENGTH, None)
            left = list(stream.items.values())
        if length is not None:
            self.complete_item(length, None)
        for item in left:
            item._extract(task)

    # The end of an item.

    def complete_item(self, item: Item[Any], value: Any) -> None:
        """End *item* with *value*; do nothing if it has ended."""
        if not self._core.lock.acquire(False):
            self._core.spin_and_lock()
        self._core.relays.discard(item)
        self._complete(item, value)

    def _complete(self, item: Item[Any], value: Any) -> None:
        """Do what `complete_item` does.  The caller has taken the lock; this releases it."""
        core = self._core
        at_end = item._at_end
        starts = None
        try:
            try:
                # A cancelled item has left the planner.
                pending = item._stage == WAITING
                if pending:
                    item._outcome = value
                    freed = core.planner.done(item)
                    if freed:
                        starts = self._wake.wake_for(freed)
                    if at_end is None:
                        item._home = None
                    else:
                        item._leave()
            finally:
                core.lock.release()
        except Exception as error:
            core.break_down(error, None, item)
            return
        if DEFERRED:
            call_deferred()
        if not pending:
            return
        # In the order of a task's end: references, waiters, workers, callbacks.  Callbacks are last, as a
        # callback may wait for a task of a worker that is started here.
        item._source = item._key = None  # as `_release`; the planner has released the dependencies
        if at_end is None:
            if starts is not None:
                self._wake.start(starts)
            return
        item._wake_waiters(at_end)
        self._wake.start(starts)
        item._call_callbacks(at_end)

    def fail_item(self, item: Item[Any], fate: Failure | None) -> None:
        """End *item*, which gets no value, with the failure *fate*, or cancelled if that is None.

        Do nothing if it has ended.
        """
        section = self._core.exclusive()
        with breakdown_on_error(self._core):
            with section:
                if item._stage != WAITING:
                    return
                effects = self._termination.drop(item, fate)
            self._termination.perform(effects)
