"""Queues on an engine that keeps values: see ``_kept``, and ``_ahead`` for what may go there early."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from typing import Any

from ._engine import EnginePool, EngineSlots
from ._executors import Engine
from ._future import Failure, ours
from ._kept import Kept
from ._slots import Run
from ._task import Task

LOGGER = logging.getLogger("smqexec")


class KeepingSlots(EngineSlots):
    """The slots of such a queue."""

    __slots__ = ("ahead", "fates", "followers", "prefetch", "refused")
    keeps = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.prefetch = 0  # how many more tasks may be at the engine, now
        # What has gone ahead, and of how many; and of whom.
        self.ahead: dict[Any, int] = {}
        self.followers: dict[Any, list[Any]] = {}
        # Tasks at the engine that others might go ahead of, if there was room.
        self.refused: dict[Any, None] = {}
        # Tasks at the engine that had gone ahead of one that failed (or, None, was cancelled), and how
        # they end.
        self.fates: dict[Any, Failure | None] = {}

    def fit(self, prefetch: int) -> None:
        """Let *prefetch* more tasks than slots be at the engine.  The lock is held, or nobody has it yet."""
        self.prefetch = prefetch
        self.limit = self.workers + prefetch
        self.heed()


class KeepingPool(EnginePool):
    """What runs of such a queue are started in.

    Args:
        engine: Makes the calls.
        prefetch: How many more than its slots may be there; None: what *engine* wants, at any time.
    """

    def __init__(self, engine: Engine, prefetch: int | None) -> None:
        super().__init__(engine)
        self._engine = engine
        self._prefetch = prefetch

    def prefetch(self) -> int:
        try:
            return self._engine.prefetch if self._prefetch is None else self._prefetch
        except Exception:  # it is asked again at the next call
            LOGGER.exception("%s does not say what it prefetches", type(self._engine).__name__)
            return 0

    def _call(self, task: Task[Any], fn: Any, args: Any, kwargs: Any) -> Future[Any]:
        future: Any = super()._call(task, fn, args, kwargs)
        task._outcome = Kept(future)  # before it is done: for what goes ahead
        return future  # type: ignore[no-any-return]

    @ours
    def _give(
        self, slots: Any, run: Run, task: Task[Any], fn: Any, args: Any, kwargs: Any, begun: Any
    ) -> None:
        super()._give(slots, run, task, fn, args, kwargs, begun)
        del fn, args, kwargs
        # From here on nothing may be raised: the task would end twice.
        self._in_turn(begun, slots.scheduler.given, slots, task, self.prefetch())

    def _complete(self, slots: Any, run: Run, task: Task[Any], value: Any) -> None:
        self._returned(slots, run, task)
        scheduler = slots.scheduler
        scheduler.complete(slots, run, task, value, False)  # there may be fewer slots now
        slots.fates.pop(task, None)
        del value
        scheduler.gone(slots, task, self.prefetch())

    def _fail(
        self,
        slots: Any,
        run: Run,
        task: Task[Any],
        error: BaseException,
        gone: BaseException | None,
        cancelled: bool = False,
    ) -> None:
        super()._fail(slots, run, task, error, gone, cancelled)
        del error, gone
        for doomed in list(slots.fates):
            self.withdraw(doomed)
        slots.scheduler.gone(slots, task, self.prefetch())
