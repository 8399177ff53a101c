"""What a scheduler does for generator tasks and items: they are asked for, filled, and ended."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from typing import Any, TypeVar

from ._admission import Admission
from ._arguments import DIRECT, Template, value_of
from ._functions import length, name_of
from ._future import Failure, ours, strip_ours, traceback_of
from ._interrupts import uninterrupted
from ._items import Item, Stream
from ._needs import forget, searches
from ._nodes import DONE, NEW, RUNNING, WAITING, dependencies_of
from ._notes import note
from ._task import AS_NEEDED, Task
from ._waiting import OF_THE_PARENT

T = TypeVar("T")

ours(length)  # its frame knows the arguments


class Streams(Admission):
    """A scheduler that knows of generator tasks."""

    # Somebody asks for a part of a task.

    def stream(self, task: Task[Any], announcement: Callable[..., Any] | None) -> Stream | None:
        """The stream of *task*, whose function generates, made if need be; None if it is done without."""
        with self.lock:
            if task._stream is None and task.state < DONE:
                task._stream = Stream(announcement)
                task._watched().items += (self._close,)
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

    def open(self, task: Task[Any], announcement: Callable[..., Any] | None) -> Stream:
        """The stream of *task*, which is about to yield values."""
        with self.lock:
            stream = task._stream
            if stream is None:
                stream = task._stream = Stream(announcement)
            return stream

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

    def _close(self, task: Any) -> None:
        """The callback of a task whose stream was asked for something: end what it left."""
        stream: Stream = task._stream
        with self.lock:
            left = list(stream.items.values())
            counting, stream.counting = stream.counting, None
            # A name for it, so that it is let go of without the lock.
            announcement, stream.announcement = stream.announcement, None
        del announcement
        for item in left:  # it has turned out to be an ordinary one
            item.extract(task)
        if counting is not None:
            _tell(counting.set_result, None)

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
        with self.lock:
            if item.state != WAITING or self._abandoned:
                return
            ended, starts = self._drop(item, Failure(error, traceback_of(error)))
        self._start(starts)
        self._finish(ended)

    # How many there will be.

    def length(self, task: Task[Any], stream: Stream, patient: bool = True) -> None:
        """Find out the length announced for *task*, whose stream is *stream*.  Not in its own thread.

        Where that fails, so does *task*.

        Args:
            task: A generator task.
            stream: Its stream.
            patient: Wait for what that takes: the futures among the
                arguments, or another thread that is at it.

        Raises:
            RuntimeError: The announcement itself asks; or this is a forked child.
        """
        with self.lock:
            if stream.announcement is None:
                return
            if self._abandoned:
                raise RuntimeError(OF_THE_PARENT)
            needs = _needs(task) if task.state == WAITING else []
        if needs and not patient:
            return
        if any([_fails(future) and not settled for future, settled in needs]):  # it waits for all of them
            _fails(task)
            return
        mine = False
        args: Any = None
        kwargs: Any = None
        call: Any = None
        try:
            with self.lock:
                announcement = stream.announcement
                if announcement is None or task.state >= DONE:
                    return
                counting = stream.awaited()
                if stream.counter is None and task.state < RUNNING:
                    mine = True
                    stream.counter = threading.get_ident()
                    args, kwargs = task._args, task._kwargs
                    if kwargs is AS_NEEDED:
                        args, kwargs = [*dependencies_of(task)], DIRECT
                    slots: Any = task.queue
                    call = slots.name, task._fn, args, kwargs
                    if type(task._kwargs) is Template:
                        task._kwargs.share()
                elif not patient:
                    return
                itself = not mine and stream.counter == threading.get_ident() and not counting.done()
            if mine:
                self._count_early(task, stream, counting, announcement, *call)
        except BaseException:
            if mine:
                self._give_up(stream)
            raise
        finally:
            args = kwargs = call = None
        if itself:
            raise RuntimeError("number_of_results asks for the length that it is to give")
        if patient:
            self.wait_for_others(counting)
            if stream.length is None:
                _fails(task)  # which it does; or it has turned out to be an ordinary one

    def _give_up(self, stream: Stream) -> None:
        """Let another thread count: it was Ctrl-C of the one who did, or the like."""
        with self.lock:
            stream.counter = None
            counting, stream.counting = stream.counting, None
        if counting is not None:
            _tell(counting.set_result, None)

    @ours
    def _count_early(
        self,
        task: Task[Any],
        stream: Stream,
        counting: Future[None],
        announcement: Callable[..., Any],
        queue: str,
        fn: Any,
        args: Any,
        kwargs: Any,
    ) -> None:
        try:
            if kwargs is DIRECT:
                args, kwargs = [value_of(value) for value in args], None
            elif type(kwargs) is Template:
                args, kwargs = kwargs.fill()
            self._count(stream, announcement, name_of(fn), args, kwargs)
        except Exception as error:
            # The counter stays: nobody asks again.
            strip_ours(error)
            with uninterrupted():
                note(error, task, fn, queue)
                _tell(counting.set_exception, error)
                with self.lock:
                    if task.state >= RUNNING:
                        return  # it will hear of it, or has ended
                    ended, starts = self._drop(task, self.failure(error, queue))
                self._start(starts)
                self._finish(ended)

    @ours
    def announce_length(
        self, stream: Stream, announcement: Callable[..., Any], name: str, args: Any, kwargs: Any
    ) -> None:
        """Find out the length announced for the task of the calling thread.

        Raises:
            BaseException: The announcement failed.
        """
        while True:
            with self.lock:
                if stream.length is not None:
                    return
                mine = stream.counter is None
                if mine:
                    stream.counter = threading.get_ident()
                counting = stream.awaited()
            if mine:
                break
            self.wait_for_others(counting)
            if counting.exception() is not None:
                counting.result()  # raises
            # And once more, if that was given up.
        try:
            self._count(stream, announcement, name, args, kwargs)
        except BaseException:
            _tell(counting.set_result, None)  # the task fails with it, and tells
            raise

    @ours
    def _count(
        self, stream: Stream, announcement: Callable[..., Any], name: str, args: Any, kwargs: Any
    ) -> None:
        number = length(announcement, name, args, kwargs or {})
        with self.lock:
            stream.length = number
            stream.announcement, counting, stream.counting = None, stream.counting, None
        if counting is not None:
            _tell(counting.set_result, None)


def _tell(told: Callable[[T], None], outcome: T) -> None:
    with suppress(InvalidStateError):  # the task was cancelled meanwhile
        told(outcome)


def _needs(task: Task[Any]) -> list[tuple[Future[Any], bool]]:
    """The futures among the arguments of a pending *task*, as in a template.  The lock is held."""
    if type(task._kwargs) is Template:
        return task._kwargs.dependencies
    values = dependencies_of(task) if task._kwargs is AS_NEEDED else task._args or ()
    return [(value, False) for value in values if issubclass(type(value), Future)]


def _fails(future: Future[Any]) -> bool:
    """Whether *future* has failed, when it is done."""
    try:
        return future.exception() is not None
    except CancelledError:
        return True
