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

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from ._dispatch import Dispatcher
from ._kept import Kept
from ._nodes import DONE, RUNNING, WAITING, dependencies_of, dependents_of
from ._waking import Starts

if TYPE_CHECKING:
    from ._keeping import KeepingSlots

# Dependents of a task at the engine that are looked at when one may go ahead: there may be many
# that wait for others too, and it is no loss if another goes.
LOOK = 8


class Ahead(Dispatcher):
    """A scheduler that lets tasks go ahead."""

    def given(self, slots: KeepingSlots, task: Any, prefetch: int) -> None:
        """Note that *task* is at the engine of *slots*, where *prefetch* more may be than slots."""
        with self.lock:
            starts = self._advance(slots, (task,), self._fit(slots, prefetch))
        self._start(starts)

    def gone(self, slots: KeepingSlots, task: Any, prefetch: int) -> None:
        """Note that *task* is at the engine no more."""
        with self.lock:
            slots.refused.pop(task, None)
            followers = slots.followers.pop(task, ())
            for node in followers:
                slots.ahead[node] -= 1
                if not slots.ahead[node]:
                    del slots.ahead[node]
            starts = self._advance(slots, list(slots.refused), self._fit(slots, prefetch))
        self._start(starts)

    def _fit(self, slots: KeepingSlots, prefetch: int) -> Starts:
        """Let there be runs for *prefetch* tasks more than slots.  The lock is held; returns as `_wake`."""
        starts: Starts = []
        if prefetch != slots.prefetch:
            slots.fit(prefetch)
            for _ in range(min(slots.ready, slots.limit - len(slots.runs))):
                self._wake(slots, starts)
        return starts

    def _advance(self, slots: Any, tasks: Sequence[Any], starts: Starts | None) -> Starts | None:
        """Let what depends on *tasks* go ahead, as far as there is room.  The lock is held."""
        room = slots.prefetch - len(slots.ahead)
        freed: list[Any] = []
        for task in tasks:
            if not _is_given(task, slots):
                continue
            node: Any
            for node in islice(dependents_of(task), LOOK):
                if node.state != WAITING or node.queue is not slots:
                    continue
                if len(freed) >= room:
                    slots.refused[task] = None
                    break
                needs = [other for other in dependencies_of(node) if other.state < DONE]
                if all(_is_given(other, slots) for other in needs):
                    self.planner.advance(node)
                    slots.ahead[node] = len(needs)
                    for other in needs:
                        slots.followers.setdefault(other, []).append(node)
                    freed.append(node)
            else:
                slots.refused.pop(task, None)
        return self._wake_for(freed, starts) if freed else starts


def _is_given(node: Any, slots: KeepingSlots) -> bool:
    """Whether *node* is at the engine of *slots*, and not a generator task, nor doomed."""
    at_engine = node.state == RUNNING and node.queue is slots and type(node._outcome) is Kept
    return at_engine and node not in slots.fates
