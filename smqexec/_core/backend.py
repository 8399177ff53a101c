"""What runs the tasks of a queue: one backend object a queue.

The core decides which task runs next; a backend decides where.  A *worker* of it is a `Run`
that fills a slot of the queue: a thread's loop, the thread that submits (inline), or a call
at an executor.  No method is called with the scheduler's lock held, but `lose`, which must
take no lock.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

# Those of ``state``, which names the backend of a queue.
QueueState: TypeAlias = Any
Worker: TypeAlias = Any


class Backend(Protocol):
    """What the workers of a queue run in."""

    #: A worker that has nothing to do waits for work; else it ends.
    parks: bool
    #: Tasks run in the threads that submit them.
    inline: bool
    #: Results of tasks may be `Kept` elsewhere.
    keeps: bool
    #: Why it starts no more workers, or something false.
    _broken: Any

    @property
    def threads(self) -> Any:
        """The set of its threads."""

    def start(self, queue: QueueState, worker: Worker) -> None:
        """Start the worker *run*: see that it takes tasks of *slots* until none is left for it."""

    def resize(self, number: int) -> None:
        """Let so many workers run at the same time from now on."""

    def cancel(self, task: Any) -> None:
        """Cancel running *task*, which was asked to end, if its call has not begun elsewhere."""

    def cancel_unbegun(self) -> None:
        """Cancel all running tasks whose calls have not begun elsewhere."""

    def lose(self, queue: QueueState) -> None:
        """Note that the queue of *slots* was collected."""

    def join(self, wait: bool) -> None:
        """Start no more workers; with *wait*, return when the threads have ended."""


class Threads:
    """What backends have in common whose tasks run in threads of this process."""

    parks = True
    inline = False
    keeps = False

    def cancel(self, task: Any) -> None:
        """A task that runs has begun."""

    def cancel_unbegun(self) -> None:
        """All that run have begun."""

    def lose(self, queue: QueueState) -> None:
        """The threads find that out when they look for work."""
