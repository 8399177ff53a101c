"""Where queues on an executor meet the rest: engines of our own, observers, threads that do not start."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import BrokenExecutor, CancelledError, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from concurrent.futures.thread import BrokenThreadPool
from functools import partial
from pickle import PicklingError
from types import SimpleNamespace
from typing import Any

import pytest
from engines import Inline, Manual, manual
from gate import DEADLINE, Gate
from generating import END, Fed, count
from internals import core_of
from threads import beside, planned, until, without_collector

from smqexec import Queue, Scheduler, number_of_results, settled
from smqexec._engines import executors as _executors
from smqexec._engines.executors import Call, Engine
from smqexec._engines.receivers import stream
from smqexec._futures.remote_value import Remote


class Here(Engine):
    """An engine that makes calls inside `call`, and records them."""

    options = frozenset({"retries"})
    max_workers = 3

    def __init__(self) -> None:
        super().__init__(Inline())
        self.calls: list[Call] = []

    def call(self, call: Call) -> Future[Any]:
        self.calls.append(call)
        return Inline().submit(call.fn, *call.args, **call.kwargs)


def test_engine_gets_calls() -> None:
    engine = Here()
    with Queue(executor=engine) as queue:
        assert queue._max_workers == 3
        one = queue.submit(abs, -1)
        assert queue.options(name="power", retries=2).submit(pow, one, exp=2).result(DEADLINE) == 1
        film = queue.options(name="film").submit(count, 3)
        assert film.result(DEADLINE) == [0, 1, 2]
    assert [(call.fn, call.args, call.kwargs, call.name, dict(call.options)) for call in engine.calls] == [
        (abs, (-1,), {}, "abs", {}),
        (pow, (1,), {"exp": 2}, "power", {"retries": 2}),
        (stream, (engine.calls[2].args[0], count, 3), {}, "film", {}),
    ]


@pytest.mark.parametrize("error", [BrokenExecutor("gone"), RuntimeError("cannot schedule after shutdown")])
def test_lost_value_of_another_executor_fails_only_the_task_that_needs_it(error: BaseException) -> None:
    class Lost(Future[int]):
        def result(self, timeout: float | None = None) -> int:
            raise error

    def ask(*_: int) -> int:
        raise error

    value = Lost()
    value.set_result(-1)
    with Queue(1, executor=Inline()) as queue:
        tasks = [queue.submit(abs, value), queue.submit(number_of_results(ask)(partial(count, 3)))]
        assert [task.exception(DEADLINE) for task in tasks] == [error, error]
        assert queue.submit(abs, -2).result(DEADLINE) == 2


def test_remote_value_of_another_engine_is_fetched() -> None:
    class Elsewhere(Remote):
        def part(self, key: Any) -> Remote:
            raise NotImplementedError

    class Lost(Elsewhere):
        def result(self, timeout: float | None = None) -> Any:
            raise PicklingError("the value can't be unpickled")

    kept, lost = Elsewhere(), Lost()
    kept.set_result(-7)
    lost.set_result(0)
    with Queue(1, executor=Inline()) as queue:
        assert isinstance(queue.submit(abs, lost).exception(DEADLINE), PicklingError)
    engine = Here()
    with Queue(executor=engine) as queue:
        assert queue.submit(abs, kept).result(DEADLINE) == 7
    assert engine.calls[0].args == (-7,)


def test_observers_get_the_events_of_calls() -> None:
    events: list[Any] = []
    with manual(2) as (scheduler, engine, queue), ThreadPoolExecutor(1) as pool:
        scheduler.observe(lambda event: events.append((event.kind, event.worker, event.outcome)))
        tasks = [queue.submit(abs, -n) for n in range(3)]
        engine.calls.pop(1)[0].set_exception(ValueError())
        engine.run()
        engine.calls.pop()[0].cancel()
        assert tasks[2].done()
        seen, events[:] = events[:], []
        assert Queue(scheduler, executor=pool).submit(count, 1).result(DEADLINE) == [0]
    first, second = "slot 1", "slot 2"
    submitted = ("submit", None, None)
    assert seen == [
        submitted, ("start", first, None), submitted, ("start", second, None), submitted,
        ("end", second, "failed"), ("start", second, None),
        ("end", first, "done"), ("end", second, "cancelled"),
    ]  # fmt: skip
    assert events == [submitted, ("start", first, None), ("item", first, None), ("end", first, "done")]


def test_slots_of_an_executor_get_the_first_names_that_are_free() -> None:
    started: list[Any] = []
    with manual(4) as (scheduler, engine, queue):
        scheduler.observe(lambda event: event.kind == "start" and started.append(event.worker))
        for submits, ends in ((3, [1]), (2, [2, 0]), (2, [])):
            for _ in range(submits):
                queue.submit(int)
            for number in ends:
                engine.run(number)
        assert started == [f"slot {number}" for number in (1, 2, 3, 2, 4, 1, 2)]
        engine.run_all()


def test_cost_of_a_call_does_not_grow_with_the_slots() -> None:
    """A worker gets and leaves its slot in as many lines of code if many other slots are busy."""
    lines = {10: 0, 1000: 0}

    def trace(frame: Any, event: str, arg: object) -> Any:
        lines[slots] += event == "line"
        return trace

    for slots in lines:
        with without_collector(), manual(slots) as (_, engine, queue):
            for _ in range(slots - 1):
                queue.submit(int)
            before = sys.gettrace()
            sys.settrace(trace)
            queue.submit(int)
            engine.run(slots - 1)
            sys.settrace(before)
            engine.run_all()
    assert 0 < lines[10] == lines[1000]


@pytest.mark.parametrize("slots", [3, 400])
def test_in_order_calls_reach_the_executor_in_order(slots: int) -> None:
    """A call that the start of another call makes ready is submitted after it, without recursion."""
    first = Future[int]()
    with manual(slots, in_order=True) as (scheduler, engine, queue):
        tasks = [queue.submit(abs, first)]
        tasks += [queue.submit(count if number % 2 else abs, number) for number in range(1, slots + 5)]
        first.set_result(0)
        submitted = [args[-1] for args in engine.arguments]
        counts = scheduler.counts()
        engine.run_all()
        assert submitted == list(range(slots))
        assert counts["running"] == slots
        results = [list(range(number)) if number % 2 else number for number in range(slots + 5)]
        assert [task.result(DEADLINE) for task in tasks] == results


def test_in_order_calls_that_an_end_makes_ready_reach_the_executor_in_order() -> None:
    with manual(2, in_order=True) as (_, engine, queue):
        first = queue.submit(abs, 0)
        tasks = [queue.submit(max, first, 1), queue.submit(abs, 2), queue.submit(abs, 3)]
        engine.run()
        submitted = engine.arguments
        engine.run_all()
        assert submitted == [(0, 1), (2,)]
        assert [task.result(DEADLINE) for task in tasks] == [1, 2, 3]


@pytest.mark.parametrize("error", [None, ValueError()])
def test_calls_are_submitted_before_callbacks_of_the_task_that_they_need(error: Exception | None) -> None:
    """No slot is free while a callback runs, and a call that a callback submits starts at once."""
    other = Manual()
    seen: list[int] = []
    more: list[Any] = []

    def call_back(task: Any) -> None:
        seen.append(len(other.calls))
        more.append(second.submit(abs, 1))
        seen.append(len(other.calls))

    with manual(1) as (scheduler, engine, first):
        second = Queue(scheduler, 2, executor=other)
        task = first.submit(abs, -1)
        dependent = second.submit(isinstance, settled(task), Future)
        task.add_done_callback(call_back)
        if error is None:
            engine.run()
        else:
            engine.calls.pop()[0].set_exception(error)
        other.run_all()
        assert seen == [1, 2]
        assert dependent.result(DEADLINE) and more[0].result(DEADLINE) == 1


def test_call_that_refuses_to_be_cancelled_keeps_its_slot() -> None:
    class Stubborn(Future[Any]):
        def cancel(self) -> bool:
            raise OSError("no answer")

    class Engine(Manual):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            super().submit(fn, *args, **kwargs)
            self.calls[-1] = (Stubborn(), *self.calls[-1][1:])
            return self.calls[-1][0]

    with manual(1, engine=Engine()) as (scheduler, engine, queue):
        tasks = [queue.submit(abs, -n) for n in range(2)]
        assert not tasks[0].cancel()
        assert len(engine.calls) == scheduler.counts()["running"] == 1
        engine.run_all()
        assert [task.result(DEADLINE) for task in tasks] == [0, 1]


@pytest.mark.parametrize("fn", [abs, count])
def test_executor_that_was_shut_down_gets_no_call(fn: Any) -> None:
    engine: Any = Manual()
    engine._shutdown = True
    with Queue(1, executor=engine) as queue:
        assert "after shutdown" in str(queue.submit(fn, 3).exception(DEADLINE))
    assert not engine.calls


def test_callback_of_a_generator_task_may_shut_its_queue_down() -> None:
    fed, closed = Fed(0), Future[Any]()
    with ThreadPoolExecutor(1) as pool:
        queue: Any = Queue(executor=pool)
        film = queue.submit(fed)
        film.add_done_callback(lambda _: closed.set_result(queue.shutdown()))
        fed.give(END)
        assert film.result(DEADLINE) == [0]
        closed.result(DEADLINE)


def test_callback_in_the_middle_of_another_is_ended_after_it() -> None:
    class Late(Manual):
        """An executor that ends the call before inside `submit`."""

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future = super().submit(fn, *args, **kwargs)
            future.add_done_callback(lambda _: self.calls and self.run())
            return future

    with manual(3, engine=Late()) as (_, engine, queue):
        tasks = [queue.submit(abs, -n) for n in range(3)]
        engine.run()
        assert [task.result(DEADLINE) for task in tasks] == [0, 1, 2]


def test_interrupted_submit_in_a_callback_leaves_the_queue_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def submit_interrupted(_: object) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(core_of(scheduler), "add_node", interrupt)
            with pytest.raises(KeyboardInterrupt):
                queue.submit(abs, -2)
        interrupted.append(True)

    interrupted: list[bool] = []
    with manual(1) as (scheduler, engine, queue):
        # The worker of the first task has no task while that task's callback runs.
        queue.submit(abs, -1).add_done_callback(submit_interrupted)
        engine.run()
        assert interrupted
        task = queue.submit(abs, -3)
        engine.wait_for(1)
        engine.run()
        assert task.result(DEADLINE) == 3


def test_end_of_an_executor_is_read_from_its_attributes() -> None:
    def gone(**state: Any) -> BaseException | None:
        return _executors.end_of(SimpleNamespace(**state))  # type: ignore[arg-type]

    error = BrokenExecutor("gone")
    assert gone() is None
    assert gone(_broken=False, _shutdown=False) is None
    assert gone(_broken=error) is error
    assert isinstance(gone(_broken="a worker is gone"), BrokenProcessPool)
    assert gone(_flags=SimpleNamespace(broken=error, shutdown=True)) is error  # loky's
    for state in (
        {"_shutdown": True},
        {"_shutdown_thread": True},
        {"_flags": SimpleNamespace(shutdown=True)},
    ):
        assert "after shutdown" in str(gone(**state))
    pool = ThreadPoolExecutor(1)
    pool._broken = "its initializer failed"  # type: ignore[attr-defined]
    assert isinstance(_executors.end_of(pool), BrokenThreadPool)


def test_call_that_becomes_ready_under_the_lock_of_a_pool_that_shuts_down() -> None:
    """A task of another queue on the pool becomes ready as a call is cancelled under that lock."""
    gate = Gate()
    pool = ThreadPoolExecutor(1)
    with Scheduler() as scheduler:
        first, second = (Queue(scheduler, executor=pool, prefetch=1) for _ in range(2))
        held = gate.hold(first)
        fetched = first.submit(abs, -1)
        after = second.submit(isinstance, settled(fetched), Future)
        beside(lambda: pool.shutdown(wait=False, cancel_futures=True)).result(DEADLINE)
        gate.open()
        assert held.result(DEADLINE) is None
        assert fetched.cancelled()
        with pytest.raises(RuntimeError, match="after shutdown"):
            after.result(DEADLINE)
    pool.shutdown()


# Errors of pickling.


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("nothing to say")


def test_only_errors_of_pickling_are_explained() -> None:
    lock = threading.Lock()
    engine = Engine(Inline())
    odd = SyntaxError("bad frame", ("plan", 1, 1, 5))  # can't be formatted
    for error in (ValueError("bad frame"), Mute(), CancelledError(), odd):
        assert engine.explain(error, divmod, (lock, 1), {}) is error
    pickling = PicklingError("Could not pickle the task")
    assert engine.explain(pickling, divmod, (7, 1), {}) is pickling  # nothing is found
    explained = engine.explain(pickling, divmod, (7, lock), {})
    assert "divmod can't be sent to Inline: its argument 2, of type 'lock'" in str(explained)
    assert explained.__cause__ is pickling


def test_error_of_a_call_that_was_made_is_not_taken_for_one_of_pickling() -> None:
    def load_pickle(_: object) -> None:
        raise ValueError("bad frame")

    with Queue(1, executor=Inline()) as queue:
        assert str(queue.submit(load_pickle, threading.Lock()).exception(DEADLINE)) == "bad frame"


class Interrupted(ThreadPoolExecutor):
    """A pool whose next `submit` is interrupted by a signal handler, while the pool's lock is held."""

    handler: Any = None

    def _adjust_thread_count(self) -> None:
        handler, self.handler = self.handler, None
        if handler is not None:
            handler()
        super()._adjust_thread_count()  # type: ignore[misc]


@pytest.mark.parametrize("users", [False, True], ids=["queue", "user"])
@pytest.mark.parametrize("act", ["resume", "submit", "cancel"])
def test_handler_that_interrupts_the_submit_of_a_pool(act: str, users: bool) -> None:
    """The pool's lock is held: a call that the handler causes is given to the pool after that."""
    gate = Gate()
    with Interrupted(2) as pool, planned() as (scheduler,), planned(order="oldest", stopped=True) as (other,):
        queue = Queue(scheduler, 2, executor=pool)
        far = Queue(other, 2, executor=pool, prefetch=1)
        tasks = [far.submit(gate, "gate"), far.submit(gate), far.submit(gate), far.submit(abs, -1)]
        if act != "resume":
            other.resume()
            gate.wait_entered(2)  # the third call waits in the pool, and the fourth task in the queue
        acts: dict[str, Any] = {
            "resume": other.resume,
            "submit": lambda: tasks.append(queue.submit(abs, -2)),
            "cancel": tasks[2].cancel,
        }
        pool.handler = acts[act]
        submit: Any = pool.submit if users else queue.submit
        try:
            last = beside(submit, abs, -3).result(DEADLINE)
        finally:
            gate.open()
        assert last.result(DEADLINE) == 3
        for task in tasks[:2] + tasks[3:]:
            assert task.result(DEADLINE) in ("gate", None, 1, 2)
        until(tasks[2].done)
        assert tasks[2].cancelled() == (act == "cancel")


def test_handler_that_ends_calls_while_it_has_interrupted_the_scheduler() -> None:
    """For example by the executor's `shutdown`: their tasks end after that."""
    with manual(2) as (scheduler, engine, queue):
        tasks = [queue.submit(abs, -1), queue.submit(abs, -2)]
        with core_of(scheduler).exclusive():
            engine.run()
            engine.calls.pop()[0].cancel()
            assert not any(task.done() for task in tasks)
        assert tasks[0].result() == 1
        assert tasks[1].cancelled()
        last = queue.submit(abs, -3)
        engine.run()
        assert last.result() == 3
