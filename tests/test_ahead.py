"""Tasks that go ahead of what they need, at an engine that keeps values: one whose calls the test ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from gate import DEADLINE

from smqexec import Queue, Scheduler
from smqexec._executors import Call, Engine
from smqexec._kept import Remote


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
        """Keep neither the call nor who was told of its end, as futures of engines must not."""
        del self.call
        self._done_callbacks.clear()

    def part(self, key: Any) -> Remote:
        raise NotImplementedError


class Keeper(Engine):
    """An engine that keeps values, and waits for the test to say how calls end."""

    keeps = True
    max_workers = 1

    def __init__(self, prefetch: int = 0) -> None:
        self.prefetch = prefetch
        self.calls: dict[str, Held] = {}  # by name, in the order in which they came

    def takes(self, future: Remote) -> bool:
        return isinstance(future, Held)

    def call(self, call: Call) -> Held:
        future = self.calls[call.name] = Held(call)
        return future

    def stream(self, call: Call) -> Iterator[Any]:
        return call.fn(*call.args)  # type: ignore[no-any-return]

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
        check(scheduler)
    finally:
        scheduler.shutdown(wait=False, cancel_futures=True)
        for future in engine.calls.values():
            if not future.done():
                future.set_result(None)
        scheduler.resume()
        assert scheduler.wait(DEADLINE)
        scheduler.shutdown()


def check(scheduler: Scheduler) -> None:
    with scheduler.lock:
        scheduler.planner.check(scheduler._slots)


def submit(queue: Any, name: str, *args: Any) -> Any:
    return queue.options(name=name).submit(print, *args)


def chain(queue: Any, length: int, name: str = "c") -> list[Any]:
    tasks: list[Any] = []
    for number in range(length):
        tasks.append(submit(queue, f"{name}{number}", *tasks[-1:]))
    return tasks


@pytest.mark.parametrize("options", [{}, {"name": "named"}])
def test_who_asked_before_the_call_was_given_away_gets_the_value(options: dict[str, Any]) -> None:
    with kept(1, 0, stopped=True) as (engine, queue, scheduler):
        result = (queue.options(**options) if options else queue).submit(print).result
        scheduler.resume()
        [future] = engine.calls.values()
        future.set_result("value")
        assert result(DEADLINE) == "value"


def test_a_chain_goes_ahead_as_far_as_it_may() -> None:
    with kept(1, 2) as (engine, queue, scheduler):
        chain(queue, 5)
        assert engine.names == ["c0", "c1", "c2"]
        assert engine.calls["c1"].call.args == (engine.calls["c0"],)
        check(scheduler)
        engine.calls["c0"].set_result(None)
        assert engine.names == ["c0", "c1", "c2", "c3"]
        assert engine.calls["c3"].call.args == (engine.calls["c2"],)


def test_nothing_goes_ahead_without_prefetching() -> None:
    with kept(3, 0) as (engine, queue, _):
        chain(queue, 2)
        assert engine.names == ["c0"]
        engine.calls["c0"].set_result(None)
        assert engine.names == ["c0", "c1"]


def test_what_goes_ahead_takes_no_slot_from_what_is_ready() -> None:
    with kept(2, 2) as (engine, queue, _):
        chain(queue, 6)
        assert engine.names == ["c0", "c1", "c2"]
        submit(queue, "ready")
        assert engine.names == ["c0", "c1", "c2", "ready"]


def test_what_was_submitted_before_goes_ahead_too() -> None:
    with kept(1, 3, stopped=True) as (engine, queue, scheduler):
        first = submit(queue, "a")
        submit(queue, "b", first)
        submit(queue, "c", [first])
        scheduler.resume()
        assert engine.names[0] == "a"
        assert sorted(engine.names) == ["a", "b", "c"]
        assert engine.calls["c"].call.args == ([engine.calls["a"]],)


def test_what_needs_two_goes_ahead_of_both() -> None:
    with kept(2, 1) as (engine, queue, _):
        a, b = submit(queue, "a"), submit(queue, "b")
        both = submit(queue, "both", a, b)
        assert engine.names == ["a", "b", "both"]
        engine.calls["b"].set_result(None)
        last = submit(queue, "last", both)
        assert engine.names == ["a", "b", "both"]  # there is still only room for one that is ahead
        engine.calls["a"].set_result(None)
        assert engine.names == ["a", "b", "both", "last"]
        for name in ("both", "last"):
            engine.calls[name].set_result(name)
        assert last.result(DEADLINE) == "last"


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
        while engine.names == ["a"]:
            pass
        assert engine.calls["b"].call.args == (engine.calls["a"], "3")
        other.shutdown(wait=False)


def test_a_failure_reaches_what_went_ahead() -> None:
    with kept(1, 1) as (engine, queue, _):
        a, b, c = chain(queue, 3)
        assert engine.names == ["c0", "c1"]
        error, copied = ValueError("x"), ValueError("x")
        engine.calls["c0"].set_exception(error)
        assert not b.done()
        engine.calls["c1"].set_exception(copied)
        assert b.exception(DEADLINE) is c.exception(DEADLINE) is error
        assert a.origin is b.origin is c.origin is a
        assert engine.names == ["c0", "c1"]


def test_a_failure_drops_what_was_about_to_go() -> None:
    with kept(1, 1) as (engine, queue, _):
        first = submit(queue, "a")
        queue._slots.limit = 1  # as if others were there
        second = submit(queue, "b", first)
        assert second in queue._slots.ahead and not second.running()
        error = ValueError("x")
        engine.calls["a"].set_exception(error)
        assert second.exception(DEADLINE) is error
        assert engine.names == ["a"]
        assert not queue._slots.ahead


def test_a_cancellation_reaches_what_went_ahead() -> None:
    with kept(1, 1) as (engine, queue, _):
        a, b, c = chain(queue, 3)
        a.cancel()
        assert engine.calls["c0"].withdrawn
        engine.calls["c0"].end_cancelled()
        assert a.cancelled() and not b.done()
        assert engine.calls["c1"].withdrawn
        engine.calls["c1"].end_cancelled()
        assert b.cancelled() and c.cancelled()
        assert engine.names == ["c0", "c1"]


def test_what_went_ahead_and_returned_has_its_value() -> None:
    """The engine may be through with it before it hears that it is not wanted."""
    with kept(1, 1) as (engine, queue, _):
        a, b = chain(queue, 2)
        a.cancel()
        engine.calls["c0"].end_cancelled()
        engine.calls["c1"].set_result(5)
        assert a.cancelled()
        assert b.result(DEADLINE) == 5
        assert not queue._slots.fates


def test_what_somebody_ahead_needs_is_not_cancelled_with_another() -> None:
    with kept(1, 1) as (engine, queue, _):
        a = submit(queue, "a")
        submit(queue, "b", a)
        other = submit(queue, "c", a)
        assert engine.names == ["a", "b"]
        assert other.cancel(dependencies=True)
        assert not engine.calls["a"].withdrawn


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


def test_a_long_chain_goes_ahead() -> None:
    """Each lets the next go, and none is given away beneath another."""
    length = 300
    with kept(1, length, stopped=True) as (engine, queue, scheduler):
        tasks = [queue.options(name="0").submit(int)]
        for number in range(1, length):
            tasks.append(queue.options(name=str(number)).submit(abs, tasks[-1]))
        scheduler.resume()
        assert engine.names == [str(number) for number in range(length)]
        for future in engine.calls.values():
            future.set_result(7)
        assert [task.result(DEADLINE) for task in tasks] == [7] * length


def test_engine_that_does_not_say_what_it_prefetches(caplog: pytest.LogCaptureFixture) -> None:
    """The call is there by then: its task ends as that does, once."""

    class Silent(Keeper):
        def __getattribute__(self, name: str) -> Any:
            if name == "prefetch" and self.calls:
                raise OSError("no answer")
            return super().__getattribute__(name)

    engine = Silent()
    with Scheduler() as scheduler:
        queue = Queue(scheduler, 1, executor=engine)
        first, second = (queue.options(name=name).submit(int) for name in "ab")
        assert engine.names == ["a"]
        engine.calls["a"].set_result(1)
        engine.calls["b"].set_result(2)
        assert (first.result(DEADLINE), second.result(DEADLINE)) == (1, 2)
        assert scheduler.counts()["done"] == 2
    assert "Silent does not say what it prefetches" in caplog.text


def test_the_user_says_how_much_is_prefetched() -> None:
    engine = Keeper(5)
    with Scheduler(stopped=True) as scheduler:
        queue = Queue(scheduler, 1, executor=engine, prefetch=1)
        tasks = [submit(queue, f"{number}") for number in range(4)]
        scheduler.resume()
        assert engine.names == ["3", "2"]
        while not all(task.done() for task in tasks):
            for future in list(engine.calls.values()):
                if not future.done():
                    future.set_result(None)


def test_observers_are_told_of_what_went_ahead() -> None:
    told: list[tuple[str, str]] = []
    with kept(1, 1) as (engine, queue, scheduler):
        scheduler.observe(lambda event: told.append((event.kind, str(event.outcome))))
        a, b = chain(queue, 2)
        for name in ("c0", "c1"):
            engine.calls[name].set_result(None)
        assert a.done() and b.done()
    kinds = [kind for kind, _ in told]
    assert kinds == ["submit", "start", "submit", "start", "end", "end"]


def test_nothing_goes_ahead_while_stopped() -> None:
    with kept(1, 3) as (engine, queue, scheduler):
        first = submit(queue, "a")
        scheduler.stop()
        submit(queue, "b", first)
        assert engine.names == ["a"]
        scheduler.resume()
        assert engine.names == ["a", "b"]


def test_a_generator_task_is_waited_for() -> None:
    with kept(2, 2) as (engine, queue, _):
        task = queue.submit(count_to, 3)
        total = submit(queue, "total", task)
        assert task.result(DEADLINE) == [0, 1, 2]
        while "total" not in engine.names:
            pass
        assert engine.calls["total"].call.args == ([0, 1, 2],)
        engine.calls["total"].set_result(3)
        assert total.result(DEADLINE) == 3


def count_to(count: int) -> Iterator[int]:
    yield from range(count)


@pytest.mark.parametrize("prefetch", [0, 1, 5])
def test_values_are_let_go_with_their_tasks(prefetch: int) -> None:
    from weakref import ref

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
