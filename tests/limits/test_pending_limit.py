"""Queues that take no more than so many pending tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any, cast

import pytest
from gate import DEADLINE, Gate
from internals import Waiter, core_of, lock_of, state_of
from strikes import Struck
from threads import beside, planned, until

from smqexec import Queue, Scheduler, checkpoint
from smqexec._limits.admission import PendingLimit


@contextmanager
def full(limit: int = 2, in_order: bool = False) -> Iterator[Any]:
    """A queue of one slot, that is busy until the gate is opened, with *limit* pending tasks: no more."""
    gate = Gate()
    with planned() as (scheduler,):
        queue = Queue(scheduler, 1, max_pending=limit, in_order=in_order)
        gate.hold(queue)
        try:
            yield queue, gate, [queue.submit(abs, number) for number in range(limit)]
        finally:
            gate.open()


def waiting(queue: Queue) -> int:
    """How many threads wait to submit."""
    with lock_of(queue):
        return len(state_of(queue).pending_limit._waiting)  # type: ignore[union-attr]


def blocked(call: Callable[..., Any], *args: Any, queue: Queue, before: int = 0) -> Future[Any]:
    """Make *call* in a thread of its own, which blocks."""
    future = beside(call, *args)
    until(lambda: future.done() or waiting(queue) == before + 1)
    assert not future.done()
    return future


def test_room_that_is_given_up_is_for_those_that_wait() -> None:
    limit, waiters = PendingLimit(1), [Waiter() for _ in range(3)]
    tasks = [cast(Any, name) for name in ("first", "second", "third")]
    have_room = [limit.enter(task, 0, waiter) for task, waiter in zip(tasks, waiters, strict=True)]
    assert have_room == [waiter.sleep(0) for waiter in waiters] == [True, False, False]
    limit.use(tasks[0])
    limit.give_up(tasks[0], 0)
    assert [waiter.sleep(0) for waiter in waiters[1:]] == [True, False]  # not before the second one
    limit.give_up(tasks[1], 0)
    assert waiters[2].sleep(0)


def test_try_submit_that_found_no_room_is_in_no_other_one_s_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has returned to no caller yet when there is room."""
    late = Gate()
    with full(1) as (queue, gate, tasks):
        core = core_of(queue)
        exclusive, calls = core.exclusive, count()

        def enter_late() -> Any:
            if next(calls) == 1:
                late.enter()
            return exclusive()

        with monkeypatch.context() as patch:
            patch.setattr(core, "exclusive", enter_late)
            first = beside(queue.try_submit, abs, 1)
            late.wait_entered()
        assert tasks[0].cancel() and queue.try_submit(abs, 1) is not None
        late.open()
        assert first.result(DEADLINE) is None
        gate.open()


@pytest.mark.parametrize("in_order", [False, True])
def test_submit_blocks_until_there_is_room(in_order: bool) -> None:
    with full(in_order=in_order) as (queue, gate, tasks):
        late = blocked(queue.submit, abs, 5, queue=queue)
        assert queue.counts()["ready"] + queue.counts()["waiting"] == 2
        gate.open()
        assert late.result(DEADLINE).result(DEADLINE) == 5
        assert [task.result(DEADLINE) for task in tasks] == [0, 1]


def test_room_is_what_is_pending_not_what_runs() -> None:
    gate = Gate()
    with planned() as (scheduler,):
        queue = Queue(scheduler, 3, max_pending=1)
        for number in range(1, 4):
            queue.submit(gate)
            gate.wait_entered(number)
        assert [queue.try_submit(abs, 1) is not None for _ in range(2)] == [True, False]
        gate.open()


def test_try_submit() -> None:
    with full() as (queue, gate, tasks):
        assert queue.try_submit(abs, 5) is None
        assert queue.options(name="x").try_submit(abs, 5) is None
        assert waiting(queue) == 0
        tasks[0].cancel()
        task = queue.options(name="x").try_submit(abs, b := -5)
        assert " x#" in repr(task) and b == -5
        assert queue.try_submit(abs, 5) is None
        gate.open()
        assert task.result(DEADLINE) == 5
    with planned(1) as (_, queue):  # where there is no limit, always
        assert queue.try_submit(pow, 2, queue.submit(abs, -3)).result(DEADLINE) == 8
        with pytest.raises(TypeError, match="must be callable"):
            queue.try_submit(1)


def test_timeout_of_submit() -> None:
    with full(1) as (queue, _, tasks):
        full_up = rf"^queue '{queue.name}' is full: 1 pending task, max_pending=1$"
        for timeout in (0, 0.01):
            with pytest.raises(TimeoutError, match=full_up):
                queue.options(timeout=timeout).submit(abs, 5)
        assert waiting(queue) == 0
        tasks[0].cancel()
        assert queue.options(timeout=DEADLINE).submit(abs, 5).cancel()
        assert queue.options(timeout=0).submit(abs, 5).cancel()
        assert queue.try_submit(abs, 5) is not None


def test_first_come_first_served() -> None:
    """Also those that come while others wait, and although there is room for a moment."""
    with full(1) as (queue, gate, tasks):
        order: list[int] = []
        late = [blocked(queue.submit, order.append, n, queue=queue, before=n) for n in range(5)]
        assert queue.try_submit(abs, 1) is None
        tasks[0].cancel()
        assert late[0].result(DEADLINE)
        assert queue.try_submit(abs, 1) is None
        gate.open()
        for future in late:
            future.result(DEADLINE).result(DEADLINE)
    assert order == [0, 1, 2, 3, 4]


def test_cancellation_and_failure_make_room() -> None:
    """Of a dependency too; a task that is dropped as soon as it comes takes no room."""
    outside: Future[int] = Future()
    with planned() as (scheduler,):
        queue = Queue(scheduler, 1, max_pending=2)
        tasks = [queue.submit(abs, outside) for _ in range(2)]
        late = blocked(queue.submit, abs, outside, queue=queue)
        tasks[1].cancel()
        tasks[1] = late.result(DEADLINE)
        late = blocked(queue.submit, abs, 5, queue=queue)
        outside.set_exception(OSError())
        assert late.result(DEADLINE).result(DEADLINE) == 5
        assert all(isinstance(task.exception(DEADLINE), OSError) for task in tasks)
        for _ in range(5):
            assert isinstance(queue.submit(abs, tasks[0]).exception(DEADLINE), OSError)


def test_worker_of_the_scheduler_goes_through() -> None:
    """Of the same queue or another, also in a callback: it might be what makes room."""
    with full() as (queue, gate, pending), Scheduler() as elsewhere:
        found: list[Any] = []
        pending[0].add_done_callback(lambda _: found.extend(queue.submit(abs, n) for n in range(4)))
        other = Queue(queue.scheduler, 1)
        tasks = other.submit(lambda: [queue.submit(abs, n) for n in range(5)]).result(DEADLINE)
        assert queue.counts()["ready"] == 7
        assert queue.try_submit(abs, 1) is None
        far = Queue(elsewhere, 1).submit(lambda: queue.try_submit(abs, 1))
        assert far.result(DEADLINE) is None
        gate.open()
        until(lambda: len(found) == 4)
        assert [task.result(DEADLINE) for task in tasks + found] == [*range(5), *range(4)]


@pytest.mark.parametrize("end", ["after shutdown", "after interpreter shutdown", "initializer failed"])
def test_end_of_the_queue_refuses_blocked_submits(end: str) -> None:
    gate = Gate()

    def initialize() -> None:
        if end == "initializer failed":
            gate.enter()
            raise OSError

    queue = Queue(1, max_pending=1, initializer=initialize)
    queue.scheduler.stop()
    first = queue.submit(abs, 1)
    if end == "initializer failed":
        queue.scheduler.resume()
        gate.wait_entered()
    late = [blocked(queue.submit, abs, n, queue=queue, before=n) for n in range(2)]
    if end == "after shutdown":
        queue.shutdown(wait=False)
    elif end == "after interpreter shutdown":
        core_of(queue).ending.close_at_exit()
    gate.open()
    for submit in [future.result for future in late] + [partial(queue.try_submit, abs)]:
        with pytest.raises(RuntimeError, match=end):
            submit(1)
    assert waiting(queue) == 0
    queue.scheduler.resume()
    queue.shutdown()
    assert first.done()


@pytest.mark.parametrize("added", [False, True])
def test_room_of_a_submit_that_is_interrupted_goes_to_the_next(
    added: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its task was added, and after: then the task is cancelled, as the caller never gets it."""

    def interrupted(*args: Any) -> Any:
        if added:
            tasks.append(add(*args))
        raise Struck

    with full(1) as (queue, gate, tasks):
        add = core_of(queue).submission.add
        monkeypatch.setattr(core_of(queue).submission, "add", interrupted)
        late = blocked(queue.submit, abs, 5, queue=queue)
        tasks[0].cancel()
        with pytest.raises(Struck):
            late.result(DEADLINE)
        monkeypatch.undo()
        assert tasks[-1].cancelled()
        assert queue.try_submit(abs, 5) is not None
        gate.open()


# Maps.


def test_map_of_an_infinite_iterable() -> None:
    with planned() as (scheduler,):
        queue = Queue(scheduler, 2, max_pending=2)
        pending: list[int] = []

        def look(number: int) -> int:
            counts = queue.counts()
            pending.append(counts["ready"] + counts["waiting"])
            return number

        results = queue.map(look, count(), buffersize=20)
        assert [next(results) for _ in range(100)] == list(range(100))
        results.close()  # type: ignore[attr-defined]
        assert max(pending) <= 2


def test_map_blocks_as_submit_does() -> None:
    with full(2) as (queue, gate, tasks):
        late = blocked(queue.map, abs, range(5), queue=queue)
        gate.open()
        assert list(late.result(DEADLINE)) == [0, 1, 2, 3, 4]
        assert all(task.done() for task in tasks)


def test_map_that_finds_no_room_in_time() -> None:
    """What it has submitted is cancelled."""
    with full(3) as (queue, gate, tasks):
        tasks[0].cancel()
        tasks[1].cancel()
        with pytest.raises(TimeoutError):
            queue.map(abs, range(5), timeout=0.01)
        assert queue.counts()["cancelled"] == 4
        with pytest.raises(TimeoutError):
            queue.options(timeout=0.01).map(abs, range(5))
        shorter = queue.options(timeout=0.01)
        with pytest.raises(TimeoutError, match="is full"):
            beside(lambda: shorter.map(abs, range(5), timeout=9 * DEADLINE)).result(DEADLINE)
        results = queue.map(abs, range(5), timeout=0.01, buffersize=2)
        with pytest.raises(TimeoutError):
            next(results)
        # The iterator itself, where what it took is done and there is no room for the next.
        gate.open()
        results = queue.options(timeout=DEADLINE).map(abs, range(5), timeout=DEADLINE, buffersize=1)
        assert list(results) == [0, 1, 2, 3, 4]


# Arguments.


@pytest.mark.parametrize("limit, error", [("2", TypeError), (1.5, TypeError), (0, ValueError)])
def test_bad_limit(limit: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="max_pending must be"):
        Queue(max_pending=limit)


def test_on_an_executor() -> None:
    gate = Gate()
    with ThreadPoolExecutor(1) as pool, Scheduler() as scheduler:
        queue = Queue(scheduler, 1, executor=pool, max_pending=1)
        gate.hold(queue)
        queue.submit(checkpoint)
        late = blocked(queue.submit, abs, -5, queue=queue)
        gate.open()
        assert late.result(DEADLINE).result(DEADLINE) == 5
