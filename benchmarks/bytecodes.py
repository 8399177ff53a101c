"""What a task costs in executed bytecodes: the same on every machine and in every run.

All tasks are submitted to one slot of a stopped scheduler, then run.  Only bytecodes of `smqexec` and of
the standard library count, not those of the bodies.  A count depends on the version of Python, and says
how much is executed, not how long it takes: a call of a C function is one bytecode.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator, Iterator
from random import Random
from types import FrameType
from typing import Any

from smqexec import Queue, Scheduler

from .workloads import add, one, successor

TASKS = 400
WIDTH = 40  # of a layer

# On CPython 3.11.
AIMS = {"independent": 400, "chain": 600, "tree": 700, "pairs": 830, "layers": 950, "items": 1000}


def first(a: Any, b: Any, c: Any) -> Any:
    return a


def values(count: int) -> Generator[int]:
    yield from range(count)


def independent(queue: Queue) -> None:
    for _ in range(TASKS):
        queue.submit(one)


def chain(queue: Queue) -> None:
    task = queue.submit(one)
    for _ in range(TASKS - 1):
        task = queue.submit(successor, task)


def tree(queue: Queue) -> None:
    level = [queue.submit(one) for _ in range(TASKS // 2)]
    while len(level) > 1:
        pairs_of = zip(level[::2], level[1::2], strict=False)
        level = [queue.submit(add, a, b) for a, b in pairs_of] + level[len(level) // 2 * 2 :]


def pairs(queue: Queue) -> None:
    needed = [queue.submit(successor, queue.submit(one)) for _ in range(int(TASKS**0.5))]
    for a in needed:
        for b in needed:
            queue.submit(add, a, b)


SAMPLES = [Random(number).sample(range(WIDTH), 3) for number in range(TASKS)]  # before anything is counted


def layers(queue: Queue) -> None:
    level: list[Any] = [queue.submit(one) for _ in range(WIDTH)]
    for begin in range(WIDTH, TASKS, WIDTH):
        samples = SAMPLES[begin : begin + WIDTH]
        level = [queue.submit(first, level[a], level[b], level[c]) for a, b, c in samples]


def items(queue: Queue) -> None:
    source = queue.submit(values, TASKS)
    for number in range(TASKS):
        queue.submit(successor, source[number])


SHAPES: dict[str, Callable[[Queue], None]] = {
    "independent": independent,
    "chain": chain,
    "tree": tree,
    "pairs": pairs,
    "layers": layers,
    "items": items,
}


def report() -> Iterator[str]:
    """Count, then yield the table."""
    yield f"Bytecodes of a task, {TASKS} tasks, Python {sys.version.split()[0]}"
    yield ""
    for name, shape in SHAPES.items():
        yield f"  {name:26}{count(shape):8.0f}  <= {AIMS[name]} on 3.11"


def count(shape: Callable[[Queue], None]) -> float:
    """Bytecodes of a task of *shape*."""
    counted = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal counted
        if frame.f_globals.get("__name__") in (__name__, one.__module__):
            return None  # the bodies and the submitting loop
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            counted += 1
        return trace

    before = sys.gettrace(), threading.gettrace()
    threading.settrace(trace)
    sys.settrace(trace)
    try:
        # First whatever is done once.  Also, CPython 3.12 and later do not trace the bytecodes of the call in
        # which a function is traced for the first time: the worker's loop, for all tasks.
        run(shape)
        counted = 0
        run(shape)
    finally:
        sys.settrace(before[0])
        threading.settrace(before[1])  # type: ignore[arg-type]  # typeshed forgets None
    return counted / TASKS


def run(shape: Callable[[Queue], None]) -> None:
    scheduler = Scheduler(stopped=True)
    queue = Queue(1, scheduler=scheduler)
    shape(queue)
    scheduler.resume()
    queue.shutdown()
