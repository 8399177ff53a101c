"""The loop of a worker that runs a generator task: each value is published as it is yielded.

`Task._stream` is set before `Task._fn` is released, so that other threads find one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

from .._calls.callables import announcement, length, name_of
from .._calls.frames import ours, strip_ours
from .._core.state import QueueState, Worker
from .._futures.task import Task

ours(length)  # its frame knows the arguments


@ours
def open_stream(queue: QueueState, task: Task[Any], fn: Any, args: Any, kwargs: Any) -> None:
    """Begin to stream *task*, the call ``fn(*args, **kwargs)``: ask how many values there will be.

    Raises:
        BaseException: What announces the number of results failed.
    """
    scheduler = queue.scheduler
    count = announcement(fn)
    stream = scheduler.streams.stream(task, count is not None)
    name = name_of(fn)
    try:
        if count is not None:
            scheduler.streams.announce(stream, length(count, name, args, kwargs))
        # Last: a thread that finds a name in place of the function finds the stream, with its length.
        task._fn = name
        task._args = task._kwargs = None
    finally:
        del task, fn, args, kwargs, count  # a failure keeps this frame


@ours
def drive(queue: QueueState, worker: Worker, task: Task[Any], iterator: Iterator[Any]) -> list[Any]:
    """Take and publish the values of *iterator*; return a new list of all.

    After each value, wait while the scheduler is stopped, and close *iterator* if *task* was asked to end.

    Raises:
        CancelledError: *task* was cancelled.
        ValueError: There are more values than were announced.
        BaseException: What *iterator* raised, or its ``close``.
    """
    scheduler = queue.scheduler
    publish = scheduler.streams.publish
    stream: Any = task._stream
    values: list[Any] = stream.values
    most: int | None = stream.length
    try:
        while True:
            try:
                value = next(iterator)
            except StopIteration:
                break
            if most is not None and len(values) >= most:
                more = f"more values than the {most} that number_of_results announced"
                raise ValueError(f"the generator yielded {more}")
            if scheduler.observers:
                scheduler.observers.tell("item", queue, task, worker.thread, index=len(values))
            publish(stream, value)
            # Both are read without the lock: a change that comes now is seen at the next value.
            if scheduler._stopped:
                scheduler.waiting.pause(task)
            at_end = task._at_end
            if at_end is not None and at_end.cancel_requested:
                raise CancelledError()
    except BaseException as error:
        # An exception of `close` gets this one as its context.
        strip_ours(error)
        try:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
        finally:
            # CPython 3.12 and 3.13 keep this frame with that of a generator that has failed.
            close = value = None
            del queue, worker, task, iterator, stream, values
        raise
    scheduler.streams.close_stream(stream)
    return values.copy()
