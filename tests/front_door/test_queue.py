"""The Executor contract of a Queue: alone, and under a scheduler that plans several.

The tests of a lone queue and of a shared one are the same, by parameters.
Tasks are held by gates; nothing here sleeps, and each wait has a deadline.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import itertools
import logging
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures.thread import BrokenThreadPool
from functools import partial
from typing import Any, get_overloads
from unittest.mock import patch

import pytest
from gate import DEADLINE, Gate
from internals import idle_in, lock_of, pool_of, state_of, waiter, workers_of
from outcomes import Broken, Kept
from threads import beside, collected, until, until_gone, without_collector

from smqexec import Queue, Scheduler, Task, settled

COUNTS = dict.fromkeys(("waiting", "ready", "running", "done", "failed", "cancelled"), 0)
AFTER_SHUTDOWN = r"^cannot schedule new futures after shutdown$"


class Maker:
    """Makes queues, all alone or all of one scheduler."""

    def __init__(self, kind: str) -> None:
        self.scheduler = Scheduler() if kind == "shared" else None
        self.made: list[weakref.ref[Queue]] = []

    def __call__(self, *args: Any, type: type[Queue] = Queue, **kwargs: Any) -> Any:
        queue = type(*args, scheduler=self.scheduler, **kwargs)
        self.made.append(weakref.ref(queue))
        return queue


@pytest.fixture(params=["lone", "shared"])
def make(request: pytest.FixtureRequest) -> Iterator[Maker]:
    maker = Maker(request.param)
    yield maker
    for queue in [made() for made in maker.made]:
        if queue is not None:
            queue.scheduler.resume()
            in_time(queue.shutdown)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate that is open at the end, whatever happened."""
    gate = Gate()
    yield gate
    gate.open()


def in_time(call: Callable[[], Any]) -> Any:
    """What *call* returns, made in another thread, before the deadline."""
    return beside(call).result(DEADLINE)


def value(task: Any) -> Any:
    return task.result(DEADLINE)


def values(results: Iterator[Any]) -> list[Any]:
    return in_time(lambda: list(results))


def with_idle_threads(make: Maker, barrier: threading.Barrier) -> Any:
    """Return a queue whose two threads have met at *barrier* and are idle."""
    queue = make(2, "idle")
    for task in [queue.submit(barrier.wait, DEADLINE) for _ in range(2)]:
        value(task)
    until(lambda: idle_in(queue) == 2)
    return queue


def leave(threads: Iterable[threading.Thread]) -> None:
    """Wait until *threads* have ended."""
    for thread in list(threads):
        thread.join(DEADLINE)
        assert not thread.is_alive()


# Making one


def test_arguments_are_those_of_thread_pool_executor() -> None:
    ours = inspect.signature(get_overloads(Queue.__init__)[0]).parameters
    theirs = inspect.signature(ThreadPoolExecutor.__init__).parameters
    shared = [name for name in theirs if name != "ctxkwargs"]
    more = ["in_order", "max_pending", "context", "inline", "executor", "prefetch"]
    assert list(ours) == [*shared, "scheduler", *more]
    assert list(inspect.signature(Queue).parameters) == list(ours)[1:]  # for ``help``
    for name in ("thread_name_prefix", "initializer", "initargs"):
        assert ours[name].default == theirs[name].default
        assert ours[name].kind == theirs[name].kind


def test_positional_arguments_in_the_standard_library_s_order(make: Maker) -> None:
    seen = []
    queue = make(2, "prefix", seen.append, ("started",))
    assert isinstance(queue, ThreadPoolExecutor)
    task = queue.submit(lambda: threading.current_thread().name)
    assert isinstance(task, Task) and isinstance(task, Future)
    assert value(task) == "prefix_0"
    assert seen == ["started"]
    assert (queue._max_workers, queue._thread_name_prefix) == (2, "prefix")  # where clients look for them


def test_lone_queue_makes_a_scheduler_of_its_own() -> None:
    with Queue(1) as one, Queue(1) as other:
        assert one.scheduler is not other.scheduler
        assert (one.scheduler.order, one.scheduler.queues) == ("oldest", (one,))


@pytest.mark.parametrize(
    "build",
    [
        lambda scheduler: Queue(scheduler),
        lambda scheduler: Queue(scheduler, 2, "prefix", int, ("3",)),
        lambda scheduler: Queue(scheduler, max_workers=2, initializer=int, initargs=("3",)),
        lambda scheduler: Queue(2, scheduler=scheduler),
        lambda scheduler: Queue(max_workers=2, thread_name_prefix="prefix", scheduler=scheduler),
    ],
)
def test_scheduler_comes_first_or_by_name(build: Callable[[Scheduler], Queue]) -> None:
    scheduler = Scheduler()
    with build(scheduler) as queue:
        assert queue.scheduler is scheduler
        assert value(queue.submit(pow, 2, 3)) == 8


def test_failed_constructor_leaves_the_scheduler_as_it_was() -> None:
    scheduler = Scheduler()
    for arguments in [(0,), ("2",), (1, "", 5)]:
        with pytest.raises((TypeError, ValueError)):
            Queue(scheduler, *arguments)
    assert scheduler.queues == ()


def test_keywords_are_all_the_function_s(make: Maker) -> None:
    keywords = {"self": 1, "fn": 2, "task": 3, "group": 4, "scheduler": 5, "timeout": 6, "args": 7}
    assert value(make(1).submit(dict, **keywords)) == keywords


# Threads and their initializer


def test_pool_never_holds_more_than_its_threads_while_they_start(make: Maker) -> None:
    queue = make(4)
    seen = []

    def look(_: Any = None) -> None:
        with lock_of(queue):
            seen.append(len(workers_of(queue)))
        seen.append(pool_of(queue)._work_queue.qsize())
        seen.append(len(queue._threads))

    def feed() -> list[Any]:
        tasks: list[Any] = [None]
        for i in range(60):
            tasks.append(queue.submit(look, tasks[-1] if i % 3 else None))
        return tasks[1:]

    for fed in [beside(feed) for _ in range(4)]:
        for task in value(fed):
            value(task)
    assert max(seen) <= 4


def test_failing_initializer_breaks_the_queue(make: Maker, caplog: Any) -> None:
    gate = Gate()

    def initializer() -> None:
        gate.enter()
        raise Broken("at the start")

    queue, other = make(1, initializer=initializer), make(1)
    first = queue.submit(int)
    tasks = [first, queue.submit(int), queue.submit(abs, first)]
    dependent = other.submit(abs, first)
    harmless = other.submit(settled_state, settled(first))
    gate.open()
    for task in (*tasks, dependent):
        with pytest.raises(BrokenThreadPool, match="A thread initializer failed"):
            value(task)
    if other.scheduler is queue.scheduler:
        assert dependent.exception() is first.exception()
        assert dependent.origin is first
    assert (value(harmless), value(other.submit(int))) == ("failed", 0)
    with pytest.raises(BrokenThreadPool, match="A thread initializer failed"):
        queue.map(int, "123")
    until(lambda: queue._broken)
    assert queue.counts()["failed"] == 3
    assert any("initializer" in record.getMessage() for record in caplog.records)
    in_time(queue.shutdown)
    with pytest.raises(BrokenThreadPool, match="A thread initializer failed"):
        queue.submit(int)


def settled_state(task: Any) -> str:
    return "failed" if task.exception() else "done"


def test_idle_thread_of_a_broken_queue_that_was_shut_down_meanwhile_leaves(
    make: Maker, monkeypatch: Any
) -> None:
    """What the pool of a failing initializer throws away includes what tells its other threads to leave."""
    calls = itertools.count()
    begun, gate = Gate(), Gate()

    def initializer() -> None:
        if next(calls):
            begun.enter()
            gate.enter()
            raise Broken

    queue = make(2, initializer=initializer)
    pool = pool_of(queue)
    shutdown, failed = pool.shutdown, ThreadPoolExecutor._initializer_failed
    thrown = Gate()

    def late_shutdown(*args: Any, **kwargs: Any) -> None:
        shutdown(*args, **kwargs)
        thrown.enter()

    def fail_after_shutdown(self: Any) -> None:
        thrown.wait_entered()
        failed(self)

    value(queue.submit(int))
    until(lambda: idle_in(queue) == 1)
    first = queue.submit(begun.wait_entered)
    value(queue.submit(int))  # a second thread begins for one of the two
    value(first)
    until(lambda: idle_in(queue) == 1)
    monkeypatch.setattr(ThreadPoolExecutor, "_initializer_failed", fail_after_shutdown)
    for name in ("join", "shutdown"):
        monkeypatch.setattr(pool, name, late_shutdown)
    begun.open()
    gate.open()
    until(lambda: pool._broken)
    thrown.open()
    leave(queue._threads)


def test_second_initializer_that_fails_when_the_queue_is_gone() -> None:
    gates = [Gate(), Gate()]
    numbers = itertools.count()

    def initializer() -> None:
        gates[next(numbers)].enter()
        raise Broken

    queue = Queue(2, initializer=initializer)
    tasks = [queue.submit(int) for _ in gates]
    for gate in gates:
        gate.wait_entered()
    pool, gone = pool_of(queue), weakref.ref(state_of(queue))  # its thread may hold the pool for a moment
    threads = list(queue._threads)
    gates[0].open()
    assert all(isinstance(task.exception(DEADLINE), BrokenThreadPool) for task in tasks)
    del queue, tasks
    until(collected(lambda: gone() is None))
    gates[1].open()
    leave(threads)
    assert pool._broken


# Threads that do not start


@contextlib.contextmanager
def no_thread(error: Exception) -> Iterator[list[threading.Thread]]:
    """No thread of a "failing" pool starts in this block; gives those that were to start."""
    start = threading.Thread.start
    tried: list[threading.Thread] = []

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("failing"):
            tried.append(thread)
            raise error
        start(thread)

    with patch.object(threading.Thread, "start", refuse):
        yield tried


ERRORS = [RuntimeError("can't start new thread"), MemoryError()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_first_thread_does_not_start(make: Maker, gate: Gate, error: Exception, caplog: Any) -> None:
    """What waits is spared."""
    queue, other = make(2, "failing"), make(1)
    ran: list[str] = []
    held = gate.hold(other, "waiting")
    with no_thread(error):
        waiting = queue.submit(ran.append, held)
        with pytest.raises(type(error)) as caught:
            queue.submit(ran.append, "ghost")
    assert caught.value is error
    assert "could not start a thread for queue failing" in caplog.text
    assert queue.counts() == COUNTS | {"waiting": 1, "failed": 1}
    assert value(queue.submit(ran.append, "task")) is None
    gate.open()
    assert (value(waiting), value(other.submit(int))) == (None, 0)
    assert ran == ["task", "waiting"]


def test_later_thread_does_not_start(make: Maker, gate: Gate) -> None:
    queue = make(2, "failing")
    ran: list[int] = []
    running = gate.hold(queue)
    with no_thread(ERRORS[0]) as tried:
        tasks = [queue.submit(ran.append, i) for i in range(5)]
        assert tried and ran == []
        gate.open()
        for task in [running, *tasks]:
            value(task)
    assert sorted(ran) == list(range(5))
    # What was refused its thread left nothing behind: both slots can be used.
    barrier = threading.Barrier(2)
    pair = [queue.submit(barrier.wait, DEADLINE) for _ in range(2)]
    assert {value(task) for task in pair} == {0, 1}
    assert len(workers_of(queue)) <= 2


def test_start_that_fails_after_the_run_was_taken(make: Maker, monkeypatch: Any) -> None:
    """The pool raises although one of its threads has begun the run: all is well."""
    queue = make(1)
    submit = pool_of(queue).submit
    ran: list[int] = []

    def submit_and_raise(*args: Any) -> None:
        submit(*args)
        until(lambda: idle_in(queue) == 1)
        raise MemoryError

    monkeypatch.setattr(pool_of(queue), "submit", submit_and_raise)
    value(queue.submit(ran.append, 1))
    monkeypatch.undo()
    value(queue.submit(ran.append, 2))
    assert ran == [1, 2]
    assert (len(workers_of(queue)), len(state_of(queue).coming)) == (1, 0)


# Shutdown


def test_submit_after_shutdown(make: Maker) -> None:
    queue = make(1)
    queue.shutdown()
    for call in (queue.submit, int), (queue.submit, abs, Future()), (queue.map, int, "1"):
        with pytest.raises(RuntimeError, match=AFTER_SHUTDOWN):
            partial(*call)()
    assert queue._shutdown


def test_refusal_of_a_submit_is_freed_at_once(make: Maker) -> None:
    queue = make(1)
    in_time(queue.shutdown)

    def submit() -> Callable[[], object]:
        thing = Kept()  # kept by this frame, as long as the traceback keeps that
        with contextlib.suppress(RuntimeError):
            queue.submit(int)
        return weakref.ref(thing)

    with without_collector():
        until_gone(submit())


@pytest.mark.parametrize("wait", [True, False])
def test_shutdown_lets_run_what_was_submitted(make: Maker, gate: Gate, wait: bool) -> None:
    """Also what depends on a task of another queue, or of its own."""
    queue, other = make(2), make(1)
    ran = []
    first = [other.submit(gate, "x"), queue.submit(gate, "x")]
    tasks = [queue.submit(ran.append, first[i % 2]) for i in range(6)]
    gate.wait_entered(2)
    closing = beside(queue.shutdown, wait)
    until(lambda: state_of(queue).refusal)
    with pytest.raises(RuntimeError, match=AFTER_SHUTDOWN):
        queue.submit(int)
    gate.open()
    value(closing)
    assert not wait or all(task.done() for task in tasks)
    leave(queue._threads)
    assert ran == ["x"] * 6


def test_clients_may_ask_how_many_calls_are_pending(make: Maker, gate: Gate) -> None:
    """As many programs do, though the field is private in the standard library."""
    queue = make(1)
    gate.hold(queue)
    for _ in range(3):
        queue.submit(int)
    assert queue._work_queue.qsize() == 3
    gate.open()
    in_time(queue.shutdown)
    assert queue._work_queue.qsize() == 0


def test_shutdown_cancels_pending_tasks(make: Maker, gate: Gate) -> None:
    queue, other = make(1), make(1)
    running = gate.hold(queue, "x")
    pending = [queue.submit(int) for _ in range(3)]
    waiting = queue.submit(str, running)
    foreign = queue.submit(str, Future())
    beyond = other.submit(abs, pending[0])
    queue.shutdown(wait=False, cancel_futures=True)
    assert all(task.cancelled() for task in [*pending, waiting, foreign])
    with pytest.raises(CancelledError):
        value(beyond)
    gate.open()
    in_time(queue.shutdown)
    assert value(running) == "x"
    assert queue.counts() == COUNTS | {"done": 1, "cancelled": 5}


@pytest.mark.parametrize("end", ["is cancelled", "starts"])
def test_idle_threads_of_a_closed_queue_leave_with_its_last_task(make: Maker, end: str) -> None:
    queue = with_idle_threads(make, threading.Barrier(2))
    foreign: Future[int] = Future()
    waiting = queue.submit(abs, foreign)
    queue.shutdown(wait=False)
    assert idle_in(queue) == 2  # the pending task may still need them
    if end == "starts":
        foreign.set_result(-1)
        assert value(waiting) == 1
    else:
        assert waiting.cancel()
    leave(queue._threads)


def test_shutdown_from_inside_a_task(make: Maker) -> None:
    """It can't wait for itself, as in the standard library; the shutdown counts all the same."""
    queue = make(2)
    with pytest.raises(RuntimeError, match=r"shutdown\(wait=False\)"):
        value(queue.submit(queue.shutdown))
    with pytest.raises(RuntimeError, match=AFTER_SHUTDOWN):
        queue.submit(int)
    in_time(queue.shutdown)


def test_shutdown_with_a_stopped_scheduler_warns_once_and_waits(
    make: Maker, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """It does not if it cancels."""
    monkeypatch.setattr(waiter, "PATIENCE", 0.01)
    queue, other = make(1, "held"), make(1)
    queue.scheduler.stop()
    other.scheduler.stop()
    pending = other.submit(int)
    in_time(lambda: other.shutdown(cancel_futures=True))
    assert pending.cancelled() and not caplog.records
    tasks = [queue.submit(int) for _ in range(3)]
    tasks.append(queue.submit(abs, tasks[0]))
    shutdown = beside(queue.shutdown)
    until(lambda: "the end of queue held" in caplog.text)
    assert "the scheduler is stopped: 0 running, 3 ready, 1 waiting" in caplog.text
    assert not shutdown.done()
    queue.scheduler.resume()
    value(shutdown)
    assert all(task.done() for task in tasks)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


# map


def test_map_starts_while_the_iterable_is_still_read(make: Maker) -> None:
    """What was submitted runs, also if the iterable raises midway, as in the standard library."""
    queue = make(1)
    gate = Gate()

    def items() -> Iterator[Gate]:
        yield gate
        gate.wait_entered()  # raises if the first has not started
        yield gate
        raise Broken

    with pytest.raises(Broken):
        queue.map(Gate.enter, items())
    gate.open()
    in_time(queue.shutdown)
    assert queue.counts()["done"] == 2


def test_map_items_may_be_futures(make: Maker) -> None:
    queue = make(2)
    tasks = [queue.submit(int, text) for text in "123"]
    assert values(queue.map(str, tasks)) == ["1", "2", "3"]


def test_map_timeout(make: Maker, gate: Gate) -> None:
    """It closes the iterator, and so cancels what has not started, also what was waited for in vain."""
    queue = make(1)
    done = queue.map(int, "123", timeout=0)
    assert in_time(lambda: queue.scheduler.wait(DEADLINE))
    assert list(done) == [1, 2, 3]
    with queue.scheduler.stop(), pytest.raises(TimeoutError):
        next(queue.map(int, "123", timeout=0))
    assert queue.counts()["cancelled"] == 3
    with pytest.raises(TimeoutError):
        list(queue.map(lambda call: call(), [int, gate, int], timeout=0.05))
    gate.open()
    in_time(queue.shutdown)
    assert queue.counts()["cancelled"] >= 4


@pytest.mark.parametrize("end", ["closed", "lost"])
def test_map_that_ends_early_cancels_the_rest(make: Maker, gate: Gate, end: str) -> None:
    queue = make(1)
    results = queue.map(lambda call: call(), [lambda: "first", gate, *[int] * 5])
    assert next(results) == "first"
    gate.wait_entered()
    if end == "closed":
        results.close()
    del results
    gc.collect()
    counts = queue.counts()
    assert (counts["running"], counts["cancelled"]) == (1, 5)
    gate.open()


@pytest.mark.parametrize("size, message", [("2", "be an integer or None"), (0, "be None or > 0")])
def test_buffersize_that_is_none(make: Maker, size: Any, message: str) -> None:
    with pytest.raises(ValueError if size == 0 else TypeError, match=rf"^buffersize must {message}"):
        make(1).map(int, "1", buffersize=size)


def test_buffersize_reads_an_endless_iterable_as_results_are_taken(make: Maker) -> None:
    queue = make(2)
    read = []

    def endless() -> Iterator[int]:
        for i in itertools.count():
            read.append(i)
            yield i

    results = queue.map(str, endless(), buffersize=3)
    assert read == [0, 1, 2]
    assert [next(results) for _ in range(5)] == ["0", "1", "2", "3", "4"]
    assert read == list(range(8))
    queue.shutdown()
    with pytest.raises(RuntimeError, match=AFTER_SHUTDOWN):
        next(results)


def test_buffersize_does_not_keep_the_queue(make: Maker) -> None:
    queue = make(1)
    results = queue.map(str, range(5), buffersize=2)
    lost = weakref.ref(queue)
    del queue
    gc.collect()
    assert lost() is None
    assert values(results) == ["0", "1"]


def test_map_goes_through_the_submit_of_a_subclass(make: Maker) -> None:
    """And so has the order of single submissions, the newest first."""
    submitted = []
    ran: list[int] = []

    class Noting(Queue):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            submitted.append(args)
            return super().submit(fn, *args, **kwargs)

    queue = make(1, type=Noting)
    with queue.scheduler.stop():
        results = queue.map(ran.append, range(3))
    assert values(results) == [None] * 3
    assert ran == ([2, 1, 0] if queue.scheduler.order == "newest" else [0, 1, 2])
    assert values(queue.map(str, range(3, 6), buffersize=1)) == ["3", "4", "5"]
    assert submitted == [(i,) for i in range(6)]


def test_map_frees_results_that_were_taken(make: Maker) -> None:
    """And the exception that it raised, at once."""
    queue = make(1)

    def fail(_: int) -> None:
        error = Broken()
        gone.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    with without_collector():
        for result in queue.map(lambda _: Kept(), range(5)):
            gone = [weakref.ref(result)]
            del result
            until_gone(gone.pop())
        results = queue.map(fail, [1])
        with contextlib.suppress(Broken):
            next(results)
        del results
        until_gone(gone[0])


@pytest.mark.parametrize("wait", [True, False])
def test_threads_are_freed_after_a_shutdown(make: Maker, wait: bool) -> None:
    """By reference counts, as those of a ThreadPoolExecutor."""
    queue = make(1)
    value(queue.submit(int))
    (thread,) = map(weakref.ref, queue._threads)
    with without_collector():
        in_time(lambda: queue.shutdown(wait))
        until_gone(thread)


# Lost queues


def test_lost_queue_waits_for_a_task_of_another(make: Maker, gate: Gate) -> None:
    other = make(1)
    barrier = threading.Barrier(2)
    queue = with_idle_threads(make, barrier)
    state = state_of(queue)
    held = other.submit(gate, "x")
    late = [queue.submit(lambda _: barrier.wait(DEADLINE), held) for _ in range(2)]  # they need both threads
    gate.wait_entered()
    threads = [*queue._threads]
    del queue
    gc.collect()
    until(lambda: (len(state.idle), len(state.coming)) == (2, 0))
    gate.open()
    assert sorted(value(task) for task in late) == [0, 1]
    leave(threads)


def test_lost_queue_without_threads_waits_for_a_foreign_future(make: Maker) -> None:
    queue = make(1, "lost")
    foreign: Future[str] = Future()
    late = queue.submit(str.upper, foreign)
    del queue
    gc.collect()
    foreign.set_result("x")
    assert value(late) == "X"


def test_repr_and_name(make: Maker, gate: Gate) -> None:
    class Camera(Queue):
        pass

    queue = make(2, "prefix")
    assert (queue.name, repr(queue)) == ("prefix", "<Queue prefix, 2 slots: no tasks>")
    with pytest.raises(AttributeError):
        queue.name = "other"
    gate.hold(queue)
    queue.submit(str, Future())
    assert repr(queue) == "<Queue prefix, 2 slots: 1 waiting, 1 running>"
    queue.shutdown(wait=False, cancel_futures=True)
    gate.open()
    in_time(queue.shutdown)
    assert repr(queue) == "<Queue prefix, 2 slots: 1 done, 1 cancelled>"
    assert repr(make(1, "cam", type=Camera)) == "<Camera cam, 1 slot: no tasks>"
    assert make(1).name.startswith("ThreadPoolExecutor-")
    with ThreadPoolExecutor(1) as pool, Queue(2, "name", executor=pool, prefetch=3) as queue:
        assert repr(queue) == "<Queue name, 2 slots: no tasks>"  # to prefetch is no slot


# Several


@pytest.mark.parametrize("fails", [False, True])
def test_a_blocking_callback_leaves_ready_tasks_to_other_slots(make: Maker, gate: Gate, fails: bool) -> None:
    queue = make(2)
    held = Gate()

    def run() -> None:
        held.enter()
        if fails:
            raise Broken

    task = queue.submit(run)
    held.wait_entered()
    waiting = [queue.submit(settled_state, settled(task)) for _ in range(2)]
    # The callback blocks its thread until another has done what became ready.
    task.add_done_callback(lambda _: [value(late) for late in waiting] and gate.open())
    held.open()
    assert [value(late) for late in waiting] == ["failed" if fails else "done"] * 2
    gate.enter()
