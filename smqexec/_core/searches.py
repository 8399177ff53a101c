"""Searches of waiting tasks, as the core sees them: the core reports events, and never asks.

A worker that waits runs other tasks of its queue meanwhile.  A search finds these tasks (see
``_workers.join_search``), in the thread of that worker.  The events report what has changed since the search
passed.
"""

from __future__ import annotations

from typing import Any, Protocol

from .._planner import Node

# Nodes that a search, or the planner, visits under one hold of the lock: well below a millisecond on the
# slowest machine tried (0.3 µs a node, 2 µs where each is taken over from an older search).
SEARCH_LIMIT = 300


class Search(Protocol):
    """The search of a waiting worker: a `Finder`, which documents the methods.

    They are called under the lock of the scheduler of the node, or of the worker that waits.
    """

    wait: Any  # the `Wait` of the search; constant

    def freed(self, node: Node, /) -> None: ...
    def ready_without_worker(self) -> None: ...
    def extend(self, nodes: Any, queues: Any, frame: Any, /) -> None: ...


# All searches of the process, as one may wait for tasks of several schedulers.  Each is added and removed by
# its own thread; others iterate over a copy.
searches: dict[Search, None] = {}
