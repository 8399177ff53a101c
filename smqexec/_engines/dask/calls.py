"""Calls for a Dask cluster: pickled here, unpickled and made by a worker; and calls in the client's own loop.

A call is pickled as one object, in which a number stands for each future of the cluster.  Dask sees the bytes
and the futures as plain arguments, and gives the worker the values of the futures.  So a future may stand
anywhere in an object that can be pickled; Dask itself searches only lists, tuples, dicts and sets.  And
Dask's scheduler needs no module that the call needs.
"""

# What comes from Dask is Any, and Dask need not be there.
# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportUnknownParameterType=false
# pyright: reportUntypedBaseClass=false

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future as LocalFuture
from concurrent.futures import wait
from io import BytesIO
from pickle import PicklingError, Unpickler
from typing import Any

from cloudpickle import Pickler
from distributed import Client, Future

from ..._futures.remote_value import Remote
from ..executors import Call, refused_part

# Seconds after which a waiting thread asks whether the loop of the client still runs.
ASKING = 1.0

_ENDED = "the event loop of the Dask client has ended"


def in_loop(client: Client, call: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """Return the result of ``await call(*args)`` in the event loop of *client*; raise what *call* raises.

    Dask's own ``sync`` waits for ever if the client closes at the wrong moment: the loop ends, and loses the
    call.  *call* may be a method of Dask's that blocks elsewhere: in the loop it returns an awaitable.

    Raises:
        ConnectionError: The client is not connected, or its loop has ended.
        RuntimeError: This is the thread of the loop.
    """
    if client.asynchronous:
        raise RuntimeError("the client's event loop can't wait for a value of the cluster; a thread can")
    if client.status != "running":
        raise ConnectionError(_ENDED)
    outcome: LocalFuture[Any] = LocalFuture()

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


class _CallPickler(Pickler):  # type: ignore[misc]
    """Pickles a number in place of each future of the cluster of *client*."""

    def __init__(self, client: Client) -> None:
        self.pickled = BytesIO()
        super().__init__(self.pickled)
        self._client = client
        # The futures met, each with its number.
        self.numbers: dict[Future, int] = {}

    def persistent_id(self, value: Any) -> int | None:
        if isinstance(value, Remote):
            value = getattr(value, "remote", None)
            if not isinstance(value, Future) or value.client is not self._client:
                raise TypeError("the future of a call on a cluster can be sent to that cluster only")
        return self.numbers.setdefault(value, len(self.numbers)) if isinstance(value, Future) else None


def pack(client: Client, call: Call) -> tuple[bytes, list[Future]]:
    """Pickle *call* for the cluster of *client*; return it and the futures whose values it needs.

    Raises:
        PicklingError: A part of the call can't be pickled.
    """
    pickler = _CallPickler(client)
    try:
        pickler.dump((call.fn, call.args, call.kwargs))
    except Exception as error:
        part = refused_part(call.fn, call.args, call.kwargs, lambda value: _CallPickler(client).dump(value))
        raise PicklingError(f"{call.name} can't be sent to the cluster: {part or error}") from error
    return pickler.pickled.getvalue(), list(pickler.numbers)


# On a worker.


class _CallUnpickler(Unpickler):  # pragma: no cover - used on workers
    """Unpickles a call, with *values* in place of the numbers."""

    def __init__(self, pickled: bytes, values: Sequence[Any]) -> None:
        super().__init__(BytesIO(pickled))
        self._values = values

    def persistent_load(self, number: int) -> Any:
        return self._values[number]


def perform(call: bytes, *values: Any) -> Any:  # pragma: no cover - called on workers
    """Unpickle *call*, with *values* in place of the futures, and make the call."""
    fn, args, kwargs = _CallUnpickler(call, values).load()
    del values
    return fn(*args, **kwargs)
