"""Ctrl-C, and other calls that interrupt our own code anywhere.

Python calls a signal's handler in the main thread between two bytecodes, and a
finalizer in any thread.  Both may call us while their own thread is in the middle
of a change, and Ctrl-C raises KeyboardInterrupt there.  So:

- `uninterrupted` puts Ctrl-C off while changes are made that belong together;
- `unmasked` calls what is the user's within such a block, where Ctrl-C strikes as ever;
- `DEFERRED` keeps the calls of handlers and finalizers that have interrupted the
  holder of a scheduler's lock, until their thread has released it: see ``_exclusive``.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from signal import SIGINT
from threading import get_ident
from types import TracebackType
from typing import Any, TypeVar

from .frames import ours

R = TypeVar("R")

# Those of `signal` make an enum of what they take and give: 3 µs a call on CPython 3.11.
_signal: Any = import_module("_signal")
getsignal, set_handler = _signal.getsignal, _signal.signal

LOGGER = logging.getLogger("smqexec")

# Frames that our own code may need under the lock.  Tried before anything is changed.
HEADROOM = 30

# By how many frames Python's limit is raised for nested tasks, and to withdraw a task at its end.
FRAMES = 100

# The identity of the one thread where Ctrl-C strikes.
STRUCK = {threading.main_thread().ident}

# By thread, the calls that it has to make once it holds no scheduler's lock any more.
# A thread reads and changes its own entry alone.
DEFERRED: dict[int, list[Callable[[], object]]] = {}

LIMIT = threading.Lock()  # is held while Python's limit of recursion is changed, and guards `_owed`

_owed = 0  # by how much the limit is still to be lowered

_masking: uninterrupted | None = None  # the block that puts Ctrl-C off.  The main thread's alone.


def _after_fork() -> None:
    STRUCK.clear()
    STRUCK.add(get_ident())
    DEFERRED.clear()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows can't fork
    os.register_at_fork(after_in_child=_after_fork)


class uninterrupted:
    """Put Ctrl-C off until the block has ended: for changes that belong together.

    It strikes in the main thread alone.  A block within a block does nothing.
    Cost: 2 µs in the main thread, 0.3 µs elsewhere.
    """

    __slots__ = ("_handler", "_raised", "_struck")

    def __enter__(self) -> uninterrupted:
        self._handler: Any = None  # the handler of Ctrl-C, while it is ours
        self._struck: tuple[Any, ...] | None = None  # its arguments, once Ctrl-C was pressed
        self._raised: BaseException | None = None  # see `keeps`
        if get_ident() in STRUCK and _masking is None:
            self._mask()
        return self

    def _mask(self) -> None:
        global _masking
        self._handler = None
        handler = getsignal(SIGINT)
        if callable(handler):
            try:
                set_handler(SIGINT, self._note)
            except ValueError:  # a subinterpreter, where no signal strikes
                return
            self._handler = handler
            _masking = self

    def _note(self, *args: Any) -> None:
        self._struck = args

    @ours
    def lifted(self, call: Callable[..., R], args: Any, kwargs: Any, at_once: bool) -> R:
        """Make *call* with Ctrl-C as it was; with *at_once* one that was put off strikes before."""
        global _masking
        handler = self._handler
        _masking = None
        set_handler(SIGINT, handler)
        try:
            if at_once:
                self._strike(handler)
            return call(*args, **kwargs)
        finally:
            del call, args, kwargs  # a failure keeps this frame
            self._mask()  # by the handler that is there now: *call* may have set another

    def keeps(self, error: BaseException) -> bool:
        """Tell whether *error*, of a call of the user's, is Ctrl-C; the block raises it at its end."""
        struck = isinstance(error, KeyboardInterrupt) and get_ident() in STRUCK
        if struck:
            self._raised = error
        return struck

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        global _masking
        handler = None
        if _masking is self:  # else Ctrl-C has struck just as a lifted call ended, and is on its way
            handler = self._handler
            _masking = None
            set_handler(SIGINT, handler)
        self._strike(handler)

    def _strike(self, handler: Any) -> None:
        """Let strike what was put off; *handler* is that of Ctrl-C."""
        raised, self._raised = self._raised, None
        struck, self._struck = self._struck, None
        try:
            if raised is not None:
                raise raised
            if handler is not None and struck is not None:
                handler(*struck)
        finally:
            del raised  # no cycle with the exception


@ours
def unmasked(call: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
    """Make *call*, which is the user's: there Ctrl-C strikes, also within an `uninterrupted` block."""
    masking = _masking if get_ident() in STRUCK else None
    try:
        return call(*args, **kwargs) if masking is None else masking.lifted(call, args, kwargs, False)
    finally:
        del call, args, kwargs  # a failure keeps this frame


@ours
def interruptible(call: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
    """Do what `unmasked` does; Ctrl-C that was put off until now strikes first."""
    masking = _masking if get_ident() in STRUCK else None
    try:
        return call(*args, **kwargs) if masking is None else masking.lifted(call, args, kwargs, True)
    finally:
        del call, args, kwargs  # a failure keeps this frame


def make_room(frames: int) -> None:
    """Change Python's limit of recursion by so many *frames*.

    It can't be lowered below the depth of the caller, and is then the next time.
    """
    global _owed
    with uninterrupted(), LIMIT:
        owed = _owed - frames
        try:
            sys.setrecursionlimit(sys.getrecursionlimit() - owed)
            _owed = 0
        except RecursionError:
            _owed = owed


def elsewhere(call: Callable[..., object], args: tuple[Any, ...]) -> None:
    """Make *call* in a thread of its own, which has a whole stack, and where no Ctrl-C strikes.

    For `_thread.start_new_thread`: to make a `Thread` takes more stack than the caller may have left.
    """
    try:
        threading.Thread(target=call, args=args, name="smqexec-elsewhere", daemon=False).start()
    except RuntimeError:  # the process has as many threads as it may have
        call(*args)


def kept(error: BaseException) -> bool:
    """Do what `uninterrupted.keeps` does for the block that the main thread is in, if it is in one."""
    return _masking is not None and _masking.keeps(error)


def headroom(frames: int = HEADROOM) -> None:
    """Raise RecursionError here, where nothing has been changed, if so many *frames* are too many."""
    if frames:
        headroom(frames - 1)
    elif _owed:
        make_room(0)


def call_deferred() -> None:
    """Make the calls that were put off in this thread, which has released a scheduler's lock.

    Where it still has that of another, calls to that one are put off once more.
    """
    with uninterrupted() as guard:
        for call in DEFERRED.pop(get_ident(), ()):
            try:
                unmasked(call)
            except BaseException as error:  # a callback, say; the others are still to be made
                if not guard.keeps(error):
                    LOGGER.exception("exception in what a signal handler or a finalizer asked for")
