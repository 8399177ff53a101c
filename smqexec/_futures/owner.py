"""What tasks and items ask of their queue's scheduler, as the rooms above build it.

A task knows its queue alone, its *home*, until it is done.  No method is called under the lock; the
classes that implement these document them.  Tasks, items and streams are `Any` here, as their modules
import this one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Parts(Protocol):
    """Generator tasks, and parts of results.  All but the last two return None if *task* has ended."""

    def stream(self, task: Any, announced: bool) -> Any: ...
    def item(self, task: Any, stream: Any, index: int) -> Any: ...
    def length(self, task: Any, stream: Any) -> Any: ...
    def part(self, task: Any, key: Any) -> Any: ...
    def complete_item(self, item: Any, value: Any) -> None: ...
    def fail_item(self, item: Any, error: BaseException) -> None: ...


class Waits(Protocol):
    """How threads wait for tasks."""

    def wait_for(self, future: Any, timeout: float | None) -> bool: ...


class Dispatches(Protocol):
    """How tasks start."""

    def promote(self, task: Any) -> bool: ...


class Terminates(Protocol):
    """How tasks end without a value."""

    def cancel(self, future: Any, dependencies: bool = False) -> None: ...
    def cancel_unneeded(self, future: Any) -> None: ...


class Submits(Protocol):
    """How tasks with dependencies elsewhere are submitted."""

    def foreign_done(self, relay: Any, future: Any) -> None: ...


class Owner(Protocol):
    """A scheduler."""

    @property
    def dispatcher(self) -> Dispatches: ...
    @property
    def termination(self) -> Terminates: ...
    @property
    def submission(self) -> Submits: ...
    @property
    def waiting(self) -> Waits: ...
    @property
    def streams(self) -> Parts: ...
    def exclusive(self, reads: bool = False) -> AbstractContextManager[Any]: ...
    def deferred(self, call: Callable[..., object], *args: Any) -> bool: ...
    def why_of(self, future: Any) -> str | None: ...
    def warn_if_stalled(self, awaited: Any) -> bool: ...


class Home(Protocol):
    """A queue."""

    @property
    def name(self) -> str: ...
    @property
    def scheduler(self) -> Owner: ...
