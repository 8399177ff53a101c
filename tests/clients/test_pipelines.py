"""Programs that run stages or many calls: pipefunc, SPDL, uproot, dask's scheduler, joblib, tqdm."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from gate import DEADLINE

from benchmarks.stages import KINDS, WIDTH, most_alive
from clients.conftest import Inside, need
from smqexec import Queue, Scheduler

pytestmark = pytest.mark.filterwarnings("ignore")


def test_pipefunc_with_two_queues_of_one_scheduler(switching_often: None) -> None:
    pipefunc = need("pipefunc")
    instrument, analysis = Inside(), Inside()

    def take(x: int) -> int:
        with instrument:
            return x * 2

    def analyse(y: int) -> int:
        with analysis:
            return y + 1

    pipeline = pipefunc.Pipeline(
        [
            pipefunc.PipeFunc(take, "y", mapspec="x[i]->y[i]"),
            pipefunc.PipeFunc(analyse, "z", mapspec="y[i]->z[i]"),
            pipefunc.PipeFunc(lambda z: int(sum(z)), "total", renames={"z": "z"}),
        ]
    )
    inputs = {"x": list(range(40))}

    def total(executor: Any) -> Any:
        return pipeline.map(inputs, executor=executor, parallel=True, storage="dict")["total"].output

    with ThreadPoolExecutor(2) as pool:
        expected = total(pool)
    instrument.most = analysis.most = 0
    with Scheduler() as scheduler:
        queues = {"y": Queue(scheduler, 1), "": Queue(scheduler, 2)}
        assert total(queues) == expected == sum(2 * x + 1 for x in range(40))
    assert instrument.most == 1
    assert analysis.most <= 2


def test_uproot_reads_the_same_arrays(executor: Executor, tmp_path: Path) -> None:
    uproot = need("uproot")
    numpy = need("numpy")
    path = tmp_path / "file.root"
    x, y = numpy.arange(50_000), numpy.random.default_rng(0).random(50_000)
    with uproot.recreate(path) as file:
        file["tree"] = {"x": x, "y": y}
    with uproot.open(path, decompression_executor=executor, interpretation_executor=executor) as file:
        arrays = file["tree"].arrays(library="np")
    assert (arrays["x"] == x).all()
    assert (arrays["y"] == y).all()


def test_dask_computes_on_a_pool(executor: Executor) -> None:
    dask = need("dask")
    powers = [dask.delayed(pow)(2, i) for i in range(20)]
    assert dask.delayed(sum)(powers).compute(scheduler="threads", pool=executor) == 2**20 - 1


def test_joblib_runs_a_backend_over_an_executor(executor: Executor) -> None:
    joblib = need("joblib")
    base = need("joblib.parallel").ParallelBackendBase

    class Backend(base):  # type: ignore[misc, valid-type]
        supports_retrieve_callback = True

        def effective_n_jobs(self, n_jobs: int) -> int:
            return n_jobs

        def submit(self, batch: Any, callback: Any) -> Any:
            future = executor.submit(batch)
            future.add_done_callback(callback)
            return future

        def retrieve_result_callback(self, future: Any) -> Any:
            return future.result()

    joblib.register_parallel_backend("executor", Backend)
    with joblib.parallel_config("executor", n_jobs=2):
        assert joblib.Parallel()(joblib.delayed(pow)(2, i) for i in range(50)) == [2**i for i in range(50)]


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, Queue, partial(Queue, Scheduler())])
def test_tqdm_maps_with_a_bar(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`thread_map` makes its own pool, of the class that `concurrent.futures` has by that name."""
    thread_map = need("tqdm.contrib.concurrent").thread_map
    monkeypatch.setattr("concurrent.futures.ThreadPoolExecutor", pool)
    bars = io.StringIO()
    assert thread_map(abs, range(-50, 0), max_workers=2, file=bars) == list(range(50, 0, -1))
    assert "50/50" in bars.getvalue()


def test_spdl_gives_all_items(executor: Executor) -> None:
    builder = need("spdl.pipeline").PipelineBuilder().add_source(range(300))
    for stage in (abs, abs, lambda item: item + 1):
        builder = builder.pipe(stage, executor=executor, concurrency=4)
    pipeline = builder.add_sink(8).build(num_threads=1)
    with pipeline.auto_stop():
        assert sorted(pipeline) == list(range(1, 301))


@pytest.mark.parametrize(("seed", "thread_first"), [(1, True), (2, True), (1, False), (2, False)])
def test_spdl_has_few_items_alive(seed: int, thread_first: bool) -> None:
    """As few as on its own priority pool if later stages are promoted.

    Alone as few as on a pool.  Newest first, no call depends on another, and only SPDL's own bounds hold.
    """
    need("spdl.pipeline")
    alive = {kind: most_alive(kind, seed, thread_first) for kind in KINDS}
    assert alive["oldest first"] == alive["pool"]
    assert alive["promoting"] == alive["SPDL's priority pool"] < alive["pool"]
    assert alive["newest first"] <= 3 * WIDTH + 2 * 2


# distributed: a worker with an executor for ordinary tasks and one for an instrument.

instrument = Inside()


def measure(number: int) -> int:
    with instrument:
        return number


@pytest.mark.cluster
def test_a_worker_keeps_an_instrument_exclusive(
    make: Callable[[int], Executor], switching_often: None
) -> None:
    distributed = need("distributed")
    dask = need("dask")
    executors = {"default": make(4), "instrument": make(1)}
    instrument.most = 0

    async def main() -> tuple[Any, Any]:
        async with (
            distributed.Scheduler(port=0, host="127.0.0.1", dashboard_address=None) as scheduler,
            distributed.Worker(scheduler.address, host="127.0.0.1", executor=executors, nthreads=4),
            distributed.Client(scheduler.address, asynchronous=True) as client,
        ):
            with dask.annotate(executor="instrument"):
                taken = client.map(measure, range(50), pure=False)
            computed = client.map(abs, range(50))
            return await client.gather(taken), await client.gather(computed)

    taken, computed = asyncio.run(asyncio.wait_for(main(), 6 * DEADLINE))
    assert taken == computed == list(range(50))
    assert instrument.most == 1
    for executor in executors.values():  # the worker has closed them
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.submit(int)
