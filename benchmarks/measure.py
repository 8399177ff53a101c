"""Time a workload, and see that all of it ran."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from statistics import median
from time import perf_counter
from typing import Any, Literal, NamedTuple

from smqexec import Queue, Scheduler

from .workloads import LONE, POOL, Submitted, Workload, basis_of

Mode = Literal["submitted first", "submitted while running"]
FIRST: Mode = "submitted first"
RUNNING: Mode = "submitted while running"
MODES = (FIRST, RUNNING)


class WrongResult(Exception):
    """A workload's tasks did not all run, or returned something else."""


class Sample(NamedTuple):
    """One run of a workload."""

    tasks: int
    cost: float  # µs a task, from the first submission until all threads have ended
    steps: float | None  # of the planner's search, a task


Figures = dict[tuple[Workload, Mode], list[tuple[Sample, float]]]  # each round's, with its ratio


def measure(workloads: Sequence[Workload], n: int, rounds: int) -> Figures:
    """Time *workloads*, each beside a run of its basis on a pool, in *rounds* rounds.

    The basis is run anew right before each workload: a machine that others use
    too may change within a round by more than what is to be seen.

    Raises:
        WrongResult: Not everything ran as it must.
    """
    ours = [workload for workload in workloads if workload.executor != POOL]
    prepared = {workload: workload.prepare(n) for workload in workloads}
    figures: Figures = {(w, mode): [] for w in workloads for mode in modes_of(w)}
    for _ in range(rounds):
        for workload in ours:
            basis = basis_of(workload)
            beside = run(basis, prepared[basis], RUNNING)
            figures[basis, RUNNING].append((beside, 1.0))
            for mode in modes_of(workload):
                sample = run(workload, prepared[workload], mode)
                figures[workload, mode].append((sample, sample.cost / beside.cost))
    return figures


def modes_of(workload: Workload) -> Sequence[Mode]:
    """A pool can't be stopped, and a stopped queue can't be awaited."""
    return (RUNNING,) if workload.alternating or workload.executor == POOL else MODES


def run(workload: Workload, prepared: Any, mode: Mode) -> Sample:
    """Submit and run all tasks of *workload*.

    Raises:
        WrongResult: Not everything ran as it must.
    """
    executors = executors_for(workload)
    schedulers = [queue.scheduler for queue in queues_of(executors)]
    if mode == FIRST:
        for scheduler in schedulers:
            scheduler.stop()
    gc.collect()
    began = perf_counter()
    submitted = workload.submit(prepared, *executors)
    if mode == FIRST:
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


def queues_of(executors: Iterable[Executor]) -> list[Queue]:
    return [executor for executor in executors if isinstance(executor, Queue)]


def check(workload: Workload, submitted: Submitted, executors: Iterable[Executor]) -> None:
    """See that all tasks of *submitted* were run.

    Raises:
        WrongResult: They were not, or returned something else.
    """
    name = f"{workload.name} on {workload.executor}"
    total = sum(value.result() if isinstance(value, Future) else value for value in submitted.final)
    if total != submitted.total:
        raise WrongResult(f"{name}: {total}, not {submitted.total}")
    queues = queues_of(executors)
    done = sum(queue.counts()["done"] for queue in queues)
    if queues and done != submitted.tasks:
        raise WrongResult(f"{name}: {done} of {submitted.tasks} tasks done")


def cells(values: Iterable[float]) -> str:
    """Two cells of a table: the least of *values*, and their median."""
    values = list(values)
    return f"{min(values):8.2f}{median(values):8.2f}"


def steps_of(executors: Iterable[Executor], tasks: int) -> float | None:
    """Steps of the search, a task; None where there is no search."""
    queues = queues_of(executors)  # all of one scheduler
    if not queues:
        return None
    steps: int | None = getattr(queues[0].scheduler._core.planner.order, "steps", None)
    return None if steps is None else steps / tasks
