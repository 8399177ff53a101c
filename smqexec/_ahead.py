"""Tasks that go ahead: given to an engine before what they need there is done.

An engine that keeps values takes the future of a call that it is still at for an
argument, and begins no call before its arguments are there.  So a task whose
dependencies are done or at the engine may be given to it: else the worker would
be idle between the two, while one word comes here and the next goes there.

Tasks that have gone ahead keep no slot from those whose dependencies are done:
there are never more of them than `prefetch`, and never more tasks in all at the
engine than slots and `prefetch`.  Among those that may go the order decides.

Where what a task needs fails or is cancelled, so is the task, as ever.  One that
had gone ahead hears of it from the engine too: what counts is its *fate*, which
was noted before.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from ._dispatch import Dispatcher, Starts
from ._kept import Kept
from ._nodes import DONE, RUNNING, WAITING, dependencies_of, dependents_of

if TYPE_CHECKING:
    from ._keeping import KeepingSlots

T = TypeVar("T")

# Dependents of a task at the engine that are looked at when one may go ahead: there may be many
# that wait for others too, and it is no loss if another goes.
LOOK = 8


class Ahead(Dispatcher):
    """A scheduler that lets tasks go ahead."""

    def go_ahead(self, slots: KeepingSlots, prefetch: int) -> None:
        """See that as much is at the engine of *slots* as may be, now that *prefetch* may."""
        with self.lock:
            slots.prefetch = prefetch
            slots.limit = slots.workers + prefetch
            over = self._tidy(slots)
            starts = self._advance(slots, [])
            while slots.ready > slots.waking and len(slots.runs) < slots.limit and not self._stopped:
                starts = self._wake(slots, starts)
        del over  # perhaps the last that kept a task
        self._start(starts)

    def _tidy(self, slots: KeepingSlots) -> Any:
        """Forget what is ahead of nothing any more; return it, as the lock is held."""
        before = slots.ahead
        slots.ahead = {
            node: needs
            for node, needs in before.items()
            if node.state < DONE and any(other.state < DONE for other in needs)
        }
        return before

    def _advance(self, slots: KeepingSlots, starts: Starts | None) -> Starts | None:
        """Let tasks go ahead, as far as there is room.  The lock is held.  Returns as `_wake` does."""
        room = slots.prefetch - len(slots.ahead)
        freed: list[Any] = []
        for run in slots.runs:
            if run.task is None or not _is_given(run.task, slots):
                continue
            node: Any
            for node in islice(dependents_of(run.task), LOOK):
                if room <= len(freed):
                    break
                if node.state == WAITING and node.queue is slots and node._claim is None:
                    needs = [other for other in dependencies_of(node) if other.state < DONE]
                    if all(_is_given(other, slots) for other in needs):
                        self.planner.advance(node)
                        slots.ahead[node] = needs
                        freed.append(node)
        return self._wake_for(freed, starts)


def _is_given(node: Any, slots: KeepingSlots) -> bool:
    """Whether *node* is at the engine of *slots*, and not a generator task, nor doomed."""
    at_engine = node.state == RUNNING and node.queue is slots and type(node._outcome) is Kept
    return at_engine and node not in slots.fates
