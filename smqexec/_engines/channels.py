"""Generator tasks at executors: a channel brings each value while the generator runs.

The executor's worker calls `stream` in place of the generator function.  `stream` connects to the channel,
sends each value, and waits for the answer before the generator computes the next value.  In this process a
thread, the *receiver*, iterates over `Channel.values`.  So a stop or a cancellation acts between two values.

A message of the worker is a tuple of one value, or None after the last value.  The answer is GO or CLOSE.
The states of a channel::

    waiting --> connected --> ended        a worker connects; the call's future is done
    waiting --> ended                      the call ends before its worker has connected

All methods of a channel are called by the receiver, but for `Channel.finish`, which any thread may call.

A `LocalChannel` passes values within one interpreter through queues, as the same objects.  To other
interpreters and processes it is a ``multiprocessing.connection``: the channel listens at an address, and the
worker proves that it knows the secret of the channel, which came with the call.  If the worker cannot connect
(from another machine, for example), the call returns all values at its end.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import CancelledError, Future
from concurrent.futures._base import FINISHED
from contextlib import suppress
from itertools import count
from queue import Empty, SimpleQueue
from time import sleep
from typing import Any, NamedTuple, Protocol, TypeAlias

from .._calls.callables import is_iterator, name_of
from .._calls.frames import ours

# Seconds that the executor may take to end the future of a call whose worker is gone.
GRACE = 10.0
# Seconds until the next try to connect, or to accept a connection, after an error: no file could be opened.
RETRY = 0.01

# A result, and an exception or None.
Outcome: TypeAlias = tuple[Any, BaseException | None]

# The answers of the receiver: compute the next value; close the generator.
GO, CLOSE = True, False


class Connection(Protocol):
    """One end of a channel.  If the other end is gone, all methods may raise EOFError or OSError."""

    def send(self, message: Any, /) -> None: ...
    def recv(self) -> Any: ...
    def close(self) -> None: ...


class Address(Protocol):
    """How the worker finds its channel.  It is an argument of `stream`, so it can be pickled."""

    def connect(self) -> Connection | None:
        """Connect to the channel; return None if the channel cannot be reached from here.

        Raises:
            BegunAnew: Another worker has had this call.
        """
        ...


class Ordinary(Exception):
    """Raised by `Channel.values`: the call returned no iterator, but the value in the only argument."""


class BegunAnew(RuntimeError):
    """The executor has made the call of a generator task twice."""

    def __init__(self) -> None:
        super().__init__(
            "the executor has begun a generator task again, after its worker was lost or had failed; "
            "a generator task can't be repeated, as its values are out"
        )


class Closed(BaseException):
    """Raised in the worker: the receiver has closed the generator."""


# In the worker.


def perform(fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call *fn*; raise no exception that can't be unpickled, since a pool of processes would break."""
    try:
        return fn(*args, **kwargs)
    except BaseException as error:
        if type(error).__module__ != "builtins" or error.args:
            import pickle

            try:
                pickle.loads(pickle.dumps(error))
            except Exception as reason:
                text = f"the call raised {error!r}, and that can't be pickled and made again: {reason}"
                raise pickle.PicklingError(text) from error
        raise


def stream(address: Address, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> tuple[bool, Any]:
    """Call *fn*; if it returns an iterator, send each value before the next one is computed.

    Return False and the result if that is no iterator; else True and the list of the values not sent.
    """
    connection = None
    unsent: list[Any] = []
    try:
        connection = address.connect()
        made = fn(*args, **kwargs)
        if not is_iterator(type(made)):
            return False, made
        _exhaust(made, unsent.append if connection is None else _sender(connection, name_of(fn)))
    except Closed:
        pass
    finally:
        if connection is not None:
            with suppress(OSError):  # the receiver is gone
                connection.send(None)
            connection.close()
    return True, unsent


def _exhaust(iterator: Iterator[Any], take: Callable[[Any], object]) -> None:
    """Call *take* with each value of *iterator*; close it in any case."""
    try:
        while True:
            try:
                value = next(iterator)
            except StopIteration:
                return
            take(value)
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()


def _sender(connection: Connection, name: str) -> Callable[[Any], None]:
    """Return a function that sends a value of the function *name*, and waits for the answer."""
    numbers = count()

    def send(value: Any) -> None:
        number = next(numbers)
        try:
            connection.send((value,))
        except Exception as error:  # also an OSError may be of the value, as it is pickled
            kind = type(value).__qualname__
            error.add_note(f"value {number} of {name}, of type {kind!r}, can't be sent")
            raise
        try:
            answer = connection.recv()
        except (EOFError, OSError):  # the receiver is gone
            answer = CLOSE
        if answer != GO:
            raise Closed

    return send


# In this process.


def error_of(future: Future[Any]) -> BaseException | None:
    """Return the exception of the done *future*; to raise it here would keep frames of ours."""
    return CancelledError() if future.cancelled() else future.exception()


def outcome_of(future: Future[Any]) -> Outcome:
    """Return the result and the exception of the done *future*."""
    if type(future) is Future and future._state == FINISHED:  # each method would take its lock
        return future._result, future._exception
    error = error_of(future)
    return (None if error is not None else future.result()), error


class Channel:
    """The connection to the worker of one generator task."""

    #: Where the worker finds this channel.  Never changes.
    address: Any

    def __init__(self) -> None:
        # The call's future is put here when it is done, by any thread; `_outcome` takes it.
        self._done: SimpleQueue[Future[Any]] = SimpleQueue()
        # The same future, once the receiver has read its outcome; written by the receiver.
        self.future: Future[Any] | None = None

    @abstractmethod
    def accept(self) -> Connection | None:
        """Return the connection of the worker, as soon as it connects; None if the call ends before."""

    def finish(self, future: Future[Any]) -> None:
        """Record that *future*, that of the call, is done."""
        self._done.put(future)

    @abstractmethod
    def close(self, connection: Connection | None = None) -> None:
        """Accept no more connections, and close *connection*."""

    @ours
    def values(self) -> Generator[Any]:
        """Yield the values of the call.

        Raises:
            BegunAnew: The executor has made the call twice.
            Ordinary: The call returned no iterator.
            ConnectionError: The worker is gone, and the executor has not ended the future.
            BaseException: The exception of the future.
        """
        connection = grace = None
        try:
            connection = self.accept()
            try:
                while connection is not None:
                    try:
                        message = connection.recv()
                    except (EOFError, OSError):  # the worker is gone, or the call has ended
                        grace = GRACE
                        break
                    if message is None:
                        break
                    yield message[0]
                    with suppress(OSError):  # the worker is gone: the next `recv` raises
                        connection.send(GO)
            except BaseException:  # the receiver closes this generator, or a value can't be unpickled
                with suppress(OSError):
                    connection.send(CLOSE)  # type: ignore[union-attr]
                _, error = self._outcome(None)
                if error is not None:  # of the generator, as it was closed
                    raise error from error.__cause__
                raise
            outcome, error = self._outcome(grace)
            if error is not None:
                raise error
            iterates, value = outcome
            if not iterates:
                raise Ordinary(value)
            if connection is not None and value:  # a second worker could not connect
                raise BegunAnew
            yield from value
        finally:
            error = None  # no cycle: the traceback of the exception may keep this frame
            self.close(connection)

    def _outcome(self, grace: float | None) -> Outcome:
        """Wait for the end of the call, at most *grace* seconds; return its result and its exception."""
        try:
            future = self._done.get(timeout=grace)
        except Empty:
            text = f"the worker is gone, and {GRACE:.0f} s later its executor has not said why"
            return None, ConnectionError(text)
        outcome = outcome_of(future)
        self.future = future
        return outcome


# The local channels of this interpreter that wait for a worker, by key.  Each access is one atomic operation.
_channels: dict[bytes, LocalChannel] = {}


class LocalAddress(NamedTuple):
    """The address of a `LocalChannel`."""

    process: int  # the identifier of the channel's process
    address: Any  # the address of its listener; None: all workers are threads of its interpreter
    key: bytes  # its secret, and its name within its interpreter

    def connect(self) -> Connection | None:
        if self.process == os.getpid():  # a forked process has a copy of the dictionary
            channel = _channels.pop(self.key, None)
            if channel is not None:
                return channel.connect_here()
            if self.address is None:
                raise BegunAnew
        if self.address is None:
            return None
        from multiprocessing.connection import Client, answer_challenge, deliver_challenge

        try:
            connection = Client(self.address)
        except OSError:
            return None
        try:
            answer_challenge(connection, self.key)
            deliver_challenge(connection, self.key)
        except (EOFError, OSError):
            raise BegunAnew from None
        return connection


class _End:
    """One end of a connection within an interpreter."""

    def __init__(self, incoming: SimpleQueue[Any], outgoing: SimpleQueue[Any]) -> None:
        # Messages as tuples of one; an empty tuple: the other end is closed.  Neither queue is replaced, and
        # any thread may use them.
        self._incoming = incoming
        self._outgoing = outgoing

    def send(self, message: Any) -> None:
        self._outgoing.put((message,))

    def recv(self) -> Any:
        received = self._incoming.get()
        if not received:
            raise EOFError
        return received[0]

    def close(self) -> None:
        self._outgoing.put(())


class LocalChannel(Channel):
    """A channel to a thread, another interpreter, or another process of this machine.

    Args:
        listens: Whether workers may be in other interpreters and processes.
    """

    def __init__(self, listens: bool) -> None:
        super().__init__()
        # Connections within this interpreter; None: the call has ended.  Any thread puts, the receiver takes.
        self._inbox: SimpleQueue[Connection | None] = SimpleQueue()
        # Accepts the connections of other interpreters and processes, if there may be any.  Never changes.
        self._listener: Any = None
        address, key = None, os.urandom(32)
        if listens:
            from multiprocessing.connection import Listener

            self._listener = Listener(backlog=64, authkey=key)
            address = self._listener.address
        # The receiver is in `Listener.accept`, or will be.  Cleared by the receiver, read by any thread.
        self._listening = listens
        self.address = LocalAddress(os.getpid(), address, key)
        _channels[key] = self

    def connect_here(self) -> Connection:
        """Return the worker's end of a connection within this interpreter.  Called once, by any thread."""
        there: SimpleQueue[Any] = SimpleQueue()
        back: SimpleQueue[Any] = SimpleQueue()
        self._deliver(_End(there, back))
        return _End(back, there)

    def finish(self, future: Future[Any]) -> None:
        super().finish(future)
        self._deliver(None)

    def _deliver(self, connection: Connection | None) -> None:
        """Let `accept` return *connection*, unless it has returned before."""
        self._inbox.put(connection)
        while self._listening:  # only another connection ends `Listener.accept`
            from multiprocessing.connection import Client

            try:
                Client(self.address.address).close()
                return
            except OSError:  # no file can be opened
                sleep(RETRY)

    def accept(self) -> Connection | None:
        try:
            while self._listener is not None and self._inbox.empty():
                try:
                    return self._listener.accept()  # type: ignore[no-any-return]
                except Exception:  # the connection of `_deliver`, or of a stranger; or no file can be opened
                    if self._inbox.empty():
                        sleep(RETRY)
            return self._inbox.get()
        finally:
            self.close()  # only one worker may connect

    def close(self, connection: Connection | None = None) -> None:
        self._listening = False
        _channels.pop(self.address.key, None)
        if connection is not None:
            connection.close()
        if self._listener is not None:
            self._listener.close()
