"""Ctrl-C, and other calls that interrupt our own code anywhere.

Python calls a signal's handler in the main thread between two bytecodes, and a finalizer in any
thread.  Both may call us in the middle of a change of their own thread, and Ctrl-C raises
KeyboardInterrupt there.  So:

- `uninterrupted` masks Ctrl-C while changes are made that belong together;
- `unmasked` makes a call of the user's within such a block, with Ctrl-C as it was before;
- `DEFERRED` keeps the calls of handlers and finalizers that interrupted the holder of a scheduler's
  lock, until that thread has released the lock: see ``_core/exclusive``.

`_block`, `uninterrupted` blocks that mask, and Python's handlers of signals belong to the main thread:
no other thread reads or writes them.
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

# The identity of the main thread, the only one that Ctrl-C interrupts.
MAIN = {threading.main_thread().ident}

# By thread, the calls to make once that thread holds no scheduler's lock.  A thread reads and changes its
# own entry alone.
DEFERRED: dict[int, list[Callable[[], object]]] = {}

LIMIT = threading.Lock()  # is held while Python's limit of recursion is changed, and guards `_owed`

_owed = 0  # by how much the limit is still to be lowered

_block: uninterrupted | None = None  # the block that masks Ctrl-C


def _after_fork() -> None:
    MAIN.clear()
    MAIN.add(get_ident())
    DEFERRED.clear()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows can't fork
    os.register_at_fork(after_in_child=_after_fork)


class uninterrupted:
    """Mask Ctrl-C until the block has ended: for changes that belong together.

    Only in the main thread; a block within a block does nothing.
    Cost: 0.6 µs in the main thread, 0.2 µs elsewhere.
    """

    __slots__ = ("_error", "_handler", "_pressed")

    def __enter__(self) -> uninterrupted:
        self._handler: Any = None  # the handler of Ctrl-C, while this block replaces it
        self._pressed: tuple[Any, ...] | None = None  # the handler's arguments, once Ctrl-C was pressed
        self._error: BaseException | None = None  # what `keeps` was told of
        if get_ident() in MAIN and _block is None:
            self._mask()
        return self

    def _mask(self) -> None:
        global _block
        self._handler = None
        handler = getsignal(SIGINT)
        if callable(handler):
            try:
                set_handler(SIGINT, self._note)
            except ValueError:  # a subinterpreter, which no signal interrupts
                return
            self._handler = handler
            _block = self

    def _note(self, *args: Any) -> None:
        self._pressed = args

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Another block masks, or none: Ctrl-C was raised just as a lifted call ended, before `_mask`.
        handler = self._unmask() if _block is self else None
        self._interrupt(handler)

    def _unmask(self) -> Any:
        """Give Ctrl-C its handler again, and return that."""
        global _block
        _block = None
        set_handler(SIGINT, self._handler)
        return self._handler

    def _interrupt(self, handler: Any) -> None:
        """Raise the interrupt that was kept, or let *handler* handle the one that was masked, if any."""
        error, self._error = self._error, None
        pressed, self._pressed = self._pressed, None
        try:
            if error is not None:
                raise error
            if handler is not None and pressed is not None:
                handler(*pressed)
        finally:
            del error  # no cycle with the exception

    @ours
    def lifted(self, call: Callable[..., R], args: Any, kwargs: Any, at_once: bool) -> R:
        """Make *call* unmasked; with *at_once* an interrupt that was masked comes before."""
        handler = self._unmask()
        try:
            if at_once:
                self._interrupt(handler)
            return call(*args, **kwargs)
        finally:
            del call, args, kwargs  # a failure keeps this frame
            self._mask()  # by the handler that is there now: *call* may have set another

    def keeps(self, error: BaseException) -> bool:
        """Return True if *error*, of a call of the user's, is Ctrl-C; the block raises it at its end."""
        interrupts = isinstance(error, KeyboardInterrupt) and get_ident() in MAIN
        if interrupts:
            self._error = error
        return interrupts


@ours
def unmasked(call: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
    """Make *call*, which is the user's, with Ctrl-C as it was outside of all `uninterrupted` blocks."""
    block = _block if get_ident() in MAIN else None
    try:
        return call(*args, **kwargs) if block is None else block.lifted(call, args, kwargs, False)
    finally:
        del call, args, kwargs  # a failure keeps this frame


@ours
def interruptible(call: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
    """Do what `unmasked` does; an interrupt that was masked until now comes first."""
    block = _block if get_ident() in MAIN else None
    try:
        return call(*args, **kwargs) if block is None else block.lifted(call, args, kwargs, True)
    finally:
        del call, args, kwargs  # a failure keeps this frame


def kept(error: BaseException) -> bool:
    """Do what `uninterrupted.keeps` does for the block that masks in the main thread, if there is one."""
    return _block is not None and _block.keeps(error)


def call_deferred() -> None:
    """Make the deferred calls of this thread, which has released a scheduler's lock.

    Where it still has that of another, calls to that one are deferred once more.
    """
    with uninterrupted() as guard:
        for call in DEFERRED.pop(get_ident(), ()):
            try:
                unmasked(call)
            except BaseException as error:  # a callback, say; the others are still to be made
                if not guard.keeps(error):
                    LOGGER.exception("exception in what a signal handler or a finalizer asked for")


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
    """Make *call* in a thread of its own, which has a whole stack, and which Ctrl-C does not interrupt.

    For `_thread.start_new_thread`: to make a `Thread` takes more stack than the caller may have left.
    """
    try:
        threading.Thread(target=call, args=args, name="smqexec-elsewhere", daemon=False).start()
    except RuntimeError:  # the process has as many threads as it may have
        call(*args)


def headroom(frames: int = HEADROOM) -> None:
    """Raise RecursionError here, where nothing has been changed, if so many *frames* are too many."""
    if frames:
        headroom(frames - 1)
    elif _owed:
        make_room(0)
