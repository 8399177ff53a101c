"""Events, and the observers that are called with them, in the thread of the event and never under the lock.

No lock keeps the order of a task's events.  The core reports a submission before the planner gets the task,
an item before any thread can see it, and the end of a call before the planner processes it.  Only the end of
a task that never ran is reported just after it.
"""

import itertools
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from threading import RLock, get_ident
from time import perf_counter
from typing import Any, NamedTuple
from weakref import ref

from .._calls.arguments import dependencies
from .._calls.interrupts import LOGGER, MAIN
from .._core.queue_state import QueueState
from .._futures.future import PlannedFuture
from .._futures.items import Item
from .._futures.names import label_of
from .._futures.task import Task

#: Functions to call with each new scheduler.
new_scheduler_hooks: list[Callable[[Any], object]] = []

# The numbers of observed tasks, in all schedulers of the process.
_numbers = itertools.count(1)
# Guards `_numbers`: without the GIL, `next` is not atomic.  Reentrant: a finalizer may interrupt a count.
_numbering: Any = RLock()

if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows can't fork
    os.register_at_fork(after_in_child=_numbering._at_fork_reinit)  # a thread may hold it at the fork


def next_number() -> int:
    with _numbering:
        return next(_numbers)


def number_of(task: Any) -> int:
    """Return the number of *task* in events.  It is given when it is first needed, and never changed."""
    # Atomic: if another thread numbers the task too, the first number stays.
    number: int = task._serial or vars(task).setdefault("_serial", next_number())
    return number


def numbers_of(values: Sequence[Any]) -> tuple[int, ...]:
    """Return the numbers of the tasks, and of the tasks of items, among *values*."""
    tasks = [value._producer() for value in values if issubclass(type(value), PlannedFuture)]
    return tuple(dict.fromkeys(number_of(task) for task in tasks if task is not None))


class Event(NamedTuple):
    """The argument of an observer.  It keeps its task, and so the result: keep its numbers, not the event."""

    #: ``"submit"``, ``"start"``, ``"item"``, ``"end"``, ``"stop"`` or ``"resume"``.
    kind: str
    #: When it happened: seconds, as `time.perf_counter` counts them.
    time: float
    #: The number of the task: 1, 2, ... as tasks of the process were first observed.  0: a stop or resume.
    number: int
    #: The task.  None for a stop and a resume; all other fields are of a task.
    task: Task[Any] | None
    #: The name of the task's queue: its `Queue.name`.
    queue: str | None
    #: Start, item, end: the thread's identifier, or the name that an engine gives.  None: it never ran.
    worker: int | str | None
    #: Submit: the numbers of the tasks among the arguments, in argument order, also of done ones.
    #: An item stands for its task until its value is there.
    dependencies: tuple[int, ...]
    #: Item: the index of the value, from 0.
    index: int | None  # type: ignore[assignment]  # not the method of a tuple
    #: End: ``"done"``, ``"failed"`` or ``"cancelled"``.
    outcome: str | None
    #: End: the exception that the task failed with.
    error: BaseException | None

    @property
    def name(self) -> str:
        """The name of the task: given with `Queue.options`, or its function's."""
        return "" if self.task is None else label_of(self.task)


class Observation(AbstractContextManager["Observation"]):
    """One observer of a scheduler: `Scheduler.observe` returns it.  A ``with`` block closes it at its end."""

    def __init__(self, scheduler: Any, callback: Callable[..., object], with_queue: bool = False) -> None:
        """If *with_queue*, call *callback* with the fields of each event, and the state of its queue."""
        if not callable(callback):
            raise TypeError(f"an observer must be callable with an event, not {callback!r}")
        self._scheduler = ref(scheduler)  # the scheduler keeps the observation
        self.callback: Callable[..., object] | None = callback
        self.with_queue = with_queue
        with scheduler.exclusive():
            scheduler.observe(Observers((*scheduler.observers, self)))

    def close(self) -> None:
        """Call the observer no more.  A call that another thread has begun goes on."""
        self.callback = None  # for an event whose observers are being called
        scheduler = self._scheduler()
        if scheduler is not None and scheduler.observers:  # none: also in a forked child
            with scheduler.exclusive():
                scheduler.observe(Observers(other for other in scheduler.observers if other is not self))

    def __exit__(self, *exception: object) -> None:
        self.close()


class Observers(tuple[Observation, ...]):
    """All observations of a scheduler: the `EventSink` of its core, which is replaced and never changed."""

    def submitted(self, queue: QueueState, task: Task[Any], args: Any, form: Any) -> None:
        """Report that *task* is about to be added; *args* and *form* as for `add`."""
        # A form of None: no dependencies, also not by the option ``after``.
        numbers = () if form is None else numbers_of([future for future, _ in dependencies(args, form)])
        task._serial = next_number()  # faster than `number_of`: no other thread knows the task
        self.notify("submit", queue, task, dependencies=numbers)

    def notify(
        self,
        kind: str,
        queue: QueueState | None = None,
        task: Task[Any] | None = None,
        worker: int | str | None = None,
        *,
        time: float | None = None,
        index: int | None = None,
        outcome: str | None = None,
        error: BaseException | None = None,
        dependencies: tuple[int, ...] = (),
    ) -> None:
        """Report an event whose effect no thread can see yet.  See `Event`."""
        time = perf_counter() if time is None else time
        number = 0 if task is None else number_of(task)
        name = None if queue is None else queue.name
        fields = (kind, time, number, task, name, worker, dependencies, index, outcome, error)
        for each in self:
            if (callback := each.callback) is None:  # closed since the event
                continue
            try:
                if each.with_queue:
                    callback(fields, queue)
                else:
                    callback(tuple.__new__(Event, fields))  # a third of the time of ``Event(*fields)``
            except BaseException as raised:
                # Of the caller: a submit that is too deep; or a signal's handler, between tasks.
                too_deep = kind == "submit" and isinstance(raised, RecursionError)
                struck = worker is None and isinstance(raised, KeyboardInterrupt) and get_ident() in MAIN
                if too_deep or struck:
                    raise
                with suppress(RecursionError):  # a thread that is too deep to log: the observer is closed
                    each.close()
                    LOGGER.error("an observer raised, and gets no more events: %r", callback, exc_info=raised)

    def dropped(self, ended: Sequence[tuple[Any, Any, QueueState]], ran: Task[Any] | None) -> None:
        """Report the ends of the tasks in *ended*, but for *ran*: none of the others ran."""
        for task, _, queue in ended:
            if task is not ran and not isinstance(task, Item):
                failure = task._outcome
                outcome, error = ("cancelled", None) if failure is None else ("failed", failure.exception)
                self.notify("end", queue, task, outcome=outcome, error=error)
