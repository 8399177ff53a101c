"""Find waits that never end: cycles at once, and stalled schedulers after a thread has blocked for seconds.

A *cycle* is tasks that wait for each other.  Only a wait closes one: a new task depends on older tasks alone.
So each wait for *all* of its futures searches once, before its thread blocks, under one hold of the lock.  Of
two waits that close a cycle together, the later one finds it.  Cycles through other schedulers, slots or
resources are not searched for: `why` shows them.

A scheduler is *stalled* if no task can start, and each running task waits or is paused.  Schedulers that it
waits for must be stalled, too.  Each is read under its own lock, so the answer is not one state of them all.
"""

from collections.abc import Collection, Iterator
from itertools import pairwise, takewhile
from typing import Any

from .._core.exclusive import Section
from .._core.queue_state import Barrier, Worker
from .._core.state import State
from .._futures.at_end import Foreign
from .._futures.future import PlannedFuture
from .._futures.task import Task
from .._planner.nodes import dependents_of
from .waits import Wait, scheduler_of

# Stands for the unknown source of other executors' futures, in place of a scheduler.
ELSEWHERE: Any = None


def check_cycle(wait: Wait) -> None:
    """Raise a RuntimeError that names the tasks if *wait* closes a cycle."""
    with Section(wait.scheduler):
        cycle = _cycle_of(wait)
    if cycle:
        words = ", which ".join(f"{verb} {node!r}" for verb, node in links(cycle))
        needs = f"{words}, which waits for it" if words else "waits for itself"
        raise RuntimeError(f"waiting would never end: {cycle[0]!r} {needs}")


def links(path: list[Any]) -> list[tuple[str, Any]]:
    """Pair each future after the first of *path* with a verb: the one before needs it, or comes after it."""
    pairs = [pair for pair in pairwise(path) if isinstance(pair[1], (PlannedFuture, Foreign))]
    return [("comes after" if isinstance(one, Barrier) else "needs", other) for one, other in pairs]


def _cycle_of(wait: Wait) -> list[Any]:
    """Return a path of needs from a future that *wait* awaits to the waiting task; [] if none.  Locked."""
    # Cost: a step for each task around the waiting one, and for each node that needs one of these.
    awaited = wait.awaited()
    # Each found node, with the node that it needs.  None: the waiting task, which needs the wait to end.
    needs: dict[Any, Any] = dict(_held_by(wait, None, ()))
    for node in (todo := list(needs)):  # the list grows during the loop
        if node in awaited:
            # `needs` leads from the awaited node back to the waiting task.
            path = [node]
            while (node := needs[node]) is not None:
                path.append(node)
            return path
        for other, need in _needing(node, wait.scheduler, needs):
            if other not in needs:
                needs[other] = need
                todo.append(other)
    return []


def _needing(node: Any, scheduler: State, known: Collection[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield what needs *node*, which *scheduler* ends: dependents, and tasks as `_held_by` does."""
    yield from ((other, node) for other in dependents_of(node))
    at_end = node._at_end if isinstance(node, PlannedFuture) else None
    for wait in [] if at_end is None else at_end.waiters.copy():  # threads leave it at any time
        # Others are waiters of the standard library.  A wait for any of several may end without *node*.  The
        # lock of another scheduler guards the waits of its workers.
        if isinstance(wait, Wait) and wait.strict and wait.scheduler is scheduler:
            yield from _held_by(wait, node, known)


def _held_by(wait: Wait, node: Any, known: Collection[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield the tasks of the thread of *wait* that are not *known*, each with what it needs."""
    innermost_first = (wait.held or [])[::-1]
    # The innermost needs *node*; those around it need the innermost.  If one is known, so are all around it.
    for task in takewhile(lambda task: task not in known, innermost_first):
        yield task, (node if task is innermost_first[0] else innermost_first[0])


def log_if_stalled(awaited: Collection[Any]) -> bool:
    """Log why a wait for *awaited* may never end, and return True, if all their schedulers are stalled."""
    schedulers = dict.fromkeys(map(scheduler_of, awaited))
    if ELSEWHERE in schedulers or not all(map(stalled, schedulers)):
        return False
    name = next(iter(awaited)) if len(awaited) == 1 else "several futures"

    def over() -> bool:
        return any(future.done() for future in awaited)

    return any(each.ending.warn_if_stalled(name, over=over) for each in schedulers)


def stalled(scheduler: State, elsewhere: bool = False, endless: bool = False) -> list[State]:
    """Return *scheduler* and the schedulers that it waits for if all are stalled, else an empty list.

    If *elsewhere*, no future of another executor will end; if *endless*, nor a task that generates values.
    """
    schedulers = [scheduler]
    for each in schedulers:  # the list grows during the loop
        with each.reading():
            awaited = _awaited(each, endless)
        if awaited is None or (ELSEWHERE in awaited and not elsewhere):
            return []
        schedulers += [other for other in awaited if other is not ELSEWHERE and other not in schedulers]
    return schedulers


def _awaited(scheduler: State, endless: bool) -> list[Any] | None:
    """Return the schedulers, and ELSEWHERE, that *scheduler* waits for; None if it can go on.  Locked."""
    awaited: list[Any] = []
    for queue in scheduler.queues:
        busy = 0  # slots in use, also by a callback that waits after the end of its task
        for worker in queue.workers:
            if worker in queue.idle:  # its thread sleeps until a task is ready
                continue
            # The innermost wait decides: the outer tasks go on only after it.
            if any(wait.has_work() for _, wait in worker.waits[-1:]):
                return None
            # A worker on its way is not blocked, either: it may start a task.
            if not is_blocked(worker, awaited) and not (endless and _generates(worker.task)):
                return None
            busy += 1
        # A free slot may start a task, unless the scheduler is stopped.
        if queue.ready and not scheduler.stopped and busy < queue.limit:
            return None
    # Pending tasks may depend on futures of other schedulers and executors.
    awaited += [scheduler_of(relay.future) for relay in scheduler.relays if type(relay) is Foreign]
    return list(dict.fromkeys(awaited))


def is_blocked(worker: Worker, awaited: list[Any]) -> bool:
    """Return True if *worker* waits or is paused; add other awaited schedulers to *awaited*.  Locked."""
    # A wait counts only if no nested task runs inside it.
    depth, wait = worker.waits[-1] if worker.waits else (None, None)
    if wait is not None and depth == len(worker.suspended):
        pending = wait.awaited()
        if any(issubclass(type(each), PlannedFuture) and each.done() for each in pending):
            return False  # the thread that has ended the future is about to wake the worker
        awaited += [other for other in map(scheduler_of, pending) if other is not worker.queue.scheduler]
        holds = worker.queue.scheduler.condition_waiters.get(wait)
        return not (wait.satisfied() or (holds and holds()))  # if it holds, it is about to wake the worker
    return worker.task in worker.queue.scheduler.paused


def _generates(task: Task[Any] | None) -> bool:
    """Return True if *task* is a running generator task without an announced length."""
    stream = None if task is None else task._stream
    return stream is not None and stream.length is None and not stream.closed
