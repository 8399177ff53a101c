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
from inspect import CO_GENERATOR
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


def blow() -> None:
    raise Struck


def strike(
    step: int,
    call: Callable[[], Any],
    act: Callable[[], object] = blow,
    spared: Collection[str] = (),
    files: tuple[str, ...] = (PACKAGE,),
    returns: bool = False,
) -> bool:
    """Make *call*, and *act* before the *step*-th line in *files* that runs; False if it took fewer lines.

    Args:
        step: 1 for the first line.
        call: What is made; a `Struck`, Ctrl-C or TimeoutError that it raises is expected.
        act: What strikes.
        spared: Names of files that are not counted.
        files: What the names of the others begin with.
        returns: Count returns, too, but those of generators: what is raised there may be lost.
    """
    left = step

    def trace(frame: Any, event: str, arg: object) -> Any:
        nonlocal left
        code = frame.f_code
        if not code.co_filename.startswith(files) or Path(code.co_filename).name in spared:
            return None
        if event == "line":
            line = linecache.getline(code.co_filename, frame.f_lineno).lstrip()
            left -= not line.startswith(UNCALLED)
        elif event == "return" and returns:
            left -= not code.co_flags & CO_GENERATOR
        if left == 0:
            left = -1
            sys.settrace(before)
            act()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with suppress(Struck, KeyboardInterrupt, TimeoutError):
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
