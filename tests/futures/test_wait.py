"""`concurrent.futures.wait` and `as_completed` on tasks: exact, and Ctrl-C leaves no thread waiting."""

from __future__ import annotations

import concurrent.futures._base
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    CancelledError,
    Future,
    ThreadPoolExecutor,
    as_completed,
    wait,
)
from contextlib import suppress
from functools import partial
from math import nan
from types import SimpleNamespace
from typing import Any

import pytest
from gate import DEADLINE, Gate, occupy
from internals import HELD, core_of, waiters_of, waits
from marks import slow_but
from outcomes import fail
from programs import forks, run
from strikes import CALLS, PACKAGE, each_step, from_outside, handling
from threads import beside, planned, until, until_gone, without_collector

import smqexec
from smqexec import Queue

FILES = (PACKAGE, concurrent.futures._base.__file__, threading.__file__)


WAITS: dict[str, Callable[[list[Any]], object]] = {
    "all": lambda tasks: wait(tasks, 0.001),
    "first": lambda tasks: wait(tasks[-2:], 0.001, FIRST_COMPLETED),
    "exception": lambda tasks: wait(tasks, 0.001, FIRST_EXCEPTION),
    "completed": lambda tasks: list(as_completed(tasks, 0.001)),
    "ours": lambda tasks: smqexec.wait(tasks, 0.001),
}


@pytest.mark.parametrize(
    "name, ending", slow_but(("all", True), [(name, ending) for name in WAITS for ending in (False, True)])
)
def test_wait_interrupted_at_every_line(name: str, ending: bool) -> None:
    with planned(2) as (_, queue):
        for step in each_step(20):
            gate = Gate()
            held = queue.submit(gate)
            tasks = [queue.submit(int), held, queue.submit(str, held), queue.submit(fail, held)]
            tasks[0].result(DEADLINE)
            if ending:
                gate.open()
            step.strike(partial(WAITS[name], tasks), files=FILES, returns=True)
            gate.open()
            # In other threads, then in the one that was interrupted.
            assert beside(wait, tasks, DEADLINE).result(2 * DEADLINE) == (set(tasks), set())
            assert wait(tasks, DEADLINE) == (set(tasks), set())
            assert set(as_completed(tasks, DEADLINE)) == set(tasks)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers that send signals")
@pytest.mark.parametrize("name", ["result", "exception", "wait", "wait for all"])
def test_signal_handler_that_goes_on_beyond_the_time_limit(name: str) -> None:
    handled: list[Any] = []

    def handle(*_: object) -> None:
        time.sleep(0.1)
        handled.append(True)

    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(int)
        with handling(signal.SIGALRM, handle), suppress(TimeoutError):
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            CALLS[name](scheduler, queue, task, 0.1)
        assert handled


@pytest.mark.parametrize("name", ["result", "exception"])
def test_ctrl_c_anywhere_leaves_no_waiter(name: str) -> None:
    """Which would count as a need of the task: `cancel` of a dependent would spare it."""
    with planned(1, stopped=True) as (scheduler, queue):
        for step in each_step(20):
            task = queue.submit(int)
            dependent = queue.submit(str, task)
            step.strike(partial(CALLS[name], scheduler, queue, task, 1e-9), from_outside)
            dependent.cancel(dependencies=True)
            assert task.cancelled(), step


@pytest.mark.parametrize("when", [FIRST_COMPLETED, FIRST_EXCEPTION, "ALL_COMPLETED"])
def test_wait_for_nothing(when: str) -> None:
    assert beside(smqexec.wait, [], None, when).result(DEADLINE) == (set(), set())


def test_waiter_of_a_client_keeps_its_event() -> None:
    """Only those of the standard library get another: who waits for a client's event has it already."""
    event = threading.Event()
    waiter = SimpleNamespace(event=event, add_result=lambda _: event.set())
    with planned(1) as (_, queue):
        gate, task = occupy(queue)
        task._waiters.append(waiter)
        gate.open()
        assert event.wait(DEADLINE) and waiter.event is event


def test_what_wait_has_returned_changes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even if the thread that ends a future is about to tell our waiter, which has left."""
    telling = Gate()
    with planned(1) as (_, queue):
        gate, task = occupy(queue)
        task._waiters.append(SimpleNamespace(add_result=lambda _: telling.enter()))  # told before ours
        # The task ends as the time is over.
        monkeypatch.setattr(waits.Waiter, "sleep", lambda *_: gate.open() or telling.wait_entered())
        done, not_done = smqexec.wait([task], 1)
        monkeypatch.undo()
        telling.open()
        assert queue.submit(int).result(DEADLINE) == 0  # the one worker has told all waiters
        assert (done, not_done) == (set(), {task})


class Waiter:
    """Notes each call of its methods."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Callable[[Any], None]:
        return lambda future: self.told.append((name, future))


@pytest.mark.parametrize("end", ["add_result", "add_exception", "add_cancelled"])
@pytest.mark.parametrize("when", ["before", "while", "after", "taken back"])
def test_waiter_is_told_once(when: str, end: str) -> None:
    """Of an end before it came or after; not where its thread has seen that the task had ended."""

    def let_it_end() -> None:
        if end == "add_cancelled":
            assert task.cancel()
        scheduler.resume()
        assert scheduler.wait(DEADLINE)

    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(fail if end == "add_exception" else int)
        waiter: Any = Waiter()
        if when == "after":
            let_it_end()
        task._condition.acquire()
        if when == "while":
            let_it_end()
        task._waiters.append(waiter)
        task._condition.release()
        if when == "taken back":
            with task._condition:
                task._waiters.remove(waiter)
        if when in ("before", "taken back"):
            let_it_end()
        queue.submit(int).result(DEADLINE)  # in its thread, after all that it tells
        with task._condition:
            task._waiters.remove(waiter)  # twice is no error: the end may have come between
        assert waiter.told == ([] if when in ("after", "taken back") else [(end, task)])


@pytest.mark.parametrize("holds", [False, True])
def test_end_that_comes_just_before_the_lock_is_had(holds: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*change: Any) -> Any:
        """Let the task end before the lock is taken."""
        patch.undo()
        assert task.cancel()
        return core_of(queue).step(*change)

    with planned(1, stopped=True) as (_, queue):
        task = queue.submit(int)
        waiter = concurrent.futures._base._FirstCompletedWaiter()  # type: ignore[attr-defined]
        views = task._condition, task._waiters
        if holds:
            views[0].acquire()
        with monkeypatch.context() as patch:
            patch.setattr(core_of(queue), "step", late)
            views[1].append(waiter)
        views[0].release()
        assert waiter.finished_futures == ([task] if holds else [])
        assert task._state == "CANCELLED_AND_NOTIFIED"
        views[1].remove(waiter)  # of a task that has ended
        task = queue.submit(int)
        with monkeypatch.context() as patch, pytest.raises(CancelledError):
            patch.setattr(core_of(queue), "step", late)
            beside(task.result).result(DEADLINE)


def test_task_ends_as_the_time_for_its_result_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with planned(1, stopped=True) as (_, queue):
        task = queue.submit(int)
        monkeypatch.setattr(waits.Waiter, "sleep", lambda *_: not task.cancel())
        with pytest.raises(CancelledError):
            task.result(1)
        monkeypatch.undo()


def test_signal_handler_ends_a_task_in_the_midst_of_as_completed() -> None:
    with planned(1, stopped=True) as (_, queue):
        task = queue.submit(int)
        waiter: Any = concurrent.futures._base._AsCompletedWaiter()  # type: ignore[attr-defined]
        task._waiters.append(waiter)
        with waiter.lock:
            assert task.cancel()
        assert waiter.finished_futures == [task]


def test_waiter_leaves_while_all_are_told() -> None:
    """Its thread has read the record before the end."""
    told: list[Any] = []

    def leave(_: object) -> None:
        waiters.remove(waiters[0])
        told.append(0)

    with planned(1, stopped=True) as (_, queue):
        task: Any = queue.submit(int)
        for _ in range(3):
            task._waiters.append(SimpleNamespace(add_cancelled=leave))
        waiters = waiters_of(task)
        task._waiters.remove(None)  # it is no waiter
        assert task.cancel()
        assert len(told) == 3


def test_condition_that_is_never_released_keeps_nothing() -> None:
    with without_collector(), planned(1, stopped=True) as (_, queue):
        task: Any = queue.submit(int)
        task._condition.acquire()
        assert task.cancel()
        assert task._state == "PENDING"
        gone = weakref.ref(task)
        del task
        until_gone(gone)
        assert not HELD.counts


@pytest.mark.parametrize("mode", [ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION])
def test_wait_within_a_wait_of_the_same_thread(mode: str) -> None:
    """A signal's handler may wait for the futures that its thread is looking at: other threads see the end,
    and none waits, neither the worker nor what depends on the task."""
    with planned(2) as (_, queue):
        gate, task = occupy(queue)
        heir = queue.submit(str, task)
        with task._condition:
            gate.open()
            assert heir.result(DEADLINE) == "None" and task.done()
            assert beside(lambda: task._state).result(DEADLINE) == "FINISHED"
            assert beside(wait, [task], 0).result(DEADLINE).done == {task}
            assert wait([task], DEADLINE, mode) == ({task}, set())
            assert list(as_completed([task], DEADLINE)) == [task]
            assert task._state == "PENDING"
            assert wait([task], 0) == ({task}, set())
        assert task._state == "FINISHED"
        assert wait([task], 0) == ({task}, set())


def test_wait_for_tasks_items_and_futures_of_others() -> None:
    foreign: Future[int] = Future()
    with ThreadPoolExecutor(1) as pool, planned(2) as (_, queue):
        gate = Gate()
        tasks = [queue.submit(gate.enter, "ab"), pool.submit(gate.enter, 1), foreign, queue.submit(fail)]
        tasks += [tasks[0][1], queue.submit(str, tasks[1])]
        modes = ALL_COMPLETED, FIRST_EXCEPTION, FIRST_COMPLETED
        found = [beside(wait, tasks, DEADLINE, mode) for mode in modes]
        completing = beside(lambda: list(as_completed(tasks, DEADLINE)))
        assert tasks[3] in found[1].result(DEADLINE).done
        assert tasks[3] in found[2].result(DEADLINE).done
        gate.open()
        foreign.set_result(1)
        assert found[0].result(DEADLINE) == (set(tasks), set())
        assert sorted(map(id, completing.result(DEADLINE))) == sorted(map(id, tasks))


@pytest.mark.parametrize("timeout", [-1, 0, nan, 1e300])
def test_time_limits(timeout: float) -> None:
    with planned(1) as (_, queue):
        gate, task = occupy(queue)
        waiting = beside(wait, [task], timeout)
        if timeout > 0:
            until(lambda: waiters_of(task))
            gate.open()
        assert waiting.result(DEADLINE).done == ({task} if timeout > 0 else set())
        gate.open()


def test_event_of_a_waiter() -> None:
    """What replaces the event of a waiter: a `set` ends one `wait`, also one that comes later."""
    waiter: Any = concurrent.futures._base._FirstCompletedWaiter()  # type: ignore[attr-defined]
    with planned(1, stopped=True) as (_, queue):
        queue.submit(int)._waiters.append(waiter)
        event = waiter.event
        event.set()
        event.clear()  # by `as_completed`, which has taken what was there: this may have come after that
        event.wait()
        waiting = beside(event.wait)
        event.set()
        waiting.result(DEADLINE)


@forks
def test_fork_while_another_thread_has_the_condition() -> None:
    outcome = run("""
        from concurrent.futures import wait

        gate, has = Gate(), Gate()

        def hold():
            with task._condition, done._condition:
                has.enter()

        def child():
            say(wait([done], 5).done == {done}, "before the fork" in error_of(wait, [task], 0.01))

        with Queue(1) as queue:
            done = queue.submit(int)
            done.result(DEADLINE)
            task = queue.submit(gate)
            threading.Thread(target=hold).start()
            has.wait_entered()
            say(in_child(child))
            gate.open()
            has.open()
    """)
    assert outcome.lines == ["True True", "0"]


def test_done_tasks_cost_about_what_plain_futures_do() -> None:
    """In calls of Python functions and builtins, which no noise disturbs."""

    def calls(futures: list[Any]) -> int:
        events: list[str] = []
        before = sys.getprofile()
        sys.setprofile(lambda frame, event, arg: events.append(event))
        try:
            wait(futures)
        finally:
            sys.setprofile(before)
        return events.count("call") + events.count("c_call")

    plain: list[Future[Any]] = [Future() for _ in range(100)]
    for future in plain:
        future.set_result(1)
    with Queue(1) as queue:
        tasks = [queue.submit(int) for _ in range(100)]
        assert [task.result(DEADLINE) for task in tasks] == [0] * 100
        assert calls(tasks) <= 3 * calls(plain)
