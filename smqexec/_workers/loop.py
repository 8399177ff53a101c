"""The worker's loop: take a task, call it, complete it with its result, and get the next task in return.

It runs in a thread of a pool, in the thread that submits, or nested in a waiting task.  A running task
belongs to its worker, which alone releases the call (`_fn`, `_args`, `_form`), without the lock.

Invariants: no local name keeps a task, its arguments or its result beyond the task's end, as the worker may
be idle for hours.  An exception of the task fails the task; an exception of our own code breaks the scheduler
down, in `perform`, and goes no further.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any

from .._calls.arguments import ALL, DIRECT, ONE, Template, materialise
from .._calls.callables import NO_ITERATORS, generates, is_iterator, name_of
from .._calls.containers import value_of
from .._calls.frames import strip_ours
from .._calls.interrupts import DEFERRED, call_deferred
from .._core.queue_state import CURRENT, SEARCH_LIMIT, QueueState, Worker
from .._futures.items import Item
from .._futures.names import note
from .._futures.task import Task


def work(queue: QueueState, worker: Worker, begin: Callable[[QueueState, Worker], object]) -> None:
    """Run tasks as *worker*, in the calling thread, until it leaves: *begin* gives it the first task."""
    outer, CURRENT.worker = CURRENT.worker, worker
    # A thread that serves inline queues may have several: a wait of the innermost task runs tasks for all.
    CURRENT.workers.append(worker)
    try:
        while perform(queue, worker, begin):
            pass
    finally:
        del CURRENT.workers[-1:]  # none is left in a forked child
        CURRENT.worker = outer


def perform(queue: QueueState, worker: Worker, begin: Callable[[QueueState, Worker], object]) -> bool:
    """Run the task that *begin* returns, and each one that *worker* gets by completing one: the hot path.

    Return False if *begin* returned None, or our own code raised: *worker* then has to leave.
    """
    scheduler = queue.scheduler
    task: Any = None
    try:
        task = begin(queue, worker)
        if task is None:
            return False
        if scheduler.observers:
            scheduler.observers.notify("start", queue, task, worker.thread)
        while task is not None:
            # The task is running: no other thread writes these three.
            fn, args, form = task._fn, task._args, task._form
            try:
                if form is None:
                    value = fn(*args)
                elif form is ONE:
                    value = fn(args._outcome)
                elif form is ALL:
                    value = fn(*[a._outcome for a in args])
                elif form is DIRECT:
                    # A done Task or Item has its value in `_outcome`.  Compared by `is`: a metaclass may
                    # define ``==``.
                    value = fn(
                        *[a._outcome if type(a) is Task or type(a) is Item else value_of(a) for a in args]
                    )
                else:
                    task._form = None  # a form that holds values; those above hold none
                    if type(form) is Template:
                        args, form = form.fill()
                    value = fn(*args, **form)
                try:
                    plain = type(value) in NO_ITERATORS
                except Exception:  # its metaclass refuses to be hashed
                    plain = False
                if not plain and is_iterator(type(value)) and generates(fn):
                    scheduler.streams.open_stream(task, fn, *materialise(args, form))
                    # Last: a thread that finds the name in place of the function also finds the stream.
                    task._fn = fn = name_of(fn)
                    args = form = task._form = None
                    task._args = ()  # not None: the call goes on, with its iterator
                    value = scheduler.streams.drive(worker, task, value)
            except BaseException as exception:
                strip_ours(exception)
                note(exception, task, queue.name)
                # `_fn` stays until the end: a thread may ask whether the task generates.
                fn = args = form = value = task._args = task._form = None
                scheduler.termination.fail(worker, task, exception)
                task = None  # the traceback keeps this frame
                return True
            task._args = None
            # Released before the task ends: a thread that gets the result may expect its arguments freed.
            task._fn = fn.__qualname__ if type(fn) is FunctionType else name_of(fn)
            del fn, args, form
            # One hold of the lock (two, with observers) ends the task and starts the next one.  Not by
            # ``with``: this saves 30 ns.  An exception goes to `break_down`, which releases the lock.
            lock = scheduler.lock
            if not lock.acquire(False):
                scheduler.spin_and_lock()
            task._outcome = value
            del value
            if task._at_end is not None or queue.has_rules:
                task = scheduler.dispatcher.complete(worker, task, not worker.suspended)
                if scheduler.observers and task is not None:
                    scheduler.observers.notify("start", queue, task, worker.thread)
                continue
            # A plain end: one call of the planner.  A long search is left to `begin`.
            successor = scheduler.take_next(queue, SEARCH_LIMIT, task)
            worker.task = successor
            queue.done += 1
            task._home = None
            if successor is not None and not scheduler.freed:
                lock.release()
                if DEFERRED:
                    call_deferred()
            else:
                scheduler.dispatcher.wake_others(successor)
            task = successor  # not while the lock is held: to release the result may run user code
            del successor
    except BaseException as error:
        # Not of the task: user code is called in the inner `try` alone.
        scheduler.break_down(error, worker, task)
        return False
    return True
