"""What signal handlers and finalizers ask for that have interrupted a thread which holds the lock.

Here another thread calls what they would, which is the same to the scheduler: the lock
does not come free before they return.
"""

from __future__ import annotations

import concurrent.futures
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest
from gate import DEADLINE, Gate
from threads import beside, planned, until

from smqexec import Queue, Scheduler, _later


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_later, "PATIENCE", 0.01)
    monkeypatch.setattr(_later, "LONG", 0.02)


def test_future_completed_by_a_handler_while_its_own_thread_holds_the_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_later, "PATIENCE", 0.01)
    with planned(1) as (scheduler, queue):
        outside: Future[int] = Future()
        task = queue.submit(str, outside)
        with scheduler.lock:
            outside.set_result(3)  # as a signal's handler would
        assert task.result(DEADLINE) == "3"


def test_many_cancelled_by_a_handler_while_its_own_thread_holds_the_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A map's iterator that is collected does so, and a handler that cancels all.  Nobody else can go on."""
    with planned(1, stopped=True) as (scheduler, queue):
        tasks = [queue.submit(int) for _ in range(100)]
        lock, waits = scheduler.lock, []

        class Held:
            """The lock, for a thread that has it: it tells how long it would have waited."""

            def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
                if threading.current_thread() is threading.main_thread():
                    waits.append(timeout)
                    return False
                return lock.acquire(blocking, timeout)

            def release(self) -> None:
                lock.release()

            def __enter__(self) -> None:
                lock.acquire()

            def __exit__(self, *args: object) -> None:
                lock.release()

        before = threading.active_count()
        with lock, monkeypatch.context() as held:
            held.setattr(scheduler, "lock", Held())
            for task in tasks:
                task.cancel()
            assert len(waits) == 100
            assert 0 < sum(waits) <= 2 * _later.PATIENCE
            assert threading.active_count() == before + 1
        concurrent.futures.wait(tasks, DEADLINE)
        assert all(task.cancelled() for task in tasks)
        task = queue.submit(int)
        assert task.cancel()  # as ever
        assert not scheduler._put_off


@pytest.mark.usefixtures("impatient")
def test_callback_that_is_added() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        told: list[Any] = []
        task = queue.submit(int)
        with scheduler.lock:
            beside(task.add_done_callback, told.append).result(DEADLINE)
        scheduler.resume()
        until(lambda: told == [task])


@pytest.mark.usefixtures("impatient")
def test_failing_callbacks_of_tasks_that_end_meanwhile(caplog: pytest.LogCaptureFixture) -> None:
    with planned(1) as (scheduler, queue):
        gate = Gate()
        task = queue.submit(gate.enter)
        gate.wait_entered()
        told: list[Any] = []

        def leave(_: object) -> None:
            raise SystemExit

        def add_both() -> None:
            task.add_done_callback(leave)
            task.add_done_callback(told.append)

        with scheduler.lock:
            beside(add_both).result(DEADLINE)
            # Who puts off what goes on only when this is let go of; as if the task had ended first.
            task._home, home = None, task._home
        until(lambda: told)
        task._home = home
        assert [record.name for record in caplog.records] == ["smqexec"]
        gate.open()
        assert task.result(DEADLINE) is None


@pytest.mark.usefixtures("impatient")
def test_stop_and_resume() -> None:
    with planned(1) as (scheduler, queue):
        gate = Gate()
        first = queue.submit(gate.enter)
        gate.wait_entered()
        second = queue.submit(int)
        with scheduler.lock:
            beside(scheduler.stop).result(DEADLINE)
        until(lambda: scheduler.stopped)
        gate.open()
        assert first.result(DEADLINE) is None
        assert scheduler.counts()["ready"] == 1
        with scheduler.lock:
            beside(scheduler.resume).result(DEADLINE)
        assert second.result(DEADLINE) == 0


@pytest.mark.usefixtures("impatient")
def test_stop_as_a_block_that_is_ended_there() -> None:
    with planned(1) as (scheduler, queue):

        def block() -> None:
            with scheduler.stop():
                pass

        with scheduler.lock:
            beside(block).result(DEADLINE)
        until(lambda: not scheduler._put_off)
        until(lambda: not scheduler.stopped)
        assert queue.submit(int).result(DEADLINE) == 0


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("whole", [False, True])
def test_shutdown_that_cancels(whole: bool) -> None:
    with planned(1) as (scheduler, queue):
        gate = Gate()
        running = queue.submit(gate.enter)
        gate.wait_entered()
        pending = [queue.submit(int) for _ in range(3)]
        with scheduler.lock:
            shutdown = partial((scheduler if whole else queue).shutdown, wait=False, cancel_futures=True)
            beside(shutdown).result(DEADLINE)
        concurrent.futures.wait(pending, DEADLINE)
        assert all(task.cancelled() for task in pending)
        until(lambda: queue._slots.closed)
        with pytest.raises(RuntimeError, match="after shutdown"):
            queue.submit(int)
        gate.open()
        assert running.result(DEADLINE) is None


LOOKS: dict[str, Callable[[Scheduler, Queue, Any], object]] = {
    "result": lambda scheduler, queue, task: _raised(lambda: task.result(0)),
    "exception": lambda scheduler, queue, task: _raised(lambda: task.exception(-1)),
    "task": lambda scheduler, queue, task: repr(task),
    "queue": lambda scheduler, queue, task: repr(queue),
    "scheduler": lambda scheduler, queue, task: repr(scheduler),
    "queues": lambda scheduler, queue, task: scheduler.queues,
    "states": lambda scheduler, queue, task: (task.done(), task.running(), task.cancelled()),
}


def _raised(call: Callable[[], object]) -> str:
    with pytest.raises(TimeoutError) as raised:
        call()
    return type(raised.value).__name__


@pytest.mark.parametrize("name", LOOKS)
def test_looks_that_need_no_lock(name: str) -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(int)
        seen = LOOKS[name](scheduler, queue, task)
        with scheduler.lock:
            assert beside(LOOKS[name], scheduler, queue, task).result(DEADLINE) == seen


def test_call_put_off_as_the_thread_that_makes_them_ends() -> None:
    """Who put it off makes it: nobody holds the lock any more, and that thread has not seen it."""
    with planned(1) as (scheduler, _):
        me, told = threading.get_ident(), []

        class Ended(_later.deque[Any]):
            def append(self, call: Any) -> None:
                del scheduler._put_off[me]
                super().append(call)

        scheduler._put_off[me] = Ended()
        scheduler._make_later(told.append, 1)
        assert told == [1]


@pytest.mark.usefixtures("impatient")
def test_child_process_puts_off_for_itself() -> None:
    """What its parent had put off at the fork, nobody does there."""
    with planned(1) as (scheduler, _):
        scheduler._put_off[threading.get_ident()] = _later.deque()
        scheduler.abandon()
        assert not scheduler._put_off


@pytest.fixture
def alarms() -> Iterator[list[Callable[[], object]]]:
    """What a signal's handler calls, a millisecond after it has last done so."""
    calls: list[Callable[[], object]] = []
    over = False

    def handle(*_: object) -> None:
        for call in calls.copy():
            call()
        if not over:
            signal.setitimer(signal.ITIMER_REAL, 1e-3)

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 1e-3)
    yield calls
    over = True  # for one that has struck and not been handled yet
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("own", [True, False])
def test_who_puts_off_is_struck_when_that_thread_has_begun(
    own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another handler, say: neither is what strikes lost, nor what was put off meanwhile."""

    class Struck(BaseException):
        pass

    begun: list[threading.Thread] = []
    start = threading.Thread.start

    def start_struck(thread: threading.Thread) -> None:
        monkeypatch.undo()
        start(thread)
        begun.append(thread)
        if own:
            scheduler.resume()  # of a handler in between
        else:  # who had the lock lets go of it
            scheduler.lock.release()
            thread.join(DEADLINE)
        raise Struck

    with planned(1) as (scheduler, _):
        scheduler.lock.acquire()
        monkeypatch.setattr(threading.Thread, "start", start_struck)
        with pytest.raises(Struck):
            scheduler.stop()
        if own:
            scheduler.lock.release()
        begun[0].join(DEADLINE)
        assert scheduler.stopped is not own
        assert not scheduler._put_off
        scheduler.resume()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers that send signals")
@pytest.mark.usefixtures("impatient")
def test_handlers_of_real_signals(alarms: list[Callable[[], object]]) -> None:
    with planned(2) as (scheduler, queue):
        told: list[Any] = []
        last: list[Any] = [queue.submit(int)]
        alarms += [
            lambda: last[0].add_done_callback(told.append),
            lambda: repr(queue),
            scheduler.stop,
            scheduler.resume,
        ]
        tasks = []
        deadline = time.monotonic() + DEADLINE
        while len(told) < 100:
            assert time.monotonic() < deadline
            last[0] = queue.submit(int)
            tasks.append(last[0])
        alarms.clear()
        until(lambda: not scheduler._put_off)
        scheduler.resume()
        assert [task.result(DEADLINE) for task in tasks] == [0] * len(tasks)
        assert not scheduler._put_off
