"""Signal handlers and finalizers, which interrupt our own code at any point; above all Ctrl-C.

Python calls signal handlers in the main thread, between two bytecodes, and finalizers in any thread, perhaps
in the middle of a change.  A handler may raise there, as that of Ctrl-C does.  So an `uninterrupted` block
masks all handlers during changes that belong together, and `unmasked` calls user code in such a block.

In the main thread handlers are either *open* (`_block` is None) or *masked* by the one block `_block`; blocks
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
from itertools import compress
from signal import valid_signals
from threading import get_ident
from typing import Any, TypeVar

R = TypeVar("R")

# The functions of `signal` convert arguments and results to enums: 3 µs a call on CPython 3.11.
_signal: Any = import_module("_signal")
getsignal, set_handler = _signal.getsignal, _signal.signal

# The signals whose handlers are masked: all but real-time signals, as to look at one costs 30 ns.
SIGNALS = [int(number) for number in valid_signals() if number < 32]

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
    if _block is not None:  # of the parent's main thread: it does not end in the child
        _block._unmask(False)


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows can't fork
    os.register_at_fork(after_in_child=_after_fork)


class uninterrupted:
    """Mask signal handlers in the main thread until the block's end.  Cost: 2 µs there, 0.2 µs elsewhere."""

    # `_handlers`: the handlers that this block replaces, by the numbers of their signals.  `_struck`: by the
    # number of each masked signal, the frame that it struck; by 0, the KeyboardInterrupt of `keep`.
    __slots__ = ("_handlers", "_struck")

    def __enter__(self) -> Any:
        if get_ident() in MAIN and _block is None:
            self._struck: dict[int, Any] = {}
            self._mask()

    def _mask(self) -> None:
        """Replace all handlers that are Python functions with `_note`."""
        global _block
        self._handlers: dict[int, Any] = {}
        try:
            for number in compress(SIGNALS, map(callable, map(getsignal, SIGNALS))):
                self._handlers[number] = getsignal(number)
                set_handler(number, self._note)
            _block = self
        except BaseException as error:
            if type(error) is ValueError and error.__traceback__.tb_next is None:  # type: ignore[union-attr]
                return  # of `set_handler` itself: in a subinterpreter, which no signal interrupts
            self._unmask(True)  # a handler raised before it was replaced
            raise

    def _note(self, number: int, frame: Any) -> None:
        """Record a masked signal: the handler while this block masks."""
        self._struck.setdefault(number, frame)

    def __exit__(self, *_: object) -> None:
        if _block is self:
            self._unmask(True)

    def _unmask(self, at_once: bool) -> None:
        """Restore the handlers; if *at_once*, call those of masked signals, or raise what `keep` recorded."""
        global _block
        _block = None
        try:
            for number, handler in self._handlers.items():
                set_handler(number, handler)
            self._handlers = {}
            while at_once and self._struck:  # the first one last: it replaces what others raise
                number = [*self._struck][-1]
                if number == 0:
                    raise self._struck.pop(0)
                handler, frame = getsignal(number), self._struck.pop(number)
                if callable(handler):
                    handler(number, frame)
        except BaseException:  # of one of them: others are still to be restored, and called
            self._unmask(at_once)
            raise


_block: uninterrupted | None = None


def unmasked(call: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
    """Call *call*, user code, with handlers as they are outside of all `uninterrupted` blocks."""
    return _lifted(False, call, args, kwargs)


def interruptible(call: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
    """Do what `unmasked` does, but first handle signals that were masked until now."""
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
            block._mask()  # replaces the present handlers: *call* may have set others
    finally:
        if _block is None:  # a signal came after the call, before `_mask` had replaced its handler
            block._mask()


def keep(error: BaseException) -> bool:
    """Return True if *error*, raised by user code, is Ctrl-C: the masking block raises it at its end."""
    if _block is None or get_ident() not in MAIN or not isinstance(error, KeyboardInterrupt):
        return False
    _block._struck[0] = error
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
