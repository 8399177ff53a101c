"""An executor whose futures may be arguments of its calls, and which delivers final results first."""

from ._kinds import Raw, settled
from ._planner import DependencyPlanner
from ._queue import Queue
from ._scheduler import Scheduler
from ._task import Task

__version__ = "0.1.0"

__all__ = ["DependencyPlanner", "Queue", "Raw", "Scheduler", "Task", "settled"]
