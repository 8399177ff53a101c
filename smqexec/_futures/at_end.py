"""The record of all that is special about the end of a task: waiters, hooks and callbacks.

Most tasks have no such record.  It is made under the lock of the task's scheduler, which guards it
until the task has ended; the thread that ends the task reads the record then, after the lock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Relay(Protocol):
    """The node that a task of another scheduler depends on in place of this future."""

    scheduler: Any  # None: nothing depends on it any more

    def future_done(self, future: Any, /) -> None: ...


class AtEnd:
    """Waiters, hooks and callbacks of a task or item that is not done."""

    __slots__ = (
        "callbacks", "cancel_requested", "holders", "hooks", "item_callbacks", "locks", "relays", "waiters",
    )  # fmt: skip

    def __init__(self, holders: dict[int, int] | None = None) -> None:
        self.cancel_requested = False  # `cancel` was called while the task was running
        # Called with the task as it ends, under the lock.  A hook calls no user code, and returns the nodes
        # that became ready.
        self.hooks: tuple[Callable[[Any], list[Any]], ...] = ()
        self.locks: list[Any] = []  # each with a thread in `result` behind it
        self.waiters: list[Any] = []  # of `concurrent.futures.wait` and `as_completed`
        # Called with the task after the lock, in this order: these fill in its items; relays; the user's.
        self.item_callbacks: tuple[Callable[[Any], object], ...] = ()
        self.relays: tuple[Relay, ...] = ()
        self.callbacks: list[Callable[[Any], object]] = []
        # The threads that took the future's condition before its end, and how often: see ``conditions``.
        # Each thread changes its own entry, also after the end.
        self.holders: dict[int, int] = {} if holders is None else holders

    def run_hooks(self, task: Any) -> list[Any]:
        """Run the hooks of *task*, which has just ended; return the nodes that became ready.  Locked."""
        hooks, self.hooks = self.hooks, ()
        freed: list[Any] = []
        for hook in hooks:
            freed += hook(task)
        return freed

    def calls(self) -> list[Callable[[Any], object]]:
        """Return all that is called with the task after the lock, in this order."""
        return [*self.item_callbacks, *(relay.future_done for relay in self.relays), *self.callbacks]

    def is_needed(self) -> bool:
        """Return True if a thread waits for the task, or it has a callback, or a dependent elsewhere."""
        needed = any(relay.scheduler is not None for relay in self.relays)
        return needed or bool(self.locks or self.waiters or self.callbacks)
