"""Who does the work: which run takes a ready task, and which queue must wake.

A queue's threads are *runs* in its pool (see ``_pools``).  For each ready task
that no run is on its way to, a parked run is rung for, or, if the queue may have
more, a new one is started.  So the pool never holds more runs than threads, and
its own first in, first out never decides anything.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeAlias

from .._calls.frames import traceback_of
from .._calls.interrupts import FRAMES, make_room, uninterrupted
from .._futures.future import Failure
from .._futures.task import Task
from .._planner import READY, SEARCHING
from .loud import loud
from .searches import SEARCH_LIMIT
from .shared import State
from .state import Run, Slots

LOGGER = logging.getLogger("smqexec")

Starts: TypeAlias = list[tuple[Slots, Run]]  # runs to be started once the lock is not held


class Waking(State):
    """A scheduler that knows who is free for what is ready."""

    if TYPE_CHECKING:
        # See ``termination``.
        def _drop_pending(self, slots: Slots, failure: Failure | None, ready_alone: bool = False) -> None: ...

    def _take(self, slots: Slots, run: Run, brief: bool = False) -> Task[Any] | None:
        """Let *run* start the first ready task of *slots*, if any; with *brief* in one step or not."""
        if not slots.ready or self._stopped:
            return None
        task: Any
        task = self._next(slots, SEARCH_LIMIT)
        if task is SEARCHING:
            task = None if brief else self._search(slots)
        run.task = task
        return task  # type: ignore[no-any-return]

    def _search(self, slots: Slots) -> Any:
        """Go on with a long search in slices, between which others have the lock."""
        task: Any = SEARCHING
        while task is SEARCHING:
            self._let_in()
            task = None if self._stopped else self._next(slots, SEARCH_LIMIT)
        return task

    def _wake_for(self, freed: list[Any], starts: Starts | None = None) -> Starts | None:
        """See that somebody does what became ready: a run, or a waiting task that needs it.  As `_wake`."""
        for node in freed:
            slots = node.queue
            if node.state != READY:  # it was taken at once
                continue
            if slots.helpers:
                self._tell_helpers([node])
            if slots.parked or len(slots.runs) < slots.limit or slots.helpers:  # as in `add`
                starts = self._wake(slots, starts)
        return starts

    def _tell_helpers(self, freed: list[Any]) -> None:
        """Tell waiting tasks that need them of nodes that became ready.  The lock is held."""
        for node in freed:
            for needs in list(node.queue.helpers):
                needs.freed(node)

    def _wake(self, slots: Slots, starts: Starts | None = None) -> Starts | None:
        """See that a run is on its way to each ready task of *slots*, one more at most.

        And that there is a run at all where a task is pending: at interpreter exit
        it may be too late to start a thread (CPython 3.12.0 and 3.12.1 refuse to).
        The lock is held.

        Returns:
            *starts* and what else has to be started, for `_start` to do once
            the lock is not held.
        """
        if self._stopped:
            return starts
        wanted = slots.ready > slots.waking
        if wanted and slots.parked > 0:
            slots.ring()
        elif (wanted and len(slots.runs) < slots.limit) or (slots.waiting and not slots.runs and slots.parks):
            run = Run(slots)
            slots.runs[run] = None
            slots.waking += 1
            starts = [] if starts is None else starts
            starts.append((slots, run))
        elif wanted:
            for needs in list(slots.helpers):
                needs.spare()
        return starts

    def _wake_all(self) -> Starts:
        starts: Starts = []
        for slots in self._slots:
            for _ in range(min(slots.ready, slots.limit) or 1):
                self._wake(slots, starts)
        return starts

    def _start(self, starts: Starts | None, submitted: Task[Any] | None = None) -> None:
        """Start runs in their pools.  The lock is not held.

        Raises:
            Exception: The run for *submitted* could not be started, and its
                queue has no other: *submitted* failed with it.
        """
        if not starts:
            return
        with uninterrupted():  # a run that counts and was never started would take its slot for ever
            for slots, run in starts:
                try:
                    slots.pool.start(slots, run)
                except Exception as error:
                    make_room(FRAMES)  # an inline queue's caller may be at the bottom of a recursion
                    try:
                        with loud(self):
                            self._start_failed(slots, run, error)
                    finally:
                        make_room(-FRAMES)
                    outcome = None if submitted is None else submitted._outcome
                    if isinstance(outcome, Failure) and outcome.exception is error:
                        raise

    def _start_failed(self, slots: Slots, run: Run, error: Exception) -> None:
        """Give up *run*; without any other, fail what is ready, for nobody would ever do it."""
        with self.exclusive():
            # The pool may call the run yet, should another of its threads get
            # to it; `begin` then finds that it is none of ours.
            if run not in slots.runs or run.thread is not None:
                return
            slots.leave(run)
            slots.waking -= 1
            helpless = slots.ready and not slots.runs
        if helpless:
            message = "could not start a thread for queue %s; its ready tasks fail"
            LOGGER.error(message, slots.name, exc_info=error)
            self._drop_pending(slots, Failure(error, traceback_of(error)), ready_alone=True)
