"""Generator tasks and items on real threads: values while the task still runs."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, as_completed, wait
from contextlib import contextmanager
from functools import partial, wraps
from queue import SimpleQueue
from typing import Any
from unittest.mock import Mock

import pytest
from gate import DEADLINE, Gate
from internals import (
    blocked_on,
    callbacks_of,
    core_of,
    paused_in,
    pool_of,
    record_of,
    stream_of,
    waiters_of,
    watchers_of,
)
from outcomes import Broken, Kept, fail, outcome
from programs import forks, run
from threads import beside, planned, until, until_gone, without_collector

from smqexec import Item, Queue, Raw, Task, number_of_results, settled
from smqexec._futures.future import PlannedFuture
from smqexec._futures.items import LENGTH

END = object()


class Fed:
    """A generator function that yields what the test gives, raises what it is given to raise, ends on END."""

    def __init__(self, *given: Any) -> None:
        self._line: SimpleQueue[Any] = SimpleQueue()
        self.began = self.closed = 0
        self.give(*given)

    def give(self, *given: Any) -> None:
        for each in given:
            self._line.put(each)

    def __call__(self, *_: Any) -> Iterator[Any]:
        self.began += 1
        try:
            while (given := self._line.get(timeout=DEADLINE)) is not END:
                if isinstance(given, BaseException):
                    raise given
                if isinstance(given, Gate):
                    given.enter()
                else:
                    yield given
        finally:
            self.closed += 1


def count(n: int) -> Iterator[int]:
    yield from range(n)


def leave() -> None:
    raise CancelledError("not asked")


def announced(count: Any, given: Any = ()) -> Any:
    """A `Fed` with a number of results: *count* itself, or what it gives when called."""
    fed: Any = Fed(*given)
    fed.number_of_results = count if callable(count) else lambda *_: count
    return fed


def same(x: Any = None) -> Any:
    return x


def state(*futures: Future[Any]) -> list[object]:
    """What became of *futures* so far."""
    return [outcome(future) if future.done() else None for future in futures]


def awaits(task: Any, key: Any) -> bool:
    """Return True if a thread waits for value *key* of *task*, or for its `LENGTH`."""
    stream = stream_of(task)
    item = None if stream is None else stream.items.get(key)
    at_end = None if item is None else record_of(item)
    return at_end is not None and bool(at_end.locks or at_end.callbacks)


def before(owner: Any, name: str, act: Callable[[], object]) -> None:
    """From now on each call of method *name* of *owner* calls *act* first: the race at its worst."""
    method = getattr(owner, name)
    setattr(owner, name, lambda *args: (act(), method(*args))[1])


# Values while the task runs.


def test_dependents_start_with_their_item() -> None:
    with planned(2) as (_, queue):
        fed = Fed()
        task = queue.submit(fed)
        dependents = [queue.submit(same, task[i]) for i in range(3)]
        both = queue.submit(sum, [task[0], task[2]])
        fed.give(10)
        assert dependents[0].result(DEADLINE) == 10
        assert state(*dependents[1:], both, task) == [None] * 4
        fed.give(11, 12)
        assert dependents[2].result(DEADLINE) == 12
        assert both.result(DEADLINE) == 22
        assert not task.done()
        fed.give(END)
        assert task.result(DEADLINE) == [10, 11, 12]


def test_result_is_the_list_of_all_values() -> None:
    with planned(1) as (_, queue):
        assert queue.submit(count, 3).result(DEADLINE) == [0, 1, 2]
        assert queue.submit(count, 0).result(DEADLINE) == []
        assert list(queue.map(count, range(3))) == [[], [0], [0, 1]]


def test_changing_the_result_changes_no_item() -> None:
    """Neither by the caller nor by a dependent that gets the list as its argument."""
    with planned(1, stopped=True) as (scheduler, queue):
        given = [2, 0, 1]
        called, dependent = queue.submit(Fed(*given, END)), queue.submit(Fed(*given, END))
        changed = queue.submit(list.clear, dependent)
        before = [task[i] for task in (called, dependent) for i in range(3)]
        scheduler.resume()
        called.result(DEADLINE).reverse()
        changed.result(DEADLINE)
        assert [item.result(DEADLINE) for item in before] == given * 2
        for task in (called, dependent):
            assert [item.result(DEADLINE) for item in task[:]] == list(task) == given
            assert (len(task), task[-1].result(DEADLINE)) == (3, 1)
            assert isinstance(task[3].exception(DEADLINE), IndexError)
            assert task.result() is task.result() != given


def test_whole_list_or_some_items_as_arguments() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(count, 7)
        full = queue.submit(same, task)
        two = queue.submit(same, [task[0], task[5]])
        some = queue.submit(same, task[2:5])
        by_name = queue.submit(same, x={"a": task[6]})
        scheduler.resume()
        assert full.result(DEADLINE) == list(range(7))
        assert full.result() is task.result()
        assert two.result(DEADLINE) == [0, 5]
        assert some.result(DEADLINE) == [2, 3, 4]
        assert by_name.result(DEADLINE) == {"a": 6}


def test_item_that_is_wanted_or_promoted_makes_its_generator_the_next_task() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        ran: list[str] = []

        def steps(name: str) -> Iterator[int]:
            ran.append(name)
            yield 1

        tasks = [queue.submit(steps, name) for name in "abcd"]
        queue.submit(lambda _: ran.append("of b"), tasks[1][0])
        item = tasks[2][0]
        assert item.promote()
        scheduler.resume()
        assert scheduler.wait(DEADLINE)
        assert ran == ["c", "b", "of b", "d", "a"]
        assert not item.promote()
        assert not tasks[1][0].promote()


class Countdown:
    """An iterator of its own kind, without ``close``."""

    number_of_results = staticmethod(lambda n: n)

    def __init__(self, n: int) -> None:
        self.left = n

    def __iter__(self) -> Countdown:
        return self

    def __next__(self) -> int:
        if not self.left:
            raise StopIteration("liftoff")
        self.left -= 1
        return self.left


class Closing(Countdown):
    closed = 0

    def close(self) -> None:
        Closing.closed += 1


class Method:
    def __call__(self, n: int) -> Iterator[int]:
        yield from range(n)


@pytest.mark.parametrize("fn", [count, partial(count), Method()])
def test_what_is_a_generator_task(fn: Any) -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(fn, 2)
        items = task[0], task[1], task[2]
        scheduler.resume()
        assert list(task) == task.result(DEADLINE) == [0, 1]
        assert [item.exception(DEADLINE) is None for item in items] == [True, True, False]


@pytest.mark.parametrize("kind", [Countdown, Closing])
def test_iterator_class_with_a_number(kind: Any) -> None:
    """An iterator that has a ``close`` is closed if it is not exhausted."""
    Closing.closed = 0
    with planned(1) as (_, queue):
        task = queue.submit(kind, 3)
        assert (len(task), task[-1].result(DEADLINE), task.result(DEADLINE)) == (3, 0, [2, 1, 0])
        short = queue.submit(number_of_results(lambda: 1)(partial(kind, 3)))
        assert isinstance(short.exception(DEADLINE), ValueError)
        assert Closing.closed == (kind is Closing)


def test_raw_function_gives_the_generator_itself() -> None:
    with planned(1) as (_, queue):
        task = queue.submit(Raw(count), 2)
        assert list(task.result(DEADLINE)) == [0, 1]
        with pytest.raises(TypeError, match="only a generator task can be iterated"):
            iter(task)
        for generator in queue.map(Raw(count), [1, 2]):
            assert next(generator) == 0
        with pytest.raises(TypeError, match="the first argument of submit must be callable"):
            queue.submit(Raw(1))


def test_generator_of_another_function_is_an_ordinary_result() -> None:
    with planned(1) as (_, queue):
        assert list(queue.submit(lambda: count(2)).result(DEADLINE)) == [0, 1]
        iterator = iter([1])
        assert queue.submit(Mock(return_value=iterator)).result(DEADLINE) is iterator


def test_yielded_future_is_a_value() -> None:
    """Not a dependency: what waits for the item gets the future, done or not."""
    with planned(2, stopped=True) as (scheduler, queue):
        inner: Future[int] = Future()
        task = queue.submit(Fed(inner, END))
        waiting, full = queue.submit(same, task[0]), queue.submit(same, task)
        scheduler.resume()
        assert waiting.result(DEADLINE) is task[0].result(DEADLINE) is inner
        assert full.result(DEADLINE) == [inner]
        assert queue.submit(same, task[0]).result(DEADLINE) is inner
        assert not inner.done()


def test_stop_iteration_inside_is_a_failure() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(Fed(1, StopIteration(2)))
        scheduler.resume()
        error = task.exception(DEADLINE)
        assert (type(error), str(error)) == (RuntimeError, "generator raised StopIteration")
        assert (task[0].result(), task[1].exception()) == (1, error)


# Items.


def test_item_is_a_full_future(caplog: pytest.LogCaptureFixture) -> None:
    with planned(1) as (_, queue):
        fed = Fed()
        task = queue.submit(fed)
        items = [task[i] for i in range(4)]
        assert all(isinstance(item, Future) and type(item) is Item for item in items)
        called: list[Any] = []
        items[0].add_done_callback(called.append)
        items[0].add_done_callback(fail)
        with pytest.raises(TimeoutError):
            items[0].result(0)
        for act in (partial(items[0].set_result, 1), items[0].set_running_or_notify_cancel):
            with pytest.raises(RuntimeError, match="by its scheduler alone"):
                act()
        assert state(*items) == [None] * 4
        assert not any(item.running() or item.cancelled() for item in items)
        waiting = beside(wait, items[:2], DEADLINE)
        completing = beside(lambda: list(as_completed(items[1:3], DEADLINE)))
        until(lambda: all(waiters_of(item) for item in items[:3]))
        fed.give("a", "b", "c")
        assert waiting.result(DEADLINE) == ({*items[:2]}, set())
        assert {*completing.result(DEADLINE)} == {*items[1:3]}
        assert called == items[:1]
        assert items[2].result(DEADLINE) == "c"
        assert items[2].exception() is None
        assert items[2].origin is None
        assert not items[2].cancel()
        fed.give(END)
        assert isinstance(items[3].exception(DEADLINE), IndexError)
        assert items[3].origin is items[3]
        assert [record.message.split(" at ")[0] for record in caplog.records] == [
            "exception calling callback for <Item"
        ]


def test_cancelled_item_takes_only_its_dependents() -> None:
    with planned(2) as (_, queue):
        fed = Fed()
        task = queue.submit(fed)
        first, second = task[0], task[1]
        heirs = [queue.submit(same, item) for item in (first, second)]
        heir = queue.submit(same, heirs[0])
        told = queue.submit(Future.cancelled, settled(first))
        assert first.cancel()
        assert first.cancel()
        assert state(first, second, *heirs, heir) == ["cancelled", None, "cancelled", None, "cancelled"]
        assert told.result(DEADLINE)
        # It can be asked for again.
        again = task[0]
        assert again is not first
        fed.give(1, 2, END)
        assert task.result(DEADLINE) == [1, 2]
        assert (again.result(DEADLINE), heirs[1].result(DEADLINE)) == (1, 2)
        assert first.cancelled()
        assert not again.cancel()


def test_items_exist_when_asked_for() -> None:
    """A hundred thousand values, three items."""
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(count, 100_000)
        items = [task[i] for i in (0, 7, 99_999)]
        assert [task[i] for i in (0, 7, 99_999)] == items  # the same ones
        assert len(stream_of(task).items) == 3
        scheduler.resume()
        assert [item.result(6 * DEADLINE) for item in items] == [0, 7, 99_999]
        assert len(task.result(DEADLINE)) == 100_000
        assert task[7].result() == 7
        assert stream_of(task).items == {}


def traced(make: Callable[[], object]) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        made = make()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before if made else 0
    finally:
        tracemalloc.stop()


def test_memory_of_an_item() -> None:
    """All that it takes while pending, also what the generator and the planner keep of it."""
    n = 2000
    plain = traced(lambda: [Future() for _ in range(n)])
    with planned(1, stopped=True) as (_, queue):
        task = queue.submit(count, n)
        task[0]
        assert traced(lambda: [task[i] for i in range(n)]) <= 0.3 * plain


def test_items_asked_for_before_during_and_after() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        gate = Gate()
        fed = Fed("a", "b", gate, "c", END)
        task = queue.submit(fed)
        before = [task[i] for i in range(5)]
        scheduler.resume()
        gate.wait_entered()
        during = [task[i] for i in range(5)]
        assert state(*before) == state(*during) == ["a", "b", None, None, None]
        assert during[2:] == before[2:]
        gate.open()
        assert task.result(DEADLINE) == ["a", "b", "c"]
        assert scheduler.wait(DEADLINE)
        after = [task[i] for i in range(5)]
        for items in (before, during, after):
            assert state(*items[:3]) == ["a", "b", "c"]
            assert [str(item.exception(DEADLINE)) for item in items[3:]] == [
                f"there is no item {i}: the generator yielded 3 values" for i in (3, 4)
            ]
            assert items[4].origin is items[4]
        assert (task[-1].result(), task[-3].result(), len(task)) == ("c", "a", 3)


def test_items_as_arguments_when_their_values_are_there() -> None:
    with planned(1) as (_, queue):
        task = queue.submit(count, 3)
        task.result(DEADLINE)
        assert queue.submit(same, task[2]).result(DEADLINE) == 2
        assert queue.submit(same, [task[0:2]]).result(DEADLINE) == [[0, 1]]
        missing = task[3]
        bad = queue.submit(same, missing)
        assert bad.exception(DEADLINE) is missing.exception()
        assert bad.origin is missing


def test_keys_of_a_generator_task() -> None:
    class Two:
        def __index__(self) -> int:
            return 2

    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(count, 6)
        items = [task[i] for i in range(6)]
        assert task[True] is items[1]
        assert task[Two()] is items[2]
        assert task[2:5] == task[Two() : 5] == items[2:5]
        assert task[:3] == items[:3]
        assert task[1:6:2] == items[1:6:2]
        assert task[3:3] == task[5:2] == []
        for key, kind in (("a", "str"), (1.0, "float"), (None, "NoneType"), ((1, 2), "tuple")):
            with pytest.raises(TypeError, match=f"an int or a slice, not '{kind}'$"):
                task[key]
        for key in (-1, slice(None), slice(2, None), slice(-2, 3), slice(0, -1), slice(3, 0, -1)):
            with pytest.raises(TypeError, match=r"the length of <Task .* is not known before its end"):
                task[key]
        for bad in (slice("a", 3), slice(0, 1.0)):
            with pytest.raises(TypeError):
                task[bad]
        with pytest.raises(ValueError, match="must not be zero"):
            task[0:3:0]
        scheduler.resume()
        task.result(DEADLINE)
        for key in (slice(None), slice(2, None), slice(-2, 3), slice(0, -1), slice(3, 0, -1), slice(1, 4)):
            assert [item.result(DEADLINE) for item in task[key]] == list(range(6))[key]


def test_keys_where_the_length_is_announced() -> None:
    """An index from the end, and a slice that needs it, wait for the length; others give items at once."""
    keys = slice(None), slice(2, None), slice(-2, 3), slice(0, -1), slice(3, 0, -1), slice(2, 99)
    with planned(1, stopped=True) as (scheduler, queue):
        gate = Gate()
        task = queue.submit(announced(4, [gate, "a"]))
        items = [task[i] for i in range(5)]
        assert task[1:3] == items[1:3]
        asking = [beside(lambda key=key: task[key]) for key in (-1, *keys[:-1])]
        until(lambda: awaits(task, LENGTH))
        assert state(*asking, *items) == [None] * 11
        scheduler.resume()
        gate.wait_entered()
        assert asking[0].result(DEADLINE) is items[3]
        assert [each.result(DEADLINE) for each in asking[1:]] == [items[:4][key] for key in keys[:-1]]
        assert [task[i - 4] for i in range(4)] == items[:4]
        for key in keys:
            assert task[key] == items[:4][key]
        for number in (4, -5, sys.maxsize + 1):
            with pytest.raises(
                IndexError, match=f"^index {number} is out of range: the length of the task is 4$"
            ):
                task[number]
        assert len(stream_of(task).items) == 5
        task.cancel()
        gate.open()


def test_item_of_another_scheduler() -> None:
    with planned(1) as (_, one), planned(1) as (_, two):
        fed = Fed()
        task = one.submit(fed)
        late = two.submit(same, task[0])
        lost = two.submit(same, task[1])
        told = two.submit(same, settled(task[2]))
        fed.give("a")
        assert late.result(DEADLINE) == "a"
        assert two.submit(same, task[0]).result(DEADLINE) == "a"
        fed.give(error := Broken())
        assert lost.exception(DEADLINE) is error
        assert lost.origin is task
        assert told.result(DEADLINE).exception() is error


class Secretive:
    def __repr__(self) -> str:
        raise Broken("no words")


def test_repr_of_items(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of the user's is called for it: the key of an item may be anything."""
    with planned(1, stopped=True) as (scheduler, queue):
        task, plain = queue.submit(count, 1), queue.submit(dict)
        item, late = task[0], task[1]
        assert repr(item) == f"<Item at {id(item):#x} 0 of {task!r} state=waiting queue={queue.name}>"
        keys = [plain[key] for key in ("name", Secretive(), "x" * 1000, slice(Secretive()), None)]
        begun = [repr(each).split(" of <Task")[0].split(" ", 3)[-1] for each in keys]
        assert begun[:2] == ["'name'", "Secretive"]
        assert begun[3:] == ["slice", "NoneType"]
        assert len(begun[2]) < 40
        keys[1].add_done_callback(fail)
        with caplog.at_level(logging.ERROR, "concurrent.futures"):
            scheduler.resume()
            assert scheduler.wait(DEADLINE)
            wait(keys, DEADLINE)
        assert "exception calling callback for <Item" in caplog.text
        assert repr(item) == f"<Item at {id(item):#x} state=done returned int>"
        assert repr(late) == f"<Item at {id(late):#x} state=failed raised IndexError>"
        assert repr(Item._ended(6, None)).endswith("state=cancelled>")


# Parts of ordinary results.


def test_part_of_an_ordinary_result() -> None:
    """Any key will do, also one that has no hash: a slice before Python 3.12."""
    with planned(1, stopped=True) as (scheduler, queue):
        ran: list[int] = []

        def make() -> dict[str, Any]:
            ran.append(1)
            return {"a": [1, 2], "b": Broken()}

        task, listed = queue.submit(make), queue.submit(list, range(5))
        one, missing, late = task["a"], task["c"], queue.submit(same, task["a"])
        part, beyond = listed[1:3], listed[9]
        assert (type(one), one.done(), one.cancelled()) == (Item, False, False)
        assert task["a"] is not one
        assert (queue.counts()["ready"], queue.counts()["waiting"]) == (2, 1)
        scheduler.resume()
        assert late.result(DEADLINE) == [1, 2]
        assert one.result(DEADLINE) is task.result()["a"]
        error = missing.exception(DEADLINE)
        assert isinstance(error, KeyError) and error.args == ("c",)
        assert missing.origin is missing
        assert task["b"].result() is task.result()["b"]  # an exception is a value like any other
        assert isinstance(task["c"].exception(), KeyError)
        assert queue.submit(same, task["a"]).result(DEADLINE) == [1, 2]
        assert part.result(DEADLINE) == listed[1:3].result(DEADLINE) == [1, 2]
        assert isinstance(beyond.exception(DEADLINE), IndexError)
        assert scheduler.wait(DEADLINE)
        assert ran == [1]
        assert queue.counts()["done"] == 4


class Leaving:
    def __getitem__(self, key: int) -> None:
        raise SystemExit(key)


def test_key_that_leaves() -> None:
    """The thread that ends the task goes on; a thread that asks for the key itself raises."""
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(Leaving)
        part = task[3]
        scheduler.resume()
        assert isinstance(part.exception(DEADLINE), SystemExit)
        with pytest.raises(SystemExit):
            task[4]
        assert queue.submit(same, 1).result(DEADLINE) == 1


def test_parts_of_tasks_that_give_none() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        bad, dropped = queue.submit(fail), queue.submit(same)
        heir = queue.submit(same, bad)
        parts = [bad["a"], dropped["a"], heir["a"]]
        dependents = [queue.submit(same, part) for part in parts]
        dropped.cancel()
        scheduler.resume()
        error = bad.exception(DEADLINE)
        assert state(*parts, *dependents) == [error, "cancelled", error] * 2
        assert [part.origin for part in (*parts, *dependents)] == [bad, None, bad] * 2
        late = [bad["b"], dropped["b"], heir["b"]]
        assert state(*late) == [error, "cancelled", error]
        assert [part.origin for part in late] == [bad, None, bad]
        with pytest.raises(Broken):
            late[0].result()


def test_cancelled_part_takes_only_its_dependents(caplog: pytest.LogCaptureFixture) -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(dict, a=1)
        part, other = task["a"], task["a"]
        heir = queue.submit(same, part)
        assert part.cancel()
        assert heir.cancelled()
        scheduler.resume()
        assert other.result(DEADLINE) == 1
        assert part.cancelled()
        assert scheduler.wait(DEADLINE)
        assert not caplog.records


def test_ordinary_task_is_not_iterated() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(list, "ab")

        def refused() -> None:
            with pytest.raises(TypeError, match=r"can be iterated; <Task .* is an ordinary task: iterate"):
                iter(task)
            with pytest.raises(TypeError, match="only a generator task can be iterated"):
                aiter(task)
            with pytest.raises(TypeError, match="only a generator task has a length"):
                len(task)
            with pytest.raises(TypeError, match="iterable"):
                assert "a" in task

        refused()
        scheduler.resume()
        task.result(DEADLINE)
        refused()


def test_truth_does_not_ask_for_the_length() -> None:
    with planned(1, stopped=True) as (_, queue):
        task = queue.submit(announced(fail))
        assert bool(task)
        assert queue.submit(same)
        assert bool(queue.submit(announced(0)))
        assert not task.done()
        task.cancel()


# What looks like a generator function and gives no iterator.


@contextmanager
def context() -> Iterator[None]:
    yield


@number_of_results(lambda: 3)
def listed() -> Any:
    return [0, 1, 2]


@pytest.mark.parametrize("fn", [context, listed])
def test_what_looks_like_a_generator_function_and_returns_no_iterator(fn: Any) -> None:
    """The result is an ordinary one, whatever was asked for before."""
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(fn)
        items = [task[1], *task[2:3]]
        heir = queue.submit(same, items[0])
        asking = [beside(list, task), beside(len, task)]
        until(lambda: awaits(task, 0) or awaits(task, LENGTH))
        scheduler.resume()
        if fn is listed:
            assert heir.result(DEADLINE) == items[0].result(DEADLINE) == 1
            assert task.result(DEADLINE) == [0, 1, 2]
            assert (task[-1].result(DEADLINE), task[0:2].result(DEADLINE)) == (2, [0, 1])
        else:
            with task.result(DEADLINE):
                pass
            for item in (*items, heir):
                error = item.exception(DEADLINE)
                assert isinstance(error, TypeError) and "is not subscriptable" in str(error)
            assert heir.origin is items[0]
        for each in asking:
            assert isinstance(each.exception(DEADLINE), TypeError)
        for ask, what in ((iter, "can be iterated"), (len, "has a length")):
            with pytest.raises(TypeError, match=f"only a generator task {what}"):
                ask(task)


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


# How many there will be.


class Counter:
    """A count that can be held, and remembers what it was asked with, and in which thread."""

    def __init__(self, gate: Gate | None = None, error: BaseException | None = None) -> None:
        self.gate, self.error = gate, error
        self.asked: list[tuple[Any, ...]] = []
        self.threads: list[int] = []

    def __call__(self, *args: Any) -> Any:
        self.asked.append(args)
        self.threads.append(threading.get_ident())
        if self.gate is not None:
            self.gate.enter()
        if self.error is not None:
            raise self.error
        return len(args[0]) if args else 0


def test_worker_asks_once_for_the_number_when_the_task_starts() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        counter = Counter()
        task = queue.submit(announced(counter, [*"abc", END]), data := [1, 2, 3])
        late = queue.submit(announced(counter, ["b", END]), "x")
        lengths = [beside(len, task) for _ in range(3)]
        until(lambda: len(blocked_on(stream_of(task).items[LENGTH])) == 3)
        assert counter.asked == []
        scheduler.resume()
        assert [length.result(DEADLINE) for length in lengths] == [3] * 3
        assert (task.result(DEADLINE), late.result(DEADLINE)) == ([*"abc"], ["b"])
        assert (len(task), len(late)) == (3, 1)
        assert counter.asked == [("x",), (data,)]
        assert counter.asked[1][0] is data
        assert threading.get_ident() not in counter.threads


def test_number_waits_for_the_futures_among_the_arguments() -> None:
    """Items are made on demand until then."""
    with planned(1) as (_, queue):
        counter = Counter()
        given: Future[Any] = Future()
        fed = announced(counter, [1, END])
        task = queue.submit(fed, given)
        items = [task[i] for i in (0, 5)]
        with pytest.raises(TypeError):  # the length is not needed for it to be wrong
            task["a"]
        length = beside(len, task)
        last = beside(lambda: task[-1])
        assert counter.asked == []
        given.set_result("xyz")
        assert length.result(DEADLINE) == 3
        assert outcome(last.result(DEADLINE))
        assert task.result(DEADLINE) == [1]
        assert counter.asked == [("xyz",)]
        assert items[0].result(DEADLINE) == 1
        assert str(items[1].exception(DEADLINE)).endswith("yielded 1 value, fewer than the 3 announced")


def test_items_and_lengths_of_an_abandoned_scheduler() -> None:
    """As a forked child finds it, where the tasks are the parent's."""
    with planned(1, stopped=True) as (scheduler, queue):
        task, plain = queue.submit(announced(2)), queue.submit(dict)
        stream = iter(task) and stream_of(task)
        core_of(scheduler)._abandoned = True
        for ask in (lambda: task[0], lambda: len(task), lambda: list(iter(task)), lambda: plain["a"]):
            with pytest.raises(RuntimeError, match="submitted before the fork"):
                ask()
        assert stream.items == {}
        core_of(scheduler)._abandoned = False


@pytest.mark.parametrize(
    ("count", "kind", "message"),
    [
        (lambda: fail(), Broken, "on purpose"),
        (lambda: None, TypeError, "number_of_results of Fed must give an int of 0 or more, not 'NoneType'"),
        (lambda: -1, ValueError, "number_of_results of Fed must give an int of 0 or more, not -1"),
        (lambda: leave(), CancelledError, "not asked"),
        (lambda: sys.exit(3), SystemExit, "3"),
    ],
)
def test_task_whose_number_is_wrong_fails(count: Any, kind: type[Exception], message: str) -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        fed = announced(count)
        task = queue.submit(fed)
        heir = queue.submit(same, task)
        items = [task[0], *task[1:3]]
        waiting = [beside(ask) for ask in (lambda: len(task), lambda: task[-1], lambda: list(iter(task)))]
        until(lambda: awaits(task, 0) and len(blocked_on(stream_of(task).items[LENGTH])) == 2)
        scheduler.resume()
        error = task.exception(DEADLINE)
        assert (type(error), str(error)) == (kind, message)
        assert [each.exception(DEADLINE) for each in (heir, *items, task[0], *waiting)] == [error] * 8
        assert [each.origin for each in (heir, *items)] == [task] * 4
        assert fed.began == 0
        for ask in (len, list, lambda task: task[-1]):
            with pytest.raises(kind):
                ask(task)
        assert queue.submit(same, 1).result(DEADLINE) == 1


def test_items_can_be_had_while_the_worker_asks_for_the_number() -> None:
    with planned(1) as (_, queue):
        counter = Counter(gate := Gate())
        task = queue.submit(announced(counter, [*"abc", END]), "abc")
        gate.wait_entered()
        length, last = beside(len, task), beside(lambda: task[-1])
        until(lambda: awaits(task, LENGTH) and len(blocked_on(stream_of(task).items[LENGTH])) == 2)
        items = task[2], task[7]
        assert state(length, last, *items) == [None] * 4
        gate.open()
        assert length.result(DEADLINE) == 3
        assert last.result(DEADLINE).result(DEADLINE) == items[0].result(DEADLINE) == "c"
        assert counter.asked == [("abc",)]
        assert isinstance(items[1].exception(DEADLINE), IndexError)


def test_number_that_asks_for_the_length_of_its_own_task() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        found: list[Any] = []

        def curious() -> int:
            found.append(task[0])  # an item needs no length
            return len(task)

        task = queue.submit(announced(curious))
        scheduler.resume()
        with pytest.raises(RuntimeError, match=r"Length of <Task .* which waits for it"):
            task.result(DEADLINE)
        assert found[0].exception(DEADLINE) is task.exception()


# More values than announced, fewer, and failures.


def test_fewer_values_than_announced() -> None:
    """Or just as many, where an item beyond them was asked for before the number was known."""
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(announced(5, ["a", "b", END]))
        items = task[0:5]
        heir = queue.submit(same, items[3])
        beyond = [queue.submit(announced(1, ["a", END]))[1], queue.submit(Fed(END))[0]]
        scheduler.resume()
        assert task.result(DEADLINE) == list(task) == ["a", "b"]
        assert len(task) == 5
        yielded = "there is no item {}: the generator yielded {}".format
        for i in (2, 3, 4):
            for item in (items[i], task[i], task[i - 5]):
                error = item.exception(DEADLINE)
                message = yielded(i, "2 values, fewer than the 5 announced")
                assert (type(error), str(error)) == (IndexError, message)
        assert heir.exception(DEADLINE) is items[3].exception()
        assert heir.origin is items[3]
        messages = [str(item.exception(DEADLINE)) for item in beyond]
        assert messages == [yielded(1, "1 value"), yielded(0, "0 values")]


def test_more_values_than_announced() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        fed = announced(2, ["a", "b", "c", "d"])
        task = queue.submit(fed)
        items = task[0:2]
        scheduler.resume()
        error = task.exception(DEADLINE)
        assert (type(error), str(error)) == (
            ValueError, "the generator yielded more values than the 2 that number_of_results announced"
        )  # fmt: skip
        assert [item.result(DEADLINE) for item in items] == ["a", "b"]
        assert fed.closed == 1


def test_exception_after_some_values() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(fed := Fed("a", "b", Broken("third")))
        items = [task[i] for i in range(4)]
        heirs = [queue.submit(same, item) for item in items]
        full = queue.submit(same, task)
        scheduler.resume()
        error = task.exception(DEADLINE)
        assert isinstance(error, Broken)
        for futures in (items, heirs, [task[i] for i in range(4)]):
            assert [outcome(future) for future in futures] == ["a", "b", error, error]
            assert [future.origin for future in futures] == [None, None, task, task]
        assert full.exception(DEADLINE) is error
        assert full.origin is task
        assert fed.closed == 1
        values = []
        with pytest.raises(Broken) as caught:
            for value in task:
                values.append(value)
        assert values == ["a", "b"]
        assert caught.value is error
        for ask in (len, lambda task: task[-1]):
            with pytest.raises(Broken):
                ask(task)


def test_traceback_of_a_generator_shows_the_users_frames_alone() -> None:
    def frames(error: BaseException | None) -> list[str]:
        found, traceback = [], error and error.__traceback__
        while traceback:
            found.append(traceback.tb_frame.f_code.co_name)
            traceback = traceback.tb_next
        return found

    def counts() -> int:
        raise Broken

    with planned(1) as (_, queue):
        assert frames(queue.submit(Fed(1, Broken())).exception(DEADLINE)) == ["__call__"]
        assert frames(queue.submit(announced(0, [1])).exception(DEADLINE)) == []
        asked = frames(queue.submit(announced(counts)).exception(DEADLINE))
        assert asked[-1] == "counts"
        assert not {"perform", "open_stream"}.intersection(asked)


@pytest.mark.parametrize("fn", [count, announced(1), Countdown])
def test_call_that_cannot_be_made(fn: Any) -> None:
    """An iteration raises the failure, whether it began before or after that."""
    with planned(1, stopped=True) as (scheduler, queue):
        task, asked = (queue.submit(fn, 1, 2, none=3) for _ in range(2))
        item = asked[3]
        scheduler.resume()
        for each in (task, asked):
            error = each.exception(DEADLINE)
            assert isinstance(error, TypeError)
            assert "argument" in str(error)
            for ask in (list, len):
                with pytest.raises(TypeError) as caught:
                    ask(each)
                assert caught.value is error
            assert each[0].exception() is error
        assert item.exception() is asked.exception()


def test_generators_on_dependencies_that_give_nothing() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        held: Future[Any] = Future()
        bad, gone = queue.submit(fail), queue.submit(same)
        counter = Counter()
        fed = announced(counter)
        heirs = [queue.submit(fed, need) for need in (bad, gone, held)]
        waiting = [beside(len, heir) for heir in heirs]
        until(lambda: all(awaits(heir, LENGTH) for heir in heirs))
        items = [heir[0] for heir in heirs]
        gone.cancel()
        scheduler.resume()
        held.cancel()
        error = bad.exception(DEADLINE)
        heirs.append(queue.submit(fed, bad))
        items += [heir[0] for heir in heirs]
        ends = [error, "cancelled", "cancelled"]
        assert [type(each.exception(DEADLINE)) for each in waiting] == [Broken, *[CancelledError] * 2]
        assert [outcome(item) for item in items] == [*ends * 2, error]
        assert [item.origin for item in items] == [bad, None, None] * 2 + [bad]
        for heir in heirs:
            for ask in (list, len, lambda task: task[-1]):
                with pytest.raises((Broken, CancelledError)):
                    ask(heir)
            assert heir[1:3][1]
        assert fed.began == 0 and counter.asked == []


# Iteration.


def test_values_are_iterated_as_they_come() -> None:
    with planned(1) as (_, queue):
        fed = Fed()
        task = queue.submit(fed)
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
    with planned(1) as (_, queue):
        fed = Fed("a")
        task = queue.submit(fed)
        found = beside(list, iter(task))
        for _ in range(3):
            until(lambda: awaits(task, 1))
            assert task[1].cancel()
        fed.give("b", "c", END)
        assert found.result(DEADLINE) == ["a", "b", "c"]


def test_async_iteration() -> None:
    with planned(1) as (_, queue):
        fed = Fed("a", "b")
        task = queue.submit(fed)
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
        found: list[Any] = []

        async def main() -> None:
            async for value in task:
                found.append(value)

        with pytest.raises(Broken):
            asyncio.run(main())
        assert found == ["a"]
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(gathered(gone))


def test_cancelled_async_iteration_cancels_no_item() -> None:
    with planned(1) as (_, queue):
        fed = Fed()
        task = queue.submit(fed)

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
    with planned(1) as (_, queue):
        fed = Fed()
        task = queue.submit(fed)

        async def main() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(gathered(task), 0.01)

        asyncio.run(main())
        assert awaits(task, 0)
        fed.give("a", END)
        assert task.result(DEADLINE) == ["a"]
        assert caplog.records == []


# Stop, resume, cancel.


def paused(scheduler: Any, n: int = 1) -> bool:
    return len(paused_in(scheduler)) == n


def test_stopped_scheduler_holds_a_generator_at_its_next_value() -> None:
    with planned(1) as (scheduler, queue):
        fed = Fed()
        task = queue.submit(fed)
        later = queue.submit(same, task[0])
        beats = [task[1], task[2]]
        until(task.running)
        scheduler.stop()
        stopping = beside(scheduler.stop, True)
        until(lambda: len(watchers_of(scheduler)) == 1)
        assert not stopping.done()  # it has not come to a value
        fed.give("a", "b")
        stopping.result(DEADLINE)
        assert paused(scheduler)
        # The value before is there; it keeps its slot and thread, and nothing runs.
        assert task[0].result(DEADLINE) == "a"
        assert state(task, later, *beats) == [None] * 4
        assert queue.counts()["running"] == 1
        assert not scheduler.wait(0)
        fed.give(gate := Gate())
        scheduler.resume()
        assert beats[0].result(DEADLINE) == "b"
        gate.wait_entered()
        gate.open()
        scheduler.stop()
        fed.give("c")
        scheduler.stop(wait=True)
        assert beats[1].result(DEADLINE) == "c"
        scheduler.resume()
        fed.give(END)
        assert later.result(DEADLINE) == "a"
        assert task.result(DEADLINE) == ["a", "b", "c"]


def test_stop_that_is_over_before_the_generator_looks() -> None:
    with planned(1) as (scheduler, queue):
        fed = Fed()
        task = queue.submit(fed)
        until(task.running)
        before(core_of(scheduler).waiting, "pause", scheduler.resume)
        scheduler.stop()
        fed.give("a", END)
        assert task.result(DEADLINE) == ["a"]


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "paused"])
def test_cancelled_generator_is_closed_at_its_next_value(stopped: bool) -> None:
    with planned(2) as (scheduler, queue):
        fed = Fed("a", gate := Gate())
        task = queue.submit(fed)
        items = [task[i] for i in range(3)]
        heirs = [queue.submit(same, item) for item in items]
        full = queue.submit(same, task)
        assert heirs[0].result(DEADLINE) == "a"
        gate.wait_entered()
        gate.open()
        if stopped:
            scheduler.stop()
            fed.give("b")
            scheduler.stop(wait=True)
        assert not task.cancel()  # not yet
        if not stopped:
            assert not task.cancelled()
            assert not task.cancel()
            fed.give("b")
        with pytest.raises(CancelledError):
            task.result(DEADLINE)
        assert task.cancelled()
        assert task.cancel()
        assert fed.closed == 1
        scheduler.resume()
        assert [outcome(future) for future in (*items, *heirs, full)] == [
            *["a", "b", "cancelled"] * 2, "cancelled"
        ]  # fmt: skip
        assert [outcome(task[i]) for i in range(3)] == ["a", "b", "cancelled"]
        assert queue.counts()["cancelled"] == 3
        found = []
        with pytest.raises(CancelledError):
            for value in task:
                found.append(value)
        assert found == ["a", "b"]


def test_generator_that_ends_before_it_comes_to_a_value_is_not_cancelled() -> None:
    with planned(1) as (_, queue):
        fed = Fed("a", gate := Gate())
        task = queue.submit(fed)
        gate.wait_entered()
        gate.open()
        assert not task.cancel()
        fed.give(END)
        assert task.result(DEADLINE) == ["a"]
        assert not task.cancelled()


def test_cancelled_error_of_the_users_own_is_a_failure() -> None:
    with planned(1) as (_, queue):
        task = queue.submit(Fed("a", CancelledError("mine")))
        assert isinstance(task.exception(DEADLINE), CancelledError)
        assert not task.cancelled()


@pytest.mark.parametrize("end", ["raises", "yields"])
def test_generator_that_does_not_let_itself_be_closed(end: str) -> None:
    """The task fails with what its ``close`` raised."""

    def steps() -> Iterator[int]:
        try:
            gate.enter()
            yield 1
        finally:
            if end == "raises":
                raise Broken("in finally")
            yield 2

    with planned(1) as (_, queue):
        gate = Gate()
        task = queue.submit(steps)
        item = task[1]
        gate.wait_entered()
        task.cancel()
        gate.open()
        error = task.exception(DEADLINE)
        if end == "raises":
            assert isinstance(error, Broken) and isinstance(error.__context__, GeneratorExit)
        else:
            assert str(error) == "generator ignored GeneratorExit"
        assert item.exception(DEADLINE) is error
        assert not task.cancelled()
        assert task[0].result() == 1
        assert queue.submit(same, 1).result(DEADLINE) == 1


def test_exit_with_a_paused_generator() -> None:
    """The task is cancelled, and so closed; one warning."""
    outcome = run("""
        def steps():
            try:
                while True:
                    yield 1
            finally:
                say("closed")

        scheduler = Scheduler()
        task = Queue(scheduler, 1).submit(steps)
        for future in (task, task[1 << 40]):
            future.add_done_callback(lambda future: say(type(future).__name__, future.cancelled()))
        task[0].result()
        scheduler.stop(wait=True)
    """)
    assert (outcome.lines[0], sorted(outcome.lines[1:])) == ("closed", ["Item True", "Task True"])
    assert outcome.errors == "cancelling 1 pending task at exit: the scheduler is stopped\n"


@forks
def test_items_of_the_parents_tasks() -> None:
    outcome = run("""
        def steps(*_):
            yield "a"
            gate.enter()
            yield "b"

        def child():
            asks = [lambda: task[2], item.result, lambda: list(task), lambda: Queue(1).submit(str, item)]
            asks += [lambda: waiting[0], lambda: len(waiting), lambda: plain["a"]]
            errors = {error_of(ask) for ask in asks}
            say(*errors)
            say(task[0].result(), done[1].result(), done[-1].result(), list(done), len(done))
            say(Queue(1).submit(lambda: (yield from "xy")).result())

        gate = Gate()
        queue = Queue(2)
        done = queue.submit(lambda: (yield from "ab"))
        done.result()
        task = queue.submit(steps)
        item = task[1]
        task[0].result()
        waiting = queue.submit(smqexec.number_of_results(lambda _: 2)(lambda _: steps()), task)
        plain = queue.submit(dict, _=task)
        say(in_child(child))
        gate.open()
        say(task.result())
    """)
    parents = "RuntimeError: the task was submitted before the fork; its result is the parent process's"
    assert outcome.lines == [parents, "a b b ['a', 'b'] 2", "['x', 'y']", "0", "['a', 'b']"]


# What is kept.


def test_item_releases_its_task_when_done() -> None:
    with planned(1, stopped=True) as (scheduler, queue), without_collector():
        task = queue.submit(fed := Fed("a"))
        items = [task[0], task[1], task[2]]
        items[2].cancel()
        scheduler.resume()
        assert items[0].result(DEADLINE) == "a"
        until(lambda: items[0]._source is None)
        assert [item._source for item in items] == [None, task, None]
        fed.give(END)
        assert items[1].exception(DEADLINE)
        assert scheduler.wait(DEADLINE)
        assert [item._home for item in items] == [None] * 3
        gone = weakref.ref(task)
        del task
        queue.submit(same).result(DEADLINE)
        until_gone(gone)


def test_generator_of_an_abandoned_scheduler_completes_no_items() -> None:
    queue = Queue(1)
    gate = Gate()
    task = queue.submit(Fed(gate, "a", END))
    items = [task[0], task[1]]
    gate.wait_entered()
    core_of(queue).ending.abandon()
    gate.open()
    pool_of(queue).shutdown()
    assert not any(item.done() for item in items) and not task.done()


def test_part_releases_the_result() -> None:
    class Table(dict[str, Any]):
        pass

    with planned(1, stopped=True) as (scheduler, queue), without_collector():
        task = queue.submit(Table, a=Kept())
        parts = [task["a"], task["b"]]
        scheduler.resume()
        wait(parts, DEADLINE)
        parts += [task["a"], task["b"]]
        assert [type(part.exception(DEADLINE)) for part in parts] == [type(None), KeyError] * 2
        gone = weakref.ref(task.result())
        task_gone = weakref.ref(task)
        del task
        queue.submit(same).result(DEADLINE)
        until_gone(task_gone, gone)
        part_gone = weakref.ref(parts[1])
        del parts
        until_gone(part_gone)


def without_arguments(fed: Any, count: int) -> Any:
    """A generator function that keeps no arguments itself."""
    return number_of_results(lambda *_, **__: count)(lambda *_, **__: fed())


@pytest.mark.parametrize("wrap", [lambda kept: kept, lambda kept: [kept]], ids=["direct", "inside"])
def test_generator_task_releases_its_arguments_when_it_starts(wrap: Callable[[Any], Any]) -> None:
    """And its function at its end, with what is bound to that."""
    with planned(1, stopped=True) as (scheduler, queue), without_collector():
        made: Future[Any] = Future()
        made.set_result(Kept())
        gone = weakref.ref(made.result())
        fed = Fed("a")
        task = queue.submit(without_arguments(fed, 2), wrap(made), name=wrap(made))
        asking = beside(len, task)
        del made
        scheduler.resume()
        assert task[0].result(DEADLINE) == "a"
        assert asking.result(DEADLINE) == 2
        until_gone(gone)
        fed.give("b", END)
        assert task.result(DEADLINE) == ["a", "b"]
        fed_gone = weakref.ref(fed)
        del fed
        queue.submit(same).result(DEADLINE)
        until_gone(fed_gone)
        assert stream_of(task).items == {}


@pytest.mark.parametrize("end", ["fails", "is cancelled", "never runs", "has a wrong number"])
def test_generator_task_that_gives_no_list_releases_all(end: str) -> None:
    with planned(1, stopped=True) as (scheduler, queue), without_collector():
        fed = announced(-1 if end == "has a wrong number" else 3, ["a"])
        kept = Kept()
        task = queue.submit(fed, kept)
        items = task[0:3]
        if end == "never runs":
            task.cancel()
        scheduler.resume()
        if end in ("fails", "is cancelled"):
            assert items[0].result(DEADLINE) == "a"
            if end == "is cancelled":
                task.cancel()
            fed.give("b" if end == "is cancelled" else Broken())
        assert outcome(task)
        assert scheduler.wait(DEADLINE)
        queue.submit(same).result(DEADLINE)
        gone = [weakref.ref(each) for each in (kept, fed, *items)]
        task_gone = weakref.ref(task)
        stream = stream_of(task)
        assert stream.items == {}
        del kept, fed, items
        if end == "fails":
            # The traceback shows the generator's own frame, and that the arguments.
            task._outcome.exception.__traceback__ = task._outcome.traceback = None
        until_gone(*gone)
        del task, stream
        until_gone(task_gone)


# Races, forced.


def test_value_comes_while_its_item_is_entered() -> None:
    """Values and items are added without the lock: a request looks for the value once more."""
    with planned(1) as (scheduler, queue):
        fed = Fed()
        task = queue.submit(fed)
        until(lambda: fed.began)
        stream = stream_of(task) or core_of(scheduler).streams.stream(task, False)

        class Late(list[Any]):
            """Value 0 comes between the first look at the length and the second."""

            looks = 0

            def __len__(self) -> int:
                self.looks += 1
                if self.looks == 2:
                    self.append("late")
                return super().__len__()

        values, stream.values = stream.values, Late()
        item = task[0]
        assert item.done() and item.result() == "late"
        assert not stream.items
        stream.values = values
        fed.give(END)
        assert task.result(DEADLINE) == []


def test_item_is_cancelled_before_it_fails() -> None:
    with planned(1) as (scheduler, queue):
        fed = Fed()
        task = queue.submit(fed)
        item = task[0]
        before(core_of(scheduler).streams, "fail_item", item.cancel)
        fed.give(END)
        assert task.result(DEADLINE) == []
        assert item.cancelled()
        assert isinstance(task[0].exception(0), IndexError)


def test_part_is_cancelled_before_it_is_cut() -> None:
    """By a callback of another part, which comes first."""
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(dict, a=1)
        cancelled: list[bool] = []
        parts = [task["a"], task["b"], task["a"]]
        parts[0].add_done_callback(lambda _: cancelled.append(parts[1].cancel()))
        scheduler.resume()
        assert parts[2].result(DEADLINE) == 1
        assert cancelled == [True]
        assert [part.cancelled() for part in parts] == [False, True, False]


def test_pending_tasks_are_cancelled_before_a_part_is_cut() -> None:
    """The task has ended, so no worker runs what depends on the part."""
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(dict, a=1)
        first = task["a"]
        first.add_done_callback(lambda _: queue.shutdown(wait=False, cancel_futures=True))
        heir = queue.submit(same, task["a"])
        scheduler.resume()
        assert outcome(heir) == "cancelled"


def test_item_is_asked_for_where_all_values_are_there() -> None:
    """The generator has ended; that the task has is not told yet."""
    with planned(1) as (scheduler, queue):
        closing = core_of(scheduler).streams.close_stream
        found: list[Any] = []

        def look(stream: Any) -> None:
            closing(stream)
            found.extend([task[0], task[1], beside(list, iter(task))])
            assert not task.done()
            with pytest.raises(TypeError, match="not known before its end"):
                len(task)

        core_of(scheduler).streams.close_stream = look
        gate = Gate()
        task = queue.submit(Fed(gate, "a", END))
        gate.wait_entered()
        gate.open()
        assert task.result(DEADLINE) == ["a"]
        assert found[0].result(0) == "a"
        assert "yielded 1 value" in str(found[1].exception(0))
        assert found[2].result(DEADLINE) == ["a"]


def test_item_is_asked_for_where_the_task_has_just_turned_out_to_be_an_ordinary_one() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(listed)
        before(core_of(scheduler).streams, "item", lambda: scheduler.resume() or task.result(DEADLINE))
        assert task[1].result(DEADLINE) == 1
        assert task[5].exception(DEADLINE)


@pytest.mark.parametrize("end", [None, END], ids=["runs", "ended"])
def test_length_becomes_known_while_it_is_asked_for(end: object) -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(announced(1, [gate := Gate(), "a", END]))

        def late() -> None:
            scheduler.resume()
            gate.wait_entered()
            if end is END:
                gate.open()
                task.result(DEADLINE)

        before(core_of(scheduler).streams, "length", late)
        assert len(task) == 1
        gate.open()
        assert task.result(DEADLINE) == ["a"]
        assert stream_of(task).items == {}


@pytest.mark.parametrize("end", ["fails", "is cancelled", "returns"])
@pytest.mark.parametrize("asked", ["part", "item", "stream"])
def test_task_ends_while_something_of_it_is_asked_for(asked: str, end: str) -> None:
    """A part of its result; an item; whether it generates."""
    with planned(1, stopped=True) as (scheduler, queue):
        if asked == "part":
            task = queue.submit(fail if end == "fails" else list, [1])
        elif asked == "item":
            task = queue.submit(Fed(Broken() if end == "fails" else 1, END))
            iter(task)
        else:
            task = queue.submit(announced(1, [Broken() if end == "fails" else 1, END]))

        def late() -> None:
            delattr(core_of(scheduler).streams, asked)  # once
            if end == "is cancelled":
                task.cancel()
            scheduler.resume()
            outcome(task)

        before(core_of(scheduler).streams, asked, late)
        if asked != "stream":
            assert outcome(task[0]) == (1 if end == "returns" else outcome(task))
            assert asked == "part" or stream_of(task).items == {}
        elif end == "returns":
            assert list(task) == [1]
        else:
            with pytest.raises((Broken, CancelledError)):
                list(iter(task))


@pytest.mark.parametrize("number", [3, Broken()], ids=["number", "failure"])
def test_task_is_cancelled_while_its_number_is_asked(number: Any) -> None:
    """The generator is closed at its first value; a number that fails fails the task."""
    with planned(1) as (_, queue):
        counter = Counter(gate := Gate(), number if isinstance(number, Broken) else None)
        task = queue.submit(announced(counter, ["a"]), "abc")
        gate.wait_entered()
        length = beside(len, task)
        until(lambda: awaits(task, LENGTH))
        assert not task.cancel()
        gate.open()
        assert outcome(length) == number
        assert outcome(task) == ("cancelled" if number == 3 else number)


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


def test_race_between_values_and_requests_for_items(switching_often: None) -> None:
    """Many rounds, unforced: items, iteration, a cancelled item, and the end."""
    chance = random.Random(1)
    with planned(3) as (_, queue):
        for _ in range(60):
            n = chance.randrange(1, 30)
            told = chance.random() < 0.5
            task = queue.submit(number_of_results(same)(partial(count)) if told else count, n)
            found = [beside(list, iter(task)) for _ in range(2)]
            lengths = [beside(len, task) for _ in range(2 * told)]
            items = [task[i] for i in range(n if told else n + 2)]  # beyond the length it may raise
            heirs = [queue.submit(same, item) for item in items]
            cancelled = [item.cancel() for item in items[::3]]
            assert task.result(DEADLINE) == list(range(n))
            assert [each.result(DEADLINE) for each in found] == [list(range(n))] * 2
            assert [each.result(DEADLINE) for each in lengths] == [n] * len(lengths)
            for i, (item, heir) in enumerate(zip(items, heirs, strict=True)):
                expected = "cancelled" if item.cancelled() else i if i < n else IndexError
                for future in (item, heir):
                    end = outcome(future)
                    assert (type(end) if i >= n and end != "cancelled" else end) == expected or end == 0
            assert [item.cancelled() for item in items[::3]] == cancelled
            assert [task[i].result(0) for i in range(n)] == list(range(n))


def test_what_every_planned_future_has_of_its_own() -> None:
    for word in ("_producer", "_release", "_words"):
        with pytest.raises(NotImplementedError):
            getattr(PlannedFuture, word)(None)


# What must not be kept, lost or waited for.


def test_length_asked_for_in_a_task_runs_the_generator_task_nested() -> None:
    """On one slot: the generator task, and what it needs, and what its number needs."""
    with planned(1, stopped=True) as (scheduler, queue):
        threads: list[int] = []

        def pair(_: object) -> Iterator[int]:
            threads.append(threading.get_ident())
            yield 1
            yield 2

        def program() -> Any:
            threads.append(threading.get_ident())
            return len(task), task[-1].result(), [item.result() for item in task[:]]

        needed, first = queue.submit(lambda: 2), queue.submit(same)
        task = queue.submit(number_of_results(lambda _: needed.result(DEADLINE))(pair), first)
        asking = queue.submit(program)
        asking.promote()
        scheduler.resume()
        assert asking.result(DEADLINE) == (2, 2, [1, 2])
        assert len(set(threads)) == 1


@pytest.mark.parametrize("end", ["fails", "is cancelled"])
def test_length_asked_for_in_a_task_where_the_generator_task_gives_none(end: str) -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        needed = queue.submit(fail if end == "fails" else lambda: task.cancel())
        task = queue.submit(announced(2), settled(needed) if end == "is cancelled" else needed)
        asking = queue.submit(lambda: len(task))
        asking.promote()
        scheduler.resume()
        assert outcome(asking) is (needed.exception(DEADLINE) or outcome(asking))
        assert isinstance(asking.exception(DEADLINE), Broken if end == "fails" else CancelledError)


@pytest.mark.parametrize("closes", [False, True], ids=["raises", "raises as it is closed"])
def test_failed_generator_keeps_no_frame_of_ours(closes: bool) -> None:
    """CPython 3.12 and 3.13 link the frame of a generator that has failed to the one that ran it."""
    kept: list[Any] = []

    def film() -> Iterator[Kept]:
        frame = Kept()
        kept.append(weakref.ref(frame))
        try:
            while True:
                yield frame
                gate.enter()
                if not closes:
                    break
        finally:
            del frame
            raise Broken

    with without_collector(), planned(1) as (_, queue):
        gate = Gate()
        task = queue.submit(film)
        gate.wait_entered()
        if closes:
            task.cancel()
        gate.open()
        error = task.exception(DEADLINE)
        queue.submit(int).result(DEADLINE)
        gone = weakref.ref(task)
        del task
        until_gone(gone, kept[0])
        assert isinstance(error, Broken)


def test_iterating_a_failed_task_or_asking_its_length_keeps_no_reference() -> None:
    async def iterate(box: list[Any]) -> None:
        async for _ in box.pop():
            pass

    def raises(box: list[Any], how: Callable[[Any], object]) -> bool:
        try:
            how(box)
        except Broken:
            return True
        return False

    with without_collector(), planned(1) as (_, queue):
        hows: list[Callable[[Any], object]] = [lambda box: list(box.pop()), lambda box: len(box.pop())]
        for how in (*hows, lambda box: asyncio.run(iterate(box))):
            box = [queue.submit(fail_after, 1)]
            assert outcome(box[0])
            queue.submit(int).result(DEADLINE)
            gone = weakref.ref(box[0])
            assert raises(box, how)
            until_gone(gone)


def fail_after(count: int) -> Iterator[int]:
    yield from range(count)
    raise Broken


def test_item_that_ctrl_c_left_without_its_value_ends_with_the_next_request() -> None:
    """Ctrl-C comes when the item has been added, and before the second look at the values."""
    with planned(1) as (scheduler, queue):
        fed = Fed()
        task = queue.submit(fed)
        iter(task)
        streams = core_of(scheduler).streams

        def value_comes() -> None:
            fed.give("a")
            until(lambda: stream_of(task).values)
            del streams.item

        def strike(*_: object) -> None:
            raise KeyboardInterrupt

        before(streams, "item", value_comes)
        streams._end_late = strike
        with pytest.raises(KeyboardInterrupt):
            task[0]
        del streams._end_late
        left = stream_of(task).items[0]
        assert not left.done()
        assert streams.item(left._home, task, stream_of(task), 0) is left
        assert left.result(0) == "a"
        assert stream_of(task).items == {}
        fed.give(END)


def test_result_whose_metaclass_answers_nothing() -> None:
    class Mute(type):
        def __getattr__(cls, name: str) -> Any:
            raise Broken(name)

        __hash__ = fail

    class Odd(metaclass=Mute):
        pass

    with planned(1) as (_, queue):
        assert type(queue.submit(Odd).result(DEADLINE)) is Odd
