"""No user code runs while the lock is held: nothing of the user's is hashed, asked or released there."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from gate import DEADLINE
from internals import core_of, lock_of
from outcomes import nothing
from threads import planned, until

import smqexec
from smqexec import Queue, Scheduler, settled


class Watch:
    """Counts the calls of user code, and those under the lock of *scheduler*."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.calls = 0
        self.locked = 0

    def call(self) -> None:
        self.calls += 1
        self.locked += lock_of(self.scheduler)._is_owned()


@pytest.fixture
def lab() -> Iterator[Any]:
    """A watch, and a queue of its scheduler."""
    with planned(1) as (scheduler, queue):
        yield Watch(scheduler), queue


def test_classes_of_arguments_are_not_hashed_under_the_lock(lab: Any) -> None:
    watch, queue = lab

    class Meta(type):
        def __hash__(cls) -> int:
            watch.call()
            return 1

    odd: Any = Meta("Odd", (), {})()
    first: Future[int] = Future()
    tasks = [queue.submit(nothing, odd, first), queue.options(after=[first]).submit(nothing, odd)]
    first.set_result(1)
    for task in tasks:
        task.result(DEADLINE)
    assert watch.calls
    assert not watch.locked


def test_attributes_of_foreign_futures_are_not_read_under_the_lock(lab: Any) -> None:
    watch, queue = lab

    class Asked(Future[int]):
        def __getattribute__(self, name: str) -> Any:
            watch.call()
            return super().__getattribute__(name)

    future = Asked()
    waiting = queue.submit(lambda: smqexec.wait([future], DEADLINE))
    until(lambda: "waits for futures" in waiting.why())
    with core_of(queue).exclusive():
        assert not core_of(queue).waiting.at_rest()
    dependents = [queue.submit(nothing, future), queue.submit(nothing, settled(future))]
    assert "futures of other executors" in core_of(queue).why_of(waiting)
    future.set_result(1)
    for task in [waiting, *dependents]:
        task.result(DEADLINE)
    assert watch.calls
    assert not watch.locked


def test_class_attribute_of_a_foreign_future_is_not_read(lab: Any) -> None:
    """It may raise, and then the task that waits for the future would never end."""
    watch, queue = lab

    class Proxy(Future[int]):
        @property  # type: ignore[misc]
        def __class__(self) -> Any:
            watch.call()
            raise OSError("no class")

    for observers in ExitStack(), watch.scheduler.observe(nothing):
        with observers:
            future = Proxy()
            early = queue.submit(abs, future)
            future.set_result(-1)
            assert early.result(DEADLINE) == queue.submit(abs, future).result(DEADLINE) == 1
    assert not watch.calls


def test_name_of_a_queue_is_not_formatted_under_the_lock(lab: Any) -> None:
    watch, _ = lab

    class Name(str):
        def __format__(self, spec: str) -> str:
            watch.call()
            return "formatted"

    with ThreadPoolExecutor(1) as executor:
        kinds: list[dict[str, Any]] = [{}, {"inline": True}, {"executor": executor}]
        for kind in kinds:
            queue = Queue(watch.scheduler, 1, Name("odd"), **kind)
            # The second task is ready while the first one runs, and asks.
            first = queue.submit(lambda queue=queue: (queue.submit(nothing), watch.scheduler.why()))
            second, reasons = first.result(DEADLINE)
            assert "odd: 1 ready, the slot of odd is busy" in reasons.splitlines()
            second.result(DEADLINE)
    assert not watch.locked


def test_initializer_of_a_lost_queue_is_released_without_the_lock(lab: Any) -> None:
    watch, _ = lab

    class Mortal:
        def __del__(self) -> None:
            watch.call()

    # All are forgotten when the next queue is made.
    queues = [Queue(watch.scheduler, initializer=nothing, initargs=(Mortal(),)) for _ in range(3)]
    queues.clear()
    Queue(watch.scheduler)
    until(lambda: watch.calls == 3)
    assert not watch.locked
