"""Generator tasks on executors: each has a connection, which brings values as they are yielded.

The worker calls `stream` in place of the generator function: it sends each value and
waits for the word to go on.  In this process `Line.values` is an iterator over them; a
thread drives it (see ``engine``).  So stop and cancel act between two values, as on
threads, and the generator never computes a value that nobody has asked for.

Within one interpreter the values go through queues, as the same objects.  Otherwise they
go through a ``multiprocessing.connection``: the line listens at an address of its own, and
a worker that connects proves that it knows the line's secret, which travels with the call.
A worker that cannot connect (on another machine, say) sends all values at the end.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import sleep
from typing import Any, NamedTuple, Protocol

from .._calls.callables import is_iterator

LOGGER = logging.getLogger("smqexec")

# Seconds that the future of a worker that is gone may take to say so.
GRACE = 10.0
# Seconds after which it is tried again to connect, or to accept a connection: no file could be opened.
RETRY = 0.01

# What the worker sends, with a value: an item; the end, and the future says how the call ended.
ITEM, OVER = "item", "over"
# What the worker receives after each item: compute the next one; close the generator.
GO, CLOSE = True, False
# How a call over a line ended: (word, what it returned, values that were not sent).
RETURNED, ORDINARY = "returned", "ordinary"


class Connection(Protocol):
    """One end of a line."""

    def send(self, value: Any, /) -> None: ...
    def recv(self) -> Any: ...
    def close(self) -> None: ...


class Reply(NamedTuple):
    """What a worker needs to connect to its line."""

    process: int
    address: Any  # None if all workers are in this interpreter
    key: bytes  # the line's secret, and its name within this interpreter


class Ordinary(Exception):
    """Raised by a line: the call returned no iterator, but the value in the only argument."""


class _Pair:
    """One end of a line within an interpreter."""

    def __init__(self, incoming: SimpleQueue[Any], outgoing: SimpleQueue[Any]) -> None:
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


# The lines of this interpreter, by key.  Entered and taken out in one call each: no lock is needed.
_lines: dict[bytes, Line] = {}


# In the worker.


def perform(fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call *fn*; raise no exception that the parent could not unpickle."""
    try:
        return fn(*args, **kwargs)
    except BaseException as error:
        _check(error, fn)
        raise


def _check(error: BaseException, fn: Any) -> None:
    """Check that *error*, which *fn* raised, can be pickled and unpickled: else a pool of processes breaks.

    Raises:
        PicklingError: It can't; to be raised in its place.
    """
    if type(error).__module__ == "builtins" and not error.args:
        return
    import pickle

    try:
        pickle.loads(pickle.dumps(error))
    except Exception as reason:
        name = getattr(fn, "__qualname__", type(fn).__qualname__)
        text = f"{name} raised {error!r}, and that exception can't be pickled and made again: {reason}"
        raise pickle.PicklingError(text) from error


def stream(reply: Reply, fn: Callable[..., Any], args: Any, kwargs: Any) -> tuple[str, Any, list[Any]]:
    """Call *fn*; if it returns an iterator, send each value before the next one is computed."""
    try:
        return _stream(reply, fn, args, kwargs)
    except BaseException as error:
        if reply.address is not None:
            _check(error, fn)
        raise


def _stream(reply: Reply, fn: Callable[..., Any], args: Any, kwargs: Any) -> tuple[str, Any, list[Any]]:
    values: list[Any] = []
    connection = None
    try:
        connection = _connect(reply)
        made = fn(*args, **kwargs)
        if not is_iterator(type(made)):
            return ORDINARY, made, []
        take = values.append if connection is None else _Sender(connection, fn)
        return RETURNED, exhaust(made, take), values
    except Closed:
        return RETURNED, None, []
    finally:
        if connection is not None:
            with suppress(OSError):  # the parent is gone
                connection.send((OVER, None))
            connection.close()


class Closed(BaseException):
    """Raised in the worker: the parent takes no more values."""


class _Sender:
    """Send values over a connection, each when the parent has taken the one before."""

    def __init__(self, connection: Connection, fn: Any) -> None:
        self._connection = connection
        self._name = getattr(fn, "__qualname__", type(fn).__qualname__)
        self._count = 0

    def __call__(self, value: Any) -> None:
        try:
            self._connection.send((ITEM, value))
            go = self._connection.recv()
        except (EOFError, OSError):  # the parent is gone
            go = CLOSE
        except Exception as error:
            kind = type(value).__qualname__
            error.add_note(f"value {self._count} of {self._name}, of type {kind!r}, can't be sent")
            raise
        if not go:
            raise Closed
        self._count += 1


def exhaust(iterator: Iterator[Any], take: Callable[[Any], object]) -> Any:
    """Call *take* with each value; return what the generator returned.  It is closed in any case."""
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
    """Connect to the line; return None if it cannot be reached from here.

    Raises:
        Closed: It was closed meanwhile.
    """
    if reply.process == os.getpid():  # a forked process has a copy of the dictionary
        line = _lines.get(reply.key)
        if line is not None:
            return line.pair()
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
    except (EOFError, OSError):  # another worker had this call before
        raise Closed from None
    return connection


# In the parent.


class Line:
    """The line to the worker of one generator task.

    One thread takes the values: it also accepts the worker's connection.

    Args:
        abroad: Whether workers may be in other interpreters and processes.
    """

    def __init__(self, abroad: bool) -> None:
        # Connections within this interpreter; None: the call has ended.
        self._inbox: SimpleQueue[Connection | None] = SimpleQueue()
        self._listener: Any = None
        address, key = None, os.urandom(32)
        if abroad:
            from multiprocessing.connection import Listener

            self._listener = Listener(backlog=64, authkey=key)
            address = self._listener.address
        self._waits = abroad  # the thread that takes the values is in `accept`, or will be
        self.reply = Reply(os.getpid(), address, key)
        _lines[key] = self

    def pair(self) -> Connection:
        """Return the worker's end of a connection within this interpreter."""
        there: SimpleQueue[Any] = SimpleQueue()
        back: SimpleQueue[Any] = SimpleQueue()
        self._deliver(_Pair(there, back))
        return _Pair(back, there)

    def _deliver(self, connection: Connection | None) -> None:
        """Have `_accept` return *connection*, if it still waits."""
        self._inbox.put(connection)
        while self._waits:  # in `accept`, which ends when somebody connects
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
                LOGGER.debug("a connection to a line was closed: %r", error)
                if self._inbox.empty():
                    sleep(RETRY)
            else:
                return connection
        return self._inbox.get()

    def values(self, future: Future[Any]) -> Generator[Any, None, Any]:
        """Yield the values of the call of *future*; return what it returned.

        Raises:
            Ordinary: It returned no iterator.
            ConnectionError: The worker is gone, and *future* does not say why.
            BaseException: What *future* failed with.
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
            except BaseException:  # of `close`, or what reading a value raised
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
        """Expect no worker any more."""
        self._waits = False
        _lines.pop(self.reply.key, None)
        with suppress(Empty):
            while True:  # of workers in this interpreter that were given the call once more
                if connection is not None:
                    connection.close()
                connection = self._inbox.get_nowait()
        if self._listener is not None:
            self._listener.close()


def _error_of(future: Future[Any], patience: float | None) -> BaseException | None:
    """Return what *future* failed with: raised, the error would keep more frames."""
    try:
        return future.exception(patience)
    except CancelledError as error:
        return error
    except TimeoutError:
        text = f"the worker is gone, and {GRACE:.0f} s later its executor has not said why"
        return ConnectionError(text)
