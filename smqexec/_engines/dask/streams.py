"""Generator tasks on a Dask cluster: their values come here as they are yielded.

They come through two of Dask's own queues, which its scheduler keeps: one for the
values, one for the words that go back.  After each value the worker waits for the
word: so stop and cancel act between two values, and the generator never runs ahead.

Dask makes a call again whose worker was lost.  A generator whose values are out
must not begin anew: it begins on the word `BEGIN`, which is said once.
"""

# What comes from Dask is Any, and Dask need not be there.
# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportUnknownParameterType=false
# pyright: reportUntypedBaseClass=false

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from distributed import Client, Queue, get_worker
from distributed.protocol import pickle

from ..._calls.callables import is_iterator
from ..executors import Call
from ..remote import CLOSE, GO, ITEM, ORDINARY, OVER, RETURNED, Closed, exhaust
from .loop import in_loop

# What goes to the worker first, and once; then come words as on any line.
BEGIN = "begin"

# Seconds to listen for `BEGIN`, which is there before the call is.
BEGINNING = 1.0
# Seconds after which a worker that waits for a word asks whether anybody still wants its call.
WANTED = 5.0


class BegunAnew(RuntimeError):
    """Raised on a worker: the generator had begun, on one that was lost."""


class Line:
    """The line to the worker of one generator task.

    Args:
        client: The cluster's.
        send: Has a call made on the cluster, and returns the future.
    """

    def __init__(self, client: Client, send: Callable[[Call], Future[Any]]) -> None:
        self._client = client
        self._send = send
        self._inbox: SimpleQueue[Any] = SimpleQueue()

    def values(self, call: Call) -> Generator[Any, None, tuple[str, Any]]:
        """The values of *call*; returns how it ended.

        Raises:
            BaseException: What the future of the call has failed with.
        """
        name = f"smqexec-{uuid.uuid4().hex}"
        items, words = [in_loop(self._client, self._queue, f"{name}-{what}") for what in ("items", "words")]
        future: Future[Any] | None = None
        try:
            in_loop(self._client, words.put, BEGIN)
            args = (items.name, words.name, call.fn, call.args, call.kwargs)
            future = self._send(Call(serve, args, {}, call.name, call.options))
            del call, args
            future.add_done_callback(lambda _: self._inbox.put(None))
            while (value := self._next(items)) is not None:
                yield pickle.loads(value)
                value = None
                in_loop(self._client, words.put, GO)
            return future.result()  # type: ignore[no-any-return]
        finally:
            with suppress(Exception):  # of a cluster that is gone
                if future is not None and not future.done():
                    in_loop(self._client, words.put, CLOSE)
                    future.exception()
                items.close()
                words.close()

    async def _queue(self, name: str) -> Queue:
        queue = Queue(name, self._client)
        await queue._started  # to await the queue would open it twice, and it would never be closed
        return queue

    def _next(self, items: Queue) -> bytes | None:
        """The next value, pickled; None at the end."""
        self._client.loop.add_callback(self._ask, items)
        answer = self._inbox.get()
        if answer is None:  # the call has ended without a word: nobody else will answer what we asked
            with suppress(Exception):  # the cluster is gone
                in_loop(self._client, items.put, (OVER, b""))
            return None
        word, value = answer
        return value if word == ITEM else None

    async def _ask(self, items: Queue) -> None:
        with suppress(Exception):  # the cluster is gone: so is the call
            self._inbox.put(await items.get())


# On a worker.


def serve(
    items_name: str, words_name: str, fn: Any, args: Any, kwargs: Any
) -> tuple[str, Any]:  # pragma: no cover - called on workers
    """Call *fn*; where that gives an iterator, send each value before the next is asked for."""
    items, words = Queue(items_name), Queue(words_name)
    try:
        return _serve(items, words, fn, args, kwargs)
    finally:
        with suppress(Exception):  # the cluster is gone
            items.close()  # its scheduler keeps a queue until all who have named it close it
            words.close()


def _serve(
    items: Queue, words: Queue, fn: Any, args: Any, kwargs: Any
) -> tuple[str, Any]:  # pragma: no cover - called on workers
    try:
        word = words.get(timeout=BEGINNING)
    except TimeoutError:
        word = None
    if word != BEGIN:
        raise BegunAnew(
            "the worker of a generator task was lost after it had begun, and Dask began it once more"
        )
    made = fn(*args, **kwargs)
    if not is_iterator(type(made)):
        return ORDINARY, made
    del fn, args, kwargs

    def send(value: Any) -> None:
        items.put((ITEM, pickle.dumps(value)))
        del value
        _await_word(words)

    try:
        return RETURNED, exhaust(made, send)
    except Closed:
        return RETURNED, None
    finally:
        items.put((OVER, b""))


def _await_word(words: Queue) -> None:  # pragma: no cover - called on workers
    """Wait to be told to go on.

    Raises:
        Closed: It is to end, or nobody wants it any more.
    """
    while True:
        with suppress(TimeoutError):
            if words.get(timeout=WANTED) == GO:
                return
            raise Closed
        worker = get_worker()
        task = worker.state.tasks.get(worker.get_current_task())
        if task is None or task.state == "cancelled":
            raise Closed
