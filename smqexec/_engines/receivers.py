"""Generator tasks at executors: each value comes to this process while the generator runs.

The executor's worker calls `stream` in place of the generator function.  `stream` gives each value to the
`Receiver` of the task, which publishes it.  The generator computes the next value when `Receiver.take` has
returned True, else it is closed: so a stop or a cancellation acts between two values.  The call of a closed
generator returns: its executor must not try it again.  When the call is done, all values are published.

A worker in this interpreter calls the receiver itself.  Others connect to this process, which listens once
such a call was pickled; both ends prove that they know the secret that came with the call.  If a worker
cannot connect (from another machine, for example), the call returns all values at its end.
"""

import os
import pickle
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from time import sleep
from typing import Any, NamedTuple, Protocol
from weakref import WeakValueDictionary

from .._calls.callables import is_iterator
from .._calls.frames import strip_ours
from .._calls.interrupts import uninterrupted
from .._core.queue_state import Worker

BEGUN_ANEW = (
    "the executor has begun a generator task again, after its worker was lost or had failed; "
    "a generator task can't be repeated, as its values are out"
)


class Address(Protocol):
    """How a worker finds the receiver: an argument of `stream`, so it can be pickled."""

    def connect(self) -> "Receiver | RemoteReceiver | None": ...


# In the worker.


def perform(fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call *fn*; raise no exception that can't be unpickled, since a pool of processes would break."""
    try:
        return fn(*args, **kwargs)
    except BaseException as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception as reason:
            text = f"the call raised {error!r}, and that can't be pickled and made again: {reason}"
            raise pickle.PicklingError(text) from error
        raise


def stream(address: Address, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> tuple[bool, Any]:
    """Call *fn*; if it returns an iterator, give each value to the receiver before the next is computed.

    Return False and the result of *fn* if it is no iterator; else True and the list of the unsent values.
    """
    receiver = address.connect()
    unsent: list[Any] = []
    try:
        made = fn(*args, **kwargs)
        if not is_iterator(type(made)):
            return False, made
        try:
            for value in made:
                if receiver is None:
                    unsent.append(value)
                elif not receiver.take(value):
                    break
        finally:
            close = getattr(made, "close", None)
            if close is not None:
                close()
    finally:
        if isinstance(receiver, RemoteReceiver):
            receiver.connection.close()
    return True, unsent


class RemoteReceiver:
    """Stands for the receiver in a worker of another interpreter, process or machine."""

    def __init__(self, connection: Any) -> None:
        # A ``multiprocessing.connection.Connection``, or the like; constant.
        self.connection = connection
        # How many values were sent; written by the worker.
        self._sent = 0

    def take(self, value: Any) -> bool:
        """Send *value*; return what `Receiver.take` has returned."""
        try:
            self.connection.send(value)
        except Exception as error:
            error.add_note(f"value {self._sent}, of type {type(value).__qualname__!r}, can't be sent")
            raise
        self._sent += 1
        return self.connection.recv()  # type: ignore[no-any-return]


# In this process.


class Receiver:
    """Publishes the values of the generator task that *worker* has.  One thread calls it at a time."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker  # constant
        #: The task; None once the call's future is done, as the executor may keep the future, and a cancelled
        #: call may go on for a while.
        self.task: Any = worker.task
        # Why the generator was closed.  Written by `take`.
        self._error: BaseException | None = None
        #: Called when the call's future is done.  Set by the engine.
        self.on_end: Callable[[], object] = lambda: None

    def end(self) -> None:
        """Take no more values: the call's future is done."""
        self.task = None
        self.on_end()

    def take(self, value: Any, load: Callable[[Any], Any] | None = None) -> bool:
        """Publish *value*, or ``load(value)``; return True when the generator may go on, else False."""
        task = self.task
        if task is None:
            return False
        try:
            with uninterrupted():
                self._publish(value if load is None else load(value))
            # Not masked: Ctrl-C ends a pause, if the executor makes calls in `submit`.
            self._worker.queue.scheduler.waiting.checkpoint(task)
        except BaseException as error:
            strip_ours(error)
            self._error = error
            if load is None and not isinstance(error, Exception):
                raise
        return self._error is None

    def serve(self, connection: Any) -> None:
        """Take the values that come through *connection*, until the worker is gone."""
        with suppress(EOFError, OSError):
            while True:
                connection.send(self.take(connection.recv_bytes(), pickle.loads))

    def _publish(self, value: Any) -> None:
        self._worker.queue.scheduler.streams.publish(self._worker, self.task, self.task._stream, value)

    def result(self, iterates: bool, value: Any) -> Any:
        """Return the result of the task, whose call of `stream` has returned *iterates* and *value*."""
        if not iterates:
            return value
        if self._error is not None:
            raise self._error
        if value and self.task._stream.values:  # the executor has made the call twice
            raise RuntimeError(BEGUN_ANEW)
        for each in value:
            self._publish(each)
        return self._worker.queue.scheduler.streams.close_stream(self.task)


# By key: the receivers of this interpreter to which no worker has connected.
_receivers: WeakValueDictionary[bytes, Receiver] = WeakValueDictionary()


class LocalAddress(NamedTuple):
    """The address of a receiver for workers on the same machine."""

    process: int  # the identifier of the receiver's process
    key: bytes  # the receiver's, in its interpreter
    listener: tuple[Any, bytes] | None = None  # what `listen` returned; None: this was never pickled

    def __reduce__(self) -> Any:
        # An interpreter whose calls stay within it needs no thread, socket and file.
        return LocalAddress, (self.process, self.key, self.listener or listen(self.process))

    def connect(self) -> Receiver | RemoteReceiver | None:
        """Return the receiver, or None; raise a RuntimeError if another worker has had this call."""
        # A forked process has a copy of the dictionary.
        receiver = _receivers.pop(self.key, None) if self.process == os.getpid() else None
        if receiver is not None:
            return receiver
        if self.listener is not None:
            from multiprocessing.connection import Client

            try:
                connection = Client(self.listener[0], authkey=self.listener[1])
                connection.send(self.key)
                if connection.recv():
                    return RemoteReceiver(connection)
            except (EOFError, OSError):
                return None
        raise RuntimeError(BEGUN_ANEW)


def local_address(receiver: Receiver) -> LocalAddress:
    address = LocalAddress(os.getpid(), os.urandom(16))
    _receivers[address.key] = receiver
    return address


@cache
def listen(process: int) -> tuple[Any, bytes]:
    """Let workers connect to this interpreter of *process* from now on; return the address and the secret."""
    from multiprocessing.connection import Listener

    listener, secret = Listener(backlog=64), os.urandom(32)
    threading.Thread(target=_accept, args=(listener, secret), name="smqexec-values", daemon=True).start()
    return listener.address, secret


def _accept(listener: Any, secret: bytes) -> None:
    """Accept all connections, each in a thread of its own."""
    while True:
        try:
            connection = listener.accept()
            threading.Thread(target=_welcome, args=(connection, secret), daemon=True).start()
        except (OSError, RuntimeError):  # no file can be opened, or no thread started
            connection = None  # this closes it, and its worker goes on alone
            sleep(0.01)


def _welcome(connection: Any, secret: bytes) -> None:
    """Find the receiver for the worker at the other end of *connection*, and serve the worker."""
    from multiprocessing import AuthenticationError
    from multiprocessing.connection import answer_challenge, deliver_challenge

    with suppress(AuthenticationError, EOFError, OSError), connection:
        deliver_challenge(connection, secret)
        answer_challenge(connection, secret)
        receiver = _receivers.pop(connection.recv(), None)
        connection.send(receiver is not None)
        if receiver is not None:
            receiver.serve(connection)
