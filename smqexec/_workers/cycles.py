"""Find a cycle, tasks that wait for each other, and describe it.

Only a wait closes a cycle: a submission does not, as a new task depends on older tasks alone.  So each wait
for *all* of its futures searches for a cycle once, before its thread blocks.  The search starts at the
waiting tasks and follows dependents, and tasks whose threads wait for a node that it found.  The lock of one
scheduler is held throughout: so the search sees one state of the graph and of the waits, and of two waits
that close a cycle together, the later one finds it.

Cycles through other schedulers, slots or resources are not searched for; `why` shows them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from .._futures.future import PlannedFuture
from .._planner import dependents_of
from .waits import Wait


def cycle_of(wait: Wait) -> list[Any]:
    """Return a path from a future that *wait* awaits to a task of its thread: each node needs the next.

    Return an empty list if there is no cycle.  The lock is held.  Cost: a step for each running task, and for
    each node that needs a task of the thread.
    """
    awaited = set(wait.awaited())
    # For each nested task the task around it, which needs the nested one to end.
    around: dict[Any, Any] = {}
    scheduler = wait.search.scheduler
    for queue in scheduler.queues:
        for worker in queue.workers:
            around.update(pairwise(reversed(worker.tasks())))
    # Each found node, with the node that it needs.  None: a task of the thread, which needs the wait to end.
    needs: dict[Any, Any] = dict.fromkeys(wait.held)
    for node in (todo := list(needs)):  # the list grows during the loop
        if node in awaited:
            # `needs` leads from the awaited node back to a task of the thread.
            path = [node]
            while (node := needs[node]) is not None:
                path.append(node)
            return path
        others = [*dependents_of(node), *_tasks_waiting_for(node, scheduler)]
        if node in around:
            others.append(around[node])
        for other in others:
            if other not in needs:
                needs[other] = node
                todo.append(other)
    return []


def _tasks_waiting_for(node: Any, scheduler: Any) -> list[Any]:
    """Return the tasks whose threads wait for the end of *node*, which belongs to *scheduler*."""
    at_end = node._at_end if isinstance(node, PlannedFuture) else None
    waits = [] if at_end is None else at_end.waiters
    found: list[Any] = []
    for wait in waits:
        # Others are waiters of the standard library.  A wait for any of several may end without *node*.
        worker = wait.worker if isinstance(wait, Wait) and wait.strict else None
        # The lock of another scheduler guards the waits of its workers.
        if worker is not None and worker.queue.scheduler is scheduler:
            found += wait.held
    return found


def in_words(cycle: list[Any]) -> str:
    """Return the error message for *cycle*, as `cycle_of` returns it."""
    first, *others = [repr(node) for node in cycle if isinstance(node, PlannedFuture)]
    if not others:
        return f"waiting would never end: {first} waits for itself"
    return f"waiting would never end: {first} needs {', which needs '.join(others)}, which waits for it"
