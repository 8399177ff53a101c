"""The note that an exception carries: which task raised it."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import pytest
from engines import Manual
from gate import DEADLINE
from threads import planned

from smqexec import Queue, Scheduler, number_of_results


class Light(Exception):
    pass


def expose(error: BaseException | None = None) -> Any:
    raise Light("none") if error is None else error


def film() -> Iterator[int]:
    yield 1
    raise Light("none")


def notes(task: Future[Any]) -> list[str]:
    return getattr(task.exception(DEADLINE), "__notes__", [])


@pytest.fixture
def camera() -> Iterator[Queue]:
    with Queue(1, "camera") as queue:
        yield queue


def test_task_that_raised_is_noted_and_others_add_nothing(camera: Queue) -> None:
    """Neither dependents nor a task that lets the exception through."""
    camera.submit(abs, 1).result(DEADLINE)
    failed = camera.submit(expose)
    late = camera.submit(abs, camera.submit(abs, failed))
    for task in (failed, late, camera.submit(lambda: failed.result(DEADLINE))):
        assert task.exception(DEADLINE) is failed.exception()
        assert notes(task) == ["raised by task expose#2 of queue camera"]
    assert pickle.loads(pickle.dumps(failed.exception())).__notes__ == notes(failed)


def test_same_object_raised_again_gathers_nothing(camera: Queue) -> None:
    error = Light("always the same")
    error.add_note("a word of the user's")
    for _ in range(3):
        assert notes(camera.submit(expose, error)) == [
            "a word of the user's",
            "raised by task expose#1 of queue camera",
        ]


@pytest.mark.parametrize("count", [None, lambda: 1 // 0])
def test_generator_task_and_its_items(camera: Queue, count: Callable[[], int] | None) -> None:
    task = camera.submit(film if count is None else number_of_results(count)(lambda: film()))
    if count is None:
        expected = ["raised by task film#1 of queue camera"]
    else:
        name = "test_generator_task_and_its_items.<locals>.<lambda>"
        expected = [f"raised by number_of_results of {name}", f"raised by task {name}#1 of queue camera"]
    assert notes(task) == notes(task[1]) == expected


def test_future_of_another_executor_is_not_ours_to_note(camera: Queue) -> None:
    future: Future[int] = Future()
    task = camera.submit(abs, future)
    future.set_exception(Light())
    assert task.exception(DEADLINE) and notes(task) == []


@dataclass(frozen=True)
class Frozen(Exception):
    reason: str


class Refusing(Exception):
    @property
    def __notes__(self) -> Any:
        raise ValueError("no notes")


class Quitting(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise SystemExit("nothing can be set")


class Odd(Exception):
    def __init__(self, notes: Any) -> None:
        self.__notes__ = notes


@pytest.mark.parametrize("error", [Frozen("cold"), Refusing(), Quitting(), Odd(7), Odd(())], ids=repr)
def test_exception_that_takes_no_notes(camera: Queue, error: BaseException) -> None:
    task = camera.submit(expose, error)
    assert task.exception(DEADLINE) is error
    with pytest.raises(type(error)):
        task.result()
    assert camera.submit(abs, -1).result(DEADLINE) == 1


def test_call_at_an_executor() -> None:
    with Scheduler() as scheduler:
        executor = Manual()
        task = Queue(scheduler, 1, "cluster", executor=executor).submit(expose)
        executor.run()
        assert notes(task) == ["raised by task expose#1 of queue cluster"]


def test_promoted_oldest_first_has_no_number() -> None:
    with planned(1, order="oldest", stopped=True) as (scheduler, queue):
        tasks = [queue.submit(expose) for _ in range(2)]
        assert tasks[1].promote() and tasks[0].promote()
        scheduler.resume()
        assert notes(tasks[0]) == [f"raised by task expose of queue {queue.name}"]
