"""Queue: the contract of `concurrent.futures.Executor`, over the state that the core keeps of a queue."""

from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import Context
from types import SimpleNamespace
from typing import Any, Self, overload
from weakref import ref

from typing_extensions import override

from ._calls.kinds import settled
from ._engines.backend import ExecutorBackend, on_executor
from ._futures.names import counted
from ._futures.task import Task
from ._limits import admission
from ._limits.checks import check_flags, integer
from ._limits.options import NO_OPTIONS, read
from ._scheduler import Scheduler
from ._submitting import Submits, Submitter
from ._workers.pools import check_width, in_process


class Queue(Submits, ThreadPoolExecutor):
    """An executor whose futures may be arguments of its calls.

    A queue takes the arguments of `concurrent.futures.ThreadPoolExecutor`, in its order, with its
    defaults, errors and messages, and behaves like it, also at interpreter exit, after a ``fork`` and
    when nothing refers to it any more.  There are two differences: a `Future` among the arguments of a
    call is a dependency, replaced by its result when the call starts; and the call of a generator
    function is a generator task (see `Task`).  All methods may be called from any thread and any task.

    **Executors.**  With ``executor=`` the tasks run there: in processes, in interpreters, on a cluster
    (see ``smqexec.dask``).  At most *max_workers* + *prefetch* calls are there at a time; the scheduler
    decides the order of the others.  A queue never shuts the executor down.  If the executor breaks, or
    is shut down, the queue's tasks fail with the executor's own error, such as BrokenProcessPool, with a
    note that names the queue; other queues go on.

    - Processes need functions (by name), arguments, results, items and exceptions that can be pickled; a
      call that can't be fails at once, and says which argument it was.  loky and Dask take lambdas too.
    - Generator tasks publish their items as they are yielded, and `Scheduler.stop` and `Task.cancel` act
      at the next ``yield``, in a process too.  An item costs some 0.1 ms more.  If the workers can't
      connect to this process (on other machines, unless Dask runs them), all items come at the end.
    - In a worker elsewhere `checkpoint` does nothing, context variables are not set, and there is no
      queue to submit to.  In a thread of another executor a task's ``result()`` blocks its slot: such a
      task must not wait for tasks of its own queue.
    - A task is sent in the thread that made it ready.  It ends, with its callbacks, in a thread of the
      executor: such a callback must not wait.
    - Prefetched tasks count as running, and start in the executor's order; `Task.cancel` still takes one
      back if the executor allows that.

    Args:
        max_workers: The number of slots: of tasks that run at the same time.  Default: that of
            ThreadPoolExecutor; 1 with *inline*; the executor's number of workers with *executor*.
        thread_name_prefix: What the names of the threads begin with; the name of the queue in messages.
        initializer, initargs: As of ThreadPoolExecutor.
        scheduler: Orders the tasks of its queues together; it may also be the first argument.  Default:
            ``Scheduler(order="oldest")``, for this queue alone: first in, first out.
        in_order: Start tasks in the order of submission, whatever the scheduler's order says.  A task
            that waits for a dependency holds up all later ones; one that fails, or is cancelled, does
            not.  With several slots a task starts when the one before it has started.
        max_pending: While so many tasks of the queue are pending, `submit` blocks the calling thread,
            first come, first served, also while the scheduler is stopped; ``options(timeout=...)``
            limits that.  In a thread that runs an asyncio event loop it raises a RuntimeError instead.
            In a task of the same scheduler it does neither, as other tasks may need that task.
        context: Make each call in a copy of its submitter's context variables, as ``asyncio.to_thread``
            does.  Without it threads begin with an empty context; a task nested in a waiting task is
            called in the context of that task.
        inline: Have no threads: the thread that submits runs the ready tasks, by the same order, before
            `submit` returns.  So does the main thread before `Scheduler.resume` returns.  Any other
            thread that makes a task ready starts a thread.  For a debugger and for tests.  Tasks that a
            task submits run after it, or while it waits.  Ctrl-C fails the task that runs, and the next
            goes on.  A task that stops its own scheduler and then waits in `checkpoint` blocks the
            thread.
        executor: Runs the tasks, in place of threads: any ``concurrent.futures.Executor`` but a Queue.
            Give it the *initializer*; give *max_workers* if it does not tell how many workers it has.
        prefetch: How many tasks more than *max_workers* may be at *executor*, so that its workers need
            not wait for the next call.  Default: 0, or the executor's own choice (as of a `DaskExecutor`).

    Raises:
        TypeError: An argument is of the wrong type, or two exclude each other.
        ValueError: *max_workers* or *max_pending* is less than 1; *prefetch* is negative or lacks *executor*.
    """

    # fmt: off
    @overload
    def __init__(self, max_workers: int | None = None, thread_name_prefix: str = "",
                 initializer: Callable[..., object] | None = None, initargs: tuple[Any, ...] = (), *,
                 scheduler: Scheduler | None = None, in_order: bool = False, max_pending: int | None = None,
                 context: bool = False, inline: bool = False, executor: Executor | None = None,
                 prefetch: int | None = None) -> None: ...
    @overload
    def __init__(self, scheduler: Scheduler, max_workers: int | None = None, thread_name_prefix: str = "",
                 initializer: Callable[..., object] | None = None, initargs: tuple[Any, ...] = (), *,
                 in_order: bool = False, max_pending: int | None = None,
                 context: bool = False, inline: bool = False, executor: Executor | None = None,
                 prefetch: int | None = None) -> None: ...
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args and isinstance(args[0], Scheduler):
            if kwargs.get("scheduler") is not None:
                raise TypeError("the scheduler was given twice, as first argument and by name")
            kwargs["scheduler"], *args = args  # type: ignore[assignment]
        self._set_up(*args, **kwargs)

    def _set_up(self, max_workers: int | None = None, thread_name_prefix: str = "",
                initializer: Callable[..., object] | None = None, initargs: tuple[Any, ...] = (), *,
                scheduler: Any = None, in_order: bool = False, max_pending: int | None = None,
                context: bool = False, inline: bool = False, executor: Executor | None = None,
                prefetch: int | None = None) -> None:
        # fmt: on
        given = (max_workers, thread_name_prefix, initializer, initargs)
        if any(isinstance(value, Scheduler) for value in given):
            raise TypeError("the scheduler must come first: Queue(scheduler, 4)")
        if max_workers is not None:
            max_workers = integer("max_workers", max_workers, None, "an int or None")
        check_flags(in_order=in_order, context=context, inline=inline)
        if max_pending is not None:
            max_pending = integer("max_pending", max_pending, 1, "an int or None")
        if executor is not None:
            _check_executor(executor, inline, context, initializer is not None or bool(initargs))
        if prefetch is not None:
            prefetch = integer("prefetch", prefetch, 0, "an int or None")
            if prefetch and executor is None:
                raise ValueError(f"prefetch={prefetch} needs executor=: threads are sent no calls in advance")
        if scheduler is None:
            scheduler = Scheduler(order="oldest")
        elif not isinstance(scheduler, Scheduler):
            raise TypeError(f"scheduler must be a Scheduler, not {scheduler!r}")

        core = scheduler._core
        if executor is None:
            state = in_process(core, inline, max_workers, thread_name_prefix, initializer, initargs)
        else:
            state = on_executor(core, max_workers, thread_name_prefix, executor, prefetch)
        state.in_order = in_order
        state.pending_limit = None if max_pending is None else admission.PendingLimit(max_pending)
        state.copies_context = context
        self._scheduler: Scheduler = scheduler
        self._state = state
        ruled = in_order or max_pending is not None or state.remote_values or inline or context
        self._add = admission.add if ruled else core.submission.add
        state.owner = ref(self, state.lose)
        core.add_queue(state)

    _set_up.__qualname__ = "Queue"  # Python's errors name what the user has called
    __init__.__wrapped__ = _set_up  # type: ignore[attr-defined]  # whose arguments `help` shows
    _options = NO_OPTIONS

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler that orders this queue."""
        return self._scheduler

    @property
    def name(self) -> str:
        """The name in messages and events: *thread_name_prefix*; if none was given, a numbered one."""
        return self._state.name

    # Fields of ThreadPoolExecutor that clients, and its own tests, read.
    _broken: Any = property(lambda self: self._state.backend._broken)
    _max_workers: Any = property(lambda self: self._state.width)
    _shutdown: Any = property(lambda self: self._state.refusal is not None)
    _thread_name_prefix: Any = property(lambda self: self._state.name)
    _threads: Any = property(lambda self: self._state.backend.threads)
    _work_queue: Any = property(lambda self: SimpleNamespace(qsize=lambda: self._state.pending))

    def options(
        self,
        *,
        name: str | None = None,
        after: Iterable[Future[Any] | settled[Any]] = (),
        context: Context | None = None,
        timeout: float | None = None,
        resources: Mapping[Any, int] | None = None,
        hold: bool = False,
        release: Iterable[Task[Any]] = (),
        **others: Any,
    ) -> Submitter:
        """Return an object whose `submit`, `try_submit` and `map` submit to this queue with these options.

        For example ``queue.options(name="dark frame", after=[shutter_closed]).submit(expose, 0.1)``.

        Args:
            name: The name of the tasks, in place of the function's name.
            after: Futures of any executors that must be done before.  Their values are not passed.
                They come after the arguments in the order of search.  One that fails fails the task,
                one that is cancelled cancels it; ``settled(future)`` accepts any outcome.
            context: Where the call is made, and ``number_of_results`` and each step of a generator task.
                Tasks that run at the same time, or nested in each other, need one each
                (``context.copy()``).
            timeout: Seconds that `submit` may block if the queue is full: see ``max_pending``.
            resources: How many units of which `Resource` a task takes from its start to its end, such as
                ``{disk: 2}``.
            hold: Keep the units beyond the task's end, until the tasks that were submitted to
                *release* it have ended.  A task that fails keeps none.
            release: Tasks, submitted with *hold*, that keep their units until this one has ended.  A
                submit that raises counts as ended, once it has added its task.
            others: Options of the queue's executor, such as a `DaskExecutor`.

        Raises:
            TypeError: There is no such option, or it is of a wrong type.
            ValueError: *timeout* is not a number, or negative; or a resource has fewer units than asked
                for, or belongs to another scheduler; or *hold* is given without *resources*, or a task in
                *release* was submitted without *hold*.
        """
        backend = self._state.backend
        if context is not None and isinstance(backend, ExecutorBackend):
            raise TypeError("context and executor= exclude each other: an executor can't be sent a context")
        known = backend.options if isinstance(backend, ExecutorBackend) else frozenset[str]()
        options = read(known, name, after, context, timeout, resources, hold, release, others)
        options.bind(self._state.scheduler)
        return Submitter(self, options)

    @property
    def max_workers(self) -> int:
        """The number of slots; it may be set.

        A higher number lets ready tasks start at once.  A lower one ends no task: running ones go on,
        and no other starts until fewer run.  Idle threads stay until the queue ends.

        Raises:
            TypeError: It is set to something other than an int.
            ValueError: It is set to less than 1.
        """
        return self._state.width

    @max_workers.setter
    def max_workers(self, number: int) -> None:
        number = integer("max_workers", number, None)
        check_width(number)
        self._state.scheduler.dispatcher.resize(self._state, number)

    def counts(self) -> dict[str, int]:
        """How many tasks are waiting, ready, running, done, failed and cancelled."""
        with self._state.scheduler.reading():
            return self._state.counts()

    @override
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks, and *wait* until all are done and the threads have ended.

        Args:
            cancel_futures: Cancel the pending tasks, and all that depend on them; also the tasks whose
                calls the queue's executor has not begun.

        Raises:
            RuntimeError: With *wait*, called from a task of this queue.
        """
        self._state.scheduler.ending.shutdown([self._state], wait, cancel_futures)

    @override
    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Shut down; after Ctrl-C, cancel the pending tasks and ask the running ones to end."""
        self._state.scheduler.ending.leave(kind, self.shutdown, [self._state])

    @contextmanager
    def cancelling(self) -> Generator[Self]:
        """``with Queue(4) as queue, queue.cancelling():`` cancels the pending tasks if the block raises."""
        try:
            yield self
        except BaseException:
            self._state.scheduler.termination.cancel_pending(self._state)
            raise

    def __repr__(self) -> str:
        state = self._state
        # Without the lock: a handler that has interrupted the lock's holder may print it.
        counts = ", ".join(f"{count} {name}" for name, count in state.counts().items() if count)
        return f"<{type(self).__name__} {state.name}, {counted(state.width, 'slot')}: {counts or 'no tasks'}>"


def _check_executor(executor: object, inline: bool, context: bool, initializer: bool) -> None:
    """Raise a TypeError unless *executor* is one, and no option is given that needs threads of our own."""
    if not isinstance(executor, Executor):
        raise TypeError(f"executor must be a concurrent.futures.Executor, not {executor!r}")
    if inline:
        raise TypeError("inline=True and executor= exclude each other: give one of them")
    if context:
        raise TypeError("context and executor= exclude each other: an executor can't be sent a context")
    if isinstance(executor, Queue):
        raise TypeError("a Queue can't be the executor of a Queue: give both queues the same scheduler")
    if initializer:
        raise TypeError(f"give the initializer to the {type(executor).__name__}, whose workers it is for")
