"""The suite itself: where it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from gate import DEADLINE

ROOT = Path(__file__).parent.parent

# Each sends SIGINT to itself, or starts a program that does.
INTERRUPTED = [
    "tests/test_exit.py::test_interrupted_with_block",
    "tests/test_exit.py::test_interrupted_at_the_end_of_a_with_block",
    "tests/test_room.py::test_ctrl_c_while_blocked_leaves_nothing_behind",
]


@pytest.mark.skipif(os.name != "posix", reason="a shell that lets programs ignore signals")
def test_the_suite_passes_where_sigint_is_ignored() -> None:
    """As after ``nohup``, or ``&`` in a script."""
    ignoring = "import os, signal, sys; signal.signal(2, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *INTERRUPTED]
    done = subprocess.run(
        [sys.executable, "-c", ignoring, *command],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=12 * DEADLINE,
    )  # fmt: skip
    assert not done.returncode, done.stdout + done.stderr
