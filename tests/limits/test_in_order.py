"""Queues that start their tasks in the order they were submitted, with real threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any
from weakref import ref

import pytest
from gate import DEADLINE, Gate, occupy
from internals import check_order, lock_of, pending_in, searches_in, state_of
from threads import planned, until

from smqexec import Queue
from smqexec._planner.nodes import DONE


@contextmanager
def line(slots: int = 1, *others: int, **options: Any) -> Iterator[Any]:
    """A scheduler, a queue of it that starts in order, a list for its tasks, and other queues."""
    order: list[Any] = []
    with planned(*others, **options) as (scheduler, *queues):
        yield scheduler, Queue(scheduler, slots, in_order=True), order, *queues


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_tasks_start_in_the_order_of_submission(order: str) -> None:
    with line(order=order, stopped=True) as (scheduler, queue, done):
        tasks = [queue.submit(done.append, number) for number in range(5)]
        last = queue.options(name="last").submit(done.append, 5)
        tasks[3].promote()
        assert queue.counts()["ready"] == 1 and queue.counts()["waiting"] == 5
        scheduler.resume()
        last.result(DEADLINE)
        assert state_of(queue).barrier._stage == DONE
        assert not any(task._barrier for task in [*tasks, last])
    assert done == list(range(6))


def test_next_starts_when_the_one_before_has_started_not_ended() -> None:
    one, two = Gate(), Gate()
    with line(3) as (_, queue, _):
        tasks = [queue.submit(one), queue.submit(one), queue.submit(two), queue.submit(one)]
        one.wait_entered(2)
        two.wait_entered()
        assert queue.counts()["running"] == 3 and not tasks[3].running()
        two.open()
        one.wait_entered(3)
        one.open()
        assert [task.result(DEADLINE) for task in tasks] == [None] * 4


def test_wanting_a_later_one_wants_what_those_before_it_need() -> None:
    """The newest sink needs the second acquisition; so the preparation of the first goes first."""
    with line(1, 1, stopped=True) as (scheduler, instrument, done, prepare):
        ready = [prepare.submit(done.append, name) for name in ("p0", "p1", "p2")]
        frames = [
            instrument.submit(lambda _, i=i: done.append(f"f{i}"), need)
            for i, need in enumerate([ready[1], ready[2]])
        ]
        sink = prepare.submit(lambda _: done.append("sink"), frames[1])
        scheduler.resume()
        sink.result(DEADLINE)
        assert scheduler.wait(DEADLINE)
    assert [name for name in done if name[0] == "p"] == ["p1", "p2", "p0"]
    assert [name for name in done if name[0] != "p"] == ["f0", "f1", "sink"]


def test_failed_and_cancelled_ones_leave_the_order_as_it_was() -> None:
    """The next task starts; it still waits for what comes before, which a late dependency holds up."""
    outside: Future[int] = Future()
    with line() as (scheduler, queue, done):
        failing = queue.submit(int, "x")
        dropped = queue.submit(done.append, failing)
        first = queue.submit(done.append, outside)
        tasks = [queue.submit(done.append, number) for number in range(4)]
        for number in (1, 3, 0):
            assert tasks[number].cancel()
        assert dropped.exception(DEADLINE) is failing.exception(DEADLINE)
        check_order(scheduler)
        assert queue.counts()["waiting"] == 2
        outside.set_result(-1)
        tasks[2].result(DEADLINE)
        assert first.done() and done == [-1, 2]
        queue.submit(done.append, 5).result(DEADLINE)
    assert done == [-1, 2, 5]


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_all_are_found_that_need_nothing_but_their_turn(order: str) -> None:
    with line(order=order, stopped=True) as (scheduler, queue, done):
        tasks = [queue.submit(done.append, number) for number in range(10)]
        with lock_of(scheduler):
            assert pending_in(scheduler) == tasks
        queue.shutdown(wait=False, cancel_futures=True)
        assert all(task.cancelled() for task in tasks)
        scheduler.resume()
    assert not done


def test_cancelling_what_is_needed_leaves_the_line_alone() -> None:
    """A place in the line is no need: neither does it keep a task from being cancelled."""
    with line(1, 1, stopped=True) as (_, queue, _, other):
        first, second, third = (queue.submit(abs, 1) for _ in range(3))
        sink = other.submit(abs, second)
        assert sink.cancel(dependencies=True)
        assert second.cancelled() and not first.cancelled() and not third.cancelled()
        assert third.cancel(dependencies=True)
        assert not first.cancelled()


def test_items_of_a_map_and_generator_tasks_take_their_turn() -> None:
    def count() -> Iterator[int]:
        for number in range(3):
            done.append(f"item {number}")
            yield number

    with line(stopped=True) as (scheduler, queue, done):
        early = queue.submit(done.append, "early")
        results = queue.map(done.append, range(4))
        item = queue.submit(count)[2]
        late = queue.submit(done.append, "late")
        scheduler.resume()
        assert list(results) == [None] * 4
        late.result(DEADLINE)
        assert early.done() and item.result(DEADLINE) == 2
    assert done == ["early", 0, 1, 2, 3, "item 0", "item 1", "item 2", "late"]


def test_waiting_for_a_later_one_over_cancelled_ones_and_other_queues() -> None:
    outside: Future[int] = Future()
    with line(1, 1) as (_, queue, done, other):

        def wait() -> None:
            needed = other.submit(lambda: outside.result())
            tasks = [queue.submit(done.append, need) for need in (needed, "x", 2)]
            tasks[1].cancel()
            gate.enter()
            tasks[2].result()
            done.append("waited")

        gate = Gate()
        waiting = queue.submit(wait)
        gate.wait_entered()
        gate.open()
        until(lambda: searches_in(queue))
        outside.set_result(1)
        waiting.result(DEADLINE)
    assert done == [1, 2, "waited"]


def test_waiting_for_one_behind_a_task_that_needs_the_waiting_one() -> None:
    """Which can't end: it is told so."""
    with line() as (_, queue, _):

        def wait() -> None:
            gate.enter()
            later[0].result()

        gate, later = Gate(), []
        waiting = queue.submit(wait)
        gate.wait_entered()
        queue.submit(abs, waiting)
        later.append(queue.submit(abs, 1))
        gate.open()
        with pytest.raises(RuntimeError, match=r"end: .*abs#3 .* comes after .*abs#2 .* needs .*#1 "):
            waiting.result(DEADLINE)
        assert later[0].result(DEADLINE) == 1


def test_callbacks_leave_the_next_to_others() -> None:
    """A callback that waits for the next task of the line."""
    with line(2) as (_, queue, done):
        gate, first = occupy(queue)
        tasks = [queue.submit(done.append, number) for number in range(3)]
        tasks[0].add_done_callback(lambda _: done.append(tasks[2].exception(DEADLINE)))
        gate.open()
        first.result(DEADLINE)
        tasks[2].result(DEADLINE)
        until(lambda: len(done) == 4)
    assert sorted(map(str, done)) == ["0", "1", "2", "None"]


def test_reasons_tell_of_the_line() -> None:
    outside: Future[int] = Future()
    with line() as (_, queue, done):
        first = queue.options(name="first").submit(done.append, outside)
        second = queue.options(name="second").submit(done.append, 2)
        third = queue.options(name="third").submit(done.append, 2)
        end = "needs a future of another executor"
        assert third.why() == f"waiting: comes after second#2, which comes after first#1, which {end}"
        second.cancel()
        assert third.why() == f"waiting: comes after first#1, which {end}"
        assert first.why() == f"waiting: {end}"
        outside.set_result(1)
        assert third.result(DEADLINE) is None


def test_ended_task_is_not_kept_for_the_one_before_it() -> None:
    """Its barrier waits for the start of the first task, perhaps for long, and does not keep the failure."""
    outside: Future[int] = Future()
    with line() as (_, queue, done):
        first = queue.submit(done.append, outside)
        failing = Queue().submit(int, "x")
        dropped = [queue.submit(abs, failing), queue.submit(abs, 1)]
        last = queue.submit(done.append, 2)
        assert dropped[1].cancel()
        assert dropped[0].exception(DEADLINE) is failing.exception()
        references = [ref(task) for task in dropped]
        dropped.clear()
        until(lambda: not any(reference() for reference in references))
        outside.set_result(1)
        assert (first.result(DEADLINE), last.result(DEADLINE)) == (None, None)
        assert done == [1, 2]
