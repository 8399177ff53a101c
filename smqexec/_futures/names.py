"""The names of tasks, and the note that the exception of a failed task carries: which task raised it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from .._calls.callables import name_of
from .._planner import STRIDE

_BEGINNING = "raised by task "


def label_of(task: Any, fn: Any = None) -> str:
    """Return the name that *task* was given, or that of its function: *fn*, where the task may release it."""
    return name_of(task._fn if fn is None else fn) if task._name is None else task._name


def numbered(name: str, serial: int, number: int) -> str:
    """Return *name* with the number that observers know a task by, or else that of its submission.

    The tasks of a `map` are one submission: each has its place there.  A *number* below 0 is none: it
    belongs to a task promoted under ``order="oldest"``.
    """
    if serial:
        return f"{name}#{serial}"
    if number <= 0:
        return name
    submission, place = divmod(number, STRIDE)
    return f"{name}#{submission}" if not place else f"{name}#{submission}[{STRIDE - 1 - place}]"


def known_as(task: Any, fn: Any, number: int) -> str:
    """Return the name of *task*, the call of *fn*, with its number."""
    return numbered(label_of(task, fn), task._serial, number)


def note(error: BaseException, task: Any, fn: Any, queue: str) -> None:
    """Note in *error* that *task*, the call of *fn*, raised it, unless it says so of one already.

    Written once, where the exception arose: dependents fail with the very same object, and so does a
    task that lets the exception of another through.  The exception may refuse the note (a frozen
    dataclass does), and its class may run user code: nothing that this raises may lose the task, so
    Ctrl-C must be masked.  The lock is not held.

    Cost: about 1 µs.
    """
    with suppress(BaseException):
        known = getattr(error, "__notes__", ())
        if not any(type(other) is str and other.startswith(_BEGINNING) for other in known):
            place = "" if task._submitted_at is None else f", submitted at {task._submitted_at}"
            error.add_note(f"{_BEGINNING}{known_as(task, fn, task._number)} of queue {queue}{place}")
