"""Waits in which nothing can go on say so, once, and why; others say nothing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future
from functools import partial
from typing import Any

import pytest
from gate import DEADLINE, Gate, begun, occupy
from internals import (
    Waiter,
    blocked_on,
    core_of,
    idle_in,
    lock_of,
    paused_in,
    searches_in,
    stall,
    waiter,
    workers_of,
)
from threads import beside, planned, until

import smqexec
from smqexec import Queue, Resource, Scheduler, checkpoint, number_of_results


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiter, "PATIENCE", 0.01)


def warning(caplog: pytest.LogCaptureFixture) -> str:
    """The one warning, once it is there."""
    until(lambda: caplog.records)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("smqexec", logging.WARNING)
    caplog.clear()
    return record.getMessage()


def looks(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What the waits of others find, each time that they look."""
    found: list[bool] = []
    stalled = stall.stalled

    def noted(*args: Any, **options: Any) -> list[Any]:
        found.append(bool(schedulers := stalled(*args, **options)))
        return schedulers

    monkeypatch.setattr(smqexec._ending, "stalled", noted)
    monkeypatch.setattr(stall, "stalled", noted)
    return found


@pytest.mark.parametrize(
    "wait",
    [
        smqexec.Task.result,
        smqexec.Task.exception,
        lambda task: task.result(2 * threading.TIMEOUT_MAX),
        lambda task: smqexec.wait([task]),
        lambda task: list(smqexec.as_completed([task])),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_wait_for_a_task(wait: Callable[[Any], Any], inside: bool, caplog: pytest.LogCaptureFixture) -> None:
    with planned(1) as (scheduler, queue), Scheduler() as outer:
        with scheduler.stop():
            task = queue.submit(abs, -1)
            if inside:
                waiting: Any = Queue(outer, 1).submit(wait, smqexec.Raw(task))
            else:
                waiting = beside(wait, task)
            text = warning(caplog)
            assert "nothing runs and nothing can start" in text and "stopped" in text
        waiting.result(DEADLINE)
        assert not caplog.records  # once


def test_time_that_is_over_after_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the question took long, or the process was stopped: it is a timeout like any other."""

    def slow(*_: object) -> list[Any]:
        time.sleep(0.1)
        return []

    monkeypatch.setattr(smqexec._ending, "stalled", slow)
    monkeypatch.setattr(stall, "stalled", slow)
    with planned(1) as (scheduler, queue), scheduler.stop():
        task = queue.submit(abs, -1)
        for wait in (task.result, task.exception):
            with pytest.raises(TimeoutError):
                wait(0.05)
        assert smqexec.wait([task], 0.05).not_done == {task}
        assert not scheduler.wait(0.05)


def stopping(scheduler: Scheduler, queue: Queue) -> Any:
    """A task that stops its scheduler and then waits for another one."""
    return queue.submit(lambda: scheduler.stop() and queue.submit(abs, -1).result())


def test_thread_that_has_told_says_nothing_more_where_something_wakes_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with planned(1) as (scheduler, queue):
        task = stopping(scheduler, queue)
        assert "the scheduler is stopped" in warning(caplog)
        (search,) = searches_in(queue)
        search.wake()
        until(search.unset.locked)
        assert search.warned
        waiting = beside(task.result)
        assert "waits for abs" in warning(caplog)
        scheduler.resume()
        assert task.result(DEADLINE) == waiting.result(DEADLINE) == 1
    assert not caplog.records


def test_task_that_has_something_to_look_at_can_go_on() -> None:
    with planned(1) as (scheduler, queue):
        task = stopping(scheduler, queue)
        until(lambda: stall.stalled(core_of(scheduler)))
        (search,) = searches_in(queue)
        with lock_of(scheduler):
            search.frames.append((iter(()), None))
        assert not stall.stalled(core_of(scheduler))
        scheduler.resume()
        assert task.result(DEADLINE) == 1


def test_innermost_wait_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outer task could go on only after it.  And each scheduler is looked at under its own lock."""
    locked: list[bool] = []
    look = stall._awaited

    def noted(scheduler: Any, endless: bool) -> Any:
        locked.append(lock_of(scheduler)._is_owned())
        return look(scheduler, endless)

    monkeypatch.setattr(stall, "_awaited", noted)
    with planned(1) as (scheduler, queue), planned(1, stopped=True) as (outer, other):
        awaited = other.submit(int)

        def program() -> Any:
            return queue.submit(max, queue.submit(awaited.result), queue.submit(int)).result()

        task = queue.submit(program)
        until(lambda: blocked_on(awaited))
        until(lambda: stall.stalled(core_of(scheduler)))
        (search,) = (each for each in searches_in(queue) if each.frames)  # the outer one is not through
        assert search.frames and locked and all(locked)
        outer.resume()
        assert task.result(DEADLINE) == 0


def test_one_of_two_awaited_schedulers_is_stalled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = looks(monkeypatch)
    with planned(1, stopped=True) as (one, queue), planned(1) as (_, other):
        gate, held = occupy(other)
        waiting = beside(smqexec.wait, [queue.submit(int), held])
        until(lambda: found.count(False) > 2)
        assert not caplog.records
        one.resume()
        gate.open()
        assert len(waiting.result(DEADLINE).done) == 2


@pytest.mark.parametrize("slots", [1, 2])
def test_free_slot_may_run_a_ready_task(slots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if its thread could not be started at first; without a free slot no task can start."""

    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with planned(slots) as (scheduler, queue), planned(1, stopped=True) as (outer, other):
        awaited = other.submit(abs, -1)
        waiting = queue.submit(lambda: awaited.result())
        until(lambda: blocked_on(awaited))
        until(lambda: stall.stalled(core_of(scheduler)))  # the wait begins after it is there
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            ready = queue.submit(abs, -2)
            assert bool(stall.stalled(core_of(scheduler))) == (slots == 1)
        outer.resume()
        assert (waiting.result(DEADLINE), ready.result(DEADLINE)) == (1, 2)


def test_task_that_waits_for_all(caplog: pytest.LogCaptureFixture) -> None:
    with planned(1, 1) as (scheduler, queue, other):
        task = queue.submit(
            lambda: scheduler.stop() and queue.submit(int) and other.submit(abs, -1) and scheduler.wait()
        )
        assert "waiting for all tasks, but nothing runs" in warning(caplog)
        scheduler.resume()
        assert task.result(DEADLINE)


def test_wait_asks_until_it_has_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    answers = [False, True]

    def sleep(_: Waiter, seconds: float) -> bool:
        asked.append(seconds)
        return len(asked) == 5

    monkeypatch.setattr(Waiter, "sleep", sleep)
    assert Waiter().block(None, lambda: answers.pop(0))
    assert asked == [waiter.PATIENCE] * 5 and not answers


def test_submit_for_room(caplog: pytest.LogCaptureFixture) -> None:
    with Scheduler() as scheduler:
        queue = Queue(scheduler, 1, max_pending=1)
        with scheduler.stop():
            queue.submit(abs, -1)
            submitting = beside(queue.submit, abs, -2)
            text = warning(caplog)
            assert f"room in queue {queue.name}" in text
            assert "the scheduler is stopped: 0 running, 1 ready, 0 waiting" in text
        assert submitting.result(DEADLINE).result(DEADLINE) == 2


@pytest.mark.parametrize("end", ["wait", "shutdown", "block", "stop"])
def test_wait_for_all(end: str, caplog: pytest.LogCaptureFixture) -> None:
    with planned(1) as (scheduler, queue):
        gate, task = begun(queue, checkpoint)
        queue.submit(abs, -1)
        scheduler.stop()
        gate.open()
        until(lambda: paused_in(scheduler))
        if end == "stop":
            scheduler.stop(wait=True)
            assert not caplog.records
        else:
            calls = {"wait": scheduler.wait, "shutdown": queue.shutdown}
            waiting = beside(calls.get(end, partial(scheduler.__exit__, None, None, None)))
            assert "held as the scheduler is stopped" in warning(caplog)
        scheduler.resume()
        task.result(DEADLINE)
        if end != "stop":
            waiting.result(DEADLINE)


def test_future_of_another_executor_is_told_at_the_end_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = looks(monkeypatch)
    outside: Future[int] = Future()
    with planned(1) as (scheduler, queue):
        task = queue.submit(abs, outside)
        waiting = [beside(task.result), beside(scheduler.wait)]
        waiting += [beside(smqexec.wait, futures) for futures in ([task, outside], [outside])]
        waiting.append(Queue(1).submit(lambda: smqexec.wait([Queue(1).submit(abs, outside), outside])))
        until(lambda: len(found) > 10)
        assert not any(found) and not caplog.records
        ending = beside(scheduler.shutdown)
        assert "not done: a future of another executor; needed by 1 task: abs#1" in warning(caplog)
        outside.set_result(-3)
        ending.result(DEADLINE)
        for each in waiting:
            each.result(DEADLINE)


def test_waits_that_make_progress_say_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = looks(monkeypatch)
    with planned(1, 1) as (scheduler, queue, other):
        gate = Gate()
        held = other.submit(gate, 1)
        task = queue.submit(lambda: queue.submit(abs, smqexec.Raw(held).value).result())
        task.add_done_callback(lambda _: gates[1].enter())
        gates = [gate, Gate()]
        waiting = [
            beside(task.result),
            beside(scheduler.wait),
            beside(smqexec.wait, [task], None, FIRST_COMPLETED),
        ]
        until(lambda: len(found) > 5)
        gate.open()
        gates[1].wait_entered()
        found.clear()
        pending = queue.submit(abs, -2)
        waiting.append(beside(pending.result))  # the callback may make it ready
        until(lambda: len(found) > 5)
        assert not any(found)
        gates[1].open()
        for each in waiting:
            each.result(DEADLINE)
    assert not caplog.records


WAITS: dict[str, Callable[[Scheduler, Queue, Any], object]] = {
    "result": lambda scheduler, queue, task: task.result(DEADLINE),
    "exception": lambda scheduler, queue, task: task.exception(DEADLINE),
    "several": lambda scheduler, queue, task: smqexec.wait([task], DEADLINE),
    "all": lambda scheduler, queue, task: scheduler.wait(DEADLINE),
    "the end": lambda scheduler, queue, task: queue.shutdown(),
    "room": lambda scheduler, queue, task: queue.options(timeout=DEADLINE).submit(int),
}


@pytest.mark.parametrize("name", WAITS)
def test_end_that_comes_as_the_thread_asks_is_no_stall(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It finds that nothing runs, and its wait is over."""
    gate, stalled = Gate(), stall.stalled

    def late(*args: Any, **options: Any) -> Any:
        gate.open()
        until(lambda: idle_in(queue) or not workers_of(queue))
        return stalled(*args, **options)

    monkeypatch.setattr(smqexec._ending, "stalled", late)
    monkeypatch.setattr(stall, "stalled", late)
    with planned() as (scheduler,):
        queue = Queue(scheduler, 1, max_pending=1)
        task = gate.hold(queue)
        if name == "room":
            queue.submit(int)
        WAITS[name](scheduler, queue, task)
    assert not caplog.records


def test_part_that_is_being_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a callback, when its task has ended and none runs."""
    found = looks(monkeypatch)
    gate = Gate()

    class Slow(dict[str, int]):
        def __getitem__(self, key: str) -> int:
            return gate.enter(super().__getitem__(key)) or 0

    with planned(1, stopped=True) as (scheduler, queue):
        item = queue.submit(Slow, x=1)["x"]
        scheduler.resume()
        gate.wait_entered()
        waiting = beside(item.result)
        until(lambda: len(found) > 5)
        assert not any(found)
        gate.open()
        assert waiting.result(DEADLINE) == 1


def test_cycle_through_any_of_several_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with planned(2) as (_, queue):
        cycle: list[Any] = []
        gate, first = begun(queue, lambda: bool(smqexec.wait(cycle, None, FIRST_COMPLETED).done))
        cycle += [first, queue.submit(str, first)]
        # Each in a thread of its own, and not one nested in the other.
        other, third = begun(queue, lambda: bool(smqexec.wait(cycle, None, FIRST_COMPLETED).done))
        cycle.append(third)
        gate.open()
        other.open()
        until(lambda: len(caplog.records) >= 2)
        assert all("several futures" in record.getMessage() for record in caplog.records)
        cycle[1].cancel()
        assert [task.result(DEADLINE) for task in cycle[::2]] == [True, True]


def test_cycle_over_two_schedulers_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with planned(1) as (_, one), planned(1) as (_, two):
        gate, task = begun(one, lambda: cycle.exception())
        cycle = two.submit(str, task)
        gate.open()
        assert "waiting: needs" in warning(caplog)
        cycle.cancel()
        assert isinstance(task.exception(DEADLINE), CancelledError)


# Exit


def finishing(scheduler: Scheduler) -> Future[Any]:
    """Do in a thread what interpreter exit does."""
    return beside(core_of(scheduler).ending.finish_at_exit)


def test_exit_cancels_what_can_never_start(caplog: pytest.LogCaptureFixture) -> None:
    """Once no future of another executor may come any more."""
    disk = Resource("disk", 1)
    outside: Future[int] = Future()
    with planned(1) as (scheduler, queue):
        queue.options(resources={disk: 1}, hold=True).submit(abs, 1).result(DEADLINE)
        lacking = [queue.options(resources={disk: 1}).submit(abs, 2) for _ in range(2)]
        task = queue.submit(str, outside)
        finished = finishing(scheduler)
        assert "a future of another executor" in warning(caplog)
        outside.set_result(1)
        finished.result(DEADLINE)
        assert task.result(DEADLINE) == "1"
        assert warning(caplog).startswith(
            "cancelling 2 pending tasks at exit, as nothing runs and nothing can start: "
        )
        assert all(task.cancelled() for task in lacking)


def test_exit_waits_for_a_generator_without_end(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    with planned(1) as (scheduler, queue):
        queue.submit(lambda: (yield gate.enter()))
        gate.wait_entered()
        finished = finishing(scheduler)
        text = warning(caplog)
        assert text.startswith("the interpreter's exit waits for what may never end: ")
        assert "<lambda>#1: running" in text
        gate.open()
        finished.result(DEADLINE)


def test_generators_that_will_end() -> None:
    """One has announced its length, another has yielded all, and a callback of an item goes on."""
    gate, last = Gate(), Gate()
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(number_of_results(lambda: 1)(lambda: (yield gate.enter())))
        ended = queue.submit(lambda: (yield 1))
        ended[1].add_done_callback(lambda _: last.enter())
        scheduler.resume()
        for each in (last, gate):
            each.wait_entered()
            assert not stall.stalled(core_of(scheduler), endless=True)
            each.open()
        task.result(DEADLINE)


def test_exit_waits_for_a_task_that_waits_for_its_own_parts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is pending that could be cancelled."""
    with planned(1) as (scheduler, queue):
        gate, task = begun(queue, lambda: smqexec.wait(parts, return_when=FIRST_COMPLETED))
        parts = [task["x"], task["y"]]
        found = looks(monkeypatch)
        finished = finishing(scheduler)
        gate.open()
        until(lambda: any(found))
        assert parts[0].cancel()
        finished.result(DEADLINE)
    assert not any("cancelling" in message for message in caplog.messages)
