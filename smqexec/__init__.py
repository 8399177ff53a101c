from ._planner import DependencyPlanner
__version__ = "0.1.0"
