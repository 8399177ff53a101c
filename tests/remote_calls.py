"""What the tests have workers in other processes do: importable there."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Unpicklable:
    def __reduce__(self) -> Any:
        raise ValueError("this stays here")


def fail(message: str) -> None:
    raise ValueError(message)


def give_unpicklable() -> Any:
    return threading.Lock()


def raise_unpicklable() -> None:
    raise ValueError(threading.Lock())


class OneWay:
    """Can be pickled, and not be made again from that."""

    def __reduce__(self) -> Any:
        return int, ("one way",)


def leave() -> None:
    raise SystemExit("not unpickled")


class Leaving:
    """Ends the thread that unpickles it."""

    def __reduce__(self) -> Any:
        return leave, ()


def yield_what_exits() -> Iterator[Any]:
    yield 0
    yield Leaving()


class OneSided(OneWay, Exception):
    def __init__(self, *, why: str) -> None:
        super().__init__(why)


def raise_one_sided(why: str) -> None:
    raise OneSided(why=why)


class OneSidedExit(OneWay, BaseException):
    pass


def raise_one_sided_exit(why: str) -> None:
    raise OneSidedExit(why)


def yield_then_raise_one_sided(why: str) -> Iterator[int]:
    yield 1
    raise OneSided(why=why)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def numbers(count: int) -> Iterator[tuple[int, int]]:
    for n in range(count):
        yield n, os.getpid()
    return "through"


def numbers_to_a_failure(count: int) -> Iterator[int]:
    yield from range(count)
    raise OSError("no light")


def numbers_to_death(count: int) -> Iterator[int]:
    yield from range(count)
    die()


def numbers_to_what_is_unpicklable(count: int) -> Iterator[Any]:
    yield from range(count)
    yield Unpicklable()


def endless(path: str) -> Iterator[int]:
    """Count, and write how far it came to the file *path* when closed."""
    n = 0
    try:
        while True:
            yield n
            n += 1
    finally:
        with open(path, "w") as file:
            file.write(str(n))


def no_iterator() -> list[int]:
    return [1, 2, 3]


no_iterator.number_of_results = lambda: 3  # type: ignore[attr-defined]


def shape(*args: Any) -> int:
    return len(args)


def yield_one_way() -> Iterator[Any]:
    yield 0
    yield OneWay()
