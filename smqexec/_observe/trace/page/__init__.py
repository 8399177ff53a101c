"""The timeline page: a trace as one HTML file that fetches nothing.

The run is a table of columns, sorted as tasks are drawn.  Each worker of a queue is a *row*, split into
*lanes* in which no tasks overlap: a binary search finds the visible tasks.  The first row of each queue has
the tasks that never ran.  Times are microseconds since the first submission.

Names may hold any character.  They reach the page escaped: in HTML, and as JSON without a ``<``.  The page
forbids the browser to run another program, or to fetch anything.
"""

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from html import escape
from importlib.resources import files
from itertools import pairwise
from string import Template
from typing import Any

from ...text import printable
from ..read import OUTCOMES, Record, Trace, busy
from ..tables import heading, summary

UNKNOWN = -1  # a task that the file does not have: it was pending when the recording ended

PROGRAM = ["run", "view", "drawing", "slices", "arrows", "frame", "overview", "facts", "controls"]


def page(trace: Trace, title: str) -> str:
    """Return the HTML of a page about *trace*, headed by *title*: ASCII, some 60 bytes for each task."""
    run = json.dumps(columns(trace), separators=(",", ":"), allow_nan=False)
    program = "\n".join(part(f"{name}.js") for name in PROGRAM)
    return Template(part("page.html")).substitute(
        title=ascii_html(title),
        heading=ascii_html(heading(trace)),
        tables="\n".join(line for each in summary(trace) for line in table(*each)),
        digest=b64encode(sha256(program.encode()).digest()).decode(),
        style=part("page.css"),
        run=run.replace("<", r"\u003c"),
        program=program,
    )


def part(name: str) -> str:
    return files(__name__).joinpath(name).read_text("ascii")


def ascii_html(text: str) -> str:
    return escape(text).encode("ascii", "xmlcharrefreplace").decode()


def table(caption: str, heads: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield f"<table><caption>{caption}</caption>"
    yield "<tr>" + "".join(f'<th scope="col">{head}</th>' for head in heads) + "</tr>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{ascii_html(printable(cell))}</td>" for cell in row) + "</tr>"
    yield "</table>"


def columns(trace: Trace) -> dict[str, Any]:
    """Return the run as ``run.js`` reads it."""
    lanes = [(row, lane) for row, tasks in enumerate(trace.rows.values()) for lane in lanes_of(tasks)]
    tasks = [task for _, lane in lanes for task in lane]
    place = {task.number: index for index, task in enumerate(tasks)}
    names: dict[str, int] = {}
    name = [names.setdefault(task.name, len(names)) for task in tasks]
    since = trace.span[0]

    def times(values: Iterable[float | None]) -> list[float | None]:
        return [None if value is None else round(value - since, 3) for value in values]

    return {
        "span": trace.length,
        "stopped": [times(span) for span in stopped(trace)],
        "rows": [[queue.name, thread, busy(ran)] for (queue, thread), ran in trace.rows.items()],
        "lanes": [[row, len(lane)] for row, lane in lanes],
        "items": times(at for at, _ in trace.items),
        "producers": [place.get(number, UNKNOWN) for _, number in trace.items],
        "names": list(names),
        "start": times(task.start for task in tasks),
        "end": times(task.end for task in tasks),
        "submitted": times(task.submitted for task in tasks),
        "name": name,
        "number": [task.number for task in tasks],
        "outcome": [OUTCOMES.index(task.outcome) for task in tasks],
        "path": [place[task.number] for task in trace.critical],
        "needs": [[place.get(number, UNKNOWN) for number in task.dependencies] for task in tasks],
    }


def lanes_of(tasks: Iterable[Record]) -> list[list[Record]]:
    """Split *tasks* into lanes, at least one: each task goes to the first that is free at its start."""
    lanes: list[list[Record]] = [[]]
    for task in sorted(tasks, key=lambda task: (task.start, -task.end)):
        free = (lane for lane in lanes if not lane or lane[-1].end <= task.start)
        lane = next(free, None)
        if lane is None:
            lanes.append(lane := [])
        lane.append(task)
    return lanes


def stopped(trace: Trace) -> Iterator[tuple[float, float]]:
    """Yield the times from each ``stop`` to the next mark."""
    marks = [*trace.marks, (trace.span[1], "end")]
    if marks[0][1] == "resume":  # the scheduler was stopped when the file began
        marks.insert(0, (trace.span[0], "stop"))
    for (at, name), (until, _) in pairwise(marks):
        if name == "stop":
            yield at, max(at, until)
