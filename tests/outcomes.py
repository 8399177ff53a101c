"""What calls of tests end with, and what became of a future."""

from __future__ import annotations

from concurrent.futures import CancelledError, Future
from typing import Any

from gate import DEADLINE


class Broken(Exception):
    """What failing tasks raise."""


class Kept:
    """An object that a weak reference can watch."""


def fail(*_: object) -> Any:
    raise Broken("on purpose")


def outcome(future: Future[Any]) -> object:
    """Wait for *future*; return its exception, its result, or "cancelled"."""
    try:
        return future.exception(DEADLINE) or future.result(DEADLINE)
    except CancelledError:
        return "cancelled"
