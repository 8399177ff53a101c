"""Programs that run stages: SPDL, pipefunc, uproot, dask's own scheduler of threads."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from clients.conftest import need
from smqexec import Queue, Scheduler

pytestmark = pytest.mark.filterwarnings("ignore")


class Alive:
    """How many items are between the first stage and the last, and how many there were at most."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = 0

    def load(self, item: int) -> int:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        return item

    def score(self, item: int) -> int:
        with self.lock:
            self.now -= 1
        return item + 1


def through_spdl(executor: Any, alive: Alive) -> list[int]:
    spdl = need("spdl.pipeline")
    stage = {"executor": executor, "concurrency": 4}
    builder = spdl.PipelineBuilder().add_source(range(300))
    builder = builder.pipe(alive.load, **stage).pipe(abs, **stage).pipe(alive.score, **stage)
    pipeline = builder.add_sink(8).build(num_threads=1)
    with pipeline.auto_stop():
        return sorted(pipeline)


def test_spdl_gives_all_items(executor: Executor) -> None:
    assert through_spdl(executor, Alive()) == list(range(1, 301))


def test_pipefunc_with_two_queues_of_one_scheduler() -> None:
    pipefunc = need("pipefunc")
    inside = {"instrument": 0, "analysis": 0}
    most = dict(inside)
    lock = threading.Lock()

    def note(name: str, step: int) -> None:
        with lock:
            inside[name] += step
            most[name] = max(most[name], inside[name])

    def take(x: int) -> int:
        note("instrument", 1)
        note("instrument", -1)
        return x * 2

    def analyse(y: int) -> int:
        note("analysis", 1)
        note("analysis", -1)
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
    with Scheduler() as scheduler:
        queues = {"y": Queue(scheduler, 1), "": Queue(scheduler, 3)}
        assert total(queues) == expected == sum(2 * x + 1 for x in range(40))
    assert most["instrument"] == 1
    assert most["analysis"] <= 3


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
