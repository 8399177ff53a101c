"""What a future's end causes: the record of waiters, hooks and callbacks, and the relays of other schedulers.

Most futures have no record.  It is made under the lock of the future's scheduler, which guards all fields
until the future has ended.  From then on only the thread that ended the future reads it, without the lock;
so nothing may be added then (see `PlannedFuture._add_at_end`).

A relay is a node between a task and a dependency that the planner can't represent.  No worker starts it.  It
is pending until its dependency has ended, and is then done, or dropped with the failure.  The lock of the
scheduler of the task guards it.
"""

from _thread import start_new_thread
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from .._calls.interrupts import elsewhere, uninterrupted
from .._planner.nodes import Node
from .owner import Owner


class Settled(Node):
    """A relay for ``settled(future)``: done when its one dependency has ended, with any outcome."""

    __slots__ = ()
    _tolerant = True  # for the planner: the failure of a dependency does not drop it


class Foreign(Node):
    """A relay for a future of another executor or scheduler, which keeps the relay, perhaps for long."""

    __slots__ = ("future", "scheduler", "settled")

    def __init__(self, scheduler: Owner, future: Any, settled: bool) -> None:
        super().__init__()
        self.scheduler: Owner | None = scheduler  # of the dependents; None after the end
        # The future, if it is a task or item of another scheduler; None after the end.
        self.future = future
        self.settled = settled  # the argument was ``settled(future)``: a failure does not drop the relay

    def __call__(self, future: Future[Any]) -> None:
        """End this relay: the callback of *future*, which has ended and calls this once."""
        scheduler = self.scheduler  # read once: the relay may end meanwhile, with its dependents
        if scheduler is not None:
            end = scheduler.termination.foreign_done
            try:
                with uninterrupted():
                    end(self, future)
            except (MemoryError, RecursionError):  # none is left here, and nothing has been changed
                start_new_thread(elsewhere, (end, (self, future)))


class AtEnd:
    """Waiters, hooks and callbacks of a future that has not ended."""

    __slots__ = ("callbacks", "cancel_requested", "hooks", "item_callbacks", "relays", "waiters")

    def __init__(self) -> None:
        # `cancel` was called while the task was running.  Its worker reads this without the lock.
        self.cancel_requested = False
        # Called with the task under the lock in which it ends.  A hook calls no user code, and returns the
        # nodes that became ready.
        self.hooks: tuple[Callable[[Any], list[Any]], ...] = ()
        # One for each thread that waits for the future, of `concurrent.futures.wait` or `as_completed`, or of
        # ours.  Any thread removes its own, without the lock.
        self.waiters: list[Any] = []
        # After the lock these are called with the task, in this order: callbacks that end its items; relays
        # of other schedulers; the user's callbacks.
        self.item_callbacks: tuple[Callable[[Any], object], ...] = ()
        self.relays: list[Any] = []
        self.callbacks: list[Callable[[Any], object]] = []

    def run_hooks(self, task: Any) -> list[Any]:
        """Call the hooks of *task*, which has just ended; return the nodes that became ready.  Locked."""
        return [node for hook in self.hooks for node in hook(task)]
