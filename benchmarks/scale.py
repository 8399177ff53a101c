"""Whether the cost of a task grows with the number of tasks.

Measured with the garbage collector and without: it goes through all objects
that there are again and again, whoever made them, which grows with them.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

from .measure import MODES, Mode, modes_of, run
from .workloads import POOL, WORKLOADS, Workload, all_pairs, side, side_of_100, sinks

AIM = 1.5
MANY = 1_000_000
SHARE = 100  # many, in the number of few
REPEATS = 10  # of the smaller, of which one run is too short to be trusted


def workloads() -> list[Workload]:
    """All whose size is not fixed; and all pairs, with as many tasks as the others have.

    Of the pool's only the first, to see its own growth.
    """
    found = [WORKLOADS[0]]
    for workload in WORKLOADS:
        if workload.executor == POOL or workload.prepare in (side_of_100, sinks):
            continue
        if workload.submit is all_pairs:
            workload = workload._replace(name=workload.name.replace(" of 300", ""), prepare=side)
        found.append(workload)
    return found


def report(n: int, rounds: int) -> Iterator[str]:
    """Measure, and yield the table row by row: it takes long.

    Args:
        n: The larger number of tasks.
        rounds: How often the larger is timed.

    Raises:
        WrongResult: Not everything ran as it must.
    """
    small = n // SHARE
    yield f"Cost of a task among {n}, in µs and in that among {small}; bare: without the garbage collector"
    yield ""
    yield f"{'':28}" + "".join(f"{mode:>36}" for mode in MODES)
    yield f"{'':28}" + f"{'few':>12}{'many':>8}{'ratio':>8}{'bare':>8}" * len(MODES) + "  aim of the ratio"
    executor = ""
    for workload in workloads():
        if workload.executor != executor:
            executor = workload.executor
            yield executor
        few, many = workload.prepare(small), workload.prepare(n)
        columns = [costs(workload, mode, few, many, rounds) for mode in modes_of(workload)]
        columns = [f"{'-':>12}{'-':>8}{'-':>8}{'-':>8}"] * (len(MODES) - len(columns)) + columns
        aim = "" if executor == POOL else f"  <= {AIM}"
        yield f"  {workload.name:26}{''.join(columns)}{aim}"


def costs(workload: Workload, mode: Mode, few: Any, many: Any, rounds: int) -> str:
    rows: list[Sequence[float]] = []
    for _ in range(rounds):
        small, large = both(workload, mode, few, many)
        with no_collector():
            bare_small, bare_large = both(workload, mode, few, many)
        rows.append((small, large, large / small, bare_large / bare_small))
    small, large, ratio, bare = map(median, zip(*rows, strict=True))
    return f"{small:12.2f}{large:8.2f}{ratio:8.2f}{bare:8.2f}"


def both(workload: Workload, mode: Mode, few: Any, many: Any) -> tuple[float, float]:
    small = median(run(workload, few, mode).cost for _ in range(REPEATS))
    return small, run(workload, many, mode).cost


@contextmanager
def no_collector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
