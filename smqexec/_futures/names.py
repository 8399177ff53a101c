"""The names of tasks, counts in words, and the note in an exception that says which task raised it."""

from contextlib import suppress
from reprlib import repr as short
from typing import Any

from .._calls.callables import name_of
from .._planner.nodes import STRIDE

_BEGINNING = "raised by task "  # of a note


def label_of(task: Any) -> str:
    """Return the name of *task*, or else of its function."""
    # The methods of a name of a user's class may do anything.
    return str.__str__(name_of(task._fn) if task._name is None else task._name)


def known_as(task: Any, name: str | None = None) -> str:
    """Return *name*, by default that of *task*, with its number for observers or else of its submission.

    The tasks of a `map` are one submission: the name of each also has its index.  A number of 0 or less is
    left out: ``promote`` under ``order="oldest"`` gives such numbers.
    """
    name = label_of(task) if name is None else name
    if task._serial:
        return f"{name}#{task._serial}"
    submission, place = divmod(getattr(task, "_number", 0), STRIDE)  # none before it is added
    if submission <= 0:
        return name
    return f"{name}#{submission}" if not place else f"{name}#{submission}[{STRIDE - 1 - place}]"


def shown(key: object) -> str:
    """Return the *key* of an item, or its type: the repr of other types may run user code."""
    return short(key) if type(key) is int or type(key) is str else type(key).__qualname__


def counted(number: int, one: str, many: str = "") -> str:
    """Return *number* and its noun, in the plural if there is not one: *many*, or *one* with an s."""
    noun = one if number == 1 else many or f"{one}s"
    return f"{number:,} {noun}"


def note(error: BaseException, task: Any, queue: str) -> None:
    """Add a note to *error* that *task* raised it, unless *error* has such a note.  Handlers are masked."""
    # Only the first task adds a note: others may fail with the same object.  An exception may refuse notes,
    # as a frozen dataclass does, or its class may run user code that raises: the task has to end anyway.
    with suppress(BaseException):
        known = getattr(error, "__notes__", ())
        if not any(type(other) is str and other.startswith(_BEGINNING) for other in known):
            place = "" if task._submitted_at is None else f", submitted at {task._submitted_at}"
            error.add_note(f"{_BEGINNING}{known_as(task)} of queue {queue}{place}")
