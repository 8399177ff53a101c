"""The worker's loop: take a task, call it, hand over its result, and get the next task in return.

The loop runs in a thread of the pool (`work`), in the thread that submits (inline), or nested in a waiting
task (`nest`).  Nothing here keeps a task, its arguments or its result longer than needed: the worker may be
idle for hours, or at the next task for as long.  An error of our own code ends here, in `perform`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import BuiltinFunctionType, FunctionType
from typing import Any

from .._calls.arguments import DIRECT, Template, materialise
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

# Nested tasks would use up Python's limit of recursion, at nine frames of ours a level and the user's own.
# So the limit is raised by FRAMES for each STEP levels, while these last, down to the DEEPEST level: it
# is the limit of all threads, and recursion through C crashes at 3,000 to 7,000 frames (seen with `sorted` on
# CPython 3.13 and 3.11).
STEP, DEEPEST = 10, 2000

# Types of functions whose name is an attribute that runs no code.
_NAMED = frozenset([FunctionType, BuiltinFunctionType, type])


def work(queue: QueueState, worker: Worker) -> None:
    """Be *worker*, in a thread of the queue's pool, until there is nothing to do, nor will be."""
    CURRENT.worker = worker
    CURRENT.workers.append(worker)
    begin = partial(queue.scheduler.dispatcher.begin, queue, worker)
    while perform(queue, worker, begin):  # no name here for a task: it would keep that while others run
        pass
    CURRENT.worker = None
    CURRENT.workers.remove(worker)


@ours
def perform(queue: QueueState, worker: Worker, begin: Callable[[], Task[Any] | None]) -> bool:
    """Run the task that *begin* returns, then each task that *worker* gets for handing over the one before.

    Returns:
        False if there was no task, or our own code has raised: *worker* must ask for no other.
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
                elif kwargs is DIRECT:
                    # A task among the arguments has returned, or this one would have been dropped.
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
                    # A thread that iterates the task gets the failure.
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
    """Do what `value_of` does, sooner for an item."""
    if type(argument) is Item and type(argument._outcome) is not Kept:
        return argument._outcome
    return value_of(argument)


def nest(queue: QueueState, worker: Worker, task: Task[Any]) -> None:
    """Run *task*, nested in the task that *worker* has suspended for it."""
    deep = not len(worker.suspended) % STEP and len(worker.suspended) <= DEEPEST
    if deep:
        make_room(FRAMES)
    try:
        with uninterrupted():  # an inline queue's thread may be the main thread
            perform(queue, worker, lambda: task)
    finally:
        queue.scheduler.waiting.end_nested(worker)
        if deep:
            make_room(-FRAMES)
