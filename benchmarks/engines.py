"""Independent calls on a pool of processes: submitted by a queue, and to the pool itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from time import perf_counter
from typing import Any, NamedTuple

from smqexec import Queue, Scheduler

from .measure import WrongResult, cells

AIM = 1.05
WORKERS = 2
PREFETCH = (0, 2, 64)
# Seconds that a call computes, and which part of the tasks asked for there are of such calls.
CALLS = {"no-op": (0.0, 1.0), "1 ms": (1e-3, 0.1), "10 ms": (1e-2, 0.01)}


class Sample(NamedTuple):
    """One round."""

    pool: float  # µs a call, on the pool
    ours: float  # µs a call, by a queue on it just after


def report(n: int, rounds: int) -> Iterator[str]:
    """Measure, then yield the table.

    Raises:
        WrongResult: The results are not those of the calls.
    """
    yield f"Calls on a ProcessPoolExecutor of {WORKERS}, in µs and in those of its own submit just before"
    yield ""
    yield f"{'':28}{'pool':>16}{'queue':>16}{'ratio':>16}"
    yield f"{'':28}" + f"{'min':>8}{'median':>8}" * 3 + "  aim"
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as pool:
        list(pool.map(compute, range(4), [0.0] * 4))
        for name, (seconds, share) in CALLS.items():
            for prefetch in PREFETCH:
                samples = [run(pool, max(round(n * share), 10), seconds, prefetch) for _ in range(rounds)]
                figures = cells(s.pool for s in samples) + cells(s.ours for s in samples)
                ratios = cells(s.ours / s.pool for s in samples)
                yield f"  {name + f', prefetch={prefetch}':26}{figures}{ratios}  <= {AIM}"


def run(pool: ProcessPoolExecutor, n: int, seconds: float, prefetch: int) -> Sample:
    """Time *n* calls of *seconds* each, on *pool* and by a queue on it."""
    with Scheduler(order="oldest") as scheduler:
        queue = Queue(scheduler, executor=pool, prefetch=prefetch)
        return Sample(timed(pool.submit, n, seconds), timed(queue.submit, n, seconds))


def timed(submit: Callable[..., Future[Any]], n: int, seconds: float) -> float:
    began = perf_counter()
    futures = [submit(compute, number, seconds) for number in range(n)]
    results = [future.result() for future in futures]
    cost = (perf_counter() - began) / n * 1e6
    if results != list(range(n)):
        raise WrongResult("calls on processes: not the results of the calls")
    return cost


def compute(number: int, seconds: float) -> int:
    """Keep a core busy for *seconds*, and return *number*."""
    end = perf_counter() + seconds
    while perf_counter() < end:
        pass
    return number
