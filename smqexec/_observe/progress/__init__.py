"""Progress: how far a scheduler is, shown while a block runs.

A thread reads the counts of the queues now and then (see ``statistics``), so that tasks
cost nothing more.  On a terminal and in a notebook ``bars`` shows them, if ``rich`` is
installed; in any other place ``lines`` writes a line now and then.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from ..._core.queue_state import QueueState
from ..._core.state import State
from .lines import TextLines
from .statistics import Statistics

if TYPE_CHECKING:
    from typing import Self

# What is still to be said, once in a process; two threads at the same time may say it twice.
_unsaid = ["smqexec: bars in place of these lines need rich: pip install 'smqexec[progress]'\n"]


class Shown(Protocol):
    """A scheduler or a queue."""

    def counts(self) -> dict[str, int]: ...


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
    the end; so does a terminal or a notebook without ``rich``, with a first line that
    says so, once in a process; and a terminal that shows bars already.  What is printed
    meanwhile to the same terminal comes above the bars.

    It may be used in any thread.  If it can't be shown any more, that is logged,
    and the block goes on.  Cost: for a task none; to draw bars, some 1 ms a queue, ten
    times a second, or less often if that would be more than a twentieth of a core.

    Args:
        scheduler: What to show: a `Scheduler`, or a `Queue` alone.
        file: Where.  Default: ``sys.stderr``, or the notebook.

    Raises:
        TypeError: *scheduler* is neither, or *file* can't be written.
    """

    def __init__(self, scheduler: Shown, *, file: TextIO | None = None) -> None:
        of: Any = scheduler
        core, queue = getattr(of, "_core", None), getattr(of, "_state", None)
        if not isinstance(core, State) and not isinstance(queue, QueueState):
            raise TypeError(f"progress shows a Scheduler or a Queue, not {of!r}")
        if file is not None and not hasattr(file, "write"):
            raise TypeError(f"file must be open for writing text, not {file!r}")
        self._of = of
        self._file: Any = file or sys.stderr
        self._notebook = file is None and _in_notebook()
        self._display: Any = None

    def __enter__(self) -> Self:
        if self._display is not None:
            raise RuntimeError("this progress is shown already; make another one")
        of = self._of
        queue: QueueState | None = getattr(of, "_state", None)
        statistics = Statistics(of._core) if queue is None else Statistics(queue.scheduler, queue)
        unsaid: list[str] = []
        if self._notebook or _is_terminal(self._file):
            try:
                from . import bars
            except ImportError:
                unsaid = _unsaid
            else:
                self._display = bars.display(statistics, None if self._notebook else self._file)
        if self._display is None:
            self._display = TextLines(statistics, self._file, unsaid)
        return self

    def __exit__(self, *exception: object) -> None:
        display, self._display = self._display, None
        display.close()


def _is_terminal(file: Any) -> bool:
    try:
        return bool(file.isatty()) and os.environ.get("TERM") not in ("dumb", "unknown")
    except Exception:  # None, closed, or of a kind that can't tell
        return False


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"
