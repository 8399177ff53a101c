"""Generator tasks on executors: a channel brings each value as the generator yields it.

The worker calls `stream` in place of the generator function.  `stream` sends each value and
waits for the word to go on.  In this process `Channel.values` iterates over the values, in a
thread of its own (see ``backend``).  So stop and cancel act between two values, as on
threads, and the generator computes no value before the one before was taken.

Within one interpreter the values go through queues, as the same objects.  Otherwise they go
through a ``multiprocessing.connection``: the channel listens at an address of its own, and the
worker proves that it knows the channel's secret, which travels with the call.  A worker that
cannot connect (on another machine, say) sends all values at the end.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from itertools import count
from queue import Empty, SimpleQueue
from time import sleep
from typing import Any, NamedTuple, Protocol

from .._calls.callables import is_iterator

LOGGER = logging.getLogger("smqexec")

# Seconds that the executor may take to end the future of a lost worker's call.
GRACE = 10.0
# Seconds before the next try to connect, or to accept a connection, if no file could be opened.
RETRY = 0.01

# The worker sends (word, value): an item; or the end, and the future has the outcome.
ITEM, OVER = "item", "over"
# The parent answers each item: compute the next one; close the generator.
GO, CLOSE = True, False
# How a call ended: (word, its result, the values that were not sent).
RETURNED, ORDINARY = "returned", "ordinary"


class Connection(Protocol):
    """One end of a channel."""

    def send(self, value: Any, /) -> None: ...
    def recv(self) -> Any: ...
    def close(self) -> None: ...


class Reply(NamedTuple):
    """The address of a channel, for its worker."""

    process: int
    address: Any  # None if all workers are in this interpreter
    key: bytes  # the channel's secret, and its name within this interpreter


class Ordinary(Exception):
    """Raised by a channel: the call returned no iterator, but the value in the only argument."""


class Closed(BaseException):
    """Raised in the worker: the parent takes no more values."""


class _Pair:
    """One end of a channel within an interpreter."""

    def __init__(self, incoming: SimpleQueue[Any], outgoing: SimpleQueue[Any]) -> None:
        # Entries are tuples of one value, and None at the end.  They never change; any thread may use them.
        self._incoming = incoming
        self._outgoing = outgoing

    def send(self, value: Any) -> None:
        self._outgoing.put((value,))

    def recv(self) -> Any:
        received = self._incoming.get()
        if received is None:
            raise EOFError
        return received[0]

    def close(self) -> None:
        self._outgoing.put(None)


# The channels of this interpreter, by key.  Entered and removed in one call each: no lock is needed.
_channels: dict[bytes, Channel] = {}


# In the worker.


def perform(fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call *fn*; raise no exception that the parent could not unpickle."""
    try:
        return fn(*args, **kwargs)
    except BaseException as error:
        _check(error, fn)
        raise


def _check(error: BaseException, fn: Any) -> None:
    """Raise a PicklingError if *error*, raised by *fn*, can't be unpickled: a process pool would break."""
    if type(error).__module__ == "builtins" and not error.args:
        return
    import pickle

    try:
        pickle.loads(pickle.dumps(error))
    except Exception as reason:
        text = f"{_name(fn)} raised {error!r}, and that exception can't be pickled and made again: {reason}"
        raise pickle.PicklingError(text) from error


def stream(reply: Reply, fn: Callable[..., Any], args: Any, kwargs: Any) -> tuple[str, Any, list[Any]]:
    """Call *fn*; if it returns an iterator, send each value before the next one is computed."""
    values: list[Any] = []
    connection = None
    try:
        connection = _connect(reply)
        made = fn(*args, **kwargs)
        if not is_iterator(type(made)):
            return ORDINARY, made, []
        take = values.append if connection is None else _sender(connection, fn)
        return RETURNED, exhaust(made, take), values
    except Closed:
        return RETURNED, None, []
    except BaseException as error:
        if reply.address is not None:
            _check(error, fn)
        raise
    finally:
        if connection is not None:
            with suppress(OSError):  # the parent is gone
                connection.send((OVER, None))
            connection.close()


def _sender(connection: Connection, fn: Any) -> Callable[[Any], None]:
    """Return a function that sends a value of *fn* and waits until the parent has taken it."""
    numbers = count()

    def send(value: Any) -> None:
        number = next(numbers)
        try:
            connection.send((ITEM, value))
            go = connection.recv()
        except (EOFError, OSError):  # the parent is gone
            go = CLOSE
        except Exception as error:
            kind = type(value).__qualname__
            error.add_note(f"value {number} of {_name(fn)}, of type {kind!r}, can't be sent")
            raise
        if not go:
            raise Closed

    return send


def _name(fn: Any) -> str:
    return str(getattr(fn, "__qualname__", type(fn).__qualname__))


def exhaust(iterator: Iterator[Any], take: Callable[[Any], object]) -> Any:
    """Call *take* with each value; return the generator's return value.  Close the generator in any case."""
    try:
        while True:
            try:
                value = next(iterator)
            except StopIteration as end:
                return end.value
            take(value)
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()


def _connect(reply: Reply) -> Connection | None:
    """Connect to the channel; return None if it cannot be reached from here.

    Raises:
        Closed: The channel was closed, or another worker had this call before.
    """
    if reply.process == os.getpid():  # a forked process has a copy of the dictionary
        channel = _channels.get(reply.key)
        if channel is not None:
            return channel.pair()
    if reply.address is None:
        return None
    from multiprocessing.connection import Client, answer_challenge, deliver_challenge

    try:
        connection = Client(reply.address)
    except OSError:
        return None
    try:
        answer_challenge(connection, reply.key)
        deliver_challenge(connection, reply.key)
    except (EOFError, OSError):
        raise Closed from None
    return connection


# In the parent.


class Channel:
    """The connection to the worker of one generator task.

    One thread takes the values, and also accepts the connection.

    Args:
        abroad: Whether workers may be in other interpreters and processes.
    """

    def __init__(self, abroad: bool) -> None:
        # Connections within this interpreter; None: the call has ended.  Any thread may put.
        self._inbox: SimpleQueue[Connection | None] = SimpleQueue()
        # Accepts connections of other interpreters and processes, if there may be any.
        self._listener: Any = None
        address, key = None, os.urandom(32)
        if abroad:
            from multiprocessing.connection import Listener

            self._listener = Listener(backlog=64, authkey=key)
            address = self._listener.address
        # The taking thread is in `accept`, or will be; cleared by that thread.
        self._waits = abroad
        self.reply = Reply(os.getpid(), address, key)  # for the worker; never changes
        _channels[key] = self

    def pair(self) -> Connection:
        """Return the worker's end of a connection within this interpreter."""
        there: SimpleQueue[Any] = SimpleQueue()
        back: SimpleQueue[Any] = SimpleQueue()
        self._deliver(_Pair(there, back))
        return _Pair(back, there)

    def _deliver(self, connection: Connection | None) -> None:
        """Let `_accept` return *connection* if it still waits."""
        self._inbox.put(connection)
        while self._waits:  # only a connection ends `accept`
            from multiprocessing.connection import Client

            try:
                Client(self.reply.address).close()
                return
            except OSError:  # no file can be opened
                sleep(RETRY)

    def _accept(self) -> Connection | None:
        """Wait for a worker to connect, and return the connection; None if the call ends before."""
        while self._listener is not None and self._inbox.empty():
            try:
                connection: Connection = self._listener.accept()
            except Exception as error:  # `_deliver` connected; or no file can be opened
                LOGGER.debug("a connection to a channel was closed: %r", error)
                if self._inbox.empty():
                    sleep(RETRY)
            else:
                return connection
        return self._inbox.get()

    def values(self, future: Future[Any]) -> Generator[Any, None, Any]:
        """Yield the values of the call of *future*; return its result.

        Raises:
            Ordinary: The call returned no iterator.
            ConnectionError: The worker is gone, and *future* has not ended.
            BaseException: The exception of *future*.
        """
        future.add_done_callback(lambda _: self._deliver(None))
        connection = None
        patience = None
        try:
            connection = self._accept()
            self._waits = False
            try:
                while connection is not None:
                    try:
                        word, value = connection.recv()
                    except (EOFError, OSError):
                        patience = GRACE
                        break
                    if word == OVER:
                        break
                    yield value
                    value = None
                    with suppress(OSError):  # it is gone: the next `recv` finds that out
                        connection.send(GO)
            except BaseException:  # of `close`, or a value could not be read
                with suppress(OSError):
                    connection.send(CLOSE)  # type: ignore[union-attr]
                if (error := _error_of(future, None)) is not None:
                    raise error from None
                raise
            if (error := _error_of(future, patience)) is not None:
                raise error
            word, returned, values = future.result()
            if word == ORDINARY:
                raise Ordinary(returned)
            yield from values
            return returned
        finally:
            error = None
            del future  # a failure keeps this frame
            self.close(connection)

    def close(self, connection: Connection | None = None) -> None:
        """Close *connection*, and accept no other."""
        self._waits = False
        _channels.pop(self.reply.key, None)
        with suppress(Empty):
            while True:  # workers in this interpreter that got the call once more
                if connection is not None:
                    connection.close()
                connection = self._inbox.get_nowait()
        if self._listener is not None:
            self._listener.close()


def _error_of(future: Future[Any], patience: float | None) -> BaseException | None:
    """Return the exception of *future*, which would keep more frames if it was raised."""
    try:
        return future.exception(patience)
    except CancelledError as error:
        return error
    except TimeoutError:
        text = f"the worker is gone, and {GRACE:.0f} s later its executor has not said why"
        return ConnectionError(text)
