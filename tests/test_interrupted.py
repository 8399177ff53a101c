"""An exception that strikes anywhere in a submit, as Ctrl-C does, leaves everything as it was."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from gate import DEADLINE, Gate
from threads import planned

import smqexec
from smqexec import Queue, Scheduler, settled

HERE = str(Path(smqexec.__file__).parent)


class Struck(BaseException):
    """What strikes."""


def strike(step: int, call: Callable[[], Any]) -> bool:
    """Make *call*, and raise before the *step*-th line of smqexec's that runs; False where it took fewer."""
    left = step

    def trace(frame: Any, event: str, arg: object) -> Any:
        nonlocal left
        name = frame.f_code.co_filename
        if not name.startswith(HERE):
            return None
        # Where these two kinds of lines are told, no signal can strike: before
        # a block is entered, and on the way out of it.
        line = linecache.getline(name, frame.f_lineno).lstrip()
        if event == "line" and not line.startswith(("with ", "try:")):
            left -= 1
            if left == 0:
                sys.settrace(before)  # what mends is not struck: a second Ctrl-C is not promised to be safe
                raise Struck
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except Struck:
        return True
    finally:
        sys.settrace(before)
    return False


SUBMITS: dict[str, Callable[[Queue, Any, Any], object]] = {
    "independent": lambda queue, held, outside: queue.submit(int),
    "dependent": lambda queue, held, outside: queue.submit(str, held),
    "two": lambda queue, held, outside: queue.submit(max, held, 1),
    "settled": lambda queue, held, outside: queue.submit(isinstance, settled(held), Future),
    "foreign": lambda queue, held, outside: queue.submit(str, outside),
    "nested": lambda queue, held, outside: queue.submit(sum, [[held]]),
    "map": lambda queue, held, outside: queue._submit_item(int, (), queue.scheduler.group()),
}


@pytest.mark.parametrize("name", SUBMITS)
@pytest.mark.parametrize("order, started", [("newest", False), ("newest", True), ("oldest", True)])
def test_submit_struck_at_every_line(name: str, order: str, started: bool) -> None:
    for step in range(1, 10_000):
        gate, outside = Gate(), Future[int]()
        with planned(1, 2, order=order) as (scheduler, queue, other):
            try:
                held = other.submit(gate, "held")
                gate.wait_entered()
                if started:
                    assert queue.submit(int).result(DEADLINE) == 0
                before = [queue.submit(str, held), queue.submit(str, other.submit(lambda x: x, held))]
                foreign = queue.submit(str, outside)
                if not strike(step, lambda: SUBMITS[name](queue, held, outside)):  # noqa: B023
                    assert step > 30, "nothing was struck"
                    return
                with scheduler.lock:
                    scheduler.planner.check(scheduler._slots)
                after = [queue.submit(int), other.submit(str, before[0])]
            finally:
                gate.open()
                outside.set_result(1)
            assert [task.result(DEADLINE) for task in [*before, *after]] == ["held", "held", 0, "held"]
            assert foreign.result(DEADLINE) == "1"
            assert scheduler.wait(DEADLINE), step
    raise AssertionError("too many steps")


def test_struck_member_of_a_group_and_its_group() -> None:
    """What was there of the group stays, in its order."""
    with planned(1, stopped=True) as (scheduler, queue):
        order: list[int] = []
        group = scheduler.group()
        for number in range(3):
            queue._submit_item(order.append, (number,), group)
        newer = queue.submit(order.append, 9)
        step = 1
        while strike(step, lambda: queue._submit_item(order.append, (3,), group)):
            step += 7
            newer.promote()
        scheduler.resume()
        assert scheduler.wait(DEADLINE)
        # Where it was struck too late, the caller did not learn that it was submitted.
        assert [number for number in order if number != 3] == [9, 0, 1, 2]


def test_promoted_tasks_stay_promoted() -> None:
    with planned(1, stopped=True, order="oldest") as (scheduler, queue):
        order: list[int] = []
        tasks = [queue.submit(order.append, number) for number in range(3)]
        tasks[2].promote()
        assert strike(40, lambda: queue.submit(order.append, 3))
        tasks[1].promote()
        scheduler.resume()
        assert scheduler.wait(DEADLINE)
        assert [number for number in order if number != 3] == [1, 2, 0]


def test_submit_at_the_bottom_of_a_recursion() -> None:
    """Where there is no room to add a task, submit raises RecursionError; else the task runs."""
    with planned(2) as (scheduler, queue):
        submitted: list[Any] = []

        def recur(first: Any) -> None:
            task = queue.submit(str, first)
            submitted.append(task)
            recur(task if len(submitted) % 2 else first)

        with pytest.raises(RecursionError):
            recur(queue.submit(int))
        failed = queue.submit(recur, queue.submit(int))
        assert isinstance(failed.exception(DEADLINE), RecursionError)
        assert scheduler.wait(DEADLINE)
        assert {task.result(DEADLINE) for task in submitted} == {"0"}
        with scheduler.lock:
            scheduler.planner.check(scheduler._slots)


def test_cancel_at_the_bottom_of_a_recursion() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(int)
        dependent = queue.submit(str, task)
        cancelled: list[bool] = []

        def recur() -> None:
            try:
                recur()
            finally:
                cancelled.append(task.cancel())

        with pytest.raises(RecursionError):
            recur()
        assert cancelled[-1]
        assert task.cancelled() and dependent.cancelled()
        assert scheduler.counts()["cancelled"] == 2


def test_future_that_refuses_a_callback() -> None:
    """A future of another library that raises as it is asked to tell: nothing was submitted."""

    class Refusing(Future[int]):
        def add_done_callback(self, fn: Any) -> None:
            raise ValueError("no callbacks here")

    scheduler = Scheduler()
    outside: Future[int] = Future()
    with Queue(scheduler, 1) as queue:
        other = queue.submit(str, outside)
        with pytest.raises(ValueError, match="no callbacks here"):
            queue.submit(str, Refusing())
        assert sum(scheduler.counts().values()) == len(scheduler._outside) == 1
        outside.set_result(1)
        assert other.result(DEADLINE) == "1"
        assert queue.submit(int).result(DEADLINE) == 0
