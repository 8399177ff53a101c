"""What the core calls in the rooms above it.

Each class describes an object that a room above makes, and that the core keeps in a field: a `QueueState` its
backend, its pending limit and its searches; a `State` its observers, its allocating and its ending.  The
classes that implement the protocols document the methods.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from .._futures.task import Task
from .._planner import Node

# Nodes that a search visits under one hold of the lock.  On the slowest machine tried that takes 0.1 ms:
# 0.3 µs a node; or 0.5 ms, if each is taken over from an older search.
SEARCH_LIMIT = 300

# Of ``queue_state``, which imports this module.
QueueState: TypeAlias = Any
Worker: TypeAlias = Any


class Backend:
    """What runs the workers of a queue.  The core decides which task is next, a backend where.

    By default, tasks run in threads of this process.  No method is called under the scheduler's lock, except
    `resize` and `lose`.
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

    def resize(self, number: int) -> None:
        """Let *number* workers run at the same time from now on.  The lock is held."""

    def join(self, wait: bool) -> None:
        """Start no more workers; with *wait*, return when the threads have ended."""

    def lose(self, queue: QueueState) -> None:
        """Note that the user's queue was collected.  Must take no lock: a finalizer calls this anywhere."""

    def cancel(self, task: Any) -> None:
        """Cancel running *task*, which was asked to end, if its call has not begun elsewhere."""

    def cancel_unbegun(self) -> None:
        """Cancel all running tasks whose calls have not begun elsewhere."""


class Search(Protocol):
    """The search of a waiting worker for the tasks of its queue that it runs meanwhile: a `Wait`.

    The core reports events, and never asks.  Called under the lock of the scheduler of the node, or of the
    worker that waits.
    """

    workers: Any  # all workers of the waiting thread, the outermost first

    def freed(self, node: Node, /) -> None: ...
    def ready_without_worker(self) -> None: ...
    def extend(self, nodes: Any, frame: Any, /) -> None: ...


# All searches of the process, as one may wait for tasks of several schedulers.  Each is added and removed by
# its own thread; others iterate over a copy.
searches: dict[Search, None] = {}


class EventSink(Protocol):
    """The observers of a scheduler, `Observers`: false while there are none.  Called without the lock."""

    def submitted(self, queue: QueueState, task: Task[Any], args: Any, form: Any) -> None: ...
    @property
    def notify(self) -> Callable[..., None]: ...
    def dropped(self, ended: Sequence[Any], ran: Task[Any] | None) -> None: ...


class Limit(Protocol):
    """How many tasks of a queue may be pending: a `PendingLimit`.  Called under the lock."""

    def use(self, task: Any, /) -> None: ...
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
