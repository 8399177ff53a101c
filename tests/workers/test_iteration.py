"""Iteration over the values of a generator task, also by ``async for``, as they come."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from functools import wraps
from typing import Any

import pytest
from gate import DEADLINE, Gate
from generating import END, Fed, awaits, count, feeding
from internals import callbacks_of, stream_of
from outcomes import Broken, outcome
from threads import beside, planned, until, until_gone, without_collector

from smqexec import Task


async def gathered(task: Any) -> list[Any]:
    return [value async for value in task]


def test_async_iteration_of_what_turns_out_to_be_an_ordinary_result() -> None:
    with planned(1) as (_, queue):
        gate = Gate()
        task = queue.submit(wraps(count)(lambda: gate.enter([1])))
        gate.wait_entered()
        iterating = beside(asyncio.run, gathered(task))
        until(lambda: awaits(task, 0))
        gate.open()
        with pytest.raises(TypeError, match="only a generator task"):
            iterating.result(DEADLINE)


def test_values_are_iterated_as_they_come() -> None:
    with feeding() as (_, _, fed, task):
        values = iter(task)
        for value in range(3):
            asked = beside(next, values)
            until(lambda value=value: awaits(task, value))
            fed.give(value)
            assert asked.result(DEADLINE) == value
        fed.give(3, 4)
        assert [next(values), next(values)] == [3, 4]
        rest = beside(list, values)
        fed.give(END)
        assert rest.result(DEADLINE) == []
        assert list(task) == [0, 1, 2, 3, 4]


def test_iteration_goes_on_where_somebody_cancels_the_item() -> None:
    with feeding("a") as (_, _, fed, task):
        found = beside(list, iter(task))
        for _ in range(3):
            until(lambda: awaits(task, 1))
            assert task[1].cancel()
        fed.give("b", "c", END)
        assert found.result(DEADLINE) == ["a", "b", "c"]


def test_async_iteration() -> None:
    with feeding("a", "b") as (_, _, fed, task):
        beats = 0

        async def main() -> list[Any]:
            nonlocal beats
            values = aiter(task)
            found = [await anext(values), await anext(values)]
            coming = asyncio.ensure_future(anext(values))
            while not awaits(task, 2):
                beats += 1  # the loop goes on
                await asyncio.sleep(0)
            fed.give("c")
            found.append(await coming)
            fed.give("d", END)
            return found + [value async for value in values]

        assert asyncio.run(asyncio.wait_for(main(), DEADLINE)) == ["a", "b", "c", "d"]
        assert beats > 0
        assert asyncio.run(gathered(task)) == ["a", "b", "c", "d"]


def test_async_iteration_of_what_fails() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(Fed("a", Broken()))
        gone = queue.submit(count, 1)
        gone.cancel()
        scheduler.resume()

        async def main() -> None:
            values = aiter(task)
            assert await anext(values) == "a"
            with pytest.raises(Broken):
                await anext(values)
            with pytest.raises(asyncio.CancelledError):
                await gathered(gone)

        asyncio.run(main())


def test_cancelled_async_iteration_cancels_no_item() -> None:
    with feeding() as (_, _, fed, task):

        async def main() -> list[Any]:
            one, two = (asyncio.ensure_future(gathered(task)) for _ in range(2))
            while not awaits(task, 0) or len(callbacks_of(stream_of(task).items[0])) < 2:
                await asyncio.sleep(0)
            one.cancel()
            with pytest.raises(asyncio.CancelledError):
                await one
            # The other one is also not disturbed by an item that is cancelled.
            task[0].cancel()
            fed.give("a", END)
            return await two

        assert asyncio.run(asyncio.wait_for(main(), DEADLINE)) == ["a"]


def test_loop_that_is_closed_before_the_value_comes(caplog: pytest.LogCaptureFixture) -> None:
    with feeding() as (_, _, fed, task):

        async def main() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(gathered(task), 0.01)

        asyncio.run(main())
        assert awaits(task, 0)
        fed.give("a", END)
        assert task.result(DEADLINE) == ["a"]
        assert caplog.records == []


def test_task_is_iterated_while_it_is_being_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The task has ended, and has not released its function yet."""
    release = Task._release
    found: list[Any] = []
    with planned(1, stopped=True) as (_, queue):
        task = queue.submit(count, 1)
        monkeypatch.setattr(Task, "_release", lambda self: (found.append(iter(self)), release(self))[1])
        task.cancel()
        assert len(found) == 1
        for values in (*found, iter(task)):
            with pytest.raises(CancelledError):
                next(values)


def test_iterating_a_failed_task_or_asking_its_length_keeps_no_reference() -> None:
    def fails(count: int) -> Iterator[int]:
        yield from range(count)
        raise Broken

    async def iterate(box: list[Any]) -> None:
        async for _ in box.pop():
            pass

    hows: list[Callable[[Any], object]] = [
        lambda box: list(iter(box.pop())),
        lambda box: len(box.pop()),
        lambda box: asyncio.run(iterate(box)),
    ]
    with without_collector(), planned(1) as (_, queue):
        for how in hows:
            box = [queue.submit(fails, 1)]
            assert outcome(box[0])
            queue.submit(int).result(DEADLINE)
            gone = weakref.ref(box[0])
            raised = False
            try:
                how(box)
            except Broken:
                raised = True
            assert raised
            until_gone(gone)
