"""Queues that run their tasks on an executor: processes, interpreters, a cluster.

A worker (`Run`) of such a queue has no thread.  It starts in the thread that made a task
ready.  It takes the task, submits its call to the executor, and continues in the callback
of the executor's future: it completes the task and takes the next one.  With no task ready
the worker ends; it never idles.  So at most ``max_workers + prefetch`` calls are at the
executor.  Without *prefetch* the executor's own order decides nothing.

Any `concurrent.futures.Executor` will do.  An executor that needs more than the function
and its arguments derives from `Engine` and gets a `Call`.

Guarantees, for executors of any kind:

- No method of the executor is called while the scheduler's lock is held.
- A future may be done when the executor returns it, and may call back in any thread:
  a loop completes such tasks, not recursion.  See `_Here`.
- An executor that is broken or shut down gets no more calls.  An executor may hold its
  own lock while it calls back (`ThreadPoolExecutor.shutdown` with ``cancel_futures`` does,
  and so does a `ProcessPoolExecutor` that breaks).

A thread of this process receives the values of each generator task: see ``remote``.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

from .._calls.arguments import materialise
from .._calls.callables import Plain, announcement, generates, name_of
from .._calls.containers import Take
from .._calls.frames import ours, strip_ours
from .._calls.interrupts import kept, uninterrupted, unmasked
from .._core.loud import loud
from .._core.process import come_before
from .._core.state import QueueState, Worker
from .._futures.notes import note
from .._futures.remote_value import Kept, stand_in
from .._futures.task import Task, label_of
from .._workers.generators import drive, open_stream
from .executors import Call, Engine, check_start, error_of, gone, is_end, outcome_of
from .pickling import explain
from .remote import Line, Ordinary, perform, stream

LOGGER = logging.getLogger("smqexec")


class _Current(threading.local):
    """What the calling thread does after the call that it submits now.  Each thread has its own."""

    #: Callbacks of futures that called this thread while it submitted other calls; the outermost `_loop`
    #: makes them.  None outside of `_loop`, and while the executor's ``submit`` runs: that may make the
    #: call at once, and the user's code may wait for a task whose callback would stand in this list.
    todo: deque[Callable[[], None]] | None = None
    #: A call failed as if the executor had ended.  The executor may hold its lock: `_give` asks it first.
    doubtful = False
    #: Workers to start after the worker that takes its task now.  None while none takes a task.
    begun: deque[tuple[EnginePool, QueueState, Worker]] | None = None


_here = _Current()


class EnginePool:
    """The backend of a queue whose tasks run on an executor.

    Args:
        executor: Runs the calls.
        prefetch: How many calls more than the queue has slots may be there; None: what *executor* wants.
    """

    parks = inline = False

    def __init__(self, executor: Executor, prefetch: int | None) -> None:
        self.executor: Any = executor  # None once no call can come any more
        self.threads: set[threading.Thread] = set()  # each receives the values of a generator task
        self._broken: BaseException | None = None
        self._called = False
        self._futures: dict[Task[Any], Future[Any]] = {}  # of calls that are at the executor
        kind = type(executor)
        names = {base.__name__ for base in kind.__mro__}
        # The standard library's pools of processes, and loky's, break where a call raises an
        # exception that can't be unpickled: see `perform`.
        self._brittle = not names.isdisjoint(("ProcessPoolExecutor", "InterpreterPoolExecutor"))
        engine = executor if isinstance(executor, Engine) else None
        self.keeps = engine is not None and engine.keeps
        self._prefetch = 0 if engine is None and prefetch is None else prefetch
        self._take: Take | None = None if engine is None else partial(stand_in, takes=engine.takes)
        # All workers are threads of this interpreter.
        self._at_home = isinstance(executor, ThreadPoolExecutor) and not self._brittle

    def prefetch(self) -> int:
        """How many calls more than the queue has slots may be at the executor now."""
        executor = self.executor  # read once: see `lose`
        if self._prefetch is not None or executor is None:
            return self._prefetch or 0
        try:
            return executor.prefetch  # type: ignore[no-any-return]
        except Exception:  # it is asked again at the next call
            LOGGER.exception("%s does not say what it prefetches", type(executor).__name__)
            return 0

    # For the core: see `Backend`.

    def resize(self, number: int) -> None:
        """The executor is not ours to change."""

    def join(self, wait: bool) -> None:
        """Wait for threads of generator tasks that are ending; release the executor, which is not ours."""
        for thread in list(self.threads) if wait else ():
            if thread is not threading.current_thread():
                thread.join()
        self._take = None
        self.executor = None

    def lose(self, queue: QueueState) -> None:
        """Release the executor if no call of *slots* can come any more.

        Called as the queue is collected, and as a run leaves.  The scheduler keeps *slots*, for
        their counts, and must not keep the executor.  No lock is needed: an ended queue gets no
        task and no run.
        """
        if queue.ending and not queue.workers:
            self.join(wait=False)

    def cancel(self, task: Task[Any]) -> None:
        """Cancel *task*, if the executor has not begun it."""
        future = self._futures.get(task)
        if future is not None:
            with suppress(Exception):  # Parsl's can't; and its task is still to be told of its end
                unmasked(future.cancel)

    def cancel_unbegun(self) -> None:
        """Cancel the calls at the executor that it has not begun."""
        for task, future in list(self._futures.items()):
            if not future.running():
                self.cancel(task)

    # A run.

    def start(self, queue: QueueState, worker: Worker) -> None:
        """Begin *run*, in the thread that made a task ready."""
        if _here.begun is not None:  # another run has yet to submit its call, which comes first
            _here.begun.append((self, queue, worker))
            return
        with uninterrupted():
            _begin(deque([(self, queue, worker)]))

    def begin(self, queue: QueueState, worker: Worker, begun: _Begun) -> None:
        """Let *run* take a task, if it has none, and submit it; workers that this starts go to *begun*."""
        if worker.task is None:
            self._in_turn(begun, queue.scheduler.dispatcher.begin_at_once, queue, worker)
            if worker.task is None:
                self.lose(queue)
        self._loop(self._send, queue, worker, begun)

    def _in_turn(self, begun: _Begun, call: Callable[..., object], queue: QueueState, *args: Any) -> None:
        """Call *call*, which runs no user code; workers that it starts go to *begun*.

        A worker that started at once would nest in the one before, as deep as there are slots,
        and the executor would get the calls in reverse.
        """
        outer, _here.begun = _here.begun, begun
        try:
            with loud(queue.scheduler):
                call(queue, *args)
        finally:
            _here.begun = outer

    def _loop(self, first: Callable[..., None], *args: Any) -> None:
        """Call *first*, and then the callbacks that came to this thread meanwhile."""
        if _here.todo is not None:
            first(*args)
            return
        todo: deque[Callable[[], None]] = deque()
        _here.todo = todo
        try:
            first(*args)
            del args
            while todo:
                todo.popleft()()
        finally:
            _here.todo = None
            _here.doubtful = False

    @ours
    def _send(self, queue: QueueState, worker: Worker, begun: _Begun) -> None:
        """Submit the task of *run*, if it has one; if that fails, fail the task and submit the next one."""
        job = None  # the traceback of a failure keeps this frame: no name in it may refer to the next task
        while worker.task is not None:
            job = _Job(queue, worker, worker.task)
            if queue.scheduler.observers:
                queue.scheduler.observers.tell("start", queue, job.task, worker.thread)
            try:
                job.fill(self._take)
                self._give(job, begun)
                return
            except BaseException as error:
                kept(error)  # Ctrl-C also goes to the caller
                strip_ours(error)
                gone = error if is_end(error) else None
                told = self._explained(error, job)
                if job.task._watch is not None:  # a callback may wait for what *begun* starts
                    todo, _here.todo = _here.todo, None
                    try:
                        _begin(begun)
                    finally:
                        _here.todo = todo
                self._fail(job, told, gone)
                told = gone = None  # type: ignore[assignment]
                self._in_turn(begun, queue.scheduler.dispatcher.begin_at_once, queue, worker)
            finally:
                job = None

    @ours
    def _give(self, job: _Job, begun: _Begun) -> None:
        """Give *job* to the executor."""
        if _here.doubtful and (ended := gone(self.executor)) is not None:
            raise ended
        if job.generates:
            threading.Thread(target=self._drive, args=(job,), name=f"{job.queue.name}-values").start()
            return
        todo, _here.todo = _here.todo, None
        try:
            future = unmasked(self._call, job)
        finally:
            _here.todo = todo
        self._enter(job.task, future)
        future.add_done_callback(partial(self._done, job))
        # From here on nothing may be raised: the task would end twice.
        self._fit(job.queue, begun)

    def _fit(self, queue: QueueState, begun: _Begun) -> None:
        """Let the executor have as many calls as it wants now; workers that this starts go to *begun*."""
        if self._prefetch is None and (wanted := self.prefetch()) != queue.limit - queue.width:
            self._in_turn(begun, queue.scheduler.dispatcher.resize, queue, None, wanted)

    def _enter(self, task: Task[Any], future: Future[Any]) -> None:
        """Record that *future* is that of *task* at the executor."""
        self._futures[task] = future
        if not self._called:
            self._called = True
            come_before(type(self.executor), called=True)
        watch = task._watch
        if watch is not None and watch.asked:  # cancelled before `cancel` could find a future
            self.cancel(task)

    def _call(self, job: _Job) -> Future[Any]:
        """Submit *job*."""
        executor: Executor = self.executor
        if isinstance(executor, Engine):
            return executor.call(job.call())
        if self._brittle:
            check_start(executor)
            return executor.submit(perform, job.fn, job.args, job.kwargs)
        if job.kwargs.keys().isdisjoint(_SUBMIT_NAMES):
            return executor.submit(job.fn, *job.args, **job.kwargs)
        return executor.submit(partial(job.fn, **job.kwargs), *job.args)

    def _stream(self, job: _Job) -> Iterator[Any]:
        """Submit *job*, a generator task, and return an iterator over its values."""
        executor = self.executor
        if isinstance(executor, Engine):
            return executor.stream(job.call())
        line = Line(not self._at_home)
        try:
            check_start(executor)
            future = executor.submit(stream, line.reply, job.fn, job.args, job.kwargs)
        except BaseException:
            line.close()
            raise
        self._enter(job.task, future)
        return line.values(future)

    def _done(self, job: _Job, future: Future[Any]) -> None:
        """End the task of *job*: the callback of *future*."""
        if _here.todo is not None:
            _here.todo.append(partial(self._end, job, future))
            return
        with uninterrupted():
            self._loop(self._end, job, future)

    def _end(self, job: _Job, future: Future[Any]) -> None:
        """End the task of *job* as *future* says, and go on with the next."""
        queue, worker = job.queue, job.worker
        value, error = (Kept(future), error_of(future)) if self.keeps else outcome_of(future)  # type: ignore[arg-type]
        if error is None:
            del future
            self._complete(job, value)
        else:
            self._fail(job, self._explained(error, job), *self._end_of_executor(error, future))
        job = error = value = None  # type: ignore[assignment]
        self._go_on(queue, worker)

    def _go_on(self, queue: QueueState, worker: Worker) -> None:
        """Let *run* submit the task that it has, or take the next one."""
        begun: _Begun = deque([(self, queue, worker)])
        self._fit(queue, begun)
        _begin(begun)

    def _explained(self, error: BaseException, job: _Job) -> BaseException:
        """Return *error*, or an error that tells which part of *job* can't be pickled."""
        if isinstance(self.executor, Engine):
            return error
        return explain(error, job.fn, job.args, job.kwargs, self.executor)

    def _complete(self, job: _Job, value: Any) -> None:
        """Complete the task of *job*; its run may get the next one with it."""
        queue, worker, task = job.queue, job.worker, job.task
        self._futures.pop(task, None)
        job.release()
        task._fn = name_of(task._fn)
        task._args = task._kwargs = None
        if queue.scheduler.observers:
            queue.scheduler.observers.tell("end", queue, task, worker.thread, outcome="done")
        # Not here where the queue keeps the order of submission: what the next task lets start must be
        # submitted after it.  Nor where the executor says what it wants: *worker* may be one too many now.
        more = not queue.in_order and self._prefetch is not None
        with loud(queue.scheduler, worker, task):
            queue.scheduler.dispatcher.complete(queue, worker, task, value, more)

    def _fail(
        self, job: _Job, error: BaseException, gone: BaseException | None, cancelled: bool = False
    ) -> None:
        """Fail the task of *job*; if the executor is *gone*, what is pending fails with that."""
        queue, worker, task = job.queue, job.worker, job.task
        scheduler = queue.scheduler
        self._futures.pop(task, None)
        job.release()
        fn = task._fn
        if gone is None:  # else it is the executor that failed
            note(error, task, fn, queue.name)
        if task._stream is None and callable(fn) and generates(fn):
            scheduler.streams.stream(task, announcement(fn) is not None)  # whoever iterates gets the failure
        task._fn = name_of(fn)
        fn = task._args = task._kwargs = None
        if gone is not None:
            words = f"queue {queue.name} runs its tasks on {type(self.executor).__name__}, which has ended"
            if words not in getattr(gone, "__notes__", ()):
                gone.add_note(words)
            self._broken = gone
            scheduler.termination.break_off(queue, gone)
        with loud(scheduler, worker, task):
            scheduler.termination.fail(queue, worker, task, error, cancelled)

    def _end_of_executor(
        self, error: BaseException, future: Future[Any] | None
    ) -> tuple[BaseException | None, bool]:
        """Return the error of the executor, if it has ended, and whether *future* was cancelled.

        Args:
            error: What *future*, or the call's values, failed with.
            future: That of the call, if there is one.
        """
        cancelled = future is not None and future.cancelled()
        _here.doubtful |= cancelled or isinstance(error, BrokenExecutor)
        ended = gone(self.executor) if cancelled or isinstance(error, BrokenExecutor) else None
        return (ended if ended is None or cancelled else error), cancelled

    @ours
    def _drive(self, job: _Job) -> None:
        """Run the generator task of *job* at the executor; this thread receives its values."""
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
            queue.scheduler.streams.end_items(task)  # asked for while it seemed to give values
        except BaseException as error:
            strip_ours(error)
            if values is None and is_end(error):
                ended: Any = error, False
            else:
                ended = self._end_of_executor(error, self._futures.get(task))
            self._fail(job, self._explained(error, job), *ended)
            ended = None
        else:
            self._complete(job, result)
        job = task = result = values = None  # type: ignore[assignment]
        self._loop(self._go_on, queue, worker)
        self.threads.discard(thread)


class _Job:
    """A task that is given to an executor, and its call, until the task ends.

    Frames that a failure keeps know the job alone: so `release` is enough.
    """

    __slots__ = ("args", "fn", "generates", "kwargs", "queue", "task", "worker")

    def __init__(self, queue: QueueState, worker: Worker, task: Task[Any]) -> None:
        self.queue = queue
        self.worker = worker
        self.task: Any = task
        self.generates = False
        self.fn: Any = None
        self.args: Any = None
        self.kwargs: Any = None

    def fill(self, take: Take | None) -> None:
        """Find the call: results stand in place of futures, or what *take* gives for these."""
        fn = self.task._fn
        self.generates = generates(fn)
        if take is not None and self.generates and announcement(fn) is not None:
            take = None  # the announcement is asked here
        self.args, self.kwargs = materialise(self.task._args, self.task._kwargs, take)
        self.fn = fn.fn if type(fn) is Plain else fn

    def call(self) -> Call:
        """Return the call as an `Engine` takes it."""
        options = self.task._options
        name = label_of(self.task)
        return Call(self.fn, self.args, self.kwargs, name, {} if options is None else options.engine)

    def release(self) -> None:
        """Release the call, and the task."""
        self.task = self.fn = self.args = self.kwargs = None


_Begun: TypeAlias = deque[tuple[EnginePool, QueueState, Worker]]


def _begin(begun: _Begun) -> None:
    """Start or continue workers one after another, also those that are added meanwhile."""
    while begun:
        pool, queue, worker = begun.popleft()
        pool.begin(queue, worker, begun)


# Names of keywords that some executors' `submit` can't pass on.
_SUBMIT_NAMES = ("self", "fn")
