"""Strike at a chosen step of the code under test: press Ctrl-C, raise, or call something."""

from __future__ import annotations

import gc
import linecache
import signal
import sys
from _thread import interrupt_main
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from functools import partial
from inspect import CO_GENERATOR
from pathlib import Path
from typing import Any

from internals import add_to, core_of

import smqexec
from smqexec import Queue, Scheduler, settled

PACKAGE = str(Path(smqexec.__file__).parent)

# Lines before which no signal can strike: before a block is entered, on the way out of one, and where
# nothing is called.
UNCALLED = ("with ", "try:", "except ", "pass", "while not over", "progress: ", "mask, over")


class Struck(BaseException):
    """What strikes."""


def blow() -> None:
    raise Struck


def press_ctrl_c() -> None:
    """Press Ctrl-C, which is handled before this returns."""
    signal.raise_signal(signal.SIGINT)


# As a signal from outside, it is noted between two bytecodes, and Python calls the handler where it looks
# next, such as at the end of the call at hand.
from_outside = partial(interrupt_main, signal.SIGINT)


@contextmanager
def handling(number: int, handler: Callable[..., object]) -> Iterator[None]:
    """Let *handler* handle signal *number* in the block."""
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


class Strike:
    """*act* before the *step*-th line that the calling thread runs in files of *places*.

    Args:
        step: 1 for the first line.
        places: What the names of these files begin with.
        act: What strikes.
        spared: What the names of files end with that are not counted.
        opcodes: Count bytecodes in place of lines.
        returns: Count returns, too, but those of generators: what is raised there may be lost.
    """

    def __init__(
        self,
        step: int,
        *places: str,
        act: Callable[[], object] = from_outside,
        spared: tuple[str, ...] = (),
        opcodes: bool = False,
        returns: bool = False,
    ) -> None:
        self.left = step
        self.struck = ""  # where: file and line
        self._places, self._spared = places, spared
        self._opcodes, self._returns = opcodes, returns
        self._passes = () if act is from_outside else UNCALLED
        self._before: Any = None
        # To look up a key that is missing acts, and is no call: Python does not look for signals until the
        # trace function has returned.
        self._acts: Any = defaultdict(act)

    def begin(self) -> None:
        """Count from now on what frames run that are entered from now on."""
        # CPython 3.12 reports bytecodes from the first `settrace` on after a frame has asked for these.
        sys._getframe().f_trace_opcodes = self._opcodes
        sys.settrace(self._trace)

    def _trace(self, frame: Any, event: str, arg: object) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(self._places) or name.endswith(self._spared):
            return None
        frame.f_trace_opcodes = self._opcodes
        if event == "opcode":
            self.left -= 1
        elif event == "line":
            line = linecache.getline(name, frame.f_lineno).lstrip()
            self.left -= not (self._opcodes or line.startswith(self._passes))
        elif event == "return":
            self.left -= self._returns and not frame.f_code.co_flags & CO_GENERATOR
        if not self.left and not self.struck:
            self.struck = f"{name}:{frame.f_lineno}"
            sys.settrace(self._before)  # a second strike is another test
            self._acts[0]
        return self._trace

    def within(self, call: Callable[[], object]) -> None:
        """Make *call*.  Whatever it raises is raised."""
        self._before = sys.gettrace()
        gc.disable()  # it would call finalizers of ours, for queues of earlier steps
        self.begin()
        try:
            call()
        finally:
            sys.settrace(self._before)
            gc.enable()


def strike(
    step: int,
    call: Callable[[], Any],
    act: Callable[[], object] = blow,
    files: tuple[str, ...] = (PACKAGE,),
    **options: Any,
) -> str:
    """Make *call*, and strike; return where, or "" if it took fewer steps.  See `Strike`."""
    strike = Strike(step, *files, act=act, **options)
    with suppress(Struck, KeyboardInterrupt, TimeoutError):
        strike.within(call)
    return strike.struck


class Step:
    """A round of a test: *number* is the step at which its call is struck, and *struck* where that was."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.struck = ""

    def __repr__(self) -> str:
        return f"step {self.number}, {self.struck}"

    def strike(
        self, call: Callable[[], Any], act: Callable[[], object] = press_ctrl_c, **options: Any
    ) -> None:
        self.struck = strike(self.number, call, act, **options)


def each_step(least: int, first: int = 1) -> Iterator[Step]:
    """Yield a `Step` for each round of a test, later by one each time, until a call takes fewer steps.

    A call that takes less than *least* steps fails the test: nothing was struck.
    """
    step = Step(first)
    while True:
        yield step
        if not step.struck:
            break
        step.number += 1
    assert step.number > least, step


def submit_in(group: Any, queue: Queue, fn: Any, *args: Any) -> object:
    """What `map` does for an item."""
    return add_to(queue, fn, args, None, group)


SUBMITS: dict[str, Callable[[Queue, Any, Any], object]] = {
    "independent": lambda queue, held, outside: queue.submit(int),
    "dependent": lambda queue, held, outside: queue.submit(str, held),
    "two": lambda queue, held, outside: queue.submit(max, held, 1),
    "settled": lambda queue, held, outside: queue.submit(isinstance, settled(held), Future),
    "foreign": lambda queue, held, outside: queue.submit(str, outside),
    "nested": lambda queue, held, outside: queue.submit(sum, [[held]]),
    "map": lambda queue, held, outside: submit_in(core_of(queue).submission.group(), queue, int),
}

# Of a scheduler, a queue, a task whose result has a first item, and a number of seconds.
CALLS: dict[str, Callable[[Scheduler, Queue, Any, float], object]] = {
    "submit": lambda scheduler, queue, task, seconds: queue.submit(int),
    "submit dependent": lambda scheduler, queue, task, seconds: queue.submit(str, task),
    "submit nested": lambda scheduler, queue, task, seconds: queue.submit(str, [[task]]),
    "map": lambda scheduler, queue, task, seconds: list(queue.map(abs, [1, 2])),
    "cancel": lambda scheduler, queue, task, seconds: queue.submit(str, task).cancel(),
    "callback": lambda scheduler, queue, task, seconds: task.add_done_callback(str),
    "exception": lambda scheduler, queue, task, seconds: task.exception(seconds),
    "result": lambda scheduler, queue, task, seconds: task.result(seconds),
    "wait": lambda scheduler, queue, task, seconds: wait([task], seconds),
    "item": lambda scheduler, queue, task, seconds: task[0],
    "promote": lambda scheduler, queue, task, seconds: task.promote(),
    "wait for all": lambda scheduler, queue, task, seconds: scheduler.wait(seconds),
    "stop": lambda scheduler, queue, task, seconds: scheduler.stop(),
    "resume": lambda scheduler, queue, task, seconds: scheduler.resume(),
    "max_workers": lambda scheduler, queue, task, seconds: setattr(queue, "max_workers", 2),
    "why": lambda scheduler, queue, task, seconds: task.why(),
    "graph": lambda scheduler, queue, task, seconds: (scheduler.graph(), scheduler.counts(), repr(task)),
}
