"""The backend of a queue whose tasks run on an executor: processes, interpreters, a cluster.

A worker of such a queue has no thread and is never idle.  It advances in *steps*; each step runs in the
thread that causes it.  The way of a call::

    a task becomes ready    Wake.start calls `start` for a new worker: step `_advance`
    _advance                the worker takes the task; `_submit` gives its call to the executor
    the future is done      the executor calls our callback: step `_end`
    _end                    the worker completes the task, takes the next task if one is ready, and
                            advances; without a task the worker leaves

A generator task also has a *receiver*, which publishes each value while the call runs: see ``channels``.

So at most ``max_workers + prefetch`` calls are at the executor, and without *prefetch* the executor's own
order decides nothing.  Invariants, for executors of any kind:

- No method of the executor is called while the scheduler's lock is held.
- Ends do not nest: an end inside a step of the same thread waits for that step (`_do`).  So an executor that
  makes each call inside ``submit`` causes no recursion.
- Starts do nest: a worker that is started while a task ends advances at once, so no slot is free while
  callbacks of the ended task run.  There is one exception: while a worker takes its task, starts wait for the
  step.  So calls arrive in order.
- While ``submit`` runs, its thread is in no step: the executor may make the call there, and the call may
  wait for a task that is started or ended there.
- A signal handler or a finalizer may cause a step inside the ``submit`` of a pool of threads or processes,
  which holds a lock.  Then another thread does the step.
- An executor that says that it is broken or shut down gets no more calls.  It may hold its own lock as it
  ends a future, as ``ThreadPoolExecutor.shutdown(cancel_futures=True)`` does and a `ProcessPoolExecutor` that
  breaks.
- A call that ``submit`` refuses ends as any other call does, with a future of ours (`_Refused`).
"""

from __future__ import annotations

import threading
from _thread import start_new_thread
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any

from .._calls.arguments import materialise
from .._calls.callables import Plain, announcement, generates, name_of
from .._calls.containers import Take
from .._calls.frames import ours, strip_ours
from .._calls.interrupts import elsewhere, keep, uninterrupted, unmasked
from .._core.exclusive import breakdown_on_error
from .._core.process import come_before
from .._core.queue_state import QueueState, Worker
from .._core.upward import Backend
from .._futures.names import label_of, note
from .._futures.remote_value import Kept, stand_in
from .._futures.task import Task
from .._workers.generators import open_stream
from .._workers.pools import check_width, submitting
from .channels import Address, Receiver, local_address, perform, stream
from .executors import Call, Engine, end_of, explain, is_end, workers_of

# Keywords that the `submit` of some executors can't pass on to the function.
_SUBMIT_NAMES = ("self", "fn")

_backends = count()  # numbers in the names of queues; `next` is atomic


def on_executor(
    scheduler: Any, max_workers: int | None, name: str, executor: Executor, prefetch: int | None
) -> QueueState:
    """Return the state of a new queue on *executor*, which may tell *max_workers* and the name."""
    kind = type(executor).__name__
    max_workers = workers_of(executor) if max_workers is None else max_workers
    if max_workers is None:
        raise TypeError(f"max_workers must be given: {kind} does not tell how many workers it has")
    check_width(max_workers)
    backend = ExecutorBackend(executor, prefetch)
    queue = QueueState(scheduler, backend, max_workers, name or f"{kind}-{next(_backends)}")
    queue.limit += backend.prefetch()
    come_before()
    return queue


class _Steps(threading.local):
    """The steps of the calling thread."""

    #: Steps to do after the current step; None: this thread is in no step, or in the executor's ``submit``.
    later: deque[Callable[[], None]] | None = None
    #: A worker takes its task: workers that are started now advance after this step.
    taking = False


_steps = _Steps()


class _Refused(Future[Any]):
    """The future of a call that the executor did not take: it has failed with the exception of ``submit``."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.set_exception(error)


class ExecutorBackend(Backend):
    """The backend of a queue whose tasks run on an executor.

    Args:
        executor: Makes the calls.
        prefetch: How many calls beyond the queue's slots may be at *executor*; None: an `Engine` says how
            many before each call, and other executors get none.
    """

    keeps_idle = False

    def __init__(self, executor: Executor, prefetch: int | None) -> None:
        engine = executor if isinstance(executor, Engine) else None
        names = {base.__name__ for base in type(executor).__mro__}
        # The executor; None once no call can come: written by `join`.
        self.executor: Any = executor
        # The error of the executor, once the executor has ended; written by `_fail`.
        self._broken: BaseException | None = None
        # The executor's future of each running task, for `cancel`.  Written by the steps of that task; each
        # access is one atomic operation.
        self._futures: dict[Task[Any], Future[Any]] = {}
        # The other fields never change, but that `join` releases `_take`.
        self.remote_values = engine is not None and engine.remote_values
        # As the parameter, but None only for an `Engine`.
        self._prefetch = 0 if engine is None and prefetch is None else prefetch
        # Returns the argument in place of a future; None: its result.
        self._take: Take | None = None if engine is None else partial(stand_in, takes=engine.takes)
        # The standard library's pools of processes and interpreters, and loky's, break if a call raises an
        # exception that can't be unpickled: see `perform`.
        self._checks_errors = not names.isdisjoint(("ProcessPoolExecutor", "InterpreterPoolExecutor"))
        # The class of an executor whose ``submit`` holds a lock, and makes no call; else None.
        is_pool = isinstance(executor, ThreadPoolExecutor) or self._checks_errors
        self._pool = type(executor) if is_pool else None

    def prefetch(self) -> int:
        """Return how many calls beyond the queue's slots may be at the executor now."""
        executor = self.executor  # read once: another thread may release it
        if self._prefetch is not None or executor is None:
            return self._prefetch or 0
        return executor.prefetch  # type: ignore[no-any-return]

    # For the core: see `Backend`.

    def start(self, queue: QueueState, worker: Worker) -> None:
        """Let *worker* advance, in the thread that made a task ready."""
        step = partial(self._advance, worker)
        if _steps.later is None or _steps.taking:
            self._do(step)
        else:
            step()

    def join(self, wait: bool) -> None:
        """Release the executor."""
        self._take = None
        self.executor = None

    def lose(self, queue: QueueState) -> None:
        """Release the executor if no call of *queue* can come: the scheduler keeps *queue* for a while."""
        # No lock is needed: a queue that has ended gets no task and no worker.
        if queue.ending and not queue.workers:
            self.join(wait=False)

    def cancel(self, task: Task[Any]) -> None:
        """Cancel the call of *task* if the executor has not begun the call."""
        future = self._futures.get(task)
        if future is not None:
            with suppress(Exception):  # Parsl's futures can't be cancelled
                unmasked(future.cancel)

    def cancel_unbegun(self) -> None:
        """Cancel the calls that the executor has not begun."""
        for task, future in list(self._futures.items()):
            if not future.running():
                self.cancel(task)

    # Steps, and how they begin.

    def _do(self, step: Callable[[], None]) -> None:
        """Do *step* now; if this thread is in a step, after that step."""
        if _steps.later is not None:
            _steps.later.append(step)
            return
        if self._pool is not None and submitting(self._pool):
            # A signal handler or a finalizer has interrupted this thread in ``submit``, which holds a lock.
            # Another thread can wait for the lock.
            start_new_thread(elsewhere, (self._do, (step,)))
            return
        with uninterrupted():
            later = _steps.later = deque([step])
            del step  # it refers to its task
            try:
                while later:
                    later.popleft()()
            finally:
                _steps.later = None

    def _advance(self, worker: Worker) -> None:
        """Submit the call of the task that *worker* has, or else of the next ready task."""
        queue = worker.queue
        dispatcher = queue.scheduler.dispatcher
        _steps.taking = True
        try:
            with breakdown_on_error(queue.scheduler):
                if self._prefetch is None and (wanted := self.prefetch()) != queue.limit - queue.width:
                    dispatcher.resize(queue, None, wanted)
                if worker.task is None:
                    dispatcher.begin(queue, worker)
        finally:
            _steps.taking = False
        if worker.task is None:
            self.lose(queue)
        else:
            self._submit(worker)

    # The executor may make the call inside the next functions.  An exception of the call then keeps their
    # frames, so no local name of theirs keeps the task or an argument.

    @ours
    def _submit(self, worker: Worker) -> None:
        """Submit the call of the task that *worker* has."""
        queue = worker.queue
        if queue.scheduler.observers:
            queue.scheduler.observers.notify("start", queue, worker.task, worker.thread)
        task: Any = worker.task
        receiver = Receiver(worker) if generates(task._fn) else None
        del task
        done: Callable[[Future[Any]], None] = partial(self._done, worker, receiver)
        try:
            later, _steps.later = _steps.later, None
            try:
                address = self._prepare(worker, receiver)
                future = unmasked(self._call, worker, address)
            finally:
                _steps.later = later
            self._enter(worker, future, receiver)
            future.add_done_callback(done)
        except BaseException as error:
            keep(error)  # Ctrl-C is also raised to the caller
            strip_ours(error)
            done(_Refused(error))

    @ours
    def _prepare(self, worker: Worker, receiver: Receiver | None) -> Address | None:
        """Replace futures among the arguments; for a generator task, return the address of *receiver*."""
        queue = worker.queue
        task: Any = worker.task
        args, form = task._args, task._kwargs
        task._args = task._kwargs = None  # if `materialise` fails, there are no arguments: see `explain`
        try:
            # The length is asked for in this process, with values as arguments.
            take = None if announcement(task._fn) is not None else self._take
            task._args, task._kwargs = materialise(args, form, take)
            if (end := end_of(self.executor)) is not None:
                raise end
            if receiver is None:
                return None
            unmasked(open_stream, queue, task, task._fn, task._args, task._kwargs)
            if isinstance(self.executor, Engine):
                return self.executor.address(receiver, task._engine or {})
            return local_address(receiver)
        finally:
            del task, args, form

    def _call(self, worker: Worker, address: Address | None) -> Future[Any]:
        """Give the call to the executor, and return its future."""
        task: Any = worker.task
        executor: Executor = self.executor
        fn: Any = task._fn
        args: tuple[Any, ...] = task._args
        kwargs: dict[str, Any] = task._kwargs
        try:
            if type(fn) is Plain:
                fn = fn.fn
            if address is not None:
                fn, args = stream, (address, fn, *args)
            if isinstance(executor, Engine):
                return executor.call(Call(fn, args, kwargs, label_of(task), task._engine or {}))
            if self._checks_errors:
                fn, args, kwargs = perform, (fn, args, kwargs), {}
            elif not kwargs.keys().isdisjoint(_SUBMIT_NAMES):
                fn, kwargs = partial(fn, **kwargs), {}
            return executor.submit(fn, *args, **kwargs)
        finally:
            del task, fn, args, kwargs

    def _enter(self, worker: Worker, future: Future[Any], receiver: Receiver | None) -> None:
        """Record that *future* is the executor's future of the task that *worker* has."""
        task: Any = worker.task
        come_before()  # loky enters its exit hook at the first call
        # A cluster would drop the call of a generator that runs, and then nothing would close the generator.
        if receiver is not None and self.remote_values:
            return
        self._futures[task] = future
        at_end = task._at_end
        if at_end is not None and at_end.cancel_requested:  # cancelled before `cancel` could find a future
            self.cancel(task)

    # How calls end.

    def _done(self, worker: Worker, receiver: Receiver | None, future: Future[Any]) -> None:
        """Cause the end of the task of *worker*: the callback of *future*."""
        self._do(partial(self._end, worker, receiver, future))

    def _end(self, worker: Worker, receiver: Receiver | None, future: Any) -> None:
        """End the task of *worker* with the outcome of *future*, and advance."""
        with breakdown_on_error(worker.queue.scheduler, worker, worker.task):
            value: Any = None
            error: BaseException | None
            try:
                # To raise the exception of *future* here would keep frames of ours.
                error = CancelledError() if future.cancelled() else future.exception()
                if error is not None:
                    pass
                elif receiver is not None:
                    value = receiver.result(*future.result())
                else:
                    value = Kept(future) if self.remote_values else future.result()
            except BaseException as raised:  # by *receiver*, or by a future of the executor's own class
                error, future = raised, None
            if receiver is not None:
                receiver.ended = True
            if error is None:
                self._complete(worker, value)
            else:
                self._fail(worker, error, future)
        # The next step, not a call: nothing here keeps the result while the executor gets the next call.
        assert _steps.later is not None
        _steps.later.appendleft(partial(self._advance, worker))

    def _complete(self, worker: Worker, value: Any) -> None:
        """Complete the task of *worker*; the worker may get the next task with that."""
        queue, task = worker.queue, worker.task
        assert task is not None
        self._release(task)
        task._fn = name_of(task._fn)
        if queue.scheduler.observers:
            queue.scheduler.observers.notify("end", queue, task, worker.thread, outcome="done")
        # If the start of the next task lets another worker start, `_advance` has to take the task; the same
        # holds if the executor says how many calls it wants, as this worker may be one too many.
        more = not queue.in_order and self._prefetch is not None
        queue.scheduler.dispatcher.complete(queue, worker, task, value, more)

    def _fail(self, worker: Worker, error: BaseException, future: Future[Any] | None) -> None:
        """Fail the task of *worker*; if the executor has ended, fail all pending tasks of the queue."""
        queue, task = worker.queue, worker.task
        assert task is not None
        fn, end = task._fn, self._end_shown_by(error, future)
        if end is None:
            # The error of an engine names the part; threads need no pickle.
            if not isinstance(self.executor, Engine) and (self._checks_errors or self._pool is None):
                error = explain(error, fn, task._args, task._kwargs, self.executor)
            note(error, task, queue.name)
        self._release(task)
        if end is not None:
            words = f"queue {queue.name} runs its tasks on {type(self.executor).__name__}, which has ended"
            if words not in getattr(end, "__notes__", ()):
                end.add_note(words)
            self._broken = end
            queue.scheduler.termination.break_off(queue, end)
        cancelled = future is not None and future.cancelled()
        queue.scheduler.termination.fail(worker, task, error, cancelled)

    def _end_shown_by(self, error: BaseException, future: Future[Any] | None) -> BaseException | None:
        """Return the error of the executor if *error*, with which *future* has ended, shows its end."""
        if isinstance(future, _Refused):
            return error if is_end(error) else None
        if future is not None and future.cancelled():
            return end_of(self.executor)
        # A task may raise an exception of another executor.
        return error if isinstance(error, BrokenExecutor) and end_of(self.executor) is not None else None

    def _release(self, task: Task[Any]) -> None:
        """Release the call of *task*, but for its function."""
        self._futures.pop(task, None)
        task._args = task._kwargs = None
