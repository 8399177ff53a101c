"""Queues on executors of the standard library that have workers elsewhere: processes, interpreters."""

from __future__ import annotations

import multiprocessing
import re
import sys
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import pairwise
from operator import add
from pathlib import Path
from pickle import PicklingError
from typing import Any

import pytest
import remote_calls
from gate import DEADLINE, Gate
from internals import stream_of

from smqexec import Queue, Scheduler

# Processes are slow to start.
PATIENCE = 6 * DEADLINE


@pytest.fixture(scope="module", params=["spawn", "forkserver", "interpreters"])
def workers(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """An executor of two workers, warm."""
    if request.param == "interpreters":
        if sys.version_info < (3, 14):
            pytest.skip("InterpreterPoolExecutor needs Python 3.14")
        from concurrent.futures import InterpreterPoolExecutor

        path = f"import sys; sys.path[:] = {sys.path!r}"
        pool: Executor = InterpreterPoolExecutor(2, initializer=exec, initargs=(path,))
    else:
        pool = ProcessPoolExecutor(2, multiprocessing.get_context(request.param))
    with pool:
        list(pool.map(abs, range(4)))
        yield pool


def forked() -> ProcessPoolExecutor:
    """A pool that may break."""
    return ProcessPoolExecutor(2, multiprocessing.get_context("forkserver"))


@pytest.fixture
def queue(workers: Executor) -> Iterator[Queue]:
    with Queue(executor=workers) as queue:
        yield queue


def test_graph_over_threads_and_workers(queue: Queue) -> None:
    here = Queue(queue.scheduler, 2)
    assert queue._max_workers == 2
    parts = [queue.submit(pow, n, 2) for n in range(10)]
    sums = [here.submit(add, a, b) for a, b in pairwise(parts)]
    assert queue.submit(sum, sums).result(PATIENCE) == sum(n * n + (n + 1) ** 2 for n in range(9))
    assert list(queue.map(pow, range(5), range(5))) == [1, 1, 4, 27, 256]
    here.shutdown()


def test_failure_has_the_traceback_of_the_worker(queue: Queue) -> None:
    task = queue.submit(remote_calls.fail, "bad frame")
    error = task.exception(PATIENCE)
    assert isinstance(error, ValueError) and str(error) == "bad frame"
    assert "remote_calls.py" in str(error.__cause__)


def test_part_that_can_not_be_pickled_is_named(queue: Queue) -> None:
    bad = remote_calls.Unpicklable()
    for task, part in (
        (queue.submit(lambda: bad), "it can't be pickled"),
        (queue.submit(divmod, 1, bad), "its argument 2, of type 'Unpicklable', can't be pickled"),
        (queue.submit(dict, a=1, b=bad), "its argument 'b', of type 'Unpicklable', can't be pickled"),
    ):
        error = task.exception(PATIENCE)
        assert isinstance(error, PicklingError)
        assert part in str(error) and "can't be sent to" in str(error)
    assert queue.submit(abs, -1).result(PATIENCE) == 1


@pytest.mark.parametrize("call", [remote_calls.give_unpicklable, remote_calls.raise_unpicklable])
def test_outcome_that_can_not_be_pickled_fails_the_task(queue: Queue, call: Any) -> None:
    error = queue.submit(call).exception(PATIENCE)
    assert re.search("pickle|NotShareable|ExecutionFailed", repr(error))
    assert queue.submit(abs, -1).result(PATIENCE) == 1


@pytest.mark.parametrize("name", ["raise_one_sided", "raise_one_sided_exit", "yield_then_raise_one_sided"])
def test_exception_that_can_only_be_pickled_breaks_nothing(queue: Queue, name: str) -> None:
    """Its class can't be called with its args: executors take it for a broken worker."""
    error = queue.submit(getattr(remote_calls, name), "no light").exception(PATIENCE)
    assert "OneSided" in repr(error) and "no light" in repr(error)
    assert queue.submit(abs, -1).result(PATIENCE) == 1


def test_stop_and_cancel_act_between_two_values(queue: Queue, tmp_path: Path) -> None:
    path = tmp_path / "closed"
    film = queue.submit(remote_calls.endless, str(path))
    assert film[3].result(PATIENCE) == 3
    queue.scheduler.stop(wait=True)
    stream: Any = stream_of(film)
    count = len(stream.values)
    film.cancel()
    with pytest.raises(CancelledError):
        film.result(PATIENCE)
    assert len(stream.values) == count
    assert path.read_text() == str(count - 1)  # it was at that `yield`
    queue.scheduler.resume()


def test_generator_that_fails_keeps_its_values(queue: Queue) -> None:
    film = queue.submit(remote_calls.numbers_to_a_failure, 2)
    items = film[0:3]
    assert [item.result(PATIENCE) for item in items[:2]] == [0, 1]
    error: Any = items[2].exception(PATIENCE)
    assert isinstance(error, OSError)
    assert "remote_calls.py" in str(error.__cause__)


def test_item_that_can_not_be_pickled(queue: Queue) -> None:
    film = queue.submit(remote_calls.numbers_to_what_is_unpicklable, 2)
    assert film[1].result(PATIENCE) == 1
    error: Any = film.exception(PATIENCE)
    assert "stays here" in repr(error)
    assert "value 2, of type 'Unpicklable'" in "".join(error.__notes__)


def test_two_generators_at_once(queue: Queue) -> None:
    for film in [queue.submit(remote_calls.numbers, 50) for _ in range(4)]:
        assert [n for n, _ in film.result(PATIENCE)] == list(range(50))


def test_worker_killed_in_a_generator() -> None:
    with forked() as pool, Scheduler() as scheduler:
        there, here = Queue(scheduler, 1, "gpu", executor=pool), Queue(scheduler, 1)
        gate = Gate()
        late = there.submit(add, here.submit(gate), 1)
        film = there.submit(remote_calls.numbers_to_death, 2)
        items = film[0:3]
        pending = there.submit(abs, -1)
        assert [item.result(PATIENCE) for item in items[:2]] == [0, 1]
        for task in (film, items[2], pending, late):
            error = task.exception(PATIENCE)
            assert isinstance(error, BrokenProcessPool)
            assert error.__notes__ == ["queue gpu runs its tasks on ProcessPoolExecutor, which has ended"]
        gate.open()
        assert here.submit(abs, -1).result(PATIENCE) == 1


def test_worker_killed_in_a_call() -> None:
    with forked() as pool, Scheduler() as scheduler:
        queue = Queue(scheduler, executor=pool)
        tasks = [queue.submit(remote_calls.die) for _ in range(5)]
        for task in tasks:
            assert isinstance(task.exception(PATIENCE), BrokenProcessPool)
        with pytest.raises(BrokenProcessPool):
            queue.submit(abs, -1)
