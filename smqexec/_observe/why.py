"""Say in words why a task has not started, or not ended.

The state is read under one hold of the lock, as a list of *words*: text, and calls that
return text.  The calls are made after that hold: the name of a task may run the user's code,
and another lock guards the names of threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

from .._core.exclusive import OF_THE_PARENT
from .._core.queue_state import QueueState, Worker
from .._futures.future import PlannedFuture
from .._futures.items import LENGTH, Item
from .._futures.names import known_as, numbered
from .._futures.relays import Foreign
from .._futures.task import Task
from .._limits.resources import KEPT, Allocation, AllocationWaiter, Resource
from .._planner import DONE, READY, RUNNING, Node, dependencies_of, dependents_of
from .._workers.join_search import AllTasks, JoinSearch

if TYPE_CHECKING:
    from .._core.state import State

# How many tasks are named of any number, and how many futures of others.
NAMED, LISTED = 3, 20

Words: TypeAlias = list[str | Callable[[], str]]


def sentence(scheduler: State, future: PlannedFuture[Any]) -> str | None:
    """Return why *future* has not started, or not ended; None if it has ended."""
    with scheduler.exclusive():
        if future._stage >= DONE:
            return None
        if scheduler._abandoned:
            return OF_THE_PARENT
        words = _cause(scheduler, future)
    return _said(words)


def overview(scheduler: State) -> str:
    """Return one line for each running task, and lines that say why no more run."""
    with scheduler.exclusive():
        if scheduler._abandoned:
            return OF_THE_PARENT
        lines = _overview(scheduler)
    return "\n".join(map(_said, lines))


def _said(words: Words) -> str:
    return "".join(word if isinstance(word, str) else word() for word in words)


# Under the lock.


def _overview(scheduler: State) -> list[Words]:
    counts = [queue.counts() for queue in scheduler.queues]
    states = {state: sum(each[state] for each in counts) for state in ("running", "ready", "waiting")}
    if not any(states.values()):
        return [["nothing is pending or running"]]
    stopped = "the scheduler is stopped: " if scheduler.stopped else ""
    lines: list[Words] = [[stopped + ", ".join(f"{count} {state}" for state, count in states.items())]]
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
    lacking = dict.fromkeys(resource for waiter in waiters for resource in waiter.allocation.resources())
    return lines + [[_shortage(resource)] for resource in sorted(lacking, key=lambda each: each.name)]


def _shortage(resource: Resource) -> str:
    """Say how much of *resource* is free, and which tasks lack it."""
    line = list(resource._waiting)
    tasks = _some([f"{_taker(each)} needs {dict(each.amounts)[resource]}" for each in line])
    return f"{_share(resource)}; {_counted(len(line), 'task lacks it', 'tasks lack it')}: {tasks}"


def _share(resource: Resource) -> str:
    """Say how much of *resource* is free, and which tasks hold the rest."""
    free = f"{resource.name}: {resource._free} of {resource.n} free"
    holders = _some([_holder(each, resource) for each in list(resource._holders)])
    return f"{free}, held by {holders}" if holders else free


def _holder(allocation: Allocation, resource: Resource) -> str:
    units, until = dict(allocation.amounts)[resource], len(allocation.releasers)
    words = [f"{units} units"] if units > 1 else []
    if allocation.state == KEPT and until:
        words.append(f"until {_counted(until, 'task has ended', 'tasks have ended')}")
    elif allocation.state == KEPT:
        words.append("kept: no task releases it")
    return f"{_taker(allocation)} ({', '.join(words)})" if words else _taker(allocation)


def _taker(allocation: Allocation) -> str:
    task = allocation.task
    serial, number = (allocation.serial, allocation.number) if task is None else (task._serial, task._number)
    return numbered(allocation.name, serial, number)


def _lacking(allocation: Allocation) -> str:
    """Say what the task of *allocation* lacks, and which tasks hold it or come first."""
    lacks: list[str] = []
    for resource, number in allocation.amounts:
        before = list(resource._waiting).index(allocation)
        if before or resource._free < number:
            first = f"; {_counted(before, 'task comes', 'tasks come')} first" if before else ""
            lacks.append(f"lacks {number} of {_share(resource)}{first}")
    return "; ".join(lacks)


def _cause(scheduler: State, future: Any) -> Words:
    """Say why *future* has not started, or not ended."""
    if future._stage == RUNNING:
        return _running(scheduler, future)
    if future._stage == READY:
        return ["ready: ", _readiness(scheduler, future)]
    path: list[Any] = []  # its first pending dependency, the first of that, down to one that does not wait
    needed = _needed(future)
    while needed is not None and type(needed) is not AllocationWaiter:
        path.append(needed)
        needed = _needed(needed)
    if not path:
        lacks = "what it needs has just ended" if needed is None else _lacking(needed.allocation)
        return [f"waiting: {lacks}"]
    *passed, last = path
    words: Words = ["waiting: needs "]
    for other in passed[:NAMED]:
        words += [*_name(other), ", which needs "]
    if len(passed) > NAMED:
        words[-1] = f", which needs, over {len(passed) - NAMED} more, "
    words += _name(last)
    if isinstance(last, Task):
        words += [" (", *_cause(scheduler, last), ")"]
    more = sum(other._stage < DONE for other in dependencies_of(future)) - 1
    return [*words, f", and {more} more"] if more > 0 else words


def _needed(node: Any) -> Any:
    """Return the first pending dependency of *node*, or None; a barrier or `Settled` stands for its own."""
    while True:
        needed = next((other for other in dependencies_of(node) if other._stage < DONE), None)
        if needed is None or isinstance(needed, (Task, Item, Foreign, AllocationWaiter)):
            return needed
        node = needed


def _readiness(scheduler: State, task: Any) -> str:
    queue: QueueState = task._queue
    if scheduler.stopped:
        return "the scheduler is stopped"
    others = _counted(queue.ready - 1, "other task is", "other tasks are")
    return _slots(queue) if queue.ready == 1 else f"{_slots(queue)}, {others} ready"


def _slots(queue: QueueState) -> str:
    """Say which slots of *queue*, which has a ready task, are busy."""
    if sum(bool(worker.tasks()) for worker in queue.workers) < queue.limit:
        return f"a thread of {queue.name} is on its way"
    if queue.width == 1:
        return f"the slot of {queue.name} is busy"
    return f"all {queue.width} slots of {queue.name} are busy"


def _running(scheduler: State, task: Any) -> Words:
    """Say where *task* runs, and what it waits for."""
    words: Words = ["running"]
    if task._since is not None:
        words.append(f" for {perf_counter() - task._since:.1f} s")
    for worker in task._queue.workers:
        if task in worker.tasks():
            words += [" in ", partial(_thread, worker.thread), *_waits(worker, task)]
    if any(task is paused for paused, _ in scheduler.paused):
        words.append(", held as the scheduler is stopped")
    at_end = task._at_end
    if at_end is not None and at_end.cancel_requested:
        words.append(", asked to end")
    return words


def _waits(worker: Worker, task: Any) -> Words:
    """Say what *task* waits for, and which task its thread runs meanwhile."""
    tasks = [*worker.suspended, worker.task]
    depth = tasks.index(task)
    words: Words = []
    for begun, wait in worker.waits:
        if begun == depth:
            words += [", waits for ", *_awaits(wait)]
    above = tasks[depth + 1] if depth + 1 < len(tasks) else None
    return words if above is None else [*words, ", does ", *_name(above), " meanwhile"]


def _awaits(wait: JoinSearch) -> Words:
    awaited = list(wait.awaited())
    if awaited and type(awaited[0]) is AllTasks:
        return ["the scheduler" if awaited[0].queue is None else awaited[0].queue.name]
    planned = [future for future in awaited if isinstance(future, PlannedFuture)]
    pending = [future for future in planned if future._stage < DONE]
    # With neither its thread is still busy with what the wait needed.
    others = len(planned) < len(awaited)
    return _names(pending) or ["futures of other executors" if others else "tasks that have ended"]


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
    return [f"; {_counted(len(pending), 'task waits', 'tasks wait')} for it: ", *_names(pending)]


def _names(nodes: Sequence[Any]) -> Words:
    words: Words = []
    for node in nodes[:NAMED]:
        words += [", " if words else "", *_name(node)]
    return [*words, f" and {len(nodes) - NAMED} more"] if len(nodes) > NAMED else words


def _name(node: Any) -> Words:
    if type(node) is Foreign:
        # What is another scheduler's is read without its lock: each is one field.
        if node.future is None:
            return ["a future of another executor"]
        return [*_name(node.future), " of another scheduler"]
    if isinstance(node, Item):
        source, key = node._source, node._key
        # The user's own types are not asked.
        shown = repr(key) if type(key) in (int, str) else type(key).__qualname__
        item = "the length" if source is not None and key is LENGTH else f"item {shown}"
        return [item] if source is None else [f"{item} of ", *_name(source)]
    return [partial(known_as, node, node._fn, node._number)]


def _some(words: list[str]) -> str:
    more = len(words) - NAMED
    return ", ".join(words[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


# After that hold.


def _thread(ident: int | str | None) -> str:
    """Return the name of a thread; *ident* itself if it is the name of an executor's slot."""
    if isinstance(ident, str):
        return ident
    names = (thread.name for thread in threading.enumerate() if thread.ident == ident)
    return next(names, "a thread that has gone")
