"""Print what a task costs, beside ThreadPoolExecutor in the same process and run.

A ratio is taken to a run of the pool just before: trust the medians, over
several rounds.  The aims are for n = 100,000 on Debian's CPython 3.13, and the
names of workloads say their shapes at that size.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from . import (
    bytecodes,
    cluster,
    cores,
    costs,
    engines,
    first_results,
    floor,
    lock,
    machine,
    memory,
    peers,
    scale,
    timelines,
    trace,
    yields,
)
from .measure import WrongResult
from .workloads import SLOTS, side

LEAST = 50  # tasks
QUICK, USUAL = 5000, 20000

Section = Callable[[argparse.Namespace], Iterator[str]]

SECTIONS: dict[str, Section] = {
    "costs": lambda options: costs.report(options.n, options.rounds),
    "floor": lambda options: floor.report(options.rounds),
    "bytecodes": lambda options: bytecodes.report(),
    "yields": lambda options: yields.report(options.n, options.rounds),
    "trace": lambda options: trace.report(options.n, options.rounds),
    "memory": lambda options: memory.report(options.n),
    "lock": lambda options: lock.report(options.n, options.rounds),
    "cores": lambda options: cores.report(options.rounds, min(options.n / 1e5, 1)),
    "engines": lambda options: engines.report(options.n, options.rounds),
    "first": lambda options: first_results.report(side(options.n), options.rounds, options.curve),
    "timelines": lambda options: timelines.report(timelines.FILES, options.rounds, options.timelines),
    "scale": lambda options: scale.report(options.scale or scale.MANY, options.rounds),
    "cluster": lambda options: cluster.report(min(options.n, cluster.MOST), options.rounds),
    "peers": lambda options: peers.report(min(options.n, peers.MOST), options.rounds),
}
ON_DEMAND = ("timelines", "scale", "cluster", "peers")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, report, and return the exit status: 1 if a result was wrong."""
    options = parse(argv)
    show(machine.report())
    print(f"n = {options.n}, {SLOTS} slots, {options.rounds} rounds", flush=True)
    try:
        for name in options.only:
            print()
            show(SECTIONS[name](options))
    except WrongResult as wrong:
        print(f"wrong result: {wrong}", file=sys.stderr)
        return 1
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--n", type=int, help=f"tasks of a workload ({USUAL}; quick: {QUICK})")
    add("--rounds", type=int, default=5, help="how often each is timed (5)")
    add("--quick", action="store_true", help="a smaller n")
    tables = f"some of {', '.join(SECTIONS)}; without it, all but {', '.join(ON_DEMAND)}"
    add("--only", nargs="+", choices=SECTIONS, metavar="TABLE", help=tables)
    many = f"also: what a task costs among N ({scale.MANY}), and among N / {scale.SHARE}; takes long"
    add("--scale", type=int, nargs="?", const=scale.MANY, metavar="N", help=many)
    add("--curve", type=Path, metavar="FILE.svg", help="draw final results over time")
    add("--timelines", type=Path, metavar="FOLDER", help="also: draw the demonstration as it ran, both ways")
    options = parser.parse_args(argv)
    if options.n is None:
        options.n = QUICK if options.quick else USUAL
    if options.n < LEAST or options.rounds < 1:
        parser.error(f"--n must be at least {LEAST}, --rounds at least 1")
    if options.scale is not None and options.scale < LEAST * scale.SHARE:
        parser.error(f"--scale must be at least {LEAST * scale.SHARE}")
    if options.timelines is not None and not options.timelines.is_dir():
        parser.error(f"--timelines: {options.timelines} is no folder")
    wanted = options.only or [name for name in SECTIONS if name not in ON_DEMAND]
    asked = {
        "scale": options.scale is not None,
        "first": options.curve is not None,
        "timelines": options.timelines is not None,
    }
    options.only = [name for name in SECTIONS if name in wanted or asked.get(name)]
    return options


def show(lines: Iterator[str]) -> None:
    for line in lines:
        print(line.rstrip(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
