"""A trace as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import nlargest
from math import inf
from operator import attrgetter

from .file import Record, Trace, busy

LONGEST = 10  # tasks shown, and as many of the critical path's
LETTERS = 40  # of a name


def text(trace: Trace, title: str) -> str:
    """The facts of *trace*, headed by *title*."""
    return "\n".join(line.rstrip() for line in _lines(trace, title))


def _lines(trace: Trace, title: str) -> Iterator[str]:
    since, until = trace.span
    facts = trace.facts
    yield f"{title}: {_counted(trace.tasks, 'task')} in {_duration(until - since)}"
    yield f"smqexec {facts.get('version')}, {facts.get('python')}, {facts.get('cores')} cores"
    if not trace.whole:
        yield "The recording was not closed: the program was killed, or still runs."
    if trace.damaged:
        yield f"{_counted([0] * trace.damaged, 'line')} could not be read."
    yield ""
    yield from _table(
        ["queue", "slots", "order", "ran", "failed", "cancelled", "never ran", "busy", "longest"],
        _queues(trace),
    )
    longest = nlargest(LONGEST, trace.tasks, key=attrgetter("seconds"))
    yield from _tasks("Longest tasks", trace, [task for task in longest if task.thread is not None])
    yield from _tasks("Still running", trace, trace.running)
    yield from _critical_path(trace)
    yield from _final_results(trace)


def _queues(trace: Trace) -> Iterator[list[str]]:
    since, until = trace.span
    ended: dict[int, list[Record]] = {}
    rows: dict[int, dict[int, list[Record]]] = {}  # by queue and thread
    for task in trace.tasks:
        ended.setdefault(task.queue, []).append(task)
    for task in (*trace.tasks, *trace.running):
        if task.thread is not None:
            rows.setdefault(task.queue, {}).setdefault(task.thread, []).append(task)
    for queue in trace.queues:
        tasks = ended.get(queue.pid, [])
        time = sum(map(busy, rows.get(queue.pid, {}).values()))
        share = time / ((until - since) * queue.slots or inf)
        yield [
            queue.name,
            str(queue.slots),
            queue.order,
            str(sum(task.thread is not None for task in tasks)),
            *(str(sum(task.outcome == outcome for task in tasks)) for outcome in ("failed", "cancelled")),
            str(sum(task.thread is None for task in tasks)),
            f"{share:.0%}",
            _duration(max((task.end - task.start for task in tasks), default=0.0)),
        ]


def _critical_path(trace: Trace) -> Iterator[str]:
    by_number = {task.number: task for task in trace.tasks}
    path = [by_number[number] for number in trace.critical]
    if len(path) > 1:
        since, until = trace.span
        share = sum(task.end - task.start for task in path) / (until - since)
        title = f"Critical path: {len(path)} tasks, one after the other, ran for {share:.0%} of the time"
        longest = {task.number for task in nlargest(LONGEST, path, key=attrgetter("seconds"))}
        if len(path) > LONGEST:
            title += f"; the {LONGEST} longest of them"
        yield from _tasks(title, trace, [task for task in path if task.number in longest])


def _final_results(trace: Trace) -> Iterator[str]:
    since, _ = trace.span
    ends = [task.end - since for task in trace.sinks if task.outcome == "done"]
    if ends:
        yield f"Final results: {len(ends)} (tasks that no other needs)"
        yield ""
        steps = [
            ("first", 0),
            *((f"{share} %", (len(ends) * share - 1) // 100) for share in (10, 25, 50, 75, 90)),
        ]
        yield from _table(
            ["", "after"],
            [[name, _duration(ends[place])] for name, place in [*steps, ("last", len(ends) - 1)]],
        )


def _tasks(title: str, trace: Trace, tasks: Sequence[Record]) -> Iterator[str]:
    if tasks:
        queues = {queue.pid: queue.name for queue in trace.queues}
        since, _ = trace.span
        yield title
        yield ""
        yield from _table(
            ["", "queue", "number", "began at", "ran for"],
            [
                [
                    task.name,
                    queues.get(task.queue, ""),
                    str(task.number),
                    _duration(task.start - since),
                    _duration(task.end - task.start),
                ]
                for task in tasks
            ],
        )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The first column to the left, the others to the right; then an empty line."""
    cells = [[_shortened(cell) for cell in row] for row in [heads, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *others in cells:
        right = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join([first.ljust(widths[0]), *right])
    yield ""


def _shortened(name: str) -> str:
    # Nothing that would be more than a letter to the terminal.
    name = "".join(letter if letter.isprintable() else "?" for letter in name)
    return name if len(name) <= LETTERS else name[: LETTERS - 3] + "..."


def _counted(things: Sequence[object], noun: str) -> str:
    return f"{len(things):,} {noun}{'' if len(things) == 1 else 's'}"


def _duration(micros: float) -> str:
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if micros >= size:
            return f"{micros / size:,.2f} {unit}"
    return f"{micros:.0f} µs"
