"""The loop of a worker that runs a generator task: it publishes each value as the generator yields it.

A generator task is *open* from the call of its function to the end of its iterator.  Only its worker takes
values and writes `Stream.values`, so nothing here holds the lock; see ``streams`` for the threads that ask
for items meanwhile.  `Task._stream` is set before `Task._fn` is released: a thread that reads `_stream`,
then `_fn`, finds at least one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

from .._calls.callables import announcement, length, name_of, strip_ours
from .._core.queue_state import QueueState, Worker
from .._futures.task import Task


def open_stream(queue: QueueState, task: Task[Any], fn: Any, args: Any, kwargs: Any) -> None:
    """Make the stream of *task*, the call ``fn(*args, **kwargs)``, and announce its length if *fn* does."""
    count = announcement(fn)
    stream = queue.scheduler.streams.stream(task, count is not None)
    try:
        if count is not None:
            queue.scheduler.streams.announce(stream, length(count, name_of(fn), args, kwargs))
    finally:
        del task, fn, args, kwargs, count  # the traceback of a failure keeps this frame


def drive(queue: QueueState, worker: Worker, task: Task[Any], iterator: Iterator[Any]) -> list[Any]:
    """Publish each value of *iterator*, pause or end after it if asked to; return a list of all values."""
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
                scheduler.observers.notify("item", queue, task, worker.thread, index=len(values))
            publish(stream, value)
            # `stopped` and `cancel_requested` are read without the lock: a change that this misses is seen
            # after the next value.
            if scheduler.stopped:
                scheduler.waiting.pause(task)
            at_end = task._at_end
            if at_end is not None and at_end.cancel_requested:
                raise CancelledError()
    except BaseException as error:
        # If `close` raises, too, its exception has *error* as its context.
        strip_ours(error)
        try:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
        finally:
            # On CPython 3.12 and 3.13 the frame of a failed generator keeps this frame.
            close = value = at_end = None
            del queue, worker, task, iterator, stream, values
        raise
    return scheduler.streams.close_stream(task)  # type: ignore[no-any-return]
