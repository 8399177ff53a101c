"""An executor whose futures may be arguments of its calls, and which delivers final results first.

What each name is for; ``help(smqexec.Queue)`` and the like tell all::

    Queue              an executor: submit, map, options, shutdown; a drop-in for ThreadPoolExecutor
    Scheduler          one order for several queues; stop, resume, wait, why, graph, observe
    Task, Item         what submit returns, a Future that may be an argument; task[i], the future of a part
    Raw, settled       arguments: Raw(x) is passed unsearched; settled(future) waits for any outcome
    Resource           units that tasks take, all or none: limits memory, licences, open files
    number_of_results  announces how many values a generator function yields: then len(task) works
    checkpoint, wait, as_completed   inside a task: obey stop and cancel; wait without a deadlock
    progress, Graph    bars while a block runs; what is pending, as a picture: Scheduler.graph()
    Event, Observation, trace        what observers are called with, and what ends it; runs recorded and shown
    DependencyPlanner  the order alone, without threads;  smqexec.dask: a Dask cluster as executor=

The house: eight rooms and a front door; imports point down::

    front door    what users import; it builds the rooms below and joins them
    _observe      what is seen of a scheduler: events, why, graph, debug, progress, trace
    _engines      queues on any executor: processes, interpreters, a cluster; generator tasks there
    _workers      what runs tasks: threads, inline, the loop, generators and their streams
    _limits       what a task may start with or wait for: options, pending limit, resources
    _core         the one lock and what it guards: a task arrives, runs, ends; queues, slots, wakes, barriers
    _futures      Task and Item: the Future protocol for whatever the core ends
    _calls        the call: futures gathered from its arguments, results substituted; what is called
    _planner      the order in which tasks start.  Pure: no threads, locks, clocks, futures

The way of a call; nothing climbs back::

    Queue.submit         _calls encodes the arguments, once
    Submission.add       _core takes one lock hold: the planner links the task, an idle worker is chosen
    Dispatcher.begin     the woken worker in _workers takes the next task of the order, and calls it
    Dispatcher.complete  one lock hold more: the task ends, its dependents become ready, the next is taken
    effects              without the lock: outcomes are published, waiters woken, callbacks called
"""

import os
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
from ._planner import DependencyPlanner
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

# Taken out: the programs that this one starts write no trace.
if path := os.environ.pop("SMQEXEC_TRACE", None):  # pragma: no cover - seen in programs of their own
    from ._observe.trace.write import record_everything

    record_everything(path)

if TYPE_CHECKING:
    from . import trace as trace
else:

    def __getattr__(name: str) -> Any:
        """Import ``smqexec.trace`` where somebody asks for it."""
        if name != "trace":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
