"""The same graphs and bodies on other libraries, each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from .adapters import PEERS, Peer
from .peer_run import COLUMNS, MEMORY, Figure, first_side

MOST = 2000  # tasks: with some libraries each costs a millisecond
SECONDS = 300.0  # that each library may take
OURS = "smqexec"
HERE = Path(__file__).parent.parent

Medians = dict[str, float]  # by column


def report(n: int, rounds: int, seconds: float = SECONDS) -> Iterator[str]:
    """Measure, and yield the table row by row.

    Args:
        n: Tasks of a graph.
        rounds: How often each is timed; the bytes are weighed once.
        seconds: What each library may take; then it is ended.
    """
    yield f"Other libraries, each in its own process: µs of one of {n} tasks, bytes of a pending one,"
    yield f"ms to the first of {first_side(n) ** 2} results where each body sleeps 1 ms"
    yield ""
    yield f"{'':42}" + "".join(f"{column:>13}" for column in COLUMNS)
    found: dict[str, Medians] = {}
    for name, peer in PEERS.items():
        if peer.module is not None and find_spec(peer.module.partition(".")[0]) is None:
            yield f"  {name}: not installed"
            continue
        figures, trouble = run(name, n, rounds, seconds)
        found[name] = medians(figures)
        if found[name]:
            label = f"{name} {version_of(peer)}"
            yield f"  {label:40}" + "".join(cell(found[name], column) for column in COLUMNS)
        yield from (f"  {name}: {line}" for line in trouble)
    yield ""
    yield from leaders(found)


def version_of(peer: Peer) -> str:
    try:
        return version(peer.package) if peer.package else ""
    except PackageNotFoundError:  # not installed, and yet on the path
        return ""


def run(name: str, n: int, rounds: int, seconds: float) -> tuple[list[Figure], list[str]]:
    """Run one library.

    Returns:
        Its figures, as far as it got; and what went wrong.
    """
    command = [sys.executable, "-m", "benchmarks.peer_run", name, str(n), str(rounds)]
    with TemporaryDirectory() as directory:
        out, err = Path(directory, "out"), Path(directory, "err")
        # Files: a pipe would be open as long as any process that the library has started.
        with out.open("wb") as output, err.open("wb") as errors:
            process = subprocess.Popen(
                command, cwd=HERE, stdin=subprocess.DEVNULL, stdout=output, stderr=errors,
                start_new_session=True,
            )  # fmt: skip
            try:
                status: int | None = process.wait(seconds)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                end(process)
        lines = [line for line in out.read_text(errors="replace").splitlines() if line.startswith("[")]
        last = err.read_text(errors="replace").strip().splitlines()[-1:]
    figures = [Figure(*json.loads(line)) for line in lines]
    trouble = [f"{figure.column}: {figure.trouble}" for figure in figures if figure.trouble]
    if status is None:
        trouble.append(f"ended after {seconds:g} s")
    elif status:
        trouble.append(f"failed: {''.join(last)[:150] or status}")
    return figures, trouble


def end(process: subprocess.Popen[bytes]) -> None:
    """End *process* and what it has started, if it is still there."""
    if process.poll() is None:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()


def medians(figures: list[Figure]) -> Medians:
    values: dict[str, list[float]] = {}
    for figure in figures:
        if figure.value is not None:
            values.setdefault(figure.column, []).append(figure.value)
    return {column: median(several) for column, several in values.items()}


def cell(found: Medians, column: str) -> str:
    if column not in found:
        return f"{'-':>13}"
    return f"{found[column]:13.0f}" if column == MEMORY else f"{found[column]:13.2f}"


def leaders(found: dict[str, Medians]) -> Iterator[str]:
    """Name the columns where another library leads."""
    for column in found.get(OURS, {}):
        value, name = min((other[column], name) for name, other in found.items() if column in other)
        if name != OURS:
            yield f"  smqexec does not lead: {column} ({name}, {value:.2f})"
