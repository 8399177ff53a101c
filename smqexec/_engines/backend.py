"""The backend of a queue whose tasks run on an executor: processes, interpreters, a cluster.

A worker of such a queue has no thread.  It goes in *steps*, each in the thread that causes it.  `_advance`
takes a task and submits its call, or the worker leaves.  `_end`, caused by the callback of the call's future,
ends the task, and `_advance` follows.  So at most ``max_workers + prefetch`` calls are at the executor.  No
method of the executor is called while the scheduler's lock is held.

A step that an end causes waits for the present step of the thread: so an executor that makes each call inside
``submit`` causes no recursion.  A step that starts a worker is nested in the present step: so no slot is free
while callbacks of an ended task run.  It waits only while a worker takes its task: so calls arrive in order.
"""

import threading
from _thread import start_new_thread
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any, cast

from .._calls.arguments import materialise
from .._calls.callables import Plain, announcement, generates, name_of
from .._calls.frames import strip_ours
from .._calls.interrupts import elsewhere, headroom, keep, uninterrupted, unmasked
from .._core.process import come_before
from .._core.queue_state import Backend, QueueState, Worker
from .._futures.future import fate_of
from .._futures.names import label_of, note
from .._futures.remote_value import Kept, stand_in
from .._futures.task import Task
from .._workers.pools import check_width
from .executors import Call, Engine, is_end
from .receivers import Receiver, stream

_backends = count()  # numbers in the names of queues; `next` is atomic


def on_executor(
    scheduler: Any, max_workers: int | None, name: str, executor: Executor, prefetch: int | None
) -> QueueState:
    """Return the state of a new queue on *executor*, which may tell *max_workers* and the name."""
    kind = type(executor).__name__
    if max_workers is None:
        max_workers = getattr(executor, "max_workers", None) or getattr(executor, "_max_workers", None)
    if not isinstance(max_workers, int):
        raise TypeError(f"max_workers must be given: {kind} does not tell how many workers it has")
    check_width(max_workers)
    engine = executor if isinstance(executor, Engine) else Engine(executor)
    backend = ExecutorBackend(engine, kind, follows=prefetch is None and isinstance(executor, Engine))
    queue = QueueState(scheduler, backend, max_workers, name or f"{kind}-{next(_backends)}")
    queue.limit += engine.prefetch if prefetch is None else prefetch
    come_before()
    return queue


class _Steps(threading.local):
    #: Steps to do after the current step; None: this thread is in no step, or in the executor's ``submit``.
    later: deque[Callable[[], None]] | None = None
    #: A worker takes its task: workers that are started now advance after this step.
    taking = False


_steps = _Steps()


class ExecutorBackend(Backend):
    keeps_idle = False

    def __init__(self, engine: Engine, kind: str, follows: bool) -> None:
        # The engine; None once no call can come.
        self._engine: Any = engine
        self.options = engine.options  # constant, as are the next three
        self.remote_values = engine.remote_values
        # The name of the executor's class.
        self._kind = kind
        # The queue's number of prefetched calls follows ``engine.prefetch``.
        self._follows = follows
        # The error of the executor, once the executor has ended; written by `_fail`.
        self._broken: BaseException | None = None
        # The executor's future of each running task.  Written by the steps of that task, atomically.
        self._futures: dict[Task[Any], Future[Any]] = {}

    # For the core: see `Backend`.

    def start(self, queue: QueueState, worker: Worker) -> None:
        """Let *worker* advance, in the thread that made a task ready."""
        headroom(25)  # raises RecursionError before *worker* has a task; `exclusive` asks for more
        step = partial(self._advance, worker)
        if _steps.later is None or _steps.taking:
            self._do(worker, step)
        else:
            step()

    def join(self, wait: bool) -> None:
        """Release the executor."""
        self._engine = None

    def lose(self, queue: QueueState) -> None:
        """Release the executor if no call of *queue* can come: the scheduler keeps *queue* for a while."""
        # No lock is needed: a queue that has ended gets no task and no worker.
        if queue.ending and not queue.workers:
            self._engine = None

    def cancel(self, task: Task[Any]) -> None:
        future = self._futures.get(task)
        if future is not None:
            with suppress(Exception):  # Parsl's futures can't be cancelled
                unmasked(future.cancel)

    def cancel_unbegun(self) -> None:
        for task, future in list(self._futures.items()):
            with suppress(Exception):  # of the executor's own class
                if not future.running():
                    self.cancel(task)

    # Steps, and how they begin.

    def _do(self, worker: Worker, step: Callable[[], None]) -> None:
        """Do *step* of *worker* now, or after the step or the hold of the lock that this thread is in."""
        if _steps.later is not None:
            _steps.later.append(step)
            return
        if worker.queue.scheduler.deferred(self._do, worker, step):
            return
        engine = self._engine  # read once: another thread may release it
        if engine is not None and engine.submitting():
            # A signal handler or a finalizer has interrupted this thread in ``submit``, which holds a lock.
            # Another thread can wait for the lock.
            start_new_thread(elsewhere, (self._do, (worker, step)))
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
        queue, engine = worker.queue, self._engine
        dispatcher = queue.scheduler.dispatcher
        _steps.taking = True
        try:
            if self._follows and engine is not None and engine.prefetch != queue.limit - queue.width:
                dispatcher.resize(queue, None, engine.prefetch)
            if worker.task is None:
                dispatcher.begin(queue, worker)
        except Exception as error:
            queue.scheduler.break_down(error)
        finally:
            _steps.taking = False
        if worker.task is not None:
            self._submit(worker)

    # The executor may make the call inside the next functions.  An exception of the call then keeps their
    # frames, so no local name of theirs keeps the task or an argument.

    def _submit(self, worker: Worker) -> None:
        queue = worker.queue
        if queue.scheduler.observers:
            queue.scheduler.observers.notify("start", queue, worker.task, worker.thread)
        receiver = Receiver(worker) if generates(worker.task._fn) else None  # type: ignore[union-attr]
        end = partial(self._end, worker, threading.Lock(), receiver)
        try:
            # The executor may make the call now, and the call may wait for a task that this thread starts.
            later, _steps.later = _steps.later, None
            try:
                future = unmasked(self._call, worker, receiver)
            finally:
                _steps.later = later
            self._enter(worker, future, receiver)
            future.add_done_callback(lambda future: self._do(worker, partial(end, future)))
        except BaseException as error:
            keep(error)  # Ctrl-C is also raised to the caller
            strip_ours(error)
            self._do(worker, partial(end, None, error))

    def _call(self, worker: Worker, receiver: Receiver | None) -> Future[Any]:
        """Give the call of the task that *worker* has to the executor, and return its future."""
        engine: Engine = self._engine
        task: Any = worker.task
        fn, args, form = task._fn, task._args, task._form
        task._args, task._form = (), None  # until its arguments are there: see `_fail`
        try:
            # The length is asked for in this process, with values as arguments.
            take = None if announcement(fn) is not None else partial(stand_in, takes=engine.takes)
            args, form = materialise(args, form, take)
            if receiver is not None:
                worker.queue.scheduler.streams.open_stream(task, fn, args, form)
            task._args, task._form = args, form
            # An executor may hold its own lock as it ends a future, for example in its `shutdown`.
            if (end := engine.ended()) is not None:
                raise end
            options = task._engine or {}
            fn = fn.fn if type(fn) is Plain else fn
            if receiver is not None:
                fn, args = stream, (engine.address(receiver, options), fn, *args)
            return engine.call(Call(fn, tuple(args), form, label_of(task), options))
        finally:
            del task, fn, args, form

    def _enter(self, worker: Worker, future: Future[Any], receiver: Receiver | None) -> None:
        """Record that *future* is the executor's future of the task that *worker* has."""
        task: Any = worker.task
        come_before()  # loky enters its exit hook at the first call
        # A cluster would drop the call of a generator that runs, and then nothing would close the generator.
        if receiver is None or not self.remote_values:
            self._futures[task] = future
            at_end = task._at_end
            if at_end is not None and at_end.cancel_requested:  # before `cancel` could find *future*
                self.cancel(task)

    def _end(self, worker: Worker, once: Any, receiver: Any, future: Any, refusal: Any = None) -> None:
        """End the task of *worker* as *future*, or with the *refusal* of its call, and advance."""
        if not once.acquire(False):  # *future* calls back again, perhaps of another task by now
            return
        try:
            value: Any = None
            cancelled, error = fate_of(future) if refusal is None else (False, refusal)
            try:
                if error is None and receiver is not None:
                    value = receiver.result(*future.result())
                elif error is None:
                    value = Kept(future) if self.remote_values else future.result()
            except BaseException as raised:  # by *receiver*, or by `result` of the executor's own class
                strip_ours(raised)
                error = raised
            if receiver is not None:
                receiver.end()
            if error is None:
                self._complete(worker, value)
            else:
                self._fail(worker, error, cancelled, refusal is not None)
        except Exception as ours:
            worker.queue.scheduler.break_down(ours, worker, worker.task)
        # The next step, not a call: nothing here keeps the result while the executor gets the next call.
        _steps.later.appendleft(partial(self._advance, worker))  # type: ignore[union-attr]

    def _complete(self, worker: Worker, value: Any) -> None:
        """Complete the task of *worker*; the worker may get the next task with that."""
        queue, task = worker.queue, cast("Task[Any]", worker.task)
        self._release(task)
        task._fn = name_of(task._fn)
        # `_advance` has to take the task if its start lets another worker start, or if this worker may be one
        # too many, as the engine says how many calls it wants.
        more = not queue.in_order and not self._follows
        scheduler = queue.scheduler
        scheduler.lock.acquire()
        task._outcome = value
        scheduler.dispatcher.complete(worker, task, more)

    def _fail(self, worker: Worker, error: BaseException, cancelled: bool, refused: bool) -> None:
        """Fail the task of *worker*; if the executor has ended, fail all pending tasks of the queue."""
        queue, task = worker.queue, cast("Task[Any]", worker.task)
        # A task, or what its arguments come from, may raise the BrokenExecutor of another executor.
        refused = refused and task._form is not None
        ended = is_end(error) if refused else isinstance(error, BrokenExecutor) and self._engine.ended()
        if not ended:
            error = self._engine.explain(error, task._fn, task._args, task._form or {})
            note(error, task, queue.name)
        self._release(task)
        if ended:
            if error is not self._broken:
                error.add_note(f"queue {queue.name} runs its tasks on {self._kind}, which has ended")
            self._broken = error
            queue.scheduler.termination.break_off(queue, error)
        queue.scheduler.termination.fail(worker, task, error, cancelled)

    def _release(self, task: Task[Any]) -> None:
        """Release the call of *task*, but for its function."""
        self._futures.pop(task, None)
        task._args = task._form = None
