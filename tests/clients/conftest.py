"""Programs that exist, on three executors: the standard library's as the control, and two queues."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import pytest

from smqexec import Queue, Scheduler

MAKERS: dict[str, Callable[[int], Executor]] = {
    "ThreadPoolExecutor": ThreadPoolExecutor,
    "Queue": Queue,
    "Queue of a Scheduler": lambda workers: Queue(Scheduler(), workers),
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Callable[[int], Executor]:
    """What makes an executor of so many workers."""
    return MAKERS[request.param]


@pytest.fixture
def executor(make: Callable[[int], Executor]) -> Iterator[Executor]:
    with make(2) as executor:
        yield executor


@pytest.fixture(autouse=True)
def no_thread_outlives_its_test() -> None:
    """Let these programs keep threads of their own: some keep one for the life of the process."""


def need(name: str) -> Any:
    """Import module *name*, or skip the test with a line that says so."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        pytest.skip(f"{name} can't be imported here: {error}")


class Inside:
    """How many threads are in a ``with`` block of this object, and how many there were at most."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = 0

    def __enter__(self) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        sum(range(20_000))  # long enough for another thread to come in between

    def __exit__(self, *raised: object) -> None:
        with self.lock:
            self.now -= 1
