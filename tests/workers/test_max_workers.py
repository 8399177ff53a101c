"""Queues whose number of slots changes while they run."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, thread
from typing import Any

import pytest
from gate import DEADLINE, Gate, occupy
from internals import idle_in, lock_of, pool_of, state_of, workers_of
from threads import beside, planned, until

from smqexec import Queue, Scheduler


def workers(queue: Queue) -> int:
    with lock_of(queue):
        return len(workers_of(queue))


def test_up_at_once() -> None:
    gate = Gate()
    with planned(1) as (_, queue):
        tasks = [queue.submit(gate, number) for number in range(9)]
        gate.wait_entered()
        for number in (1, 4):
            queue.max_workers = number
            assert queue.max_workers == queue._max_workers == number
            gate.wait_entered(number)
            assert queue.counts()["running"] == number
        assert "4 slots" in repr(queue)
        gate.open()
        assert [task.result(DEADLINE) for task in tasks] == list(range(9))


@pytest.mark.parametrize("stopped", [False, True])
def test_up_while_nothing_starts_counts_for_what_comes(stopped: bool) -> None:
    gate = Gate()
    with planned(1) as (scheduler, queue):
        assert queue.submit(abs, 1).result(DEADLINE) == 1
        if stopped:
            scheduler.stop()
        queue.max_workers = 3
        tasks = [queue.submit(gate) for _ in range(3)]
        assert not stopped or queue.counts()["running"] == 0
        scheduler.resume()
        gate.wait_entered(3)
        scheduler.stop()
        queue.max_workers = 1
        gate.open()
        assert [task.result(DEADLINE) for task in tasks] == [None] * 3
        scheduler.resume()
        assert queue.submit(abs, -1).result(DEADLINE) == 1


def test_down_as_slots_free() -> None:
    """None is ended; and the next starts when there are as few as there may be."""
    with planned(3) as (_, queue):
        held = [occupy(queue) for _ in range(3)]
        queue.max_workers = 1
        last = Gate()
        waiting = [queue.submit(last) for _ in range(3)]
        assert queue.counts()["running"] == 3
        for gate, task in held:
            assert not any(task.running() for task in waiting)
            number = workers(queue)
            gate.open()
            task.result(DEADLINE)
            until(lambda number=number: workers(queue) == max(1, number - 1))
        last.wait_entered()
        assert queue.counts()["running"] == 1
        last.open()
        assert [task.result(DEADLINE) for task in waiting] == [None] * 3
        assert workers(queue) == 1


def test_down_with_threads_that_have_nothing_to_do() -> None:
    together, gate = threading.Barrier(4), Gate()
    with planned(4) as (_, queue):
        for task in [queue.submit(together.wait, DEADLINE) for _ in range(4)]:
            task.result(DEADLINE)
        until(lambda: idle_in(queue) == 4)
        queue.max_workers = 2
        until(lambda: workers(queue) == 2)
        tasks = [queue.submit(gate) for _ in range(3)]
        gate.wait_entered(2)
        assert queue.counts()["running"] == 2
        # And up again: the threads that left are taken once more.
        queue.max_workers = 3
        gate.wait_entered(3)
        gate.open()
        assert [task.result(DEADLINE) for task in tasks] == [None] * 3
        assert len(queue._threads) <= 4


def test_up_and_down_at_random_while_tasks_run() -> None:
    """All is done, and no more at the same time than the widest."""
    running: list[int] = []

    def work(number: int) -> int:
        running.append(queue.counts()["running"])
        if number % 10 == 0:
            queue.max_workers = 1 + number // 10 % 4
        return number

    with planned(2, order="oldest") as (_, queue):
        tasks = [queue.submit(work, number) for number in range(500)]
        assert [task.result(DEADLINE) for task in tasks] == list(range(500))
        queue.max_workers = 1
        until(lambda: workers(queue) == 1)
    assert max(running) <= 4


def test_down_inside_a_task_that_waits() -> None:
    """What it waits for is done in its own slot, as ever."""

    def total(depth: int) -> int:
        if not depth:
            queue.max_workers = 1
            return 1
        return sum(task.result() for task in [queue.submit(total, depth - 1) for _ in range(2)])

    with planned(3) as (_, queue):
        assert queue.submit(total, 5).result(DEADLINE) == 32
        until(lambda: workers(queue) == 1)


def test_down_in_order_and_with_little_room() -> None:
    done: list[int] = []
    with planned() as (scheduler,):
        queue = Queue(scheduler, 3, in_order=True, max_pending=5)
        for number in range(50):
            queue.submit(done.append, number)
            queue.max_workers = 1 + number % 3
        queue.max_workers = 1
        assert scheduler.wait(DEADLINE)
        assert state_of(queue).has_rules
    assert sorted(done) == list(range(50))


def test_max_workers_of_an_executor() -> None:
    gate = Gate()
    with ThreadPoolExecutor(4) as pool, Scheduler() as scheduler:
        queue = Queue(scheduler, 1, executor=pool, prefetch=1)
        assert queue.max_workers == 1
        tasks = [queue.submit(gate) for _ in range(4)]
        gate.wait_entered(2)
        queue.max_workers = 2
        gate.wait_entered(3)
        assert queue.max_workers == 2
        queue.max_workers = 1
        gate.open()
        assert [task.result(DEADLINE) for task in tasks] == [None] * 4
        assert queue.submit(abs, -1).result(DEADLINE) == 1


@pytest.mark.parametrize("width, error", [("2", TypeError), (None, TypeError), (0, ValueError)])
def test_bad_max_workers(width: Any, error: type[Exception]) -> None:
    with planned(2) as (_, queue):
        with pytest.raises(error, match=r"max_workers must be (an int, not|greater than 0)"):
            queue.max_workers = width
        assert queue.max_workers == 2


def test_worker_that_is_one_too_many_when_it_is_to_get_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets one all the same: no other worker is woken, as it is on its way."""
    with planned(1) as (_, queue):
        gate, held = occupy(queue)
        pending = queue.submit(abs, -1)
        submit = pool_of(queue).submit

        def late(*args: Any) -> None:
            monkeypatch.undo()
            queue.max_workers = 1
            submit(*args)
            queue.max_workers = 2

        monkeypatch.setattr(pool_of(queue), "submit", late)
        queue.max_workers = 2
        gate.open()
        assert (held.result(DEADLINE), pending.result(DEADLINE)) == (None, 1)
        until(lambda: idle_in(queue))
        assert queue.submit(abs, -1).result(DEADLINE) == 1


def test_handler_that_interrupts_the_pool_between_its_two_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool's own is held, and the one of all pools is not."""
    tasks: list[Any] = []

    class Interrupted:
        def __enter__(self) -> None:
            if not tasks:
                tasks.append(None)
                tasks.append(queue.submit(int))

        def __exit__(self, *_: object) -> None:
            pass

    with planned(2) as (_, queue):
        with monkeypatch.context() as patch:
            patch.setattr(thread, "_global_shutdown_lock", Interrupted())
            task = beside(queue.submit, int).result(DEADLINE)
        assert (task.result(DEADLINE), tasks[1].result(DEADLINE)) == (0, 0)


def test_up_when_all_are_busy_and_nothing_waits_for_a_slot() -> None:
    with planned(1) as (_, queue):
        first, _ = occupy(queue)
        second = Gate()
        task = queue.submit(second)  # it finds no slot
        first.open()
        second.wait_entered()
        queue.max_workers = 2
        assert queue.submit(abs, -1).result(DEADLINE) == 1
        second.open()
        task.result(DEADLINE)
