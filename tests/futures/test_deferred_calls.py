"""Calls of signal handlers and finalizers that have interrupted a thread which holds the lock.

A trace function calls what a handler would, at each line of ours in turn, in the same thread.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from gate import DEADLINE, Gate, occupy
from internals import blocked_on, core_of, lock_of, order_of
from strikes import CALLS, Struck, blow, each_step, handling
from threads import beside, hold, planned, until

from smqexec import Queue, Scheduler
from smqexec._calls import interrupts
from smqexec._calls.interrupts import DEFERRED


@pytest.mark.parametrize(
    "name", ["submit dependent", "cancel", "callback", "stop", "promote", "graph", "max_workers"]
)
def test_stop_and_cancel_anywhere_in_a_call(name: str) -> None:
    """They return at once, and have taken place when the call that they interrupt has returned."""
    held: list[bool] = []
    for step in each_step(10):
        gate, told = Gate(), list[Any]()
        with planned(1) as (scheduler, queue):
            running = gate.hold(queue, 1)
            task, cancelled = queue.submit(str, running), queue.submit(str, running)

            def handle() -> None:
                held.append(lock_of(scheduler)._is_owned())
                with pytest.raises(TimeoutError):
                    cancelled.result(0)  # noqa: B023
                repr(scheduler), repr(queue), repr(task), scheduler.counts()  # noqa: B023
                cancelled.add_done_callback(told.append)  # noqa: B023
                cancelled.cancel()  # noqa: B023
                scheduler.stop()

            step.strike(partial(CALLS[name], scheduler, queue, task, 1e-9), handle)
            if step.struck:
                assert scheduler.stopped
                assert cancelled.cancelled()
                assert told == [cancelled]
            gate.open()
            assert running.result(DEADLINE) == 1
            assert not step.struck or not task.done()
            scheduler.resume()
            assert scheduler.wait(DEADLINE)
    assert any(held)
    assert not DEFERRED


@pytest.mark.parametrize("name", ["submit", "callback", "exception", "result", "wait"])
def test_handler_that_cancels_and_then_raises_has_cancelled(name: str) -> None:
    for step in each_step(10):
        with planned(1) as (scheduler, queue):
            gate, running = occupy(queue)
            task, cancelled = queue.submit(str, running), queue.submit(str, running)

            def handle() -> None:
                cancelled.cancel()  # noqa: B023
                blow()

            step.strike(partial(CALLS[name], scheduler, queue, task, 1e-9), handle)
            assert cancelled.cancelled() is bool(step.struck)
            assert not DEFERRED
            gate.open()


def test_second_ctrl_c_while_a_call_releases_the_lock() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        task, lock, again = queue.submit(int), lock_of(scheduler), list[bool]()

        def is_owned() -> Any:
            if lock._is_owned() and not again:
                again.append(True)
                blow()
            return lock._is_owned()

        core_of(scheduler).lock = SimpleNamespace(
            acquire=lambda _: lock.acquire() and blow(), release=lock.release, _is_owned=is_owned
        )
        with pytest.raises(Struck):
            task.add_done_callback(str)
        core_of(scheduler).lock = lock
        assert again and not lock._is_owned()


@pytest.mark.parametrize("whole", [True, False])
def test_resume_and_shutdown_anywhere_in_a_submit(whole: bool) -> None:
    for step in each_step(10):
        tasks: list[Any] = []
        with planned(1, 1, stopped=True) as (scheduler, queue, other):
            pending, task = queue.submit(int), other.submit(int)

            def handle() -> None:
                scheduler.resume()
                (scheduler if whole else queue).shutdown(wait=False, cancel_futures=True)

            def submit() -> None:
                with suppress(RuntimeError):
                    tasks.append(other.submit(int))  # noqa: B023

            step.strike(submit, handle)
            if step.struck:
                assert not scheduler.stopped
                assert not lock_of(scheduler)._is_owned()
                assert scheduler.wait(DEADLINE)
                assert pending.done()
                with pytest.raises(RuntimeError, match="after shutdown"):
                    queue.submit(int)
                if not whole:
                    assert [task.result(DEADLINE), *(task.result(DEADLINE) for task in tasks)] == [0, 0]


def test_submit_in_the_middle_of_a_call_is_refused_or_done() -> None:
    refused: list[object] = []
    for step in each_step(10):
        tasks: list[Any] = []
        with planned(1) as (scheduler, queue):

            def handle() -> None:
                try:
                    tasks.append(queue.submit(abs, -1))  # noqa: B023
                except RuntimeError as error:
                    assert "interrupted the scheduler itself" in str(error)
                    refused.append(error)

            step.strike(lambda: tasks.append(queue.submit(abs, 1)), handle)  # noqa: B023
            assert [task.result(DEADLINE) for task in tasks] == [1] * len(tasks)
            assert scheduler.wait(DEADLINE)
    assert refused


REFUSED: dict[str, Callable[[Any, Any, Any], object]] = {
    "result": lambda scheduler, queue, task: task.result(DEADLINE),
    "wait": lambda scheduler, queue, task: scheduler.wait(),
    "stop": lambda scheduler, queue, task: scheduler.stop(wait=True),
    "shutdown": lambda scheduler, queue, task: queue.shutdown(),
    "submit": lambda scheduler, queue, task: queue.submit(int),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_wait_for_ever_and_a_submit_are_refused(name: str) -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(int)
        with core_of(scheduler).exclusive(), pytest.raises(RuntimeError, match="make this call in another"):
            REFUSED[name](scheduler, queue, task)


def test_finalizer_in_a_thread_that_takes_and_completes() -> None:
    """Wherever in the loop of a worker the garbage collector finds something."""
    with planned(1) as (scheduler, queue):
        cancelled = []
        order = order_of(scheduler).order
        take = core_of(scheduler).take_next

        def finalize(*args: Any) -> Any:
            assert lock_of(scheduler)._is_owned()
            cancelled.append(waiting.pop().cancel() if waiting else None)
            return take(*args)

        core_of(scheduler).take_next = finalize
        waiting = [queue.submit(str, Future()) for _ in range(3)]
        pending = waiting.copy()
        tasks = [queue.submit(int) for _ in range(3)]
        assert [task.result(DEADLINE) for task in tasks] == [0, 0, 0]
        until(lambda: all(task.cancelled() for task in pending))
        assert order_of(scheduler).order is order
        assert cancelled[:3] == [False] * 3


@pytest.mark.parametrize("end", ["plain", "wakes another worker", "wakes a thread"])
def test_finalizer_in_a_thread_that_ends_a_task(end: str) -> None:
    """Its call is made before the thread starts the next task."""
    with planned(1, 1) as (scheduler, queue, other):
        gate, first = occupy(queue, 1)
        pending = other.submit(str, Future())
        cancelled = queue.submit(pending.cancelled)
        where, name = order_of(scheduler), "done"
        if end == "plain":
            where, name = core_of(scheduler), "take_next"
        elif end == "wakes another worker":
            other.submit(abs, first)
            name = "take_freed"
        else:
            beside(first.result)
            until(lambda: blocked_on(first))
        call = getattr(where, name)

        def finalize(*args: Any) -> Any:
            setattr(where, name, call)
            assert lock_of(scheduler)._is_owned() and not pending.cancel()
            return call(*args)

        setattr(where, name, finalize)
        gate.open()
        assert cancelled.result(DEADLINE)
        assert getattr(where, name) == call


def test_failing_callback_of_a_deferred_call(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the other calls are made: any number, one after the other."""

    with planned(1, stopped=True) as (scheduler, queue):
        told: list[Any] = []
        outside: Future[int] = Future()
        tasks = [queue.submit(int) for _ in range(3000)]
        late = queue.submit(str, outside)
        tasks[0].add_done_callback(sys.exit)
        with core_of(scheduler).exclusive():
            core_of(scheduler).deferred(sys.exit, 1)
            tasks[0].add_done_callback(told.append)
            for task in tasks:
                task.cancel()
            outside.set_result(3)
            assert scheduler.counts()["waiting"] == 1
        assert told == tasks[:1]
        assert all(task.cancelled() for task in tasks)
        with core_of(scheduler).exclusive(), pytest.raises(CancelledError):
            tasks[0].result()  # it need not wait
        assert [record.name for record in caplog.records] == ["smqexec", "concurrent.futures"]
        scheduler.resume()
        assert late.result(DEADLINE) == "3"
    assert not DEFERRED


def test_ctrl_c_in_a_deferred_call_is_raised_after_the_other_calls() -> None:
    def strike(_: object) -> None:
        raise KeyboardInterrupt

    with planned(1, stopped=True) as (scheduler, queue):
        tasks = [queue.submit(int) for _ in range(2)]
        tasks[0].add_done_callback(strike)
        with pytest.raises(KeyboardInterrupt), core_of(scheduler).exclusive():
            assert [task.cancel() for task in tasks] == [False, False]
        assert all(task.cancelled() for task in tasks)


def test_finalizer_in_a_thread_that_ends_a_task_or_an_item(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call of the finalizer is deferred, and made by that thread before it calls callbacks."""
    with planned(1) as (scheduler, queue):
        gate, good = occupy(queue, "x")
        bad = queue.submit(int, "x")  # the only worker is busy
        part = good[0]
        pending = {part: queue.submit(str, Future()), bad: queue.submit(str, Future())}
        left, seen = dict(pending), list[bool]()
        for node in pending:
            node.add_done_callback(lambda node: seen.append(pending[node].cancelled()))

        def finalizing(owner: Any, name: str) -> None:
            method = getattr(owner, name)

            def call(node: Any, *args: Any) -> Any:
                if node in left:
                    assert lock_of(scheduler)._is_owned()
                    assert not left.pop(node).cancel()
                return method(node, *args)

            monkeypatch.setattr(owner, name, call)

        finalizing(order_of(scheduler), "done")
        finalizing(core_of(scheduler).termination, "drop")
        gate.open()
        assert part.result(DEADLINE) == "x"
        assert isinstance(bad.exception(DEADLINE), ValueError)
        until(lambda: len(seen) == 2)
        assert seen == [True, True]


def test_callback_of_a_deferred_call_waits_for_what_a_resume_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        awaited, cancelled, seen = queue.submit(int), queue.submit(str, Future()), list[int]()
        cancelled.add_done_callback(lambda _: seen.append(awaited.result(DEADLINE)))
        wake_all = core_of(scheduler).wake_all
        monkeypatch.setattr(core_of(scheduler), "wake_all", lambda: wake_all() or cancelled.cancel())
        scheduler.resume()
        assert seen == [0]


def test_stop_as_a_block_that_a_handler_ends() -> None:
    with planned(1) as (scheduler, queue):
        with core_of(scheduler).exclusive():
            with scheduler.stop():
                pass
            assert not scheduler.stopped
        assert not scheduler.stopped
        assert queue.submit(int).result(DEADLINE) == 0


def test_cancel_under_contention_waits_for_the_lock() -> None:
    """In another thread than the holder's it never says False of what is pending."""
    with planned(1, stopped=True) as (scheduler, queue):
        tasks = [queue.submit(int) for _ in range(50)]
        release = hold(lock_of(scheduler))
        cancelling = [beside(task.cancel) for task in tasks]
        assert not any(each.done() for each in cancelling)
        release()
        assert all(each.result(DEADLINE) for each in cancelling)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs pthread_kill")
def test_handler_that_is_called_again_and_again_while_another_thread_has_the_lock() -> None:
    """One handler waits for the lock; those that interrupt it are put off, and do not nest."""
    depths: list[int] = []
    depth = 0
    with planned(1) as (scheduler, queue):
        gate, running = occupy(queue)
        pending = queue.submit(str, running)
        release = hold(lock_of(scheduler))

        def handle(*_: object) -> None:
            nonlocal depth
            depth += 1
            depths.append(depth)
            pending.add_done_callback(str)
            scheduler.stop()
            scheduler.resume()
            depth -= 1

        def strike(put_off: Callable[[dict[int, Any]], object]) -> object:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)
            return interrupts._block and put_off(interrupts._block._struck)

        def strike_often() -> None:
            try:
                until(lambda: interrupts._block)  # the handler waits for the lock
                # Again until it is heard: a signal just before the thread sleeps does not wake it.
                for _ in range(20):
                    until(lambda: strike(lambda struck: struck.pop(signal.SIGALRM, None)))
                until(lambda: strike(bool))
            finally:
                release()

        with handling(signal.SIGALRM, handle):
            striking = beside(strike_often)
            signal.raise_signal(signal.SIGALRM)
            striking.result(DEADLINE)
        assert depths == [1, 2]
        gate.open()
        assert queue.submit(int).result(DEADLINE) == 0


def test_looks_that_need_no_lock() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(int)

        def looks() -> list[object]:
            for ask, timeout in ((task.result, 0), (task.exception, -1)):
                with pytest.raises(TimeoutError):
                    ask(timeout)
            states = task.done(), task.running(), task.cancelled()
            return [repr(task), repr(queue), repr(scheduler), scheduler.queues, states]

        seen = looks()
        with lock_of(scheduler):
            assert beside(looks).result(DEADLINE) == seen


@pytest.mark.parametrize("call", ["resume", "submit"])
def test_handler_that_interrupts_the_start_of_a_thread(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool holds locks meanwhile, one of them for all pools, and the handler starts one more thread."""
    start = threading.Thread.start
    scheduler, other = Scheduler(), Scheduler(stopped=True)
    queue = Queue(scheduler, 2)
    tasks = [Queue(other, 1).submit(int)]

    def interrupted(thread: threading.Thread) -> None:
        monkeypatch.undo()
        if call == "resume":
            other.resume()
        else:
            tasks.append(queue.submit(int))
        start(thread)

    def submit() -> None:
        monkeypatch.setattr(threading.Thread, "start", interrupted)
        tasks.append(queue.submit(int))

    beside(submit).result(DEADLINE)
    other.resume()
    assert [task.result(DEADLINE) for task in tasks] == [0] * len(tasks)
    scheduler.shutdown()
    other.shutdown()


def test_what_changes_something_is_deferred_until_the_lock_is_free() -> None:
    with planned(1, 1) as (scheduler, queue, other):
        gate, _ = occupy(other)
        pending = other.submit(abs, -2)
        with core_of(scheduler).exclusive():
            queue.max_workers = 2
            assert not pending.promote()
            other.shutdown(wait=False, cancel_futures=True)
            assert not pending.done()
        assert queue.max_workers == 2
        assert pending.cancelled()
        gate.open()
    assert not DEFERRED
