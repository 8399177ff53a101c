"""The record of a future's end: waiters, hooks and callbacks.  Most futures have none.

The record is made under the lock of the future's scheduler, which guards all fields until the future has
ended.  From then on only the thread that ended the future reads the record, without the lock; so nothing may
be added then (see `PlannedFuture._add_at_end`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Relay(Protocol):
    """The node that tasks of another scheduler depend on in place of a future."""

    scheduler: Any  # that scheduler; None once no task depends on the relay

    def future_done(self, future: Any, /) -> None:
        """End the relay: *future* has ended."""


class AtEnd:
    """Waiters, hooks and callbacks of a future that has not ended."""

    __slots__ = ("callbacks", "cancel_requested", "hooks", "item_callbacks", "relays", "waiters", "waits")

    def __init__(self) -> None:
        # `cancel` was called while the task was running.  Its worker reads this without the lock.
        self.cancel_requested = False
        # Called with the task under the lock in which it ends.  A hook calls no user code, and returns the
        # nodes that became ready.
        self.hooks: tuple[Callable[[Any], list[Any]], ...] = ()
        # For each thread that blocks in `result`: its `FutureWait`; `release` wakes the thread.
        self.waits: list[Any] = []
        # The waiters of `concurrent.futures.wait` and `as_completed`, and our `Completions`.  Any thread
        # removes its own, without the lock.
        self.waiters: list[Any] = []
        # After the lock these are called with the task, in this order: callbacks that end its items; relays;
        # the user's callbacks.
        self.item_callbacks: tuple[Callable[[Any], object], ...] = ()
        self.relays: list[Relay] = []
        self.callbacks: list[Callable[[Any], object]] = []

    def run_hooks(self, task: Any) -> list[Any]:
        """Call the hooks of *task*, which has just ended; return the nodes that became ready.  Locked."""
        hooks, self.hooks = self.hooks, ()
        freed: list[Any] = []
        for hook in hooks:
            freed += hook(task)
        return freed

    def calls(self) -> list[Callable[[Any], object]]:
        """Return all callbacks in the order of their calls."""
        return [*self.item_callbacks, *(relay.future_done for relay in self.relays), *self.callbacks]

    def is_needed(self) -> bool:
        """Return True if the future has a waiting thread, a callback, or a dependent in another scheduler."""
        needed = any(relay.scheduler is not None for relay in self.relays)
        return needed or bool(self.waits or self.waiters or self.callbacks)
