"""The programs of the README, the recipes and the examples print, or do, what they say."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
from gate import DEADLINE

import smqexec

ROOT = Path(__file__).parents[2]


def printed(*command: str) -> list[str]:
    """What Python prints when it runs *command* in the root folder."""
    ended = subprocess.run(
        [sys.executable, *command], env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=ROOT,
        capture_output=True, text=True, timeout=6 * DEADLINE,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


# The README.

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


def test_first_program() -> None:
    assert printed("-c", FIRST) == re.findall(r"^ *# (\{.*)$", FIRST, re.MULTILINE)


@pytest.mark.parametrize("lines", [None, *LINES.strip().split("\n\n")])
def test_one_line_moves_a_program_from_threads_to_processes(lines: str | None, tmp_path: Path) -> None:
    assert PROGRAM.count(LINE) == 1
    for library in re.findall(r"^from (\w+)", lines or "", re.MULTILINE):
        pytest.importorskip(library, reason=f"{library} is not installed")
    program = PROGRAM.replace(LINE, LINE if lines is None else textwrap.indent(lines + "\n", " " * 8))
    (path := tmp_path / "program.py").write_text(program)  # workers import it
    assert printed(str(path)) == re.findall(r"print\(.*\)  # (.*)$", PROGRAM, re.MULTILINE)


# The recipes.

FOLDER = ROOT / "benchmarks/recipes"
RECIPES = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("[!_]*.py")}


def test_the_package_lists_the_recipes() -> None:
    listed = re.findall(r"^``(\w+)``$", (FOLDER / "__init__.py").read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == sorted(RECIPES)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipe(name: str) -> None:
    program = RECIPES[name]
    for library in re.findall(r"^from (tenacity|joblib|tqdm|prometheus_client) ", program, re.MULTILINE):
        pytest.importorskip(library, reason=f"the recipe needs {library}")
    expected = re.findall(r"^ *print\(.*\)  # (.*)$", program, re.MULTILINE)
    assert printed("-m", f"benchmarks.recipes.{name}") == expected


# The examples.


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: importlib.import_module(f"benchmarks.examples.{name}")


@pytest.mark.parametrize("name", ["images", "measurement"])
def test_each_has_under_sixty_lines(name: str) -> None:
    assert len((ROOT / "benchmarks/examples" / f"{name}.py").read_text().splitlines()) < 60


def test_images_are_scored_the_same_both_ways(example: Any) -> None:
    pytest.importorskip("numpy", reason="the images need numpy and pillow")
    pytest.importorskip("PIL", reason="the images need numpy and pillow")
    (_, *dependent), (_, *phases) = example("images").compare(12, 64)
    assert [value for value, _ in dependent[-1]] == [value for value, _ in phases[-1]]
    assert len(phases[-1]) == 12
    assert phases[2] == 12  # phases keep all of them


def test_each_point_is_stored_once(example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    magnet = {"field": 0.0, "settles in": 0.0}
    rows = example("measurement").measure(magnet, [0.0, 0.5, 1.0])
    assert [row[0] for row in rows] == [0.0, 0.5, 1.0]
    assert all(abs(mean - field) < 0.01 for field, mean, _ in rows)
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert magnet["field"] == 0.0


# The handler says what it has done, by a call that may interrupt a print.
TELLING = """
import os, signal
from smqexec import Scheduler
from benchmarks.examples.measurement import measure

def telling(kind, name):
    method = getattr(kind, name)
    def tell(*args):
        result = method(*args)
        os.write(1, f"\\n{name}\\n".encode())
        return result
    setattr(kind, name, tell)

telling(Scheduler, "stop"), telling(Scheduler, "resume")
signal.signal(signal.SIGINT, signal.default_int_handler)
magnet = {"field": 0.0, "settles in": 0.01}
rows = measure(magnet, [n / 100 for n in range(1, 3001)])
print("end", len(rows), magnet["field"], flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_ctrl_c_stops_resumes_and_ends_a_measurement() -> None:
    """The third one ends it: the points so far are stored, and the field is ramped down."""
    with subprocess.Popen(
        [sys.executable, "-c", TELLING],
        stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        late = threading.Timer(6 * DEADLINE, process.kill)  # ends the lines as well
        late.start()
        try:
            assert process.stdout is not None
            for word in ("field", "stop", "resume"):
                assert any(line.startswith(word) for line in process.stdout), word
                process.send_signal(signal.SIGINT)
            *_, last = process.stdout
            assert process.wait() == 0
        finally:
            late.cancel()
            late.join()
            process.kill()
    word, points, field = last.split()
    assert word == "end"
    assert 0 < int(points) < 3000
    assert field == "0.0"
