"""CPython's own tests of ThreadPoolExecutor, run with a Queue in its place.

``cpython_contract_runner.py`` says how.  Each class runs in a process of its own, which
``conftest.py`` starts before all tests.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import cpython_contract_runner as runner
import pytest

CLASSES = [
    "ThreadPoolAsCompletedTest",
    "ThreadPoolExecutorTest",
    "ThreadPoolFailingInitializerTest",
    "ThreadPoolInitializerTest",
    "ThreadPoolShutdownTest",
    "ThreadPoolWaitTests",
]

# "smqexec:Queue", or another to see whether the tests themselves are to blame.
EXECUTOR = os.environ.get("SMQEXEC_CONTRACT_EXECUTOR", "smqexec:Queue")


def find_folder() -> str | None:
    """The ``test`` package to take the tests from: this Python's own, or the next best.

    Where this Python came without them, those of a newer one say more than
    those of an older one.
    """

    def has_tests(folder: Path) -> bool:
        return any(folder.glob("test_concurrent_futures*"))

    def distance(folder: Path) -> tuple[bool, int]:
        minor = int(folder.parent.name.removeprefix("python3."))
        return minor < sys.version_info.minor, abs(minor - sys.version_info.minor)

    own = Path(sysconfig.get_path("stdlib"), "test")
    if has_tests(own):
        return str(own)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    others = [
        folder
        for folder in pyenv.glob("versions/*/lib/python3.*/test")
        if re.fullmatch(r"python3\.1\d", folder.parent.name) and has_tests(folder)
    ]
    return str(min(others, key=distance)) if others else None


FOLDER = find_folder()
if FOLDER is None:
    pytest.skip("no Python here has test.test_concurrent_futures", allow_module_level=True)


def start(*names: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, runner.__file__, FOLDER, EXECUTOR, *names],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("name", CLASSES)
def test_queue_passes(name: str, processes: dict[str, subprocess.Popen[str]]) -> None:
    output, _ = processes[name].communicate(timeout=runner.DEADLINE + 10)
    assert processes[name].returncode == 0, f"{name} from {FOLDER}:\n{output}"


def test_no_class_is_forgotten() -> None:
    with start() as process:
        output, _ = process.communicate(timeout=runner.DEADLINE)
    assert output.split() == CLASSES
