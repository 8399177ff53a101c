"""A task that waits for itself: how the cycle is found, and put into words.

A cycle is closed by a wait, never by a submission: a new task depends on older ones alone.  So each wait in
which all awaited futures must end looks for a cycle once, before it blocks.  It looks at all that needs the
waiting tasks, as these are few: dependents, and threads that wait for one of them.  Cycles through other
schedulers, through slots and through resources are not looked for; `why` shows them.
"""

from __future__ import annotations

from typing import Any

from .._futures.future import PlannedFuture
from .._planner import dependents_of
from .completions import Completions
from .join_search import JoinSearch


def cycle_of(wait: JoinSearch) -> list[Any]:
    """Return a path of nodes from what *wait* awaits to a task of its thread, each needing the next.

    An empty list without any.  The lock is held.  Cost: all that needs a task of the thread.
    """
    awaited = set(wait.awaited())
    # What each found node needs; None for the tasks that can't go on before the wait has ended.
    needs: dict[Any, Any] = dict.fromkeys(task for worker in wait.workers for task in worker.tasks())
    for node in (todo := list(needs)):  # it grows while we go
        if node in awaited:
            path = [node]
            while (node := needs[node]) is not None:
                path.append(node)
            return path
        for other in [*dependents_of(node), *_tasks_waiting_for(node, wait.scheduler)]:
            if other not in needs:
                needs[other] = node
                todo.append(other)
    return []


def _tasks_waiting_for(node: Any, scheduler: Any) -> list[Any]:
    """Return the tasks of *scheduler*, which *node* belongs to, that can't go on until it has ended."""
    at_end = node._at_end if isinstance(node, PlannedFuture) else None
    blocked = [] if at_end is None else [*at_end.locks, *at_end.waiters]
    found: list[Any] = []
    for each in blocked:
        # A thread at no task blocks on a plain lock, or has a waiter of the standard library.
        wait = each.search if type(each) is Completions else each
        if not isinstance(wait, JoinSearch) or wait.scheduler is not scheduler:
            continue
        if wait.strict and wait.active:
            found += [task for worker in wait.workers for task in worker.held_by(wait)]
    return found


def in_words(cycle: list[Any]) -> str:
    """Return what is wrong, where the first of *cycle* is awaited, and the last is a task that waits."""
    first, *others = [repr(node) for node in cycle if isinstance(node, PlannedFuture)]
    if not others:
        return f"waiting would never end: {first} waits for itself"
    return f"waiting would never end: {first} needs {', which needs '.join(others)}, which waits for it"
