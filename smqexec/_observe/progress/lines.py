"""Progress as lines of text; and the thread that updates any display."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ..drawing import printable
from .statistics import Statistics

LOGGER = logging.getLogger("smqexec")

INTERVAL = 10.0  # seconds between two lines

# The thread rests for so many times as long as an update took: it has a twentieth of a core at most.
REST = 19


class TextLines:
    """Progress in a file, after what is *unsaid*."""

    def __init__(self, statistics: Statistics, file: Any, unsaid: list[str]) -> None:
        self._statistics = statistics
        self._file = file
        if unsaid:
            attempt(partial(self._print, unsaid[0]))
            unsaid.clear()
        self._ticker = Ticker(self._write, INTERVAL)

    def _write(self) -> None:
        parts = []
        for reading in self._statistics.read():
            words = [*reading.states().values(), reading.pace(), reading.remaining()]
            parts.append(", ".join([f"{printable(reading.name)} {reading.counts()}", *filter(None, words)]))
        if self._statistics.stopped:
            parts.append("stopped")
        self._print(f"smqexec, {self._statistics.elapsed()}: {'; '.join(parts) or 'no tasks'}\n")

    def _print(self, text: str) -> None:
        if self._file is None:  # a program without a console
            return
        encoding = getattr(self._file, "encoding", None) or "utf-8"
        self._file.write(text.encode(encoding, "backslashreplace").decode(encoding))
        self._file.flush()

    def close(self) -> None:
        if self._ticker.close():
            attempt(self._write)


class Ticker:
    """Call *update* after *interval* seconds each, or more, until it is closed, or *update* has raised."""

    def __init__(self, update: Callable[[], object], interval: float) -> None:
        self._update = update
        self._interval = interval
        self._closed = threading.Event()
        self._works = True  # no update has raised
        self._thread = threading.Thread(target=self._run, name="smqexec-progress", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        pause = self._interval
        while self._works and not self._closed.wait(pause):
            began = time.thread_time()
            self._works = attempt(self._update)
            pause = max(self._interval, REST * (time.thread_time() - began))

    def close(self) -> bool:
        """End the thread, and wait for that; return whether all updates worked."""
        self._closed.set()
        self._thread.join()
        return self._works


def attempt(call: Callable[[], object]) -> bool:
    """Make *call*; return False, and log a warning, if it raises."""
    try:
        call()
    except Exception:
        LOGGER.warning("progress can't be shown any more", exc_info=True)
        return False
    return True
