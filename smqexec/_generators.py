"""Generator tasks: what a worker does between two values."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

from ._functions import announcement, length, name_of
from ._future import ours, strip_ours
from ._slots import Run, Slots
from ._task import Task

# With the interpreter lock, a generator that only computes would be through with
# thousands of values before others get that lock: who submitted it, to ask for
# items, and those who work with them.  So it lets them in for a moment (seconds) after
# so many values, and then each time that these have doubled.
FIRST_MOMENT, MOMENT = 64, 1e-5

ours(length)  # its frame knows the arguments


@ours
def open_stream(slots: Slots, task: Task[Any], fn: Any, args: Any, kwargs: Any) -> None:
    """Begin to stream *task*, the call ``fn(*args, **kwargs)``: ask how many values there will be.

    Raises:
        BaseException: What announces the number of results failed.
    """
    scheduler = slots.scheduler
    count = announcement(fn)
    stream = scheduler.open(task, count is not None)
    name = name_of(fn)
    try:
        if count is not None:
            scheduler.announce(stream, length(count, name, args, kwargs))
        # Only now: whoever finds the function gone finds the stream, with its length.
        task._fn = name
        task._args = task._kwargs = None
    finally:
        del task, fn, args, kwargs, count  # a failure keeps this frame


@ours
def drive(
    slots: Slots,
    run: Run,
    task: Task[Any],
    iterator: Iterator[Any],
) -> list[Any]:
    """Take the values of *iterator*, publish each, and return the list of all: a new one, for the caller.

    At each value: wait while the scheduler is stopped, and end where somebody
    cancelled *task*.

    Raises:
        CancelledError: *task* was cancelled.
        ValueError: There are more values than were announced.
        BaseException: What *iterator* raised, or its ``close``.
    """
    scheduler = slots.scheduler
    publish = scheduler.publish
    stream: Any = task._stream
    values: list[Any] = stream.values
    most: int | None = stream.length
    polite = FIRST_MOMENT
    try:
        while True:
            try:
                value = next(iterator)
            except StopIteration as end:
                stream.returned = end.value
                break
            if most is not None and len(values) >= most:
                raise ValueError(f"more values than the {most} that number_of_results announced")
            if scheduler.observers:
                scheduler.tell_item(slots, task, run.thread, len(values))
            publish(stream, value)
            if len(values) == polite:
                polite *= 2
                time.sleep(MOMENT)
            # Neither is read under the lock: what comes now is seen at the next value.
            if scheduler._stopped:
                scheduler.pause(task)
            watch = task._watch
            if watch is not None and watch.asked:
                raise CancelledError()
    except BaseException as error:
        # What `close` raises has it as its context.
        strip_ours(error)
        try:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
        finally:
            # CPython 3.12 and 3.13 keep this frame with that of a generator that has failed.
            close = value = None
            del slots, run, task, iterator, stream, values
        raise
    scheduler.close_stream(stream)
    return values.copy()
