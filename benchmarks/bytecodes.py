"""What a task costs in executed bytecodes: the same on every machine and in every run.

All tasks are submitted to one slot of a stopped scheduler, then run.  Only bytecodes of `smqexec` and of
the standard library count, not those of the bodies.  A count depends on the version of Python, and says
how much is executed, not how long it takes: a call of a C function is one bytecode.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

from smqexec import Queue, Scheduler

from . import workloads
from .workloads import Submitted, all_pairs, binary_tree, chain, independent, items, layers, picks, side

TASKS = 400
# On CPython 3.11.
AIMS = {"independent": 400, "chain": 600, "tree": 700, "pairs": 755, "layers": 950, "items": 1000}
SHAPES: dict[str, Callable[[Queue], Submitted]] = {
    "independent": partial(independent, TASKS),
    "chain": partial(chain, TASKS),
    "tree": partial(binary_tree, TASKS // 2),
    "pairs": partial(all_pairs, side(TASKS)),
    "layers": partial(layers, picks(TASKS, 10, 40)),
    "items": partial(items, TASKS),
}


def report() -> Iterator[str]:
    """Count, then yield the table."""
    yield f"Bytecodes of a task, some {TASKS} tasks, Python {sys.version.split()[0]}"
    yield ""
    for name, shape in SHAPES.items():
        yield f"  {name:26}{count(shape):8.0f}  <= {AIMS[name]} on 3.11"


def count(shape: Callable[[Queue], Submitted]) -> float:
    """Bytecodes of a task of *shape*."""
    counted = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal counted
        if frame.f_globals.get("__name__") in (__name__, workloads.__name__):
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
        tasks = run(shape)
    finally:
        sys.settrace(before[0])
        threading.settrace(before[1])  # type: ignore[arg-type]  # typeshed forgets None
    return counted / tasks


def run(shape: Callable[[Queue], Submitted]) -> int:
    """Run *shape*; return how many tasks it has."""
    scheduler = Scheduler(stopped=True)
    queue = Queue(1, scheduler=scheduler)
    tasks = shape(queue).tasks
    scheduler.resume()
    queue.shutdown()
    return tasks
