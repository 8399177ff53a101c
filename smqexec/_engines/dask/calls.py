"""Calls for a Dask cluster: pickled here, unpickled and made by a worker.

A call is pickled as one object, in which a number stands for each future of the cluster.  Dask sees the bytes
and the futures as plain arguments, and gives the worker the values of the futures.  So a future may stand
anywhere in an object that can be pickled; Dask itself searches only lists, tuples, dicts and sets.  And
Dask's scheduler needs no module that the call needs.
"""

# What comes from Dask is Any, and Dask need not be there.
# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportUnknownParameterType=false
# pyright: reportUntypedBaseClass=false

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pickle import PicklingError, Unpickler
from typing import Any

from cloudpickle import Pickler
from distributed import Client, Future

from ..._futures.remote_value import Remote
from ..executors import Call, refused_part


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
