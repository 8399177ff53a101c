"""An executor whose futures may be arguments of its calls, and which delivers final results first.

The house; imports point down::

    __main__           the demonstration
    _queue             Queue: the Executor contract over one ThreadPoolExecutor
    _scheduler         Scheduler: queues, stop, resume, wait
    _process           exit and fork
    _dispatch          the one lock: a task comes, runs, ends; which queue must wake
    _slots             a queue's slots and the runs that fill them
    _task              Task: the Future subclass; waiting, completion
    _arguments         gather and substitute; below it _recipe (containers), _kinds
    _planner           DependencyPlanner: the graph.  Pure, as all below
    _newest, _oldest   the two orders; _places: where nodes wait
    _nodes             what they share
"""

from ._kinds import Raw, settled
from ._planner import DependencyPlanner
from ._queue import Queue
from ._scheduler import Scheduler
from ._task import Task

__version__ = "0.1.0"

__all__ = ["DependencyPlanner", "Queue", "Raw", "Scheduler", "Task", "settled"]
