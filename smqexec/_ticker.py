"""A thread that does something now and then, and fails without harm."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

LOGGER = logging.getLogger("smqexec")


class Ticker:
    """Make *call* every *interval* seconds until it is closed, or that has raised."""

    def __init__(self, call: Callable[[], object], interval: float) -> None:
        self._call = call
        self._interval = interval
        self._closed = threading.Event()
        self.works = True  # it has never raised
        self._thread = threading.Thread(target=self._run, name="smqexec-progress", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while self.works and not self._closed.wait(self._interval):
            self.works = attempt(self._call)

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
