"""A task as a future, and what a failure or a cancellation does to those that depend on it."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from itertools import pairwise, product
from math import nan
from typing import Any

import pytest
from gate import DEADLINE, Gate, occupy
from internals import (
    blocked_on,
    check_order,
    core_of,
    lock_of,
    outside_of,
    record_of,
    termination,
    waiters_of,
)
from outcomes import Broken, Kept, add, fail, nothing, outcome
from threads import beside, planned, until, until_gone, without_collector

from smqexec import Item, Queue, Scheduler, Task, settled

# Where tasks come from.


@pytest.mark.parametrize("kind", [Task, Item])
@pytest.mark.parametrize("args", [(), (1, 2)])
def test_tasks_and_items_are_not_made_by_themselves(kind: Any, args: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match=f"no {kind.__name__} can be made by itself"):
        kind(*args)


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
    def names(task: Task[Any]) -> tuple[str, ...]:
        with pytest.raises(Broken) as caught:
            task.result(DEADLINE)
        return tuple(frame.name for frame in traceback.extract_tb(caught.value.__traceback__))

    with planned(1) as (_, queue):
        last = queue.submit(add, queue.submit(add, queue.submit(fail)))
        # What is shown: this test, `result`, and where it was raised; none of our worker.
        shown = ("names", "result", "fail")
        assert {names(last) for _ in range(1000)} == {shown}
        assert names(queue.submit(add, last)) == shown  # of a dependent that fails later, too


@pytest.mark.parametrize("ask", [Task.result, Task.exception])
def test_failure_that_was_asked_for_is_freed_at_once(ask: Callable[..., object]) -> None:
    with without_collector(), planned(1) as (_, queue):
        tasks = [queue.submit(fail)]
        gone = weakref.ref(tasks[0].exception(DEADLINE))
        with suppress(Broken):
            ask(tasks.pop(), DEADLINE)
        until_gone(gone)


@pytest.mark.parametrize("timeout", [0, -1, -0.5, 0.001, nan])
@pytest.mark.parametrize("ask", [Task.result, Task.exception])
def test_timeout(ask: Callable[..., object], timeout: float) -> None:
    with planned(1, stopped=True) as (_, queue):
        task = queue.submit(add, 1)
        with pytest.raises(TimeoutError):
            ask(task, timeout)
        # Whoever gave up is forgotten, and who did not wait at all was never noted.
        assert record_of(task) is None if timeout <= 0 else blocked_on(task) == []


@pytest.mark.parametrize("cancelled", [False, True])
def test_many_threads_wait_for_one_task(cancelled: bool) -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(add, 1)
        asked = [beside(task.result, timeout) for timeout in (None, 1e300) * 3]
        asked += [beside(task.exception) for _ in range(5)]
        until(lambda: len(blocked_on(task)) == 11)
        if cancelled:
            assert task.cancel() and task.origin is None
            asked += [beside(task.result), beside(task.exception)]
            assert {type(future.exception(DEADLINE)) for future in asked} == {CancelledError}
        else:
            scheduler.resume()
            assert [future.result(DEADLINE) for future in asked] == [2] * 6 + [None] * 5


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
            shown = repr(task).removeprefix(f"<Task at {id(task):#x} ").replace(queue.name, "Q")
            return task.done(), task.running(), task.cancelled(), task._state, shown

        pending = False, False, False, "PENDING"
        assert seen(first) == (*pending, "Gate.enter#1 state=ready queue=Q>")
        assert seen(second) == (*pending, "add#2 state=waiting queue=Q>")
        assert seen(odd) == (*pending, "Odd#3 state=ready queue=Q>")
        assert not first.origin
        assert odd.cancel() and odd.cancel()
        assert seen(odd) == (True, False, True, "CANCELLED_AND_NOTIFIED", "Odd#3 state=cancelled>")
        scheduler.resume()
        gate.wait_entered()
        assert seen(first) == (False, True, False, "RUNNING", "Gate.enter#1 state=running queue=Q>")
        assert not first.cancel()
        gate.open()
        assert second.result(DEADLINE) == 8
        assert scheduler.wait(DEADLINE)
        ended = True, False, False, "FINISHED"
        assert seen(first) == (*ended, "Gate.enter#1 state=done returned int>")
        assert seen(bad) == (*ended, "fail#4 state=failed raised Broken>")


def test_the_scheduler_alone_ends_a_task() -> None:
    with planned(1) as (_, queue):
        task = queue.submit(add, 1)
        acts = partial(task.set_result, 1), partial(task.set_exception, Broken())
        for act in (*acts, task.set_running_or_notify_cancel):
            with pytest.raises(RuntimeError, match="by its scheduler alone"):
                act()
        assert task.result(DEADLINE) == 2


def test_ended_tasks_say_which_they_were() -> None:
    """By name and number, also as the origin of a failure; of their calls they keep nothing."""

    class Function:
        def __call__(self, *_: object) -> None:
            pass

        method = __call__

    def generate(_: object) -> Iterator[int]:
        yield 1

    with without_collector(), planned(1, stopped=True) as (scheduler, queue):
        fn = Function()
        gone = weakref.ref(fn)
        calls: Any = [(fn,), (fn.method,), (partial(fn.method, fn),), (generate, fn), (fail,), (fn, fn)]
        tasks = [queue.submit(*call) for call in calls]
        tasks.append(queue.submit(str, tasks[4]))
        assert tasks[5].cancel()
        scheduler.resume()
        assert scheduler.wait(DEADLINE)
        here = "test_ended_tasks_say_which_they_were.<locals>."
        assert [repr(task).split(" ", 3)[3] for task in tasks] == [
            f"{here}Function#1 state=done returned NoneType>",
            f"{here}Function.__call__#2 state=done returned NoneType>",
            "partial#3 state=done returned NoneType>",
            f"{here}generate#4 state=done returned list>",
            "fail#5 state=failed raised Broken>",
            f"{here}Function#6 state=cancelled>",
            "str#7 state=failed raised Broken>",
        ]
        assert tasks[6].origin is tasks[4]
        assert tasks[6].why() == f"failed: needs {tasks[4]!r}"
        del fn, calls
        until_gone(gone)


# Callbacks.


def test_callbacks_are_called_in_order_by_the_thread_that_ends_the_task() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        called: list[tuple[int, Any, int]] = []
        task = queue.submit(threading.get_ident)

        def add_callback(i: int) -> None:
            task.add_done_callback(lambda t: called.append((i, t, threading.get_ident())))

        for i in range(5):
            add_callback(i)
        scheduler.resume()
        worker = task.result(DEADLINE)
        assert queue.submit(threading.get_ident).result(DEADLINE) == worker  # after the callbacks
        add_callback(5)
        assert called == [(i, task, worker if i < 5 else threading.get_ident()) for i in range(6)]


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
        assert set(called) == {good, bad}
        if error is Broken:  # of one that is done, in the thread that adds it
            bad.add_done_callback(interrupt)
        assert len(caplog.records) == 2 + (error is Broken)
        for record in caplog.records:
            assert record.name == "concurrent.futures" and record.exc_info
            assert "exception calling callback for <Task" in record.message and record.exc_info[0] is error


@pytest.mark.parametrize("repeat", [copy.copy, copy.deepcopy, pickle.dumps])
def test_futures_are_not_copied(repeat: Callable[[object], object]) -> None:
    """A copy of a pending task would be another node of the same number: to cancel it broke the plan."""
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(divmod, 7, 2)
        item = task[0]
        for _ in range(2):
            for future in (task, item):
                with pytest.raises(TypeError, match=r"<(Task|Item) at .* can't be copied or pickled"):
                    repeat(future)
            scheduler.resume()
            assert (item.result(DEADLINE), task.result(DEADLINE)) == (3, (3, 1))


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


# asyncio.


def test_await_result_exception_and_cancellation() -> None:
    async def main() -> None:
        with planned(1) as (scheduler, queue):
            done = queue.submit(add, 1)
            assert await done == await done == await asyncio.wrap_future(done) == 2
            with pytest.raises(Broken):
                await queue.submit(fail)
            scheduler.stop()
            for cancels_task in (True, False):
                task = queue.submit(add, 1)
                waiter = asyncio.ensure_future(asyncio.wait_for(task, 10))
                while not record_of(task):
                    await asyncio.sleep(0)
                (task if cancels_task else waiter).cancel()
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
        # Submitted when all that is over, and with two failed arguments: the first one decides.
        other = queue.submit(fail)
        assert outcome(first) is not outcome(other)
        late = queue.submit(add, fourth, other)
        later = queue.submit(add, late)
        assert outcome(later) is outcome(first)
        assert late.origin is later.origin is first


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


@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize("places", [*product(["here", "other scheduler", "foreign"], repeat=2)])
def test_first_end_of_two_failed_dependencies_counts(places: tuple[str, str], before: int) -> None:
    """If both ended *before* the submit, the first argument; if one or none, the one that ended first."""
    with planned(1) as (_, queue), planned(1) as (_, other):
        for first, failing in product((0, 1), repeat=2):
            sources: list[Future[int]] = [Future(), Future()]
            arguments: list[Any] = sources.copy()
            for i, place in enumerate(places):
                if place != "foreign":
                    arguments[i] = (queue if place == "here" else other).submit(abs, sources[i])

            def end(i: int) -> None:
                sources[i].set_exception(Broken()) if i == failing else sources[i].cancel()  # noqa: B023

            ends = [first, 1 - first]
            for i in ends[:before]:
                end(i)
            task = queue.submit(add, *arguments)
            for i in ends[before:]:
                end(i)
            decides = 0 if before == 2 else first
            assert outcome(task) is (sources[failing].exception() if decides == failing else "cancelled")


@pytest.mark.parametrize("work", [partial(add, 1), fail, None], ids=["returned", "failed", "cancelled"])
@pytest.mark.parametrize("where", ["task", "future"])
def test_settled_passes_the_finished_future(work: Callable[[], Any] | None, where: str) -> None:
    """Whether it ends before the submit or after that; given both ways, the plain one decides."""
    with planned(1, stopped=True) as (scheduler, queue):
        future = queue.submit(work or nothing) if where == "task" else Future()

        def submit() -> list[Task[Any]]:
            task = queue.submit(lambda x, y: (x, x.done(), y), settled(future), [settled(future)])
            return [task, queue.submit(lambda x, y: y, future, settled(future))]

        tasks = submit()
        if work is None:
            assert future.cancel()
        elif where == "future":
            try:
                future.set_result(work())
            except Broken as error:
                future.set_exception(error)
        scheduler.resume()
        outcome(future)
        for after, both in (tasks, submit()):
            assert after.result(DEADLINE) == (future, True, [future])
            assert outcome(both) == (future if work not in (fail, None) else outcome(future))


# Futures of others.


def test_plain_future_completed_by_hand() -> None:
    with planned(1) as (scheduler, queue):
        outside, gone = Future[int](), Future[int]()
        task = queue.submit(add, outside)
        twice = queue.submit(add, outside, task)
        dropped = queue.submit(add, outside)
        late = queue.submit(add, queue.submit(add, gone))
        assert queue.submit(add, 1).result(DEADLINE) == 2
        assert queue.counts()["waiting"] == 5
        assert not scheduler.wait(0)
        assert dropped.cancel()
        outside.set_result(41)
        assert (task.result(DEADLINE), twice.result(DEADLINE)) == (42, 83)
        assert queue.submit(add, outside).result(DEADLINE) == 42
        assert gone.cancel()
        assert outcome(late) == "cancelled"
        assert queue.submit(add, gone).cancelled()
        assert not outside_of(scheduler)


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
        until_gone(*gone)


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

        last = queue.submit(look, queue.submit(make, queue.submit(make)))
        scheduler.resume()
        # No thread may block here: without the GIL an object is freed by the thread that made it.
        until(last.done)
        assert last.result() is True
        until(lambda: queue.submit(nothing).result(DEADLINE) or made[1]() is None)


def test_idle_or_busy_thread_keeps_nothing_of_the_task_before() -> None:
    def give(kept: Kept) -> Kept:
        return kept

    with without_collector(), planned(1, order="oldest") as (_, queue):
        for work in (give, lambda kept: fail(kept), lambda kept: [kept]):
            for busy in (False, True):
                before, gate = occupy(queue)[0], Gate()
                # Without the GIL an object is freed by the thread that made it.
                kept = Kept()
                task = queue.submit(work, kept)
                watched = [weakref.ref(task), *([weakref.ref(kept)] if work is give else [])]
                if busy:
                    queue.submit(gate)  # the next one: the thread is not idle in between
                before.open()
                if busy:
                    gate.wait_entered()
                outcome(task)
                del task, kept
                until(lambda watched=watched: not any(gone() for gone in watched))
                gate.open()


@pytest.mark.parametrize("end", ["done", "cancelled", "mixed"])
@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_scheduler_releases_tasks(order: str, end: str) -> None:
    with without_collector(), planned(1, order=order, stopped=True) as (scheduler, queue):
        needs = [queue.submit(add, 1) for _ in range(300)]
        heirs = [queue.submit(add, need) for need in needs]
        watched = [weakref.ref(task) for task in needs + heirs]
        doomed = dict(done=[], cancelled=needs, mixed=heirs[::2] + needs[50:150])[end]
        assert all([task.cancel() for task in doomed])
        del needs, heirs, doomed
        scheduler.resume()
        assert scheduler.wait(DEADLINE)
        until_gone(*watched)


def chain(queue: Queue, *first: Any, length: int) -> list[Task[Any]]:
    """Submit the call *first*, and *length* tasks of which each needs the one before."""
    tasks = [queue.submit(*first)]
    for _ in range(length):
        tasks.append(queue.submit(str, tasks[-1]))
    return tasks


def test_tasks_that_nobody_will_run_are_released_at_any_depth() -> None:
    queue = Queue(Scheduler(stopped=True), 1)
    task = chain(queue, add, 1, length=20_000)[-1:]
    gone = weakref.ref(task[0])
    assert task.pop().cancel()
    queue.shutdown(wait=False, cancel_futures=True)
    until_gone(gone)


def test_done_task_releases_its_scheduler() -> None:
    outside: Future[int] = Future()
    queue = Queue(Scheduler(), 1)
    gone = weakref.ref(queue.scheduler)
    done, dropped = queue.submit(add, 1), queue.submit(add, outside)
    after, late = queue.submit(outcome, settled(outside)), queue.submit(add, 1, outside)
    assert dropped.cancel() and late.cancel()
    outside.set_exception(Broken())
    assert isinstance(after.result(DEADLINE), Broken)
    assert wait([done, dropped], DEADLINE).not_done == set()
    queue.shutdown()
    del queue
    gc.collect()
    assert gone() is None
    assert (outcome(done), outcome(dropped)) == (2, "cancelled")


# Many tasks end at a time: others get in between.


@pytest.fixture
def between_slices(monkeypatch: pytest.MonkeyPatch) -> Callable[[Scheduler, Callable[[], object]], None]:
    """Call it with a scheduler and a function, which is called between two slices of a drop, unlocked."""

    def arm(scheduler: Scheduler, act: Callable[[], object]) -> None:
        def let_in() -> None:
            lock_of(scheduler).release()
            try:
                # A worker whose search is long also comes here, perhaps at the same time.
                if sys._getframe(1).f_code is termination.Termination.drop.__code__:
                    act()
            finally:
                lock_of(scheduler).acquire()

        monkeypatch.setattr(core_of(scheduler), "yield_lock", let_in)

    return arm


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("how", ["cancelled", "failed"])
def test_others_get_in_while_many_tasks_end(how: str, order: str, between_slices: Any) -> None:
    with planned(2, 1, order=order) as (scheduler, queue, other):
        gate = Gate()
        need = other.submit(gate) if how == "cancelled" else None
        tasks = chain(queue, *([str, need] if need else [lambda: gate.enter() or fail()]), length=2000)
        last = queue.submit(isinstance, settled(tasks[-1]), Task)
        late: list[Any] = []
        slices: list[int] = []

        def let_in() -> None:
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

        between_slices(scheduler, let_in)
        if how == "cancelled":
            assert tasks[0].cancel()
            assert all(task.cancelled() for task in tasks)
        gate.open()
        assert last.result(DEADLINE)
        until(lambda: late and all(task.done() for task in [*tasks, *late]))
        assert len(slices) > 5
        assert max(after - before for before, after in pairwise([0, *slices])) < 500
        expected = outcome(tasks[0])
        assert [outcome(task) for task in tasks] == [expected] * 1900 + ["cancelled"] * 101
        assert tasks[1899].origin is (None if how == "cancelled" else tasks[0])
        assert [outcome(task) for task in late] == [expected, "cancelled", 1]
        assert scheduler.wait(DEADLINE)
        check_order(scheduler)


@pytest.mark.parametrize("fn", [int, fail])
def test_signal_handler_asks_for_an_ended_task_while_others_end(
    fn: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has interrupted the thread that holds the lock, so it must not take the lock."""
    with planned(1, stopped=True) as (scheduler, queue):
        tasks = chain(queue, fn, length=1000)
        told: list[Any] = []

        def ask() -> None:
            told.extend(outcome(task) for task in tasks[:1] if task.done())

        monkeypatch.setattr(core_of(scheduler), "yield_lock", ask)
        if fn is int:
            assert tasks[0].cancel()
        scheduler.resume()
        assert set(map(outcome, tasks)) == set(told) == {outcome(tasks[0])}


def test_shutdown_while_many_tasks_end_cancels_those_that_are_left(between_slices: Any) -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        tasks = chain(queue, abs, 1, length=1000)
        told: list[int] = []

        def let_in() -> None:
            if not told:
                told.append(sum(task.done() for task in tasks))
                queue.shutdown(wait=False, cancel_futures=True)
                told.append(sum(task.done() for task in tasks))

        between_slices(scheduler, let_in)
        assert tasks[0].cancel()
        assert told[0] < told[1] == 1001
