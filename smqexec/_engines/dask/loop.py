"""Calls of a Dask client that wait in its event loop, and that end if the loop ends.

Dask's own ``sync`` waits for ever if the client closes at the wrong moment: the loop ends, and loses the call
that ``sync`` has given to it.
"""

# What comes from Dask is Any, and Dask need not be there.
# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportUnknownParameterType=false

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, wait
from typing import Any

from distributed import Client

# Seconds after which a waiting thread asks whether the loop still runs.
ASKING = 1.0

_ENDED = "the event loop of the Dask client has ended"


def in_loop(client: Client, call: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """Return the result of ``await call(*args)`` in the event loop of *client*.

    *call* may be a method of Dask's that blocks elsewhere: in the loop it returns an awaitable.

    Raises:
        ConnectionError: The loop has ended.
        RuntimeError: This is the thread of the loop.
        Exception: *call* raised it.
    """
    if client.asynchronous:
        raise RuntimeError("the client's event loop can't wait for a value of the cluster; a thread can")
    outcome: Future[Any] = Future()

    async def run() -> None:
        try:
            outcome.set_result(await call(*args))
        except asyncio.CancelledError:
            outcome.set_exception(ConnectionError(_ENDED))
        except Exception as error:
            outcome.set_exception(error)

    client.loop.add_callback(run)
    while not wait([outcome], ASKING).done:
        if not client.loop.asyncio_loop.is_running() and not outcome.done():
            raise ConnectionError(_ENDED)
    return outcome.result()
