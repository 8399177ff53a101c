"""Detect waits that may never end.  A thread that has blocked for seconds asks; nothing else pays for it.

A scheduler is *stalled* if no task can start, and each running task waits or is paused.  If a task waits for
another scheduler, that one must be stalled, too.

Each scheduler is read under its own lock, one after another.  So the answer is not one state of them all: a
task may have moved meanwhile.  The answer decides only on a warning, and on what interpreter exit cancels.
"""

from __future__ import annotations

from typing import Any

from .._core.queue_state import Worker
from .._futures.at_end import Foreign
from .._futures.future import PlannedFuture
from .._futures.task import Task
from .waits import AllTasks

# Stands for the unknown source of other executors' futures, in place of a scheduler.
ELSEWHERE: Any = None


def stalled(scheduler: Any, elsewhere: bool = False, endless: bool = False) -> list[Any]:
    """Return *scheduler* and the schedulers that it waits for if all are stalled, else an empty list.

    No scheduler's lock is held.  If *elsewhere*, futures of other executors are not expected to end; if
    *endless*, nor are generator tasks without an announced length.
    """
    schedulers: list[Any] = [scheduler]
    for each in schedulers:  # the list grows during the loop
        with each.reading():
            awaited = _awaited(each, endless)
        if awaited is None or (ELSEWHERE in awaited and not elsewhere):
            return []
        schedulers += [other for other in awaited if other is not ELSEWHERE and other not in schedulers]
    return schedulers


def _awaited(scheduler: Any, endless: bool) -> list[Any] | None:
    """Return the schedulers, and ELSEWHERE, that *scheduler* waits for; None if it can go on.  Locked."""
    awaited: list[Any] = []
    for queue in scheduler.queues:
        busy = 0  # slots in use, also by a callback that waits after the end of its task
        for worker in queue.workers:
            if worker in queue.idle:  # its thread sleeps until a task is ready
                continue
            # The innermost wait decides: the outer tasks go on only after it.
            if any(wait.search.has_work() for _, wait in worker.waits[-1:]):
                return None
            # A worker on its way is not blocked, either: it may start a task.
            if not is_blocked(worker, awaited) and not (endless and _generates(worker.task)):
                return None
            busy += 1
        # A free slot may start a task, unless the scheduler is stopped.
        if queue.ready and not scheduler.stopped and busy < queue.limit:
            return None
    # Pending tasks may depend on futures of other schedulers and executors.
    awaited += [source(relay.future) for relay in scheduler.relays if type(relay) is Foreign]
    return list(dict.fromkeys(awaited))


def is_blocked(worker: Worker, awaited: list[Any]) -> bool:
    """Return True if *worker* waits or is paused.  The lock is held.

    Add the other schedulers that it waits for, or ELSEWHERE, to *awaited*.
    """
    # A wait counts only if no nested task runs inside it.
    depth, wait = worker.waits[-1] if worker.waits else (None, None)
    if wait is not None and depth == len(worker.suspended):
        pending = [each for each in wait.awaited() if not isinstance(each, PlannedFuture) or not each.done()]
        awaited += [other for other in map(source, pending) if other is not worker.queue.scheduler]
        return not wait.satisfied()
    return worker.task in worker.queue.scheduler.paused


def source(awaited: Any) -> Any:
    """Return the scheduler that ends *awaited*, a future or an `AllTasks`; ELSEWHERE if none does, or has."""
    if type(awaited) is AllTasks:
        return awaited.scheduler
    home = awaited._home if isinstance(awaited, PlannedFuture) else None
    return ELSEWHERE if home is None else home.scheduler


def _generates(task: Task[Any] | None) -> bool:
    """Return True if *task* is a running generator task without an announced length."""
    stream = None if task is None else task._stream
    return stream is not None and stream.length is None and not stream.closed
