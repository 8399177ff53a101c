"""Generator tasks on a Dask cluster: each value comes here as the generator yields it.

Two of Dask's own queues, which its scheduler keeps, make a channel: one for the values, one
for the words that go back.  After each value the worker waits for the word to go on: so stop
and cancel act between two values, and the generator computes no value too early.

Dask repeats the call of a lost worker.  A generator whose values are out must not begin anew:
it begins on the word `BEGIN`, which is sent once.
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

# The first word to the worker, sent once; then come the words of any channel.
BEGIN = "begin"

# Seconds to listen for `BEGIN`, which is there before the call is.
BEGINNING = 1.0
# Seconds after which a worker that waits for a word asks whether its call was cancelled.
WANTED = 5.0


class BegunAnew(RuntimeError):
    """Raised on a worker: the generator had begun on another worker, which was lost."""


def values(
    client: Client, send: Callable[[Call], Future[Any]], call: Call
) -> Generator[Any, None, tuple[str, Any]]:
    """Yield the values of *call*; return (word, result), as the end of any channel.

    Args:
        client: The cluster's.
        send: Submits a call to the cluster, and returns the future.
        call: The call of a generator task.

    Raises:
        BaseException: The exception of the call's future.
    """
    inbox: SimpleQueue[Any] = SimpleQueue()  # answers of `ask`; None: the call has ended
    name = f"smqexec-{uuid.uuid4().hex}"
    items, words = [in_loop(client, _open, client, f"{name}-{end}") for end in ("items", "words")]
    future: Future[Any] | None = None

    async def ask() -> None:
        with suppress(Exception):  # the cluster is gone: so is the call
            inbox.put(await items.get())

    try:
        in_loop(client, words.put, BEGIN)
        args = (items.name, words.name, call.fn, call.args, call.kwargs)
        future = send(Call(serve, args, {}, call.name, call.options))
        del call, args
        future.add_done_callback(lambda _: inbox.put(None))
        while True:
            client.loop.add_callback(ask)
            answer = inbox.get()
            if answer is None:  # the call has ended without a word: no worker will answer `ask`
                with suppress(Exception):  # the cluster is gone
                    in_loop(client, items.put, (OVER, b""))
                break
            word, value = answer
            if word != ITEM:
                break
            yield pickle.loads(value)
            answer = value = None
            in_loop(client, words.put, GO)
        return future.result()  # type: ignore[no-any-return]
    finally:
        with suppress(Exception):  # the cluster is gone
            if future is not None and not future.done():
                in_loop(client, words.put, CLOSE)
                future.exception()
            items.close()
            words.close()


async def _open(client: Client, name: str) -> Queue:
    queue = Queue(name, client)
    await queue._started  # to await the queue would open it twice, and it would never be closed
    return queue


# On a worker.


def serve(
    items_name: str, words_name: str, fn: Any, args: Any, kwargs: Any
) -> tuple[str, Any]:  # pragma: no cover - called on workers
    """Call *fn*; if it returns an iterator, send each value before the next one is computed."""
    items, words = Queue(items_name), Queue(words_name)
    try:
        return _serve(items, words, fn, args, kwargs)
    finally:
        with suppress(Exception):  # the cluster is gone
            items.close()  # the scheduler keeps a queue until each client that named it closes it
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
    """Wait for the word to go on.

    Raises:
        Closed: The word was to close, or the call was cancelled.
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
