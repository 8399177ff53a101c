"""What a task costs, and the steps of the planner's search for it."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from .machine import has_gil
from .measure import MODES, RUNNING, Figures, Sample, cells, measure
from .workloads import SHARED, WORKLOADS, Workload, basis_of

BASIS = WORKLOADS[0]
GRAPHS = [w for w in WORKLOADS if w.executor == SHARED and not w.alternating]


def report(n: int, rounds: int) -> Iterator[str]:
    """Measure, then yield the two tables.

    Raises:
        WrongResult: Not everything ran as it must.
    """
    figures = measure(WORKLOADS, n, rounds)
    yield from cost_table(figures)
    yield from steps_table(figures)


def cost_table(figures: Figures) -> Iterator[str]:
    yield "Cost of a task, in µs and in that of the pool's just before"
    yield ""
    yield f"{'':28}" + "".join(f"{mode:>32}" for mode in MODES)
    yield f"{'':28}" + f"{'µs':>16}{'ratio':>16}" * len(MODES)
    yield f"{'':28}" + f"{'min':>8}{'median':>8}" * 2 * len(MODES) + "  aim of the ratio"
    executor = ""
    for workload in WORKLOADS:
        if workload.executor != executor:
            executor = workload.executor
            yield executor
        columns = "".join(costs(figures.get((workload, mode))) for mode in MODES)
        yield f"  {workload.name:26}{columns}{aim(workload)}"
    yield ""
    pool = sorted(sample.cost for sample, _ in figures[BASIS, RUNNING])
    quarters = " / ".join(f"{pool[len(pool) * i // 4]:.2f}" for i in (1, 2, 3))
    yield f"The pool's independent tasks, {len(pool)} runs, quartiles: {quarters} µs"


def costs(rounds: list[tuple[Sample, float]] | None) -> str:
    if rounds is None:
        return f"{'-':>8}" * 4
    return cells(sample.cost for sample, _ in rounds) + cells(ratio for _, ratio in rounds)


def aim(workload: Workload) -> str:
    hoped = workload.aim if has_gil() else workload.aim_without_gil
    if hoped is None:
        return ""
    return f"  <= {hoped:.2f}" + ("" if basis_of(workload) is BASIS else " of the pool's under the same")


def steps_table(figures: Figures) -> Iterator[str]:
    yield ""
    yield "Steps of the planner's search, a task"
    yield ""
    yield f"{'':36}" + "".join(f"{mode:>26}" for mode in MODES)
    yield f"{'':28}{'tasks':>8}" + f"{'median':>16}{'max':>10}" * len(MODES) + "  aim"
    for workload in GRAPHS:
        samples = [[sample for sample, _ in figures[workload, mode]] for mode in MODES]
        columns = "".join(map(steps, samples))
        yield f"  {workload.name:26}{samples[0][0].tasks:8}{columns}  <= {workload.search_aim}"


def steps(samples: list[Sample]) -> str:
    counts = [sample.steps for sample in samples if sample.steps is not None]
    return f"{median(counts):16.2f}{max(counts):10.2f}" if counts else f"{'-':>16}{'-':>10}"
