"""Calls for a Dask cluster: pickled here, unpickled and made by a worker.

A call is pickled as one object, in which a *placeholder* with a number stands for each future of the cluster.
Dask sees the bytes and the futures as plain arguments, and gives the worker the values of the futures.  So a
future may stand anywhere in an object that can be pickled; Dask itself searches only lists, tuples, dicts and
sets.  And Dask's scheduler needs no module that the call needs.
"""

# What comes from Dask is Any, and Dask need not be there.
# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportUnknownParameterType=false
# pyright: reportUntypedBaseClass=false

from __future__ import annotations

import threading
from pickle import PickleBuffer, PicklingError
from typing import Any

import cloudpickle
from distributed import Client, Future
from distributed.protocol import pickle

from ..executors import Call, refused_part


class _Current(threading.local):
    """The call that the calling thread pickles or unpickles."""

    # While `pack` runs: the client of the cluster; the futures, each with the number of its placeholder.
    client: Client | None = None
    numbers: dict[Future, int] | None = None
    # While `perform` unpickles: the values of the futures.
    values: Any = ()


_current = _Current()


class Packed:
    """A pickled call."""

    __slots__ = ("buffers", "bytes")

    def __init__(self, pickled: bytes, buffers: list[Any]) -> None:
        # The pickle, and the buffers that it refers to (protocol 5).  Neither changes.
        self.bytes = pickled
        self.buffers = buffers

    def __reduce__(self) -> Any:
        return Packed, (self.bytes, list(map(PickleBuffer, self.buffers)))

    def __sizeof__(self) -> int:
        """Return the size in memory, for Dask."""
        return self.size

    @property
    def size(self) -> int:
        """The number of bytes, with the buffers."""
        return len(self.bytes) + sum(memoryview(buffer).nbytes for buffer in self.buffers)


class _Direct:
    """Pickled as the placeholder of a future of Dask's own, which is a direct argument."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number  # constant

    def __reduce__(self) -> Any:
        return _value, (self.number,)


def pack(client: Client, call: Call) -> tuple[Packed, list[Future]]:
    """Pickle *call* for the cluster of *client*; return it and the futures whose values it needs.

    A `ClusterFuture` is replaced at any depth, by `placeholder`; a future of Dask's own as a direct argument.

    Raises:
        PicklingError: A part of the call can't be pickled.
    """
    numbers: dict[Future, int] = {}

    def direct(value: Any) -> Any:
        return _Direct(numbers.setdefault(value, len(numbers))) if isinstance(value, Future) else value

    args = [direct(value) for value in call.args]
    kwargs = {name: direct(value) for name, value in call.kwargs.items()}
    buffers: list[PickleBuffer] = []
    _current.client, _current.numbers = client, numbers
    try:
        pickled = pickle.dumps((call.fn, args, kwargs), buffer_callback=buffers.append)
    except Exception as error:
        why = refused_part(call.fn, args, kwargs, cloudpickle.dumps) or str(error)
        raise PicklingError(f"{call.name} can't be sent to the cluster: {why}") from error
    finally:
        _current.client = _current.numbers = None
    return Packed(pickled, buffers), list(numbers)


def placeholder(future: Future, client: Client) -> Any:
    """Return the ``__reduce__`` of an object that stands for *future* in the call that `pack` pickles.

    Raises:
        TypeError: `pack` does not run in this thread, or it runs for another cluster.
    """
    numbers = _current.numbers
    if numbers is None or _current.client is not client:
        raise TypeError("the future of a call on a cluster can be sent to that cluster only")
    return _value, (numbers.setdefault(future, len(numbers)),)


# On a worker.


def perform(call: Packed, *values: Any) -> Any:  # pragma: no cover - called on workers
    """Unpickle *call*, with *values* in place of the placeholders, and make the call."""
    _current.values = values
    try:
        fn, args, kwargs = pickle.loads(call.bytes, buffers=call.buffers)
    finally:
        _current.values = ()
    del values
    return fn(*args, **kwargs)


def _value(number: int) -> Any:  # pragma: no cover - called on workers
    return _current.values[number]
