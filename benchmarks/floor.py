"""The floor: the smallest correct executor with dependencies that pure Python allows.

A slotted task, one deque, one lock, one loop for all workers.  It starts ready tasks first in, first out,
and lacks the rest of a future: no callback, no cancellation, no time-out.  What an executor costs
above it is the price of its features.

The figures are CPU time a task, with all workers held while tasks are submitted: no thread wakes or
competes meanwhile.
"""

from __future__ import annotations

import gc
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from statistics import median, quantiles
from typing import Any

from smqexec import Queue, Scheduler

from .measure import WrongResult
from .workloads import SLOTS, one, successor

PENDING, DONE, FAILED = range(3)
AIMS = {"independent": 2.0, "chain": 2.2}  # of smqexec, in the floor's cost
TASKS = 5000


class FloorTask:
    """A submitted call.  All fields are guarded by the executor's lock until `state` is final."""

    __slots__ = ("args", "dependents", "fn", "missing", "needs", "outcome", "state", "waiter")

    fn: Any
    args: Any
    #: Whether a task is among `args`.
    needs: bool
    #: How many tasks among `args` are pending.
    missing: int
    #: None, the only pending task that has this one among its arguments, or a list of them.
    dependents: Any
    state: int
    #: The result or the exception, once `state` is final.
    outcome: Any
    #: Held by a thread in `result`, and released at the end; None where no thread waits.
    waiter: Any

    def result(self, executor: FloorExecutor) -> Any:
        """Wait for the end, and return the result or raise the exception.  For one thread."""
        with executor.lock:
            if self.state == PENDING:
                self.waiter = threading.Lock()
                self.waiter.acquire()
        if self.waiter is not None:
            self.waiter.acquire()
        if self.state == FAILED:
            raise self.outcome
        return self.outcome


class FloorExecutor:
    """*workers* threads that run tasks, those submitted first in front.  `submit` is thread-safe."""

    def __init__(self, workers: int) -> None:
        self.lock = threading.Lock()  # guards all that follows, and all pending tasks
        self.ready: deque[FloorTask] = deque()
        self.idle = 0
        self.closed = False
        self.pending = 0
        self.wakes = threading.Semaphore(0)  # one release for each idle worker to wake
        self.threads = [threading.Thread(target=self.work) for _ in range(workers)]
        for thread in self.threads:
            thread.start()

    def submit(self, fn: Any, /, *args: Any) -> FloorTask:
        """Submit ``fn(*args)``: a task among *args* is a dependency, and the call gets its result."""
        task = FloorTask()
        task.fn = fn
        task.args = args
        task.dependents = task.waiter = None
        task.missing = task.state = PENDING
        task.needs = False
        wake = False
        with self.lock:
            for arg in args:
                if type(arg) is FloorTask:
                    task.needs = True
                    if arg.state == PENDING:
                        task.missing += 1
                        others = arg.dependents
                        if others is None:
                            arg.dependents = task
                        elif type(others) is list:
                            others.append(task)
                        else:
                            arg.dependents = [others, task]
            self.pending += 1
            if not task.missing:
                self.ready.append(task)
                if self.idle:
                    self.idle -= 1
                    wake = True
        if wake:
            self.wakes.release()
        return task

    def work(self) -> None:
        lock, ready = self.lock, self.ready
        task: FloorTask | None = None
        outcome: Any = None
        state = DONE
        while True:
            with lock:
                if task is not None:
                    self.end(task, state, outcome)
                if ready:
                    task = ready.popleft()
                elif self.closed and not self.pending:
                    self.wake_all()
                    return
                else:
                    self.idle += 1
                    task = None
            if task is None:
                self.wakes.acquire()
                continue
            args = task.args
            try:
                if task.needs:
                    args = [value_of(arg) if type(arg) is FloorTask else arg for arg in args]
                outcome, state = task.fn(*args), DONE
            except BaseException as error:
                outcome, state = error, FAILED
            task.fn = task.args = args = None

    def end(self, task: FloorTask, state: int, outcome: Any) -> None:
        """End *task*, and make ready the tasks that missed only this one.  The lock is held."""
        task.outcome = outcome
        task.state = state
        self.pending -= 1
        others = task.dependents
        if others is not None:
            task.dependents = None
            for other in others if type(others) is list else (others,):
                other.missing -= 1
                if not other.missing:
                    self.ready.append(other)
            # The caller takes one itself.
            while self.idle and len(self.ready) > 1:
                self.idle -= 1
                self.wakes.release()
        if task.waiter is not None:
            task.waiter.release()

    def wake_all(self) -> None:
        for _ in range(self.idle):
            self.wakes.release()
        self.idle = 0

    def shutdown(self) -> None:
        """Run what was submitted to its end, and join the threads."""
        with self.lock:
            self.closed = True
            self.wake_all()
        for thread in self.threads:
            thread.join()


def value_of(task: FloorTask) -> Any:
    if task.state == FAILED:
        raise task.outcome
    return task.outcome


def report(rounds: int) -> Iterator[str]:
    """Measure, then yield the table.

    Raises:
        WrongResult: A chain gave something else.
    """
    figures: dict[str, list[float]] = {}
    for _ in range(max(rounds, 3)):
        for name, (make, chain) in RUNS.items():
            gc.collect()
            figures.setdefault(name, []).append(cpu_of(make, chain))
    yield f"CPU of a task against the floor, {TASKS} tasks, workers held while they are submitted"
    yield ""
    yield f"  {'':26}{'µs':>8}{'of the floor':>14}{'of the pool':>14}"
    low = {name: quantiles(values, n=4)[0] for name, values in figures.items()}
    for name in RUNS:
        shape = name.rpartition(" ")[2]
        ratio = f"{low[name] / low[f'floor {shape}']:14.2f}" if f"floor {shape}" in low else f"{'-':>14}"
        line = f"  {name:26}{low[name]:8.2f}{ratio}{low[name] / low[BASIS]:14.2f}"
        yield line + (f"  <= {AIMS[shape]} of the floor" if name.startswith("smqexec") else "")
    middle = median(figures[BASIS])
    yield f"  lower quartiles of {len(figures[BASIS])} rounds; median of the pool: {middle:.2f} µs"


def cpu_of(make: Callable[[], Any], chain: bool) -> float:
    """CPU time of one of `TASKS` tasks, in µs: the submitting thread's, then the process's while they run.

    Raises:
        WrongResult: The last task of the chain gave something else.
    """
    gate = threading.Event()
    executor = make()
    for _ in range(SLOTS):
        executor.submit(gate.wait)
    began = time.thread_time()
    task = executor.submit(one)
    for _ in range(TASKS - 1):
        task = executor.submit(successor, task) if chain else executor.submit(one)
    submitted = time.thread_time() - began
    began = time.process_time()
    gate.set()
    executor.shutdown()
    run = time.process_time() - began
    got = task.result(executor) if isinstance(task, FloorTask) else task.result()
    if got != (TASKS if chain else 1):
        raise WrongResult(f"the last of {TASKS} tasks gave {got}")
    return (submitted + run) / TASKS * 1e6


def floor() -> FloorExecutor:
    return FloorExecutor(SLOTS)


def pool() -> Executor:
    return ThreadPoolExecutor(SLOTS)


def queue() -> Executor:
    return Queue(SLOTS, scheduler=Scheduler())


BASIS = "pool independent"
RUNS: dict[str, tuple[Callable[[], Any], bool]] = {
    BASIS: (pool, False),
    "floor independent": (floor, False),
    "smqexec independent": (queue, False),
    "floor chain": (floor, True),
    "smqexec chain": (queue, True),
}
