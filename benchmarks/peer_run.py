"""One library in a process of its own: ``python -m benchmarks.peer_run NAME N ROUNDS``.

So one that hangs can be ended, and none disturbs the next.  Each figure is
printed as soon as it is there, as one line of JSON.
"""

from __future__ import annotations

import gc
import json
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from time import perf_counter, sleep
from typing import Any, NamedTuple

from .adapters import PEERS, Adapter
from .measure import WrongResult
from .workloads import Submitted, all_pairs, binary_tree, chain, independent, one, side

WARM_UP = 50  # tasks
STEADY = 0.2  # s that a round takes at least
NAP = 0.001  # s

GRAPHS: dict[str, Callable[[int, Adapter], Submitted]] = {
    "independent": independent,
    "chain": chain,
    "binary tree": lambda n, peer: binary_tree((n + 1) // 2, peer),
    "all pairs": lambda n, peer: all_pairs(side(n), peer),
}
MEMORY, FIRST = "bytes", "first"
COLUMNS = (*GRAPHS, MEMORY, FIRST)


class Figure(NamedTuple):
    """One of `COLUMNS`, once measured, or why it could not be."""

    column: str
    value: float | None  # µs a task, bytes a pending task, or ms; None: it can't be had
    trouble: str = ""


def figures(peer: Adapter, n: int, rounds: int) -> Iterator[Figure]:
    """Measure all there is.  One graph that fails does not keep the others from being tried."""
    cost(peer, independent, WARM_UP)
    for name, graph in GRAPHS.items():
        yield from attempt(name, partial(steady_cost, peer, graph, n), rounds)
    yield from attempt(FIRST, lambda: first_result(peer, first_side(n)), rounds)
    yield from attempt(MEMORY, lambda: weight(peer, n), 1)


def attempt(column: str, measure: Callable[[], float | None], rounds: int) -> Iterator[Figure]:
    for _ in range(rounds):
        try:
            yield Figure(column, measure())
        except Exception as error:
            yield Figure(column, None, f"{type(error).__name__}: {str(error).partition(chr(10))[0][:100]}")
            return


def steady_cost(peer: Adapter, graph: Callable[[int, Any], Submitted], n: int) -> float:
    """As `cost`; the median of several runs where one is over too soon to be trusted."""
    costs: list[float] = []
    end = perf_counter() + STEADY
    while not costs or perf_counter() < end:
        costs.append(cost(peer, graph, n))
    return median(costs)


def cost(peer: Adapter, graph: Callable[[int, Any], Submitted], n: int) -> float:
    """µs a task, from the first submission until the results are there."""
    gc.collect()
    began = perf_counter()
    submitted = graph(n, peer)
    found = peer.results(submitted.final)
    seconds = perf_counter() - began
    if sum(found) != submitted.total:
        raise WrongResult(f"{sum(found)}, not {submitted.total}")
    return seconds / submitted.tasks * 1e6


def first_result(peer: Adapter, size: int) -> float:
    """ms from the first submission to the first result of all pairs, where each call sleeps."""
    told: list[float] = []
    gc.collect()
    began = perf_counter()
    b = [peer.submit(nap, peer.submit(nap)) for _ in range(size)]
    c = [peer.submit(nap, x, y) for x in b for y in b]
    for task in c:
        peer.notify(task, lambda _: told.append(perf_counter()))
    total = sum(peer.results(c))
    if total != 2 * size * size:
        raise WrongResult(f"{total}, not {2 * size * size}")
    while not told:  # results may be there before a callback has been called
        sleep(NAP)
    return (min(told) - began) * 1e3


def first_side(n: int) -> int:
    return min(side(n), 30)


def nap(*values: int) -> int:
    sleep(NAP)
    return sum(values) or 1


def weight(peer: Adapter, n: int) -> float | None:
    """Bytes of a pending task without arguments, its future included; None where they are elsewhere."""
    if not peer.occupy():
        return None
    try:
        tasks: list[Any] = [None] * n
        gc.collect()
        tracemalloc.start()
        for i in range(n):
            tasks[i] = peer.submit(one)
        peer.settle(n)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / n
    finally:
        tracemalloc.stop()
        peer.release()
        peer.results(task for task in tasks if task is not None)


def main(name: str, n: str, rounds: str) -> None:
    peer = PEERS[name].make()
    try:
        for figure in figures(peer, int(n), int(rounds)):
            print(json.dumps(figure), flush=True)
    finally:
        peer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
