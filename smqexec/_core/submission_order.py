"""Queues that start their tasks in the order of submission.

Each task of such a queue depends on the *barrier* of the task submitted before it: a relay that is
done once its task, and all before that, have started or ended.  The dispatcher ends it when the task
starts; where the task ends without a start, the planner counts it as done for the barrier::

    task 1 <-- barrier 1 <-- task 2 <-- barrier 2 <-- task 3
                   ^------------------------'

So one task of the queue is ready at most, and to the planner's search a task needs, before all else,
what those before it need.  None of them has to end, and none has to succeed.
"""

from __future__ import annotations

from .._planner import Node


class Barrier(Node):
    """A relay that is done when its task, and all tasks of the queue before it, have started or ended."""

    __slots__ = ()
    _tolerant = True
