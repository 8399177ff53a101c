"""What interrupts who holds the lock: it can't wait for that, so another thread does what it asks for.

A signal's handler, that is, or a finalizer.  They run in the middle of any code,
ours too, which goes on only when they have ended.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from ._allocating import Allocating

# How long, in seconds, who may have interrupted its own thread tries to get the lock.  Few calls
# hold it for so long (to cancel a million tasks takes a second or two), and none for LONG.
PATIENCE, LONG = 0.2, 5.0

LOGGER = logging.getLogger("smqexec")


class Later(Allocating):
    """A scheduler that handlers and finalizers may call."""

    def __init__(self, order: str, stopped: bool) -> None:
        super().__init__(order, stopped)
        # By thread, what it could not do, as it may hold the lock itself.
        self._put_off: dict[int, deque[Callable[[], object]]] = {}

    def _acquire_or_later(self, call: Callable[..., object], *args: Any) -> bool:
        """Take the lock; False, and make *call* in another thread, if the calling thread may have it.

        For what a signal's handler may do, or a finalizer, which have perhaps
        interrupted the very thread that holds the lock.  They may do so thousands
        of times (cancel all that is pending, say), while everybody waits: each time
        that a call is put off the next one waits half as long, and all are made in
        one thread.
        """
        if self.lock.acquire(timeout=self._patience(PATIENCE)):
            return True
        self._make_later(call, *args)
        return False

    def _free_or_later(self, call: Callable[..., object], *args: Any, relied_on: bool = False) -> bool:
        """Tell whether the calling thread may wait for the lock; else make *call* in another, as above.

        For where Ctrl-C may strike: the lock is to be taken by ``with`` then.
        With *relied_on* it is tried for long.
        """
        if self.lock.locked() and not self._comes_free(self._patience(LONG if relied_on else PATIENCE)):
            self._make_later(call, *args)
            return False
        return True

    def _patience(self, seconds: float) -> float:
        """How long the calling thread tries, which has put off some calls already."""
        return seconds * 0.5 ** len(self._put_off.get(threading.get_ident(), ()))

    def _comes_free(self, seconds: float) -> bool:
        """Whether the lock is free at some moment of so many *seconds*; not where this thread has it."""
        end = time.monotonic() + seconds
        pause = 0.0
        while self.lock.locked():
            if time.monotonic() >= end:
                return False
            time.sleep(pause)
            pause = min(pause + 1e-5, 1e-3)
        return True

    def _make_later(self, call: Callable[..., object], *args: Any) -> None:
        here = threading.get_ident()
        calls = self._put_off.get(here)
        if calls is None:
            calls = self._put_off[here] = deque([partial(call, *args)])
            try:
                threading.Thread(target=self._make_put_off, args=(here, calls)).start()
            except BaseException:  # that thread may be at work nevertheless
                self._put_off.pop(here, None)
                raise
        else:
            calls.append(partial(call, *args))
            if self._put_off.get(here) is not calls:  # that thread may not have seen it
                _make_all(calls)

    def _make_put_off(self, thread: int, calls: deque[Callable[[], object]]) -> None:
        with self.lock:  # that *thread* has let go of
            if self._put_off.get(thread) is calls:  # else who started this one was struck
                del self._put_off[thread]
        _make_all(calls)


def _make_all(calls: deque[Callable[[], object]]) -> None:
    while True:
        try:
            call = calls.popleft()
        except IndexError:  # not looked up before: another thread takes of them too
            return
        try:
            call()
        except BaseException:  # a callback that is called at once; the others are still to be made
            LOGGER.exception("exception in what a signal handler or a finalizer asked for")
