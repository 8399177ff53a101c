"""A thread that does something now and then, and fails without harm."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

LOGGER = logging.getLogger("smqexec")

# It rests for so many times as long as a call has computed: it has a twentieth of a core at most.
REST = 19


class Ticker:
    """Make *call* after *interval* seconds each, or more, until it is closed, or that has raised."""

    def __init__(self, call: Callable[[], object], interval: float) -> None:
        self._call = call
        self._interval = interval
        self._closed = threading.Event()
        self.works = True  # it has never raised
        self._thread = threading.Thread(target=self._run, name="smqexec-progress", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        pause = self._interval
        while self.works and not self._closed.wait(pause):
            began = time.thread_time()
            self.works = attempt(self._call)
            pause = max(self._interval, REST * (time.thread_time() - began))

    def close(self) -> None:
        """End the thread, and wait for that."""
        self._closed.set()
        self._thread.join()


def attempt(call: Callable[[], object]) -> bool:
    """Make *call*; False, and a warning is logged, if it raises."""
    try:
        call()
    except Exception:
        LOGGER.warning("progress can't be shown any more", exc_info=True)
        return False
    return True
