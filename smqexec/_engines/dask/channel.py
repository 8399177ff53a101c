"""Generator tasks on a Dask cluster: a channel that consists of two of Dask's own queues.

Dask's scheduler keeps the queues: one for the worker's messages, one for the answers of this process.  Both
ends ask again after some seconds, as the other end may be lost, and Dask does not tell of that.

Dask repeats the call of a lost worker.  A generator whose values were published must not begin anew.  So the
worker connects by taking the word `BEGIN`, which is sent once.
"""

# What comes from Dask is Any, and Dask need not be there.
# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportUnknownParameterType=false
# pyright: reportUntypedBaseClass=false

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

from distributed import Client, Queue, get_worker
from distributed.protocol import pickle

from ..channels import BegunAnew, Channel, Closed, Connection
from .loop import in_loop

# The first word to the worker.
BEGIN = "begin"

# Seconds that the worker waits for `BEGIN`, which is sent before the call.
BEGINNING = 1.0
# Seconds after which a worker that waits for an answer asks whether its call was cancelled.
WANTED = 5.0
# Seconds after which the receiver of a message asks whether the call has ended.
POLLING = 1.0


class ClusterAddress(NamedTuple):
    """The names of the queues."""

    messages: str
    answers: str

    def connect(self) -> Connection:  # pragma: no cover - called on workers
        connection = _WorkerEnd(Queue(self.messages), Queue(self.answers))
        try:
            word = connection.answers.get(timeout=BEGINNING)
        except TimeoutError:
            word = None
        if word != BEGIN:
            connection.close()
            raise BegunAnew
        return connection


class _WorkerEnd:  # pragma: no cover - used on workers
    """The worker's end of the channel.  One thread uses it."""

    def __init__(self, messages: Queue, answers: Queue) -> None:
        # The two queues; neither is replaced.
        self.messages = messages
        self.answers = answers

    def send(self, message: Any) -> None:
        self.messages.put(pickle.dumps(message))

    def recv(self) -> Any:
        """Return the answer.

        Raises:
            Closed: The call was cancelled.
        """
        while True:
            with suppress(TimeoutError):
                return self.answers.get(timeout=WANTED)
            worker = get_worker()
            task = worker.state.tasks.get(worker.get_current_task())
            if task is None or task.state == "cancelled":
                raise Closed

    def close(self) -> None:
        with suppress(Exception):  # the cluster is gone
            self.messages.close()  # the scheduler keeps a queue until each client that named it closes it
            self.answers.close()


class ClusterChannel(Channel):
    """The channel of a generator task on a cluster, and this process's end of the connection.

    Args:
        client: The client of the cluster.

    Raises:
        Exception: The cluster is gone.
    """

    def __init__(self, client: Client) -> None:
        super().__init__()
        name = f"smqexec-{uuid.uuid4().hex}"
        # None of these changes.
        self.address = ClusterAddress(f"{name}-messages", f"{name}-answers")
        self._client = client
        self._messages, self._answers = [in_loop(client, _open, client, name) for name in self.address]
        in_loop(client, self._answers.put, BEGIN)

    def accept(self) -> Connection:
        return self

    def send(self, answer: Any) -> None:
        self._ask(self._answers.put, answer)

    def recv(self) -> Any:
        while self._done.empty():
            with suppress(TimeoutError):
                return pickle.loads(self._ask(self._messages.get, POLLING))
        raise EOFError

    def _ask(self, call: Callable[..., Awaitable[Any]], argument: Any) -> Any:
        """Return the result of a *call* to the cluster; raise ConnectionError if the cluster is gone."""
        try:
            return in_loop(self._client, call, argument)
        except TimeoutError:
            raise
        except Exception as error:
            raise ConnectionError("the cluster is gone") from error

    def close(self, connection: Connection | None = None) -> None:
        with suppress(Exception):  # the cluster is gone
            self._messages.close()
            self._answers.close()


async def _open(client: Client, name: str) -> Queue:
    queue = Queue(name, client)
    await queue._started  # to await the queue would open it twice, and it would never be closed
    return queue
