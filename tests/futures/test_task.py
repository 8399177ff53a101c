"""A task as a future, and what a failure or a cancellation does to those that depend on it."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor, as_completed, wait
from contextlib import suppress
from functools import partial
from itertools import pairwise, product
from typing import Any

import pytest
from gate import DEADLINE, Gate
from internals import (
    blocked_on,
    check_order,
    core_of,
    lock_of,
    outside_of,
    record_of,
    waiters_of,
)
from marks import slow_but
from outcomes import Broken, Kept, add, fail, nothing, outcome
from threads import beside, planned, until, until_gone, without_collector

from smqexec import Item, Queue, Scheduler, Task, settled

# Where tasks come from.


@pytest.mark.parametrize("kind", [Task, Item])
def test_tasks_and_items_are_not_made_by_themselves(kind: Any) -> None:
    for make in (kind, partial(kind, 1, 2), partial(kind, fn=abs)):
        with pytest.raises(TypeError, match=f"no {kind.__name__} can be made by itself"):
            make()


# Results.


def test_result_and_exception_of_a_call() -> None:
    """It raises the very exception each time."""
    with planned(1) as (_, queue):
        task, failed = queue.submit(add, 2, b=3), queue.submit(fail)
        assert task.result(DEADLINE) == task.result(0) == 5
        assert task.exception() is task.origin is None
        error = failed.exception(DEADLINE)
        assert isinstance(error, Broken)
        for _ in range(3):
            with pytest.raises(Broken) as caught:
                failed.result(DEADLINE)
            assert caught.value is error
        for each in (task, failed):
            assert each.done() and not (each.running() or each.cancelled() or each.cancel())


def test_a_thousand_results_do_not_grow_the_traceback() -> None:
    with planned(1) as (_, queue):
        first = queue.submit(fail)
        last = queue.submit(add, queue.submit(add, first))
        lengths = set()
        for _ in range(1000):
            with pytest.raises(Broken) as caught:
                last.result(DEADLINE)
            lengths.add(len(traceback.extract_tb(caught.value.__traceback__)))
        assert len(lengths) == 1
        # A dependent that fails later has the traceback of the failure, too.
        with pytest.raises(Broken) as late:
            queue.submit(add, last).result(DEADLINE)
        assert len(traceback.extract_tb(late.value.__traceback__)) in lengths
        # What is shown: this test, `result`, and where it was raised; none of our worker.
        names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert names[0] == "test_a_thousand_results_do_not_grow_the_traceback"
        assert names[-2:] == ["result", "fail"]


@pytest.mark.parametrize("ask", [Task.result, Task.exception])
def test_failure_that_was_asked_for_is_freed_at_once(ask: Callable[..., object]) -> None:
    def asked(tasks: list[Task[Any]]) -> None:
        with suppress(Broken):
            ask(tasks.pop(), DEADLINE)

    with without_collector(), planned(1) as (_, queue):
        tasks = [queue.submit(fail)]
        gone = weakref.ref(tasks[0].exception(DEADLINE))
        asked(tasks)
        until_gone(gone)


@pytest.mark.parametrize("timeout", [0, -1, -0.5, 0.001])
@pytest.mark.parametrize("ask", [Task.result, Task.exception])
def test_timeout(ask: Callable[..., object], timeout: float) -> None:
    with planned(1, stopped=True) as (_, queue):
        task = queue.submit(add, 1)
        with pytest.raises(TimeoutError):
            ask(task, timeout)
        # Whoever gave up is forgotten, and who did not wait at all was never noted.
        assert record_of(task) is None if timeout <= 0 else blocked_on(task) == []


def test_many_threads_wait_for_one_task() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(add, 1)
        asked = [beside(task.result, timeout) for timeout in (None, 1e300) * 3]
        asked += [beside(task.exception) for _ in range(5)]
        until(lambda: len(blocked_on(task)) == 11)
        scheduler.resume()
        assert [future.result(DEADLINE) for future in asked] == [2] * 6 + [None] * 5


@pytest.mark.parametrize("ask", [Task.result, Task.exception])
def test_cancelled_raises_to_those_who_wait(ask: Callable[..., object]) -> None:
    with planned(1, stopped=True) as (_, queue):
        task = queue.submit(add, 1)
        asked = beside(ask, task)
        until(lambda: blocked_on(task))
        assert task.cancel()
        with pytest.raises(CancelledError):
            asked.result(DEADLINE)
        with pytest.raises(CancelledError):
            ask(task)
        assert task.origin is None


class Odd:
    """A callable that answers no questions about itself."""

    def __call__(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        raise Broken(name)


def test_states_from_submit_to_end() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        gate = Gate()
        first = queue.submit(gate.enter, 7)
        second, odd, bad = queue.submit(add, first), queue.submit(Odd()), queue.submit(fail)

        def seen(task: Any) -> tuple[object, ...]:
            return task.done(), task.running(), task.cancelled(), task._state

        def shown(task: Any) -> str:
            return repr(task).removeprefix(f"<Task at {id(task):#x} ").replace(queue.name, "Q")

        assert seen(first) == seen(second) == (False, False, False, "PENDING")
        assert not first.origin
        assert shown(first) == "Gate.enter#1 state=ready queue=Q>"
        assert shown(second) == "add#2 state=waiting queue=Q>"
        assert shown(odd) == "Odd#3 state=ready queue=Q>"
        assert odd.cancel()
        assert odd.cancel()
        assert seen(odd) == (True, False, True, "CANCELLED_AND_NOTIFIED")
        assert shown(odd) == "Odd#3 state=cancelled>"
        scheduler.resume()
        gate.wait_entered()
        assert seen(first) == (False, True, False, "RUNNING")
        assert shown(first) == "Gate.enter#1 state=running queue=Q>"
        assert not first.cancel()
        gate.open()
        assert second.result(DEADLINE) == 8
        assert scheduler.wait(DEADLINE)
        assert seen(first) == seen(second) == seen(bad) == (True, False, False, "FINISHED")
        assert shown(first) == "Gate.enter#1 state=done returned int>"
        assert shown(bad) == "fail#4 state=failed raised Broken>"


def test_the_scheduler_alone_ends_a_task() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(add, 1)
        for act in (
            partial(task.set_result, 1),
            partial(task.set_exception, Broken()),
            task.set_running_or_notify_cancel,
        ):
            with pytest.raises(RuntimeError, match="by its scheduler alone"):
                act()
        scheduler.resume()
        assert task.result(DEADLINE) == 2


def test_ended_tasks_say_which_they_were() -> None:
    """By name and number, also as the origin of a failure; of their calls they keep nothing."""

    class Function:
        def __call__(self, *_: object) -> None:
            pass

        def method(self, *_: object) -> None:
            pass

    def generate(_: object) -> Iterator[int]:
        yield 1

    with without_collector(), planned(1, stopped=True) as (scheduler, queue):
        fn = Function()
        gone = weakref.ref(fn)
        tasks = [queue.submit(fn), queue.submit(fn.method), queue.submit(partial(fn.method, fn))]
        tasks += [queue.submit(generate, fn), queue.submit(int), queue.submit(fail), queue.submit(fn, fn)]
        tasks.append(queue.submit(str, tasks[5]))
        assert tasks[6].cancel()
        scheduler.resume()
        assert scheduler.wait(DEADLINE)
        here = "test_ended_tasks_say_which_they_were.<locals>."
        assert [repr(task).split(" ", 3)[3] for task in tasks] == [
            f"{here}Function#1 state=done returned NoneType>",
            f"{here}Function.method#2 state=done returned NoneType>",
            "partial#3 state=done returned NoneType>",
            f"{here}generate#4 state=done returned list>",
            "int#5 state=done returned int>",
            "fail#6 state=failed raised Broken>",
            f"{here}Function#7 state=cancelled>",
            "str#8 state=failed raised Broken>",
        ]
        assert tasks[7].origin is tasks[5]
        assert tasks[7].why() == f"failed: needs {tasks[5]!r}"
        del fn
        until_gone(gone)


def test_promote() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        ran: list[int] = []
        tasks = [queue.submit(ran.append, i) for i in range(4)]
        assert tasks[1].promote()
        assert tasks[2].cancel()
        assert not tasks[2].promote()
        scheduler.resume()
        assert scheduler.wait(DEADLINE)
        assert ran == [1, 3, 0]
        assert not tasks[1].promote()


# Callbacks.


def test_callbacks_are_called_in_order_by_the_thread_that_ends_the_task() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        called: list[tuple[int, Any, int]] = []
        task = queue.submit(threading.get_ident)
        for i in range(5):
            task.add_done_callback(lambda t, i=i: called.append((i, t, threading.get_ident())))
        scheduler.resume()
        worker = task.result(DEADLINE)
        assert queue.submit(threading.get_ident).result(DEADLINE) == worker  # after the callbacks
        assert called == [(i, task, worker) for i in range(5)]
        task.add_done_callback(lambda t: called.append((5, t, threading.get_ident())))
        assert called[5:] == [(5, task, threading.get_ident())]


def test_callbacks_of_failed_and_cancelled_tasks() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        called: list[Any] = []
        bad = queue.submit(fail)
        heir = queue.submit(add, bad)
        dropped = queue.submit(add, 1)
        for task in (bad, heir, dropped):
            task.add_done_callback(called.append)
        assert dropped.cancel()
        assert called == [dropped]  # at once, by whoever cancels
        dropped.add_done_callback(called.append)
        assert called == [dropped] * 2
        scheduler.resume()
        assert scheduler.wait(DEADLINE)
        queue.submit(nothing).result(DEADLINE)  # after the callbacks
        assert called == [dropped, dropped, bad, heir]


@pytest.mark.parametrize("error", [Broken, SystemExit, KeyboardInterrupt])
def test_failing_callback_is_logged_and_stops_nothing(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def interrupt(_: object) -> None:
        raise error("by a callback")

    with planned(1, stopped=True) as (scheduler, queue):
        called: list[Any] = []
        good, bad = queue.submit(add, 1), queue.submit(fail)
        for task in (good, bad):
            task.add_done_callback(interrupt)
            task.add_done_callback(called.append)
        scheduler.resume()
        assert queue.submit(add, settled(good), settled(bad)).exception(DEADLINE)
        assert queue.submit(add, 1).result(DEADLINE) == 2
        assert sorted(map(id, called)) == sorted(map(id, (good, bad)))
        if error is Broken:  # of one that is done, in the thread that adds it
            bad.add_done_callback(interrupt)
        assert [record.name for record in caplog.records] == ["concurrent.futures"] * (2 + (error is Broken))
        assert all("exception calling callback for <Task" in record.message for record in caplog.records)
        assert all(record.exc_info[0] is error for record in caplog.records if record.exc_info)


@pytest.mark.parametrize("repeat", [copy.copy, copy.deepcopy, pickle.dumps])
def test_futures_are_not_copied(repeat: Callable[[object], object]) -> None:
    """A copy of a pending task would be another node of the same number: to cancel it broke the plan."""
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(divmod, 7, 2)
        item = task[0]
        for future in (task, item):
            with pytest.raises(TypeError, match=r"<(Task|Item) at .* can't be copied or pickled"):
                repeat(future)
        scheduler.resume()
        assert item.result(DEADLINE) == 3
        assert task.result(DEADLINE) == (3, 1)
        with pytest.raises(TypeError, match="returned tuple> can't be copied"):
            repeat(task)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("make", [ThreadPoolExecutor, Queue])
def test_ctrl_c_in_a_callback_that_is_called_at_once_goes_to_the_caller(
    make: type[Executor], error: type[BaseException]
) -> None:
    def interrupt(_: object) -> None:
        raise error

    with pytest.raises(error), make(1) as pool:
        future = pool.submit(abs, -1)
        assert future.result(DEADLINE) == 1
        future.add_done_callback(interrupt)


def test_callback_that_stops_and_resumes() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        later = queue.submit(add, 1)
        task = queue.submit(add, 1)
        ended = threading.Event()
        task.add_done_callback(lambda _: scheduler.stop(wait=True))
        task.add_done_callback(lambda _: ended.set())
        scheduler.resume()
        assert ended.wait(DEADLINE)
        assert not later.done()
        scheduler.resume()
        assert later.result(DEADLINE) == 2


def test_callback_waits_for_what_the_same_failure_ended() -> None:
    # The dependent has a condition, which its end needs: that must not come after the callback.
    with planned(1, stopped=True) as (scheduler, queue):
        bad = queue.submit(fail)
        heir = queue.submit(add, bad)
        waiting = beside(wait, [heir], DEADLINE)
        until(lambda: waiters_of(heir))
        seen: list[object] = []
        bad.add_done_callback(lambda _: seen.append(heir.exception(DEADLINE)))
        bad.add_done_callback(lambda _: seen.append(wait([heir], DEADLINE).not_done))
        scheduler.resume()
        assert waiting.result(DEADLINE).done == {heir}
        queue.submit(nothing).result(DEADLINE)
        assert seen == [bad.exception(DEADLINE), set()]


# concurrent.futures.wait and as_completed.


def mixed(queue: Queue) -> dict[str, Task[Any]]:
    """Tasks that end in every way, for a stopped scheduler."""
    tasks: dict[str, Task[Any]] = {"good": queue.submit(add, 1), "bad": queue.submit(fail)}
    tasks["heir"] = queue.submit(add, tasks["bad"])
    tasks["cancelled"] = queue.submit(add, 1)
    tasks["cancelled heir"] = queue.submit(add, tasks["cancelled"])
    tasks["sum"] = queue.submit(add, tasks["good"], tasks["good"])
    return tasks


@pytest.mark.parametrize("when", ["before", "after"])
def test_wait_for_tasks_that_end_in_every_way(when: str) -> None:
    with planned(2, stopped=True) as (scheduler, queue):
        tasks = mixed(queue)
        given = set(tasks.values())

        def ask() -> list[Future[Any]]:
            return [beside(wait, given, DEADLINE), beside(lambda: list(as_completed(given, DEADLINE)))]

        asked = ask() if when == "before" else []
        until(lambda: all(len(waiters_of(task)) == len(asked) for task in given))
        assert tasks["cancelled"].cancel()
        scheduler.resume()
        assert scheduler.wait(DEADLINE)
        waiting, completing = asked or ask()
        assert waiting.result(DEADLINE) == (given, set())
        assert sorted(map(id, completing.result(DEADLINE))) == sorted(map(id, given))


# asyncio.


def test_await_result_exception_and_cancellation() -> None:
    async def main() -> None:
        with planned(1) as (scheduler, queue):
            assert await queue.submit(add, 1) == 2
            done = queue.submit(add, 2)
            assert done.result(DEADLINE) == await done == await asyncio.wrap_future(done)
            with pytest.raises(Broken):
                await queue.submit(fail)
            scheduler.stop()
            task = queue.submit(add, 1)
            waiter = asyncio.ensure_future(task)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiter
            # The other way round.
            task = queue.submit(add, 1)
            waiter = asyncio.ensure_future(asyncio.wait_for(task, 10))
            while not record_of(task):
                await asyncio.sleep(0)
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiter
            assert task.cancelled()

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


# Failure and cancellation.


def test_origin_is_the_task_that_raised() -> None:
    with planned(1) as (_, queue):
        first = queue.submit(fail)
        second = queue.submit(add, 1, b=first)
        third = queue.submit(add, [second])
        fourth = queue.submit(add, {"a": (third,)})
        assert {outcome(task) for task in (second, third, fourth)} == {outcome(first)}
        assert [task.origin for task in (first, second, third, fourth)] == [first] * 4
        # Submitted when all that is over.
        late = queue.submit(add, fourth)
        later = queue.submit(add, late)
        assert outcome(later) is outcome(first)
        assert late.origin is later.origin is first


def test_first_failed_argument_decides() -> None:
    with planned(1) as (_, queue):
        one, two = queue.submit(fail), queue.submit(fail)
        assert outcome(one) is not outcome(two)
        both = queue.submit(add, two, one)
        assert both.origin is two
        assert outcome(both) is outcome(two)


def test_origin_outside() -> None:
    outside: Future[int] = Future()
    with planned(1) as (_, queue):
        first = queue.submit(add, outside)
        second = queue.submit(add, first)
        error = Broken()
        outside.set_exception(error)
        assert first.exception(DEADLINE) is second.exception(DEADLINE) is error
        assert first.origin is second.origin is outside
        assert queue.submit(add, outside).origin is outside


@pytest.mark.parametrize(
    ("shape", "how", "order"),
    slow_but(
        [("chain", "failed", "newest"), ("fan", "cancelled", "newest"), ("chain", "cancelled", "oldest")],
        product(["chain", "fan"], ["failed", "cancelled"], ["newest", "oldest"]),
    ),
)
def test_twenty_thousand_dependents_end_together(shape: str, how: str, order: str) -> None:
    n = 20_000
    with planned(1, 1, order=order) as (_, queue, other):
        gate = Gate()
        # Held, not stopped: dependents must end also where nothing else happens.
        first = queue.submit(lambda: (gate.enter(), fail())) if how == "failed" else None
        held = gate.hold(queue)
        first = queue.submit(add, 1) if first is None else first
        tasks = [first]
        for i in range(n):
            tasks.append((queue if i % 3 else other).submit(add, tasks[-1] if shape == "chain" else first))
        after = other.submit(outcome, settled(tasks[-1]))
        if how == "cancelled":
            assert first.cancel()
        gate.open()
        expected = outcome(first)
        assert after.result(DEADLINE) is expected
        assert all(task.done() for task in tasks)
        assert {outcome(task) for task in tasks} == {expected}
        assert outcome(held) is None
        if how == "failed":
            assert tasks[-1].origin is first


def test_cancelled_dependency_cancels_its_dependents() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        first = queue.submit(add, 1)
        second = queue.submit(add, first)
        third = queue.submit(add, second)
        other = queue.submit(add, 1)
        assert second.cancel()
        assert (first.done(), third.cancelled(), other.done()) == (False, True, False)
        # Submitted when it is cancelled.
        assert queue.submit(add, second).cancelled()
        assert queue.submit(add, other, second).cancelled()
        scheduler.resume()
        assert scheduler.wait(DEADLINE)
        assert scheduler.counts() == dict(waiting=0, ready=0, running=0, done=2, failed=0, cancelled=4)


@pytest.mark.parametrize("work", [partial(add, 1), fail, None], ids=["returned", "failed", "cancelled"])
@pytest.mark.parametrize("where", ["task", "future"])
def test_settled_passes_the_finished_future(work: Callable[[], object] | None, where: str) -> None:
    """Whether it ends before the submit or after that."""
    with planned(1, stopped=True) as (scheduler, queue):
        future = queue.submit(work or nothing) if where == "task" else Future()

        def submit() -> list[Task[Any]]:
            task = queue.submit(lambda x, y: (x, x.done(), y), settled(future), b := [settled(future)])
            assert isinstance(b[0], settled)
            return [task, queue.submit(lambda x, y: y, future, settled(future))]

        tasks = submit()
        if work is None:
            assert future.cancel()
        elif where == "future":
            try:
                future.set_result(work())
            except Broken as error:
                future.set_exception(error)
        else:
            scheduler.resume()
            outcome(future)
        tasks += submit()
        scheduler.resume()
        for after, both in (tasks[:2], tasks[2:]):
            assert after.result(DEADLINE) == (future, True, [future])
            # Given both ways, the plain one decides.
            assert outcome(both) == (future if work not in (fail, None) else outcome(future))


# Futures of others.


def test_plain_future_completed_by_hand() -> None:
    with planned(1) as (scheduler, queue):
        outside: Future[int] = Future()
        gone: Future[int] = Future()
        task = queue.submit(add, outside)
        twice = queue.submit(add, outside, task)
        late = queue.submit(add, queue.submit(add, gone))
        assert queue.submit(add, 1).result(DEADLINE) == 2
        assert queue.counts()["waiting"] == 4
        assert not scheduler.wait(0)
        outside.set_result(41)
        assert (task.result(DEADLINE), twice.result(DEADLINE)) == (42, 83)
        assert queue.submit(add, outside).result(DEADLINE) == 42
        assert gone.cancel()
        assert outcome(late) == "cancelled"
        assert queue.submit(add, gone).cancelled()


def test_task_of_another_scheduler() -> None:
    with planned(1, stopped=True) as (one, first), planned(1) as (_, second):
        gone = first.submit(add, 1)
        bad = first.submit(fail)
        task = first.submit(add, 1)
        chain = first.submit(add, second.submit(add, first.submit(add, second.submit(add, task))))
        heir = second.submit(add, bad)
        orphan = second.submit(add, gone)
        assert gone.cancel()
        assert outcome(orphan) == "cancelled"
        one.resume()
        assert chain.result(DEADLINE) == 6
        assert heir.exception(DEADLINE) is bad.exception(DEADLINE)
        assert heir.origin is bad


def test_foreign_future_ends_when_nobody_waits_for_it_any_more() -> None:
    with planned(1) as (scheduler, queue):
        outside: Future[int] = Future()
        task = queue.submit(add, outside)
        two = queue.submit(add, outside)
        assert task.cancel()
        outside.set_result(1)
        assert two.result(DEADLINE) == 2
        assert not outside_of(scheduler)


def test_arguments_that_cannot_be_rebuilt_fail_the_task() -> None:
    with planned(1) as (_, queue):
        task = queue.submit(nothing, {queue.submit(list)})
        heir = queue.submit(add, task)
        assert isinstance(task.exception(DEADLINE), TypeError)
        assert "unhashable" in str(task.exception())
        assert heir.exception(DEADLINE) is task.exception()
        assert task.origin is heir.origin is task


# Memory.


@pytest.mark.parametrize("end", ["returns", "is cancelled", "a dependency fails", "a dependency had failed"])
def test_ended_task_releases_its_call_its_dependencies_and_its_callbacks(end: str) -> None:
    class Function:
        def __call__(self, *args: object, **kwargs: object) -> None:
            pass

        def tell(self, _: object) -> None:
            pass

    with without_collector(), planned(1, stopped=True) as (scheduler, queue):
        outside: Future[int] = Future()
        if end == "a dependency had failed":
            outside.set_exception(Broken())
        things = [Function(), Function(), *(Kept() for _ in range(4)), queue.submit(Kept), Future()]
        fn, told, first, second, third, fourth, need, own = things
        task = queue.submit(fn, first, [second, need], need, settled(own), outside, a=third, b=(fourth,))
        task.add_done_callback(told.tell)
        gone = [weakref.ref(thing) for thing in things]
        assert task.done() == (end == "a dependency had failed")
        if end == "is cancelled":
            assert task.cancel()
            assert not outside_of(scheduler)
        elif end == "returns":
            own.set_result(1)
            outside.set_result(1)
            scheduler.resume()
        elif end == "a dependency fails":
            outside.set_exception(Broken())
        del things, fn, first, second, third, fourth, own, told, need
        outcome(task)
        scheduler.resume()
        until(lambda: not any(ref() for ref in gone))


def test_intermediate_result_lives_as_long_as_it_is_needed() -> None:
    with without_collector(), planned(1, stopped=True) as (scheduler, queue):
        made: list[weakref.ref[Kept]] = []

        def make(*_: object) -> Kept:
            thing = Kept()
            made.append(weakref.ref(thing))
            return thing

        def look(_: Kept) -> bool:
            until(lambda: made[0]() is None)
            return made[1]() is not None

        first = queue.submit(make)
        second = queue.submit(make, first)
        third = queue.submit(look, second)
        del first, second
        scheduler.resume()
        # No thread may block here: without the GIL an object is freed by the thread that made it.
        until(third.done)
        assert third.result() is True
        until(lambda: queue.submit(nothing).result(DEADLINE) or made[1]() is None)


def test_idle_or_busy_thread_keeps_nothing_of_the_task_before() -> None:
    with without_collector(), planned(1, order="oldest") as (_, queue):
        for work in (Kept, lambda: fail(Kept()), lambda: [Kept()]):
            for busy in (False, True):
                task = queue.submit(work)
                gate = Gate()
                if busy:
                    gate.hold(queue)
                outcome(task)
                gone = weakref.ref(task)
                del task
                until(lambda gone=gone: gone() is None)
                gate.open()


@pytest.mark.parametrize("end", ["done", "cancelled", "mixed"])
@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_scheduler_releases_tasks(order: str, end: str) -> None:
    with without_collector(), planned(1, order=order, stopped=True) as (scheduler, queue):
        tasks: list[Any] = []
        for _ in range(300):
            need = queue.submit(add, 1)
            tasks += [need, queue.submit(add, need)]
        needs, heirs = tasks[::2], tasks[1::2]
        watched = [weakref.ref(task) for task in tasks]
        doomed = dict(done=[], cancelled=needs, mixed=heirs[::2] + needs[50:150])[end]
        for task in doomed:
            assert task.cancel()
        del tasks, needs, heirs, need, doomed
        task = None
        scheduler.resume()
        assert scheduler.wait(DEADLINE)
        until(lambda: not any(ref() for ref in watched))


def test_tasks_that_nobody_will_run_are_released_at_any_depth() -> None:
    scheduler = Scheduler(stopped=True)
    queue = Queue(scheduler, 1)
    task = queue.submit(add, 1)
    first = weakref.ref(task)
    for _ in range(20_000):
        task = queue.submit(add, task)
    assert task.cancel()
    task = None
    assert first() is not None
    queue.shutdown(wait=False, cancel_futures=True)
    until(lambda: first() is None)


def test_done_task_releases_its_scheduler() -> None:
    outside: Future[int] = Future()
    scheduler = Scheduler()
    queue = Queue(scheduler, 1)
    done, dropped = queue.submit(add, 1), queue.submit(add, outside)
    after = queue.submit(outcome, settled(outside))
    late = queue.submit(add, 1, outside)
    assert dropped.cancel()
    assert late.cancel()
    outside.set_exception(Broken())
    assert isinstance(after.result(DEADLINE), Broken)
    assert wait([done, dropped], DEADLINE).not_done == set()
    queue.shutdown()
    gone = weakref.ref(scheduler)
    del scheduler, queue
    gc.collect()
    assert gone() is None
    assert (outcome(done), outcome(dropped)) == (2, "cancelled")


# Many tasks end at a time: others get in between.


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("how", ["cancelled", "failed"])
def test_others_get_in_while_many_tasks_end(how: str, order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with planned(2, 1, order=order) as (scheduler, queue, other):
        gate = Gate()
        root = queue.submit(lambda: gate.enter() or fail())
        need = root
        if how == "cancelled":
            need = other.submit(gate)
            root = queue.submit(str, need)
        tasks = [root]
        for _ in range(2000):
            tasks.append(queue.submit(str, tasks[-1]))
        last = queue.submit(isinstance, settled(tasks[-1]), Task)
        late: list[Any] = []
        slices: list[int] = []

        def let_in() -> None:
            lock_of(scheduler).release()
            try:
                # None has ended before what it needs; none runs; and one that has ended says how.
                done = [task.done() for task in tasks[:1900]]
                slices.append(sum(done))
                assert all(done[: slices[-1]])
                assert not any(task.running() for task in tasks)
                assert all(task.cancelled() == (how == "cancelled") for task in tasks[: slices[-1]])
                if len(slices) == 1:
                    tasks[1000].promote()
                    late.extend([queue.submit(max, tasks[0], tasks[-1]), queue.submit(str, tasks[-1])])
                    late.append(queue.submit(abs, -1))
                    assert tasks[1900].cancel()
                    assert beside(wait, late[2:], DEADLINE).result(2 * DEADLINE).done
            finally:
                lock_of(scheduler).acquire()

        monkeypatch.setattr(core_of(scheduler), "yield_lock", let_in)
        if how == "cancelled":
            assert root.cancel()
            assert all(task.cancelled() for task in tasks)
        gate.open()
        assert last.result(DEADLINE)
        until(lambda: late and all(task.done() for task in [*tasks, *late]))
        assert len(slices) > 5
        assert max(after - before for before, after in pairwise([0, *slices])) < 500
        expected = outcome(root)
        assert {outcome(task) for task in tasks[:1900]} == {expected}
        assert {outcome(task) for task in tasks[1900:]} == {"cancelled"}
        assert [outcome(task) for task in late] == [expected, "cancelled", 1]
        monkeypatch.undo()
        assert scheduler.wait(DEADLINE)
        check_order(scheduler)


@pytest.mark.parametrize("fn", [int, fail])
def test_signal_handler_asks_for_an_ended_task_while_others_end(
    fn: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has interrupted the thread that holds the lock, so it must not take the lock."""
    with planned(1, stopped=True) as (scheduler, queue):
        tasks: list[Task[Any]] = [queue.submit(fn)]
        for _ in range(1000):
            tasks.append(queue.submit(str, tasks[-1]))
        told: list[Any] = []

        def ask() -> None:
            told.extend(outcome(task) for task in tasks[:1] if task.done())

        monkeypatch.setattr(core_of(scheduler), "yield_lock", ask)
        if fn is int:
            assert tasks[0].cancel()
        scheduler.resume()
        assert set(map(outcome, tasks)) == set(told) == {outcome(tasks[0])}


def test_shutdown_while_many_tasks_end_cancels_those_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        tasks = [queue.submit(abs, 1)]
        for _ in range(1000):
            tasks.append(queue.submit(str, tasks[-1]))
        told: list[int] = []

        def let_in() -> None:
            lock_of(scheduler).release()
            try:
                if not told:
                    told.append(sum(task.done() for task in tasks))
                    queue.shutdown(wait=False, cancel_futures=True)
                    told.append(sum(task.done() for task in tasks))
            finally:
                lock_of(scheduler).acquire()

        monkeypatch.setattr(core_of(scheduler), "yield_lock", let_in)
        assert tasks[0].cancel()
        assert told[0] < told[1] == 1001
