"""Queues without threads: all is done in the thread that submits."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Future, ThreadPoolExecutor
from types import NoneType
from typing import Any

import pytest
from gate import DEADLINE, Gate, occupy
from internals import pool_of, searches_in, waiting
from threads import beside, planned, until

import smqexec
from smqexec import Queue, Scheduler, checkpoint, settled


def here() -> int:
    return threading.get_ident()


def test_done_before_submit_returns_and_in_its_thread() -> None:
    before = threading.active_count()
    with Queue(inline=True) as queue:
        task = queue.submit(here)
        assert task.done() and task.result() == here()
        assert queue.submit(pow, 2, queue.submit(abs, -3)).done()
        assert list(queue.map(abs, [-1, -2])) == [1, 2]
        failing = queue.submit(int, "x")
        assert isinstance(failing.exception(), ValueError)
        assert queue.submit(abs, failing).origin is failing
        frames = queue.submit(lambda: (yield here()))
        assert frames[0].result() == here() and frames.result() == [here()]
        assert beside(queue.submit, here).result(DEADLINE).result(DEADLINE) != here()
        own = beside(lambda: (queue.try_submit(here), here())).result(DEADLINE)
        assert own[0] is not None and own[0].done() and own[0].result() == own[1]
        assert queue.counts()["done"] == 8
        until(lambda: threading.active_count() <= before)  # those of `beside` end a little later
        assert repr(queue).startswith("<Queue inline-") and queue.max_workers == 1


@pytest.mark.parametrize("order, expected", [("newest", [2, 1, 0]), ("oldest", [0, 1, 2])])
def test_order_is_that_of_the_scheduler(order: str, expected: list[Any]) -> None:
    """Submissions inside a task come after it."""

    def outer() -> None:
        line.submit(done.append, "inner")
        queue.submit(done.append, "other")
        done.append("outer")

    done: list[Any] = []
    with Scheduler(order=order) as scheduler:
        queue, line = Queue(scheduler, inline=True), Queue(scheduler, inline=True, in_order=True)
        for each, first in ((queue, 0), (line, 3)):
            with scheduler.stop():
                tasks = [each.submit(done.append, first + number) for number in range(3)]
                assert not any(task.done() for task in tasks)
            assert all(task.done() for task in tasks)
        assert done == [*expected, 3, 4, 5]
        queue.submit(outer)
    assert done[6:] == ["outer", "other", "inner"]


def test_at_the_bottom_of_a_recursion() -> None:
    """Where there is no room to begin, submit raises RecursionError; no run is lost in the middle."""

    def recur() -> None:
        submitted.append(queue.submit(str, 0))
        recur()

    submitted: list[Future[str]] = []
    limit = sys.getrecursionlimit()
    with Scheduler() as scheduler:
        queue = Queue(scheduler, inline=True)
        with pytest.raises(RecursionError):
            recur()
        assert submitted and all(task.result(DEADLINE) == "0" for task in submitted)
        assert queue.submit(abs, -1).result(DEADLINE) == 1
        assert scheduler.wait(DEADLINE) and sys.getrecursionlimit() == limit


def test_limit_of_recursion_is_raised_by_what_a_nested_task_needs() -> None:
    """By all frames of ours: one frame for each level is the user's."""

    def descend(n: int) -> list[Any]:
        frames = [*traceback.walk_stack(sys._getframe())]
        return [len(frames), *(queue.submit(descend, n - 1).result() if n else ())]

    with Scheduler() as scheduler:
        queue = Queue(scheduler, inline=True)
        outer, *_, middle, inner = queue.submit(descend, 3).result(DEADLINE)
    assert outer < middle < inner <= middle + waiting.FRAMES + 1


def test_thread_that_waits_for_an_outer_worker_runs_what_the_inner_one_needs() -> None:
    gate = Gate()

    def inner() -> int:
        gate.open()
        return threads.submit(abs, -1).result(DEADLINE)

    def outer() -> Future[int]:
        task = one.submit(inner)
        threads.submit(int).result(DEADLINE)
        return task

    def waiting() -> int:
        gate()
        return lower.result(DEADLINE).result(DEADLINE)

    lower: Any = None
    with Scheduler() as scheduler:
        one, two, threads = Queue(scheduler, inline=True), Queue(scheduler, inline=True), Queue(scheduler, 1)
        task = threads.submit(waiting)
        gate.wait_entered()
        with scheduler.stop():
            lower = two.submit(outer)
        assert task.result(DEADLINE) == 1


def test_two_queues_that_call_each_other() -> None:
    """What the outer task waits for is done nested in it."""

    def ping(depth: int) -> int:
        return 0 if not depth else 1 + two.submit(pong, depth - 1).result()

    def pong(depth: int) -> int:
        return 0 if not depth else 1 + one.submit(ping, depth - 1).result()

    with Scheduler() as scheduler:
        one, two = Queue(scheduler, inline=True), Queue(scheduler, inline=True, in_order=True)
        assert one.submit(ping, 20).result(DEADLINE) == 20
        assert scheduler.counts()["done"] == 21


def nested_in_an_outer_worker(inner: Callable[[Queue, Any], None]) -> Any:
    """Return the task of an inline queue *one* in which the task ``inner(one, task)`` of another one ran."""
    tasks: list[Any] = []

    def outer() -> None:
        tasks.append(two.options(name="inner").submit(lambda: inner(one, tasks[0])))
        tasks[0].result(DEADLINE)

    with Scheduler() as scheduler:
        one, two = Queue(scheduler, inline=True), Queue(scheduler, inline=True)
        return one.submit(outer)


def test_task_goes_on_after_another_was_nested_in_an_outer_worker() -> None:
    """A checkpoint is that of the inner task again; and that task closes a cycle."""

    def cancelled(one: Queue, task: Any) -> None:
        one.submit(int).result(DEADLINE)
        one.submit(task.cancel).result(DEADLINE)
        checkpoint()

    def awaited(one: Queue, task: Any) -> None:
        one.submit(lambda: task.result()).result(DEADLINE)

    assert isinstance(nested_in_an_outer_worker(cancelled).exception(DEADLINE), CancelledError)
    with pytest.raises(RuntimeError, match=r"inner#\d+ .* needs .*lambda.* which waits for it"):
        nested_in_an_outer_worker(awaited).result(DEADLINE)


@pytest.mark.parametrize("everything", [False, True])
def test_task_that_becomes_ready_while_the_worker_on_its_way_is_in_a_busy_thread(everything: bool) -> None:
    outside: Future[int] = Future()
    with Scheduler() as scheduler:
        one, two, gate = Queue(scheduler, 2, inline=True), Queue(scheduler, inline=True), Gate()
        task = one.submit(abs, outside)
        waiting = beside(one.submit, scheduler.wait if everything else task.result, DEADLINE)
        until(lambda: searches_in(one))
        busy = beside(two.submit, lambda: one.submit(int).cancel() and gate.enter())
        gate.wait_entered()
        outside.set_result(-1)
        assert task.result(DEADLINE) == 1
        gate.open()
        busy.result(DEADLINE)
        assert waiting.result(DEADLINE).result(DEADLINE)


def test_task_that_waits_for_one_that_its_own_thread_has_left_for_it() -> None:
    """The outer task waits for something else, but can't go on before the inner one has ended."""
    outside: Future[int] = Future()
    outer: list[Any] = []

    def wait() -> int:
        inner = two.submit(lambda: outer[0].result())
        with pytest.raises(TimeoutError):
            one.submit(abs, outside).result(0.01)
        with pytest.raises(RuntimeError, match="waiting would never end"):
            inner.result(DEADLINE)
        return 1

    with Scheduler(stopped=True) as scheduler:
        one, two = Queue(scheduler, inline=True), Queue(scheduler, inline=True)
        outer.append(one.submit(wait))
        scheduler.resume()
        assert outer[0].result(DEADLINE) == 1
        outside.set_result(1)


def test_waiting_for_several_inside_a_task() -> None:
    outside: Future[int] = Future()

    def wait() -> list[Any]:
        tasks = [other.submit(abs, number) for number in range(3)]
        assert len(smqexec.wait(tasks, DEADLINE).done) == 3
        with pytest.raises(TimeoutError):
            queue.submit(abs, outside).result(0.01)
        return [task.result() for task in smqexec.as_completed(tasks, DEADLINE)]

    with Scheduler() as scheduler:
        queue, other = Queue(scheduler, inline=True), Queue(scheduler, inline=True)
        assert sorted(queue.submit(wait).result(DEADLINE)) == [0, 1, 2]
        outside.set_result(1)
        assert queue.submit(lambda: other.submit(here) and scheduler.wait(DEADLINE)).result(DEADLINE)


@pytest.mark.parametrize("inline", [True, False])
def test_resumed_task_waits_for_a_queue_that_was_resumed_with_it(inline: bool) -> None:
    with Scheduler(stopped=True) as scheduler:
        first, second = Queue(scheduler, inline=True), Queue(scheduler, 1, inline=inline)
        task = first.submit(second.submit(int).result, DEADLINE)
        scheduler.resume()
        assert task.result(DEADLINE) == 0


def test_cancelled_task_has_told_its_waiters_before_a_task_starts() -> None:
    with planned(1, 1) as (scheduler, queue, other):
        cancelled = other.submit(abs, Future())
        waiter = queue.submit(cancelled.result)
        until(lambda: searches_in(queue))
        task = Queue(scheduler, inline=True).submit(lambda _: waiter.exception(DEADLINE), settled(cancelled))
        cancelled.cancel()
        assert isinstance(task.result(DEADLINE), CancelledError)


def test_beside_a_queue_of_threads() -> None:
    """What its threads make ready, or submit, is done in a thread for that alone."""
    with planned(1) as (scheduler, threads), Queue(inline=True) as abroad:
        queue = Queue(scheduler, inline=True)
        worker = threads.submit(here)
        gate, held = occupy(threads, 1)
        task = queue.submit(lambda _: (here(), threads.submit(here).result()), held)
        gate.open()
        beside_it, again = task.result(DEADLINE)
        assert len({here(), worker.result(DEADLINE), beside_it}) == 3 and again == worker.result()
        inner = threads.submit(lambda: queue.submit(here).result()).result(DEADLINE)
        assert inner not in (here(), again)
        # And main waits for it, inside a task of its own.
        assert queue.submit(lambda: threads.submit(abs, -2).result()).result(DEADLINE) == 2
        # So are tasks of another scheduler, which may be in the midst of its own.
        assert queue.submit(lambda: abroad.submit(here).result()).result(DEADLINE) != here()
        with abroad.scheduler.stop():
            waiting = abroad.submit(here)
            last = queue.submit(lambda: abroad.scheduler.resume() or waiting.result())
        assert last.result(DEADLINE) != here()
        assert abroad.submit(here).result() == here()


def test_futures_of_others() -> None:
    """A thread of another executor runs no task, also if it has submitted one: that would block its slot."""
    outside: Future[int] = Future()
    with ThreadPoolExecutor(1) as pool, Queue(inline=True) as queue:
        task = queue.submit(lambda _: here(), outside)
        gate = Gate()
        late = queue.submit(lambda _: here(), pool.submit(lambda: queue.submit(here) and gate.enter(here())))
        gate.wait_entered()
        assert not task.done()
        outside.set_result(1)
        assert task.done() and task.result() == here()
        gate.open()
        assert late.result(DEADLINE) not in (here(), pool.submit(here).result(DEADLINE))


def test_other_thread_makes_ready_what_an_outer_worker_needs() -> None:
    outside: Future[int] = Future()

    def wait() -> int:
        return other.submit(lambda: last.result()).result()

    with Scheduler() as scheduler:
        queue, other = Queue(scheduler, inline=True), Queue(scheduler, inline=True)
        last = queue.submit(abs, outside)
        telling = beside(lambda: (until(lambda: len(searches_in(queue)) > 0), outside.set_result(-3)))
        assert queue.submit(wait).result(DEADLINE) == 3
        telling.result(DEADLINE)


def test_room_options_and_slots() -> None:
    with Scheduler(stopped=True) as scheduler:
        queue = Queue(scheduler, 3, inline=True, max_pending=1, context=True)
        assert queue.try_submit(abs, -1) is not None
        assert queue.try_submit(abs, -1) is None
        with pytest.raises(TimeoutError):
            queue.options(timeout=0.01).submit(abs, 1)
        scheduler.resume()
        assert [queue.options(name="x").submit(abs, n).result() for n in range(3)] == [0, 1, 2]
        assert list(queue.map(abs, range(5))) == [0, 1, 2, 3, 4]
        tasks: list[Any] = []
        queue.submit(lambda: tasks.extend(queue.submit(abs, n) for n in range(5)))
        assert [task.result(DEADLINE) for task in tasks] == [0, 1, 2, 3, 4]
        queue.max_workers = 1
        assert queue.submit(abs, 1).done()
    with ThreadPoolExecutor(1) as pool, pytest.raises(TypeError, match="exclude each other"):
        Queue(executor=pool, inline=True)
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        Queue(0, inline=True)


def test_ctrl_c_fails_the_task_that_runs_and_no_other() -> None:
    def frames() -> Iterator[int]:
        yield 1
        signal.raise_signal(signal.SIGINT)

    def announced() -> int:
        signal.raise_signal(signal.SIGINT)
        went_on.append(True)
        return 2

    went_on: list[bool] = []
    with Queue(inline=True) as queue:
        assert isinstance(queue.submit(signal.raise_signal, signal.SIGINT).exception(), KeyboardInterrupt)
        assert queue.submit(abs, -1).result() == 1
        assert isinstance(queue.submit(frames).exception(), KeyboardInterrupt)
        smqexec.number_of_results(announced)(frames)
        assert isinstance(queue.submit(frames).exception(), KeyboardInterrupt)
        assert not went_on
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_between_two_tasks_strikes_the_next() -> None:
    """In what is ours it is put off; after the last task it is the caller's."""
    with Scheduler(order="oldest", stopped=True) as scheduler:
        queue = Queue(scheduler, inline=True)
        first, second, third = (queue.submit(abs, 1) for _ in range(3))
        scheduler.observe(
            lambda event: event.kind == "end" and event.task in ends and signal.raise_signal(signal.SIGINT)
        )
        ends = [first]
        scheduler.resume()
        assert first.result() == 1 and third.result() == 1
        assert isinstance(second.exception(), KeyboardInterrupt)
        scheduler.stop()
        ends.append(queue.submit(abs, 1))
        with pytest.raises(KeyboardInterrupt):
            scheduler.resume()
        assert ends[1].result() == 1


def test_generator_that_is_due_in_another_thread_runs_nested() -> None:
    """That thread may be busy for long: it serves the queue only as its task ends or waits."""
    gate, over = Gate(), threading.Event()

    def first_value() -> Any:
        gate.enter()
        try:
            return made[0][0].result(DEADLINE)
        finally:
            over.set()

    def submit_and_wait() -> bool:
        made.append(queue.submit(lambda: (yield 1)))
        gate.open()
        return over.wait(DEADLINE)

    made: list[Any] = []
    with Queue(3, inline=True) as queue:
        waiting = beside(queue.submit, first_value)
        gate.wait_entered()
        assert beside(queue.submit, submit_and_wait).result(2 * DEADLINE).result()
        assert waiting.result(DEADLINE).result() == 1


def test_shutdown_of_an_outer_queue_from_inside_a_task() -> None:
    """The thread runs a task of each."""
    with Scheduler() as scheduler:
        outer, inner = Queue(scheduler, inline=True), Queue(scheduler, inline=True)

        def program() -> BaseException | None:
            return inner.submit(outer.shutdown).exception()

        task = beside(outer.submit, program).result(DEADLINE)
        assert "shutdown(wait=False)" in str(task.result(DEADLINE))


def test_initializer(caplog: pytest.LogCaptureFixture) -> None:
    """Once, by the first worker; checked as that of threads."""

    class Empty(list[int]):
        """It is false, and can be called."""

        __call__ = list.append

    done = Empty()
    with Queue(inline=True, initializer=done, initargs=(1,)) as queue:
        assert done == []
        assert queue.submit(abs, 1).done() and queue.submit(abs, 1).done()
    assert done == [1]
    for initializer in (5, 0, ""):
        with pytest.raises(TypeError, match="initializer must be a callable"):
            Queue(inline=True, initializer=initializer)  # type: ignore[call-overload]
    struck = Queue(inline=True, initializer=signal.raise_signal, initargs=(signal.SIGINT,))
    assert isinstance(struck.submit(int).exception(), BrokenExecutor)
    assert struck._broken == "the initializer failed: KeyboardInterrupt()"
    caplog.clear()
    queue = Queue(inline=True, initializer=os.remove, initargs=("/nowhere/at/all",))
    with pytest.raises(RuntimeError, match="initializer failed"):
        queue.submit(abs, 1).result(DEADLINE)
    assert queue._broken and "Exception in initializer" in caplog.text
    with pytest.raises(RuntimeError, match="initializer failed"):
        queue.submit(abs, 1)
    queue.shutdown()


@pytest.mark.parametrize("fails", [False, True])
def test_no_thread_runs_a_task_before_the_initializer_has_ended(fails: bool) -> None:
    ran = threading.Event()
    others: list[Future[Any]] = []
    early: list[bool] = []

    class Asked:
        """The lock of the initializer, and the threads that have asked for it."""

        def __init__(self, lock: Any) -> None:
            self.lock, self.threads = lock, list[int]()

        def __enter__(self) -> None:
            self.threads.append(here())
            self.lock.acquire()

        def __exit__(self, *_: object) -> None:
            self.lock.release()

    def initialize() -> None:
        others.append(beside(queue.submit, ran.set))
        until(lambda: ran.is_set() or len(asked.threads) == 2)
        early.append(ran.is_set())
        assert not fails

    queue = Queue(2, inline=True, initializer=initialize)
    asked = pool_of(queue)._initializing = Asked(pool_of(queue)._initializing)
    assert isinstance(queue.submit(int).exception(DEADLINE), BrokenExecutor if fails else NoneType)
    other = others[0].result(DEADLINE)
    assert isinstance(other.exception(DEADLINE), BrokenExecutor if fails else NoneType)
    assert ran.is_set() != fails
    assert early == [False]
    queue.shutdown()


def test_worker_that_is_due_begins_in_a_wait_of_the_initializer() -> None:
    def initialize() -> None:
        tasks.append(queue.submit(int))
        assert not smqexec.wait([Future[int]()], 0.001).done

    tasks: list[Any] = []
    queue = Queue(2, inline=True, initializer=initialize)
    task = beside(queue.submit, int).result(DEADLINE)
    assert (task.result(DEADLINE), tasks[0].result(DEADLINE)) == (0, 0)
