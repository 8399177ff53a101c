"""Items, and the streams of generator tasks: a user's request makes an item, and its value ends the item.

A `Stream` belongs to one generator task.  Only the worker of the task writes `Stream.values`, without the
lock; the scheduler's lock guards the other fields.  A pending item of a generator task is in `Stream.items`,
and in the planner, as a relay that depends on the task: so dependents of the item need the task.  It leaves
both when its value is published, or when the task ends without that value.

An item of an ordinary task is a relay, too.  The end of the task calls `Item._extract`, and until the item
has ended it is in `State.relays`.
"""

from __future__ import annotations

from typing import Any

from .._calls.frames import traceback_of
from .._calls.interrupts import DEFERRED, call_deferred
from .._core.exclusive import OF_THE_PARENT, REENTRANT, breakdown_on_error
from .._core.searches import forget, searches
from .._core.state import State
from .._core.termination import Termination
from .._core.wake import Wake
from .._futures.future import Failure
from .._futures.items import LENGTH, Item, Stream
from .._futures.task import Task
from .._planner import DONE, NEW, WAITING


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

    def item(self, task: Task[Any], stream: Stream, index: int) -> Item[Any] | None:
        """Return the pending item of *task* for value *index*; None if its value, or its error, is known."""
        core = self._core
        lock = core.lock
        if lock._is_owned():
            raise RuntimeError(REENTRANT)
        item = None
        try:
            with lock:
                if not (index < len(stream.values) or stream.closed or task._stage >= DONE):
                    item = stream.items.get(index)
                    # NEW: Ctrl-C interrupted an earlier call before it added the item.
                    if item is None or item._stage == NEW:
                        item = stream.items[index] = self._part(task, index)
                        # Look again, now that the item is in `items`: see `publish`.
                        if index < len(stream.values):
                            del stream.items[index]
                            item = None
                        else:
                            core.planner.add(item, None, task)
        except BaseException:
            # Ctrl-C may come after the lock is taken and before the `with` block begins.
            if lock._is_owned():
                lock.release()
            raise
        if DEFERRED:
            call_deferred()
        return item

    def length(self, task: Task[Any], stream: Stream) -> Item[int] | None:
        """Return the pending item for the length of *task*; None if that is known or *task* has ended."""
        with self._core.exclusive():
            if stream.length is not None or task._stage >= DONE:
                return None
            item = stream.items.get(LENGTH)
            if item is None or item._stage == NEW:  # as in `item`
                item = stream.items[LENGTH] = self._part(task, LENGTH)
                self._core.planner.add(item, None, task)
            return item

    def part(self, task: Task[Any], key: Any) -> Item[Any] | None:
        """Return a pending item for ``result[key]`` of an ordinary *task*; None if *task* has ended."""
        with self._core.exclusive():
            if task._stage >= DONE:
                return None
            item = self._part(task, key)
            self._core.planner.add(item, None, task)
            task._get_at_end().item_callbacks += (item._extract,)
            # Between the ends of the task and of the item, no running task leads to the item.
            self._core.relays.add(item)
            return item

    def _part(self, task: Task[Any], key: Any) -> Item[Any]:
        """Return a new item of *task*; raise a RuntimeError after a fork.  The lock is held."""
        if self._core._abandoned:
            raise RuntimeError(OF_THE_PARENT)
        return Item._of(task, key)

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
        """Append *value*, and end its item if there is one; take the lock only if any item is pending."""
        # No item misses its value.  This thread appends the value, then looks for items; `item` stores the
        # item, then looks for the value.  So at least one of them sees the other: methods of lists and dicts
        # are atomic, and full memory barriers.  If both do, the lock lets one end the item.
        values = stream.values
        values.append(value)
        if stream.items:
            if not self._core.lock.acquire(False):
                self._core.spin_and_lock()
            item = stream.items.pop(len(values) - 1, None)
            if item is None:
                self._core.lock.release()
                if DEFERRED:
                    call_deferred()
            else:
                self._complete(item, value)

    def close_stream(self, stream: Stream) -> None:
        """Record that the generator has returned; fail the items that have no value."""
        with self._core.exclusive():
            # `item` looks at this under the same lock: it makes no item after the list is copied.
            stream.closed = True
            left = list(stream.items.items())
        for index, item in left:
            self.fail_item(item, stream.missing(index))

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
        """End *item* with *value*; do nothing if it has been cancelled."""
        if not self._core.lock.acquire(False):
            self._core.spin_and_lock()
        self._complete(item, value)

    def _complete(self, item: Item[Any], value: Any) -> None:
        """Do what `complete_item` does.  The caller has taken the lock; this releases it."""
        core = self._core
        at_end = item._at_end
        starts = None
        try:
            try:
                # A cancelled item has left the planner.  After a fork the item is the parent process's.
                pending = item._stage == WAITING and not core._abandoned
                if pending:
                    item._outcome = value
                    starts = self._wake.wake_for(core.planner.done(item))
                    core.relays.discard(item)
                    if searches:
                        forget(item)
                    item._leave(at_end)
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
        item._release()
        if at_end is not None:
            item._wake_waiters(at_end)
        if starts:
            self._wake.start(starts)
        if at_end is not None:
            item._call_callbacks(at_end)

    def fail_item(self, item: Item[Any], error: BaseException) -> None:
        """Fail *item*, which gets no value; do nothing if it has been cancelled."""
        section = self._core.exclusive()
        with breakdown_on_error(self._core):
            with section:
                if item._stage != WAITING or self._core._abandoned:
                    return
                effects = self._termination.drop(item, Failure(error, traceback_of(error)))
            self._termination.perform(effects)
