"""Queues on the executors of other libraries, where these are installed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor
from operator import add
from pathlib import Path
from typing import Any

import pytest
import remote_calls
from gate import DEADLINE
from programs import run
from threads import until

from smqexec import Queue

# Workers are slow to start.
PATIENCE = 6 * DEADLINE

# distributed looks for a free port and leaves the socket to the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


def loky_workers(tmp_path: Path) -> Iterator[Executor]:
    loky = pytest.importorskip("loky", reason="loky is not installed")
    pool = loky.get_reusable_executor(2)
    yield pool
    pool.shutdown(wait=True)


def dask_workers(tmp_path: Path) -> Iterator[Executor]:
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    options: Any = {"dashboard_address": ":0", "local_directory": str(tmp_path)}
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client.get_executor(pure=False)


def parsl_workers(tmp_path: Path) -> Iterator[Executor]:
    parsl = pytest.importorskip("parsl", reason="parsl is not installed")
    from parsl.concurrent import ParslPoolExecutor
    from parsl.executors import ThreadPoolExecutor

    config = parsl.Config(
        executors=[ThreadPoolExecutor(max_threads=1)], run_dir=str(tmp_path), usage_tracking=0
    )
    with ParslPoolExecutor(config) as pool:
        yield pool


@pytest.fixture(scope="module", params=[loky_workers, dask_workers, parsl_workers])
def workers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    """An executor of two workers, which has started its threads."""
    for pool in request.param(tmp_path_factory.mktemp("workers")):
        assert pool.submit(abs, -1).result(PATIENCE) == 1
        yield pool


@pytest.fixture
def queue(workers: Executor) -> Iterator[Queue]:
    with Queue(2, executor=workers) as queue:
        yield queue


def test_graph(queue: Queue) -> None:
    here = Queue(queue.scheduler, 1)
    parts = [queue.submit(pow, n, 2) for n in range(5)]
    sums = [here.submit(add, a, 1) for a in parts]
    assert queue.submit(sum, sums).result(PATIENCE) == 35
    here.shutdown()
    failing = queue.submit(remote_calls.fail, "bad frame")
    assert isinstance(queue.submit(add, failing, 1).exception(PATIENCE), ValueError)


def test_items(queue: Queue, tmp_path: Path) -> None:
    film = queue.submit(remote_calls.numbers, 3)
    assert [n for n, _ in film.result(PATIENCE)] == [0, 1, 2]
    path = tmp_path / "closed"
    film = queue.submit(remote_calls.endless, str(path))
    assert film[2].result(PATIENCE) == 2
    film.cancel()
    with pytest.raises(CancelledError):
        film.result(PATIENCE)
    until(path.exists)  # Dask and Parsl do not wait for cancelled calls


def test_argument_that_can_not_be_pickled(queue: Queue, workers: Executor) -> None:
    error = queue.submit(remote_calls.shape, 1, remote_calls.Unpicklable()).exception(PATIENCE)
    if "Parsl" in type(workers).__name__:  # on threads
        assert error is None
    else:
        assert "argument 2, of type 'Unpicklable'" in str(error)
    assert queue.submit(abs, -1).result(PATIENCE) == 1


@pytest.fixture
def loky() -> Any:
    return pytest.importorskip("loky", reason="loky is not installed")


LOKY = """
        import loky, remote_calls
        queue = Queue(Scheduler(), executor=loky.get_reusable_executor(2))
        here = Queue(queue.scheduler, 1)
"""


def test_everything_submitted_before_the_exit_runs_on_loky(loky: Any) -> None:
    """The hook of loky, which loky enters at the first call, refuses calls; ours comes before it."""
    outcome = run(f"""{LOKY}
        queue.submit(abs, 1).result(DEADLINE)
        parts = [queue.submit(abs, here.submit(at_exit, n)) for n in range(9)]
        here.submit(say, queue.submit(sum, parts))
    """)
    assert outcome.lines == ["36"]


def test_loky_not_begun_before_the_exit_does_not_hold_it(loky: Any) -> None:
    outcome = run(f"""{LOKY}
        start = here.submit(at_exit, 1)
        for late in (queue.submit(abs, start), queue.submit(remote_calls.numbers, start)):
            late.add_done_callback(lambda late: say(late.exception()))
    """)
    assert outcome.lines == ["cannot schedule new futures after interpreter shutdown"] * 2


def test_worker_of_loky_killed(loky: Any) -> None:
    pool = loky.ProcessPoolExecutor(2)
    with Queue(1, "gpu", executor=pool) as queue:
        film = queue.submit(remote_calls.numbers_to_death, 2)
        items, pending = film[0:3], queue.submit(abs, -1)
        assert [item.result(PATIENCE) for item in items[:2]] == [0, 1]
        for task in (film, items[2], pending):
            error = task.exception(PATIENCE)
            assert isinstance(error, BrokenExecutor)
            assert "queue gpu runs its tasks on ProcessPoolExecutor, which has ended" in error.__notes__
    pool.shutdown()
