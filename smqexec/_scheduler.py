"""Scheduler, as its user sees it: a facade that builds the parts of a scheduler and joins them."""

from collections.abc import Callable
from functools import partial
from typing import Any, Self

from ._core import process
from ._core.dispatch import Dispatcher, Stop
from ._core.recovery import break_down
from ._core.state import State
from ._core.submission import Submission
from ._core.termination import Termination
from ._ending import Ending
from ._limits.checks import check_flags
from ._limits.resources import Allocating
from ._observe import debug as _debug
from ._observe import why
from ._observe.events import Event, Observation, Observers, new_scheduler_hooks
from ._observe.graph import Graph
from ._workers.streams import Streams
from ._workers.waiting import Waiting, at_work


class Scheduler:
    """One order for the tasks of several queues, one stop, one lock.

    **Order.**  Tasks are numbered as they are submitted.  Whenever a queue has a free slot and the
    scheduler runs, the queue starts *the first ready task of its own that a depth-first search meets,
    which starts at the newest pending task, visits dependencies in argument order, then goes on with
    the next newest pending task not yet visited*.  This is exact at all times, over all queues.  A slot
    is never left free while its queue has a ready task.  `Queue.map` is one submission whose first item
    counts as the newest.  `Task.promote` makes a task count as newly submitted.  With ``order="oldest"``
    the ready task that was submitted first starts first; a promoted task and what it needs go before all
    others.

    **Waiting inside tasks.**  While a task waits for another one, of any queue, its thread runs the
    tasks of the same queue that the awaited task needs, in order, and no others.  So recursion on one
    slot ends, and queues of one slot stay exclusive.  A task that would wait for itself gets a
    RuntimeError that names the cycle, in ``result()``, ``exception()`` and ``smqexec.wait()`` for all
    futures; not where the cycle leads through other schedulers, or through "any of several".

    **No silent hang.**  A thread that has waited for 5 seconds, while nothing runs and nothing can start,
    logs one warning by the logger ``smqexec``: what it waits for, and why.  If a future of another
    executor may still come, only the end of a ``with`` block, `shutdown` and the interpreter's exit say
    so.  At exit the tasks that can never start are then cancelled; so are, at once, the pending tasks and
    held generator tasks of a stopped scheduler, with a warning that says how many.

    **Errors of smqexec itself** are logged as critical, and all pending tasks of the scheduler's queues
    fail with them; `Queue.submit` then raises BrokenThreadPool.

    **Ctrl-C** in a ``with`` block of a scheduler or a queue, or where it ends the program: pending tasks
    are cancelled, running tasks are asked to end (see `checkpoint`), and the block waits for their ends.

    **Signal handlers** may call `stop`, `resume`, ``shutdown(wait=False)``, `Task.cancel` and
    `Task.add_done_callback`, and may ask a task for its state or result (``done()``, ``result(0)``).  If
    the handler has interrupted the scheduler itself, that is done once the handler has ended, and `submit`
    raises a RuntimeError.  A handler must not wait.

    All methods may be called from any thread, also from inside tasks.

    Args:
        order: ``"newest"`` or ``"oldest"``: see above.
        stopped: Begin stopped.
        debug: Note with each task where it was submitted and when it starts, for `Task.why` and the note
            that an exception carries.  Log failures that were never retrieved, when their tasks
            are collected.  Cost: some 6 µs a task.

    Raises:
        TypeError: *stopped* or *debug* is neither True nor False.
        ValueError: *order* is neither.
    """

    def __init__(self, order: str = "newest", *, stopped: bool = False, debug: bool = False) -> None:
        check_flags(stopped=stopped, debug=debug)
        self._core = core = State(order, stopped, Observers())
        # The parts, from below to above.  Each reaches the others through the state.
        core.termination = Termination(core)
        core.break_down = partial(break_down, core)
        core.allocating = Allocating(core)
        core.dispatcher = Dispatcher(core)
        core.submission = Submission(core)
        core.waiting = Waiting(core)
        core.streams = Streams(core)
        core.ending = self._ending = Ending(core)
        core.why_of = partial(why.sentence, core)
        if debug:
            core.watch_failure = _debug.Unseen
            self.observe(_debug.observe)
        process.schedulers.add(core)
        for hook in new_scheduler_hooks:
            hook(core)

    @property
    def queues(self) -> tuple[Any, ...]:
        """The queues of this scheduler, each a `Queue`, in the order they were made."""
        queues = [state.owner and state.owner() for state in self._core.queues.copy()]
        return tuple(queue for queue in queues if queue is not None)

    def counts(self) -> dict[str, int]:
        """How many tasks are waiting, ready, running, done, failed and cancelled.  Cost: O(queues)."""
        with self._core.reading():
            return self._core.counts()

    def why(self) -> str:
        """Some lines for a person: each running task, its thread, its dependents; and why no more tasks run.

        Cost: a step for each thread and each task that waits for a running one.
        """
        return why.overview(self._core)

    def __repr__(self) -> str:
        return repr(self._core)

    def graph(self) -> Graph:
        """The pending and running tasks at one moment: drawn in a notebook, or as text for Mermaid.

        Cost: some 10 µs a task; for a third of that time no task starts or ends.
        """
        return Graph(self._core)

    def observe(self, callback: Callable[[Event], object]) -> Observation:
        """Call ``callback(event)`` at each submit, start, item, end, stop and resume, from now on.

        *callback* is called in the thread where the event happens, so in several threads at a time, and
        not under the scheduler's lock.  It may submit, cancel and promote tasks; these are events, too.
        It must not wait for a task or the scheduler, nor for a lock whose holder waits for one of these.
        If it raises, that is logged, and it is called no more.  Only a RecursionError at a submit, and
        KeyboardInterrupt in the main thread outside of tasks, are raised to the caller.

        Of each task the submit comes first, then the start, the items and the end; or at once the end,
        if the task never runs; of a task submitted before, only the events from now on.  The task is
        added after its submit: until then all that asks for more than its state is a RuntimeError.
        The end of a task that ran comes before any thread can see the task done.  Events of different
        tasks are ordered by their times: see `Event`.

        Returns:
            The observation, which ends by its ``close()``, or at the end of its ``with`` block.

        Raises:
            TypeError: *callback* is not callable.

        Cost: about 1 µs an event, and the time of *callback*.
        """
        return Observation(self._core, callback)

    @property
    def order(self) -> str:
        """Which tasks go first: ``"newest"`` or ``"oldest"``."""
        return self._core.order

    @property
    def stopped(self) -> bool:
        """Whether no task may start."""
        return self._core.stopped

    def stop(self, wait: bool = False) -> Stop:
        """Start no more tasks.  Those running go on, up to a ``yield`` or `checkpoint`; submitting works.

        ``with scheduler.stop():`` resumes at the end of the block, unless another stop holds.

        Args:
            wait: Return only when no task runs.  Paused tasks do not count (generator tasks between two
                values, tasks in `checkpoint`), nor do tasks that wait for a task that is not done.

        Returns:
            A context manager, for one block.  Without one the stop lasts until `resume`.

        Raises:
            RuntimeError: With *wait*, called from a task of this scheduler, which runs itself; nothing
                is stopped then.
        """
        if wait and at_work(self._core):
            raise RuntimeError("a task cannot wait until no task runs, as it runs itself: call stop(False)")
        stop: Stop = self._core.dispatcher.stop()
        if wait:
            warn = partial(self._ending.warn_if_stalled, "tasks that run")
            self._core.waiting.until(self._core.waiting.at_rest, warn)
        return stop

    def resume(self) -> None:
        """Go on where `stop` stopped, however often."""
        self._core.dispatcher.resume()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is pending, and nothing running but tasks that wait here themselves.

        Returns:
            False if there was still something after *timeout* seconds.
        """
        return self._ending.wait(timeout)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Shut down all queues, as `Queue.shutdown` does."""
        self._ending.shutdown(None, wait, cancel_futures)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Shut down; after Ctrl-C, cancel the pending tasks and ask the running ones to end."""
        self._ending.leave(kind, self.shutdown)
