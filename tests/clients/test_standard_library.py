"""The standard library as a client: asyncio, `wait` and `as_completed`, and usual ways to use executors."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from gate import DEADLINE, Gate

from smqexec import Queue, Scheduler


@pytest.fixture(params=["lone", "shared"])
def queue(request: pytest.FixtureRequest) -> Iterator[Queue]:
    scheduler = Scheduler() if request.param == "shared" else None
    with Queue(2, "client", scheduler=scheduler) as queue:
        yield queue


@pytest.fixture
def gate(queue: Queue) -> Iterator[Gate]:
    """A gate that opens before the queue is shut down."""
    gate = Gate()
    yield gate
    gate.open()


def run(main: Callable[[], Any]) -> Any:
    return asyncio.run(asyncio.wait_for(main(), DEADLINE))


def thread_name(*_: Any) -> str:
    return threading.current_thread().name


def test_run_in_executor(queue: Queue) -> None:
    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(
            loop.run_in_executor(queue, thread_name),
            loop.run_in_executor(queue, pow, 2, 3),
            loop.run_in_executor(queue, int, "x"),
            return_exceptions=True,
        )

    name, power, error = run(main)
    assert name.startswith("client_")
    assert power == 8
    assert isinstance(error, ValueError)


def test_run_in_executor_waits_for_a_task_among_the_arguments(queue: Queue, gate: Gate) -> None:
    first = gate.hold(queue, 21)

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        call = loop.run_in_executor(queue, lambda x: x * 2, first)
        assert not call.done()
        gate.open()
        return await call

    assert run(main) == 42


def test_wrap_future_and_its_cancellation(queue: Queue, gate: Gate) -> None:
    held = [queue.submit(gate), queue.submit(gate)]
    gate.wait_entered(2)
    pending = queue.submit(int)
    dependent = queue.submit(abs, pending)

    async def main() -> None:
        wrapped = asyncio.wrap_future(pending)
        assert wrapped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wrapped
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wrap_future(dependent)
        gate.open()
        await asyncio.gather(*map(asyncio.wrap_future, held))

    run(main)
    assert pending.cancelled()
    assert dependent.cancelled()


class CountingQueue(Queue):
    """A subclass in the way that ThreadPoolExecutor's are written."""

    def __init__(self, max_workers: int | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(max_workers, *args, **kwargs)
        self.ended: list[Future[Any]] = []
        self.closed = False

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        task = super().submit(fn, *args, **kwargs)
        task.add_done_callback(self.ended.append)
        return task

    def shutdown(self, *args: Any, **kwargs: Any) -> None:
        super().shutdown(*args, **kwargs)
        self.closed |= kwargs["wait"]  # the end of a with block gives it, and asyncio too


def test_subclass_that_overrides_submit_and_shutdown() -> None:
    with CountingQueue(2, thread_name_prefix="counting") as queue:
        assert list(queue.map(str, range(3), timeout=DEADLINE)) == ["0", "1", "2"]
        assert queue.submit(thread_name).result(DEADLINE).startswith("counting_")
    assert (len(queue.ended), queue.closed) == (4, True)


def test_set_default_executor() -> None:
    """A subclass, which asyncio.run shuts down at its end; and `to_thread` keeps the context."""
    queue = CountingQueue(1, "default")
    variable = contextvars.ContextVar("variable", default="outer")

    async def main() -> tuple[Any, ...]:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(queue)
        variable.set("inner")
        call = loop.run_in_executor(None, thread_name)
        return await call, await asyncio.to_thread(thread_name), await asyncio.to_thread(variable.get)

    assert run(main) == ("default_0", "default_0", "inner")
    assert (len(queue.ended), queue.closed) == (3, True)


def test_callback_that_resubmits(queue: Queue) -> None:
    """A retry, as libraries write it: the callback of a failed try submits the next one."""
    outcome: Future[int] = Future()
    tries: list[int] = []

    def attempt() -> int:
        tries.append(1)
        if len(tries) < 5:
            raise OSError
        return len(tries)

    def ended(task: Future[int]) -> None:
        if task.exception() is None:
            outcome.set_result(task.result())
        else:
            queue.submit(attempt).add_done_callback(ended)

    queue.submit(attempt).add_done_callback(ended)
    assert outcome.result(DEADLINE) == 5
