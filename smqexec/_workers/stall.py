"""Waits that may never end: a thread that has blocked for long looks whether anything can still go on.

A scheduler is *stalled* where no task can start, and each running task waits or is paused.  Where it waits
for tasks of other schedulers, those must be stalled too.  Each is read under its own lock, in turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._core.state import Worker
from .._futures.future import PlannedFuture
from .._futures.relays import Foreign
from .._futures.task import Task
from .join_search import AllTasks, JoinSearch

# In place of a scheduler: where futures of other executors come from.
ELSEWHERE: Any = None


def stalled(scheduler: Any, elsewhere: bool = False, endless: bool = False) -> list[Any]:
    """Return the schedulers in which nothing runs or can start: *scheduler*, and those that it waits for.

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
    """Return what *scheduler* waits for, other schedulers and ELSEWHERE; None if it goes on.  Locked."""
    if scheduler._abandoned:
        return None
    awaited: list[Any] = []
    for queue in scheduler._queues:
        busy = 0
        for worker in queue.workers:
            if worker in queue.idle:
                continue
            # The innermost wait decides: the tasks outside of it can't go on before.
            if any(wait.goes_on() for _, wait in worker.waits[-1:]):
                return None
            if not rests(worker, awaited) and not (endless and _generates(worker.task)):
                return None
            busy += bool(worker.tasks())
        if queue.coming or (queue.ready and not scheduler._stopped and busy < queue.limit):
            return None
    # Pending tasks may wait for futures of other schedulers and executors.
    for relay in scheduler._outside:
        if type(relay) is Foreign:
            home = None if relay.future is None else relay.future._home
            awaited.append(ELSEWHERE if home is None else home.scheduler)
    return list(dict.fromkeys(awaited))


def rests(worker: Worker, awaited: list[Any]) -> bool:
    """Return whether *worker* can go on only when a task ends or is resumed.  The lock is held.

    What it waits for in other schedulers or elsewhere is added to *awaited*.
    """
    depth, wait = worker.waits[-1] if worker.waits else (None, None)
    if wait is not None and depth == len(worker.suspended):
        awaited += [source for source in _sources(wait) if source is not wait.scheduler]
        return not wait.satisfied()
    return any(worker.task is paused for paused, _ in worker.queue.scheduler._paused)


def _sources(wait: JoinSearch) -> Iterator[Any]:
    """Yield the schedulers that what *wait* awaits comes from, and ELSEWHERE."""
    for each in wait.awaited():
        if isinstance(each, PlannedFuture):
            home = each._home  # read once: it becomes None as the future ends
            if home is not None:
                yield home.scheduler
        else:
            yield each.scheduler if type(each) is AllTasks else ELSEWHERE


def _generates(task: Task[Any] | None) -> bool:
    """Return whether *task* is a running generator task that has not announced a length."""
    stream = None if task is None else task._stream
    return stream is not None and stream.length is None and not stream.closed
