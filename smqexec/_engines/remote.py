"""Generator tasks on executors: each has a connection, which brings values as they are yielded.

The worker calls `stream` in place of the generator function: it sends each value and
waits for the word to go on.  In this process `Line.values` is an iterator over them; a
thread drives it (see ``engine``).  So stop and cancel act between two values, as on
threads, and the generator never computes a value that nobody has asked for.

Within one interpreter the values go through queues, as the same objects.  Otherwise they
go through a ``multiprocessing.connection``.  This process has one listener, as long as
there is a line.  A worker that connects proves that it knows the listener's secret, which
travels with the call.  A worker that cannot connect (on another machine, say) sends all
values at the end.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import Any, NamedTuple, Protocol

from .._calls.callables import is_iterator

LOGGER = logging.getLogger("smqexec")

# Seconds that the future of a worker that is gone may take to say so.
GRACE = 10.0
# Seconds that a worker may take to authenticate itself, and to name its line.
HANDSHAKE = 10.0
# Seconds after which the listener tries again where a connection could not be accepted.
RETRY = 0.01

# What the worker sends, with a value: an item; the end, and the future says how the call ended.
ITEM, OVER = "item", "over"
# What the worker receives after each item: compute the next one; close the generator.
GO, CLOSE = True, False
# How a call over a line ended: (word, what it returned, values that were not sent).
RETURNED, ORDINARY, WHOLE = "returned", "ordinary", "whole"


class Connection(Protocol):
    """One end of a line."""

    def send(self, value: Any, /) -> None: ...
    def recv(self) -> Any: ...
    def close(self) -> None: ...


class Reply(NamedTuple):
    """What a worker needs to connect to its line."""

    process: int
    token: bytes  # names the line
    address: Any  # of the listener; None where all workers are in this interpreter
    key: bytes  # the listener's secret


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


# The lines of this process, by token.  Entered and taken out in one call each: no lock is needed.
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
    made = fn(*args, **kwargs)
    if not is_iterator(type(made)):
        return ORDINARY, made, []
    connection = _connect(reply)
    if connection is None:
        values: list[Any] = []
        return WHOLE, _exhaust(made, values.append), values
    try:
        return RETURNED, _exhaust(made, _Sender(connection, fn)), []
    except _Closed:
        return RETURNED, None, []
    finally:
        with suppress(OSError):  # the parent is gone
            connection.send((OVER, None))
        connection.close()


class _Closed(BaseException):
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
            raise _Closed
        self._count += 1


def _exhaust(iterator: Iterator[Any], take: Callable[[Any], object]) -> Any:
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
    if reply.process == os.getpid():  # a forked process has a copy of the dictionary
        line = _lines.get(reply.token)
        if line is not None:
            return line.pair()
    if reply.address is None:
        return None
    from multiprocessing.connection import Client

    try:
        connection = Client(reply.address, authkey=reply.key)
        connection.send_bytes(reply.token)
    except (OSError, EOFError):
        return None
    return connection


# In the parent.


class Line:
    """The line to the worker of one generator task.

    Args:
        abroad: Whether workers may be in other interpreters and processes.
    """

    def __init__(self, abroad: bool) -> None:
        # A connection; or None: the call ended.
        self._inbox: SimpleQueue[Connection | None] = SimpleQueue()
        self._abroad = abroad
        token = os.urandom(16)
        address, key = _door.enter() if abroad else (None, b"")
        self.reply = Reply(os.getpid(), token, address, key)
        _lines[token] = self

    def pair(self) -> Connection:
        """The worker's end of a connection within this interpreter."""
        there: SimpleQueue[Any] = SimpleQueue()
        back: SimpleQueue[Any] = SimpleQueue()
        self.connected(_Pair(there, back))
        return _Pair(back, there)

    def connected(self, connection: Connection) -> None:
        """Take the parent's end of a connection."""
        self._inbox.put(connection)

    def values(self, future: Future[Any]) -> Generator[Any, None, Any]:
        """Yield the values of the call of *future*; return what it returned.

        Raises:
            Ordinary: It returned no iterator.
            ConnectionError: The worker is gone, and *future* does not say why.
            BaseException: What *future* failed with.
        """
        future.add_done_callback(lambda _: self._inbox.put(None))
        connection = None
        patience = None
        try:
            connection = self._inbox.get()
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
        _lines.pop(self.reply.token, None)
        with suppress(Empty):
            while True:  # of workers that were given the call once more
                if connection is not None:
                    connection.close()
                connection = self._inbox.get_nowait()
        if self._abroad:
            _door.leave()


def _error_of(future: Future[Any], patience: float | None) -> BaseException | None:
    """Return what *future* failed with: raised, the error would keep more frames."""
    try:
        return future.exception(patience)
    except CancelledError as error:
        return error
    except TimeoutError:
        text = f"the worker is gone, and {GRACE:.0f} s later its executor has not said why"
        return ConnectionError(text)


class _Timed:
    """A connection whose messages must arrive before a deadline, for the functions that authenticate it.

    Args:
        connection: Not authenticated yet.
        seconds: Until the deadline.
    """

    def __init__(self, connection: Any, seconds: float) -> None:
        self._connection = connection
        self._end = monotonic() + seconds
        self.send_bytes = connection.send_bytes

    def recv_bytes(self, maxlength: int) -> bytes:
        """As the connection's own.

        Raises:
            TimeoutError: No message arrived before the deadline.
        """
        if not self._connection.poll(max(self._end - monotonic(), 0)):
            raise TimeoutError("no message arrived in time")
        return self._connection.recv_bytes(maxlength)  # type: ignore[no-any-return]


class _Door:
    """Where workers connect: a listener in a thread of its own, as long as a line expects a worker.

    That thread accepts connections and reads from none of them: each is authenticated in a
    thread of its own, so a worker that stalls in the middle of it delays no other.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards what follows
        self._users = 0
        self._key = b""
        self._listener: Any = None
        self._thread: threading.Thread | None = None

    def enter(self) -> tuple[Any, bytes]:
        """Expect a worker; return the address to which it connects, and the secret."""
        with self._lock:
            if self._thread is None:
                from multiprocessing.connection import Listener

                self._key = os.urandom(32)
                self._listener = Listener(backlog=64)  # without the secret: `accept` would authenticate
                call = (self._listener, self._key)
                listen = threading.Thread(
                    target=self._listen, args=call, name="smqexec-listener", daemon=True
                )
                try:
                    listen.start()
                except BaseException:
                    self._listener.close()
                    raise
                self._thread = listen
            self._users += 1
            return self._listener.address, self._key

    def leave(self) -> None:
        """Expect that worker no more."""
        with self._lock:
            self._users -= 1
            address = None if self._users else self._listener.address
        if address is not None:
            from multiprocessing.connection import Client

            # The listener looks at `_users` after each connection.
            with suppress(OSError):  # no file can be opened: it listens on, until the next connection
                Client(address).close()

    def _listen(self, listener: Any, key: bytes) -> None:
        """Accept connections as long as a line expects a worker."""
        while True:
            try:
                connection = listener.accept()
            except OSError:  # no file can be opened, perhaps
                sleep(RETRY)
                continue
            with self._lock:
                if not self._users:
                    self._thread = None
                    connection.close()
                    listener.close()
                    return
            try:
                threading.Thread(
                    target=_authenticate, args=(connection, key), name="smqexec-handshake", daemon=True
                ).start()
            except RuntimeError:  # no thread can be started: the worker sends all values at the end
                connection.close()


def _authenticate(connection: Any, key: bytes) -> None:
    """Give *connection* to the line that its worker names, if the worker knows the secret; else close it."""
    from multiprocessing.connection import answer_challenge, deliver_challenge

    timed: Any = _Timed(connection, HANDSHAKE)
    line = None
    try:
        deliver_challenge(timed, key)
        answer_challenge(timed, key)
        line = _lines.get(timed.recv_bytes(64))
    except Exception as error:  # anything may have connected
        LOGGER.debug("a connection to the listener was closed: %r", error)
    if line is not None:
        line.connected(connection)
    else:
        connection.close()


_door = _Door()


def _after_fork() -> None:
    global _door
    _door = _Door()  # the listener's thread is the parent's
    _lines.clear()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows can't fork
    os.register_at_fork(after_in_child=_after_fork)
