"""The package's private state, as far as tests read or change it: every such name of the package is here.

A change of the package's structure changes this module and no test.  What a `Future` or a
`ThreadPoolExecutor` of the standard library has too (``_state``, ``_condition``, ``_threads``,
``_broken``, ``_shutdown``) tests read where they need it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import planner_checks

from smqexec import Queue, Scheduler

# Modules whose names tests replace, and classes that tests use.
from smqexec._core import exclusive, process, recovery, state, submission, termination  # noqa: F401
from smqexec._core.exclusive import SPINS  # noqa: F401
from smqexec._core.queue_state import SEARCH_LIMIT, Worker, searches  # noqa: F401
from smqexec._engines import receivers  # noqa: F401
from smqexec._futures import waiter  # noqa: F401
from smqexec._futures.conditions import HELD  # noqa: F401
from smqexec._observe import events  # noqa: F401
from smqexec._workers import loop, stall, waiting, waits  # noqa: F401
from smqexec._workers.waits import Wait, Waiter  # noqa: F401

# Of a scheduler.


def core_of(owner: Any) -> Any:
    """The state of a scheduler, of a queue's scheduler, or itself: it holds the scheduler's parts."""
    scheduler = owner.scheduler if isinstance(owner, Queue) else owner
    return scheduler._core if isinstance(scheduler, Scheduler) else scheduler


def lock_of(owner: Any) -> Any:
    return core_of(owner).lock


def order_of(scheduler: Any) -> Any:
    """The planner, which knows which task is next."""
    return core_of(scheduler).planner


def states_of(scheduler: Any) -> Any:
    return core_of(scheduler).queues


def check_order(scheduler: Any, nodes: Iterable[Any] | None = None) -> None:
    """Assert the invariants of the order; *nodes* are all that are pending or running."""
    with lock_of(scheduler):
        planner_checks.check(order_of(scheduler), states_of(scheduler), nodes)


def pending_in(scheduler: Any) -> Any:
    """The pending tasks, the next one first."""
    return core_of(scheduler).termination.pending()


def outside_of(scheduler: Any) -> Any:
    """The unfinished futures of others that pending tasks depend on."""
    return core_of(scheduler).relays


def watchers_of(scheduler: Any) -> Any:
    """The threads that wait for a state of the scheduler, such as "nothing is pending"."""
    return core_of(scheduler).condition_waiters


def paused_in(scheduler: Any) -> Any:
    """The tasks that a checkpoint holds while the scheduler is stopped."""
    return core_of(scheduler).paused


def resting_in(scheduler: Any) -> Any:
    """The tasks that run, but wait in the scheduler for others."""
    return core_of(scheduler).waiting_tasks()


def abandon(owner: Any) -> None:
    """Do what the hook of a forked child does to a scheduler; the exit of this process leaves it alone."""
    core_of(owner).abandon()
    process.schedulers.discard(core_of(owner))


# Of a queue.


def state_of(queue: Any) -> Any:
    return queue._state


def add_to(queue: Any, fn: Any, args: Any, kwargs: Any, group: Any) -> Any:
    """Add a task to the queue, as `submit` and `map` do it: *args* and *kwargs* are encoded."""
    return queue._add(state_of(queue), fn, args, kwargs, group)


def workers_of(queue: Any) -> Any:
    return state_of(queue).workers


def idle_in(queue: Any) -> int:
    return len(state_of(queue).idle)


def searches_in(queue: Any) -> Any:
    """The searches of the queue's waiting tasks for what they need."""
    return state_of(queue).searches


def pool_of(queue: Any) -> Any:
    return queue._state.backend


# Of a task or item.


def stream_of(task: Any) -> Any:
    return task._stream


def record_of(task: Any) -> Any:
    """The record of those that are told of the end, or None."""
    return task._at_end


def blocked_on(task: Any) -> Any:
    """The waits of ours for it: of threads in `result`, `exception`, `wait` or `as_completed`."""
    return [wait for wait in waiters_of(task) if isinstance(wait, Waiter)]


def waiters_of(task: Any) -> Any:
    """All waits for it, those of the standard library too."""
    return task._at_end.waiters if task._at_end is not None else []


def callbacks_of(task: Any) -> Any:
    return task._at_end.callbacks if task._at_end is not None else []
