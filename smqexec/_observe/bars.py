"""Progress as bars, drawn by ``rich``, which alone is needed for this module.

All that is shown on one terminal at the same time is one display of rich's, of which
there can be no two.
"""

# pyright: basic, reportMissingImports=false
# Of what may not be installed it knows no types.

from __future__ import annotations

import os
import sys
import threading
from importlib import import_module
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .drawing import printable
from .statistics import Meter
from .ticker import Ticker, attempt

# Seconds between two states of a terminal, and of a notebook, which gets each as a message.
INTERVAL, NOTEBOOK_INTERVAL = 0.1, 0.5

# Columns of a bar, and columns of the terminal for each of them.
LONGEST, SHORTEST, SHARE = 40, 8, 4

_STYLES = {"running": "cyan", "failed": "bold red", "cancelled": "yellow"}

# Guards what follows, and the making and ending of displays.
_lock = threading.Lock()
_terminals: dict[Any, Terminal] = {}  # by file


def _forget_terminals() -> None:
    global _lock
    _lock = threading.Lock()  # another thread may have held it at the fork
    _terminals.clear()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows can't fork
    os.register_at_fork(after_in_child=_forget_terminals)


def drawn(meters: list[Meter], width: int) -> Table:
    """A bar for each queue of each of *meters*, on *width* columns."""
    table = Table.grid(padding=(0, 1))
    # Where there is no room for all, the name, the bar and the states are cut first.
    for kept in (False, False, True, False, True, True):
        table.add_column(no_wrap=kept, overflow="ellipsis")
    length = max(SHORTEST, min(LONGEST, width // SHARE))
    for meter in meters:
        for reading in meter.read():
            name = Text(printable(reading.name), no_wrap=True, overflow="ellipsis")
            bar = ProgressBar(reading.submitted, reading.ended, width=length)
            words = [Text(words, _STYLES[state]) for state, words in reading.states().items() if words]
            states = Text(" ", no_wrap=True, overflow="ellipsis").join(words)
            last = "stopped" if meter.scheduler.stopped else reading.remaining()
            table.add_row(name, bar, reading.counts(), states, reading.pace(), last)
    return table


class Terminal:
    """What is shown on a terminal."""

    def __init__(self, file: Any, meter: Meter) -> None:
        self.file = file
        self.meters = [meter]
        self.console = Console(file=file, force_jupyter=False)
        self.live = Live(
            console=self.console,
            auto_refresh=False,
            get_renderable=self._draw,
            # What goes elsewhere is no matter of ours.
            redirect_stdout=_is_terminal(sys.stdout),
            redirect_stderr=_is_terminal(sys.stderr),
        )
        self.live.start(refresh=True)
        try:
            self.ticker = Ticker(self.live.refresh, INTERVAL)
        except BaseException:
            self.live.stop()
            raise

    def _draw(self) -> Table:
        return drawn(self.meters.copy(), self.console.width)

    def remove(self, meter: Meter) -> None:
        if len(self.meters) > 1:
            self.meters.remove(meter)
            # What it came to, above the others.
            attempt(lambda: self.console.print(drawn([meter], self.console.width)))
            attempt(self.live.refresh)
            return
        del _terminals[self.file]
        self.ticker.close()
        attempt(self.live.stop)


class OnTerminal:
    """The bars of one meter on a terminal."""

    def __init__(self, meter: Meter, file: Any) -> None:
        self._meter = meter
        with _lock:
            terminal = _terminals.get(file)
            if terminal is None:
                terminal = _terminals[file] = Terminal(file, meter)
            else:
                terminal.meters.append(meter)
        self._terminal = terminal

    def close(self) -> None:
        with _lock:
            self._terminal.remove(self._meter)


class InNotebook:
    """The bars of one meter in the output of a notebook's cell."""

    # By a message for each state, as that works in any thread and needs no widgets.

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._shown = import_module("IPython.display").display(self._draw(), display_id=True)
        self._ticker = Ticker(self._update, NOTEBOOK_INTERVAL)

    def _draw(self) -> Table:
        return drawn([self._meter], 4 * LONGEST)

    def _update(self) -> None:
        self._shown.update(self._draw())

    def close(self) -> None:
        self._ticker.close()
        if self._ticker.works:
            attempt(self._update)


def _is_terminal(file: Any) -> bool:
    return file is not None and bool(file.isatty())
