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
    Event, Observation, trace        what observers are told, and what ends it; runs recorded and shown
    DependencyPlanner  the order alone, without threads;  smqexec.dask: a Dask cluster as executor=

The house; imports point down::

    __main__           the demonstration
    trace              what happened, as a file
    _observe           a room of modules: what is seen of a scheduler: events, why, graph, debug,
                       progress, trace
    _queue             Queue: the Executor contract over one ThreadPoolExecutor, or a given executor
    _pools             what its tasks run in: threads, _inline: none, or an executor
    _submitting        submit and map, of a queue and of its submitters
    dask               a Dask cluster as an executor
    _engines           queues on any executor: processes, interpreters, a cluster
    _inside            for use inside tasks: checkpoint, wait, as_completed
    _worker            what its threads do; _generators: between two values of a generator task
    _scheduler         Scheduler: queues, stop, resume, wait
    _stop              a stop that lasts for a block; _process: exit and fork
    _notes             what an exception is told of its task
    _streams           generator tasks: items are made, get their values, end
    _admission         a task comes with options; _arrivals: a task comes
    _dispatch          the one lock: a task runs, and returns; below it _breakdown: what our own errors
                       do, _dropping: it ends without a value, and _waking: which queue must wake
    _exclusive         the one way to take the lock; calls of handlers that have interrupted its holder
    _allocating        resources are given to tasks; tasks that lack some are held back
    _waiting           threads that wait, tasks that hold; _stall: waits that may never end;
                       _needs: what tasks that wait do meanwhile
    _resources         what tasks take, and in what order
    _slots             a queue's slots and the runs that fill them
    _pending_limit     how many tasks may be pending, and which threads wait to submit more
    _options           what a task is submitted with besides its call
    _task, _items      Task and Item: the futures; below them _kept: values that stay elsewhere,
                       and _future: waiting, completion; _conditions: for concurrent.futures.wait
    _interrupts        what may strike anywhere: Ctrl-C, a recursion too deep
    _calls             arguments: futures are gathered, results substituted; kinds of arguments
                       (Raw, settled); whether a callable makes a generator task
    _submission_order  what starts in the order of its submission
    _planner           the order in which tasks start.  Pure: no threads, locks, clocks, futures
"""

import os
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ._calls.callables import number_of_results
from ._calls.kinds import Raw, settled
from ._inside import as_completed, checkpoint, wait
from ._items import Item
from ._observe.events import Event, Observation
from ._observe.graph import Graph
from ._observe.progress import progress
from ._planner import DependencyPlanner
from ._queue import Queue
from ._resources import Resource
from ._scheduler import Scheduler
from ._task import Task

__version__ = "0.1.0"

__all__ = [
    "DependencyPlanner",
    "Event",
    "Graph",
    "Item",
    "Observation",
    "Queue",
    "Raw",
    "Resource",
    "Scheduler",
    "Task",
    "as_completed",
    "checkpoint",
    "number_of_results",
    "progress",
    "settled",
    "wait",
]


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
