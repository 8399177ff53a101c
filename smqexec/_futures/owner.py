"""What tasks and items ask of whatever ends them: a scheduler, as the rooms above build it.

A task knows its queue alone, its *home*, until it is done.  Futures, items and streams are `Any` here, as
their modules import this one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Parts(Protocol):
    """Generator tasks, and parts of results, as tasks and items see them.  Not called under the lock."""

    def stream(self, task: Any, announced: bool) -> Any:
        """Return the stream of generator task *task*; None if it is done without one."""
        ...

    def item(self, task: Any, stream: Any, index: int) -> Any:
        """Return the pending item of *task* for value *index*; None if the item would be done."""
        ...

    def length(self, task: Any, stream: Any) -> Any:
        """Return the pending item for the length of *task*; None if the item would be done."""
        ...

    def part(self, task: Any, key: Any) -> Any:
        """Return a pending item for ``result[key]`` of an ordinary *task*; None if *task* has ended."""
        ...

    def complete_item(self, item: Any, value: Any) -> None:
        """Give *item* its value, unless it has ended."""

    def fail_item(self, item: Any, error: BaseException) -> None:
        """Fail *item*, which gets no value, unless it has ended."""


class Waits(Protocol):
    """How threads wait for tasks."""

    def wait_for(self, future: Any, timeout: float | None) -> bool:
        """Block until *future* is done; False after *timeout* seconds."""
        ...


class Arrivals(Protocol):
    """How tasks with dependencies of others come."""

    def foreign_done(self, relay: Any, future: Any) -> None:
        """Note that *future*, which *relay* stands for, is done."""


class Dispatches(Protocol):
    """How tasks start."""

    def promote(self, task: Any) -> bool:
        """Make *task* count as newly submitted; False if it has started."""
        ...


class Terminates(Protocol):
    """How tasks end without a value."""

    def cancel(self, future: Any, dependencies: bool = False) -> None:
        """Cancel *future*, or ask it to end if it runs; with *dependencies* also what it alone needs."""

    def cancel_unneeded(self, future: Any) -> None:
        """Cancel *future* and what it needs, as far as nobody needs it."""


class Owner(Protocol):
    """A scheduler as its tasks and items see it.  No method is called under its lock."""

    def exclusive(self, reads: bool = False) -> AbstractContextManager[Any]:
        """Return a block that holds the lock."""
        ...

    def deferred(self, call: Callable[..., object], *args: Any) -> bool:
        """Return True if this thread has the lock already; *call* is made once that is released."""
        ...

    def why_of(self, future: Any) -> str | None:
        """Return why *future* has not started, or not ended; None if it has ended."""
        ...

    def warn_if_stalled(self, awaited: Any) -> bool:
        """Log why a wait for *awaited* may never end, and return True, if nothing can go on."""
        ...

    @property
    def dispatcher(self) -> Dispatches:
        """How its tasks start."""
        ...

    @property
    def termination(self) -> Terminates:
        """How its tasks end without a value."""
        ...

    @property
    def submission(self) -> Arrivals:
        """How it takes tasks in."""
        ...

    @property
    def waiting(self) -> Waits:
        """How threads wait for its tasks."""
        ...

    @property
    def streams(self) -> Parts:
        """What it does for generator tasks, and for parts of results."""
        ...


class Home(Protocol):
    """A queue as its tasks and items see it."""

    @property
    def name(self) -> str:
        """What users call it."""
        ...

    @property
    def scheduler(self) -> Owner:
        """What ends its tasks."""
        ...
