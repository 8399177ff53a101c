"""How long the scheduler's lock is held at a time.

In processor time of the thread that holds it: what other threads and programs
do meanwhile is not counted.  The garbage collector is off, as it may run
anywhere, and its time says nothing about the lock's.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from statistics import median
from time import thread_time
from typing import Any, NamedTuple

from smqexec import Queue, Scheduler

from .costs import GRAPHS
from .measure import check
from .workloads import Workload

AIM = 1  # ms, for a call of `take`


class Holds(NamedTuple):
    """The longest of each kind while a workload ran that had been submitted first, in ms."""

    take: float  # a call of the planner's `take`: one slice of a search
    hold: float  # a hold of the lock, whatever for


class NotedLock:
    """The scheduler's lock, and the longest time that it was held."""

    def __init__(self, lock: Any) -> None:
        self.lock = lock
        self.longest = 0.0
        self.began = 0.0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        taken = self.lock.acquire(blocking, timeout)
        if taken:
            self.began = thread_time()
        return taken

    def release(self) -> None:
        self.longest = max(self.longest, thread_time() - self.began)
        self.lock.release()

    def locked(self) -> bool:
        return self.lock.locked()

    def _is_owned(self) -> bool:  # of an RLock, as a scheduler has
        owned: bool = self.lock._is_owned()
        return owned

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


def report(n: int, rounds: int) -> Iterator[str]:
    """Measure, then yield the table.

    Raises:
        WrongResult: Not everything ran as it must.
    """
    yield f"The longest hold of the lock with {n} tasks submitted first, in ms of processor time"
    yield ""
    yield f"{'':28}{'a call of take':>20}{'any hold':>20}"
    yield f"{'':28}" + f"{'median':>12}{'max':>8}" * 2 + "  aim of take"
    for workload in GRAPHS:
        needed = workload.prepare(n)
        samples = [holds(workload, needed) for _ in range(rounds)]
        kinds = zip(*samples, strict=True)
        columns = "".join(f"{median(kind):12.2f}{max(kind):8.2f}" for kind in kinds)
        yield f"  {workload.name:26}{columns}  <= {AIM}"


def holds(workload: Workload, prepared: Any) -> Holds:
    """Submit *workload* to a stopped scheduler, resume it, and note."""
    scheduler = Scheduler(stopped=True)
    core: Any = scheduler._core
    core.lock = lock = NotedLock(core.lock)
    queues = [Queue(slots, scheduler=scheduler) for slots in workload.slots]
    submitted = workload.submit(prepared, *queues)
    take = core.take_next
    longest = 0.0

    def noted_take(*args: Any) -> Any:
        nonlocal longest
        began = thread_time()
        task = take(*args)
        longest = max(longest, thread_time() - began)  # by one thread at a time: the lock is held
        return task

    core.take_next = noted_take
    lock.longest = 0.0
    gc.collect()
    gc.disable()
    try:
        scheduler.resume()
        scheduler.shutdown()
    finally:
        gc.enable()
    check(workload, submitted, queues)
    return Holds(longest * 1e3, lock.longest * 1e3)
