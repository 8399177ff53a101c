"""Waits that may never end: a thread that has blocked for long looks whether anything can still go on."""

from __future__ import annotations

from typing import Any

from .._core.state import Worker
from .._futures.task import Foreign, Task
from .join_search import Everything, Needs

# Where what is waited for comes from no scheduler.
ELSEWHERE: Any = None


def stalled(scheduler: Any, elsewhere: bool = False, endless: bool = False) -> list[Any]:
    """The schedulers in which nothing runs and nothing can start: *scheduler*, and those that it waits for.

    Args:
        scheduler: The lock of none is held.
        elsewhere: Also where futures of other executors may still come.
        endless: Also where generator tasks run that have not announced a length.

    Returns:
        An empty list where something can still go on.
    """
    schedulers: list[Any] = [scheduler]
    for each in schedulers:  # it grows while we go
        with each.exclusive(reads=True):
            awaited = _awaited(each, endless)
        if awaited is None or (ELSEWHERE in awaited and not elsewhere):
            return []
        schedulers += [other for other in awaited if other is not ELSEWHERE and other not in schedulers]
    return schedulers


def _awaited(scheduler: Any, endless: bool) -> list[Any] | None:
    """What *scheduler* waits for: other schedulers, ELSEWHERE; None where it goes on.  The lock is held."""
    if scheduler._abandoned:
        return None
    awaited: list[Any] = []
    for queue in scheduler._queues:
        busy = 0
        for worker in queue.workers:
            if worker in queue.idle:
                continue
            if any(wait.goes_on() for wait in worker.waits[-1:]):
                return None
            if not rests(worker, awaited) and not (endless and _generates(worker.task)):
                return None
            busy += bool(worker.tasks())
        if queue.coming or (queue.ready and not scheduler._stopped and busy < queue.limit):
            return None
    for relay in scheduler._outside:
        if type(relay) is Foreign:
            home = None if relay.future is None else relay.future._home
            awaited.append(ELSEWHERE if home is None else home.scheduler)
    return list(dict.fromkeys(awaited))


def rests(worker: Worker, awaited: list[Any]) -> bool:
    """Whether *run* can go on only when something ends or is resumed.  The lock is held.

    What it waits for, as far as that is not of its own scheduler, is added to *awaited*.
    """
    wait = worker.waits[-1] if worker.waits else None
    if wait is not None and wait.depths[worker] == len(worker.below):
        awaited += _sources(wait)
        return not wait.satisfied()
    return any(worker.task is paused for paused, _ in worker.queue.scheduler._paused)


def _sources(wait: Needs) -> list[Any]:
    """Where what *wait* is for comes from, if it is not its own scheduler."""
    futures: Any = wait.futures
    if type(futures) is Everything:
        found: list[Any] = [futures.scheduler]
    else:
        homes = [future._home for future in futures]  # read once; it may become None meanwhile
        found = [home.scheduler for home in homes if home is not None]
    return [ELSEWHERE] * wait.elsewhere + [other for other in found if other is not wait.queue.scheduler]


def _generates(task: Task[Any] | None) -> bool:
    """Whether *task* is a running generator task that has not announced a length."""
    stream = None if task is None else task._stream
    return stream is not None and stream.length is None and not stream.closed
