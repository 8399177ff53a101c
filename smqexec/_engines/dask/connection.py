"""Generator tasks on a Dask cluster: a connection that consists of two of Dask's own queues.

Dask's scheduler keeps the queues: one for the worker's values, one for the answers of this process.  Both
ends ask again after some seconds, as the other end may be lost, and Dask does not tell of that.

Dask repeats the call of a lost worker.  A generator whose values were published must not begin anew.  So the
worker connects by taking the word `BEGIN`, which is sent once.
"""

# What comes from Dask is Any, and Dask need not be there.
# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportUnknownParameterType=false

from __future__ import annotations

import threading
import uuid
from contextlib import suppress
from typing import Any, NamedTuple

from distributed import Client, Queue, get_worker
from distributed.protocol import pickle

from ..receivers import BEGUN_ANEW, Receiver, RemoteReceiver, serve
from .calls import in_loop

# The first word to the worker, and the seconds that the worker waits for it: it is sent before the call.
BEGIN, BEGINNING = "begin", 1.0
# The worker's last word: no value has an empty pickle.
END = b""
# Seconds after which a worker that waits for an answer asks whether its call was cancelled.
WANTED = 5.0
# Seconds after which this process, which waits for a value, asks whether the call has ended.
POLLING = 1.0


class ClusterAddress(NamedTuple):
    """The names of the queues."""

    values: str
    answers: str

    def connect(self) -> RemoteReceiver:  # pragma: no cover - called on workers
        connection = _WorkerEnd(Queue(self.values), Queue(self.answers))
        with suppress(TimeoutError):
            if connection.answers.get(timeout=BEGINNING) == BEGIN:
                return RemoteReceiver(connection)
        connection.close()
        raise RuntimeError(BEGUN_ANEW)


class _WorkerEnd:  # pragma: no cover - used on workers
    """The worker's end of the connection.  One thread uses it."""

    def __init__(self, values: Queue, answers: Queue) -> None:
        self.values, self.answers = values, answers  # constant

    def send(self, value: Any) -> None:
        self.values.put(pickle.dumps(value))

    def recv(self) -> Any:
        """Return the answer; False if the call was cancelled."""
        while True:
            with suppress(TimeoutError):
                return self.answers.get(timeout=WANTED)
            worker = get_worker()
            task = worker.state.tasks.get(worker.get_current_task())
            if task is None or task.state == "cancelled":
                return False

    def close(self) -> None:
        with suppress(Exception):  # the cluster is gone
            self.values.put(END)  # Dask's scheduler logs each `get` that waits in vain
            self.values.close()  # the scheduler keeps a queue until each client that named it closes it
            self.answers.close()


class ClusterConnection:
    """This process's end of the connection.  A thread serves it until the call has ended."""

    def __init__(self, client: Client, receiver: Receiver) -> None:
        name = f"smqexec-{uuid.uuid4().hex}"
        # None of these changes.
        self.address = ClusterAddress(f"{name}-values", f"{name}-answers")
        self._client = client
        self._receiver = receiver
        self._values, self._answers = [in_loop(client, _open, client, name) for name in self.address]
        in_loop(client, self._answers.put, BEGIN)
        threading.Thread(target=self._serve, name="smqexec-values").start()

    def _serve(self) -> None:
        with suppress(Exception):  # the cluster is gone
            serve(self, self._receiver)
            self._values.close()
            self._answers.close()

    def send(self, going: bool) -> None:
        in_loop(self._client, self._answers.put, going)

    def recv_bytes(self) -> bytes:
        while self._receiver.task is not None:
            with suppress(TimeoutError):
                pickled: bytes = in_loop(self._client, self._values.get, POLLING)
                if pickled == END:
                    break
                return pickled
        raise EOFError


async def _open(client: Client, name: str) -> Queue:
    queue = Queue(name, client)
    await queue._started  # to await the queue would open it twice, and it would never be closed
    return queue
