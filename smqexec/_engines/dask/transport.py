"""What goes between this process and the workers of a Dask cluster: calls, and the values of generator tasks.

A call is pickled here as one object, in which a number stands for each future of the cluster.  Dask sees the
bytes and the futures as plain arguments, and gives the worker the values of the futures.  So a future may
stand anywhere in an object that can be pickled; Dask itself searches only lists, tuples, dicts and sets.  And
Dask's scheduler needs no module that the call needs.

The connection of a generator task consists of two of Dask's own queues, which its scheduler keeps: one for
the worker's values, one for the answers of this process.  Dask repeats the call of a lost worker, and a
generator whose values were published must not begin anew: the worker has to get `BEGIN`, which is sent once.
"""

# What comes from Dask is Any, and Dask need not be there.
# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportUnknownParameterType=false

import asyncio
import threading
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import wait
from contextlib import suppress
from io import BytesIO
from pickle import PicklingError, Unpickler
from typing import Any, NamedTuple

from cloudpickle import Pickler
from distributed import Client, Future, Queue, get_worker
from distributed.protocol import pickle

from ..._futures.remote_value import Remote
from ..executors import Call, refused_part
from ..receivers import BEGUN_ANEW, Receiver, RemoteReceiver

# Seconds after which a waiting thread asks whether the loop of the client still runs.
ASKING = 1.0
# The first word to the worker, and the seconds that the worker waits for it: it is sent before the call.
BEGIN, BEGINNING = "begin", 1.0
# Ends the values: no value has an empty pickle.
END = b""
# Seconds after which a worker that waits for an answer asks whether its call was cancelled.
WANTED = 5.0

_ENDED = "the event loop of the Dask client has ended"


def in_loop(client: Client, call: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """Return the result of ``await call(*args)`` in the event loop of *client*.

    Raise what *call* raises; a ConnectionError if the client is not connected, or its loop has ended; a
    RuntimeError in the thread of the loop.  *call* may be a method of Dask's that blocks elsewhere.  Dask's
    own ``sync`` waits for ever if the client closes at the wrong moment: the loop ends, and loses the call.
    """
    if client.asynchronous:
        raise RuntimeError("the client's event loop can't wait for a value of the cluster; a thread can")
    if client.status != "running":
        raise ConnectionError(_ENDED)

    async def run() -> Any:
        return await call(*args)

    loop = client.loop.asyncio_loop
    outcome = asyncio.run_coroutine_threadsafe(run(), loop)
    while not wait([outcome], ASKING).done and loop.is_running():
        pass
    if outcome.cancelled() or not outcome.done():
        raise ConnectionError(_ENDED)
    return outcome.result()


def pack(client: Client, call: Call) -> tuple[bytes, list[Future]]:
    """Return *call*, pickled, and the futures whose values it needs; raise a PicklingError if it can't be."""
    numbers: dict[Future, int] = {}

    def number_of(value: Any) -> int | None:
        if isinstance(value, Remote):
            value = getattr(value, "remote", None)
            if not isinstance(value, Future) or value.client is not client:
                raise TypeError("the future of a call on a cluster can be sent to that cluster only")
        return numbers.setdefault(value, len(numbers)) if isinstance(value, Future) else None

    def dumps(value: Any) -> bytes:
        pickled = BytesIO()
        pickler = Pickler(pickled)
        pickler.persistent_id = number_of
        pickler.dump(value)
        return pickled.getvalue()

    try:
        return dumps((call.fn, call.args, call.kwargs)), list(numbers)
    except Exception as error:
        part = refused_part(call.fn, call.args, call.kwargs, dumps)
        raise PicklingError(f"{call.name} can't be sent to the cluster: {part or error}") from error


class ClusterConnection:
    """This process's end of a connection.  A thread serves it until the call has ended."""

    def __init__(self, client: Client, receiver: Receiver) -> None:
        names = [f"smqexec-{uuid.uuid4().hex}" for _ in range(2)]
        # Constant, as are the ends.
        self._client = client
        self.address = End(*names)
        self._end = End(*(in_loop(client, _open, client, name) for name in names))
        in_loop(client, self._end.answers.put, BEGIN)
        receiver.on_end = self._stop
        threading.Thread(target=self._serve, args=(receiver,), name="smqexec-values").start()

    def _serve(self, receiver: Receiver) -> None:
        with suppress(Exception):  # the cluster is gone
            receiver.serve(self)
            self._end.close()

    def _stop(self) -> None:
        if self._client.status == "running":
            self._client.loop.add_callback(self._end.values.put, END)

    def send(self, going: bool) -> None:
        in_loop(self._client, self._end.answers.put, going)

    def recv_bytes(self) -> bytes:
        pickled: bytes = in_loop(self._client, self._end.values.get)
        if pickled == END:
            raise EOFError
        return pickled


async def _open(client: Client, name: str) -> Queue:
    queue = Queue(name, client)
    await queue._started  # to await the queue would open it twice, and it would never be closed
    return queue


class End(NamedTuple):
    """An end of a connection; as the address of the other end it has the names of the queues alone."""

    values: Any
    answers: Any

    def connect(self) -> RemoteReceiver:  # pragma: no cover - called on workers
        end = End(*map(Queue, self))
        with suppress(TimeoutError):
            if end.answers.get(timeout=BEGINNING) == BEGIN:
                return RemoteReceiver(end)
        end.close()
        raise RuntimeError(BEGUN_ANEW)

    def send(self, value: Any) -> None:  # pragma: no cover - called on workers
        self.values.put(pickle.dumps(value))

    def recv(self) -> Any:  # pragma: no cover - called on workers
        """Return the answer; False if the call was cancelled."""
        while True:
            with suppress(TimeoutError):
                return self.answers.get(timeout=WANTED)
            worker = get_worker()
            task = worker.state.tasks.get(worker.get_current_task())
            if task is None or task.state == "cancelled":
                return False

    def close(self) -> None:
        """Close this end's queues: Dask's scheduler keeps a queue until all that opened it have closed it."""
        with suppress(Exception):  # the cluster is gone
            self.values.close()
            self.answers.close()


def perform(call: bytes, *values: Any) -> Any:  # pragma: no cover - called on workers
    """Unpickle *call*, with *values* in place of the futures, and make the call."""
    unpickler: Any = Unpickler(BytesIO(call))
    unpickler.persistent_load = values.__getitem__
    fn, args, kwargs = unpickler.load()
    del unpickler, values
    return fn(*args, **kwargs)
