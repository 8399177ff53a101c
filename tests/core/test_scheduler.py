"""Stop, resume, wait, counts; and the order in which real threads start tasks."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future, wait
from math import nan
from types import SimpleNamespace
from typing import Any

import planner_checks
import pytest
from gate import DEADLINE, Gate, occupy
from internals import (
    SEARCH_LIMIT,
    blocked_on,
    check_order,
    exclusive,
    idle_in,
    lock_of,
    order_of,
    outside_of,
    resting_in,
    state_of,
    states_of,
    watchers_of,
)
from outcomes import add, fail
from threads import beside, planned, until

from smqexec import Queue, Scheduler, Task, settled

NOTHING = dict(waiting=0, ready=0, running=0, done=0, failed=0, cancelled=0)


def entries(scheduler: Scheduler) -> int:
    with lock_of(scheduler):
        return planner_checks.entries(order_of(scheduler), states_of(scheduler))


# Making one.


def test_order_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="order must be 'newest' or 'oldest', not 'random'"):
        Scheduler("random")
    with pytest.raises(TypeError):
        Scheduler("newest", True)  # type: ignore[misc]
    assert Scheduler("oldest").order == Queue(1).scheduler.order == "oldest"
    assert Scheduler().order == "newest"


def test_queues_are_those_in_use() -> None:
    scheduler = Scheduler()
    one, two = Queue(scheduler, 1), Queue(2, scheduler=scheduler)
    assert scheduler.queues == (one, two)
    del one
    gc.collect()
    assert scheduler.queues == (two,)
    # What is kept of lost queues goes when the next one comes.
    three = Queue(scheduler, 1)
    assert len(states_of(scheduler)) == 2
    assert scheduler.queues == (two, three)


# Counts.


def test_counts_and_repr_in_every_state() -> None:
    with planned(1, 1, stopped=True) as (scheduler, queue, other):
        assert scheduler.counts() == queue.counts() == NOTHING
        assert repr(scheduler) == "<Scheduler order=newest stopped, 2 queues: no tasks>"
        gate = Gate()
        waiting = queue.submit(add, ready := queue.submit(add, 1))
        for submit in (other, queue):
            assert submit.submit(add, 1).cancel()
        bad = queue.submit(fail)
        heir = other.submit(add, bad)
        held = queue.submit(gate)
        scheduler.resume()
        gate.wait_entered()
        assert queue.counts() == {**NOTHING, "waiting": 1, "ready": 2, "running": 1, "cancelled": 1}
        assert other.counts() == {**NOTHING, "waiting": 1, "cancelled": 1}
        assert scheduler.counts() == dict(waiting=2, ready=2, running=1, done=0, failed=0, cancelled=2)
        assert repr(scheduler) == (
            "<Scheduler order=newest, 2 queues: 2 waiting, 2 ready, 1 running, 2 cancelled>"
        )
        assert (
            repr(queue) == f"<Queue {queue.name}, 1 slot: 1 waiting, 2 ready, 1 running, 1 cancelled>"
        )
        gate.open()
        assert scheduler.wait(DEADLINE)
        assert scheduler.counts() == dict(waiting=0, ready=0, running=0, done=3, failed=2, cancelled=2)
        assert other.counts() == {**NOTHING, "failed": 1, "cancelled": 1}
        assert heir.origin is bad
        assert (ready.result(), waiting.result(), held.result()) == (2, 3, None)


# Stop, resume, wait.


def test_stop_lets_running_tasks_finish() -> None:
    with planned(1, 2) as (scheduler, queue, other):
        gate = Gate()
        held = [queue.submit(gate.enter, 1), other.submit(gate.enter, 2)]
        later = queue.submit(add, held[0])
        gate.wait_entered(2)
        stopping = beside(scheduler.stop, True)
        until(lambda: watchers_of(scheduler))
        assert not stopping.done()
        gate.open()
        stopping.result(DEADLINE)
        assert [task.done() for task in held] == [True, True]
        assert queue.counts() == {**NOTHING, "ready": 1, "done": 1}
        scheduler.resume()
        assert later.result(DEADLINE) == 2


def test_stops_are_counted_and_a_resume_ends_all() -> None:
    def is_stopped(stopped: bool = True) -> bool:
        """Whether a task is held, or runs."""
        task = queue.submit(add, 1)
        if not stopped:
            return task.result(DEADLINE) == 2 and not scheduler.stopped
        return queue.counts()["ready"] > 0 and scheduler.stopped

    with planned(1) as (scheduler, queue):
        scheduler.stop(wait=True)
        scheduler.stop()
        assert is_stopped()
        with scheduler.stop():
            pass
        assert is_stopped()  # by the two stops before
        scheduler.resume()
        scheduler.resume()
        assert is_stopped(False)
        for wait in (False, True):
            with scheduler.stop(wait) as nothing:
                assert nothing is None and is_stopped()
            assert is_stopped(False)
        with pytest.raises(ValueError), scheduler.stop():
            raise ValueError
        assert is_stopped(False)
        first, second = scheduler.stop(), scheduler.stop()  # of two threads
        with second:
            with first:
                pass
            assert is_stopped()
        assert is_stopped(False)
        with scheduler.stop():
            scheduler.stop()
        assert is_stopped()  # by the stop without a block
        scheduler.resume()
        with scheduler.stop():
            scheduler.resume()
            assert is_stopped(False)
            scheduler.stop()  # after the resume: not ended by the block
        assert is_stopped()
        scheduler.resume()
    with planned(1, stopped=True) as (scheduler, queue):
        with scheduler.stop():
            pass
        assert is_stopped()
        scheduler.resume()
        assert is_stopped(False)


def test_stop_is_for_one_block() -> None:
    with planned(1) as (scheduler, queue):
        stop = scheduler.stop()
        assert repr(stop) == f"<Stop of {scheduler!r}>"
        with stop:
            pass
        with pytest.raises(RuntimeError, match=r"one with block; call stop\(\) again"), stop:
            raise AssertionError
        assert not scheduler.stopped
        assert queue.submit(add, 1).result(DEADLINE) == 2


def test_no_task_starts_while_stopped() -> None:
    with planned(4, 1) as (scheduler, queue, other):
        stopped = threading.Event()
        early: list[object] = []

        def note() -> None:
            if stopped.is_set():
                early.append(1)

        for _ in range(50):
            tasks = [q.submit(note) for q in (queue, other) for _ in range(20)]
            # What runs now has been counted as running before: it may have yet to look.
            scheduler.stop(wait=True)
            stopped.set()
            tasks += [q.submit(note) for q in (queue, other) for _ in range(3)]
            assert tasks[-1].cancel()
            beside(add, 1).result(DEADLINE)
            assert scheduler.counts()["running"] == 0
            stopped.clear()
            scheduler.resume()
            assert scheduler.wait(DEADLINE)
        assert not early


def test_resume_starts_threads_only_where_something_is_pending() -> None:
    with planned(2, 2, 3, stopped=True) as (scheduler, idle, waiting, ready):
        outside: Future[int] = Future()
        task = waiting.submit(str, outside)
        together = threading.Barrier(2)
        tasks = [ready.submit(together.wait, DEADLINE) for _ in range(2)]
        assert scheduler.stopped
        assert not waiting._threads and not ready._threads
        scheduler.resume()
        assert not scheduler.stopped
        assert [len(queue._threads) for queue in (idle, waiting, ready)] == [0, 1, 2]
        outside.set_result(1)
        assert task.result(DEADLINE) == "1"
        assert sorted(each.result(DEADLINE) for each in tasks) == [0, 1]


def test_worker_on_its_way_counts_so_that_no_other_is_started_for_the_same_task() -> None:
    with planned(2) as (_, queue):
        gate, _ = occupy(queue)
        deaf = Gate()
        [worker] = state_of(queue).workers
        wakes = worker.wakes
        worker.wakes = SimpleNamespace(put=wakes.put, get=lambda: deaf.enter() or wakes.get())
        gate.open()
        deaf.wait_entered()  # it is idle, and does not hear of its wake
        task, later = queue.submit(int), Future[int]()
        waiting = queue.submit(int, later)
        later.cancel()
        until(waiting.done)
        workers, coming = list(state_of(queue).workers), list(state_of(queue).coming)
        deaf.open()
        assert workers == coming == [worker]
        assert task.result(DEADLINE) == 0


def test_wait() -> None:
    with planned(1, 1) as (scheduler, queue, other):
        assert scheduler.wait()
        assert scheduler.wait(0)
        gate = Gate()
        other.submit(add, queue.submit(gate.enter, 1))
        for timeout in (0, -1, nan, 0.001):
            assert not scheduler.wait(timeout)
        assert not watchers_of(scheduler)
        waiting = [beside(scheduler.wait), beside(scheduler.wait, 1e300)]
        until(lambda: len(watchers_of(scheduler)) == 2)
        gate.open()
        assert [future.result(DEADLINE) for future in waiting] == [True, True]
        assert scheduler.counts() == {**NOTHING, "done": 2}


def test_wait_ends_when_all_is_cancelled() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(add, 1)
        waiting = beside(scheduler.wait)
        until(lambda: watchers_of(scheduler))
        assert task.cancel()
        assert waiting.result(DEADLINE)


def test_tasks_that_stop_resume_and_wait() -> None:
    """A task that waits until nothing is left waits not for itself, nor for another that does the same."""
    with planned(3) as (scheduler, queue):
        refused = queue.submit(scheduler.stop, wait=True)
        with pytest.raises(RuntimeError, match="runs itself"):
            refused.result(DEADLINE)
        assert not scheduler.stopped
        both = threading.Barrier(2, timeout=DEADLINE)

        def wait() -> bool:
            both.wait()
            return scheduler.wait(DEADLINE)

        one, two = queue.submit(wait), queue.submit(wait)
        assert one.result(DEADLINE)
        assert two.result(DEADLINE)
        assert not resting_in(scheduler)
        queue.submit(scheduler.stop).result(DEADLINE)
        assert scheduler.stopped
        scheduler.resume()


# Shutdown.


def test_with_block_shuts_its_queues_down() -> None:
    with Scheduler() as scheduler:
        one, two = Queue(scheduler, 1), Queue(scheduler, 2)
        tasks = [two.submit(add, one.submit(add, i)) for i in range(20)]
    assert [task.result(0) for task in tasks] == list(range(2, 22))
    for queue in (one, two):
        assert not any(thread.is_alive() for thread in queue._threads)
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            queue.submit(add, 1)


def test_with_block_that_raises_still_does_what_is_pending() -> None:
    gate = Gate()
    with pytest.raises(KeyError), Scheduler() as scheduler:
        queue = Queue(scheduler, 1)
        tasks = [queue.submit(gate.enter, 1), queue.submit(add, 1)]
        gate.wait_entered()
        beside(lambda: until(lambda: state_of(queue).refusal) or gate.open())
        raise KeyError
    assert [task.result(0) for task in tasks] == [1, 2]


def test_shutdown_from_inside_a_task_waits_for_no_queue_first() -> None:
    """Not even for those that come before its own: one may need the task."""
    with Scheduler() as scheduler:
        first, own = Queue(scheduler, 1), Queue(scheduler, 1)
        gate = Gate()

        def shut_down() -> None:
            gate.enter()
            scheduler.shutdown()

        task = own.submit(shut_down)
        heir = first.submit(abs, task)
        gate.open()
        with pytest.raises(RuntimeError, match="shutdown"):
            heir.result(DEADLINE)


def test_shutdown_that_cancels_lets_go_on_who_only_waits_for_the_end() -> None:
    with planned(1, 2) as (_, queue, other):
        gate, _ = occupy(queue)
        task = queue.submit(int)
        together = threading.Barrier(2)
        late = [other.submit(lambda _: together.wait(DEADLINE), settled(task)) for _ in range(2)]
        queue.shutdown(wait=False, cancel_futures=True)
        assert sorted(each.result(DEADLINE) for each in late) == [0, 1]
        gate.open()


# Order.


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_example_of_a_b_and_c(order: str) -> None:
    n = 100
    with planned(1, order=order, stopped=True) as (scheduler, queue):
        ran: list[str] = []

        def note(name: str, *_: object) -> str:
            ran.append(name)
            return name

        a, b, c = [], [], []
        for i in range(n):
            a.append(queue.submit(note, f"A{i}"))
            b.append(queue.submit(note, f"B{i}", a[i]))
        for i in range(n):
            c += [queue.submit(note, f"C{i * n + k}", b[i], b[k]) for k in range(n)]
        scheduler.resume()
        assert scheduler.wait(DEADLINE)
        if order == "newest":
            first = [f"{x}{i + (n * (n - 1) if x == 'C' else 0)}" for i in reversed(range(n)) for x in "ABC"]
            rest = [f"C{i}" for i in reversed(range(n * (n - 1)))]
            assert first[:6] == ["A99", "B99", "C9999", "A98", "B98", "C9998"]
            assert rest[0] == "C9899"
        else:
            first = [f"{x}{i}" for i in range(n) for x in "AB"]
            rest = [f"C{i}" for i in range(n * n)]
        assert ran == first + rest


def test_map_is_one_submission_whose_first_item_is_the_newest() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        ran: list[int] = []
        queue.submit(ran.append, -1)
        early = queue.map(ran.append, range(5))
        late = queue.map(ran.append, range(10, 13))
        queue.submit(ran.append, 20)
        scheduler.resume()
        assert list(early) == [None] * 5
        assert scheduler.wait(DEADLINE)
        assert ran == [20, 10, 11, 12, 0, 1, 2, 3, 4, -1]
        assert list(late) == [None] * 3


def test_oldest_first_a_map_is_as_many_submissions_as_it_has_items() -> None:
    """What is submitted while its iterable is read comes in between."""
    order: list[int] = []
    with planned(1, order="oldest", stopped=True) as (scheduler, queue):

        def items() -> Any:
            yield 1
            queue.submit(order.append, 2)
            yield 3

        results = queue.map(order.append, items())
        scheduler.resume()
        assert len(list(results)) == 2
        assert scheduler.wait(DEADLINE)
    assert order == [1, 2, 3]


def test_argument_given_twice_is_one_dependency() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        one, two = queue.submit(int), queue.submit(int)
        tasks = [queue.submit(add, one, one), queue.submit(max, one, two, one)]
        assert len(scheduler.graph().edges) == 3
        assert "more" not in tasks[0].why() and "and 1 more" in tasks[1].why()
        check_order(scheduler)
        scheduler.resume()
        assert [task.result(DEADLINE) for task in tasks] == [0, 0]


def deep(queue: Queue) -> Task[int]:
    """More tasks below one sink than one hold of the lock may search."""
    task = queue.submit(int)
    for _ in range(SEARCH_LIMIT * 4):
        task = queue.submit(add, task)
    return task


@pytest.fixture
def between_slices(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Call it with a function: that is called after each slice of a search, without the lock."""

    def arm(act: Callable[[], object]) -> None:
        def sleep(seconds: float) -> None:
            assert seconds == 0
            if sys._getframe(1).f_code is exclusive.Exclusive.yield_lock.__code__:  # else a thread spins
                act()

        monkeypatch.setattr(exclusive, "time", SimpleNamespace(sleep=sleep))

    return arm


def test_long_search_lets_others_have_the_lock(between_slices: Any) -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        tried: list[int] = []
        between_slices(lambda: tried.append(beside(scheduler.counts).result(DEADLINE)["running"]))
        sink = deep(queue)
        scheduler.resume()
        assert sink.result(DEADLINE) == SEARCH_LIMIT * 4
        assert tried == [0] * 4


def test_stop_during_a_long_search(between_slices: Any) -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        stops: list[object] = []
        between_slices(lambda: stops or stops.append(scheduler.stop()))
        sink = deep(queue)
        scheduler.resume()
        until(lambda: stops and idle_in(queue))
        assert queue.counts()["running"] == queue.counts()["done"] == 0
        scheduler.resume()
        assert sink.result(DEADLINE) == SEARCH_LIMIT * 4


@pytest.mark.parametrize("options", [{}, {"max_pending": 2000}])
def test_end_of_a_task_is_told_before_a_long_search(options: dict[str, Any], between_slices: Any) -> None:
    """To threads that wait for the task, and to another queue that has a slot free for its dependent."""
    with planned(1) as (scheduler, other), Queue(scheduler, 1, **options) as queue:
        told: list[Any] = []
        gate, held = occupy(queue, 1)
        waiting = beside(held.result)
        until(lambda: blocked_on(held))
        sink = deep(queue)
        heir = other.submit(add, held)  # newer than the sink: its queue needs no search to start it
        between_slices(
            lambda: told or told.append([waiting.result(DEADLINE), beside(heir.result).result(DEADLINE)])
        )
        gate.open()
        assert sink.result(DEADLINE) == SEARCH_LIMIT * 4
        assert told == [[1, 2]]


# Months of service.


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_service_does_not_grow(order: str) -> None:
    rounds = 5000
    alive: set[weakref.ref[Any]] = set()
    with planned(1, 1, order=order) as (scheduler, queue, other):
        outside: Future[int] = Future()
        gate = Gate()
        forever = other.submit(gate)  # something old stays all the time
        pending = other.submit(add, forever, outside)
        most = most_alive = 0
        tasks: list[Task[Any]] = []
        for i in range(rounds):
            need = queue.submit(add, i)
            tasks.append(queue.submit(add, need))
            alive.update(weakref.ref(task, alive.discard) for task in (need, tasks[-1]))
            if i % 10 == 1:
                doomed = other.submit(add, tasks[-1], pending)
                alive.add(weakref.ref(doomed, alive.discard))
                assert doomed.cancel()
                del doomed
            if i % 50 == 49:
                assert not wait(tasks, DEADLINE).not_done
                tasks.clear()
                most = max(most, entries(scheduler))
                most_alive = max(most_alive, len(alive))
        del need
        gate.open()
        outside.set_exception(ValueError())
        assert scheduler.wait(DEADLINE)
        assert most < 1000
        assert most_alive < 1000
        assert scheduler.counts()["done"] == 2 * rounds + 1
        assert pending.origin is outside
        del pending, forever
        until(lambda: queue.submit(add, 1).result(DEADLINE) and len(alive) == 0)
        assert entries(scheduler) < 300  # a few lists are not swept while they are short
        assert not outside_of(scheduler)
        assert not watchers_of(scheduler)


@pytest.mark.parametrize("cancel", [False, True])
def test_shutdown_sees_to_lost_queues(cancel: bool) -> None:
    gate = Gate()
    with Scheduler() as scheduler:
        held = Queue(scheduler, 1).submit(gate)
        gate.wait_entered()
        late = Queue(scheduler, 1).submit(str, held)
        gc.collect()
        assert not scheduler.queues
        if cancel:
            scheduler.shutdown(wait=False, cancel_futures=True)
        gate.open()
    assert held.done()
    assert late.done()
    assert late.cancelled() is cancel


def test_counts_keep_those_of_lost_queues() -> None:
    """Also of a queue that broke."""
    with Scheduler() as scheduler:
        queue, broken = Queue(scheduler, 1), Queue(scheduler, 1, initializer=fail)
        assert queue.submit(int).result(DEADLINE) == 0
        assert queue.submit(int, "x").exception(DEADLINE)
        assert broken.submit(int).exception(DEADLINE)
        lost = [state_of(queue), state_of(broken)]
        del queue, broken
        gc.collect()
        until(lambda: not any(slots.workers or not slots.lost for slots in lost))
        Queue(scheduler, 1)
        assert not any(slots in states_of(scheduler) for slots in lost)
        counts = scheduler.counts()
        assert (counts["done"], counts["failed"]) == (1, 2)


def test_task_of_another_queue_starts_while_the_worker_goes_on() -> None:
    with planned(1, 1) as (_, queue, other):
        gate, task = occupy(queue, 1)
        dependent = other.submit(add, task)
        following = Gate()
        queue.submit(following)
        gate.open()
        following.wait_entered()
        assert dependent.result(DEADLINE) == 2
        following.open()
