"""What runs the tasks of a queue: one backend object a queue.

The core decides which task runs next; a backend decides where.  A `Worker` fills a slot of the queue: it is a
thread's loop, the thread that submits (inline), or a call at an executor.  No method is called with the
scheduler's lock held, except `resize` and `lose`; `lose` must take no lock.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

# Of ``queue_state``, which imports this module.
QueueState: TypeAlias = Any
Worker: TypeAlias = Any


class Backend(Protocol):
    """What the workers of a queue run in.  Its fields are set once, but for `_broken`."""

    #: A worker without a task is idle; else it leaves.
    keeps_idle: bool
    #: Tasks run in the threads that submit them.
    inline: bool
    #: Results of tasks may be `Kept` elsewhere.
    remote_values: bool
    #: Why the backend starts no more workers; false if it does.
    _broken: Any

    @property
    def threads(self) -> Any:
        """The set of the backend's threads."""

    def start(self, queue: QueueState, worker: Worker) -> None:
        """Let *worker* begin: it takes tasks of *queue* until `Dispatcher.begin` returns None."""

    def resize(self, number: int) -> None:
        """Let *number* workers run at the same time from now on.  The scheduler's lock is held."""

    def cancel(self, task: Any) -> None:
        """Cancel running *task*, which was asked to end, if its call has not begun elsewhere."""

    def cancel_unbegun(self) -> None:
        """Cancel all running tasks whose calls have not begun elsewhere."""

    def lose(self, queue: QueueState) -> None:
        """Note that the user's queue was collected.  Takes no lock."""

    def join(self, wait: bool) -> None:
        """Start no more workers; with *wait*, return when the threads have ended."""


class Threads:
    """The common part of backends that run tasks in threads of this process."""

    keeps_idle = True
    inline = False
    remote_values = False

    def cancel(self, task: Any) -> None:
        """Do nothing: a running task has begun."""

    def cancel_unbegun(self) -> None:
        """Do nothing: all running tasks have begun."""

    def lose(self, queue: QueueState) -> None:
        """Do nothing: `QueueState.lose` wakes the workers."""
