"""Time a workload, and weigh pending tasks."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from threading import Event
from time import perf_counter
from typing import Any, Literal, NamedTuple

from smqexec import Queue, Scheduler

from .workloads import LONE, POOL, Submitted, Workload, add, numbers, one, same

Mode = Literal["submitted first", "submitted while running"]
MODES: tuple[Mode, ...] = ("submitted first", "submitted while running")


class WrongResult(Exception):
    """A workload's tasks did not all run, or returned something else."""


class Sample(NamedTuple):
    """One run of a workload."""

    tasks: int
    cost: float  # µs a task, from the first submission until all threads have ended
    steps: float | None  # of the planner's search, a task


def modes_of(workload: Workload) -> tuple[Mode, ...]:
    """A pool can't be stopped, and a stopped queue can't be awaited."""
    if workload.alternating or workload.executor == POOL:
        return ("submitted while running",)
    return MODES


def run(workload: Workload, prepared: Any, mode: Mode) -> Sample:
    """Submit and run all tasks of *workload*.

    Raises:
        WrongResult: Not everything ran as it must.
    """
    executors = executors_for(workload)
    schedulers = [queue.scheduler for queue in queues_of(executors)]
    if mode == "submitted first":
        for scheduler in schedulers:
            scheduler.stop()
    gc.collect()
    began = perf_counter()
    submitted = workload.submit(prepared, *executors)
    if mode == "submitted first":
        for scheduler in schedulers:
            scheduler.resume()
    for executor in executors:
        executor.shutdown()
    seconds = perf_counter() - began
    check(workload, submitted, executors)
    tasks = submitted.tasks
    return Sample(tasks, seconds / tasks * 1e6, steps_of(executors, tasks))


def executors_for(workload: Workload) -> list[Executor]:
    if workload.executor == POOL:
        return [ThreadPoolExecutor(slots) for slots in workload.slots]
    scheduler = None if workload.executor == LONE else Scheduler()
    return [Queue(slots, scheduler=scheduler) for slots in workload.slots]


def queues_of(executors: Sequence[Executor]) -> list[Queue]:
    return [executor for executor in executors if isinstance(executor, Queue)]


def check(workload: Workload, submitted: Submitted, executors: Sequence[Executor]) -> None:
    name = f"{workload.name} on {workload.executor}"
    total = sum(submitted.results)
    if total != submitted.total:
        raise WrongResult(f"{name}: {total}, not {submitted.total}")
    queues = queues_of(executors)
    done = sum(queue.counts()["done"] for queue in queues)
    if queues and done != submitted.tasks:
        raise WrongResult(f"{name}: {done} of {submitted.tasks} tasks done")


def steps_of(executors: Sequence[Executor], tasks: int) -> float | None:
    """Steps of the search, a task; None where there is no search."""
    for queue in queues_of(executors):
        steps: int | None = getattr(queue.scheduler.planner.order, "steps", None)
        return None if steps is None else steps / tasks
    return None


# A generator task that nobody asks for items.


class Yields(NamedTuple):
    """One run of a generator task, beside the loop over the same generator."""

    bare: float  # µs a value, of the loop
    over: float  # what the task costs more, thread and all


def run_generator(executor: str, n: int) -> Yields:
    """Let a generator task give *n* values.

    Raises:
        WrongResult: They are not those that the generator gives.
    """
    gc.collect()
    began = perf_counter()
    for _ in numbers(n):
        pass
    bare = perf_counter() - began
    queue = Queue(scheduler=None if executor == LONE else Scheduler())
    gc.collect()
    began = perf_counter()
    task = queue.submit(numbers, n)
    queue.shutdown()
    seconds = perf_counter() - began
    if task.result() != list(range(n)):
        raise WrongResult(f"the generator task on {executor}: not the values of the generator")
    return Yields(bare / n * 1e6, (seconds - bare) / n * 1e6)


# Memory.  Weighed in one thread while nothing runs: the same figure each time.


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
