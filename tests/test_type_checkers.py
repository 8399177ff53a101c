"""ty and pyrefly refuse those lines of `typing_checks.py` that mypy refuses, with a few exceptions."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from gate import DEADLINE

TESTS = Path(__file__).parent

LAMBDA = "assert_type(queue.submit(lambda a: a + 1, 1), Task[int])"

CHECKERS = {
    "ty": ["check", "--output-format", "concise", "--python", sys.prefix],
    "pyrefly": ["check", "--output-format", "min-text", "--python-interpreter-path", sys.executable],
}

# Lines that a checker refuses and mypy does not, or that it lets pass.
DIFFERENCES = {
    "ty": {LAMBDA},
    "pyrefly": {LAMBDA, "assert_type(queue.submit(max, one, 2), Task[int])", "for _ in one:"},
}


@pytest.mark.parametrize("name", CHECKERS)
def test_a_checker_expects_what_mypy_does(name: str, tmp_path: Path) -> None:
    pytest.importorskip(name, reason=f"{name} is not installed")
    lines = (TESTS / "typing_checks.py").read_text(encoding="utf-8").splitlines()
    expected = {number for number, line in enumerate(lines, 1) if "# type: ignore" in line}
    bare = [line.partition("  # type: ignore")[0] for line in lines]
    copy = tmp_path / "typing_checks.py"
    copy.write_text("\n".join([*bare, ""]), encoding="utf-8")
    for needed in ("smqexec", "pyproject.toml"):  # the latter has settings that pyrefly reads
        (tmp_path / needed).symlink_to(TESTS.parent / needed)
    checked = subprocess.run(
        [sys.executable, "-m", name, *CHECKERS[name], copy.name],
        cwd=tmp_path, capture_output=True, text=True, timeout=6 * DEADLINE,
    )  # fmt: skip
    found = {int(number) for number in re.findall(rf"{copy.name}:(\d+):", checked.stdout)}
    assert found, checked
    assert {bare[number - 1] for number in found ^ expected} == DIFFERENCES[name]
