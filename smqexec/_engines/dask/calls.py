"""Calls for a Dask cluster: packed here, opened where they are made.

A call is packed into bytes in which each future of the cluster is a numbered
*hole*; the values for the holes are what Dask sees as arguments.  So futures may
stand anywhere in what can be pickled: Dask itself looks into lists, tuples, dicts
and sets alone.  And Dask's scheduler needs nothing of what the call needs.
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

from ..executors import Call
from ..pickling import refused_part


class _Packing(threading.local):
    """The call that the calling thread packs, or opens."""

    client: Client | None = None  # while it packs: the client of the cluster
    holes: dict[Future, int] | None = None  # while it packs: the futures, and the numbers of their holes
    values: Any = ()  # while it opens: the values for the holes


_here = _Packing()


class Packed:
    """A packed call: bytes, and the buffers that pickle leaves beside them."""

    __slots__ = ("buffers", "bytes")

    def __init__(self, packed: bytes, buffers: list[Any]) -> None:
        # The pickled call, and the buffers that it refers to.  Neither changes.
        self.bytes = packed
        self.buffers = buffers

    def __reduce__(self) -> Any:
        return Packed, (self.bytes, list(map(PickleBuffer, self.buffers)))

    def __sizeof__(self) -> int:
        """Return the size in memory, for Dask."""
        return self.size

    @property
    def size(self) -> int:
        """In bytes, with its buffers."""
        return len(self.bytes) + sum(memoryview(buffer).nbytes for buffer in self.buffers)


def pack(client: Client, call: Call) -> tuple[Packed, list[Future]]:
    """Pack *call* for the cluster of *client*; return it, and the futures that its holes are for.

    Dask's own futures are replaced as direct arguments; others where `hole_for` stands for them.

    Raises:
        PicklingError: A part of it can't be pickled.
    """
    holes: dict[Future, int] = {}
    buffers: list[PickleBuffer] = []
    args = [_direct(value, holes) for value in call.args]
    kwargs = {name: _direct(value, holes) for name, value in call.kwargs.items()}
    _here.client, _here.holes = client, holes
    try:
        packed = pickle.dumps((call.fn, args, kwargs), buffer_callback=buffers.append)
    except Exception as error:
        why = refused_part(call.fn, args, kwargs, [cloudpickle.dumps]) or str(error)
        raise PicklingError(f"{call.name} can't be sent to the cluster: {why}") from error
    finally:
        _here.client = _here.holes = None
    return Packed(packed, buffers), list(holes)


class _Hole:
    """A place for the value of one of Dask's own futures."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number  # of the future among the arguments of `perform`

    def __reduce__(self) -> Any:
        return _fill, (self.number,)


def _direct(value: Any, holes: dict[Future, int]) -> Any:
    return _Hole(holes.setdefault(value, len(holes))) if isinstance(value, Future) else value


def hole_for(remote: Future, client: Client) -> Any:
    """Return the ``__reduce__`` of a future that stands for *remote* in the call that is being packed.

    Raises:
        TypeError: None is, or one for another cluster.
    """
    holes = _here.holes
    if holes is None or _here.client is not client:
        raise TypeError("the future of a call on a cluster can be sent to that cluster only")
    return _fill, (holes.setdefault(remote, len(holes)),)


def _fill(number: int) -> Any:  # pragma: no cover - called on workers
    return _here.values[number]


# On a worker.


def perform(call: Packed, *values: Any) -> Any:  # pragma: no cover - called on workers
    """Open *call*, fill its holes with *values*, and make it."""
    _here.values = values
    try:
        fn, args, kwargs = pickle.loads(call.bytes, buffers=call.buffers)
    finally:
        _here.values = ()
    del values
    return fn(*args, **kwargs)
