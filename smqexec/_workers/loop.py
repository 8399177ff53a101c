"""What a queue's threads do: runs, which take one task after another, call it, and hand it over.

Nothing here keeps a task, its arguments or its result longer than needed: the
thread may park for hours, or be at the next task for as long.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import BuiltinFunctionType, FunctionType
from typing import Any

from .._calls.arguments import DIRECT, SOLE, Template, materialise
from .._calls.callables import PLAIN, announcement, generates, is_iterator, name_of
from .._calls.containers import value_of
from .._calls.frames import ours, strip_ours
from .._calls.interrupts import FRAMES, make_room, uninterrupted
from .._core.state import CURRENT, QueueState, Worker
from .._futures.items import Item
from .._futures.names import note
from .._futures.remote_value import Kept
from .._futures.task import Task
from .generators import drive, open_stream

# Python's limit of recursion is meant for what calls itself.  Nested tasks would
# use it up, at eight frames of ours for each level and the user's own: every so
# many levels the limit is raised by so many frames, as long as they are nested,
# up to a depth where each has 1 kB of some 8 MB of stack.  No more than that: the
# limit is that of all threads, and what recurses through C crashes at 3,000 to
# 7,000 frames (seen with `sorted` on CPython 3.13 and 3.11).
STEP, DEEPEST = 10, 2000

# What has a name that can be had at once.
_NAMED = frozenset([FunctionType, BuiltinFunctionType, type])


def work(queue: QueueState, worker: Worker) -> None:
    """A run, in a thread of the queue's pool: until there is nothing to do, nor will be."""
    CURRENT.worker = worker
    CURRENT.workers.append(worker)
    begin = partial(queue.scheduler.dispatcher.begin, queue, worker)
    while perform(queue, worker, begin):  # no name here for a task: it would keep that while others run
        pass
    CURRENT.worker = None
    CURRENT.workers.remove(worker)


@ours
def perform(queue: QueueState, worker: Worker, begin: Callable[[], Task[Any] | None]) -> bool:
    """Do the task that *begin* gives, then what the scheduler gives *run* on each hand-over.

    Here ends what our own code raises, in queues of threads and without.

    Returns:
        False without a task, or where our own code has raised: *run* is to begin no other.
    """
    scheduler = queue.scheduler
    complete = scheduler.dispatcher.complete
    task = None
    try:
        task = begin()
        if task is None:
            return False
        while True:
            if scheduler.observers:
                scheduler.observers.tell("start", queue, task, worker.thread)
            fn: Any = task._fn
            args: Any = task._args
            kwargs: Any = task._kwargs
            try:
                if kwargs is None:
                    value = fn(*args)
                elif kwargs is SOLE:
                    value = fn(args._outcome if type(args) is Task else _value_of(args))
                elif kwargs is DIRECT:
                    # A task among them has returned, or this one would have been dropped.
                    value = fn(*[a._outcome if type(a) is Task else _value_of(a) for a in args])
                else:
                    task._kwargs = None  # the others hold nothing
                    if type(kwargs) is Template:
                        args, kwargs = kwargs.fill()
                    value = fn(*args, **kwargs)
                try:
                    plain = type(value) in PLAIN
                except Exception:  # its metaclass refuses to be hashed
                    plain = False
                if not plain and is_iterator(type(value)) and generates(fn):
                    args, kwargs = materialise(args, kwargs)
                    open_stream(queue, task, fn, args, kwargs)
                    fn = task._fn  # its name
                    args = kwargs = None
                    value = drive(queue, worker, task, value)
            except BaseException as exception:
                strip_ours(exception)
                note(exception, task, fn, queue.name)
                if task._stream is None and generates(fn):
                    # Whoever iterates gets the failure.
                    scheduler.streams.stream(task, announcement(fn) is not None)
                task._fn = name_of(fn)
                fn = args = kwargs = value = task._args = task._kwargs = None
                scheduler.termination.fail(queue, worker, task, exception)
                task = None
            else:
                task._args = None
                task._fn = fn.__qualname__ if type(fn) in _NAMED else name_of(fn)
                del fn, args, kwargs
                if scheduler.observers:
                    scheduler.observers.tell("end", queue, task, worker.thread, outcome="done")
                task = complete(queue, worker, task, value)
                del value
            if task is None:
                return True
    except BaseException as error:
        scheduler.break_down(error, worker, task)
        return False


@ours
def _value_of(argument: Any) -> Any:
    """What `value_of` returns, sooner for an item."""
    if type(argument) is Item and type(argument._outcome) is not Kept:
        return argument._outcome
    return value_of(argument)


def nest(queue: QueueState, worker: Worker, task: Task[Any]) -> None:
    """Do *task*, nested in what *run* was at."""
    deep = not len(worker.suspended) % STEP and len(worker.suspended) <= DEEPEST
    if deep:
        make_room(FRAMES)
    try:
        with uninterrupted():  # an inline queue's, in the main thread
            perform(queue, worker, lambda: task)
    finally:
        queue.scheduler.waiting.end_nested(worker)
        if deep:
            make_room(-FRAMES)
