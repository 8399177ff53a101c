"""What a scheduler does for generator tasks and items: they are asked for, filled, and ended."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any

from ._arguments import DIRECT, Template, value_of
from ._dispatch import Dispatcher
from ._functions import length, name_of
from ._future import Failure
from ._items import Item, Stream
from ._nodes import DONE, RUNNING, WAITING
from ._task import Task
from ._waiting import OF_THE_PARENT


class Streams(Dispatcher):
    """A `Dispatcher` that knows of generator tasks."""

    # Somebody asks for a part of a task.

    def stream(self, task: Task[Any], announcement: Callable[..., Any] | None) -> Stream | None:
        """The stream of *task*, whose function generates, made if need be; None if it is done without."""
        with self.lock:
            if task._stream is None and task.state < DONE:
                task._stream = Stream(announcement)
                task._watched().callbacks.append(self._close)
            return task._stream

    def item(self, task: Task[Any], stream: Stream, index: int) -> Item[Any] | None:
        """The item of *task* for value *index*; None if there is no need to wait for that."""
        with self.lock:
            if index < len(stream.values) or stream.closed or task.state >= DONE:
                return None
            item = stream.items.get(index)
            if item is None:
                item = stream.items[index] = self._part(task, index)
            return item

    def part(self, task: Task[Any], key: Any) -> Item[Any] | None:
        """The item of an ordinary *task* for ``result[key]``; None if that is done."""
        with self.lock:
            if task.state >= DONE:
                return None
            item = self._part(task, key)
            task._watched().callbacks.append(item.extract)
            # When the task has ended, nobody is at work on what depends on the item.
            self._outside.add(item)
            return item

    def _part(self, task: Task[Any], key: Any) -> Item[Any]:
        if self._abandoned:
            raise RuntimeError(OF_THE_PARENT)
        item: Item[Any] = Item(task, key)
        self.planner.admit(item, None, [task])
        return item

    # The generator runs.

    def open(self, task: Task[Any], announcement: Callable[..., Any] | None) -> Stream:
        """The stream of *task*, which is about to yield values."""
        with self.lock:
            stream = task._stream
            if stream is None:
                stream = task._stream = Stream(announcement)
            return stream

    def publish(self, stream: Stream, value: Any) -> Item[Any] | None:
        """Add a value.

        Returns:
            The item that was asked for it, to be completed.
        """
        if not self.lock.acquire(False):
            self._lock()
        try:
            values = stream.values
            item = stream.items.pop(len(values), None) if stream.items else None
            values.append(value)
            return item
        finally:
            self.lock.release()

    def close_stream(self, stream: Stream) -> None:
        """Note that all values are there: fail the items left."""
        with self.lock:
            stream.closed = True
            left = list(stream.items.items())
        for index, item in left:
            self.fail_item(item, stream.missing(index))

    def _close(self, task: Any) -> None:
        """The callback of a task whose stream was asked for something: end what it left."""
        stream: Stream = task._stream
        with self.lock:
            left = list(stream.items.values())
            counting = stream.counting
        for item in left:  # it has turned out to be an ordinary one
            item.extract(task)
        if counting is not None and not counting.done():
            outcome = task._outcome
            if task.cancelled():
                outcome = Failure(CancelledError(), None)
            elif not isinstance(outcome, Failure):
                outcome = Failure(TypeError(f"{task!r} has turned out to be no generator task"), None)
            counting.set_exception(outcome.exception)

    # An item ends.

    def complete_item(self, item: Item[Any], value: Any) -> None:
        """Note that *value* is there: free what depends on *item*, unless it was cancelled meanwhile."""
        condition = None
        if not self.lock.acquire(False):
            self._lock()
        watch = item._watch
        if watch is not None and watch.condition is not None:
            condition = self._lock_below(watch.condition)
        starts = None
        try:
            pending = item.state == WAITING and not self._abandoned
            if pending:
                item._outcome = value
                starts = self._wake_for(self.planner.done(item))
                self._outside.discard(item)
                if condition is None:
                    item._watch = None
                item._home = None  # last: from here on `_condition` may make a new watch
        finally:
            self.lock.release()
        if not pending:
            if condition is not None:
                condition.release()
            return
        item._let_go()
        if watch is not None:
            self._announce(item, watch, condition)
        self._start(starts)
        if watch is not None:
            item._tell(watch)

    def fail_item(self, item: Item[Any], error: BaseException) -> None:
        """Note that there is no value for *item*, unless it was cancelled meanwhile."""
        with self.lock:
            if item.state != WAITING or self._abandoned:
                return
            ended, starts = self._drop(item, Failure(error, error.__traceback__))
        self._start(starts)
        self._finish(ended)

    # How many there will be.

    def length(self, task: Task[Any], stream: Stream, patient: bool = True) -> None:
        """Find out the length announced for *task*, whose stream is *stream*.  Not in its own thread.

        Args:
            task: A generator task.
            stream: Its stream.
            patient: Wait for what that takes: the futures among the
                arguments, or another thread that is at it.

        Raises:
            BaseException: The announcement failed, and so does *task*.
        """
        if stream.announcement is None:
            return
        with self.lock:
            waiting = task.state == WAITING
            needs = _futures(task) if waiting else []
        if waiting and not patient:
            return
        if any([_fails(future) for future in needs]):  # all of them: what it waits for is the last one
            task.exception()
            return
        with self.lock:
            if stream.length is not None or task.state >= DONE:
                return
            mine = stream.counter is None and task.state < RUNNING
            if mine:
                stream.counter = threading.get_ident()
                fn, args, kwargs = task._fn, task._args, task._kwargs
                if type(kwargs) is Template:
                    kwargs.share()
            elif stream.counter == threading.get_ident():
                raise RuntimeError("number_of_results asks for the length that it is to give")
            counting = stream.awaited()
        if mine:
            self._count_early(task, stream, fn, args, kwargs)
        if mine or patient:
            counting.result()

    def _count_early(self, task: Task[Any], stream: Stream, fn: Any, args: Any, kwargs: Any) -> None:
        try:
            if kwargs is DIRECT:
                args, kwargs = [value_of(value) for value in args], None
            elif type(kwargs) is Template:
                args, kwargs = kwargs.fill()
            self._count(stream, name_of(fn), args, kwargs)
        except Exception as error:
            with self.lock:
                if task.state >= RUNNING:
                    return  # it will hear of it, or has ended
                ended, starts = self._drop(task, Failure(error, error.__traceback__))
            self._start(starts)
            self._finish(ended)
        finally:
            with self.lock:
                if stream.length is None:
                    stream.counter = None

    def announce_length(self, stream: Stream, name: str, args: Any, kwargs: Any) -> None:
        """Find out the length announced for the task of the calling thread.

        Raises:
            BaseException: The announcement failed.
        """
        with self.lock:
            mine = stream.counter is None
            if mine:
                stream.counter = threading.get_ident()
            counting = None if mine else stream.awaited()
        if counting is None:
            self._count(stream, name, args, kwargs)
        else:
            counting.result()

    def _count(self, stream: Stream, name: str, args: Any, kwargs: Any) -> None:
        assert stream.announcement is not None
        try:
            number = length(stream.announcement, name, args, kwargs or {})
        except BaseException as error:
            with self.lock:
                counting, stream.counting = stream.counting, None
            if counting is not None and isinstance(error, Exception):
                counting.set_exception(error)
            raise
        with self.lock:
            stream.length = number
            counting = stream.counting
        if counting is not None:
            counting.set_result(number)


def _futures(task: Task[Any]) -> list[Future[Any]]:
    """The futures among the arguments of a pending *task*.  The lock is held."""
    if type(task._kwargs) is Template:
        return [future for future, _ in task._kwargs.dependencies]
    return [value for value in task._args if issubclass(type(value), Future)]


def _fails(future: Future[Any]) -> bool:
    """Whether *future* has failed, when it is done."""
    try:
        return future.exception() is not None
    except CancelledError:
        return True
