"""Progress as bars, drawn by ``rich``, which only this module imports."""

# pyright: basic, reportMissingImports=false
# Rich and IPython may not be installed: their types are unknown.

import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..text import is_terminal, printable
from .statistics import Statistics

# Seconds between two updates of a terminal, and of a notebook, which gets each as a message.
INTERVAL, NOTEBOOK_INTERVAL = 0.1, 0.5

LONGEST = 40  # columns of a bar
_STYLES = {"running": "cyan", "failed": "bold red", "cancelled": "yellow"}

# The terminals that show bars: see `_terminal`.  Adding one is atomic.
_taken: dict[object, Live] = {}


def in_notebook(statistics: Statistics) -> Any:
    def update() -> None:
        cell.update(bars(statistics))

    # A message for each update works in any thread and needs no widgets.
    cell = import_module("IPython.display").display(bars(statistics), display_id=True)
    return update, NOTEBOOK_INTERVAL, update


def on_terminal(statistics: Statistics, file: Any) -> Any:
    """Show *statistics* on the terminal *file*; return None if other bars are shown there."""
    file = getattr(file, "rich_proxied_file", file)  # rich replaces the standard streams while bars are shown
    live = Live(
        console=Console(file=file, force_jupyter=False),
        auto_refresh=False,
        get_renderable=lambda: bars(statistics),
        # Text that the program prints to the terminal comes above the bars.
        redirect_stdout=is_terminal(sys.stdout),
        redirect_stderr=is_terminal(sys.stderr),
    )
    terminal = _terminal(file)
    if _taken.setdefault(terminal, live) is not live:
        return None

    def stop() -> None:
        del _taken[terminal]
        live.stop()

    try:
        live.start(refresh=True)
    except BaseException:
        with suppress(Exception):  # it may have begun in part, and the terminal be gone
            stop()
        raise
    return live.refresh, INTERVAL, stop


def _terminal(file: Any) -> object:
    """Return the name of the terminal *file*: standard output and standard error may be the same one."""
    try:
        return os.ttyname(file.fileno())
    except Exception:  # no file of the system, or a system without such names
        return file


def bars(statistics: Statistics) -> Table:
    table = Table.grid(padding=(0, 1))
    # If there is no room for all columns, the name, the bar and the states are cut first.
    for kept in (False, False, True, False, True, True):
        table.add_column(no_wrap=kept, overflow="ellipsis", max_width=LONGEST)
    for reading in statistics.read():
        name = Text(printable(reading.name), no_wrap=True, overflow="ellipsis")
        bar = ProgressBar(reading.submitted, reading.ended)
        words = [Text(words, _STYLES[state]) for state, words in reading.states().items()]
        states = Text(" ", no_wrap=True, overflow="ellipsis").join(words)
        last = "stopped" if statistics.scheduler.stopped else reading.remaining()
        table.add_row(name, bar, reading.counts(), states, reading.pace(), last)
    return table
