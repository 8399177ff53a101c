"""Progress: how far a scheduler is, shown while a block runs.

A thread reads the counts now and then (see ``_meter``), so that tasks cost what they
ever do.  Where a person looks, ``_bars`` shows bars, if ``rich`` is installed; any other
place gets a line now and then.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from .._queue import Queue
from .._scheduler import Scheduler
from .drawing import printable
from .statistics import Meter
from .ticker import Ticker, attempt

if TYPE_CHECKING:
    from typing import Self

# Seconds between two lines in a file.
INTERVAL = 10.0

# What is still to be said, once in a process: two threads at the same time may say it twice.
_unsaid = ["smqexec: bars in place of these lines need rich: pip install 'smqexec[progress]'\n"]


class progress:
    """Show how far *scheduler* is, as long as the block of a ``with`` lasts.

    ::

        with smqexec.progress(scheduler):
            ...

    For each queue: how many tasks have ended of those submitted, how many run, have
    failed or were cancelled, how many end in a second (of late: in 30 s, or the last
    five), and the time left if that goes on, and nothing more is submitted.  What was
    pending or running when the block began counts as submitted, what had ended does
    not.

    A terminal shows bars, as a notebook does; both need ``rich`` (``pip install
    'smqexec[progress]'``).  Any other file gets a line every 10 seconds, and one at
    the end; so does a terminal or a notebook without ``rich``, and a first line that
    names it, once in a process.  Several at the same time are shown below each other.  What is printed
    meanwhile to the same terminal comes above.

    It may be used in any thread.  Where it can't be shown any more, that is logged,
    and the block goes on.  Cost: for a task none; to draw bars, some 1 ms a queue, ten
    times a second, or more seldom where that would be more than a twentieth of a core.

    Args:
        scheduler: What to show; a `Queue` stands for itself alone.
        file: Where.  Default: ``sys.stderr``, or the notebook.

    Raises:
        TypeError: *scheduler* is neither, or *file* is none.
    """

    def __init__(self, scheduler: Scheduler | Queue, *, file: TextIO | None = None) -> None:
        if not isinstance(scheduler, Scheduler | Queue):
            raise TypeError(f"progress shows a Scheduler or a Queue, not {scheduler!r}")
        if file is not None and not hasattr(file, "write"):
            raise TypeError(f"file must be open for writing text, not {file!r}")
        self._of = scheduler
        self._notebook = file is None and _in_notebook()
        # A terminal that is a display of ours already hides its file.
        self._file: Any = getattr(file or sys.stderr, "rich_proxied_file", file or sys.stderr)
        self._bars: Any = None
        self._lacks_rich = False
        if self._notebook or _is_terminal(self._file):
            try:
                from . import bars as _bars
            except ImportError:
                self._lacks_rich = True
            else:
                self._bars = _bars
        self._shown: Any = None

    def __enter__(self) -> Self:
        if self._shown is not None:
            raise RuntimeError("this progress is shown already; make another one")
        of = self._of
        meter = Meter(of, None) if isinstance(of, Scheduler) else Meter(of.scheduler, of._slots)
        if self._bars is None:
            self._shown = Lines(meter, self._file, _unsaid if self._lacks_rich else [])
        elif self._notebook:
            self._shown = self._bars.InNotebook(meter)
        else:
            self._shown = self._bars.OnTerminal(meter, self._file)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        shown, self._shown = self._shown, None
        shown.close()


class Lines:
    """Progress in a file, after what is *unsaid*."""

    def __init__(self, meter: Meter, file: Any, unsaid: list[str]) -> None:
        self._meter = meter
        self._file = file
        if unsaid:
            attempt(partial(self._print, unsaid[0]))
            unsaid.clear()
        self._ticker = Ticker(self._write, INTERVAL)

    def _write(self) -> None:
        parts = []
        for reading in self._meter.read():
            words = [*reading.states().values(), reading.pace(), reading.remaining()]
            parts.append(", ".join([f"{printable(reading.name)} {reading.counts()}", *filter(None, words)]))
        if self._meter.scheduler.stopped:
            parts.append("stopped")
        self._print(f"smqexec, {self._meter.elapsed()}: {'; '.join(parts) or 'no tasks'}\n")

    def _print(self, text: str) -> None:
        if self._file is None:  # a program without a console
            return
        encoding = getattr(self._file, "encoding", None) or "utf-8"
        self._file.write(text.encode(encoding, "backslashreplace").decode(encoding))
        self._file.flush()

    def close(self) -> None:
        self._ticker.close()
        if self._ticker.works:
            attempt(self._write)


def _is_terminal(file: Any) -> bool:
    try:
        return bool(file.isatty()) and os.environ.get("TERM") not in ("dumb", "unknown")
    except Exception:  # none, closed, or of a kind that can't tell
        return False


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"
