"""Relays: nodes between a task and a dependency that the planner can't represent.

No worker starts a relay.  It is pending until its dependency has ended, and is then done, or dropped with the
failure.  The lock of the scheduler of the task guards it.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from .._planner import Node
from .future import PlannedFuture
from .owner import Owner


class Settled(Node):
    """A relay for ``settled(future)``: done when its one dependency has ended, with any outcome."""

    __slots__ = ()
    _tolerant = True  # for the planner: the failure of a dependency does not drop it


class Foreign(Node):
    """A relay for a future of another executor, or another scheduler.

    The callback of that future keeps the relay, perhaps for long.  So the relay releases its scheduler and
    its future when it ends.
    """

    __slots__ = ("future", "scheduler", "settled")

    def __init__(self, scheduler: Owner, future: Future[Any], settled: bool) -> None:
        super().__init__()
        # The scheduler of the dependents; None after the end.
        self.scheduler: Owner | None = scheduler
        # The future, if it is a task or item of another scheduler; None after the end.
        self.future = future if isinstance(future, PlannedFuture) else None
        # The argument was ``settled(future)``: a failure of the future does not fail the dependents.
        self.settled = settled

    def future_done(self, future: Future[Any]) -> None:
        """End this relay: the callback of *future*, which has ended."""
        # Read once: the relay may end meanwhile, with its dependents.
        scheduler = self.scheduler
        if scheduler is not None:
            scheduler.termination.foreign_done(self, future)
