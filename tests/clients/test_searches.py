"""Programs that search and sample: nevergrad, pyABC, dynesty, adaptive.

Each gives what it gives on a ThreadPoolExecutor.
"""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pytest

from clients.conftest import need

pytestmark = pytest.mark.filterwarnings("ignore")


def test_nevergrad(executor: Executor) -> None:
    nevergrad = need("nevergrad")
    optimizer = nevergrad.optimizers.OnePlusOne(parametrization=2, budget=60, num_workers=2)
    optimizer.parametrization.random_state.seed(1)
    found = optimizer.minimize(
        lambda point: float(((point - 0.5) ** 2).sum()), executor=executor, batch_mode=True
    )
    assert abs(found.value - 0.5).max() < 0.1


def test_pyabc(executor: Executor, tmp_path: Path) -> None:
    pyabc = need("pyabc")
    sampler = pyabc.sampler.ConcurrentFutureSampler(cfuture_executor=executor, client_max_jobs=4)
    search = pyabc.ABCSMC(
        lambda point: {"y": point["x"] ** 2},
        pyabc.Distribution(x=pyabc.RV("uniform", 0, 1)),
        lambda a, b: abs(a["y"] - b["y"]),
        population_size=20,
        sampler=sampler,
    )
    search.new(f"sqlite:///{tmp_path}/abc.db", {"y": 0.25})
    history = search.run(max_nr_populations=2)
    points, weights = history.get_distribution()
    assert len(points) == 20
    assert abs((points["x"] * weights).sum() - 0.5) < 0.25


def test_dynesty(executor: Executor) -> None:
    dynesty = need("dynesty")
    numpy = need("numpy")

    def evidence(**pool: Any) -> float:
        sampler = dynesty.NestedSampler(
            lambda x: -0.5 * float((x**2).sum()), lambda unit: 10 * unit - 5, 2,
            nlive=50, rstate=numpy.random.default_rng(1), queue_size=2, **pool,
        )  # fmt: skip
        sampler.run_nested(print_progress=False, maxiter=200)
        return float(sampler.results.logz[-1])

    class Pool:
        size = 2

        def map(self, fn: Any, points: Any) -> list[Any]:
            return list(executor.map(fn, points))

    class Serial(Pool):
        def map(self, fn: Any, points: Any) -> list[Any]:
            return list(map(fn, points))

    assert evidence(pool=Pool()) == evidence(pool=Serial())


def test_adaptive(executor: Executor) -> None:
    adaptive = need("adaptive")
    learner = adaptive.Learner1D(lambda x: x**2, (-1, 1))
    adaptive.BlockingRunner(learner, goal=lambda learner: learner.npoints >= 30, executor=executor)
    assert all(value == point**2 for point, value in learner.data.items())
    assert len(learner.data) >= 30
