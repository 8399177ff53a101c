"""A queue on a Dask cluster beside the same calls submitted to Dask itself.  Two worker processes.

Costs: ratios are taken to a run right before, on the same cluster.  Dask's own
cost of a task depends on how many it knows at a time, so it may be more.

Bytes: what this process, which is the cluster's scheduler too, sends and receives.

First results: the acquisition case of even and odd frames.  The program submits
all even frames, all odd ones, what is computed of each, then their pairs.  One
camera; a frame, and what is computed of one, is a megabyte; a pair gives a
number.  First in, first out takes all even frames before the first odd one, so
the first of n pairs waits for n + 1 frames, where two are enough, and the one that
begins while the program submits; and until then all that was computed of the even
ones is held.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from functools import partial
from statistics import median
from threading import Event, Thread
from typing import Any, NamedTuple

from smqexec import Queue, Scheduler

from .adapters import Adapter
from .measure import WrongResult
from .peer_run import cost
from .workloads import Submitted, binary_tree, chain, layers, picks, successor

MOST = 500  # tasks: each costs some 10 ms
COST_AIM = 1.1
BYTES_AIM = 1e6
LINKS, ARRAY = 100, 10_000_000  # of the chain whose values are weighed; bytes
PAIRS, FRAME = 20, 1_000_000  # bytes
EXPOSING, COMPUTING = 0.05, 0.01  # s

GRAPHS: dict[str, Callable[[int, Adapter], Submitted]] = {
    "chain": chain,
    "binary tree": lambda n, calls: binary_tree((n + 1) // 2, calls),
    "layers of 100": lambda n, calls: layers(picks(n, MOST // 100, 100), calls),
}


class Calls(Adapter):
    """Calls submitted by *submit*."""

    def __init__(self, submit: Callable[..., Any]) -> None:
        self.submit = submit  # type: ignore[method-assign]


def report(n: int, rounds: int) -> Iterator[str]:
    """Measure, and yield the tables.

    Args:
        n: Tasks of a graph.
        rounds: How often each is timed.

    Raises:
        WrongResult: A result was not what it must be.
    """
    with started() as (client, cluster):
        yield from costs(client, n, rounds)
        yield ""
        yield from weights(client)
        yield ""
        yield from first_results(client, cluster, rounds)


@contextmanager
def started() -> Iterator[tuple[Any, Any]]:
    """A cluster of two processes, and a client of it."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
            resources={"camera": 1}, silence_logs=100,
        ) as cluster,
        Client(cluster) as client,
    ):  # fmt: skip
        client.gather([client.submit(successor, i) for i in range(100)])
        yield client, cluster


def engine(client: Any) -> Any:
    from smqexec.dask import DaskExecutor

    return DaskExecutor(client)


# Costs.


def costs(client: Any, n: int, rounds: int) -> Iterator[str]:
    yield f"Cost of a task on a Dask cluster, of {n}: µs by Client.submit, and of that by a queue"
    for name, graph in GRAPHS.items():
        found = []
        for _ in range(rounds):
            by_dask = cost(Calls(partial(client.submit, pure=False)), graph, n)
            with Scheduler() as scheduler:
                by_queue = cost(Calls(Queue(scheduler, executor=engine(client)).submit), graph, n)
            found.append((by_dask, by_queue / by_dask))
        dask, ratio = (median(figures) for figures in zip(*found, strict=True))
        mark = "" if ratio <= COST_AIM else "  not met"
        yield f"  {name:16}{dask:10.0f}{ratio:8.2f}  <= {COST_AIM}{mark}"


# Bytes.


def grow(array: bytes) -> bytes:
    return bytes(len(array))


def weights(client: Any) -> Iterator[str]:
    aim = f"<= {BYTES_AIM / 1e6:.0f} but for the final result"
    yield f"MB through this process for {LINKS} chained tasks, each of {ARRAY / 1e6:.0f} MB"
    with Scheduler() as scheduler, counted() as count:
        queue = Queue(scheduler, executor=engine(client))
        task = queue.submit(bytes, ARRAY)
        for _ in range(LINKS - 1):
            task = queue.submit(grow, task)
        wait([task])
        before = sum(count)
        if len(task.result()) != ARRAY:
            raise WrongResult(f"{len(task.result())} bytes")
        after = sum(count) - before
    mark = "" if before <= BYTES_AIM else "  not met"
    yield f"  until it is done{before / 1e6:10.2f}  {aim}{mark}"
    yield f"  the final result{after / 1e6:10.2f}"


@contextmanager
def counted() -> Iterator[list[int]]:
    """The bytes that this process sends and receives by Dask's connections."""
    from tornado.iostream import IOStream

    count: list[int] = []
    receive, send = IOStream.read_from_fd, IOStream.write_to_fd

    def counting(move: Callable[..., int | None]) -> Callable[..., int | None]:
        def moved(*args: Any) -> int | None:
            number = move(*args)
            count.append(number or 0)
            return number

        return moved

    IOStream.read_from_fd, IOStream.write_to_fd = counting(receive), counting(send)
    try:
        yield count
    finally:
        IOStream.read_from_fd, IOStream.write_to_fd = receive, send


# First results.


class Run(NamedTuple):
    first: float  # s until the first pair
    last: float  # s until the last one
    peak: float  # bytes on the cluster at most


def expose(number: int) -> bytes:
    time.sleep(EXPOSING)
    return bytes([number]) * FRAME


def compute(frame: bytes) -> bytes:
    time.sleep(COMPUTING)
    return frame[::-1]


def pair(even: bytes, odd: bytes) -> int:
    return even[0] + odd[0]


def first_results(client: Any, cluster: Any, rounds: int) -> Iterator[str]:
    yield f"{PAIRS} pairs of even and odd frames: s to the first and to the last, MB on the cluster at most"
    cases = {"Client.submit": by_dask, "queues, newest first": by_queues}
    found: dict[str, list[Run]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, run in cases.items():
            with weighed(cluster) as peak:
                moments = run(client)
            found[name].append(Run(min(moments), max(moments), peak[0]))
            while held(cluster):
                time.sleep(0.01)
    medians = {name: Run(*map(median, zip(*runs, strict=True))) for name, runs in found.items()}
    for name, run in medians.items():
        yield f"  {name:24}{run.first:8.3f}{run.last:8.3f}{run.peak / 1e6:8.1f}"
    dask, ours = medians.values()
    lighter = dask.peak / max(ours.peak, 1)
    yield f"  the first better by {dask.first / ours.first:.1f}, the bytes by {lighter:.1f}"
    best = (PAIRS + 1) / 3
    yield f"  ({PAIRS + 1} frames are exposed before the first pair in the order of submission, in ours 3,"
    yield f"  one of which began while the program submitted: {best:.0f} is what the order can give)"


def by_dask(client: Any) -> list[float]:
    """All of it submitted to Dask, the camera being one worker's."""
    began = time.perf_counter()
    camera = {"workers": [min(client.nthreads())], "resources": {"camera": 1}}
    even = [client.submit(expose, i, pure=False, **camera) for i in range(PAIRS)]
    odd = [client.submit(expose, i, pure=False, **camera) for i in range(PAIRS)]
    even = [client.submit(compute, frame, pure=False) for frame in even]
    odd = [client.submit(compute, frame, pure=False) for frame in odd]
    pairs = [client.submit(pair, *both, pure=False) for both in zip(even, odd, strict=True)]
    del even, odd
    return moments_of(pairs, began)


def by_queues(client: Any) -> list[float]:
    """The camera is this process's, and the order ours."""
    began = time.perf_counter()
    with Scheduler() as scheduler:
        camera, cluster = Queue(scheduler, 1), Queue(scheduler, executor=engine(client))
        even = [camera.submit(expose, i) for i in range(PAIRS)]
        odd = [camera.submit(expose, i) for i in range(PAIRS)]
        even = [cluster.submit(compute, frame) for frame in even]
        odd = [cluster.submit(compute, frame) for frame in odd]
        pairs = [cluster.submit(pair, *both) for both in zip(even, odd, strict=True)]
        del even, odd
        return moments_of(pairs, began)


def moments_of(pairs: Sequence[Any], began: float) -> list[float]:
    """When each of *pairs* was there, in seconds."""
    moments: list[float] = []
    all_there = Event()

    def tell(_: Any) -> None:
        moments.append(time.perf_counter() - began)
        if len(moments) == len(pairs):
            all_there.set()

    for task in pairs:
        task.add_done_callback(tell)
    if not all_there.wait(60):
        raise WrongResult(f"{len(moments)} of {len(pairs)} pairs within a minute")
    found = sorted(task.result() for task in pairs)
    if found != [2 * i for i in range(PAIRS)]:
        raise WrongResult(f"the pairs are {found}")
    return moments


@contextmanager
def weighed(cluster: Any) -> Iterator[list[float]]:
    """The most bytes that were on the cluster at a time."""
    peak = [0.0]
    over = Event()

    def weigh() -> None:
        while not over.wait(0.002):
            peak[0] = max(peak[0], held(cluster))

    thread = Thread(target=weigh)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def held(cluster: Any) -> float:
    """Bytes of values at its workers, and of calls, with the frames in them, at its scheduler."""

    def weight(spec: Any) -> int:
        return sum(len(part) for part in getattr(spec, "args", ()) if isinstance(part, bytes))

    scheduler = cluster.scheduler
    values = sum(worker.nbytes for worker in list(scheduler.workers.values()))
    tasks = list(scheduler.tasks.copy().values())
    return float(values + sum(weight(task.run_spec) for task in tasks))
