"""How far a scheduler is, shown while a block runs, by a thread that reads what the queues count anyway."""

import sys
import threading
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Protocol, TextIO

from ..._calls.interrupts import LOGGER
from ..._core.queue_state import QueueState
from ..._core.state import State
from ..text import is_terminal, write
from .statistics import Statistics

INTERVAL = 10.0  # seconds between two lines
# The thread rests for so many times as long as an update took: it uses a twentieth of a core at most.
REST = 19


class Shown(Protocol):  # a scheduler or a queue
    def counts(self) -> dict[str, int]: ...


def progress(scheduler: Shown, *, file: TextIO | None = None) -> AbstractContextManager[None]:
    """Show how far *scheduler* is, as long as the block of a ``with`` lasts.

    ::

        with smqexec.progress(scheduler):
            scheduler.wait()  # the end of the block waits for no task

    For each queue: how many of the submitted tasks have ended, how many run, have failed or were cancelled,
    how many end in a second (in the last 30 seconds, or of the last five tasks), and the time left at that
    rate.  Tasks that were pending or running when the block began count as submitted.

    A terminal or a notebook shows bars, if ``rich`` is installed (``pip install 'smqexec[progress]'``), and
    the terminal shows no others; text that the program prints there comes above them.  Else a line is
    written every 10 seconds, and one at the end.

    Any thread may use it.  If progress can't be shown any more, that is logged, and the block goes on.
    Cost: nothing for a task; to draw bars, some 1 ms a queue, ten times a second, or less often if that
    would be more than a twentieth of a core.

    Args:
        scheduler: A `Scheduler`, or a `Queue` alone.
        file: Where.  Default: ``sys.stderr``, or the notebook.

    Raises:
        TypeError: *scheduler* is neither, or *file* can't be written.
    """
    queue: Any = getattr(scheduler, "_state", None)
    core: Any = getattr(scheduler, "_core", getattr(queue, "scheduler", None))
    if not isinstance(core, State):
        raise TypeError(f"progress shows a Scheduler or a Queue, not {scheduler!r}")
    if file is not None and not hasattr(file, "write"):
        raise TypeError(f"file must be open for writing text, not {file!r}")
    return _block(core, queue, file)


@contextmanager
def _block(core: State, queue: QueueState | None, file: TextIO | None) -> Generator[None]:
    display = _display(Statistics(core, queue), file)
    ended = threading.Event()
    thread = threading.Thread(target=_show, args=(ended, *display), name="smqexec-progress", daemon=True)
    try:
        thread.start()
    except BaseException:
        display[-1]()
        raise
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _display(statistics: Statistics, file: Any) -> Any:
    """Show *statistics* once if bars are shown; return the functions and the interval for `_show`."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    in_notebook = file is None and type(shell).__name__ == "ZMQInteractiveShell"
    file = file or sys.stderr
    if in_notebook or is_terminal(file):
        with suppress(ImportError):  # rich is not installed
            from . import bars

            if in_notebook:
                return bars.in_notebook(statistics)
            if display := bars.on_terminal(statistics, file):
                return display

    def update() -> None:
        if file is not None:  # else this program has no standard error
            write(statistics.line(), file)

    return update, INTERVAL, update


def _show(ended: threading.Event, update: Any, interval: float, finish: Any) -> None:
    pause = interval
    try:
        try:
            while not ended.wait(pause):
                began = time.thread_time()
                update()
                pause = max(interval, REST * (time.thread_time() - began))
        finally:
            finish()
    except Exception:
        LOGGER.warning("progress can't be shown any more", exc_info=True)
