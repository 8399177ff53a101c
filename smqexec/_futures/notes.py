"""The note that the exception of a failed task carries: which task raised it.

Written once, where the exception arose; dependents fail with the very same
object, and so does a task that lets the exception of another through.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from .task import Task, known_as

_BEGINNING = "raised by task "


def note(error: BaseException, task: Task[Any], fn: Any, queue: str) -> None:
    """Note in *error* that *task*, the call of *fn*, raised it, unless it says so of one already.

    It may refuse (a frozen dataclass does), or have notes that are none.  The lock is not held: what
    its class says of attributes is the user's, and whatever that raises is no reason to lose the task.
    So Ctrl-C must not strike here.

    Cost: about 1 µs.
    """
    with suppress(BaseException):
        known = getattr(error, "__notes__", ())
        if not any(type(other) is str and other.startswith(_BEGINNING) for other in known):
            place = "" if task._submitted_at is None else f", submitted at {task._submitted_at}"
            error.add_note(f"{_BEGINNING}{known_as(task, fn, task._number)} of queue {queue}{place}")
