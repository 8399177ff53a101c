"""What the core calls in the rooms above it.

Each class describes an object that a room above makes, and that the core keeps in a field: a `QueueState` its
backend and its pending limit; a `State` its observers, its allocating and its ending.  The classes that
implement the protocols document the methods.  Searches of waiting tasks are described in ``searches``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from .._futures.task import Task

# Of ``queue_state``, which imports this module.
QueueState: TypeAlias = Any
Worker: TypeAlias = Any


class Backend:
    """What runs the workers of a queue.  The core decides which task is next, a backend where.

    By default, tasks run in threads of this process.  No method but `lose` is called under the scheduler's
    lock.
    """

    #: Workers without a task become idle; else they leave.  Constant, as the next two.
    keeps_idle = True
    #: Tasks run in the threads that submit them.
    inline = False
    #: Results of tasks may be `Kept` elsewhere.
    remote_values = False
    #: The threads of the backend.
    threads: Any = frozenset()
    #: Why the backend starts no more workers; false while it does.  Written by the backend.
    _broken: Any = None

    def start(self, queue: QueueState, worker: Worker) -> None:
        """Let *worker* begin: it takes tasks of *queue* until `Dispatcher.begin` returns None."""
        raise NotImplementedError

    def join(self, wait: bool) -> None:
        """Start no more workers; with *wait*, return when the threads have ended."""

    def lose(self, queue: QueueState) -> None:
        """Note that the user's queue was collected.  Must take no lock: a finalizer calls this anywhere."""

    def cancel(self, task: Any) -> None:
        """Cancel running *task*, which was asked to end, if its call has not begun elsewhere."""

    def cancel_unbegun(self) -> None:
        """Cancel all running tasks whose calls have not begun elsewhere."""


class EventSink(Protocol):
    """The observers of a scheduler, `Observers`: false while there are none.  Called without the lock."""

    def submitted(self, queue: QueueState, task: Task[Any], args: Any, kwargs: Any) -> None: ...
    @property
    def notify(self) -> Callable[..., None]: ...
    def dropped(self, ended: Sequence[Any], ran: Task[Any] | None) -> None: ...


class Limit(Protocol):
    """How many tasks of a queue may be pending: a `PendingLimit`.  Called under the lock."""

    def use(self, reservation: Any, /) -> None: ...
    def admit(self, pending: int, /) -> None: ...
    def turn_away(self) -> None: ...


class Allocates(Protocol):
    """What a scheduler does about resources: `Allocating`.  Called under the lock."""

    def add_allocation(self, task: Any, /) -> None: ...
    def allocate(self, task: Any, /) -> bool: ...
    def release(self, allocation: Any, /) -> list[Any]: ...


class Ends(Protocol):
    """How the queues of a scheduler end, at interpreter exit: `Ending`, without the lock."""

    def close_at_exit(self) -> None: ...
    def cancel_held(self) -> None: ...
    def interrupt(self) -> None: ...
    def finish_at_exit(self) -> None: ...
    def shutdown(self) -> None: ...
