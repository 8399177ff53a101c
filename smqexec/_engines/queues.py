"""The making of a queue on an executor: its slots, its name, its backend."""

from __future__ import annotations

from concurrent.futures import Executor
from itertools import count
from typing import Any

from .._core.process import come_before
from .._core.queue_state import QueueState
from .._workers.pools import check_width
from .backend import ExecutorBackend
from .executors import workers_of

_engines = count()  # numbers for names


def on_executor(
    scheduler: Any, max_workers: int | None, name: str, executor: Executor, prefetch: int | None
) -> QueueState:
    """Return the state of a new queue on *executor*.

    Args:
        scheduler: The scheduler of the queue.
        max_workers: The number of slots; None: what *executor* says.
        name: The name of the queue; empty: one after the class of *executor*.
        executor: Makes the calls.
        prefetch: See `ExecutorBackend`.
    """
    kind = type(executor).__name__
    max_workers = workers_of(executor) if max_workers is None else max_workers
    if max_workers is None:
        raise TypeError(f"max_workers must be given: {kind} does not tell how many workers it has")
    check_width(max_workers)
    backend = ExecutorBackend(executor, prefetch)
    queue = QueueState(scheduler, backend, max_workers, name or f"{kind}-{next(_engines)}")
    queue.limit += backend.prefetch()
    come_before(type(executor))
    return queue


def check_engine(executor: Any, initializer: Any, initargs: tuple[Any, ...]) -> None:
    """Raise TypeError if *executor* is no executor, or an argument for threads was given beside it."""
    if not isinstance(executor, Executor):
        raise TypeError(f"executor must be a concurrent.futures.Executor, not {executor!r}")
    if initializer is not None or initargs:
        raise TypeError(f"give the initializer to the {type(executor).__name__}, whose workers it is for")
