"""For which programs order or dependencies help: ``python -m benchmarks.programs``.

Each program runs on a ThreadPoolExecutor and on queues of one scheduler, of the same width.  Its calls
sleep.  A result counts from when its call ended; time begins with the first submission.  Programs that
are not installed are left out, with a line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from statistics import median
from threading import Lock
from time import perf_counter, sleep

from smqexec import Queue, Scheduler

ROUNDS = 5
INPUTS = 100
POINTS = 30
WIDTH = 4
STAGE = 0.01  # s, of a call
POINT = 0.02  # s, of a point and of its analysis


class Scores:
    """The times at which scores are there."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.begin = perf_counter()
        self.times: list[float] = []

    def score(self, value: int, seconds: float = STAGE) -> int:
        sleep(seconds)
        with self.lock:
            self.times.append(perf_counter() - self.begin)
        return value


def load(number: int) -> int:
    sleep(STAGE)
    return number


def points() -> Iterator[int]:
    """A measurement that is a generator."""
    for number in range(POINTS):
        sleep(POINT)
        yield number


# Own programs: in the way that a pool allows, and with dependencies.


def two_stages(executor: Executor, scores: Scores) -> None:
    if isinstance(executor, Queue):
        for number in range(INPUTS):
            executor.submit(scores.score, executor.submit(load, number))
    else:
        list(executor.map(scores.score, executor.map(load, range(INPUTS))))


def measurement(executor: Executor, scores: Scores) -> None:
    """Take points with one slot, analyse them with another."""
    if isinstance(executor, Queue):
        with Queue(executor.scheduler, 1) as instrument:
            plan = instrument.submit(points)
            for number in range(POINTS):
                executor.submit(scores.score, plan[number], POINT)
    else:
        taken = executor.submit(list, points()).result()
        list(executor.map(lambda point: scores.score(point, POINT), taken))


# Programs of others.


def with_pipefunc(executor: Executor, scores: Scores) -> None:
    from pipefunc import PipeFunc, Pipeline

    def score(y: int) -> int:
        return scores.score(y)

    loaded = PipeFunc(load, "y", renames={"number": "x"}, mapspec="x[i]->y[i]")
    pipeline = Pipeline([loaded, PipeFunc(score, "z", mapspec="y[i]->z[i]")])
    inputs = {"x": list(range(INPUTS))}
    pipeline.map(inputs, executor=executor, parallel=True, storage="dict", chunksizes=1)


def with_dask(executor: Executor, scores: Scores) -> None:
    import dask

    scored = [dask.delayed(scores.score)(dask.delayed(load)(number)) for number in range(INPUTS)]
    scores.begin = perf_counter()
    dask.compute(*scored, scheduler="threads", pool=executor)


PROGRAMS: dict[str, tuple[Callable[[Executor, Scores], None], int]] = {
    "two stages": (two_stages, WIDTH),
    "a measurement": (measurement, 1),
    "pipefunc": (with_pipefunc, WIDTH),
    "dask's threaded.get": (with_dask, WIDTH),
}


def once(program: Callable[[Executor, Scores], None], executor: Executor) -> tuple[float, float]:
    """Return the times of the first score and of the last."""
    with executor:
        scores = Scores()
        program(executor, scores)
    return min(scores.times), max(scores.times)


def main() -> None:
    makers: list[Callable[[int], Executor]] = [ThreadPoolExecutor, lambda width: Queue(Scheduler(), width)]
    print(f"{'Seconds to first, last score':28}{'pool':>16}{'queue':>16}")
    for name, (program, width) in PROGRAMS.items():
        cells: list[str] = []
        try:
            for make in makers:
                firsts, lasts = zip(*(once(program, make(width)) for _ in range(ROUNDS)), strict=True)
                cells.append(f"{median(firsts):.2f}, {median(lasts):.2f}")
        except ImportError as error:
            cells = [f"    {error}"]
        print(f"{name:28}" + "".join(f"{cell:>16}" for cell in cells))


if __name__ == "__main__":
    main()
