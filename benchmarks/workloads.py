"""The graphs that are timed.  Every body is trivial: what is left is the executor's own cost.

A workload's ``submit`` submits everything and says what must come out of it.
Whatever it needs for that, such as random numbers, ``prepare`` makes from the
size asked for, before the clock starts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor
from math import isqrt
from random import Random
from typing import Any, NamedTuple

from smqexec import Queue

POOL, LONE, SHARED = "ThreadPoolExecutor", "Queue()", "Queue(Scheduler())"
SLOTS = 4

# Layers are five times as many tasks as the rest: 100,000 for 20,000.  A
# search may cost more in larger graphs, and that ought to be seen.
LAYERED = 5

Picks = list[list[tuple[int, ...]]]  # for each layer and task: which of the layer below it needs


class Submitted(NamedTuple):
    """What was submitted, and what must come of it."""

    tasks: int
    results: Iterable[int]  # to be read when all tasks are done
    total: int  # what the results add up to


class Workload(NamedTuple):
    """Tasks to submit, and the executors to submit them to."""

    name: str
    executor: str  # POOL, LONE or SHARED
    submit: Callable[..., Submitted]  # called with what `prepare` returned, and the executors
    prepare: Callable[[int], Any] = int
    slots: tuple[int, ...] = (SLOTS,)  # of each executor
    alternating: bool = False  # results are awaited between submissions
    aim: float | None = None  # the cost hoped for, in that of the pool's independent tasks


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


def independent(n: int, executor: Executor) -> Submitted:
    tasks = [executor.submit(one) for _ in range(n)]
    return Submitted(n, (task.result() for task in tasks), n)


def mapped(n: int, executor: Executor) -> Submitted:
    return Submitted(n, executor.map(same, range(n)), n * (n - 1) // 2)


def one_at_a_time(n: int, executor: Executor) -> Submitted:
    return Submitted(n, [executor.submit(one).result() for _ in range(n)], n)


# Graphs.


def chain(n: int, queue: Queue) -> Submitted:
    task = queue.submit(one)
    for _ in range(n - 1):
        task = queue.submit(successor, task)
    return Submitted(n, (task.result() for task in [task]), n)


def binary_tree(n: int, queue: Queue) -> Submitted:
    """Leaves first, then level by level up to the one sink."""
    leaves = (n + 1) // 2
    tree = deque(queue.submit(one) for _ in range(leaves))
    while len(tree) > 1:
        tree.append(queue.submit(add, tree.popleft(), tree.popleft()))
    return Submitted(2 * leaves - 1, (task.result() for task in tree), leaves)


def fan_out_and_in(n: int, queue: Queue) -> Submitted:
    """All but two tasks need the first one, and the last one needs these in a list."""
    source = queue.submit(one)
    sink = queue.submit(sum_of, [queue.submit(successor, source) for _ in range(n - 2)])
    return Submitted(n, (task.result() for task in [sink]), 2 * (n - 2))


def seed_example(side: int, *queues: Queue) -> Submitted:
    """A[i] on the first queue; on the last one B[i] of A[i], and C[i, k] of B[i] and B[k]."""
    acquire, compute = queues[0], queues[-1]
    b = [compute.submit(successor, acquire.submit(same, i)) for i in range(side)]
    c = [compute.submit(add, x, y) for x in b for y in b]
    total = side * side * (side + 1)  # each i + 1 occurs 2 * side times
    return Submitted(side * (side + 2), (task.result() for task in c), total)


def layers(picks: Picks, queue: Queue) -> Submitted:
    """Each task needs three random ones of the layer below."""
    width, depth = len(picks[0]), len(picks) + 1
    layer = [queue.submit(one) for _ in range(width)]
    for row in picks:
        layer = [queue.submit(above, layer[i], layer[j], layer[k]) for i, j, k in row]
    return Submitted(depth * width, (task.result() for task in layer), depth * width)


def items(n: int, queue: Queue) -> Submitted:
    """A generator task, and for each of its items a task that needs it."""
    source = queue.submit(numbers, n)
    tasks = [queue.submit(successor, source[i]) for i in range(n)]
    return Submitted(n + 1, (task.result() for task in tasks), n * (n + 1) // 2)


# What they need.


def side_of_seed(n: int) -> int:
    return min(isqrt(n), 100)


def picks(n: int, depth: int, width: int) -> Picks:
    """Layers of this shape, *depth* by *width* where *n* is 20,000."""
    scale = (LAYERED * n / (depth * width)) ** 0.5
    depth, width = max(round(depth * scale), 2), max(round(width * scale), 3)
    random = Random(0)
    return [[tuple(random.sample(range(width), 3)) for _ in range(width)] for _ in range(depth - 1)]


def deep(n: int) -> Picks:
    return picks(n, 1000, 100)


def wide(n: int) -> Picks:
    return picks(n, 100, 1000)


# The first one is what all others are compared with.  One thread acquires and
# four compute where there are two queues.
WORKLOADS = (
    Workload("independent", POOL, independent),
    Workload("map", POOL, mapped),
    Workload("one at a time", POOL, one_at_a_time, alternating=True),
    Workload("independent", LONE, independent, aim=0.35),
    Workload("map", LONE, mapped),
    Workload("one at a time", LONE, one_at_a_time, alternating=True),
    Workload("independent", SHARED, independent, aim=0.35),
    Workload("map", SHARED, mapped),
    Workload("one at a time", SHARED, one_at_a_time, alternating=True),
    Workload("chain", SHARED, chain, aim=0.5),
    Workload("binary tree", SHARED, binary_tree),
    Workload("fan out and in", SHARED, fan_out_and_in),
    Workload("items of a generator", SHARED, items),
    Workload("seed example", SHARED, seed_example, side_of_seed, aim=0.6),
    Workload("seed example, two queues", SHARED, seed_example, side_of_seed, (1, SLOTS), aim=0.6),
    Workload("layers, 100 x 1000", SHARED, layers, wide),
    Workload("layers, 1000 x 100", SHARED, layers, deep),
)
