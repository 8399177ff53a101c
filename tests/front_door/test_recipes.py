"""The recipes of the benchmarks: whole programs, which print what stands beside."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from gate import DEADLINE

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks/recipes"
PROGRAMS = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("[!_]*.py")}


def test_the_package_lists_the_recipes() -> None:
    listed = re.findall(r"^``(\w+)``$", (FOLDER / "__init__.py").read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == sorted(PROGRAMS)


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_recipe(name: str) -> None:
    program = PROGRAMS[name]
    for library in re.findall(r"^from (tenacity|joblib|tqdm|prometheus_client) ", program, re.MULTILINE):
        pytest.importorskip(library, reason=f"the recipe needs {library}")
    ended = subprocess.run(
        [sys.executable, "-m", f"benchmarks.recipes.{name}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=ROOT,
        capture_output=True, text=True, timeout=6 * DEADLINE,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == re.findall(r"^ *print\(.*\)  # (.*)$", program, re.MULTILINE)
