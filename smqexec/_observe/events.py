"""Who is told of what a scheduler does: the one hook of all that watches it.

An observer is called in the thread where a thing happens, and never under the
lock.  So what it is told of comes in this order, whatever threads do:

- of one task: submit, start, its items, end; or submit and end, where it never ran;
- the end of a task that ran, before anybody can see it done: so before its
  dependents start, and before `result` returns, or a `wait` for all;
- an item, before anybody can see that it is there.

That costs no lock: the submission is told before the planner has the task, and
the end of a call before the planner hears of it.  Only tasks that never ran,
since one that they need failed, or somebody cancelled them, are told of just
after they ended.
"""

from __future__ import annotations

import itertools
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import ref

from .._calls.arguments import dependencies
from .._future import PlannedFuture
from .._interrupts import LIMIT, make_room
from .._items import Item
from .._options import label_of
from .._task import Task

if TYPE_CHECKING:
    from typing import Self

    from .._slots import Slots

LOGGER = logging.getLogger("smqexec")

FRAMES = 100  # for an observer, and to log what it raised

# The numbers of tasks, in all schedulers of the process.
_numbers = itertools.count(1)
_numbering = threading.RLock()  # a finalizer may ask while its own thread is asking


def _renew_numbering() -> None:
    global _numbering
    _numbering = threading.RLock()  # another thread may have held it at the fork


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows can't fork
    os.register_at_fork(after_in_child=_renew_numbering)


def _locked_number() -> int:
    with _numbering:
        return next(_numbers)


# Without the GIL, CPython 3.13 may count twice to the same.
_atomic = sys.version_info >= (3, 14) or getattr(sys, "_is_gil_enabled", lambda: True)()
_next_number: Callable[[], int] = _numbers.__next__ if _atomic else _locked_number


class _Retry(threading.local):
    going = False  # this thread tells an observer once more


_retry = _Retry()


def number_of(task: Any) -> int:
    """The number by which observers know *task*: given when one is first told of it, and never changed."""
    number: int = task._serial
    if not number:
        # Atomic: another thread may be telling of it too.
        number = task.__dict__.setdefault("_serial", _next_number())
    return number


def numbers_of(values: Sequence[Any]) -> tuple[int, ...]:
    """The numbers of the tasks among *values*, and of those that items among them come from."""
    numbers: dict[int, None] = {}
    for value in values:
        if type(value) is Task:
            numbers[value._serial or number_of(value)] = None
        elif isinstance(value, PlannedFuture):
            maker = value._maker()
            if maker is not None:
                numbers[number_of(maker)] = None
    return tuple(numbers)


class Event:
    """What an observer is told.

    Keep its numbers, not the event: it keeps the task, and so the result.
    """

    # Made for each observed event, so as cheaply as can be: no call of an __init__, and only what
    # is there is set.

    #: ``"submit"``, ``"start"``, ``"item"``, ``"end"``, ``"stop"`` or ``"resume"``.
    kind: str
    #: When it happened: seconds, as `time.perf_counter` counts them.
    time: float
    _slots: Slots | None = None  # of the queue of the task
    #: The task.  None for a stop and a resume, as all that follows.
    task: Task[Any] | None = None
    #: Of the task: 1, 2, ... in the order in which observers were first told of tasks, in all
    #: schedulers of the process.  0 for a stop and a resume.
    number: int = 0
    #: Start, item, end: what runs it: the identifier of the thread, or the name an engine has for
    #: what does.  None at the end of a task that never ran.
    worker: int | str | None = None
    #: Submit: the numbers of the tasks among the arguments, in argument order; those that are done
    #: too.  An item stands for its task, as long as its value is not there.
    dependencies: tuple[int, ...] = ()
    #: Item: which value of the task it is, from 0.
    index: int | None = None
    #: End: ``"done"``, ``"failed"`` or ``"cancelled"``.
    outcome: str | None = None
    #: End: what a task failed with.
    error: BaseException | None = None

    @property
    def queue(self) -> str | None:
        """The name of the task's queue: its `Queue.name`.  An event keeps no queue alive."""
        return None if self._slots is None else self._slots.name

    @property
    def name(self) -> str:
        """What to call the task: the name that was given with `Queue.options`, or its function's."""
        return "" if self.task is None else label_of(self.task)

    def __repr__(self) -> str:
        fields = (f"{name}={getattr(self, name)!r}" for name in ("number", "worker", "index", "outcome"))
        return f"<Event {self.kind} at {self.time:.6f}: {', '.join(fields)}>"


class Observation:
    """Who is told of what a scheduler does, until it is closed: what `Scheduler.observe` returns.

    A context manager that closes at its end.
    """

    __slots__ = ("_scheduler", "callback")

    def __init__(self, scheduler: Observed, callback: Callable[[Event], object]) -> None:
        self._scheduler = ref(scheduler)  # which keeps us
        self.callback = callback

    def close(self) -> None:
        """Tell it of nothing more.  A thread that is just telling it may still be at it."""
        scheduler = self._scheduler()
        if scheduler is not None:
            with scheduler.lock:
                scheduler.observers = tuple(other for other in scheduler.observers if other is not self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Observed:
    """A scheduler that tells observers what it does.

    Whoever makes something happen looks first whether there are `observers`: where
    there are none, that look is all it costs.
    """

    lock: Any
    observers: tuple[Observation, ...]  # replaced under the lock, never changed

    #: Called with each new scheduler.
    newcomers: ClassVar[list[Callable[[Any], object]]] = []

    def observe(self, callback: Callable[[Event], object]) -> Observation:
        """Call ``callback(event)`` at each submit, start, item, end, stop and resume, from now on.

        Called in the thread where that happens, so in several threads at a
        time, and not under the scheduler's lock.  That thread is waiting: it
        may look at the event, note what it needs, and return.  It may submit,
        cancel and promote other tasks; of those it is told in turn.  It must not wait
        for a task, for the scheduler, or for a lock that a thread holds which does one
        of these.  Nor must it keep events, which keep tasks and so results: note what is
        needed.  What it raises is logged, and it is told of nothing more; where a
        recursion got too deep, it is first told once more, and room made.

        Of each task first the submit is told, then the start, items, and the
        end, or at once the end, where it never runs; and the end of what ran
        before anybody sees the task done.  Between tasks times tell the order: see `Event`.

        Returns:
            What ends it: ``close()``, or the end of a ``with`` block.

        Raises:
            TypeError: *callback* is not callable.

        Cost: about 0.5 µs an event and observer, and what *callback* takes.
        """
        if not callable(callback):
            raise TypeError(f"an observer must be callable with an event, not {callback!r}")
        observation = Observation(self, callback)
        with self.lock:
            self.observers = (*self.observers, observation)
        return observation

    # For those who make things happen: this scheduler, and engines that run its tasks elsewhere.
    # The lock is not held.  They ask first whether there are `observers`.

    def tell_submit(self, slots: Slots, task: Task[Any], args: Any, kwargs: Any) -> None:
        """Tell that *task* is about to be added; *args* and *kwargs* as for `add`."""
        needs = numbers_of([future for future, _ in [*dependencies(args, kwargs), *task._after]])
        event = Event()
        event.kind = "submit"
        event.time = perf_counter()
        event._slots = slots
        event.task = task
        event.number = task._serial = _next_number()  # nobody else knows of it
        event.dependencies = needs
        self._tell(event)

    def tell_start(
        self, slots: Slots, task: Task[Any], worker: int | str | None, time: float | None = None
    ) -> None:
        """Tell that *worker* is about to call *task*, or has begun at *time*."""
        event = Event()
        event.kind = "start"
        event.time = perf_counter() if time is None else time
        event._slots = slots
        event.task = task
        event.number = task._serial or number_of(task)
        event.worker = worker
        self._tell(event)

    def tell_item(
        self, slots: Slots, task: Task[Any], worker: int | str | None, index: int, time: float | None = None
    ) -> None:
        """Tell that value *index* of *task* is about to be published, or came at *time*."""
        event = Event()
        event.kind = "item"
        event.time = perf_counter() if time is None else time
        event._slots = slots
        event.task = task
        event.number = task._serial or number_of(task)
        event.worker = worker
        event.index = index
        self._tell(event)

    def tell_end(
        self,
        slots: Slots,
        task: Task[Any],
        worker: int | str | None,
        outcome: str,
        error: BaseException | None = None,
        time: float | None = None,
    ) -> None:
        """Tell that the call of *task* has ended, or had at *time*; before that is entered anywhere."""
        event = Event()
        event.kind = "end"
        event.time = perf_counter() if time is None else time
        event._slots = slots
        event.task = task
        event.number = task._serial or number_of(task)
        event.worker = worker
        event.outcome = outcome
        event.error = error
        self._tell(event)

    def tell_dropped(self, ended: Sequence[tuple[Any, Any, Slots]], ran: Task[Any] | None) -> None:
        """Tell of the tasks in *ended*, none of which ran but *ran*, whose end was told before."""
        for task, _, slots in ended:
            if task is not ran and type(task) is not Item:
                failure = task._outcome
                if failure is None:
                    self.tell_end(slots, task, None, "cancelled")
                else:
                    self.tell_end(slots, task, None, "failed", failure.exception)

    def tell_switch(self, kind: str, time: float) -> None:
        """Tell of a stop or a resume."""
        event = Event()
        event.kind = kind
        event.time = time
        self._tell(event)

    def _tell(self, event: Event) -> None:
        for observation in self.observers:
            try:
                observation.callback(event)
            except BaseException as error:
                # No frame may be left for a call.
                with LIMIT:
                    sys.setrecursionlimit(sys.getrecursionlimit() + FRAMES)
                try:
                    self._judge(observation, event, error)
                finally:
                    make_room(-FRAMES)

    def _judge(self, observation: Observation, event: Event, error: BaseException) -> None:
        """Tell *observation* of nothing more, for it raised *error*; unless that is not its fault.

        Raises:
            BaseException: It is that of the caller, who is told.
        """
        here = threading.current_thread() is threading.main_thread()
        if isinstance(error, KeyboardInterrupt) and here and event.worker is None:
            raise error  # Ctrl-C; an inline queue puts that off while it is at a task
        # Within such a retry it is the observer that goes deeper: each would be followed by two others.
        if isinstance(error, RecursionError) and not _retry.going:
            _retry.going = True
            try:
                observation.callback(event)  # now there is room
            except BaseException as again:
                error = again
            else:
                if event.kind in ("start", "item", "end"):
                    return
                raise error  # who submits is too deep in a recursion
            finally:
                _retry.going = False
        observation.close()
        message = "an observer raised, and is told of nothing more: %r"
        LOGGER.error(message, observation.callback, exc_info=error)
