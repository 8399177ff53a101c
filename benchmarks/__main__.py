"""Print what a task costs, beside ThreadPoolExecutor in the same process and run.

Each round times the pool's independent tasks first, then every workload once
in each of its modes; a ratio is taken within its round.  A slow run of the pool
flatters all ratios of its round: trust the medians, and look at the pool's own
costs, printed beneath the table.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median

from .measure import (
    ARGUMENTS,
    MODES,
    Mode,
    Sample,
    WrongResult,
    Yields,
    bytes_a_task,
    bytes_of_pool,
    bytes_of_queue,
    items,
    modes_of,
    plain_futures,
    run,
    run_generator,
)
from .workloads import LAYERED, LONE, SHARED, SLOTS, WORKLOADS, Workload

Figures = dict[tuple[Workload, Mode], list[tuple[Sample, float]]]  # each round's, with its ratio

BASIS = WORKLOADS[0]
MEMORY_AIM = 0.3
YIELD_AIM = 3  # µs, on CPython 3.11
ORDERS = {LONE: "oldest", SHARED: "newest"}
GRAPHS = [w for w in WORKLOADS if w.executor == SHARED and not w.alternating]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, report, and return the exit status: 1 if a result was wrong."""
    options = parse(argv)
    print_all(machine(options.n, options.rounds))
    try:
        figures, yields = measure(options.n, options.rounds)
    except WrongResult as wrong:
        print(f"wrong result: {wrong}", file=sys.stderr)
        return 1
    print_all(cost_table(figures))
    print_all(steps_table(figures))
    print_all(yield_table(yields))
    print_all(memory_table(options.n))
    print_all(item_table(options.n))
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--n", type=int, help="tasks of a workload (20000; quick: 5000)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed (5)")
    parser.add_argument("--quick", action="store_true", help="in 10 to 20 s, not a minute or two")
    options = parser.parse_args(argv)
    if options.n is None:
        options.n = 5000 if options.quick else 20000
    if options.n < 10 or options.rounds < 1:
        parser.error("--n must be at least 10, --rounds at least 1")
    return options


def print_all(lines: Iterable[str]) -> None:
    for line in lines:
        print(line.rstrip(), flush=True)


# The machine.


def machine(n: int, rounds: int) -> Iterator[str]:
    yield f"{platform.platform()}, {os.cpu_count()} CPUs, {processor()}"
    yield f"{platform.python_implementation()} {platform.python_version()}, {gil()}"
    yield f"{n} tasks ({LAYERED * n} in layers), {SLOTS} slots, {rounds} rounds"


def processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def gil() -> str:
    enabled = getattr(sys, "_is_gil_enabled", lambda: True)()
    built = "free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else "ordinary"
    return f"{built} build, {'with' if enabled else 'without'} the GIL"


# Time.


def measure(n: int, rounds: int) -> tuple[Figures, dict[str, list[Yields]]]:
    prepared = [(workload, workload.prepare(n)) for workload in WORKLOADS]
    figures: Figures = {(w, mode): [] for w in WORKLOADS for mode in modes_of(w)}
    yields: dict[str, list[Yields]] = {executor: [] for executor in ORDERS}
    for _ in range(rounds):
        pool = 0.0
        for workload, needed in prepared:
            for mode in modes_of(workload):
                sample = run(workload, needed, mode)
                pool = pool or sample.cost
                figures[workload, mode].append((sample, sample.cost / pool))
        for executor, samples in yields.items():
            samples.append(run_generator(executor, n))
    return figures, yields


def cost_table(figures: Figures) -> Iterator[str]:
    yield ""
    yield "Cost of a task, in µs and in that of the pool's independent tasks of the same round"
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
        aim = "" if workload.aim is None else f"  <= {workload.aim}"
        yield f"  {workload.name:26}{columns}{aim}"
    yield ""
    pool = " ".join(f"{sample.cost:.2f}" for sample, _ in figures[BASIS, "submitted while running"])
    yield f"The pool's independent tasks, round by round: {pool}"


def costs(rounds: list[tuple[Sample, float]] | None) -> str:
    if rounds is None:
        return f"{'-':>8}" * 4
    micros = [sample.cost for sample, _ in rounds]
    ratios = [ratio for _, ratio in rounds]
    return f"{min(micros):8.2f}{median(micros):8.2f}{min(ratios):8.2f}{median(ratios):8.2f}"


def steps_table(figures: Figures) -> Iterator[str]:
    yield ""
    yield "Steps of the planner's search, a task"
    yield ""
    yield f"{'':36}" + "".join(f"{mode:>26}" for mode in MODES)
    yield f"{'':28}{'tasks':>8}" + f"{'median':>16}{'max':>10}" * len(MODES)
    for workload in GRAPHS:
        samples = [[sample for sample, _ in figures[workload, mode]] for mode in MODES]
        yield f"  {workload.name:26}{samples[0][0].tasks:8}" + "".join(map(steps, samples))


def steps(samples: list[Sample]) -> str:
    counts = [sample.steps for sample in samples if sample.steps is not None]
    return f"{median(counts):16.2f}{max(counts):10.2f}" if counts else f"{'-':>16}{'-':>10}"


def yield_table(yields: dict[str, list[Yields]]) -> Iterator[str]:
    yield ""
    yield "Cost of a yield of a generator task, in µs over the loop over the same generator"
    yield ""
    yield f"{'':28}{'loop':>16}{'over it':>16}"
    yield f"{'':28}" + f"{'min':>8}{'median':>8}" * 2 + "  aim"
    for executor, samples in yields.items():
        columns = "".join(f"{min(column):8.2f}{median(column):8.2f}" for column in zip(*samples, strict=True))
        yield f"  {executor:26}{columns}  <= {YIELD_AIM}"


# Memory.


def memory_table(n: int) -> Iterator[str]:
    yield ""
    yield "Bytes of a pending task, its future included"
    yield ""
    queues = f"{'Queue()':>20}{'ratio':>8}{'Queue(Scheduler())':>20}{'ratio':>8}"
    yield f"{'arguments':16}{'ThreadPoolExecutor':>20}{queues}  aim of the ratio"
    for name, submit in ARGUMENTS.items():
        pool = bytes_of_pool(submit, n)
        weights = [bytes_of_queue(submit, n, order) for order in ORDERS.values()]
        columns = "".join(f"{weight:20.0f}{weight / pool:8.2f}" for weight in weights)
        yield f"  {name:14}{pool:20.0f}{columns}  <= {MEMORY_AIM}"


def item_table(n: int) -> Iterator[str]:
    yield ""
    yield "Bytes of an item of a generator task, asked for before its value is there"
    yield ""
    yield (
        f"{'Future':>36}"
        + "".join(f"{executor:>20}{'ratio':>8}" for executor in ORDERS)
        + "  aim of the ratio"
    )
    plain = bytes_a_task(plain_futures, None, n)
    weights = [bytes_of_queue(items, n, order) for order in ORDERS.values()]
    columns = "".join(f"{weight:20.0f}{weight / plain:8.2f}" for weight in weights)
    yield f"  {'an item':14}{plain:20.0f}{columns}  <= {MEMORY_AIM}"


if __name__ == "__main__":
    sys.exit(main())
