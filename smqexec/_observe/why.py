"""Say in words why a task has not started, or not ended: for a person, who asks now and then.

What holds is looked up under one hold of the lock, as a list of *parts*: words,
and what is still to be put into words.  That is done after it: names are the
user's, and those of threads are guarded by another lock.
"""

from __future__ import annotations

import threading
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .._core.exclusive import OF_THE_PARENT
from .._core.state import Run, Slots
from .._futures.future import PlannedFuture
from .._futures.items import LENGTH, Item
from .._futures.task import Foreign, Task, known_as, numbered
from .._limits.resources import KEPT, Allocation, AllocationWaiter, Resource
from .._planner import DONE, READY, RUNNING, WAITING, Node, dependencies_of, dependents_of, rank_of
from .._workers.join_search import Everything, Needs

if TYPE_CHECKING:
    from .._core.dispatch import Dispatcher

# With more pending tasks than this nobody counts which come first: it takes about 1 µs
# for each, under the lock.
COUNTED = 10_000

# So many tasks are named where there may be any number, and so many futures of others.
NAMED, LISTED = 3, 20


class Call(NamedTuple):
    """A task to be named."""

    task: Any
    fn: Any
    number: int


class Part(NamedTuple):
    """An item to be named."""

    key: Any
    of: Call | None


class Thread(NamedTuple):
    """A thread to be named."""

    ident: int | str  # a name already, where it is none


Parts: TypeAlias = list["str | Call | Part | Thread"]


def sentence(scheduler: Dispatcher, future: PlannedFuture[Any]) -> str | None:
    """Why pending or running *future* has not started, or not ended; None if it has ended."""
    with scheduler.exclusive():
        if future.state >= DONE:
            return None
        if scheduler._abandoned:
            return OF_THE_PARENT
        parts = _cause(scheduler, future)
    return _said(parts)


def overview(scheduler: Dispatcher) -> str:
    """What runs, in which thread, and what waits for it; why no more does."""
    with scheduler.exclusive():
        if scheduler._abandoned:
            return OF_THE_PARENT
        lines = _overview(scheduler)
    return "\n".join(map(_said, lines))


# Under the lock.


def _overview(scheduler: Dispatcher) -> list[Parts]:
    counts = [slots.counts() for slots in scheduler._slots]
    running, ready, waiting = (
        sum(each[state] for each in counts) for state in ("running", "ready", "waiting")
    )
    if not running + ready + waiting:
        return [["nothing is pending or running"]]
    stopped = "the scheduler is stopped: " if scheduler._stopped else ""
    lines: list[Parts] = [[f"{stopped}{running} running, {ready} ready, {waiting} waiting"]]
    for slots in scheduler._slots:
        for run in slots.runs:
            for task in run.tasks():
                lines.append([_call(task), ": ", *_running(scheduler, task), *_awaited(task)])
    for slots in scheduler._slots:
        if slots.ready and not scheduler._stopped:
            lines.append([f"{slots.name}: {slots.ready} ready, {_busy(slots) or 'a thread is on its way'}"])
    outside = [relay for relay in scheduler._outside if type(relay) is Foreign and relay.dependents]
    outside.sort(key=lambda relay: dependents_of(relay)[0].number)
    for relay in outside[:LISTED]:
        lines.append([*_name(relay), ": not done", *_awaited(relay)])
    if len(outside) > LISTED:
        lines.append([f"and {len(outside) - LISTED} more futures of others"])
    lines += _shortages(scheduler)
    return lines


def _shortages(scheduler: Dispatcher) -> list[Parts]:
    """A line for each resource that tasks in line lack."""
    waiters = [relay for relay in scheduler._outside if type(relay) is AllocationWaiter]
    lacking = {resource: None for waiter in waiters for resource in waiter.allocation.resources()}
    lines: list[Parts] = []
    for resource in sorted(lacking, key=lambda resource: resource.name):
        line = list(resource._line)
        tasks = ", ".join(f"{_taker(each)} needs {dict(each.amounts)[resource]}" for each in line[:NAMED])
        more = f" and {len(line) - NAMED} more" if len(line) > NAMED else ""
        count = "1 task lacks it" if len(line) == 1 else f"{len(line)} tasks lack it"
        lines.append([f"{_share(resource)}; {count}: {tasks}{more}"])
    return lines


def _share(resource: Resource) -> str:
    """How much of *resource* is free, and which tasks hold the rest."""
    holders = [_holder(allocation, resource) for allocation in list(resource._holders)[:NAMED]]
    more = len(resource._holders) - NAMED
    names = ", ".join(holders) + (f" and {more} more" if more > 0 else "")
    return f"{resource.name}: {resource._free} of {resource.n} free" + (f", held by {names}" if names else "")


def _holder(allocation: Allocation, resource: Resource) -> str:
    name, units = _taker(allocation), dict(allocation.amounts)[resource]
    words = [f"{units} units"] if units > 1 else []
    if allocation.state == KEPT and allocation.releasers:
        count = len(allocation.releasers)
        words.append("until 1 task has ended" if count == 1 else f"until {count} tasks have ended")
    elif allocation.state == KEPT:
        words.append("kept: no task releases it")
    return f"{name} ({', '.join(words)})" if words else name


def _taker(allocation: Allocation) -> str:
    task = allocation.task
    if task is None:
        return numbered(allocation.name, allocation.serial, allocation.number)
    return numbered(allocation.name, task._serial, task.number)


def _lacking(allocation: Allocation) -> Parts:
    """What the task of *allocation* lacks, and which tasks hold it or come first."""
    lacks: list[str] = []
    for resource, number in allocation.amounts:
        before = list(resource._line).index(allocation)
        first = f"; {before} {'tasks come' if before > 1 else 'task comes'} first" if before else ""
        if first or resource._free < number:
            lacks.append(f"lacks {number} of {_share(resource)}{first}")
    return ["; ".join(lacks)]


def _cause(scheduler: Dispatcher, future: Any) -> Parts:
    if future.state == RUNNING:
        return _running(scheduler, future)
    if future.state == READY:
        return ["ready: ", *_readiness(scheduler, future)]
    first = _needed(future)
    if first is None:
        return ["waiting: what it needs has just ended"]
    if type(first) is AllocationWaiter:
        return ["waiting: ", *_lacking(first.allocation)]
    passed: list[Node] = []  # down to what does not wait itself
    node = first
    while node.state == WAITING:
        below = _needed(node)
        if below is None or type(below) is AllocationWaiter:
            break
        passed.append(node)
        node = below
    parts: Parts = ["waiting: needs "]
    for other in passed[:NAMED]:
        parts += [*_name(other), ", which needs "]
    if len(passed) > NAMED:
        parts[-1] = f", which needs, over {len(passed) - NAMED} more, "
    parts += _name(node)
    if isinstance(node, Task):
        parts += [" (", *_cause(scheduler, node), ")"]
    more = sum(other.state < DONE for other in dependencies_of(future)) - 1
    if more > 0:
        parts.append(f", and {more} more")
    return parts


def _needed(node: Any) -> Any:
    """The first dependency of waiting *node* that has not ended; None without any.

    Of what only stands for another, that one; so of a barrier the nearest task before it.
    """
    while True:
        needed = next((other for other in dependencies_of(node) if other.state < DONE), None)
        if needed is None or isinstance(needed, (Task, Item, Foreign, AllocationWaiter)):
            return needed
        node = needed


def _readiness(scheduler: Dispatcher, task: Any) -> Parts:
    slots: Slots = task.queue
    if slots.broken is not None:
        return [f"{slots.name} is broken, so it is about to fail"]
    if scheduler._stopped:
        return ["the scheduler is stopped"]
    busy = _busy(slots)
    if busy is None:
        return [f"a thread of {slots.name} is on its way"]
    if sum(other.pending for other in scheduler._slots) > COUNTED:
        others = slots.ready - 1
        return [f"{busy}, {'1 other is' if others == 1 else f'{others} others are'} ready"]
    count = rank_of(task, scheduler._pending(), scheduler.order == "newest")
    if count:
        return [f"{busy}, {count} {'tasks come' if count > 1 else 'task comes'} first"]
    return [f"{busy}, it is next"]


def _busy(slots: Slots) -> str | None:
    """That no slot is free; None where one is."""
    if sum(bool(run.tasks()) for run in slots.runs) < slots.limit:
        return None
    if slots.workers == 1:
        return f"the slot of {slots.name} is busy"
    return f"all {slots.workers} slots of {slots.name} are busy"


def _running(scheduler: Dispatcher, task: Any) -> Parts:
    """What running *task* is at."""
    parts: Parts = ["running"]
    if task._since is not None:
        parts.append(f" for {perf_counter() - task._since:.1f} s")
    for run in task.queue.runs:
        if task in run.tasks():
            parts += [" in ", Thread(run.thread or 0), *_holding(run, task)]
    if any(task is paused for paused, _ in scheduler._paused):
        parts.append(", held as the scheduler is stopped")
    watch = task._watch
    if watch is not None and watch.asked:
        parts.append(", asked to end")
    return parts


def _holding(run: Run, task: Any) -> Parts:
    """What *task* waits for, and what its thread does meanwhile."""
    tasks = [*run.below, run.task]
    depth = tasks.index(task)
    parts: Parts = []
    for wait in run.waits:
        if wait.depths[run] == depth:
            parts += [", waits for ", *_awaits(wait)]
    above = tasks[depth + 1] if depth + 1 < len(tasks) else None
    if above is not None:
        parts += [", does ", _call(above), " meanwhile"]
    return parts


def _awaits(wait: Needs) -> Parts:
    futures: Any = wait.futures
    if type(futures) is Everything:
        return ["the scheduler" if futures.slots is None else futures.slots.name]
    pending = [future for future in futures if isinstance(future, PlannedFuture) and future.state < DONE]
    # With neither its thread is still busy with what the wait needed.
    return _listed(pending) or ["futures of other executors" if wait.elsewhere else "tasks that have ended"]


def _awaited(node: Node) -> Parts:
    """What depends on *node*; nothing where nothing does."""
    found: dict[Any, None] = {}
    todo = dependents_of(node).copy()
    while todo:
        other: Any = todo.pop()
        if isinstance(other, Task):
            found[other] = None
        else:  # it stands for something
            todo += dependents_of(other)
    live = sorted((task for task in found if task.state < RUNNING), key=lambda task: task.number)
    if not live:
        return []
    words = "; 1 task waits for it: " if len(live) == 1 else f"; {len(live)} tasks wait for it: "
    return [words, *_listed(live)]


def _listed(nodes: list[Any]) -> Parts:
    parts: Parts = []
    for node in nodes[:NAMED]:
        parts += [", " if parts else "", *_name(node)]
    if len(nodes) > NAMED:
        parts.append(f" and {len(nodes) - NAMED} more")
    return parts


def _name(node: Any) -> Parts:
    if type(node) is Foreign:
        # What is another scheduler's is read without its lock: each is one slot.
        if node.future is None:
            return ["a future of another executor"]
        return [*_name(node.future), " of another scheduler"]
    if isinstance(node, Item):
        source = node._source
        if source is not None and node._key is LENGTH:
            return ["the length of ", _call(source)]
        return [Part(node._key, None if source is None else _call(source))]
    return [_call(node)]


def _call(task: Any) -> Call:
    return Call(task, task._fn, task.number)


# After it.


def _said(parts: Parts) -> str:
    return "".join(map(_in_words, parts))


def _in_words(part: Any) -> str:
    if isinstance(part, Call):
        return known_as(*part)
    if isinstance(part, Part):
        # Of the user's own types none is asked.
        key = repr(part.key) if type(part.key) in (int, str) else type(part.key).__qualname__
        return f"item {key}" if part.of is None else f"item {key} of {known_as(*part.of)}"
    if isinstance(part, Thread):
        if isinstance(part.ident, str):
            return part.ident
        names = (thread.name for thread in threading.enumerate() if thread.ident == part.ident)
        return next(names, "a thread that has gone")
    return str(part)
