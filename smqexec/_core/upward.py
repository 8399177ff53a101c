"""What the core calls in the rooms above it.

Each class describes an object that a room above makes, and that the core keeps in a field: a `QueueState` its
backend and its pending limit; a `State` its observers, its allocating and its ending.  What a waiting task
looks for is described in ``searches``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeAlias

from .._futures.task import Task

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


class EventSink(Protocol):
    """The observers of a scheduler; false while there are none.  Called without the lock."""

    def submitted(self, queue: QueueState, task: Task[Any], args: Any, kwargs: Any) -> None:
        """Tell that *task* is about to be added; *args* and *kwargs* are those of `Submission.add`."""

    def tell(
        self,
        kind: str,
        queue: QueueState | None = None,
        task: Task[Any] | None = None,
        worker: int | str | None = None,
        *,
        time: float | None = None,
        index: int | None = None,
        outcome: str | None = None,
        error: BaseException | None = None,
    ) -> None:
        """Tell of an event of another *kind*: see `Event`.  It comes before its effect can be seen."""

    def dropped(self, ended: Sequence[tuple[Any, Any, QueueState]], ran: Task[Any] | None) -> None:
        """Tell that the tasks in *ended* have ended.  None of them ran but *ran*, whose end was told."""


class Limit(Protocol):
    """How many tasks of a queue may be pending.  Called under the lock."""

    def use(self, reservation: Any, /) -> None:
        """Note that the task of *reservation* is pending now."""

    def admit(self, pending: int, /) -> None:
        """Let waiting threads submit, as far as there is room beside *pending* tasks."""

    def turn_away(self) -> None:
        """Let all waiting threads go on without room: the queue takes no more tasks."""


class Allocates(Protocol):
    """What a scheduler does about resources.  All but `bind_resources` are called under the lock."""

    def bind_resources(self, resources: Iterable[Any], /) -> None:
        """Make *resources* belong to this scheduler; raise ValueError if one belongs to another."""

    def add_allocation(self, task: Any, /) -> None:
        """Note which resources *task*, which was just added, takes and releases."""

    def allocate(self, task: Any, /) -> bool:
        """Give *task*, just started, its units; if units are missing, hold it back and return False."""
        ...

    def stop_holding(self, allocation: Any, /) -> list[Any]:
        """Hold no units beyond the end of the task; return the nodes that became ready."""
        ...

    def starter(self) -> Callable[..., Any]:
        """Return `State.take_next`: `take` of the order, as long as no task takes resources."""
        ...


class Ends(Protocol):
    """How the queues of a scheduler end: at interpreter exit, in order of the methods; or after a fork."""

    def close_at_exit(self) -> None:
        """Take no more tasks."""

    def interrupt(self) -> None:
        """Cancel what is pending and ask what runs to end: Ctrl-C has ended the main thread."""

    def cancel_held(self) -> None:
        """Cancel the tasks that a stop holds, since nothing may resume them."""

    def finish_at_exit(self) -> None:
        """Wait until nothing is pending or running; cancel what can never start."""

    def join(self) -> None:
        """Wait until the threads have ended."""

    def abandon(self) -> None:
        """Refuse everything: this process is a forked child."""
