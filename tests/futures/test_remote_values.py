"""Queues on an engine that keeps values, and says how many calls it wants: one whose calls the test ends."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any
from weakref import ref

import pytest
from gate import DEADLINE
from internals import check_order
from threads import beside, until

from smqexec import Queue, Scheduler
from smqexec._engines.executors import Call, Engine
from smqexec._futures.remote_value import Remote


class Held(Remote):
    """A call at the engine, whose end the test tells."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self.call = call
        self.withdrawn = 0

    def running(self) -> bool:
        return not self.done()

    def cancel(self) -> bool:
        self.withdrawn += 1
        return False

    def end_cancelled(self) -> None:
        super().cancel()
        self.set_running_or_notify_cancel()

    def let_go(self) -> None:
        """Keep neither the call nor its callbacks, as futures of engines must not."""
        del self.call
        self._done_callbacks.clear()

    def part(self, key: Any) -> Remote:
        part = Held(self.call)
        part.set_result(self.result()[key])
        return part


class Keeper(Engine):
    """An engine that keeps values, and waits for the test to say how calls end."""

    remote_values = True
    max_workers = 1

    def __init__(self, prefetch: int = 0) -> None:
        super().__init__(Executor())
        self.prefetch = prefetch
        self.calls: dict[str, Held] = {}  # by name, in the order in which they came

    def takes(self, future: Remote) -> bool:
        return isinstance(future, Held)

    def call(self, call: Call) -> Held:
        future = self.calls[call.name] = Held(call)
        return future

    @property
    def names(self) -> list[str]:
        return list(self.calls)


@contextmanager
def kept(slots: int, prefetch: int, **options: Any) -> Iterator[tuple[Keeper, Any, Scheduler]]:
    """An engine, a queue on it, and their scheduler.  What is there at the end is ended."""
    engine, scheduler = Keeper(prefetch), Scheduler(**options)
    queue = Queue(scheduler, slots, executor=engine)
    try:
        yield engine, queue, scheduler
        check_order(scheduler)
    finally:
        scheduler.shutdown(wait=False, cancel_futures=True)
        for future in engine.calls.values():
            if not future.done():
                future.set_result(None)
        scheduler.resume()
        assert scheduler.wait(DEADLINE)
        scheduler.shutdown()


def submit(queue: Any, name: str, *args: Any) -> Any:
    return queue.options(name=name).submit(print, *args)


def chain(queue: Any, length: int, name: str = "c") -> list[Any]:
    tasks: list[Any] = []
    for number in range(length):
        tasks.append(submit(queue, f"{name}{number}", *tasks[-1:]))
    return tasks


def test_a_call_goes_when_what_it_needs_is_done() -> None:
    """However many calls more may be there: they are of tasks that are ready."""
    with kept(1, 2) as (engine, queue, _):
        _, _, last = chain(queue, 3)
        for number in range(3):
            assert engine.names == [f"c{n}" for n in range(number + 1)]
            engine.calls[f"c{number}"].set_result(number)
        assert engine.calls["c2"].call.args == (engine.calls["c1"],)
        assert last.result(DEADLINE) == 2


def test_what_another_queue_does_is_waited_for() -> None:
    with kept(1, 5) as (engine, queue, scheduler):
        other = Queue(scheduler, 1)
        there = submit(queue, "a")
        here = other.submit(str, there)
        submit(queue, "b", there, here)
        assert engine.names == ["a"]
        assert not here.running()
        engine.calls["a"].set_result(3)
        assert here.result(DEADLINE) == "3"
        assert scheduler.wait(0) is False
        until(lambda: "b" in engine.names)
        assert engine.calls["b"].call.args == (engine.calls["a"], "3")
        other.shutdown(wait=False)


def test_an_item_gives_its_value_to_another_queue() -> None:
    """As the only argument, among other items and tasks, and beside values; pending, and done."""
    with kept(1, 0) as (engine, queue, scheduler), Queue(scheduler, 1) as other:
        task, zero = submit(queue, "a"), other.submit(int)

        def forms() -> list[Any]:
            calls = [(str, task[0]), (max, task[0], task[1], zero), (max, task[0], 4)]
            return [other.submit(*call) for call in calls]

        pending = forms()
        engine.calls["a"].set_result([2, 3])
        assert [each.result(DEADLINE) for each in (*pending, *forms())] == ["2", 3, 4] * 2


def test_failure_and_cancellation_reach_what_depends_on_them() -> None:
    with kept(1, 1) as (engine, queue, _):
        a, b, c = chain(queue, 3)
        error = ValueError("x")
        engine.calls["c0"].set_exception(error)
        assert b.exception(DEADLINE) is c.exception(DEADLINE) is error
        assert a.origin is b.origin is c.origin is a
        first, second = chain(queue, 2, "d")
        first.cancel()
        assert engine.calls["d0"].withdrawn
        engine.calls["d0"].end_cancelled()
        assert first.cancelled() and second.cancelled()
        assert engine.names == ["c0", "d0"]


def test_the_engine_says_how_much_it_wants() -> None:
    with kept(1, 0) as (engine, queue, _):
        for number in range(8):
            submit(queue, f"{number}")
        assert engine.names == ["0"]
        engine.prefetch = 2
        engine.calls["0"].set_result(None)
        assert engine.names == ["0", "7", "6", "5"]
        engine.prefetch = 0
        for name in ("7", "6"):
            engine.calls[name].set_result(None)
        assert engine.names == ["0", "7", "6", "5"]
        engine.calls["5"].set_result(None)
        assert engine.names == ["0", "7", "6", "5", "4"]


def test_a_generator_task_is_waited_for() -> None:
    with kept(2, 2) as (engine, queue, _):
        task = queue.submit(count_to, 3)
        generating = engine.calls["count_to"]
        beside(lambda: generating.set_result(generating.call.fn(*generating.call.args)))
        total = submit(queue, "total", task)
        assert task.result(DEADLINE) == [0, 1, 2]
        until(lambda: "total" in engine.names)
        assert engine.calls["total"].call.args == ([0, 1, 2],)
        engine.calls["total"].set_result(3)
        assert total.result(DEADLINE) == 3


def count_to(count: int) -> Iterator[int]:
    yield from range(count)


@pytest.mark.parametrize("prefetch", [0, 1, 5])
def test_values_are_let_go_with_their_tasks(prefetch: int) -> None:
    with kept(1, prefetch) as (engine, queue, _):
        tasks = chain(queue, 4)
        for number in range(4):
            engine.calls[f"c{number}"].set_result(None)
            engine.calls[f"c{number}"].let_go()
        assert tasks[-1].exception(DEADLINE) is None
        futures = [ref(future) for future in engine.calls.values()]
        engine.calls.clear()
        del tasks[:-1]
        left = [future() for future in futures if future() is not None]
        assert len(left) == 1
        del left


def test_future_of_the_engine_goes_there_as_it_is() -> None:
    with kept(1, 0) as (engine, queue, _):
        future = Held(Call(int, (), {}, "int", {}))
        future.set_result(3)
        submit(queue, "a", future)
        assert engine.calls["a"].call.args == (future,)


def test_exception_of_a_part_that_is_kept_elsewhere() -> None:
    with kept(1, 0) as (engine, queue, _):
        task = submit(queue, "a")
        part = task["key"]
        call = engine.calls["a"]
        elsewhere, error = Held(call.call), KeyError("key")
        call.part = lambda key: elsewhere  # type: ignore[method-assign]
        call.set_result({})
        elsewhere.set_exception(error)
        assert part.exception(DEADLINE) is error
        with pytest.raises(KeyError):
            part.result(DEADLINE)


def test_callback_of_asyncio_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Another thread calls it, after it has fetched the value."""

    def callback(future: Any) -> None:
        assert future.result(0) == 3
        raise ZeroDivisionError

    callback.__module__ = "asyncio.futures"
    with kept(1, 0) as (engine, queue, _):
        submit(queue, "a").add_done_callback(callback)
        call = engine.calls["a"]
        assert call._get_snapshot() == (False, False, None, None)
        call.set_result(3)
        until(lambda: caplog.records)
    assert caplog.messages[0].startswith("exception calling callback for <Task")
    assert caplog.records[0].exc_info[0] is ZeroDivisionError  # type: ignore[index]


@pytest.mark.parametrize("error", [ZeroDivisionError(), None])
def test_observers_get_no_event_of_an_item_that_ends_without_a_value(error: Exception | None) -> None:
    ends: list[str] = []
    called: list[Any] = []
    with kept(1, 0) as (engine, queue, scheduler):
        with scheduler.observe(lambda event: ends.append(event.name) if event.kind == "end" else None):
            task = submit(queue, "b", submit(queue, "a"))
            submit(queue, "c", task[0]).add_done_callback(called.append)
            if error is None:
                task.cancel()
            else:
                engine.calls["a"].set_exception(error)
            until(lambda: called)
        assert ends[-2:] == ["b", "c"]
