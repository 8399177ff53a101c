"""The searches of tasks that wait, as the core sees them: it tells them what happens.

What a search finds, and for what, is told in ``_workers.join_search``.
"""

from __future__ import annotations

from typing import Any, Protocol

from .._planner import Node

# Nodes that a search, or the planner, looks at under one hold of the lock: well below a
# millisecond on the slowest machine tried (0.3 µs a node, 2 µs where each is
# taken over from an older search).
SEARCH_LIMIT = 300


class Search(Protocol):
    """A search of a waiting task.  Called under the lock of the scheduler of the node, or run."""

    def release(self) -> None:
        """Wake the one who waits."""

    def freed(self, node: Node, /) -> None:
        """Note that *node*, of a queue whose tasks it may run, has become ready."""

    def spare(self) -> None:
        """Note that a task of such a queue is ready, and no other thread free for it."""

    def extend(self, worker: Any, wait: Any, /) -> None:
        """Note that the thread of *run* has begun to *wait*."""

    def held_back(self, scheduler: Any, allocation: Any, /) -> None:
        """Note that the task of *allocation* has joined lines, or needs one more task."""

    def forget(self, node: Node, /) -> None:
        """Let go of *node*, which has ended."""


# All searches, of all schedulers: they are told of what begins to wait, and of what has ended.
searches: dict[Search, None] = {}


def forget(node: Node) -> None:
    """Tell all searches that *node* has ended.  The lock of its scheduler is held."""
    for search in list(searches):
        search.forget(node)
