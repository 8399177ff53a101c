"""The protocols through which tasks and items call the scheduler, whose classes are in the rooms above.

A task knows only its queue, its *home*, and through that the scheduler, until the task is done.  Each method
takes the lock by itself.  Tasks, items and streams are `Any` here, as their modules import this one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Dispatches(Protocol):
    def promote(self, task: Any) -> bool: ...


class Terminates(Protocol):
    def cancel(self, future: Any, dependencies: bool = False, unneeded: bool = False) -> None: ...
    def foreign_done(self, relay: Any, future: Any) -> None: ...


class Waits(Protocol):
    def wait_for(self, future: Any, timeout: float | None) -> bool: ...


class Parts(Protocol):
    """Items and streams; None in place of one: *task* has ended, or its length is known."""

    def stream(self, task: Any, announced: bool) -> Any: ...
    def item(self, home: Any, task: Any, stream: Any, index: int) -> Any: ...
    def length(self, task: Any, stream: Any) -> Any: ...
    def part(self, task: Any, key: Any) -> Any: ...


class Owner(Protocol):
    """A scheduler, by its parts."""

    dispatcher: Dispatches
    termination: Terminates
    waiting: Waits
    streams: Parts

    def exclusive(self) -> AbstractContextManager[Any]: ...
    def deferred(self, call: Callable[..., object], *args: Any) -> bool: ...
    def why_of(self, future: Any) -> str | None: ...


class Home(Protocol):
    """A queue."""

    @property
    def name(self) -> str: ...
    @property
    def remote_values(self) -> bool: ...
    @property
    def scheduler(self) -> Owner: ...
