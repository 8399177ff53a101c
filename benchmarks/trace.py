"""What it costs to be watched: by an observer that does nothing, and by a recording."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from time import process_time

from smqexec import Scheduler
from smqexec.trace import record

from .measure import cells, check, executors_for, queues_of
from .workloads import SHARED, WORKLOADS, Workload

AIM = 1.5  # µs an event
EVENTS = 3  # of a task
WATCHED = [w for w in WORKLOADS if w.executor == SHARED and w.name in ("independent", "chain")]

Watch = Callable[[Scheduler], AbstractContextManager[object]]


def report(n: int, rounds: int) -> Iterator[str]:
    """Measure, then yield the table.

    Raises:
        WrongResult: Not everything ran as it must.
    """
    yield "Cost of an event to who watches, in µs of processor time over the same tasks unwatched"
    yield "An event is a submit, a start, or an end"
    yield ""
    yield f"{'':28}{'observed':>16}{'recorded':>16}"
    yield f"{'':28}" + f"{'min':>8}{'median':>8}" * 2 + "  aim"
    for workload in WATCHED:
        runs = [
            [run(workload, n, watch) for watch in (nullcontext, observed, recorded)] for _ in range(rounds)
        ]
        columns = ""
        for way in (1, 2):
            costs = [(times[way] - times[0]) / n / EVENTS * 1e6 for times in runs]
            columns += cells(costs)
        yield f"  {workload.name:26}{columns}  <= {AIM}"


def observed(scheduler: Scheduler) -> AbstractContextManager[object]:
    return scheduler.observe(lambda event: None)


def recorded(scheduler: Scheduler) -> AbstractContextManager[object]:
    return record(scheduler, os.devnull)


def run(workload: Workload, n: int, watch: Watch) -> float:
    """Run *n* tasks under *watch*; the seconds of processor time until nothing is left to write."""
    executors = executors_for(workload)
    [queue] = queues_of(executors)
    queue.scheduler.stop()
    gc.collect()
    began = process_time()
    with watch(queue.scheduler):
        submitted = workload.submit(n, queue)
        queue.scheduler.resume()
        queue.shutdown()
    seconds = process_time() - began
    check(workload, submitted, executors)
    return seconds
