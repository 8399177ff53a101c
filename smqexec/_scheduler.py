"""Scheduler: what joins queues, as its user sees it.

What it does for tasks and threads are its base classes, and the objects that it holds.
"""

from __future__ import annotations

import threading
from functools import partial
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ._calls.interrupts import LOGGER
from ._core import process
from ._core.breakdown import Breakdown
from ._core.dispatch import Dispatcher
from ._core.shared import State
from ._core.state import EXITING, SHUT_DOWN, QueueState
from ._core.stop import Stop
from ._core.submission import Submission
from ._core.termination import Termination
from ._core.wake import Wake
from ._limits.admission import Admission
from ._limits.allocating import Allocating
from ._limits.checks import check_flags
from ._observe import debug as _debug
from ._observe import why as _why
from ._observe.drawing import printable, table
from ._observe.events import Event, Observation, Observers, newcomers
from ._observe.graph import Graph
from ._workers.stall import stalled
from ._workers.streams import Streams
from ._workers.waiting import Waiting, at_work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Self

    from ._futures.future import PlannedFuture


class Scheduler(State):
    """What joins queues: one order for all their tasks, one stop, one lock.

    **Order.**  Tasks are numbered as they are submitted.  Whenever a queue has a free slot and the
    scheduler runs, the queue starts *the first ready task of its own that a depth-first search meets,
    which starts at the newest pending task, visits dependencies in argument order, then goes on with
    the next newest pending task not yet visited*.  This is exact at all times, over all queues of the
    scheduler, also while tasks are being submitted.  A slot is never left free while its queue has a
    ready task.  `Queue.map` is one submission whose first item counts as the newest, as its caller
    reads results in that order.  `Task.promote` makes a task count as newly submitted.

    With ``order="oldest"`` the ready task that was submitted first starts first; a promoted task and
    what it needs go before all others.

    **Waiting inside tasks.**  A task may wait for other tasks, of any queue.  Meanwhile its thread runs
    what the awaited task needs from the same queue, in order, and nothing else.  So recursion on one
    slot ends, and queues of one slot stay exclusive.  A task that would wait for itself gets a
    RuntimeError that names the cycle: in ``result()``, in ``exception()``, and in `smqexec.wait` and
    `as_completed` where all futures that are left must end.  `wait` inside a task runs what is ready in
    its queue.

    **No silent hang.**  A thread that has waited for 5 seconds (for a task, for all tasks, for room in a
    queue, at the end of a ``with`` block, in `shutdown`, at interpreter exit), while nothing runs and
    nothing can start, logs one warning by the logger ``smqexec``: what it waits for, and why.  If a
    future of another executor may still come, only the end of a block, `shutdown` and the exit say so.
    At interpreter exit the tasks that can never start are then cancelled; so are, at once, the pending
    tasks and the held generator tasks of a stopped scheduler, with a warning that says how many.

    **Errors of smqexec itself** are logged as critical, and all that is pending in the queues of the
    scheduler fails with them; `Queue.submit` then raises BrokenThreadPool.

    **Ctrl-C** in a ``with`` block of a scheduler or a queue, also while it waits at its end, or where it
    ends the program: what is pending is cancelled, what runs is asked to end (see `checkpoint`), and the
    program leaves when that has ended.

    **Signal handlers** may call `stop`, `resume`, ``shutdown(wait=False)``, `Task.cancel` and
    `Task.add_done_callback`, and may ask a task for its state or its result (``done()``, ``result(0)``).
    If the handler has interrupted the scheduler itself, another thread does what it asked for once the
    handler has ended.  To submit or to wait in a handler may deadlock, as with ThreadPoolExecutor.

    All methods may be called from any thread, also from inside tasks.

    Args:
        order: ``"newest"``: what the newest pending task needs goes first.
            ``"oldest"``: first in, first out among the ready.
        stopped: Begin stopped.
        debug: Note with each task where it was submitted and when it starts,
            for `Task.why` and the note that an exception carries.  Log failures
            that nobody looked at, when their tasks are collected.  Cost: some 6 µs a task.

    Raises:
        TypeError: *stopped* or *debug* is neither True nor False.
        ValueError: *order* is neither.
    """

    def __init__(
        self,
        order: str = "newest",
        *,
        stopped: bool = False,
        debug: bool = False,
    ) -> None:
        check_flags(stopped=stopped, debug=debug)
        self.observers = Observers()
        super().__init__(order, stopped)
        # The parts, from below to above.
        self.wake = Wake(self)
        self.termination: Termination = Termination(self, self.wake)
        self.break_down = Breakdown(self, self.termination).break_down
        self.allocating = Allocating(self)
        self.dispatcher = Dispatcher(self, self.wake)
        self.submission = Submission(self, self.wake, self.termination)
        self.admission = Admission(self, self.submission)
        self.waiting = Waiting(self, self.wake, self.dispatcher)
        self.streams = Streams(self, self.wake, self.termination)
        self.warn_if_stalled = self._warn_if_stalled
        # The counts of lost queues that are forgotten.
        states = ["waiting", "ready", "running", "done", "failed", "cancelled"]
        self._past: dict[str, int] = dict.fromkeys(states, 0)
        self._stops = int(stopped)  # those that hold
        self._era = 0  # how often all of them were ended
        self._given_up = False  # exiting, and what a stop held back is being cancelled
        if debug:
            self.watch_failure = _debug.watch
            self.observe(_debug.observe)
        process.register(self)
        for greet in newcomers:
            greet(self)

    # Queues.

    @property
    def queues(self) -> tuple[Any, ...]:
        """The queues of this scheduler, each a `Queue`, in the order they were made."""
        owners = [state.owner for state in self._queues.copy()]
        queues = (owner() for owner in owners if owner is not None)
        return tuple(queue for queue in queues if queue is not None)

    def add_slots(self, state: QueueState) -> None:
        """Make *state* part of the plan."""
        with self.exclusive():
            self.planner.add_queue(state)
            forgotten = [s for s in self._queues if s.lost and not (s.pending or s.workers)]
            for other in forgotten:
                self._queues.remove(other)
                for name, count in other.counts().items():
                    self._past[name] += count
            self._queues.append(state)

    def counts(self) -> dict[str, int]:
        """How many tasks are waiting, ready, running, done, failed and cancelled.  Cost: O(queues)."""
        with self.exclusive(reads=True):
            return self._counts()

    def _counts(self) -> dict[str, int]:
        total = self._past.copy()
        for queue in self._queues.copy():
            for name, count in queue.counts().items():
                total[name] += count
        return total

    def why(self) -> str:
        """What runs, in which thread, what waits for it, and why no more does: some lines for a person.

        Cost: a step for each thread and each task that waits for a running one.
        """
        return _why.overview(self)

    def why_of(self, future: PlannedFuture[Any]) -> str | None:
        """What `Task.why` tells of a task or item that has not ended."""
        return _why.sentence(self, future)

    def __repr__(self) -> str:
        # Without the lock: it may be printed by a handler that has interrupted who holds it.
        counts = ", ".join(f"{count} {state}" for state, count in self._counts().items() if count)
        stopped = " stopped" if self._stopped else ""
        number = len(self.queues)
        queues = f"{number} queue{'s' * (number != 1)}"
        return f"<Scheduler order={self.order}{stopped}, {queues}: {counts or 'no tasks'}>"

    def graph(self) -> Graph:
        """What is pending and running: a picture to print, to show in a notebook, or to go through.

        It is exact: the state of one moment.

        Cost: some 10 µs a task; for a third of that time no task starts or ends.
        """
        return Graph(self)

    def observe(self, callback: Callable[[Event], object]) -> Observation:
        """Call ``callback(event)`` at each submit, start, item, end, stop and resume, from now on.

        It is called in the thread where that happens, so in several threads at a time, and not under
        the scheduler's lock.  That thread waits: the observer may look at the event, note what it
        needs, and return.  It may submit, cancel and promote other tasks; it is called for those in
        turn.  It must not wait for a task, for the scheduler, or for a lock that a thread holds which
        does one of these.  If it raises, that is logged, and it is called no more; only a
        RecursionError at a submit is raised to the submitter.

        Of each task the submit comes first, then the start, the items and the end; or at once the end,
        if the task never runs.  The end of a task that ran comes before any thread can see the task
        done.  Between tasks times tell the order: see `Event`.

        Returns:
            What ends it: its ``close()``, or the end of a ``with`` block.

        Raises:
            TypeError: *callback* is not callable.

        Cost: about 1 µs an event, and what *callback* takes.
        """
        return Observation(self, callback)

    def _repr_html_(self) -> str:
        with self.exclusive(reads=True):
            counts = [(state.name, state.counts()) for state in self._queues]
            if any(self._past.values()):
                counts.insert(0, ("of lost queues", self._past.copy()))
        rows = [(printable(name), *each.values()) for name, each in counts]
        caption = f"Scheduler order={self.order}{', stopped' if self._stopped else ''}"
        return table(caption, ["Queue", *self._past], rows)

    # Stop, resume, wait.

    @property
    def stopped(self) -> bool:
        """Whether no task may start."""
        return self._stopped

    def stop(self, wait: bool = False) -> Stop:
        """Start no more tasks.  Those running go on; submitting works as ever.

        A running generator task goes on up to its next ``yield``, and a task that calls `checkpoint`
        up to that call.  Nothing is lost, and nothing runs twice.

        ``with scheduler.stop():`` goes on at the end of the block, unless it
        was stopped before, or is meanwhile by others.  A signal's handler that
        has interrupted this scheduler itself waits some seconds; then it is
        stopped once the handler has ended.

        Args:
            wait: Return only when none is running, but for those that hold:
                generator tasks between two values, tasks in `checkpoint`, and
                those that wait for a task that is not done.

        Returns:
            A context manager, for one block.  Without one the stop lasts until
            `resume`.

        Raises:
            RuntimeError: With *wait*, called from a task of this scheduler,
                which runs itself; nothing is stopped then.
        """
        if wait and at_work(self):
            raise RuntimeError("a task cannot wait until no task runs, as it runs itself; use stop() alone")
        if not wait and self.deferred(self.stop):
            return Stop(self, self._era)
        with self.exclusive() as section:
            changed, time = not self._stopped, perf_counter()
            self._stopped = True
            self._stops += 1
            stop = Stop(self, self._era)
            self._tell_watchers()
            if changed and self.observers:
                section.then(partial(self.observers.tell, "stop", time=time))
        if self.exiting:
            self.cancel_held()
        if wait:
            self.waiting.until(self.waiting.at_rest)
        return stop

    def resume(self) -> None:
        """Go on where `stop` stopped, however often."""
        self._go_on(None)

    def take_back(self, era: int) -> None:
        """End one stop of those of *era*, and go on if it was the last."""
        self._go_on(era)

    def _go_on(self, era: int | None) -> None:
        """End one stop of those of *era*, or, with None, all there are; and go on after the last."""
        if self.deferred(self._go_on, era):
            return
        with self.exclusive() as section:
            if era is not None:
                if era != self._era:  # `resume` has ended it
                    return
                self._stops -= 1
                if self._stops:
                    return
            changed, time = self._stopped, perf_counter()
            self._stopped = False
            self._stops = 0
            self._era += 1
            self._unpause()
            for needs in [needs for state in self._queues for needs in list(state.helpers)]:
                needs.release()
            if changed and self.observers:
                section.then(partial(self.observers.tell, "resume", time=time))
            if not self._abandoned:
                section.then(self.wake.start, self.wake.wake_all())

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is pending, and nothing running but tasks that wait here themselves.

        Args:
            timeout: Seconds to wait at most; None for no limit.

        Returns:
            False if there was still something after *timeout*.
        """
        return self.waiting.until(self._idle, timeout, told=partial(self.warn_if_stalled, "all tasks"))

    def _warn_if_stalled(self, awaited: PlannedFuture[Any] | str, elsewhere: bool = False) -> bool:
        """Log why a wait for *awaited* may never end, and return True, if nothing runs and nothing can start.

        With *elsewhere* also where futures of other executors may still come.
        """
        schedulers = stalled(self, elsewhere)
        if not schedulers:
            return False
        reasons = [self.why() if isinstance(awaited, str) else awaited.why()]
        reasons += [scheduler.why() for scheduler in schedulers[1:]]
        message = "waiting for %s, but nothing runs and nothing can start: %s"
        LOGGER.warning(message, awaited, "\n".join(reasons))
        return True

    def _idle(self) -> bool:
        running = sum(state.running for state in self._queues)
        if running != len({task for stack in self._resting for task in stack}):
            return False
        return not any(state.pending for state in self._queues)

    # The end: of the queues, of the process, and after a fork.

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Shut down all queues, as `Queue.shutdown` does."""
        queues = self.queues
        for queue in queues:
            queue.shutdown(wait=False, cancel_futures=cancel_futures)
        lost = [state for state in self._queues.copy() if state.lost]
        for state in lost if cancel_futures else ():
            self.termination.cancel_pending(state)
        if wait:
            for queue in queues:
                queue.shutdown(wait=True)
            for state in lost:
                self.drain(state)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Shut down; after Ctrl-C, cancel what is pending and ask what runs to end."""
        leave(kind, self.shutdown, self.interrupt)

    def interrupt(self, queues: Iterable[QueueState] | None = None) -> None:
        """Cancel what is pending, and ask what runs to end; in *queues*, or all."""
        with self.exclusive():
            interrupted = list(self._queues if queues is None else queues)
        for state in interrupted:
            self.termination.cancel_pending(state)
        # Then: what ends lets none begin.
        with self.exclusive():
            running = [task for state in interrupted for task in state.running_tasks()]
        for task in running:
            task.cancel()
        for state in interrupted:  # what those have submitted meanwhile
            self.termination.cancel_pending(state)

    def close(self, state: QueueState, why: str = SHUT_DOWN) -> None:
        """Take no more tasks: `submit` says *why*.  The workers leave once nothing is pending."""
        if self.deferred(self.close, state, why):
            return
        with self.exclusive() as section:
            state.closed = state.closed or why
            if state.pending_limit is not None:
                state.pending_limit.turn_away()
            if state.ending:
                state.wake_idle()
            if not state.workers and state.ending and not self._abandoned:
                section.then(state.pool.join, False)

    def drain(self, state: QueueState) -> bool:
        """Wait until nothing of *slots* is pending or running.

        Returns:
            False in a forked child, where the pool has no threads, and its
            locks may be held for ever.

        Raises:
            RuntimeError: Called from a task of *slots*.
        """

        def drained() -> bool:
            return not state.waiting and not state.ready and not state.running

        with self.exclusive():
            if self._abandoned:
                return False
            if at_work(self, state):
                raise RuntimeError("a task cannot wait for the shutdown of its own queue")
        told = partial(self.warn_if_stalled, f"the end of queue {state.name}", True)
        return self.waiting.until(drained, queue=state, told=told)

    def cancel_held(self) -> None:
        """At exit: refuse who waits to submit; if it is stopped, and nobody may ever resume it, cancel."""
        with self.exclusive():
            queues = list(self._queues)
            for state in queues if self.exiting else ():
                if state.pending_limit is not None:
                    state.pending_limit.turn_away()
            if not self._stopped or self._given_up:
                return
            paused = [task for task, _ in self._paused]
            held = sum(state.pending for state in queues) + len(paused)
            self._given_up = held > 0  # a `stop` at the same time says nothing more
        if held:
            plural = "s" * (held != 1)
            LOGGER.warning("cancelling %d pending task%s at exit: the scheduler is stopped", held, plural)
            for state in queues:
                self.termination.cancel_pending(state)
            for task in paused:
                task.cancel()

    def finish_at_exit(self) -> None:
        """Run what was submitted to its end; a `stop` meanwhile cancels it.  For interpreter exit."""
        told = False

        def tell() -> bool:
            nonlocal told
            if stalled(self):
                told = True
                self._cancel_stalled()
            elif not told and stalled(self, elsewhere=True, endless=True):
                told = True
                LOGGER.warning("exit waits for what may never end: %s", self.why())
            return False  # what is waited for now may come, and others be stalled then

        self.waiting.until(self._idle, told=tell)

    def _cancel_stalled(self) -> None:
        """At exit: cancel what can never start, as nobody can submit or resume any more."""
        with self.exclusive():
            queues = list(self._queues)
            count = sum(state.pending for state in queues)
        if count:
            message = "cancelling %d pending task%s at exit, as nothing runs and nothing can start: %s"
            LOGGER.warning(message, count, "s" * (count != 1), self.why())
            for state in queues:
                self.termination.cancel_pending(state)

    def close_at_exit(self) -> None:
        """Let the threads go.  No other scheduler has anything left to run on a queue of this one."""
        for state in list(self._queues):
            self.close(state, EXITING)

    def abandon(self) -> None:
        """This is a forked child: the threads, and so the tasks, are the parent's."""
        self.lock = threading.RLock()  # somebody may have held the old one
        self._abandoned = True
        self.observers = Observers()
        self._watchers.clear()


def leave(
    kind: type[BaseException] | None, shut_down: Callable[[], None], interrupt: Callable[[], None]
) -> None:
    """Leave a ``with`` block that ended with an exception of *kind*, or with none.

    Ctrl-C, in the block or while it waits at its end, cancels what is pending;
    then it waits for what runs.
    """
    if kind is not None and issubclass(kind, KeyboardInterrupt):
        interrupt()
    try:
        shut_down()
    except KeyboardInterrupt:
        interrupt()
        shut_down()
        raise
