"""What tests call, what that ends with, and what became of a future."""

from __future__ import annotations

from concurrent.futures import CancelledError, Future
from typing import Any

from gate import DEADLINE


class Broken(Exception):
    """What failing tasks raise."""


class Kept:
    """An object that a weak reference can watch."""


def add(a: int, b: int = 1) -> int:
    return a + b


def nothing(*_: object) -> None:
    pass


def fail(*_: object) -> Any:
    raise Broken("on purpose")


def outcome(future: Future[Any]) -> object:
    """Wait for *future*; return its exception, its result, or "cancelled"."""
    try:
        return future.exception(DEADLINE) or future.result(DEADLINE)
    except CancelledError:
        return "cancelled"
