"""The demonstration as it ran: newest first, and by phases.  Two pictures, on one scale of time.

The demonstration's own functions are timed while it runs; a call that one of
them makes is part of it.  Each way runs *rounds* times, in turns, and the
shortest run of each is reported and drawn.
"""

from __future__ import annotations

import sysconfig
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial, wraps
from html import escape
from operator import attrgetter
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple
from unittest.mock import patch

from smqexec import __main__ as demonstration

from .curve import COLOURS, GREY, picture, ticks
from .machine import cores
from .measure import WrongResult

FILES = 12  # the largest modules of the standard library
FINAL = "distance"
KINDS = {"read": "read(x)", "compressed": "C(x)", FINAL: "distance(x, y): final"}
LEFT, RIGHT = 100, 845
ROW, GAP, TOP, CURVE = 22, 4, 60, 90  # heights


class Call(NamedTuple):
    """One call of a function of the demonstration; times in ms from the beginning."""

    kind: str
    slot: tuple[str, int]  # of which queue, and which
    start: float
    end: float


Run = list[Call]


def report(files: int, rounds: int, folder: Path | None) -> Iterator[str]:
    """Run the demonstration on the largest *files*, yield the table, and draw into *folder*, if wanted.

    Raises:
        WrongResult: Not everything ran as it must.
    """
    found = measure(files, rounds)
    yield f"The demonstration on {files} files, {cores()} slots; final results, in ms"
    yield ""
    yield f"{'':32}{'first':>9}{'half':>9}{'last':>9}"
    for name, run in found.items():
        ends = results(run)
        yield f"  {name:30}{ends[0]:9.0f}{ends[(len(ends) - 1) // 2]:9.0f}{ends[-1]:9.0f}"
    if folder is None:
        return
    last = max(call.end for run in found.values() for call in run)
    for name, run in found.items():
        path = folder / f"{name.replace(' ', '-')}.svg"
        path.write_text(svg(name, run, 1.02 * last), encoding="utf-8")
        yield f"  the picture: {path}"


def measure(files: int, rounds: int) -> dict[str, Run]:
    """The shortest run of each way, of *rounds*."""
    chosen = demonstration.largest(Path(sysconfig.get_path("stdlib")), files)
    ways = {
        "newest first": partial(demonstration.compare, chosen, cores(), "newest", 0.0),
        "by phases": partial(demonstration.by_phases, chosen, cores(), 0.0),
    }
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            runs[name].append(timed(way))
    return {name: min(each, key=lambda run: results(run)[-1]) for name, each in runs.items()}


def timed(way: Callable[[Callable[[demonstration.Pair], object]], None]) -> Run:
    """The calls that the demonstration makes when it goes this *way*."""
    clock = Clock()
    pairs: list[demonstration.Pair] = []
    with ExitStack() as patched:
        for kind in KINDS:
            noted = clock.noted(kind, getattr(demonstration, kind))
            patched.enter_context(patch.object(demonstration, kind, noted))
        way(pairs.append)
    if len(results(clock.run)) != len(pairs):
        raise WrongResult(f"the demonstration: {len(pairs)} pairs, {len(results(clock.run))} distances")
    return sorted(clock.run, key=attrgetter("start"))


class Clock:
    """Notes the calls of functions: when each began and ended, and in which slot."""

    def __init__(self) -> None:
        self.began = perf_counter()
        self.run: Run = []
        self._in_tasks = threading.local()

    def noted(self, kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def wrapper(*args: Any) -> Any:
            if getattr(self._in_tasks, "call", False):
                return call(*args)
            self._in_tasks.call = True
            start = perf_counter()
            try:
                return call(*args)
            finally:
                self._in_tasks.call = False
                self._note(kind, start, perf_counter())

        return wrapper

    def _note(self, kind: str, start: float, end: float) -> None:
        # Threads of all executors are named alike: prefix_number, from 0.
        number = int(threading.current_thread().name.rpartition("_")[2]) + 1
        slot = ("disk" if kind == "read" else "compress", number)
        self.run.append(Call(kind, slot, (start - self.began) * 1e3, (end - self.began) * 1e3))


def results(run: Run) -> list[float]:
    """When each final result was there."""
    return sorted(call.end for call in run if call.kind == FINAL)


# -- The picture


def svg(name: str, run: Run, ms: float) -> str:
    """Draw a *run*, on a scale up to *ms*.  As in ``curve.py`` it has no background."""
    slots = sorted({call.slot for call in run}, key=lambda slot: (slot[0] != "disk", slot[1]))
    floor = TOP + len(slots) * (ROW + GAP) + CURVE
    return picture(
        floor + 46,
        *legend(name),
        *axis(ms, floor),
        *(line for row, slot in enumerate(slots) for line in drawn(slot, row, run, ms)),
        *curve(results(run), ms, floor),
    )


def x_of(at: float, ms: float) -> float:
    return LEFT + (RIGHT - LEFT) * at / ms


def legend(name: str) -> Iterator[str]:
    yield f'<text x="8" y="25" font-weight="bold" font-size="16">{escape(name)}</text>'
    x = 200
    for label, colour in zip(KINDS.values(), COLOURS, strict=True):
        yield f'<rect x="{x}" y="13" width="14" height="14" fill="{colour}"/>'
        yield f'<text x="{x + 20}" y="25">{escape(label)}</text>'
        x += 60 + 8 * len(label)


def axis(ms: float, floor: float) -> Iterator[str]:
    for at in ticks(ms):
        x = x_of(at, ms)
        yield f'<path d="M{x:.1f} {TOP - 14}V{floor}" stroke="{GREY}" stroke-opacity="0.3"/>'
        yield f'<text x="{x:.1f}" y="{floor + 18}" text-anchor="middle">{at}</text>'
    yield f'<text x="{(LEFT + RIGHT) / 2}" y="{floor + 38}" text-anchor="middle">ms</text>'


def drawn(slot: tuple[str, int], row: int, run: Run, ms: float) -> Iterator[str]:
    """The row of a *slot*: a bar for each call."""
    y = TOP + row * (ROW + GAP)
    yield f'<text x="{LEFT - 8}" y="{y + 16}" text-anchor="end">{slot[0]} {slot[1]}</text>'
    for kind, colour in zip(KINDS, COLOURS, strict=True):
        calls = [call for call in run if call.slot == slot and call.kind == kind]
        bars = [(x_of(call.start, ms), x_of(call.end, ms)) for call in calls]
        # Half a pixel less than it took, for neighbours to be told apart.
        path = "".join(f"M{x:.1f} {y}h{max(end - x - 0.5, 0.8):.1f}v{ROW}H{x:.1f}z" for x, end in bars)
        if path:
            yield f'<path d="{path}" fill="{colour}"/>'


def curve(ends: Sequence[float], ms: float, floor: float) -> Iterator[str]:
    """Final results over time, below the rows."""
    top = floor - CURVE + 2 * GAP
    rise = (floor - top) / len(ends)
    steps = "".join(f"H{x_of(at, ms):.1f}V{floor - rise * i:.1f}" for i, at in enumerate(ends, 1))
    yield f'<text x="{LEFT - 8}" y="{top + 6}" text-anchor="end">{len(ends)}</text>'
    yield f'<text x="{LEFT - 8}" y="{(top + floor) / 2 - 3}" text-anchor="end">final</text>'
    yield f'<text x="{LEFT - 8}" y="{(top + floor) / 2 + 13}" text-anchor="end">results</text>'
    yield f'<path d="M{LEFT} {floor}{steps}H{RIGHT}" fill="none" stroke="{COLOURS[2]}" stroke-width="2.5"/>'
    yield f'<path d="M{LEFT} {TOP - 14}V{floor}H{RIGHT}" fill="none" stroke="{GREY}"/>'
