"""The timeline page: a trace file's records as one HTML file that fetches nothing.

The page is a frame of HTML, a style, a program, and the run.  All is written
into one file; the first three lie beside this module.  Of the program, ``run.js``
reads the run, ``view.js`` maps times and rows to the screen, the next five draw,
``facts.js`` shows the selected task, and ``controls.js`` handles input.

The run is a table of columns, not a list of objects: a hundred thousand tasks
are then a dozen arrays of numbers, in base64, which the page reads without
a step for each task.  Times are microseconds since the first submission.

Tasks are sorted as they are drawn.  Each worker thread of a queue is a *row*;
thread 0 stands for none, and has the tasks that ended without running.  Nested
tasks overlap in their row, so a row is split into *lanes* in which nothing
overlaps: there the visible tasks, and the task under the pointer, are found by
binary search.

Names of tasks and queues may hold anything.  They reach the page escaped: in HTML,
and as JSON in which no ``<`` is left.  The program only shows them as text, and the
page forbids the browser to run another program, or to fetch anything.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from hashlib import sha256
from heapq import heappop, heappush
from html import escape
from importlib.resources import files
from itertools import accumulate
from math import nan
from string import Template
from struct import pack
from typing import Any, NamedTuple

from ...drawing import printable
from ..read import OUTCOMES, Record, Trace, busy
from ..tables import Table, heading, summary

UNKNOWN = 0xFFFF_FFFF  # a task that the file does not have: it was pending when the recording ended
# One after the other they are the program.
PROGRAM = (
    *("run.js", "view.js"),
    *("drawing.js", "slices.js", "arrows.js", "frame.js", "overview.js"),
    *("facts.js", "controls.js"),
)

Columns = dict[str, Any]  # as ``run.js`` reads them


def page(trace: Trace, title: str) -> str:
    """Return the HTML of a page about *trace*, headed by *title*.  All of it is ASCII.

    Cost: 5 to 10 µs, and 60 to 80 bytes of the page, for each task.
    """
    run = columns(trace)
    written = json.dumps({"title": title, **run}, separators=(",", ":"), allow_nan=False)
    program = "\n".join(part(name) for name in PROGRAM)
    return Template(part("page.html")).substitute(
        title=ascii_html(title),
        heading=ascii_html(heading(trace)),
        tables="\n".join(line for each in summary(trace) for line in table(each)),
        digest=b64encode(sha256(program.encode()).digest()).decode(),
        style=part("page.css"),
        run=written.replace("<", r"\u003c"),
        program=program,
    )


def part(name: str) -> str:
    """Read a part of the page."""
    return files(__name__).joinpath(name).read_text("ascii")


def ascii_html(text: str) -> str:
    return escape(text).encode("ascii", "xmlcharrefreplace").decode()


def table(of: Table) -> Iterator[str]:
    yield f"<table><caption>{of.caption}</caption>"
    yield "<tr>" + "".join(f'<th scope="col">{head}</th>' for head in of.heads) + "</tr>"
    for row in of.rows:
        yield "<tr>" + "".join(f"<td>{ascii_html(printable(cell))}</td>" for cell in row) + "</tr>"
    yield "</table>"


# -- The run


class Lane(NamedTuple):
    """Tasks of a row that do not overlap, in the order of time."""

    row: int
    tasks: list[Record]


def columns(trace: Trace) -> Columns:
    """Return the run as the page's program gets it."""
    rows = rows_of(trace)
    queues = list(dict.fromkeys(pid for pid, _ in rows))
    lanes = [Lane(row, tasks) for row, ran in enumerate(rows.values()) for tasks in apart(ran)]
    tasks = [task for lane in lanes for task in lane.tasks]
    place = {task.number: index for index, task in enumerate(tasks)}
    names: dict[str, int] = {}
    name = [names.setdefault(task.name, len(names)) for task in tasks]
    final = {task.number for task in trace.sinks}
    critical = set(trace.critical)
    since, until = trace.span
    submitted = (nan if task.submitted is None else task.submitted - since for task in tasks)
    return {
        "span": until - since,
        "stopped": list(stopped(trace)),
        "queues": [name_of(pid, trace) for pid in queues],
        "rows": [[queues.index(pid), thread, busy(ran)] for (pid, thread), ran in rows.items()],
        "lanes": [[lane.row, len(lane.tasks)] for lane in lanes],
        "names": list(names),
        "start": float64(task.start - since for task in tasks),
        "end": float64(task.end - since for task in tasks),
        "submitted": float64(submitted),
        "name": uint32(name),
        "number": uint32(task.number for task in tasks),
        "outcome": uint8(OUTCOMES.index(task.outcome) for task in tasks),
        "final": uint8(task.number in final for task in tasks),
        "critical": uint8(task.number in critical for task in tasks),
        "needs": uint32(place.get(number, UNKNOWN) for task in tasks for number in task.dependencies),
        "needsUntil": uint32(accumulate(len(task.dependencies) for task in tasks)),
        **items(trace, lanes),
    }


def rows_of(trace: Trace) -> dict[tuple[int, int], list[Record]]:
    """Return the tasks by queue and thread.  Each queue begins with thread 0."""
    rows: dict[tuple[int, int], list[Record]] = {(queue.pid, 0): [] for queue in trace.queues}
    for task in (*trace.tasks, *trace.running):
        rows.setdefault((task.queue, 0), [])  # the line about the queue may be lost
        rows.setdefault((task.queue, task.thread or 0), []).append(task)
    return dict(sorted(rows.items()))


def name_of(pid: int, trace: Trace) -> str:
    """The name of a queue."""
    return next((queue.name for queue in trace.queues if queue.pid == pid), f"queue {pid}")


def apart(tasks: Iterable[Record]) -> list[list[Record]]:
    """Split *tasks* into lanes, at least one, in which none overlap: a nested task comes below.

    Each task goes to the first lane that is free at its start.
    """
    lanes: list[list[Record]] = [[]]
    free = [0]
    taken: list[tuple[float, int]] = []  # until when, and which
    for task in sorted(tasks, key=lambda task: (task.start, -task.end)):
        while taken and taken[0][0] <= task.start:
            heappush(free, heappop(taken)[1])
        if not free:
            free.append(len(lanes))
            lanes.append([])
        lane = heappop(free)
        lanes[lane].append(task)
        heappush(taken, (task.end, lane))
    return lanes


def stopped(trace: Trace) -> Iterator[tuple[float, float]]:
    """The times from ``stop`` to ``resume``.  A scheduler may have been stopped when the file began."""
    first, last = trace.span
    since: float | None = first
    if not trace.marks or trace.marks[0].name == "stop":
        since = None
    for mark in trace.marks:
        if mark.name == "stop":
            since = mark.at if since is None else since
        elif since is not None:
            yield since - first, max(mark.at, since) - first
            since = None
    if since is not None:
        yield since - first, max(last, since) - first


def items(trace: Trace, lanes: Sequence[Lane]) -> Columns:
    """The marks of items, in the lanes of their tasks; of an item whose task's line is lost there is none."""
    lane_of = {task.number: index for index, lane in enumerate(lanes) for task in lane.tasks}
    since, _ = trace.span
    marks = sorted(
        (lane_of[item.task], item.at - since, item.task, item.index)
        for item in trace.items
        if item.task in lane_of
    )
    counts = [0] * len(lanes)
    for lane, *_ in marks:
        counts[lane] += 1
    return {
        "itemAt": float64(at for _, at, _, _ in marks),
        "itemIndex": uint32(index for _, _, _, index in marks),
        "itemsUntil": uint32(accumulate(counts)),
    }


def binary(code: str, numbers: Iterable[float]) -> str:
    """Return *numbers* as a JavaScript typed array has them, in base64."""
    values = tuple(numbers)
    return b64encode(pack(f"<{len(values)}{code}", *values)).decode()


float64, uint32, uint8 = (partial(binary, code) for code in "dIB")
