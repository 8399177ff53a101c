"""A thread that shows progress again and again; and progress as lines of text."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from ..text import printable, write
from .statistics import Statistics

LOGGER = logging.getLogger("smqexec")

INTERVAL = 10.0  # seconds between two lines

# The thread rests for so many times as long as an update took: it uses a twentieth of a core at most.
REST = 19


class Display:
    """Calls *update* in a thread every *interval* seconds, or less often if that takes long.

    The thread ends when the display is closed, or when *update* has raised; the display is then
    broken.  `close` calls *finish*, by default *update* once more.
    """

    def __init__(
        self, update: Callable[[], object], interval: float, finish: Callable[[], object] | None = None
    ) -> None:
        self._update = update
        self._interval = interval
        self._finish = finish or update
        self._closed = threading.Event()
        self._broken = False
        self._thread = threading.Thread(target=self._run, name="smqexec-progress", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        pause = self._interval
        while not (self._broken or self._closed.wait(pause)):
            began = time.thread_time()
            self._attempt(self._update)
            pause = max(self._interval, REST * (time.thread_time() - began))

    def _attempt(self, call: Callable[[], object]) -> None:
        """Call *call*.  Log a warning if it raises, the first time."""
        try:
            call()
        except Exception:
            if not self._broken:
                LOGGER.warning("progress can't be shown any more", exc_info=True)
            self._broken = True

    def close(self) -> None:
        """End the thread, and show the end."""
        self._closed.set()
        self._thread.join()
        self._attempt(self._finish)


def show_lines(statistics: Statistics, file: Any, advice: str) -> Display:
    """Write a line about *statistics* to *file* now and then, the first one after *advice*."""

    def update() -> None:
        nonlocal advice
        if file is not None:  # else this program has no standard error
            write(advice + line(statistics), file)
            advice = ""

    return Display(update, INTERVAL)


def line(statistics: Statistics) -> str:
    """Return the progress of all queues in a line."""
    parts = []
    for reading in statistics.read():
        words = [*reading.states().values(), reading.pace(), reading.remaining()]
        parts.append(", ".join([f"{printable(reading.name)} {reading.counts()}", *filter(None, words)]))
    if statistics.stopped:
        parts.append("stopped")
    return f"smqexec, {statistics.elapsed()}: {'; '.join(parts) or 'no tasks'}\n"


def is_terminal(file: Any) -> bool:
    """Return whether *file* is a terminal that can move its cursor."""
    try:
        return bool(file.isatty()) and os.environ.get("TERM") not in ("dumb", "unknown")
    except Exception:  # None, closed, or without such a method
        return False
