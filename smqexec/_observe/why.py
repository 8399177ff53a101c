"""Why a task has not started, or not ended, in words.

The state is read under one hold of the lock, as `Words`: text, and calls that return text.  The
calls are made after that hold: the name of a task may run user code, and another lock guards the
names of threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

from .._core.queue_state import QueueState, Worker
from .._futures.at_end import Foreign
from .._futures.future import PlannedFuture
from .._futures.items import LENGTH, Item
from .._futures.names import counted, known_as, numbered
from .._futures.task import Task
from .._limits.resources import Allocation, AllocationWaiter, Resource
from .._planner import DONE, READY, RUNNING, Node, dependencies_of, dependents_of
from .._workers.waits import AllTasks, Wait

if TYPE_CHECKING:
    from .._core.state import State

# How many tasks a list names, and for how many outside futures the overview has a line.
NAMED, LISTED = 3, 20

Words: TypeAlias = list[str | Callable[[], str]]


def sentence(scheduler: State, future: PlannedFuture[Any]) -> str | None:
    """Return why *future* has not started, or not ended; None if it has ended."""
    with scheduler.exclusive():
        if future._stage >= DONE:
            return None
        words = _cause(scheduler, future)
    return _text(words)


def overview(scheduler: State) -> str:
    """Return one line for each running task, and lines that say why no more run."""
    with scheduler.exclusive():
        lines = _overview(scheduler)
    return "\n".join(map(_text, lines))


def _text(words: Words) -> str:
    return "".join(word if isinstance(word, str) else word() for word in words)


# All below, but for `_thread`, is called under the lock.


def _overview(scheduler: State) -> list[Words]:
    counts = scheduler.counts()
    states = [f"{counts[state]} {state}" for state in ("running", "ready", "waiting")]
    if not counts["running"] + counts["ready"] + counts["waiting"]:
        return [["nothing is pending or running"]]
    lines: list[Words] = [["the scheduler is stopped: " if scheduler.stopped else "", ", ".join(states)]]
    for queue in scheduler.queues:
        for task in queue.running_tasks():
            lines.append([*_name(task), ": ", *_running(scheduler, task), *_dependents(task)])
    for queue in scheduler.queues:
        if queue.ready and not scheduler.stopped:
            lines.append([f"{queue.name}: {queue.ready} ready, {_slots(queue)}"])
    outside = [relay for relay in scheduler.relays if type(relay) is Foreign and relay._dependents]
    outside.sort(key=lambda relay: dependents_of(relay)[0]._number)
    lines += [[*_name(relay), ": not done", *_dependents(relay)] for relay in outside[:LISTED]]
    if len(outside) > LISTED:
        lines.append([f"and {len(outside) - LISTED} more futures of others"])
    waiters = [relay for relay in scheduler.relays if type(relay) is AllocationWaiter]
    lacking = {resource for waiter in waiters for resource in waiter.allocation.resources()}
    return lines + [_shortage(resource) for resource in sorted(lacking, key=lambda each: each.name)]


def _cause(scheduler: State, future: Any) -> Words:
    """Return why *future* has not started, or not ended."""
    if future._stage == RUNNING:
        return _running(scheduler, future)
    if future._stage == READY:
        queue: QueueState = future._queue
        if scheduler.stopped:
            return ["ready: the scheduler is stopped"]
        others = f", {counted(queue.ready - 1, 'other task is', 'other tasks are')} ready"
        return ["ready: ", _slots(queue), others if queue.ready > 1 else ""]
    # Its first pending dependency, the first one of that, and so on down to one that does not wait.
    path: list[Any] = []
    needed = _needed(future)
    while needed is not None and type(needed) is not AllocationWaiter:
        path.append(needed)
        needed = _needed(needed)
    if not path:
        lacks = ["what it needs has just ended"] if needed is None else _lacking(needed.allocation)
        return ["waiting: ", *lacks]
    *passed, last = path
    words: Words = ["waiting: needs "]
    for other in passed[:NAMED]:
        words += [*_name(other), ", which needs "]
    if len(passed) > NAMED:
        words[-1] = f", which needs, over {len(passed) - NAMED} more, "
    words += _name(last)
    if isinstance(last, Task):
        words += [" (", *_cause(scheduler, last), ")"]
    more = sum(other._stage < DONE for other in set(dependencies_of(future))) - 1
    return [*words, f", and {more} more"] if more > 0 else words


def _needed(node: Any) -> Any:
    """Return the first pending dependency of *node*, or None; a barrier or `Settled` stands for its own."""
    while True:
        needed = next((other for other in dependencies_of(node) if other._stage < DONE), None)
        if needed is None or isinstance(needed, (Task, Item, Foreign, AllocationWaiter)):
            return needed
        node = needed


def _slots(queue: QueueState) -> str:
    """Return which slots of *queue*, which has a ready task, are busy."""
    if sum(bool(worker.tasks()) for worker in queue.workers) < queue.limit:
        return f"a thread of {queue.name} is on its way"
    if queue.width == 1:
        return f"the slot of {queue.name} is busy"
    return f"all {queue.width} slots of {queue.name} are busy"


# Running tasks.


def _running(scheduler: State, task: Any) -> Words:
    """Return in which thread *task* runs, and what it waits for."""
    words: Words = ["running"]
    if task._since is not None:
        words.append(f" for {perf_counter() - task._since:.1f} s")
    for worker in task._queue.workers:
        if task in worker.tasks():
            words += [" in ", partial(_thread, worker.thread), *_waits(worker, task)]
    if task in scheduler.paused:
        words.append(", held as the scheduler is stopped")
    at_end = task._at_end
    if at_end is not None and at_end.cancel_requested:
        words.append(", asked to end")
    return words


def _waits(worker: Worker, task: Any) -> Words:
    """Return what *task* waits for, and which nested task *worker* runs meanwhile."""
    tasks = [*worker.suspended, worker.task]
    depth = tasks.index(task)
    words: Words = []
    for begun, wait in worker.waits:
        if begun == depth:
            words += [", waits for ", *_awaited(wait)]
    nested = tasks[depth + 1] if depth + 1 < len(tasks) else None
    return words if nested is None else [*words, ", does ", *_name(nested), " meanwhile"]


def _awaited(wait: Wait) -> Words:
    """Name the futures that *wait* is for."""
    awaited = list(wait.awaited())
    if awaited and type(awaited[0]) is AllTasks:
        return ["the scheduler" if awaited[0].queue is None else awaited[0].queue.name]
    ours = [future for future in awaited if isinstance(future, PlannedFuture)]
    pending = [future for future in ours if future._stage < DONE]
    if pending:
        return _listed(map(_name, pending), len(pending))
    # If there are no others either, the thread is still busy with a task that the wait needed.
    return ["futures of other executors" if len(ours) < len(awaited) else "tasks that have ended"]


def _dependents(node: Node) -> Words:
    """Name the pending tasks that depend on *node*, if there are any."""
    found: dict[Any, None] = {}
    todo = dependents_of(node).copy()
    while todo:
        other: Any = todo.pop()
        if isinstance(other, Task):
            found[other] = None
        else:  # a relay
            todo += dependents_of(other)
    pending = sorted((task for task in found if task._stage < RUNNING), key=lambda task: task._number)
    if not pending:
        return []
    waiting = counted(len(pending), "task waits", "tasks wait")
    return [f"; {waiting} for it: ", *_listed(map(_name, pending), len(pending))]


# Resources.


def _shortage(resource: Resource) -> Words:
    """Return how much of *resource* is free, and which tasks lack it."""
    waiting = resource._waiting
    tasks = ([f"{_task_of(each)} needs {dict(each.amounts)[resource]}"] for each in waiting)
    lack = counted(len(waiting), "task lacks it", "tasks lack it")
    return [*_share(resource), f"; {lack}: ", *_listed(tasks, len(waiting))]


def _lacking(allocation: Allocation) -> Words:
    """Return what the task of *allocation* lacks, and which tasks hold it or come first."""
    words: Words = []
    for resource, number in allocation.amounts:
        before = list(resource._waiting).index(allocation)
        if before or resource._free < number:
            words += ["; " if words else "", f"lacks {number} of ", *_share(resource)]
            if before:
                words.append(f"; {counted(before, 'task comes', 'tasks come')} first")
    return words


def _share(resource: Resource) -> Words:
    """Return how much of *resource* is free, and which tasks hold the rest."""
    free = f"{resource.name}: {resource._free} of {resource.n} free"
    holders = resource._holders
    if not holders:
        return [free]
    return [f"{free}, held by ", *_listed(([_holder(each, resource)] for each in holders), len(holders))]


def _holder(allocation: Allocation, resource: Resource) -> str:
    units, until = dict(allocation.amounts)[resource], len(allocation.releasers)
    words = [f"{units} units"] if units > 1 else []
    if allocation.task is None:  # it has ended, and keeps them
        ended = counted(until, "task has ended", "tasks have ended")
        words.append(f"until {ended}" if until else "kept: no task releases it")
    return f"{_task_of(allocation)} ({', '.join(words)})" if words else _task_of(allocation)


# Names.


def _task_of(allocation: Allocation) -> str:
    task = allocation.task
    serial, number = (allocation.serial, allocation.number) if task is None else (task._serial, task._number)
    return numbered(allocation.name, serial, number)


def _name(node: Any) -> Words:
    if type(node) is Foreign:
        # A task of another scheduler is read without its lock: each field is read once.
        if node.future is None:
            return ["a future of another executor"]
        return [*_name(node.future), " of another scheduler"]
    if isinstance(node, Item):
        source, key = node._source, node._key
        # The repr of any other key may run user code.
        shown = repr(key) if type(key) in (int, str) else type(key).__qualname__
        item = "the length" if source is not None and key is LENGTH else f"item {shown}"
        return [item] if source is None else [f"{item} of ", *_name(source)]
    return [partial(known_as, node, node._fn, node._number)]


def _listed(names: Iterable[Sequence[str | Callable[[], str]]], count: int) -> Words:
    """Return the first of *count* names, and how many more there are."""
    words: Words = []
    for name in islice(names, NAMED):
        words += [", " if words else "", *name]
    return [*words, f" and {count - NAMED} more"] if count > NAMED else words


def _thread(ident: int | str | None) -> str:
    """Return the name of a thread; *ident* itself if it names a slot of an executor.  Not under the lock."""
    if isinstance(ident, str):
        return ident
    names = (thread.name for thread in threading.enumerate() if thread.ident == ident)
    return next(names, "a thread that has gone")
