"""distributed: a worker with an executor for ordinary tasks and one for an instrument."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import pytest
from gate import DEADLINE

from clients.conftest import need

pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("ignore")]

inside = 0
most = 0
lock = threading.Lock()


def measure(number: int) -> int:
    """Use the instrument, and note how many do so at once."""
    global inside, most
    with lock:
        inside += 1
        most = max(most, inside)
    sum(range(20_000))  # long enough for another thread to come in between
    with lock:
        inside -= 1
    return number


def test_a_worker_keeps_an_instrument_exclusive(make: Callable[[int], Executor]) -> None:
    distributed = need("distributed")
    dask = need("dask")
    executors = {"default": make(4), "instrument": make(1)}
    global most
    most = 0

    async def main() -> tuple[Any, Any]:
        async with (
            distributed.Scheduler(port=0, host="127.0.0.1", dashboard_address=None) as scheduler,
            distributed.Worker(scheduler.address, host="127.0.0.1", executor=executors, nthreads=4),
            distributed.Client(scheduler.address, asynchronous=True) as client,
        ):
            with dask.annotate(executor="instrument"):
                taken = client.map(measure, range(50), pure=False)
            computed = client.map(abs, range(50))
            return await client.gather(taken), await client.gather(computed)

    taken, computed = asyncio.run(asyncio.wait_for(main(), 6 * DEADLINE))
    assert taken == computed == list(range(50))
    assert most == 1
    for executor in executors.values():  # the worker has closed them
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.submit(int)
