"""The README's program moves from threads to processes, and on, by one line."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from gate import DEADLINE

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.rst").read_text(encoding="utf-8")

PROGRAM, LINES = (
    textwrap.dedent(block)
    for block in re.findall(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", README)
    if "analysis = " in block
)
LINE = "        analysis = Queue(scheduler, 4)\n"


@pytest.mark.parametrize("lines", [None, *LINES.strip().split("\n\n")])
def test_program(lines: str | None, tmp_path: Path) -> None:
    assert PROGRAM.count(LINE) == 1
    for library in re.findall(r"^from (\w+)", lines or "", re.MULTILINE):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed")
    path = tmp_path / "program.py"
    path.write_text(PROGRAM.replace(LINE, LINE if lines is None else textwrap.indent(lines + "\n", " " * 8)))
    ended = subprocess.run(
        [sys.executable, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path,
        capture_output=True, text=True, timeout=6 * DEADLINE,
    )  # fmt: skip
    frames = [[(i * n) % 17 for n in range(1000)] for i in range(20)]
    total = [sum(frame.count(level) for frame in frames) for level in range(17)]
    assert ended.stdout == f"{total}\n", ended.stderr
    assert ended.returncode == 0, ended.stderr
