"""The suite itself: where it runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gate import DEADLINE

ROOT = Path(__file__).parent.parent

# Each sends SIGINT to itself, or starts a program that does.
INTERRUPTED = [
    "tests/core/test_exit.py::test_interrupted_with_block",
    "tests/core/test_unmasked.py::test_ctrl_c_ends_a_wait_at_once_and_leaves_no_record",
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


# The package's modules, the helpers of its tests, and no waiting: some seconds.
FAST = [
    "planner/test_planner.py",
    "calls/test_arguments.py",
    "test_layers.py",
    "observe/test_graph.py",
    "observe/test_timeline.py",
]

# What a program of the tests is given: none of the paths that lead to this checkout.
CLEAN = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def call(*command: Any, **options: Any) -> str:
    """Run *command*, and return what it printed."""
    done = subprocess.run(
        list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env=CLEAN, timeout=30 * DEADLINE, **options,
    )  # fmt: skip
    assert not done.returncode, done.stdout
    return done.stdout


def built(kind: str, source: Path, folder: Path) -> Path:
    """Build a distribution of *source* in *folder*, without a warning: an sdist, or a wheel."""
    script = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    said = call(sys.executable, "-c", script, folder, cwd=source)
    assert "Warning" not in said, said
    (found,) = folder.glob("smqexec-*.*")
    return found


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, built without a network and unpacked."""
    pytest.importorskip("setuptools", "77", reason="only setuptools 77 or newer can build a distribution")
    pytest.importorskip("pip", reason="only pip can install a distribution")
    folder = tmp_path_factory.mktemp("sdist")
    copy = folder / "copy"  # what the build writes beside its sources is not to stay there
    ignored = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist")
    shutil.copytree(ROOT, copy, ignore=ignored)
    archive = built("sdist", copy, folder)
    call(sys.executable, "-m", "tarfile", "-e", archive, folder)
    return folder / archive.name.removesuffix(".tar.gz")


def files_in(root: Path) -> set[str]:
    """The files of a checkout that belong to a distribution."""
    found = [root / name for name in ("LICENSE", "README.rst", "pyproject.toml", "setup.cfg")]
    for folder in ("smqexec", "tests", "benchmarks"):
        found += [path for path in (root / folder).rglob("*") if "__pycache__" not in path.parts]
    return {str(path.relative_to(root)) for path in found if path.is_file()}


def test_the_source_distribution_holds_all_that_is_here(unpacked: Path) -> None:
    assert files_in(unpacked) == files_in(ROOT)


@pytest.mark.slow
def test_the_source_distribution_can_be_installed_and_tested(unpacked: Path, tmp_path: Path) -> None:
    """In a fresh environment, where only what is installed here can be imported besides."""
    call(sys.executable, "-m", "venv", "--without-pip", tmp_path)
    python = tmp_path / ("Scripts" if os.name == "nt" else "bin") / "python"
    (site,) = call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").split()
    Path(site, "beside.pth").write_text(str(Path(pytest.__file__).parent.parent))
    (tmp_path / "wheel").mkdir()
    wheel = built("wheel", unpacked, tmp_path / "wheel")
    call(python, "-m", "pip", "install", "--no-index", "--no-deps", "--ignore-installed", wheel)
    # With -P what is tested is what was installed, and not what lies beside the tests.
    shown = call(python, "-P", "-c", "import smqexec; print(smqexec.__file__)", cwd=unpacked)
    assert Path(shown.strip()).is_relative_to(tmp_path)
    tests = [f"tests/{name}" for name in FAST]
    call(python, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, cwd=unpacked)
