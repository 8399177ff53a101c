"""What tasks and items call in the rooms above: their queue, and through that the parts of its scheduler.

Each method takes the lock by itself.  Tasks, items and streams are `Any`, as their modules import this one.
"""

from collections.abc import Callable
from typing import Any, Never, Protocol, TypeVar

R = TypeVar("R")


class Dispatches(Protocol):
    def promote(self, task: Any) -> bool: ...


class Terminates(Protocol):
    def cancel(self, future: Any, dependencies: bool = False, unneeded: bool = False) -> None: ...
    def foreign_done(self, relay: Any, future: Any) -> None: ...


class Waits(Protocol):
    def wait_for(self, future: Any, timeout: float | None) -> bool: ...


class Parts(Protocol):
    def stream(self, task: Any, announced: bool) -> Any: ...
    def item(self, home: Any, task: Any, stream: Any, index: int) -> Any: ...
    def length(self, task: Any, stream: Any) -> Any: ...
    def part(self, task: Any, key: Any) -> Any: ...


class Owner(Protocol):
    dispatcher: Dispatches
    termination: Terminates
    waiting: Waits
    streams: Parts

    def step(self, change: Callable[..., R], *args: Any) -> R: ...
    def deferred(self, call: Callable[..., object], *args: Any) -> bool: ...
    def why_of(self, future: Any) -> str | None: ...


class Home(Protocol):
    name: str
    remote_values: bool
    scheduler: Owner


class Unadded:
    """The home of a task while observers are told of its submit: no scheduler has it yet."""

    name = "none yet"

    @property
    def scheduler(self) -> Never:
        raise RuntimeError("the task can't be used yet: observers get its submit before it is added")


UNADDED: Any = Unadded()
