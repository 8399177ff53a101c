"""The README's whole programs print what stands beside; one moves from threads to processes by one line."""

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

import smqexec

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.rst").read_text(encoding="utf-8")

FIRST, PROGRAM, LINES = (
    textwrap.dedent(block) for block in re.findall(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", README)
)
LINE = "        analysis = Queue(scheduler, 4)\n"


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 450


def test_the_guide_names_all_that_is_public() -> None:
    guide = (smqexec.__doc__ or "").partition("The house")[0]
    for name in [*smqexec.__all__, "trace", "dask"]:
        assert re.search(rf"\b{name}\b", guide), name


def printed(program: str, folder: Path) -> list[str]:
    """What *program* prints."""
    path = folder / "program.py"
    path.write_text(program)
    ended = subprocess.run(
        [sys.executable, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=folder,
        capture_output=True, text=True, timeout=6 * DEADLINE,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_first_program(tmp_path: Path) -> None:
    assert printed(FIRST, tmp_path) == re.findall(r"^ *# (\{.*)$", FIRST, re.MULTILINE)


@pytest.mark.parametrize("lines", [None, *LINES.strip().split("\n\n")])
def test_program(lines: str | None, tmp_path: Path) -> None:
    assert PROGRAM.count(LINE) == 1
    for library in re.findall(r"^from (\w+)", lines or "", re.MULTILINE):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed")
    program = PROGRAM.replace(LINE, LINE if lines is None else textwrap.indent(lines + "\n", " " * 8))
    assert printed(program, tmp_path) == re.findall(r"print\(.*\)  # (.*)$", PROGRAM, re.MULTILINE)
