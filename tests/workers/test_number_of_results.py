"""The number of results that a generator function announces, and the length of its task."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from typing import Any

import pytest
from gate import DEADLINE, Gate
from generating import END, Counter, Fed, announced, awaits, before, same, state
from internals import blocked_on, core_of, stream_of
from outcomes import Broken, fail, outcome
from threads import beside, planned, until

from smqexec import number_of_results, settled
from smqexec._futures.items import LENGTH


def leave() -> None:
    raise CancelledError("not asked")


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


def test_truth_does_not_ask_for_the_length() -> None:
    with planned(1, stopped=True) as (_, queue):
        task = queue.submit(announced(fail))
        assert bool(task)
        assert queue.submit(same)
        assert bool(queue.submit(announced(0)))
        assert not task.done()
        task.cancel()


def test_worker_asks_once_for_the_number_when_the_task_starts() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        counter = Counter()
        task = queue.submit(announced(counter, [*"abc", END]), data := [1, 2, 3])
        late = queue.submit(announced(counter, ["b", END]), "x")
        lengths = [beside(len, task) for _ in range(3)]
        until(lambda: awaits(task, LENGTH) and len(blocked_on(stream_of(task).items[LENGTH])) == 3)
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
        until(lambda: awaits(task, 0) and awaits(task, LENGTH))
        until(lambda: len(blocked_on(stream_of(task).items[LENGTH])) == 2)
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
        task = queue.submit(fed := announced(2, ["a", "b", "c", "d"]))
        items = task[0:2]
        scheduler.resume()
        error = task.exception(DEADLINE)
        assert isinstance(error, ValueError)
        assert str(error) == "the generator yielded more values than the 2 that number_of_results announced"
        assert state(*items) == ["a", "b"]
        assert fed.closed == 1


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


def test_scheduler_breaks_down_while_a_number_is_asked() -> None:
    """The length fails as all that is pending; the generator task goes on."""
    with planned(1) as (scheduler, queue):
        counter = Counter(gate := Gate())
        task = queue.submit(announced(counter, ["a", "b", "c", END]), "abc")
        gate.wait_entered()
        length = beside(len, task)
        until(lambda: awaits(task, LENGTH))
        error = Broken()
        core_of(scheduler).break_down(error)
        assert length.exception(DEADLINE) is error
        gate.open()
        assert task.result(DEADLINE) == ["a", "b", "c"]
        assert len(task) == 3


def test_length_asked_for_in_a_task_runs_the_generator_task_nested() -> None:
    """On one slot: the generator task, and what it needs, and what its number needs."""
    with planned(1, stopped=True) as (scheduler, queue):
        threads: list[int] = []

        def pair(_: object) -> Iterator[int]:
            threads.append(threading.get_ident())
            yield from (1, 2)

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
