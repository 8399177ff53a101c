"""The planner: which task starts next.

Pure bookkeeping: nothing here blocks, locks, reads a clock or calls user code, so any
interleaving can be replayed in a test as a list of calls.  The owner serialises access.

The room, from above; imports point down::

    planner    DependencyPlanner: the graph, and the verbs
    newest     the order "newest": a suspended depth-first search; read this for the theory
    searches   its searches: begun, advanced, adopted, taken over, dissolved
    search     the records of a search
    line       things by number: where nodes and searches wait
    oldest     the order "oldest"
    rank       what goes before a node, by definition, for a person who asks
    nodes      nodes, queues, groups: what all of these share
"""

from .nodes import (
    DONE,
    DROPPED,
    NEW,
    NONE,
    READY,
    RUNNING,
    SEARCHING,
    STRIDE,
    SWEEP_FROM,
    WAITING,
    Group,
    Node,
    PlannedQueue,
    Searching,
    as_few,
    dependencies_of,
    dependents_of,
    listed_dependencies,
)
from .planner import DependencyPlanner
from .rank import rank_of

__all__ = [
    "DONE",
    "DROPPED",
    "NEW",
    "NONE",
    "READY",
    "RUNNING",
    "SEARCHING",
    "STRIDE",
    "SWEEP_FROM",
    "WAITING",
    "DependencyPlanner",
    "Group",
    "Node",
    "PlannedQueue",
    "Searching",
    "as_few",
    "dependencies_of",
    "dependents_of",
    "listed_dependencies",
    "rank_of",
]
