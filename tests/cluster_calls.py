"""What tests have called on a cluster: workers import it.  As a program, it is a cluster."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from distributed import Event, LocalCluster, get_worker

DEADLINE = 20.0  # seconds


class Homely:
    """A value that counts how often it comes to a process, and is of a size that one can see."""

    arrivals = 0  # in this process

    def __init__(self, number: int = 0, size: int = 0) -> None:
        self.number = number
        self.load = bytes(size)

    def __reduce__(self) -> Any:
        return _arrived, (self.number, self.load)


def _arrived(number: int, load: bytes) -> Homely:
    Homely.arrivals += 1
    value = Homely(number)
    value.load = load
    return value


class Homeless:
    """A value that no process can unpickle."""

    def __reduce__(self) -> Any:
        return failing, ("not here",)


def grow(value: Homely | int) -> Homely:
    """A new value, one larger."""
    if isinstance(value, Homely):
        return Homely(value.number + 1, len(value.load))
    return Homely(value)


def number_in(value: Homely) -> int:
    return value.number


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass(frozen=True)
class Point:
    x: Any


def shape_of(value: Any) -> str:
    return repr(value)


def add(*numbers: int) -> int:
    return sum(numbers)


def identity(value: Any) -> Any:
    return value


def failing(text: str) -> int:
    raise ValueError(text)


def key() -> str:
    return get_worker().get_current_task()


def mark(path: str) -> int:
    """Note that this was called; return how often it has been."""
    with open(path, "a") as file:
        file.write("x")
    return len(Path(path).read_text())


def fail_first(path: str, times: int) -> int:
    count = mark(path)
    if count <= times:
        raise OSError(f"call {count}")
    return count


def die_first(path: str, times: int, value: Any = None) -> int:
    """Kill the worker, so many times."""
    count = mark(path)
    if count <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return count


def gated(entered: str, opened: str, value: Any = None) -> Any:
    """Tell that it has begun, and wait until it may end."""
    Event(entered).set()
    if not Event(opened).wait(DEADLINE):
        raise TimeoutError(opened)
    return value


def counting(count: int, path: str | None = None) -> Iterator[int]:
    """Yield numbers; note at *path* that the end was reached, or the generator closed."""
    try:
        yield from range(count)
        return f"{count} in all"  # type: ignore[return-value]
    finally:
        if path is not None:
            mark(path)


def stepping(name: str, count: int, path: str | None = None) -> Iterator[int]:
    """Yield numbers, each once the test has said so."""
    try:
        for number in range(count):
            if not Event(f"{name}-{number}").wait(DEADLINE):
                raise TimeoutError(number)
            yield number
    finally:
        if path is not None:
            mark(path)


def queues_kept(dask_scheduler: Any) -> set[str]:
    """The queues of generator tasks that Dask's scheduler keeps."""
    return {name for name in dask_scheduler.extensions["queues"].queues if name.startswith("smqexec-")}


def failing_after(count: int) -> Iterator[int]:
    yield from range(count)
    raise OSError("no light")


def dying_after(count: int, path: str) -> Iterator[int]:
    mark(path)
    yield from range(count)
    os.kill(os.getpid(), signal.SIGKILL)


def unpicklable_second() -> Iterator[Any]:
    yield 0
    yield threading.Lock()


if __name__ == "__main__":
    with LocalCluster(
        n_workers=int(sys.argv[1]), threads_per_worker=1, processes=True, dashboard_address=None,
        resources={"camera": 1}, silence_logs=100,
    ) as cluster:  # fmt: skip
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
