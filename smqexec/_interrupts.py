"""What may strike our own code anywhere: Ctrl-C, and a recursion that has got too deep."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from signal import SIGINT
from types import TracebackType
from typing import Any

# Those of `signal` make an enum of what they take and give: 3 µs a call on CPython 3.11.
_signal: Any = import_module("_signal")
getsignal, set_handler = _signal.getsignal, _signal.signal

# Frames that our own code may need under the lock, where an error would strike
# between two changes that belong together.  Tried before.
HEADROOM = 30

# The identity of the one thread where Ctrl-C strikes.
STRUCK = {threading.main_thread().ident}

LIMIT = threading.Lock()  # is held while Python's limit of recursion is changed, and guards `_owed`

_owed = 0  # by how much the limit is still to be lowered


def _after_fork() -> None:
    STRUCK.clear()
    STRUCK.add(threading.get_ident())


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows can't fork
    os.register_at_fork(after_in_child=_after_fork)


class uninterrupted:
    """Put Ctrl-C off until the block has ended: for changes that belong together.

    It strikes in the main thread alone.  Cost: 2 µs there, 0.3 µs elsewhere.
    """

    __slots__ = ("_handler", "_struck")

    def __enter__(self) -> uninterrupted:
        self._handler: Any = None
        self._struck: tuple[Any, ...] | None = None
        if threading.current_thread() is threading.main_thread():
            handler = getsignal(SIGINT)
            if callable(handler):
                try:
                    set_handler(SIGINT, self._note)
                except ValueError:  # a subinterpreter, where no signal strikes
                    return self
                self._handler = handler
        return self

    @contextmanager
    def lifted(self) -> Generator[None]:
        """Let Ctrl-C strike within this inner block, also one that was put off until now."""
        handler = self._handler
        if handler is None:
            yield
            return
        set_handler(SIGINT, handler)
        try:
            struck, self._struck = self._struck, None
            if struck is not None:
                handler(*struck)
            yield
        finally:
            set_handler(SIGINT, self._note)

    def _note(self, *args: Any) -> None:
        self._struck = args

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        handler, self._handler = self._handler, None
        if handler is not None:
            set_handler(SIGINT, handler)
            if self._struck is not None:
                handler(*self._struck)


def headroom(frames: int = HEADROOM) -> None:
    """Raise RecursionError here, where nothing has been changed, if so many *frames* are too many."""
    if frames:
        headroom(frames - 1)
    elif _owed:
        make_room(0)


def make_room(frames: int) -> None:
    """Change Python's limit of recursion by so many *frames*.

    It can't be lowered below the depth of the caller, and is then the next time.
    """
    global _owed
    with LIMIT:
        owed = _owed - frames
        try:
            sys.setrecursionlimit(sys.getrecursionlimit() - owed)
            _owed = 0
        except RecursionError:
            _owed = owed
