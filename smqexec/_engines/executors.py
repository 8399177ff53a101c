"""`Engine`: how a queue uses its executor.

The state of an executor is read from its attributes: those of the standard library's executors, loky's and
`DaskExecutor`.  Of its methods, only ``submit`` is called.
"""

import pickle
import re
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future
from concurrent.futures.thread import BrokenThreadPool, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from traceback import walk_tb
from typing import Any, ClassVar, NamedTuple

from .._calls.callables import name_of
from .._calls.frames import traceback_of
from .._futures.remote_value import Remote
from .._workers.pools import submitting
from .receivers import Address, Receiver, local_address, perform


class Call(NamedTuple):
    """A call for an `Engine`: ``fn(*args, **kwargs)``."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]  # futures are replaced by their results, or are `Remote` that the engine `takes`
    kwargs: dict[str, Any]
    name: str  # for display
    options: Mapping[str, Any]  # the engine's own, as given to `Queue.options`


class Engine(Executor):
    """What gives a queue's calls to its executor.  This class gives them to any executor, by ``submit``.

    A subclass is an executor itself, and gets more of a call than ``submit`` passes on.  Methods are called
    in any thread, never under the scheduler's lock.  None may block for long.
    """

    #: The names of the options that `Queue.options` may pass on to the engine.
    options: ClassVar[frozenset[str]] = frozenset()
    #: How many calls the engine can run at the same time; None if it does not know.
    max_workers: int | None = None
    #: Whether `call` returns `Remote`, which keep their values, and may stand for these in another call.
    remote_values: ClassVar[bool] = False
    #: How many calls more than the queue has slots the engine wants now.  Read as each call begins and ends.
    prefetch: int = 0
    # Calls are made in threads of this interpreter, or in processes or interpreters of a pool.
    _in_threads = _in_processes = False

    def __init__(self, executor: Executor) -> None:
        # Constant, as are all fields.
        self._executor = executor
        # Pools of the standard library, and loky's.
        names = {base.__name__ for base in type(executor).__mro__}
        self._in_processes = not names.isdisjoint(("ProcessPoolExecutor", "InterpreterPoolExecutor"))
        self._in_threads = isinstance(executor, ThreadPoolExecutor) and not self._in_processes

    def takes(self, future: Remote) -> bool:
        """Return True if *future* may stand for its value among the arguments of a call, at any depth."""
        return False

    def call(self, call: Call) -> Future[Any]:
        """Run *call*, and return its future.  If this raises what `is_end` accepts, no call follows."""
        fn: Any
        fn, args, kwargs, *_ = call
        try:
            if self._in_processes:  # they break if a call raises an exception that can't be unpickled
                fn, args, kwargs = perform, (fn, args, kwargs), {}
            elif not kwargs.keys().isdisjoint(("self", "fn")):  # parameters of some executors' `submit`
                fn, kwargs = partial(fn, **kwargs), {}
            return self._executor.submit(fn, *args, **kwargs)
        finally:
            del call, fn, args, kwargs, _  # a failure keeps this frame

    def address(self, receiver: Receiver, options: Mapping[str, Any]) -> Address:
        """Return the address at which `stream`, in a call with *options*, finds *receiver*; may raise."""
        return local_address(receiver)

    def ended(self) -> BaseException | None:
        """Return the error of the engine if it has ended."""
        return end_of(self._executor)

    def submitting(self) -> bool:
        """Return True if the calling thread is in `call`, and holds a lock there."""
        return (self._in_threads or self._in_processes) and submitting(type(self._executor))

    def explain(self, error: BaseException, fn: Any, args: Any, kwargs: Any) -> BaseException:
        """Return *error*, with which a call has failed; or an error that says why it can't be pickled."""
        # To pickle the parts before each call would do the work twice.
        if self._in_threads or not _is_of_pickling(error):
            return error
        from multiprocessing.reduction import ForkingPickler

        kind = type(self._executor)
        pickler: Any = ForkingPickler
        if not kind.__module__.startswith("concurrent.futures"):  # loky and others
            names = ("cloudpickle", "joblib.externals.cloudpickle")
            pickler = next((sys.modules[name] for name in names if name in sys.modules), pickler)
        part = refused_part(fn, args, kwargs, pickler.dumps)
        if part is None:
            return error
        explained = pickle.PicklingError(f"{name_of(fn)} can't be sent to {kind.__name__}: {part}")
        explained.__cause__ = error
        return explained


def _is_of_pickling(error: BaseException) -> bool:
    """Return True if *error* names pickling, or a module that pickles has raised it."""
    words = [type(error).__name__]
    with suppress(Exception):  # of the user's own class
        words.append(str(error))
    for frame, _ in walk_tb(traceback_of(error)):
        words.append(str(frame.f_globals.get("__name__")))
    return re.search("pickl|serializ|multiprocessing.reduction", " ".join(words), re.IGNORECASE) is not None


def refused_part(
    fn: Any, args: Iterable[Any], kwargs: Mapping[str, Any], dumps: Callable[[Any], object]
) -> str | None:
    """Return which part of a call *dumps* can't pickle, and why; None if it can pickle each part."""
    parts = [("it", fn)]
    for name, value in [*enumerate(args, 1), *kwargs.items()]:
        parts.append((f"its argument {name!r}, of type {type(value).__qualname__!r},", value))
    for part, value in parts:
        try:
            dumps(value)
        except Exception as error:
            return f"{part} can't be pickled: {str(error) or type(error).__name__}"
    return None


def end_of(executor: Executor) -> BaseException | None:
    """Return the error of *executor* if it says that it is broken or shut down."""
    flags = getattr(executor, "_flags", None)  # loky's
    broken = getattr(executor, "_broken", None) or getattr(flags, "broken", None)
    if isinstance(broken, BaseException):
        return broken
    if broken is True or isinstance(broken, str):
        if isinstance(executor, ThreadPoolExecutor):
            kind: Any = BrokenThreadPool
        else:
            from concurrent.futures.process import BrokenProcessPool as kind
        return kind(str(broken))  # type: ignore[no-any-return]
    shut = [getattr(executor, name, False) for name in ("_shutdown", "_shutdown_thread")]
    if True in (*shut, getattr(flags, "shutdown", False)):
        return RuntimeError("cannot schedule new futures after shutdown")
    begun = flags is None or getattr(executor, "_executor_manager_thread", None)
    if not begun and getattr(threading, "_SHUTTING_DOWN", False):
        # loky would start half of its threads now, and block the exit for ever.
        return RuntimeError("cannot schedule new futures after interpreter shutdown")
    return None


def is_end(error: BaseException) -> bool:
    """Return True if *error*, raised by ``submit``, says that the executor takes no more calls."""
    shut = isinstance(error, RuntimeError) and re.search("shut ?down", str(error))
    return isinstance(error, BrokenExecutor) or bool(shut)
