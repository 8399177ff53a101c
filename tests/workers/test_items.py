"""Items of generator tasks and of ordinary results: futures of single values."""

from __future__ import annotations

import gc
import logging
import tracemalloc
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, as_completed, wait
from functools import partial
from typing import Any

import pytest
from gate import DEADLINE, Gate
from generating import END, Fed, Late, announced, before, count, feeding, listed, same, state
from internals import core_of, outside_of, stream_of, waiters_of
from outcomes import Broken, Kept, fail, outcome
from programs import forks, run
from threads import beside, planned, until, until_gone, without_collector

from smqexec import Item, settled


def test_item_is_a_full_future() -> None:
    with feeding() as (_, _, fed, task):
        items = [task[i] for i in range(4)]
        assert all(isinstance(item, Future) and type(item) is Item for item in items)
        called: list[Any] = []
        items[0].add_done_callback(called.append)
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
        assert state(items[2]) == ["c"] and items[2].origin is None and not items[2].cancel()
        fed.give(END)
        assert isinstance(items[3].exception(DEADLINE), IndexError)
        assert items[3].origin is items[3]


def test_cancelled_item_takes_only_its_dependents() -> None:
    with planned(2) as (_, queue):
        task = queue.submit(fed := Fed())
        first, second = task[0], task[1]
        heirs = [queue.submit(same, item) for item in (first, second)]
        heir = queue.submit(same, heirs[0])
        told = queue.submit(Future.cancelled, settled(first))
        assert first.cancel() and first.cancel()
        assert state(first, second, *heirs, heir) == ["cancelled", None, "cancelled", None, "cancelled"]
        assert told.result(DEADLINE)
        again = task[0]  # it can be asked for again
        assert again is not first
        fed.give(1, 2)
        assert (again.result(DEADLINE), heirs[1].result(DEADLINE)) == (1, 2)
        until(lambda: not stream_of(task).items)
        fed.give(END)
        assert task.result(DEADLINE) == [1, 2]
        assert first.cancelled() and not again.cancel()


def test_memory_of_an_item() -> None:
    """All that it takes while pending, also what the generator and the planner keep of it."""

    def traced(make: Callable[[int], object]) -> int:
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            made = [make(i) for i in range(2000)]
            gc.collect()
            return tracemalloc.get_traced_memory()[0] - before if made else 0
        finally:
            tracemalloc.stop()

    with planned(1, stopped=True) as (_, queue):
        task = queue.submit(count, 2000)
        task[0]
        assert traced(lambda i: task[i]) <= 0.3 * traced(lambda _: Future())


def test_items_asked_for_before_during_and_after() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(Fed("a", "b", gate := Gate(), "c", END))
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
            with pytest.raises(TypeError, match=f"'{kind}' object cannot be interpreted as an integer"):
                task[key]
        for key in (-1, slice(None), slice(2, None), slice(-2, 3), slice(0, -1), slice(3, 0, -1)):
            with pytest.raises(TypeError, match=r"the length of <Task .* is not known before its end"):
                task[key]
        for bad in (slice("a", 3), slice(0, 1.0)):
            with pytest.raises(TypeError):
                task[bad]
        with pytest.raises(ValueError, match="cannot be zero"):
            task[0:3:0]
        scheduler.resume()
        task.result(DEADLINE)
        for key in (slice(None), slice(2, None), slice(-2, 3), slice(0, -1), slice(3, 0, -1), slice(1, 4)):
            assert [item.result(DEADLINE) for item in task[key]] == list(range(6))[key]


def test_item_of_another_scheduler() -> None:
    with feeding() as (_, _, fed, task), planned(1) as (_, two):
        late, lost = (two.submit(same, item) for item in task[:2])
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


def test_part_of_an_ordinary_result() -> None:
    """Any key will do, also one that has no hash: a slice before Python 3.12."""
    with planned(1, stopped=True) as (scheduler, queue):
        ran: list[int] = []
        task = queue.submit(lambda: ran.append(1) or {"a": [1, 2], "b": Broken()})
        listed = queue.submit(list, range(5))
        one, missing, late = task["a"], task["c"], queue.submit(same, task["a"])
        part, beyond = listed[1:3], listed[9]
        assert (type(one), one.done(), one.cancelled()) == (Item, False, False)
        assert task["a"] is not one
        assert (queue.counts()["ready"], queue.counts()["waiting"]) == (2, 1)
        scheduler.resume()
        assert late.result(DEADLINE) == queue.submit(same, task["a"]).result(DEADLINE) == [1, 2]
        assert one.result(DEADLINE) is task.result()["a"]
        error = missing.exception(DEADLINE)
        assert isinstance(error, KeyError) and error.args == ("c",)
        assert missing.origin is missing
        assert task["b"].result() is task.result()["b"]  # an exception is a value like any other
        assert isinstance(task["c"].exception(), KeyError)
        assert part.result(DEADLINE) == listed[1:3].result(DEADLINE) == [1, 2]
        assert isinstance(beyond.exception(DEADLINE), IndexError)
        assert scheduler.wait(DEADLINE)
        assert ran == [1] and queue.counts()["done"] == 4


def test_key_that_leaves() -> None:
    """The thread that ends the task goes on; a thread that asks for the key itself raises."""

    class Leaving:
        def __getitem__(self, key: int) -> None:
            raise SystemExit(key)

    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(Leaving)
        part = task[3]
        scheduler.resume()
        error: Any = part.exception(DEADLINE)
        # No frame of ours, which would keep the item and the result.
        assert isinstance(error, SystemExit) and error.__traceback__.tb_frame.f_code.co_name == "__getitem__"
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
        wait(dependents, DEADLINE)  # a thread may see that *bad* has failed before the same drop ends these
        assert state(*parts, *dependents) == [error, "cancelled", error] * 2
        assert [part.origin for part in (*parts, *dependents)] == [bad, None, bad] * 2
        late = [bad["b"], dropped["b"], heir["b"]]
        assert state(*late) == [error, "cancelled", error]
        assert [part.origin for part in late] == [bad, None, bad]
        with pytest.raises(Broken):
            late[0].result()


@pytest.mark.parametrize("done", [False, True])
def test_ordinary_task_is_not_iterated(done: bool) -> None:
    with planned(1, stopped=not done) as (_, queue):
        task = queue.submit(list, "ab")
        if done:
            task.result(DEADLINE)
        with pytest.raises(TypeError, match=r"can be iterated; <Task .* is an ordinary task: use"):
            iter(task)
        with pytest.raises(TypeError, match="only a generator task can be iterated"):
            aiter(task)
        with pytest.raises(TypeError, match="only a generator task has a length"):
            len(task)
        with pytest.raises(TypeError, match="iterable"):
            assert "a" in task


@forks
def test_items_of_the_parents_tasks() -> None:
    outcome = run("""
        def steps(*_):
            yield "a"
            gate.enter()
            yield "b"

        def child():
            asks = [task[2].result, item.result, lambda: list(task), lambda: Queue(1).submit(str, item)]
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
    parents = "Forked: the queue was made before the fork, and its tasks are the parent's; make a new one"
    assert outcome.lines == [parents, "a b b ['a', 'b'] 2", "['x', 'y']", "0", "['a', 'b']"]


def test_item_releases_its_task_when_done() -> None:
    with planned(1, stopped=True) as (scheduler, queue), without_collector():
        task = queue.submit(fed := Fed("a"))
        items = task[0:3]
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
        gone = [weakref.ref(task.result()), weakref.ref(task)]
        del task
        queue.submit(same).result(DEADLINE)
        until_gone(*gone)
        part_gone = weakref.ref(parts[1])
        del parts
        until_gone(part_gone)
        assert not outside_of(scheduler)


@pytest.mark.parametrize("end", ["fails", "is cancelled", "returns"])
def test_task_ends_before_the_item_of_a_value_that_came_meanwhile(end: str) -> None:
    """The value came as its item was entered, so that the request has to end the item."""
    with feeding() as (scheduler, _, fed, task):
        iter(task)
        gate = Gate()

        def ended() -> None:
            if end == "is cancelled":
                task.cancel()
            fed.give({"fails": Broken(), "is cancelled": "more", "returns": END}[end])
            gate.open()
            outcome(task)

        stream_of(task).items = Late(lambda: (fed.give("late", gate), gate.wait_entered()))
        before(core_of(scheduler).streams, "_end_late", ended)
        assert task[0].result(0) == "late"
        assert not stream_of(task).items


def test_item_is_cancelled_before_it_fails() -> None:
    with feeding() as (scheduler, _, fed, task):
        item = task[0]
        before(core_of(scheduler).streams, "_fail", item.cancel)
        fed.give(END)
        assert task.result(DEADLINE) == []
        assert item.cancelled()
        assert isinstance(task[0].exception(0), IndexError)


def test_part_that_was_cancelled_is_not_cut(caplog: pytest.LogCaptureFixture) -> None:
    """Before the end of its task, or by a callback of a part that comes first."""
    asked: list[str] = []

    class Result:
        def __getitem__(self, key: str) -> int:
            asked.append(key)
            return 1

    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(Result)
        part, wanted, other, last = (task[key] for key in ("cancelled", "wanted", "other", "wanted"))
        heir = queue.submit(same, part)
        wanted.add_done_callback(lambda _: other.cancel())
        assert part.cancel() and heir.cancelled()
        scheduler.resume()
        assert wanted.result(DEADLINE) == last.result(DEADLINE) == 1
        assert scheduler.wait(DEADLINE)
        assert [each.cancelled() for each in (part, wanted, other, last)] == [True, False, True, False]
    assert asked == ["wanted", "wanted"]
    assert not caplog.records


def test_pending_tasks_are_cancelled_before_a_part_is_cut() -> None:
    """The task has ended, so no worker runs what depends on the part."""
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(dict, a=1)
        first = task["a"]
        first.add_done_callback(lambda _: queue.shutdown(wait=False, cancel_futures=True))
        heir = queue.submit(same, task["a"])
        scheduler.resume()
        assert outcome(heir) == "cancelled"


def test_pending_tasks_are_cancelled_between_a_value_and_its_item() -> None:
    with feeding() as (scheduler, queue, fed, task):
        heir = queue.submit(same, task[0])
        shut_down = partial(queue.shutdown, wait=False, cancel_futures=True)
        before(core_of(scheduler).streams, "_complete", shut_down)
        fed.give(1, END)
        assert outcome(heir) == "cancelled"
        assert task.result(DEADLINE) == [1]


def test_part_is_there_for_the_callbacks_of_its_task() -> None:
    """A callback that waited for it would wait for its own thread."""
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(list, "a")
        done: list[bool] = []
        task.add_done_callback(lambda task: done.append(part.done()))
        part = task[0]
        scheduler.resume()
        assert part.result(DEADLINE) == "a"
        until(lambda: done)
        assert done == [True]


def test_item_is_asked_for_where_all_values_are_there() -> None:
    """The generator has ended; that the task has is not told yet."""
    with planned(1, stopped=True) as (scheduler, queue):
        found: list[Any] = []
        task = queue.submit(Fed("a", END))

        def look() -> None:
            found.extend([task[0], task[1], beside(list, iter(task))])
            assert not task.done()
            with pytest.raises(TypeError, match="not known before its end"):
                len(task)

        scheduler.observe(lambda event: event.kind == "end" and look())
        scheduler.resume()
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


@pytest.mark.parametrize("end", ["fails", "is cancelled", "returns"])
@pytest.mark.parametrize("asked", ["part", "item", "stream"])
def test_task_ends_while_something_of_it_is_asked_for(asked: str, end: str) -> None:
    """A part of its result; an item; whether it generates."""
    with planned(1, stopped=True) as (scheduler, queue):
        values = Broken() if end == "fails" else 1, END
        whole = fail if end == "fails" else list
        task = queue.submit({"item": Fed(*values), "stream": announced(1, values), "part": whole}[asked], [1])
        if asked == "item":
            iter(task)

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


def test_item_whose_value_comes_as_its_request_ends_it() -> None:
    class Ended(dict[Any, Any]):
        """The item is there, and then not."""

        def __contains__(self, key: object) -> bool:
            return True

    with feeding() as (_, _, fed, task):
        iter(task)  # it has a stream now
        stream_of(task).items = Ended()
        fed.give("a", END)
        assert task.result(DEADLINE) == ["a"]
        assert task[0].result(0) == "a"


def test_item_that_ctrl_c_left_without_its_value_ends_with_the_task() -> None:
    """Ctrl-C comes when the item has been added, and its value with it."""
    with feeding() as (scheduler, _, fed, task):
        iter(task)
        streams, stream = core_of(scheduler).streams, stream_of(task)

        def strike(*_: object) -> None:
            raise KeyboardInterrupt

        stream.items = Late(lambda: (fed.give("a"), until(lambda: stream.values)))
        streams._end_late = strike
        with pytest.raises(KeyboardInterrupt):
            task[0]
        del streams._end_late
        left = stream.items[0]
        assert task[0].result(0) == "a" and not left.done()
        fed.give(END)
        assert task.result(DEADLINE) == ["a"]
        assert left.result(0) == "a" and not stream.items
