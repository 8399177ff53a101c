"""A trace as tables: for the terminal, and beside the timeline page."""

from collections import Counter
from collections.abc import Iterable, Iterator
from heapq import nlargest
from math import inf
from operator import attrgetter

from ..._futures.names import counted
from ..text import columns, printable
from .read import OUTCOMES, Record, Trace, busy

LONGEST = 10  # tasks, or names of tasks, that a table shows

Table = tuple[str, list[str], list[list[str]]]  # its caption, the heads of its columns, its rows


def heading(trace: Trace) -> str:
    counts = Counter(task.outcome for task in trace.tasks)
    tasks, queues = counted(len(trace.tasks), "task"), counted(len(trace.queues), "queue")
    parts = [f"{tasks} in {duration(trace.length)}", queues]
    parts += [f"{counts[outcome]:,} {outcome}" for outcome in OUTCOMES[1:] if counts[outcome]]
    if not trace.whole:
        parts.append("the recording was not closed")
    if trace.damaged:
        parts.append(counted(trace.damaged, "unreadable line"))
    return ", ".join(parts)


def text(trace: Trace, title: str) -> str:
    facts = trace.facts
    lines = [f"{title}: {heading(trace)}"]
    lines += [f"smqexec {facts.get('version')}, {facts.get('python')}, {facts.get('cores')} cores", ""]
    for caption, heads, rows in (*summary(trace), *_details(trace)):
        cells = [[printable(cell) for cell in row] for row in [heads, *rows]]
        lines += [caption, "", *columns(cells, str.rjust), ""]
    return "\n".join(lines)


def summary(trace: Trace) -> Iterator[Table]:
    if not trace.tasks:
        return
    rows: list[list[str]] = []
    for queue in trace.queues.values():
        threads = [tasks for (other, thread), tasks in trace.rows.items() if other == queue and thread]
        failed = sum(task.outcome == "failed" for tasks in threads for task in tasks)
        slots = max(queue.slots, len(threads))
        share = sum(map(busy, threads)) / (slots * trace.length or inf)
        counts = (slots, sum(map(len, threads)), failed)
        rows.append([queue.name, *(f"{count:,}" for count in counts), f"{share:.0%}"])
    yield "Queues", ["", "slots", "ran", "failed", "busy"], rows
    times: dict[str, list[float]] = {}
    for task in trace.tasks:
        times.setdefault(task.name, []).append(task.length)
    longest = nlargest(LONGEST, times.items(), key=lambda item: sum(item[1]))
    rows = [[name, f"{len(each):,}", duration(sum(each))] for name, each in longest]
    yield "Most time", ["", "tasks", "in all"], rows


def _details(trace: Trace) -> Iterator[Table]:
    running, path = [task for task in trace.tasks if task.outcome == "running"], trace.critical
    if running:
        yield _tasks("Still running", trace, running)
    if len(path) > 1:
        share = sum(task.length for task in path) / trace.length
        shown = set(nlargest(LONGEST, path, key=attrgetter("length")))
        more = f"; the {LONGEST} longest of them" if len(path) > LONGEST else ""
        caption = f"Critical path: {len(path)} tasks, one after the other, ran for {share:.0%} of the time"
        yield _tasks(caption + more, trace, [task for task in path if task in shown])


def _tasks(caption: str, trace: Trace, tasks: Iterable[Record]) -> Table:
    rows: list[list[str]] = []
    for task in tasks:
        began = duration(task.start - trace.span[0])
        rows.append([task.name, task.queue.name, str(task.number), began, duration(task.length)])
    return caption, ["", "queue", "number", "began at", "ran for"], rows


def duration(micros: float) -> str:
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if micros >= size:
            return f"{micros / size:,.2f} {unit}"
    return f"{micros:.0f} µs"
