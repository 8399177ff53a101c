"""Progress as bars, drawn by ``rich``, which only this module needs."""

# pyright: basic, reportMissingImports=false
# Of what may not be installed it knows no types.

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..drawing import printable
from .lines import Ticker, attempt
from .statistics import Statistics

# Seconds between two states of a terminal, and of a notebook, which gets each as a message.
INTERVAL, NOTEBOOK_INTERVAL = 0.1, 0.5

# Columns of a bar, and columns of the terminal for each of them.
LONGEST, SHORTEST, SHARE = 40, 8, 4

_STYLES = {"running": "cyan", "failed": "bold red", "cancelled": "yellow"}

# The terminals that show bars.
_taken: dict[Any, Terminal] = {}


def display(statistics: Statistics, file: Any) -> Terminal | Notebook | None:
    """Show *statistics* on the terminal *file*, or in the notebook; return None if the terminal is taken."""
    if file is None:
        return Notebook(statistics)
    file = getattr(file, "rich_proxied_file", file)  # bars on a terminal hide it from the program
    terminal = Terminal(statistics, file)
    if _taken.setdefault(file, terminal) is not terminal:
        return None
    terminal.start()
    return terminal


def drawn(statistics: Statistics, width: int) -> Table:
    """A bar for each queue of *statistics*, on *width* columns."""
    table = Table.grid(padding=(0, 1))
    # If there is no room for all, the name, the bar and the states are cut first.
    for kept in (False, False, True, False, True, True):
        table.add_column(no_wrap=kept, overflow="ellipsis")
    length = max(SHORTEST, min(LONGEST, width // SHARE))
    for reading in statistics.read():
        name = Text(printable(reading.name), no_wrap=True, overflow="ellipsis")
        bar = ProgressBar(reading.submitted, reading.ended, width=length)
        words = [Text(words, _STYLES[state]) for state, words in reading.states().items() if words]
        states = Text(" ", no_wrap=True, overflow="ellipsis").join(words)
        last = "stopped" if statistics.stopped else reading.remaining()
        table.add_row(name, bar, reading.counts(), states, reading.pace(), last)
    return table


class Terminal:
    """Bars on a terminal."""

    def __init__(self, statistics: Statistics, file: Any) -> None:
        self._file = file
        console = Console(file=file, force_jupyter=False)
        self._live = Live(
            console=console,
            auto_refresh=False,
            get_renderable=lambda: drawn(statistics, console.width),
            # What the program prints to a file stays as it is.
            redirect_stdout=_is_terminal(sys.stdout),
            redirect_stderr=_is_terminal(sys.stderr),
        )

    def start(self) -> None:
        try:
            self._live.start(refresh=True)
            self._ticker = Ticker(self._live.refresh, INTERVAL)
        except BaseException:
            self._stop()
            raise

    def _stop(self) -> None:
        del _taken[self._file]
        self._live.stop()

    def close(self) -> None:
        self._ticker.close()
        attempt(self._stop)


class Notebook:
    """Bars in the output of a notebook's cell."""

    # By a message for each state, as that works in any thread and needs no widgets.

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics
        self._shown = import_module("IPython.display").display(self._draw(), display_id=True)
        self._ticker = Ticker(self._update, NOTEBOOK_INTERVAL)

    def _draw(self) -> Table:
        return drawn(self._statistics, 4 * LONGEST)

    def _update(self) -> None:
        self._shown.update(self._draw())

    def close(self) -> None:
        if self._ticker.close():
            attempt(self._update)


def _is_terminal(file: Any) -> bool:
    return file is not None and bool(file.isatty())
