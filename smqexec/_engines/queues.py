"""A queue on an executor: how wide it is, and what it is called."""

from __future__ import annotations

from concurrent.futures import Executor
from itertools import count
from typing import Any

from .._core.process import come_before
from .._core.state import QueueState
from .._workers.pools import check_width
from .backend import ExecutorBackend
from .executors import workers_of

_engines = count()  # numbers for names


def on_executor(
    scheduler: Any,
    max_workers: int | None,
    name: str,
    executor: Executor,
    prefetch: int | None,
) -> QueueState:
    """Slots on *executor*.

    Args:
        scheduler: What plans them.
        max_workers: How many they are; None for what *executor* says.
        name: What to call them, if it is not empty.
        executor: What runs their tasks.
        prefetch: How many tasks more may be there; None: it decides.
    """
    kind = type(executor).__name__
    max_workers = workers_of(executor) if max_workers is None else max_workers
    if max_workers is None:
        raise TypeError(f"max_workers must be given: {kind} does not tell how many it has")
    check_width(max_workers)
    name = name or f"{kind}-{next(_engines)}"
    pool = ExecutorBackend(executor, prefetch)
    queue = QueueState(scheduler, pool, max_workers, name)
    queue.limit += pool.prefetch()
    come_before(type(executor))
    return queue


def check_engine(executor: Any, initializer: Any, initargs: tuple[Any, ...]) -> None:
    """Refuse what can't be a queue's *executor*, or what is for threads alone."""
    if not isinstance(executor, Executor):
        raise TypeError(f"executor must be a concurrent.futures.Executor, not {executor!r}")
    if initializer is not None or initargs:
        raise TypeError(f"give the initializer to the {type(executor).__name__}, whose workers it is for")
