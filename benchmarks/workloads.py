"""The graphs that are timed.  Every body is trivial: what is left is the executor's own cost.

A workload's ``submit`` submits everything and says what must come out of it.
Whatever it needs for that, such as random numbers, ``prepare`` makes from the
size asked for, before the clock starts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor
from itertools import chain as chained
from math import isqrt
from random import Random
from threading import Barrier, Thread
from typing import Any, NamedTuple, Protocol

from smqexec import Queue

POOL, LONE, SHARED = "ThreadPoolExecutor", "Queue()", "Queue(Scheduler())"
SLOTS = 4
SUBMITTERS = 16  # threads that submit at once
CHAINED_SINKS = 10  # for each task of the chain that they all need

Picks = list[list[tuple[int, ...]]]  # for each layer and task: which of the layer below it needs


class Submitted(NamedTuple):
    """What was submitted, and what must come of it."""

    tasks: int
    final: Iterable[Any]  # the results to be checked, or futures of them
    total: int  # what the results add up to


class Submitter(Protocol):
    """What a graph of positional arguments needs of an executor."""

    def submit(self, fn: Any, /, *args: Any) -> Any:
        """A future of ``fn(*args)``, itself an argument of later calls."""


class Workload(NamedTuple):
    """Tasks to submit, and the executors to submit them to."""

    name: str
    executor: str  # POOL, LONE or SHARED
    submit: Callable[..., Submitted]  # called with what `prepare` returned, and the executors
    prepare: Callable[[int], Any] = int
    slots: tuple[int, ...] = (SLOTS,)  # of each executor
    alternating: bool = False  # results are awaited between submissions
    aim: float | None = None  # the cost hoped for, in that of `basis_of`; None: no aim
    aim_without_gil: float | None = None  # the same without the interpreter lock
    search_aim: int = 5  # steps of the planner's search, a task


# Bodies.


def one() -> int:
    return 1


def same(number: int) -> int:
    return number


def successor(number: int) -> int:
    return number + 1


def add(a: int, b: int) -> int:
    return a + b


def sum_of(numbers: Any) -> int:  # Any: futures inside a container are not typed
    return sum(numbers)


def above(*numbers: int) -> int:
    return max(numbers) + 1


def numbers(count: int) -> Generator[int, None, None]:
    number = 0
    while number < count:
        yield number
        number += 1


# Without dependencies.


def independent(n: int, executor: Submitter) -> Submitted:
    return Submitted(n, [executor.submit(one) for _ in range(n)], n)


def mapped(n: int, executor: Executor) -> Submitted:
    return Submitted(n, executor.map(same, range(n)), n * (n - 1) // 2)


def one_at_a_time(n: int, executor: Executor) -> Submitted:
    return Submitted(n, [executor.submit(one).result() for _ in range(n)], n)


def from_threads(n: int, executor: Executor) -> Submitted:
    """Independent tasks from many threads at once."""
    start = Barrier(SUBMITTERS)
    shares: list[list[Any]] = [[] for _ in range(SUBMITTERS)]

    def submit(share: list[Any]) -> None:
        start.wait()
        for _ in range(n // SUBMITTERS):
            share.append(executor.submit(one))

    threads = [Thread(target=submit, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tasks = n // SUBMITTERS * SUBMITTERS
    return Submitted(tasks, chained(*shares), tasks)


# Graphs.


def chain(n: int, queue: Submitter) -> Submitted:
    task = queue.submit(one)
    for _ in range(n - 1):
        task = queue.submit(successor, task)
    return Submitted(n, [task], n)


def binary_tree(leaves: int, queue: Submitter) -> Submitted:
    """Leaves first, then level by level up to the one sink."""
    tree = deque(queue.submit(one) for _ in range(leaves))
    while len(tree) > 1:
        tree.append(queue.submit(add, tree.popleft(), tree.popleft()))
    return Submitted(2 * leaves - 1, tree, leaves)


def fan_out_and_in(n: int, queue: Queue) -> Submitted:
    """All but two tasks need the first one, and the last one needs these in a list."""
    source = queue.submit(one)
    sink = queue.submit(sum_of, [queue.submit(successor, source) for _ in range(n - 2)])
    return Submitted(n, [sink], 2 * (n - 2))


def all_pairs(side: int, *queues: Submitter) -> Submitted:
    """A[i] on the first queue; on the last one B[i] of A[i], and C[i, k] of B[i] and B[k]."""
    acquire, compute = queues[0], queues[-1]
    b = [compute.submit(successor, acquire.submit(same, i)) for i in range(side)]
    c = [compute.submit(add, x, y) for x in b for y in b]
    total = side * side * (side + 1)  # each i + 1 occurs 2 * side times
    return Submitted(side * (side + 2), c, total)


def layers(picks: Picks, queue: Submitter) -> Submitted:
    """Each task needs three random ones of the layer below."""
    width, depth = len(picks[0]), len(picks) + 1
    layer = [queue.submit(one) for _ in range(width)]
    for row in picks:
        layer = [queue.submit(above, layer[i], layer[j], layer[k]) for i, j, k in row]
    return Submitted(depth * width, layer, depth * width)


def sinks_over_chain(n: int, queue: Queue) -> Submitted:
    """Many tasks that all need the end of one long chain."""
    length = n // (CHAINED_SINKS + 1)
    task = queue.submit(one)
    for _ in range(length - 1):
        task = queue.submit(successor, task)
    sinks = [queue.submit(successor, task) for _ in range(CHAINED_SINKS * length)]
    return Submitted(length + len(sinks), sinks, len(sinks) * (length + 1))


def items(n: int, queue: Queue) -> Submitted:
    """A generator task, and for each of its items a task that needs it."""
    source = queue.submit(numbers, n)
    tasks = [queue.submit(successor, source[i]) for i in range(n)]
    return Submitted(n + 1, tasks, n * (n + 1) // 2)


# What they need.


def side(n: int) -> int:
    return isqrt(n)


def side_of_100(n: int) -> int:
    return min(side(n), 100)


def side_of_300(n: int) -> int:
    return min(side(n), 300)


def sinks(n: int) -> int:
    """At most 10,000 over a chain of 1,000: the case that the design names."""
    return min(n, 1000 * (CHAINED_SINKS + 1))


def picks(n: int, depth: int, width: int) -> Picks:
    """Layers of *n* tasks, *depth* by *width* where that is *n*."""
    scale = (n / (depth * width)) ** 0.5
    depth, width = max(round(depth * scale), 2), max(round(width * scale), 3)
    random = Random(0)
    return [[tuple(random.sample(range(width), 3)) for _ in range(width)] for _ in range(depth - 1)]


def deep(n: int) -> Picks:
    return picks(n, 1000, 100)


def wide(n: int) -> Picks:
    return picks(n, 100, 1000)


# The first one is what others are compared with.  One thread acquires and four
# compute where there are two queues.  The names and the aims are those of
# n = 100,000, the aims on Debian's CPython 3.13.
WORKLOADS = (
    Workload("independent", POOL, independent),
    Workload("map", POOL, mapped),
    Workload("one at a time", POOL, one_at_a_time, alternating=True),
    Workload("from 16 threads", POOL, from_threads),
    Workload("independent", LONE, independent, aim=0.25, aim_without_gil=0.4),
    Workload("map", LONE, mapped),
    Workload("one at a time", LONE, one_at_a_time, alternating=True, aim=1.0),
    Workload("from 16 threads", LONE, from_threads),
    Workload("independent", SHARED, independent, aim=0.25, aim_without_gil=0.4),
    Workload("map", SHARED, mapped),
    Workload("one at a time", SHARED, one_at_a_time, alternating=True, aim=1.0),
    Workload("from 16 threads", SHARED, from_threads),
    Workload("chain", SHARED, chain, aim=0.28, aim_without_gil=0.6),
    Workload("binary tree", SHARED, binary_tree, aim=0.32),
    Workload("fan out and in", SHARED, fan_out_and_in),
    Workload("all pairs of 100", SHARED, all_pairs, side_of_100, aim=0.33),
    Workload("all pairs of 100, 2 queues", SHARED, all_pairs, side_of_100, (1, SLOTS), aim=0.33),
    Workload("all pairs of 300", SHARED, all_pairs, side_of_300, aim=0.33),
    Workload("all pairs of 300, 2 queues", SHARED, all_pairs, side_of_300, (1, SLOTS), aim=0.33),
    Workload("100 layers of 1,000", SHARED, layers, wide, aim=0.65, aim_without_gil=1.0),
    Workload("1,000 layers of 100", SHARED, layers, deep, aim=0.65, aim_without_gil=1.0, search_aim=20),
    Workload("items of a generator", SHARED, items, aim=0.5),
    Workload("sinks over one chain", SHARED, sinks_over_chain, sinks, search_aim=20),
)
BASES = {workload.submit: workload for workload in WORKLOADS if workload.executor == POOL}


def basis_of(workload: Workload) -> Workload:
    """What the cost of *workload* is compared with: the pool's under the same, or its independent tasks."""
    return BASES.get(workload.submit, WORKLOADS[0])
