"""The backend of a queue whose tasks run on an executor: processes, interpreters, a cluster.

A worker of such a queue has no thread and is never idle.  It advances in *steps*, each in
the thread that causes the step:

- begin: a task became ready; the worker takes the task and submits its call to the executor;
- end: the executor's future is done; the worker completes the task, takes the next one, and
  submits that call.  With no task ready the worker ends.

So at most ``max_workers + prefetch`` calls are at the executor, and without *prefetch* the
executor's own order decides nothing.  The values of a generator task are received by a
thread of their own, which also ends the task: see ``remote``.

Invariants, for executors of any kind:

- Steps of one thread do not nest (`_do`), so an executor that makes each call inside ``submit``
  causes no recursion.  There are two exceptions.  While ``submit`` runs, steps are done at once:
  the executor may make the call there, and the call may wait for another task.  And a worker
  that starts as a task ends begins at once: no slot is left free while callbacks of that task run.
- If a signal handler or a finalizer causes a step inside the ``submit`` of a pool of threads or
  processes, which holds a lock, another thread does the step.
- A worker that starts while another worker takes its task begins after that worker has submitted
  its call, so calls arrive in order.
- No method of the executor is called while the scheduler's lock is held.
- An executor that says that it is broken or shut down gets no more calls.  It may hold its own
  lock as it ends a future: ``ThreadPoolExecutor.shutdown(cancel_futures=True)`` does, and so does a
  `ProcessPoolExecutor` that breaks.
"""

from __future__ import annotations

import threading
from _thread import start_new_thread
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from .._calls.arguments import materialise
from .._calls.callables import Plain, announcement, generates, name_of
from .._calls.containers import Take
from .._calls.frames import ours, strip_ours
from .._calls.interrupts import elsewhere, kept, uninterrupted, unmasked
from .._core.exclusive import breakdown_on_error
from .._core.process import come_before
from .._core.queue_state import QueueState, Worker
from .._core.upward import Backend
from .._futures.names import label_of, note
from .._futures.remote_value import Kept, stand_in
from .._futures.task import Task
from .._workers.generators import drive, open_stream
from .._workers.pools import submitting
from .executors import Call, Engine, error_of, gone, is_end, outcome_of
from .pickling import explain
from .remote import Channel, Ordinary, perform, stream

# Keywords that the `submit` of some executors can't pass on to the function.
_SUBMIT_NAMES = ("self", "fn")


class _Current(threading.local):
    """The steps of the calling thread."""

    #: Steps that wait for the end of the current step; None: this thread is in no step, or in
    #: the executor's ``submit``.
    steps: deque[Callable[[], None]] | None = None
    #: A worker takes its task: workers that start now begin after this step.
    taking = False


_current = _Current()


class ExecutorBackend(Backend):
    """The backend of a queue whose tasks run on an executor.

    Args:
        executor: Makes the calls.
        prefetch: How many calls beyond the queue's slots may be at *executor*; None: an `Engine` says
            so before each call, and other executors get none.
    """

    keeps_idle = False

    def __init__(self, executor: Executor, prefetch: int | None) -> None:
        engine = executor if isinstance(executor, Engine) else None
        names = {base.__name__ for base in type(executor).__mro__}
        # The executor; None once no call can come: set by `lose` and `join`.
        self.executor: Any = executor
        # The threads that receive values of generator tasks; each enters and removes itself.
        self.threads: set[threading.Thread] = set()
        # The error of the executor, once it has ended; written by `_fail`.
        self._broken: BaseException | None = None
        # The future at the executor of each running task; written by the steps of that task.
        self._futures: dict[Task[Any], Future[Any]] = {}
        # Whether the class of the executor has got a call: see `come_before`.
        self._called = False
        # The rest never changes.
        self.remote_values = engine is not None and engine.remote_values
        self._prefetch = 0 if engine is None and prefetch is None else prefetch
        # What stands for a future among the arguments; None: its result.
        self._take: Take | None = None if engine is None else partial(stand_in, takes=engine.takes)
        # The standard library's pools of processes, and loky's, break if a call raises an
        # exception that can't be unpickled: see `perform`.
        self._brittle = not names.isdisjoint(("ProcessPoolExecutor", "InterpreterPoolExecutor"))
        # All workers of the executor are threads of this interpreter.
        self._at_home = isinstance(executor, ThreadPoolExecutor) and not self._brittle
        # The class of an executor whose ``submit`` holds a lock, and makes no call; else None.
        self._locks = type(executor) if self._brittle or self._at_home else None

    def prefetch(self) -> int:
        """Return how many calls beyond the queue's slots may be at the executor now."""
        executor = self.executor  # read once: another thread may release it
        if self._prefetch is not None or executor is None:
            return self._prefetch or 0
        return executor.prefetch  # type: ignore[no-any-return]

    # For the core: see `Backend`.

    def start(self, queue: QueueState, worker: Worker) -> None:
        """Begin *worker*, in the thread that made a task ready."""
        step = partial(self._go_on, queue, worker)
        if _current.steps is None or _current.taking:
            self._do(step)
        else:
            step()

    def join(self, wait: bool) -> None:
        """Release the executor; with *wait*, first wait for the threads of generator tasks."""
        for thread in list(self.threads) if wait else ():
            if thread is not threading.current_thread():
                thread.join()
        self._take = None
        self.executor = None

    def lose(self, queue: QueueState) -> None:
        """Release the executor if no call of *queue* can come: the scheduler keeps the state of lost queues.

        Called as the queue is collected, and as a worker ends.  No lock is needed: a queue that has
        ended gets no task and no worker.
        """
        if queue.ending and not queue.workers:
            self.join(wait=False)

    def cancel(self, task: Task[Any]) -> None:
        """Cancel the call of *task* if the executor has not begun it."""
        future = self._futures.get(task)
        if future is not None:
            with suppress(Exception):  # Parsl's futures can't be cancelled
                unmasked(future.cancel)

    def cancel_unbegun(self) -> None:
        """Cancel the calls that the executor has not begun."""
        for task, future in list(self._futures.items()):
            if not future.running():
                self.cancel(task)

    # Steps.

    def _do(self, step: Callable[[], None]) -> None:
        """Do *step* now; if this thread is in a step already, after that one."""
        if _current.steps is not None:
            _current.steps.append(step)
            return
        if self._locks is not None and submitting(self._locks):
            # A signal handler or a finalizer has interrupted this thread in ``submit``, which holds a lock.
            # Another thread can wait for the lock.
            start_new_thread(elsewhere, (self._do, (step,)))
            return
        with uninterrupted():
            steps = _current.steps = deque([step])
            del step  # it knows its task
            try:
                while steps:
                    steps.popleft()()
            finally:
                _current.steps = None

    def _go_on(self, queue: QueueState, worker: Worker) -> None:
        """Submit the call of the task that *worker* has, or else of the next ready task."""
        _current.taking = True
        try:
            with breakdown_on_error(queue.scheduler):
                if self._prefetch is None and (wanted := self.prefetch()) != queue.limit - queue.width:
                    queue.scheduler.dispatcher.resize(queue, None, wanted)
                if worker.task is None:
                    queue.scheduler.dispatcher.begin(queue, worker)
        finally:
            _current.taking = False
        if worker.task is None:
            self.lose(queue)
        else:
            self._give(_Job(queue, worker, worker.task))

    @ours
    def _give(self, job: _Job) -> None:
        """Submit the call of *job*."""
        queue, worker = job.queue, job.worker
        if queue.scheduler.observers:
            queue.scheduler.observers.tell("start", queue, job.task, worker.thread)
        try:
            job.fill(self._take)
            if (ended := gone(self.executor)) is not None:
                raise ended
            if job.generates:
                threading.Thread(target=self._drive, args=(job,), name=f"{queue.name}-values").start()
                return
            steps, _current.steps = _current.steps, None
            try:
                future = unmasked(self._submit, job)
            finally:
                _current.steps = steps
        except BaseException as error:
            kept(error)  # Ctrl-C is also raised to the caller
            strip_ours(error)
            # After the workers that have started: their slots are not left free while callbacks run.
            self._do(partial(self._refuse, job, error))
        else:
            self._enter(job.task, future)
            future.add_done_callback(lambda future: self._do(partial(self._end, job, future)))

    def _refuse(self, job: _Job, error: BaseException) -> None:
        """Fail the task of *job*, which could not be submitted, with *error*, and go on with the next one."""
        queue, worker = job.queue, job.worker
        self._fail(job, error, error if is_end(error) else None)
        del job, error
        self._go_on(queue, worker)

    def _end(self, job: _Job, future: Future[Any]) -> None:
        """End the task of *job* with the outcome of *future*, and go on with the next one."""
        queue, worker = job.queue, job.worker
        value, error = (Kept(future), error_of(future)) if self.remote_values else outcome_of(future)  # type: ignore[arg-type]
        if error is None:
            del future
            self._complete(job, value)
        else:
            self._fail(job, error, self._ended(error, future), future.cancelled())
        job = error = value = None  # type: ignore[assignment]
        self._go_on(queue, worker)

    @ours
    def _drive(self, job: _Job) -> None:
        """Run the generator task of *job* at the executor; this thread receives the values."""
        queue, worker, task = job.queue, job.worker, job.task
        thread = threading.current_thread()
        self.threads.add(thread)
        values: Any = None
        try:
            open_stream(queue, task, job.fn, job.args, job.kwargs)
            values = self._stream(job)
            result: Any = drive(queue, worker, task, values)
        except Ordinary as ordinary:
            self._complete(job, ordinary.args[0])
            queue.scheduler.streams.end_items(task)  # asked for while the task seemed to be a generator's
        except BaseException as error:
            strip_ours(error)
            future = self._futures.get(task)
            unsent = values is None and is_end(error)
            ended = error if unsent else self._ended(error, future)
            self._fail(job, error, ended, not unsent and future is not None and future.cancelled())
            future = ended = None
        else:
            self._complete(job, result)
        job = task = result = values = None  # type: ignore[assignment]
        self._do(partial(self._go_on, queue, worker))
        self.threads.discard(thread)

    # Parts of steps.

    def _submit(self, job: _Job) -> Future[Any]:
        """Return the executor's future of the call of *job*."""
        executor: Executor = self.executor
        if isinstance(executor, Engine):
            return executor.call(job.call())
        if self._brittle:
            return executor.submit(perform, job.fn, job.args, job.kwargs)
        if job.kwargs.keys().isdisjoint(_SUBMIT_NAMES):
            return executor.submit(job.fn, *job.args, **job.kwargs)
        return executor.submit(partial(job.fn, **job.kwargs), *job.args)

    def _stream(self, job: _Job) -> Iterator[Any]:
        """Submit the call of *job*, a generator task, and return an iterator over the values."""
        executor = self.executor
        if isinstance(executor, Engine):
            return executor.stream(job.call())
        channel = Channel(not self._at_home)
        try:
            future = executor.submit(stream, channel.reply, job.fn, job.args, job.kwargs)
        except BaseException:
            channel.close()
            raise
        self._enter(job.task, future)
        return channel.values(future)

    def _enter(self, task: Task[Any], future: Future[Any]) -> None:
        """Record that *future* is the executor's future of *task*."""
        self._futures[task] = future
        if not self._called:
            self._called = True
            come_before(type(self.executor), called=True)
        at_end = task._at_end
        if at_end is not None and at_end.cancel_requested:  # cancelled before `cancel` could find a future
            self.cancel(task)

    def _complete(self, job: _Job, value: Any) -> None:
        """Complete the task of *job*; the worker may get the next one with that."""
        queue, worker, task = job.queue, job.worker, job.task
        self._futures.pop(task, None)
        job.release()
        task._fn = name_of(task._fn)
        task._args = task._kwargs = None
        if queue.scheduler.observers:
            queue.scheduler.observers.tell("end", queue, task, worker.thread, outcome="done")
        # If the start of the next task lets another worker start, `_go_on` has to take the task; the
        # same holds if the executor says how many calls it wants, as this worker may be one too many.
        more = not queue.in_order and self._prefetch is not None
        with breakdown_on_error(queue.scheduler, worker, task):
            queue.scheduler.dispatcher.complete(queue, worker, task, value, more)

    def _fail(
        self, job: _Job, error: BaseException, ended: BaseException | None, cancelled: bool = False
    ) -> None:
        """Fail the task of *job*; if the executor has *ended*, fail all pending tasks with that error."""
        queue, worker, task = job.queue, job.worker, job.task
        if not isinstance(self.executor, Engine):  # an engine says itself which argument can't be pickled
            error = explain(error, job.fn, job.args, job.kwargs, self.executor)
        self._futures.pop(task, None)
        job.release()
        fn = task._fn
        if ended is None:
            note(error, task, fn, queue.name)
        if task._stream is None and callable(fn) and generates(fn):  # for threads that iterate over the task
            queue.scheduler.streams.stream(task, announcement(fn) is not None)
        task._fn = name_of(fn)
        fn = task._args = task._kwargs = None
        if ended is not None:
            words = f"queue {queue.name} runs its tasks on {type(self.executor).__name__}, which has ended"
            if words not in getattr(ended, "__notes__", ()):
                ended.add_note(words)
            self._broken = ended
            queue.scheduler.termination.break_off(queue, ended)
        with breakdown_on_error(queue.scheduler, worker, task):
            queue.scheduler.termination.fail(queue, worker, task, error, cancelled)

    def _ended(self, error: BaseException, future: Future[Any] | None) -> BaseException | None:
        """Return the error of the executor if it has ended: *error*, of the call of *future*, may be that."""
        if future is not None and future.cancelled():
            return gone(self.executor)
        broken = isinstance(error, BrokenExecutor) and gone(self.executor) is not None  # else the user's own
        return error if broken else None


class _Job:
    """A task that is at an executor, and its call, until the task ends.

    Frames that a failure keeps know the job alone: `release` frees all the rest.
    """

    __slots__ = ("args", "fn", "generates", "kwargs", "queue", "task", "worker")

    def __init__(self, queue: QueueState, worker: Worker, task: Task[Any]) -> None:
        self.queue = queue
        self.worker = worker
        self.task: Any = task
        # Set by `fill`: the call, and whether it is a generator task.
        self.generates = False
        self.fn: Any = None
        self.args: Any = None
        self.kwargs: Any = None

    def fill(self, take: Take | None) -> None:
        """Find the call: put results, or what *take* returns, in the place of futures."""
        fn = self.task._fn
        self.generates = generates(fn)
        if take is not None and self.generates and announcement(fn) is not None:
            take = None  # the announcement is asked here
        self.args, self.kwargs = materialise(self.task._args, self.task._kwargs, take)
        self.fn = fn.fn if type(fn) is Plain else fn

    def call(self) -> Call:
        """Return the call as an `Engine` takes it."""
        return Call(self.fn, self.args, self.kwargs, label_of(self.task), self.task._engine or {})

    def release(self) -> None:
        """Release the task and its call."""
        self.task = self.fn = self.args = self.kwargs = None
