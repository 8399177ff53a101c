"""Print what a task costs, beside ThreadPoolExecutor in the same process and run.

A ratio is taken to a run of the pool just before: trust the medians, over
several rounds.  The aims are for n = 100,000, and the names of workloads say
their shapes at that size.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from . import cores, costs, curve, first_results, lock, machine, memory, scale, yields
from .measure import FIRST, WrongResult
from .workloads import SLOTS, side



def results_over_time(options: argparse.Namespace) -> Iterator[str]:
    size = min(side(options.n), first_results.SIDE)
    found = first_results.measure(size, options.rounds)
    yield from first_results.table(size, found)
    if options.curve is not None:
        curves = first_results.curves(found)
        shown = {"newest": f"newest, {FIRST}", "oldest": f"oldest, {FIRST}"}
        shown["phases on ThreadPoolExecutor"] = first_results.PHASES
        picture = curve.svg({label: curves[name] for label, name in shown.items()})
        options.curve.write_text(picture, encoding="utf-8")
        yield f"  the picture: {options.curve}"


Section = Callable[[argparse.Namespace], Iterator[str]]

SECTIONS: dict[str, Section] = {
    "costs": lambda options: costs.report(options.n, options.rounds),
    "yields": lambda options: yields.report(options.n, options.rounds),
    "memory": lambda options: memory.report(options.n),
    "lock": lambda options: lock.report(options.n, options.rounds),
    "cores": lambda options: cores.report(options.rounds, min(options.n / 1e5, 1)),
    "first": results_over_time,
    "scale": lambda options: scale.report(options.scale or scale.MANY, options.rounds),
}
ON_DEMAND = ("scale",)


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
    parser.add_argument("--n", type=int, help="tasks of a workload (20000; quick: 5000)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed (5)")
    parser.add_argument("--quick", action="store_true", help="a smaller n")
    tables = ", ".join(SECTIONS)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, metavar="TABLE", help=f"some of {tables}")
    parser.add_argument(
        "--scale", type=int, nargs="?", const=scale.MANY, metavar="N",
        help="also: the cost of a task among N (1000000) beside that among N / 100; takes minutes a round",
    )  # fmt: skip
    parser.add_argument("--curve", type=Path, metavar="FILE.svg", help="draw final results over time")
    options = parser.parse_args(argv)
    if options.n is None:
        options.n = 5000 if options.quick else 20000
    if options.n < 50 or options.rounds < 1:
        parser.error("--n must be at least 50, --rounds at least 1")
    if options.only is None:
        options.only = [name for name in SECTIONS if name not in ON_DEMAND or getattr(options, name)]
    return options


def show(lines: Iterator[str]) -> None:
    for line in lines:
        print(line.rstrip(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
