"""Press Ctrl-C at a chosen step of the code under test.

Unlike `signal.raise_signal`, which has its signal handled before it returns, this does what
a signal from outside does: it is noted between two bytecodes, and Python calls the handler
where it looks next, such as at the end of the call at hand.
"""

from __future__ import annotations

import linecache
import signal
import sys
from _thread import interrupt_main
from collections import defaultdict
from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from signal import SIGINT
from typing import Any

from internals import add_to, core_of

import smqexec
from smqexec import Queue, settled


class Strike:
    """Ctrl-C at the *step*-th line, or bytecode, that the calling thread runs in files of *places*.

    Args:
        step: 1 for the first one.
        places: What the names of these files begin with.
        opcodes: Count bytecodes.
    """

    def __init__(self, step: int, *places: str, opcodes: bool = False) -> None:
        self.left = step
        self.struck = ""  # where: file and line
        self._places = places
        self._counted = "opcode" if opcodes else "line"
        self._opcodes = opcodes
        # To look up a key that is missing presses Ctrl-C in C, and is no call: Python does not look
        # for signals until the trace function has returned.
        self._ctrl_c: Any = defaultdict(partial(interrupt_main, SIGINT))

    def begin(self) -> None:
        """Count from now on what frames run that are entered from now on."""
        sys.settrace(self._trace)

    def _trace(self, frame: Any, event: str, arg: object) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(self._places):
            return None
        frame.f_trace_opcodes = self._opcodes
        if event == self._counted:
            self.left -= 1
            if not self.left:
                self.struck = f"{name}:{frame.f_lineno}"
                sys.settrace(None)  # a second Ctrl-C is another test
                self._ctrl_c[0]
        return self._trace

    def within(self, call: Callable[[], object]) -> bool:
        """Make *call*; return whether that took so many steps.  Whatever it raises is raised."""
        before = sys.gettrace()
        self.begin()
        try:
            call()
        finally:
            sys.settrace(before)
        return self.left <= 0


PACKAGE = str(Path(smqexec.__file__).parent)

# Lines before which no signal can strike: before a block is entered, on the way out of one, and where
# nothing is called.
UNCALLED = ("with ", "try:", "except ", "pass", "while not over", "begun = ", "progress: ")


class Struck(BaseException):
    """What strikes."""


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def strike(
    step: int, call: Callable[[], Any], blow: Callable[[], object], spared: Collection[str] = ()
) -> bool:
    """Make *call*, and *blow* before the *step*-th line of smqexec's that runs; False where it took fewer."""
    left = step

    def trace(frame: Any, event: str, arg: object) -> Any:
        nonlocal left
        name = frame.f_code.co_filename
        if not name.startswith(PACKAGE) or Path(name).name in spared:
            return None
        line = linecache.getline(name, frame.f_lineno).lstrip()
        if event == "line" and not line.startswith(UNCALLED):
            left -= 1
            if left == 0:
                sys.settrace(before)
                blow()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with suppress(Struck, KeyboardInterrupt):
            call()
    finally:
        sys.settrace(before)
    return left <= 0


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
