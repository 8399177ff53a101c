"""Why a task has not started, or not ended, in words.

One hold of the lock reads the state, as text with a mark in the place of each name.  The names come after
that hold: the name of a task may run user code, and another lock guards the names of threads.
"""

import re
import threading
from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import islice
from time import perf_counter
from typing import Any

from .._core.queue_state import QueueState
from .._core.state import State
from .._futures.at_end import Foreign
from .._futures.future import PlannedFuture
from .._futures.items import LENGTH, Item
from .._futures.names import counted, known_as, shown
from .._futures.task import Task
from .._limits.resources import Allocation, Resource
from .._planner.nodes import DONE, READY, RUNNING, dependencies_of, dependents_of
from .._workers.stall import links
from .._workers.waiting import ConditionWait
from .._workers.waits import Wait

NAMED = 3  # tasks, in a list


def sentence(scheduler: State, future: PlannedFuture[Any]) -> str | None:
    """Return why *future* has not started, or not ended; None if it has ended."""
    report = _Report(scheduler)
    with scheduler.exclusive():
        if future._stage >= DONE:
            return None
        text = report.cause(future)
    return report.with_names(text)


def overview(scheduler: State) -> str:
    report = _Report(scheduler)
    with scheduler.exclusive():
        text = "\n".join(report.overview())
    return report.with_names(text)


class _Report:
    """Describes the state of *scheduler*.  Only `with_names` and `_thread` are called without the lock."""

    def __init__(self, scheduler: State) -> None:
        self._scheduler = scheduler
        self._names: dict[str, Callable[[], str]] = {}

    def _named(self, call: Callable[[Any], str], of: Any) -> str:
        """Return a mark for the name that *call* will return."""
        mark = f"\0{len(self._names)}\0"
        self._names[mark] = partial(call, of)
        return mark

    def with_names(self, text: str) -> str:
        return re.sub("\0[0-9]+\0", lambda mark: self._names.get(mark[0], mark.group)(), text)

    def overview(self) -> Iterator[str]:
        scheduler, counts = self._scheduler, self._scheduler.counts()
        numbers = [f"{counts[state]} {state}" for state in ("running", "ready", "waiting")]
        if numbers == ["0 running", "0 ready", "0 waiting"]:
            yield "nothing is pending or running"
            return
        yield f"{'the scheduler is stopped: ' if scheduler.stopped else ''}{', '.join(numbers)}"
        for task in scheduler.running_tasks():
            yield f"{self._name(task)}: {self._running(task)}{self._dependents([task])}"
        for queue in scheduler.queues:
            if queue.ready and not scheduler.stopped:
                yield f"{queue.name}: {queue.ready} ready, {_slots(queue)}"
        relays = [relay for relay in scheduler.relays if type(relay) is Foreign and relay._dependents]
        if outside := sorted(relays, key=lambda relay: dependents_of(relay)[0]._number):
            yield f"not done: {_listed(self._name, outside)}{self._dependents(outside)}"
        waiting = [relay for relay in scheduler.relays if type(relay) is Allocation]
        lacking = {resource for allocation in waiting for resource in allocation.amounts}
        yield from map(_shortage, sorted(lacking, key=lambda resource: resource.name))

    def cause(self, future: Any) -> str:
        if future._stage == RUNNING:
            return self._running(future)
        if future._stage == READY:
            queue: QueueState = future._queue
            if self._scheduler.stopped:
                return "ready: the scheduler is stopped"
            others = f", {counted(queue.ready - 1, 'other task is', 'other tasks are')} ready"
            return f"ready: {_slots(queue)}{others if queue.ready > 1 else ''}"
        # Its first pending dependency, the first one of that, and so on down to one that does not wait.
        path: list[Any] = []
        needed = future
        while needed is not None and type(needed) is not Allocation:
            path.append(needed)
            needed = next((other for other in dependencies_of(needed) if other._stage < DONE), None)
        needs = links(path)
        if not needs:
            return f"waiting: {'what it needs has just ended' if needed is None else _lacking(needed)}"
        chain = [f"{verb} {self._name(other)}" for verb, other in needs[:NAMED] + needs[NAMED:][-1:]]
        if len(needs) > NAMED + 1:
            chain.insert(NAMED, f"needs {len(needs) - NAMED - 1} more")
        cause = f" ({self.cause(path[-1])})" if isinstance(path[-1], Task) else ""
        more = sum(other._stage < DONE for other in set(dependencies_of(future))) - 1
        return f"waiting: {', which '.join(chain)}{cause}" + (f", and {more} more" if more > 0 else "")

    def _running(self, task: Any) -> str:
        """Return the thread of running *task*, and the futures that it waits for."""
        words = "running"
        if task._since is not None:
            words += f" for {perf_counter() - task._since:.1f} s"
        for worker in task._queue.workers:
            tasks: list[Any] = [*worker.suspended, worker.task, None]
            if task in tasks:
                depth = tasks.index(task)
                words += f" in {self._named(_thread, worker.thread)}"
                for begun, wait in worker.waits:
                    words += f", waits for {self._awaited(wait)}" if begun == depth else ""
                nested = tasks[depth + 1]
                words += f", does {self._name(nested)} meanwhile" if nested is not None else ""
        if task in self._scheduler.paused:
            words += ", held as the scheduler is stopped"
        at_end = task._at_end
        return f"{words}, asked to end" if at_end is not None and at_end.cancel_requested else words

    def _awaited(self, wait: Wait) -> str:
        awaited = list(wait.awaited())
        if awaited and type(awaited[0]) is ConditionWait:
            return "the scheduler" if awaited[0].queue is None else awaited[0].queue.name
        # Not isinstance, which reads ``__class__`` of other futures.
        ours = [future for future in awaited if issubclass(type(future), PlannedFuture)]
        pending = [future for future in ours if future._stage < DONE]
        if pending:
            return _listed(self._name, pending)
        # If there are no others either, the thread is still busy with a task that the wait needed.
        return "futures of other executors" if len(ours) < len(awaited) else "tasks that have ended"

    def _dependents(self, nodes: Collection[Any]) -> str:
        pending: set[Any] = set()
        todo = [other for node in nodes for other in dependents_of(node)]
        for other in todo:  # the list grows during the loop
            if not isinstance(other, Task):  # a relay
                todo += dependents_of(other)
            elif other._stage < RUNNING:
                pending.add(other)
        names = _listed(self._name, sorted(pending, key=lambda task: task._number))
        return f"; needed by {counted(len(pending), 'task')}: {names}" if pending else ""

    def _name(self, node: Any) -> str:
        if type(node) is Foreign:
            # A task of another scheduler is read without its lock: each field is read once.
            if node.future is None:
                return "a future of another executor"
            return f"{self._name(node.future)} of another scheduler"
        if isinstance(node, Item):
            source, key = node._source, node._key
            item = "the length" if source is not None and key is LENGTH else f"item {shown(key)}"
            return item if source is None else f"{item} of {self._name(source)}"
        return self._named(known_as, node)


def _slots(queue: QueueState) -> str:
    if sum(bool(worker.tasks()) for worker in queue.workers) < queue.limit:
        return f"a thread of {queue.name} is on its way"
    if queue.width == 1:
        return f"the slot of {queue.name} is busy"
    return f"all {queue.width} slots of {queue.name} are busy"


def _shortage(resource: Resource) -> str:
    waiting = resource._waiting
    tasks = _listed(lambda each: f"{known_as(each.task, each.name)} needs {each.amounts[resource]}", waiting)
    return f"{_share(resource)}; {counted(len(waiting), 'task lacks it', 'tasks lack it')}: {tasks}"


def _lacking(allocation: Allocation) -> str:
    """Return which units the task of *allocation* lacks, and which tasks hold them or come first."""
    lacks: list[str] = []
    for resource, number in allocation.amounts.items():
        before = list(resource._waiting).index(allocation)
        if before or resource._free < number:
            lacks.append(f"lacks {number} of {_share(resource)}")
        if before:
            lacks.append(f"{counted(before, 'task comes', 'tasks come')} first")
    return "; ".join(lacks)


def _share(resource: Resource) -> str:
    free, holders = f"{resource.name}: {resource._free} of {resource.n} free", resource._holders
    return f"{free}, held by {_listed(_holder, holders.items())}" if holders else free


def _holder(share: tuple[Allocation, int]) -> str:
    allocation, units = share
    words = [f"{units} units"] if units > 1 else []
    name = allocation.name if allocation.task is None else known_as(allocation.task, allocation.name)
    if allocation.task is None:  # it has ended, and keeps them
        ended = counted(len(allocation.releasers), "task has ended", "tasks have ended")
        words.append(f"until {ended}" if allocation.releasers else "kept: no task releases it")
    return f"{name} ({', '.join(words)})" if words else name


def _listed(name: Callable[[Any], str], values: Collection[Any]) -> str:
    words = ", ".join(map(name, islice(values, NAMED)))
    return f"{words} and {len(values) - NAMED} more" if len(values) > NAMED else words


def _thread(ident: int | str | None) -> str:
    """Return the name of a thread; *ident* itself if it names a slot of an executor.  Not under the lock."""
    names: dict[Any, str] = {thread.ident: thread.name for thread in threading.enumerate()}
    return names.get(ident, ident if isinstance(ident, str) else "a thread that has gone")
