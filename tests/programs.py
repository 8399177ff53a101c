"""Programs in a process of their own, killed with all their children at the deadline."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from gate import DEADLINE

HERE = Path(__file__).parent

PRELUDE = """
import faulthandler, os, signal, sys, threading, time
from concurrent.futures import Future, ThreadPoolExecutor
import smqexec
from smqexec import Queue, Scheduler, settled
from gate import DEADLINE, Gate, occupy
from internals import *
from threads import until

def limit(seconds):
    "Show where the threads are and end, should the process live longer."
    # Not faulthandler.dump_traceback_later: a child would wait for its thread at the end.
    if hasattr(signal, "alarm"):
        faulthandler.register(signal.SIGALRM, chain=True)
        signal.alarm(seconds)

limit(20)

def exiting():
    return state.State.exiting

def at_exit(result=None):
    "A task that goes on once the interpreter is exiting."
    until(exiting)
    return result

def say(*words):
    os.write(1, (" ".join(map(str, words)) + chr(10)).encode())

def in_child(main):
    "Fork, call main in the child, which then exits as a program does; return its exit code."
    pid = os.fork()
    if pid == 0:
        limit(10)
        main()
        sys.exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def error_of(call, *args):
    try:
        call(*args)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
"""


class Outcome:
    def __init__(self, code: int, output: str, errors: str) -> None:
        self.code = code
        self.lines = output.splitlines()
        self.errors = errors


def run(script: str, code: int = 0, options: Sequence[str] = ()) -> Outcome:
    """Run *script* after the prelude, with *options* of the interpreter.

    Raises:
        AssertionError: Its exit code was not *code*.
        TimeoutError: It, or a child of it, had not ended at the deadline.
    """
    process = subprocess.Popen(
        [sys.executable, *options, "-W", "ignore", "-c", PRELUDE + textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=os.name == "posix",
    )
    with process:
        try:
            output, errors = process.communicate(timeout=3 * DEADLINE)
        except subprocess.TimeoutExpired:
            if os.name == "posix":
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            output, errors = process.communicate(timeout=DEADLINE)
            raise TimeoutError(f"the script never ended\n{output}\n{errors}") from None
    assert process.returncode == code, f"{output}\n{errors}"
    return Outcome(process.returncode, output, errors)


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
