"""Executors: how many workers one has, whether it has ended; and `Engine`, an executor that gets a `Call`.

The state of an executor is read from the attributes that the executors of the standard
library, loky and Dask have.  No method is called.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from concurrent.futures._base import FINISHED
from concurrent.futures.thread import BrokenThreadPool, ThreadPoolExecutor
from typing import Any, ClassVar, NamedTuple

from .._futures.remote_value import Remote


class Call(NamedTuple):
    """A call for an `Engine`: ``fn(*args, **kwargs)``."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]  # futures are replaced by their results, or by what the engine `takes` for these
    kwargs: dict[str, Any]
    name: str  # for display
    options: Mapping[str, Any]  # of this engine's, as given to `Queue.options`


class Engine(Executor):
    """An executor that gets more of a queue's calls than ``submit`` would tell it.

    Its methods are called in any thread, never under a lock of the queue's.  None may block
    for long, except ``next`` on the iterator that `stream` returns.
    """

    #: The names of the options that `Queue.options` may pass on to it.
    options: ClassVar[frozenset[str]] = frozenset()

    #: How many calls it can run at the same time, if it knows.
    max_workers: int | None = None

    #: Whether values stay with the futures that `call` returns, which are `Remote` then.
    #: And such a future may stand for its value in another call.
    remote_values: ClassVar[bool] = False

    #: How many calls more than the queue has slots it wants now.  Read as each call begins and ends.
    prefetch: int = 0

    def takes(self, future: Remote) -> bool:
        """Return whether *future* may stand for its value among the arguments of a call, at any depth."""
        return False

    @abstractmethod
    def call(self, call: Call) -> Future[Any]:
        """Run *call*, and return a future of what it returns.

        Raises:
            BrokenExecutor: It can run nothing any more; nor is it asked again.
            RuntimeError: It was shut down (the message says "shutdown"): as before.
            Exception: This call can't be run; it says why, and which part can't be pickled.
        """

    @abstractmethod
    def stream(self, call: Call) -> Iterator[Any]:
        """Run *call*, a generator task, and return an iterator over its values.

        The iterator is a generator, or like one.  ``next`` blocks until the next value is there;
        the remote generator computes no value before ``next`` asks for one.  StopIteration
        has the return value.  ``close()`` closes the remote generator, and returns when that has
        ended.  A thread of its own drives the iterator, and waits between two values while the
        scheduler is stopped.

        Raises:
            Ordinary: By ``next``: the call gave no iterator but the value in the
                exception's only argument.
        """


def workers_of(executor: Executor) -> int | None:
    """Return how many calls *executor* runs at the same time, or None if it does not tell."""
    for name in ("max_workers", "_max_workers"):
        number = getattr(executor, name, None)
        if isinstance(number, int) and number > 0:
            return number
    return None


def error_of(future: Future[Any]) -> BaseException | None:
    """Return the exception of *future*, which is done; raised here, it would keep our frames."""
    return CancelledError() if future.cancelled() else future.exception()


def outcome_of(future: Future[Any]) -> tuple[Any, BaseException | None]:
    """Return the result and the exception of *future*, which is done."""
    if type(future) is Future and future._state == FINISHED:  # each method would take its lock
        return future._result, future._exception
    error = error_of(future)
    return (None if error is not None else future.result()), error


def gone(executor: Executor) -> BaseException | None:
    """Return the error of *executor* if it says that it is broken or shut down.  No method is called."""
    flags = getattr(executor, "_flags", None)  # loky's
    broken = getattr(executor, "_broken", None) or getattr(flags, "broken", None)
    if isinstance(broken, BaseException):
        return broken
    if broken is True or isinstance(broken, str):
        if isinstance(executor, ThreadPoolExecutor):
            kind: Any = getattr(executor, "BROKEN", BrokenThreadPool)
        else:
            from concurrent.futures.process import BrokenProcessPool as kind
        return kind(str(broken))  # type: ignore[no-any-return]
    for owner, name in ((executor, "_shutdown"), (executor, "_shutdown_thread"), (flags, "shutdown")):
        if getattr(owner, name, False) is True:
            return RuntimeError("cannot schedule new futures after shutdown")
    begun = flags is None or getattr(executor, "_executor_manager_thread", None)
    if not begun and getattr(threading, "_SHUTTING_DOWN", False):
        # loky would start half of its threads now, and hold the exit for ever.
        return RuntimeError("cannot schedule new futures after interpreter shutdown")
    return None


def is_end(error: BaseException) -> bool:
    """Return whether *error*, raised as a call was submitted, says that the executor takes no more."""
    if isinstance(error, BrokenExecutor):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in ("shutdown", "shut down"))
