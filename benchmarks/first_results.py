"""How soon final results come: all pairs of acquisitions, with calls that take time.

A[i] is acquired in one slot; B[i] of A[i] and, of each pair, C[i, k] of B[i]
and B[k] are computed in four.  Every body sleeps 1 ms: so the interpreter lock
decides little, and what is left is the order, and what hand-overs cost.  A
result counts from when a callback of its future was called.

Time begins with the first submission, or with `resume` where all was submitted
first.  While the main thread submits it keeps the interpreter lock for up to 5
ms, and a body that has slept waits for that: its own time is as measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any, NamedTuple

from smqexec import Queue, Scheduler

from .curve import svg
from .measure import FIRST, RUNNING, Mode, WrongResult
from .workloads import SLOTS

SIDE = 30
LENGTH = 0.001  # s
FIRST_AIM = 1.15  # of the time of the bodies that the first result needs
BUSY_AIM = 97  # %
UNTIL = 0.98  # of the tasks: after that there is not enough left for all slots
PHASES = "phases, ThreadPoolExecutor"
# In the picture, by label.  All begin with the first submission, as phases do.
SHOWN = {
    "newest": f"newest, {RUNNING}",
    "oldest": f"oldest, {RUNNING}",
    "phases on ThreadPoolExecutor": PHASES,
}
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)  # of the results, for the table

Key = tuple[int, ...]  # (i,) of an acquisition, (i, i, i) of what is computed of it, (i, k) of a pair


class Record:
    """The bodies of one run, when each ran, and when each final result was there."""

    def __init__(self) -> None:
        self.began = perf_counter()
        self.spans: dict[Key, tuple[float, float]] = {}  # of the bodies
        self.results: list[tuple[float, Key]] = []  # when each was there

    def body(self, key: Key, *values: int) -> int:
        began = perf_counter()
        sleep(LENGTH)
        self.spans[key] = began, perf_counter()
        return sum(values) or 1

    def note_result(self, key: Key, _: Future[int]) -> None:
        self.results.append((perf_counter(), key))

    def watch(self, task: Any, key: Key) -> Any:
        task.add_done_callback(partial(self.note_result, key))
        return task


class Progress(NamedTuple):
    """The figures of one run; times in ms from its start."""

    first: float
    bodies: float  # the own time of those that the first result needs
    acquiring: float  # % of its time that the slot was busy, until nothing was left to acquire
    computing: float  # the same of the four others, until 98 % of their tasks were done
    results: list[float]  # when each was there


def report(side: int, rounds: int, picture: Path | None) -> Iterator[str]:
    """Measure, yield the table, and draw the *picture*, if one is wanted.

    Raises:
        WrongResult: Not everything ran as it must.
    """
    side = min(side, SIDE)
    found = measure(side, rounds)
    yield from table(side, found)
    if picture is not None:
        when = curves(found)
        picture.write_text(svg({label: when[name] for label, name in SHOWN.items()}), encoding="utf-8")
        yield f"  the picture: {picture}"


def measure(side: int, rounds: int) -> dict[str, list[Progress]]:
    """Run every case in *rounds* rounds, interleaved."""
    cases: dict[str, Callable[[int], Progress]] = {
        f"{order}, {mode}": partial(planned, order, mode)
        for order in ("newest", "oldest")
        for mode in (FIRST, RUNNING)
    }
    cases[PHASES] = in_phases
    found: dict[str, list[Progress]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, run in cases.items():
            found[name].append(run(side))
    return found


def planned(order: str, mode: Mode, side: int) -> Progress:
    scheduler = Scheduler(order, stopped=mode == FIRST)
    acquire, compute = Queue(scheduler, 1), Queue(scheduler, SLOTS)
    record = Record()
    body = record.body
    b = [compute.submit(body, (i, i, i), acquire.submit(body, (i,))) for i in range(side)]
    pairs = [(i, k) for i in range(side) for k in range(side)]
    c = [record.watch(compute.submit(body, (i, k), b[i], b[k]), (i, k)) for i, k in pairs]
    if mode == FIRST:
        record.began = perf_counter()
        scheduler.resume()
    return finish(record, side, c, acquire, compute)


def in_phases(side: int) -> Progress:
    """As a program without dependencies does it: all of a kind, then all of the next."""
    acquire, compute = ThreadPoolExecutor(1), ThreadPoolExecutor(SLOTS)
    record = Record()
    body = record.body
    a = list(acquire.map(body, [(i,) for i in range(side)]))
    b = list(compute.map(body, [(i, i, i) for i in range(side)], a))
    pairs = [(i, k) for i in range(side) for k in range(side)]
    c = [record.watch(compute.submit(body, (i, k), b[i], b[k]), (i, k)) for i, k in pairs]
    return finish(record, side, c, acquire, compute)


def finish(record: Record, side: int, tasks: list[Any], *executors: Executor) -> Progress:
    for executor in executors:
        executor.shutdown()
    total = sum(task.result() for task in tasks)
    if total != 2 * side**2 or len(record.spans) != side * (side + 2) or len(record.results) != side**2:
        raise WrongResult(f"results over time: {total}, not {2 * side**2}, or some bodies not run once")
    return progress(record)


def progress(record: Record) -> Progress:
    results = sorted(record.results)
    spans, began = record.spans, record.began
    first, (i, k) = results[0]
    needed: list[set[Key]] = [{(i,), (k,)}, {(i, i, i), (k, k, k)}, {(i, k)}]
    lengths = [[spans[key][1] - spans[key][0] for key in keys] for keys in needed]
    # What one slot acquires adds up; of what is computed at once the longest counts.
    bodies = sum(lengths[0]) + max(lengths[1]) + max(lengths[2])
    acquired = [span for key, span in spans.items() if len(key) == 1]
    computed = [span for key, span in spans.items() if len(key) > 1]
    return Progress(
        (first - began) * 1e3,
        bodies * 1e3,
        busy(acquired, began, 1, 1.0),
        busy(computed, began, SLOTS, UNTIL),
        [(at - began) * 1e3 for at, _ in results],
    )


def busy(spans: list[tuple[float, float]], began: float, slots: int, until: float) -> float:
    """How much of the time *slots* were busy, in %, until the share *until* of *spans* had ended."""
    ends = sorted(ended for _, ended in spans)
    end = ends[max(round(len(ends) * until), 1) - 1]
    worked = sum(min(ended, end) - start for start, ended in spans if start < end)
    return worked / (slots * (end - began)) * 100


def curves(found: dict[str, list[Progress]]) -> dict[str, list[float]]:
    """When the first, second, ... final result was there, in ms: medians."""
    results = {name: zip(*(run.results for run in runs), strict=True) for name, runs in found.items()}
    return {name: [*map(median, times)] for name, times in results.items()}


def table(side: int, found: dict[str, list[Progress]]) -> Iterator[str]:
    yield f"{side * side} final results of {side} acquisitions, in ms; bodies sleep {LENGTH * 1e3:.0f} ms"
    yield ""
    yield f"{'':32}{'first result':>27}{'% of time busy':>19}{'that many of the results':>45}"
    columns = "".join(f"{share:>9.0%}" for share in SHARES)
    yield f"{'':32}{'at':>9}{'bodies':>9}{'ratio':>9}{'1 slot':>10}{'4 slots':>9}{columns}"
    when = curves(found)
    for name, runs in found.items():
        first, bodies = median(run.first for run in runs), median(run.bodies for run in runs)
        ratio = median(run.first / run.bodies for run in runs)
        acquiring, computing = median(run.acquiring for run in runs), median(run.computing for run in runs)
        marks = [when[name][max(round(share * side * side), 1) - 1] for share in SHARES]
        yield (
            f"  {name:30}{first:9.2f}{bodies:9.2f}{ratio:9.2f}{acquiring:10.1f}{computing:9.1f}"
            + "".join(f"{mark:9.1f}" for mark in marks)
        )
    yield ""
    yield f"  aims of newest, {FIRST}: ratio <= {FIRST_AIM}, busy >= {BUSY_AIM} % until 2 % of tasks are left"
