"""Relays: nodes between a task and a dependency that the planner can't wait for by itself."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from .._planner import Node
from .future import PlannedFuture
from .owner import Owner


class Settled(Node):
    """A relay that is done when the one future it depends on has ended, in whatever way."""

    __slots__ = ()
    _tolerant = True


class Foreign(Node):
    """A relay for a future of another executor.

    That future keeps the relay, as a part of its callback, perhaps for long.  So the relay releases
    its scheduler and its future when it ends.  The lock of the scheduler guards both.
    """

    __slots__ = ("future", "scheduler", "settled")

    def __init__(self, scheduler: Owner, future: Future[Any], settled: bool) -> None:
        super().__init__()
        self.scheduler: Owner | None = scheduler
        self.future = future if isinstance(future, PlannedFuture) else None
        self.settled = settled  # given as ``settled(future)``: its failure is none of the dependent's

    def future_done(self, future: Future[Any]) -> None:
        """Note that *future* is done: its callback."""
        scheduler = self.scheduler
        if scheduler is not None:
            scheduler.submission.foreign_done(self, future)
