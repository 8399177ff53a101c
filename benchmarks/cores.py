"""What more cores give pure-Python tasks: only without the GIL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from statistics import median
from time import perf_counter

from smqexec import Queue, Scheduler

from .machine import cores, has_gil
from .measure import WrongResult

MOST_WORKERS = 16
LENGTHS = (0.1, 1.0, 10.0)  # ms
AIM = {(1.0, 2): 1.95}  # for a length and a number of workers
EXECUTORS: dict[str, Callable[[int], Executor]] = {
    "Queue(Scheduler())": lambda workers: Queue(Scheduler(), workers),
    "ThreadPoolExecutor": ThreadPoolExecutor,
}


def report(rounds: int, seconds: float) -> Iterator[str]:
    """Measure, then yield the table.

    Args:
        rounds: How often each is timed.
        seconds: What the tasks of one run take one thread.

    Raises:
        WrongResult: Not everything ran as it must.
    """
    yield "Speed of pure-Python tasks, in that of a loop in one thread"
    yield ""
    if has_gil():
        yield "  skipped: with the GIL one thread at a time runs Python code"
        return
    if cores() < 2:
        yield "  skipped: one core"
        return
    crowds = [workers for workers in (2, 4, 8, MOST_WORKERS) if workers <= cores()]
    yield f"{'':28}" + "".join(f"{f'{workers} workers':>14}" for workers in crowds) + "  aim"
    loops = per_millisecond()
    for length in LENGTHS:
        yield f"tasks of {length} ms"
        found = speeds(crowds, max(round(loops * length), 1), max(round(seconds * 1e3 / length), 1), rounds)
        for name in EXECUTORS:
            columns = "".join(f"{median(found[name, workers]):14.2f}" for workers in crowds)
            aims = [f"  >= {AIM[length, workers]}" for workers in crowds if (length, workers) in AIM]
            yield f"  {name:26}{columns}" + ("".join(aims) if name != "ThreadPoolExecutor" else "")


def count_down(loops: int) -> int:
    counted = 0
    while loops:
        loops -= 1
        counted += 1
    return counted


def per_millisecond() -> float:
    """How many turns of the loop of `count_down` take one millisecond."""
    loops = 20_000
    times = []
    for _ in range(5):
        began = perf_counter()
        count_down(loops)
        times.append(perf_counter() - began)
    return loops / (min(times) * 1e3)


def speeds(crowds: list[int], loops: int, tasks: int, rounds: int) -> dict[tuple[str, int], list[float]]:
    found: dict[tuple[str, int], list[float]] = {(n, w): [] for n in EXECUTORS for w in crowds}
    for _ in range(rounds):
        for (name, workers), speed in found.items():
            began = perf_counter()
            for _ in range(tasks):
                count_down(loops)
            alone = perf_counter() - began
            speed.append(alone / parallel(EXECUTORS[name](workers), loops, tasks))
    return found


def parallel(executor: Executor, loops: int, tasks: int) -> float:
    """The seconds that *executor* needs."""
    began = perf_counter()
    futures = [executor.submit(count_down, loops) for _ in range(tasks)]
    executor.shutdown()
    seconds = perf_counter() - began
    if sum(future.result() for future in futures) != tasks * loops:
        raise WrongResult("counting down on several cores: not all was counted")
    return seconds
