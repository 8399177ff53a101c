"""What a yield of a generator task costs where nobody asks for items."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from time import perf_counter
from typing import NamedTuple

from smqexec import Queue, Scheduler

from .measure import WrongResult, cells
from .workloads import LONE, SHARED, numbers

AIM = 3  # µs, on CPython 3.11


class Yields(NamedTuple):
    """One run of a generator task, beside the loop over the same generator."""

    bare: float  # µs a value, of the loop
    over: float  # what the task costs more, thread and all


def report(n: int, rounds: int) -> Iterator[str]:
    """Measure, then yield the table.

    Raises:
        WrongResult: The values are not those that the generator gives.
    """
    yield "Cost of a yield of a generator task, in µs over the loop over the same generator"
    yield ""
    yield f"{'':28}{'loop':>16}{'over it':>16}"
    yield f"{'':28}" + f"{'min':>8}{'median':>8}" * 2 + "  aim"
    for executor in (LONE, SHARED):
        samples = [run_generator(executor, n) for _ in range(rounds)]
        columns = "".join(map(cells, zip(*samples, strict=True)))
        yield f"  {executor:26}{columns}  <= {AIM}"


def run_generator(executor: str, n: int) -> Yields:
    """Let a generator task give *n* values."""
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
