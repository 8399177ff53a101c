"""Trace files that no program recorded: of any size, and with events that a real run seldom has.

``python tests/traces.py 100000 > large.json`` writes one to look at.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

Event = dict[str, Any]
KINDS = ("acquire", "correct", "compare", "write")


def text(events: Iterable[Event], torn: str | None = None) -> str:
    """Return the file of *events*.  If its last line is *torn*, the recording was not closed."""
    begun = "[\n" + "".join(json.dumps(line) + ",\n" for event in events for line in lines_of(event))
    return begun + (json.dumps(meta("smqexec_end", 0)) + "\n]\n" if torn is None else torn)


def lines_of(event: Event) -> Iterator[Event]:
    """Yield the start and the end of a task that *event*, by `ran`, has in one."""
    if event["ph"] != "X":
        yield event
        return
    begun, args = {**event, "ph": "B"}, event["args"].copy()
    end, outcome = event["ts"] + begun.pop("dur"), args.pop("outcome")
    yield {**begun, "args": args}
    yield {**event, "ph": "E", "ts": end, "args": {"number": args["number"], "outcome": outcome}}


def meta(event: str, pid: int, **args: Any) -> Event:
    return {"ph": "M", "name": event, "pid": pid, "tid": 0, "args": args}


def head(*queues: tuple[str, int]) -> list[Event]:
    """What a file begins with, for queues of these names and slots."""
    first = meta("smqexec", 0, version="0.1.0", python="CPython 3.13.1", cores=2)
    for_each = (
        meta("process_name", pid, name=name, slots=slots) for pid, (name, slots) in enumerate(queues, 1)
    )
    return [first, *for_each]


def ran(
    number: int,
    start: float,
    end: float,
    name: str = "work",
    *,
    queue: int = 1,
    thread: int = 1,
    needs: Sequence[int] = (),
    outcome: str = "done",
    submitted: float | None = 0.0,
) -> Event:
    """A task that was running from *start* to *end*, in microseconds."""
    args = {"number": number, "queue": f"queue {queue}", "dependencies": list(needs), "outcome": outcome}
    event = {"ph": "X", "pid": queue, "tid": thread, "ts": start, "dur": end - start, "name": name}
    return {**event, "cat": "task", "args": {**args, "submitted": submitted}}


def dropped(
    number: int,
    at: float,
    name: str = "work",
    *,
    queue: int = 1,
    needs: Sequence[int] = (),
    outcome: str = "failed",
) -> Event:
    """A task that ended without running."""
    args = {"number": number, "outcome": outcome, "dependencies": list(needs), "submitted": None}
    event = {"ph": "i", "s": "p", "pid": queue, "tid": 0, "ts": at, "cat": "dropped", "name": name}
    return {**event, "args": args}


def item(number: int, index: int, at: float, *, queue: int = 1, thread: int = 1) -> Event:
    """The mark of an item of task *number*."""
    args = {"number": number, "item": index}
    event = {"ph": "i", "s": "t", "pid": queue, "tid": thread, "ts": at, "cat": "item"}
    return {**event, "name": f"item {index}", "args": args}


def mark(name: str, at: float) -> Event:
    """A ``stop`` or ``resume`` of the scheduler."""
    return {"ph": "i", "s": "g", "pid": 0, "tid": 0, "ts": at, "cat": "scheduler", "name": name, "args": {}}


def synthetic(tasks: int, queues: int = 4, slots: int = 4, seed: int = 0) -> Iterator[Event]:
    """A run of *tasks* tasks: each starts when its dependencies and a slot are ready.

    One in 500 fails, one in 500 is cancelled, and one in 1,000 never runs.
    """
    random_ = random.Random(seed)
    yield from head(*((f"queue {q}", slots) for q in range(1, queues + 1)))
    free = {(q, s): 0.0 for q in range(1, queues + 1) for s in range(1, slots + 1)}
    ends: list[float] = []
    for number in range(1, tasks + 1):
        queue = random_.randint(1, queues)
        recent = range(max(1, number - 200), number)
        needs = random_.sample(recent, min(len(recent), random_.choice((0, 0, 1, 1, 2, 3))))
        thread = min(range(1, slots + 1), key=lambda s: free[queue, s])
        ready = max((ends[need - 1] for need in needs), default=0.0)
        start = max(ready, free[queue, thread]) + random_.uniform(1, 20)
        end = start + random_.lognormvariate(5, 1.2)
        name = f"{KINDS[number % len(KINDS)]}"
        fate = random_.randrange(1000)
        if fate == 0:
            yield dropped(number, ready, name, queue=queue, needs=needs)
            end = ready
        else:
            outcome = "failed" if fate in (1, 2) else "cancelled" if fate in (3, 4) else "done"
            where = {"queue": queue, "thread": thread, "needs": needs, "outcome": outcome}
            yield ran(number, start, end, name, **where, submitted=number / 10)
            free[queue, thread] = end
        ends.append(end)


# The fields that the format asks for, besides ph, pid and tid.
FIELDS = {
    "M": {"name", "args"},
    "B": {"name", "cat", "ts", "args"},
    "E": {"ts"},
    "i": {"name", "ts", "s"},
}


def check_format(events: Iterable[Event]) -> None:
    """See that Perfetto and chrome://tracing understand *events*: fields, nesting."""
    slices: dict[tuple[int, int], list[tuple[float, float]]] = {}
    begun: dict[tuple[int, int], list[float]] = {}
    for event in events:
        assert FIELDS[event["ph"]] <= event.keys(), event
        assert type(event["pid"]) is int and type(event["tid"]) is int, event
        assert event.get("ts", 0.0) >= 0, event
        row = event["pid"], event["tid"]
        if event["ph"] == "B":
            begun.setdefault(row, []).append(event["ts"])
        elif event["ph"] == "E":
            slices.setdefault(row, []).append((begun[row].pop(), event["ts"]))
        elif event["ph"] == "i":
            assert event["s"] in "gpt", event
    for row, starts in begun.items():
        slices.setdefault(row, []).extend((start, float("inf")) for start in starts)
    for spans in slices.values():
        check_nesting(sorted(spans, key=lambda span: (span[0], -span[1])))


def check_nesting(spans: list[tuple[float, float]]) -> None:
    around: list[float] = []
    for start, end in spans:
        while around and around[-1] <= start + 1e-6:
            around.pop()
        assert not around or end <= around[-1] + 1e-6, (start, end, around)
        around.append(end)


if __name__ == "__main__":
    sys.stdout.write(text(synthetic(*map(int, sys.argv[1:]))))
