"""An executor whose futures may be arguments of its calls, and which delivers final results first.

The public names; ``help(smqexec.Queue)`` and the like are the full contracts::

    Queue              an executor: submit, map, options, shutdown; a drop-in for ThreadPoolExecutor
    Scheduler          one order for several queues; stop, resume, wait, why, graph, observe
    Task, Item         the Future that submit returns, which may be an argument; task[i], the future of a part
    Raw, settled       arguments: Raw(x) is passed unsearched; settled(future) waits for any outcome
    Resource           units that tasks take, all or none: limits memory, licences, open files
    number_of_results  announces how many values a generator function yields: then len(task) works
    checkpoint, wait, as_completed   inside a task: obey stop and cancel; wait without a deadlock
    progress, Graph    bars while a block runs; pending and running tasks as a picture: Scheduler.graph()
    Event, Observation the argument of an observer; the result of Scheduler.observe(), whose close() ends it
    trace              runs recorded, and shown as a page or as tables
    smqexec.dask       a Dask cluster as executor=
    DependencyPlanner  the order alone, without threads

The house: eight rooms and a front door; imports point down::

    front door    the public names; it builds the rooms below and joins them
    _observe      views of a scheduler: events, why, graph, debug, progress, trace
    _engines      queues on any executor: processes, interpreters, a cluster; generator tasks there
    _workers      workers run tasks: threads, inline, the loop, generators and their streams, nested waiting
    _limits       conditions of a task's start, besides dependencies: options, pending limits, resources
    _core         the one lock and the state under it: tasks arrive, start, end; queues, wakes, barriers, exit
    _futures      Task and Item: the futures that a scheduler ends
    _calls        a call: futures gathered from its arguments, results substituted; callables
    _planner      the order in which tasks start.  Pure: no threads, locks, clocks, futures

The modules of the front door: _queue, _submitting (Queue); _scheduler, _ending (Scheduler); _in_tasks
(checkpoint, wait, as_completed); trace, of _observe; dask, of _engines; and __main__, the demonstration.

The way of a call; nothing climbs back::

    Queue.submit         _calls encodes the arguments, once
    Submission.add       _core takes one lock hold: the planner links the task, an idle worker is chosen
    Dispatcher.begin     the woken worker in _workers takes the next task of the order, and calls it
    loop.perform         one lock hold more: the task ends, its dependents become ready, the next is taken
    effects              without the lock: outcomes are published, waiters woken, callbacks called
"""

import os
from importlib import import_module
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ._calls.callables import number_of_results
from ._calls.kinds import Raw, settled
from ._futures.items import Item
from ._futures.task import Task
from ._in_tasks import as_completed, checkpoint, wait
from ._limits.resources import Resource
from ._observe.events import Event, Observation
from ._observe.graph import Graph
from ._observe.progress import progress
from ._planner.planner import DependencyPlanner
from ._queue import Queue
from ._scheduler import Scheduler

__version__ = "0.1.0"

__all__ = [
    "DependencyPlanner", "Event", "Graph", "Item", "Observation", "Queue", "Raw", "Resource", "Scheduler",
    "Task", "as_completed", "checkpoint", "number_of_results", "progress", "settled", "wait",
]  # fmt: skip


def _name_methods() -> None:
    """Name inherited methods after the classes that users know: for Python's errors, help and pickle."""
    for public in (Item, Task, Queue, Scheduler):
        for base in [base for base in public.__mro__ if base.__module__.startswith(__name__)]:
            for name, method in vars(base).items():
                if isinstance(method, FunctionType) and not name.startswith("_"):
                    method.__qualname__, method.__module__ = f"{public.__name__}.{name}", __name__


_name_methods()

if os.environ.get("SMQEXEC_TRACE"):  # pragma: no cover - seen in programs of their own
    from ._observe.events import new_scheduler_hooks
    from ._observe.trace.write import Recording

    # Taken out: the programs that this one starts write no trace.
    new_scheduler_hooks.append(Recording(os.environ.pop("SMQEXEC_TRACE")).watch)

if TYPE_CHECKING:
    from . import trace as trace
else:

    def __getattr__(name: str) -> Any:
        """Import ``smqexec.trace`` at its first use: earlier, ``python -m smqexec.trace`` would warn."""
        if name != "trace":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return import_module(f"{__name__}.{name}")
