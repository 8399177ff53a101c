"""Checks of arguments that several public calls share.  Pure: nothing here has a state."""

from __future__ import annotations

from operator import index
from typing import Any


def check_flags(**flags: object) -> None:
    """Raise a TypeError with the flag's name if a flag is neither True nor False."""
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise TypeError(f"{name} must be True or False, not {flag!r}")


def integer(name: str, value: Any, kind: str = "an int") -> int:
    """Return *value* as an int, or raise a TypeError: *name* must be *kind*."""
    if not hasattr(type(value), "__index__"):
        raise TypeError(f"{name} must be {kind}, not {value!r}")
    return index(value)


def positive(name: str, value: Any, kind: str = "an int") -> int:
    """Return *value* as an int of 1 or more, or raise a TypeError or ValueError with *name*."""
    number = integer(name, value, kind)
    if number < 1:
        raise ValueError(f"{name} must be 1 or more, not {number}")
    return number
