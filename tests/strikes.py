"""Press Ctrl-C at a chosen step of the code under test.

Unlike `signal.raise_signal`, which has its signal handled before it returns, this does what
a signal from outside does: it is noted between two bytecodes, and Python calls the handler
where it looks next, such as at the end of the call at hand.
"""

from __future__ import annotations

import sys
from _thread import interrupt_main
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from signal import SIGINT
from typing import Any


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
