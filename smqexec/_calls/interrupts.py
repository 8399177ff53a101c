"""Signal handlers and finalizers, which interrupt our own code at any point; above all Ctrl-C.

Python calls signal handlers in the main thread, between two bytecodes, and finalizers in any thread, perhaps
in the middle of a change.  The handler of Ctrl-C raises there.  So an `uninterrupted` block masks Ctrl-C
during changes that belong together, and `unmasked` calls user code in such a block.

In the main thread Ctrl-C is either *open* (`_block` is None) or *masked* by the one block `_block`; blocks
inside that block change nothing.  `_block`, the fields of blocks and Python's signal handlers belong to the
main thread: no other thread writes them.
"""

import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from signal import SIGINT
from threading import get_ident
from typing import Any, TypeVar

R = TypeVar("R")

# The functions of `signal` convert arguments and results to enums: 3 µs a call on CPython 3.11.
_signal: Any = import_module("_signal")
getsignal, set_handler = _signal.getsignal, _signal.signal

LOGGER = logging.getLogger("smqexec")

# The identifier of the main thread, the only thread that Ctrl-C interrupts.  A set, as other modules import
# the name, and a fork changes the identifier.
MAIN = {threading.main_thread().ident}

# For each thread, the calls of handlers and finalizers that interrupted our own code there.  The thread makes
# them when it has released the scheduler's lock: see ``_core/exclusive``.  It uses no entry but its own.
DEFERRED: dict[int, list[Callable[[], object]]] = {}

# By how many frames Python's recursion limit is still to be lowered.  `LIMIT` guards this and that limit.
_owed = 0
LIMIT = threading.Lock()


def _after_fork() -> None:
    """Make the one thread of the child process the main thread."""
    MAIN.clear()
    MAIN.add(get_ident())
    DEFERRED.clear()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows can't fork
    os.register_at_fork(after_in_child=_after_fork)


class uninterrupted:
    """Mask Ctrl-C in the main thread until the end of the block.  Cost: 1 µs there, 0.2 µs elsewhere."""

    # `_handler`: the handler of Ctrl-C that this block replaces.  `_pressed`: the arguments of its masked
    # call, or the KeyboardInterrupt that `keep` recorded, or None.
    __slots__ = ("_handler", "_pressed")

    def __enter__(self) -> None:
        if get_ident() in MAIN and _block is None:
            self._pressed: Any = None
            self._mask()

    def _mask(self) -> None:
        """Replace the handler of Ctrl-C, if it is a Python function, with `_note`."""
        global _block
        handler = getsignal(SIGINT)
        if callable(handler):
            try:
                set_handler(SIGINT, self._note)
            except ValueError:  # in a subinterpreter, which no signal interrupts
                return
            self._handler: Any = handler
            _block = self

    def _note(self, *args: Any) -> None:
        """Record a masked Ctrl-C: the handler while this block masks."""
        self._pressed = self._pressed or args

    def __exit__(self, *_: object) -> None:
        if _block is self:
            self._unmask(True)

    def _unmask(self, at_once: bool) -> None:
        """Restore the handler of Ctrl-C; if *at_once*, raise or handle what was recorded."""
        global _block
        _block = None
        set_handler(SIGINT, self._handler)
        if at_once:
            pressed, self._pressed = self._pressed, None
            try:
                if isinstance(pressed, BaseException):
                    raise pressed
                if pressed is not None:
                    self._handler(*pressed)
            finally:
                del pressed  # no cycle: the traceback of the exception keeps this frame


_block: uninterrupted | None = None


def unmasked(call: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
    """Call *call*, user code, with Ctrl-C as it is outside of all `uninterrupted` blocks."""
    return _lifted(False, call, args, kwargs)


def interruptible(call: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
    """Do what `unmasked` does, but first handle a Ctrl-C that was masked until now."""
    return _lifted(True, call, args, kwargs)


def _lifted(at_once: bool, call: Callable[..., R], args: Any, kwargs: Any) -> R:
    block = _block
    if block is None or get_ident() not in MAIN:
        return call(*args, **kwargs)
    try:
        try:
            block._unmask(at_once)
            return call(*args, **kwargs)
        finally:
            block._mask()  # replaces the present handler: *call* may have set another
    except BaseException:
        if _block is None:  # Ctrl-C came after the call, before `_mask` had replaced the handler
            block._mask()
        raise


def keep(error: BaseException) -> bool:
    """Return True if *error*, raised by user code, is Ctrl-C: the masking block raises it at its end."""
    if _block is None or get_ident() not in MAIN or not isinstance(error, KeyboardInterrupt):
        return False
    _block._pressed = error
    return True


def call_deferred() -> None:
    """Make the deferred calls of this thread, which has released a scheduler's lock."""
    with uninterrupted():
        for call in DEFERRED.pop(get_ident(), ()):
            try:
                unmasked(call)
            except BaseException as error:  # a callback may raise it; the other calls are still made
                if not keep(error):
                    LOGGER.exception("exception in a deferred call of a signal handler or a finalizer")


def make_room(frames: int) -> None:
    """Raise Python's recursion limit by *frames*, or lower it if that is negative.

    Python refuses a limit below the depth of the caller.  The next call then lowers it by the rest.
    """
    global _owed
    with uninterrupted(), LIMIT:
        _owed -= frames
        with suppress(RecursionError):
            sys.setrecursionlimit(sys.getrecursionlimit() - _owed)
            _owed = 0


def elsewhere(call: Callable[..., object], args: tuple[Any, ...]) -> None:  # pragma: no cover - not traced
    """Call *call* in a new thread; called by `start_new_thread`, as there may be no stack for a `Thread`."""
    try:
        threading.Thread(target=call, args=args, name="smqexec-elsewhere", daemon=False).start()
    except RuntimeError:  # the process may have no more threads
        call(*args)


def headroom(frames: int = 30) -> None:
    """Raise RecursionError now, before a change begins, unless *frames* more frames, of ours, are allowed."""
    if frames:
        headroom(frames - 1)
    elif _owed:  # the limit is still to be lowered, and now it may succeed
        make_room(0)
