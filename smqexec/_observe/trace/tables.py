"""A trace as tables: for the terminal, and beside the timeline page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from heapq import nlargest
from math import inf
from operator import attrgetter
from typing import NamedTuple

from ..drawing import printable
from .read import OUTCOMES, Record, Trace, busy

LONGEST = 10  # tasks, or names of tasks, that a table shows


class Table(NamedTuple):
    caption: str
    heads: list[str]
    rows: list[list[str]]


def heading(trace: Trace) -> str:
    """The run in a line."""
    tasks = [*trace.tasks, *trace.running]
    counts = Counter(task.outcome for task in tasks)
    parts = [f"{_counted(len(tasks), 'task')} in {duration(_length(trace))}"]
    parts.append(_counted(len(trace.queues), "queue"))
    parts += [f"{counts[outcome]:,} {outcome}" for outcome in OUTCOMES[1:] if counts[outcome]]
    if not trace.whole:
        parts.append("the recording was not closed")
    if trace.damaged:
        parts.append(_counted(trace.damaged, "unreadable line"))
    return ", ".join(parts)


def summary(trace: Trace) -> list[Table]:
    """Return the tables of the queues, and of the names of tasks that took most time."""
    return [table for table in (_queues(trace), _names(trace)) if table.rows]


def text(trace: Trace, title: str) -> str:
    """The facts of *trace*, headed by *title*, for a terminal."""
    lines = [f"{title}: {heading(trace)}"]
    facts = trace.facts
    lines += [f"smqexec {facts.get('version')}, {facts.get('python')}, {facts.get('cores')} cores", ""]
    for table in (*summary(trace), *_details(trace)):
        cells = [[printable(cell) for cell in row] for row in [table.heads, *table.rows]]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines += [table.caption, ""]
        for first, *others in cells:
            right = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
            lines.append("  ".join([first.ljust(widths[0]), *right]).rstrip())
        lines.append("")
    return "\n".join(lines)


def _queues(trace: Trace) -> Table:
    rows: list[list[str]] = []
    ran: dict[int, dict[int, list[Record]]] = {}  # by queue and thread
    for task in (*trace.tasks, *trace.running):
        if task.thread is not None:
            ran.setdefault(task.queue, {}).setdefault(task.thread, []).append(task)
    for queue in trace.queues:
        threads = ran.get(queue.pid, {}).values()
        failed = sum(task.outcome == "failed" for tasks in threads for task in tasks)
        slots = max(queue.slots, len(threads))
        share = sum(map(busy, threads)) / (slots * _length(trace) or inf)
        counts = (slots, sum(map(len, threads)), failed)
        rows.append([queue.name, *(f"{count:,}" for count in counts), f"{share:.0%}"])
    return Table("Queues", ["", "slots", "ran", "failed", "busy"], rows)


def _names(trace: Trace) -> Table:
    found: dict[str, tuple[int, float]] = {}
    for task in (*trace.tasks, *trace.running):
        count, time = found.get(task.name, (0, 0.0))
        found[task.name] = count + 1, time + task.end - task.start
    most = nlargest(LONGEST, found.items(), key=lambda name: name[1][1])
    rows = [[name, f"{count:,}", duration(time)] for name, (count, time) in most]
    return Table("Most time", ["", "tasks", "in all"], rows)


def _details(trace: Trace) -> Iterator[Table]:
    ran = [task for task in trace.tasks if task.thread is not None]
    longest = attrgetter("seconds")
    yield from _tasks("Longest tasks", trace, nlargest(LONGEST, ran, key=longest))
    yield from _tasks("Still running", trace, trace.running)
    by_number = {task.number: task for task in trace.tasks}
    path = [by_number[number] for number in trace.critical]
    if len(path) > 1:
        share = sum(task.end - task.start for task in path) / _length(trace)
        shown = set(nlargest(LONGEST, path, key=longest))
        more = f"; the {LONGEST} longest of them" if len(path) > LONGEST else ""
        caption = f"Critical path: {len(path)} tasks, one after the other, ran for {share:.0%} of the time"
        yield from _tasks(caption + more, trace, [task for task in path if task in shown])
    ends = [task.end - trace.span[0] for task in trace.sinks if task.outcome == "done"]
    if ends:
        shares = (10, 25, 50, 75, 90)
        steps = [(f"{share} %", (len(ends) * share - 1) // 100) for share in shares]
        rows = [[name, duration(ends[at])] for name, at in [("first", 0), *steps, ("last", -1)]]
        yield Table(f"Final results: {len(ends)} (tasks that no other needs)", ["", "after"], rows)


def _tasks(caption: str, trace: Trace, tasks: Sequence[Record]) -> Iterator[Table]:
    if tasks:
        queues = {queue.pid: queue.name for queue in trace.queues}
        rows = [
            [task.name, queues.get(task.queue, ""), str(task.number), *map(duration, times)]
            for task in tasks
            for times in [(task.start - trace.span[0], task.end - task.start)]
        ]
        yield Table(caption, ["", "queue", "number", "began at", "ran for"], rows)


def _length(trace: Trace) -> float:
    first, last = trace.span
    return last - first


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(micros: float) -> str:
    """A time in a unit that suits it."""
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if micros >= size:
            return f"{micros / size:,.2f} {unit}"
    return f"{micros:.0f} µs"
