"""The bytes of a pending task, or of an item that was asked for.

Weighed in one thread while nothing runs: the same figure each time.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any

from smqexec import Queue, Scheduler

from .workloads import LONE, SHARED, add, numbers, one, same

ORDERS = {LONE: "oldest", SHARED: "newest"}
ITEM_AIM = 0.3  # of what a bare `Future` weighs


def report(n: int) -> Iterator[str]:
    yield "Bytes of a pending task, its future included"
    yield ""
    queues = "".join(f"{executor:>20}{'ratio':>8}" for executor in ORDERS)
    yield f"{'arguments':16}{'ThreadPoolExecutor':>20}{queues}  aim"
    for name, submit in ARGUMENTS.items():
        pool = bytes_of_pool(submit, n)
        weights = [bytes_of_queue(submit, n, order) for order in ORDERS.values()]
        columns = "".join(f"{weight:20.0f}{weight / pool:8.2f}" for weight in weights)
        aim = f"  <= {AIMS[name]} B" if name in AIMS else ""
        yield f"  {name:14}{pool:20.0f}{columns}{aim}"
    yield ""
    yield "Bytes of an item of a generator task, asked for before its value is there"
    yield ""
    yield f"{'Future':>36}{queues}  aim of the ratio"
    plain = bytes_a_task(plain_futures, None, n)
    weights = [bytes_of_queue(items, n, order) for order in ORDERS.values()]
    columns = "".join(f"{weight:20.0f}{weight / plain:8.2f}" for weight in weights)
    yield f"  {'an item':14}{plain:20.0f}{columns}  <= {ITEM_AIM}"


# What is weighed.


def no_arguments(executor: Any, tasks: list[Any]) -> None:
    for i in range(len(tasks)):
        tasks[i] = executor.submit(one)


def one_int(executor: Any, tasks: list[Any]) -> None:
    number = 1000
    for i in range(len(tasks)):
        tasks[i] = executor.submit(same, number)


def two_futures(executor: Any, tasks: list[Any]) -> None:
    """Each task has the two before it as arguments: to a pool, objects like any other."""
    tasks[:2] = executor.submit(one), executor.submit(one)
    for i in range(2, len(tasks)):
        tasks[i] = executor.submit(add, tasks[i - 1], tasks[i - 2])


def items(executor: Any, tasks: list[Any]) -> None:
    """Not tasks, but items of one."""
    task = executor.submit(numbers, len(tasks))
    for i in range(len(tasks)):
        tasks[i] = task[i]


def plain_futures(_: Any, tasks: list[Any]) -> None:
    for i in range(len(tasks)):
        tasks[i] = Future()


ARGUMENTS = {"no arguments": no_arguments, "one int": one_int, "two futures": two_futures}
AIMS = {"no arguments": 300, "two futures": 450}  # bytes


def bytes_of_pool(submit: Callable[[Any, list[Any]], None], n: int) -> float:
    """Bytes a task pending in a ThreadPoolExecutor whose only thread is blocked."""
    entered, gate = Event(), Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(pass_through, entered, gate)
        entered.wait()
        try:
            return bytes_a_task(submit, pool, n)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            gate.set()


def pass_through(entered: Event, gate: Event) -> None:
    entered.set()
    gate.wait()


def bytes_of_queue(submit: Callable[[Any, list[Any]], None], n: int, order: str) -> float:
    """Bytes a task pending on a stopped scheduler."""
    queue = Queue(1, scheduler=Scheduler(order, stopped=True))
    try:
        return bytes_a_task(submit, queue, n)
    finally:
        queue.shutdown(cancel_futures=True)


def bytes_a_task(submit: Callable[[Any, list[Any]], None], executor: Any, n: int) -> float:
    """What the executor allocates for *n* tasks, their futures included."""
    tasks: list[Any] = [None] * n
    gc.collect()
    tracemalloc.start()
    try:
        submit(executor, tasks)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / n
    finally:
        tracemalloc.stop()
