"""distributed: a worker with an executor for ordinary tasks and one for an instrument."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import pytest
from gate import DEADLINE

from clients.conftest import Inside, need

pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("ignore")]

instrument = Inside()


def measure(number: int) -> int:
    with instrument:
        return number


def test_a_worker_keeps_an_instrument_exclusive(
    make: Callable[[int], Executor], switching_often: None
) -> None:
    distributed = need("distributed")
    dask = need("dask")
    executors = {"default": make(4), "instrument": make(1)}
    instrument.most = 0

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
    assert instrument.most == 1
    for executor in executors.values():  # the worker has closed them
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.submit(int)
