"""Checks of arguments that several public calls share."""

from operator import index
from typing import Any


def check_flags(**flags: object) -> None:
    """Raise a TypeError with the flag's name if a flag is neither True nor False."""
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise TypeError(f"{name} must be True or False, not {flag!r}")


def integer(name: str, value: Any, least: int | None, kind: str = "an int") -> int:
    """Return *value* as an int of *least* or more; raise if *name* is not *kind*, or less."""
    if not hasattr(type(value), "__index__"):
        raise TypeError(f"{name} must be {kind}, not {value!r}")
    number = index(value)
    if least is not None and number < least:
        raise ValueError(f"{name} must be {least} or more, not {number}")
    return number
