"""What a scheduler does for generator tasks and items: they are asked for, filled, and ended."""

from __future__ import annotations

from typing import Any

from ._admission import Admission
from ._future import Failure, traceback_of
from ._items import LENGTH, Item, Stream
from ._needs import forget, searches
from ._nodes import DONE, NEW, WAITING
from ._task import Task
from ._waiting import OF_THE_PARENT, loud


class Streams(Admission):
    """A scheduler that knows of generator tasks."""

    # Somebody asks for a part of a task.

    def stream(self, task: Task[Any], announced: bool) -> Stream | None:
        """The stream of *task*, whose function generates, made if need be; None if it is done without.

        Args:
            task: A task.
            announced: Its function has a ``number_of_results``.
        """
        with self.lock:
            if task._stream is None and task.state < DONE:
                task._stream = Stream(announced)
                task._watched().items += (self.end_items,)
            return task._stream

    def item(self, task: Task[Any], stream: Stream, index: int) -> Item[Any] | None:
        """The item of *task* for value *index*; None if there is no need to wait for that."""
        with self.lock:
            if index < len(stream.values) or stream.closed or task.state >= DONE:
                return None
            item = stream.items.get(index)
            if item is None or item.state == NEW:  # Ctrl-C struck who asked before
                item = stream.items[index] = self._part(task, index)
                # Values come without the lock: see `publish`.
                if index < len(stream.values):
                    del stream.items[index]
                    return None
                self.planner.admit(item, None, task)
            return item

    def length(self, task: Task[Any], stream: Stream) -> Item[int] | None:
        """The item for the number of results of *task*; None if there is no need to wait for that."""
        with self.lock:
            if stream.length is not None or task.state >= DONE:
                return None
            item = stream.items.get(LENGTH)
            if item is None or item.state == NEW:  # as in `item`
                item = stream.items[LENGTH] = self._part(task, LENGTH)
                self.planner.admit(item, None, task)
            return item

    def part(self, task: Task[Any], key: Any) -> Item[Any] | None:
        """The item of an ordinary *task* for ``result[key]``; None if that is done."""
        with self.lock:
            if task.state >= DONE:
                return None
            item = self._part(task, key)
            self.planner.admit(item, None, task)
            task._watched().items += (item.extract,)
            # When the task has ended, nobody is at work on what depends on the item.
            self._outside.add(item)
            return item

    def _part(self, task: Task[Any], key: Any) -> Item[Any]:
        if self._abandoned:
            raise RuntimeError(OF_THE_PARENT)
        return Item.of(task, key)

    # The generator runs.

    def open(self, task: Task[Any], announced: bool) -> Stream:
        """The stream of *task*, which is about to yield values; *announced* as for `stream`."""
        with self.lock:
            stream = task._stream
            if stream is None:
                stream = task._stream = Stream(announced)
            return stream

    def announce(self, stream: Stream, length: int) -> None:
        """Note how many values there will be, and wake the threads that wait for that."""
        with self.lock:
            stream.length = length
            item = stream.items.pop(LENGTH, None)
        if item is not None:
            self.complete_item(item, length)

    def publish(self, stream: Stream, value: Any) -> None:
        """Add a value, taking the lock only where items are asked for.

        A thread that yields values all the time would else leave the lock to
        nobody.  Here a value is added, then it is seen whether items are asked
        for; who asks enters the item, then sees whether its value is there.  So
        one of the two sees the other: methods of a list and a dict are atomic,
        and, without the GIL, full barriers.
        """
        values = stream.values
        values.append(value)
        if stream.items:
            if not self.lock.acquire(False):
                self._lock()
            item = stream.items.pop(len(values) - 1, None)
            if item is None:
                self.lock.release()
            else:
                self._complete(item, value)

    def close_stream(self, stream: Stream) -> None:
        """Note that all values are there: fail the items left."""
        with self.lock:
            stream.closed = True
            left = list(stream.items.items())
        for index, item in left:
            self.fail_item(item, stream.missing(index))

    def end_items(self, task: Any) -> None:
        """End the items left by *task*, which has ended: its callback where items may be asked for early."""
        stream: Stream = task._stream
        with self.lock:
            length = stream.items.pop(LENGTH, None)
            left = list(stream.items.values())
        # Where there are any, the task has turned out to be an ordinary one.
        if length is not None:
            self.complete_item(length, None)
        for item in left:
            item.extract(task)

    # An item ends.

    def complete_item(self, item: Item[Any], value: Any) -> None:
        """Note that *value* is there: free what depends on *item*, unless it was cancelled meanwhile."""
        if not self.lock.acquire(False):
            self._lock()
        self._complete(item, value)

    def _complete(self, item: Item[Any], value: Any) -> None:
        """Do what `complete_item` does.  The lock is held, and let go of."""
        watch = item._watch
        starts = None
        try:
            try:
                pending = item.state == WAITING and not self._abandoned
                if pending:
                    item._outcome = value
                    starts = self._wake_for(self.planner.done(item))
                    self._outside.discard(item)
                    if searches:
                        forget(item)
                    item._leave(watch)
            finally:
                self.lock.release()
        except Exception as error:
            self.break_down(error, None, item)
            return
        if not pending:
            return
        item._let_go()
        if watch is not None:
            item._announce(watch)
        self._start(starts)
        if watch is not None:
            item._tell(watch)

    def fail_item(self, item: Item[Any], error: BaseException) -> None:
        """Note that there is no value for *item*, unless it was cancelled meanwhile."""
        with loud(self):
            with self.lock:
                if item.state != WAITING or self._abandoned:
                    return
                ended, starts = self._drop(item, Failure(error, traceback_of(error)))
            self._start(starts)
            self._finish(ended)
