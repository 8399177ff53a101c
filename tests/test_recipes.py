"""The README's recipes: whole programs, which print what stands beside."""

from __future__ import annotations

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
SECTION = README.partition("\nRecipes\n-------\n")[2].partition("\nMoving existing code\n")[0]
BLOCKS = re.findall(r"\*\*([^*]+)\*\*(?s:.*?)\.\. code-block:: python\n\n((?:    .*\n|\n)+)", SECTION)
PROGRAMS = {name: textwrap.dedent(block) for name, block in BLOCKS}


def printed(program: str) -> list[str]:
    """What a program says that it prints: beside a print, or below it."""
    beside = re.findall(r"^ *print\(.*\) +# (.*)$", program, re.MULTILINE)
    return beside or re.findall(r"^# (\d.*)$", program, re.MULTILINE)


def test_recipes_are_found() -> None:
    assert len(PROGRAMS) == 5
    assert [len(printed(program)) for program in PROGRAMS.values()] == [1, 1, 1, 1, 2]


@pytest.mark.parametrize("name", PROGRAMS)
def test_recipe(name: str, tmp_path: Path) -> None:
    program = PROGRAMS[name]
    for library in re.findall(r"^from (tenacity|joblib|tqdm|prometheus_client) ", program, re.MULTILINE):
        pytest.importorskip(library, reason=f"the recipe needs {library}")
    path = tmp_path / "recipe.py"
    path.write_text(program)
    ended = subprocess.run(
        [sys.executable, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path,
        capture_output=True, text=True, timeout=6 * DEADLINE,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == printed(program), ended.stderr
