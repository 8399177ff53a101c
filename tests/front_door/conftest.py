"""CPython's own tests of executors start with the session and run beside ours: mostly they sleep."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress

import pytest

started = pytest.StashKey[dict[str, subprocess.Popen[str]]]()


def pytest_collection_finish(session: pytest.Session) -> None:
    processes = session.config.stash[started] = {}
    for item in [] if session.config.option.collectonly else session.items:
        if isinstance(item, pytest.Function) and "processes" in item.fixturenames:
            name = item.callspec.params["name"]
            processes[name] = item.module.start(name)


def pytest_sessionfinish(session: pytest.Session) -> None:
    for process in session.config.stash.get(started, {}).values():
        # Open still: the test was not reached, or a child of the process hangs.
        if process.stdout is not None and not process.stdout.closed:
            with process, suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def processes(pytestconfig: pytest.Config) -> dict[str, subprocess.Popen[str]]:
    """CPython's classes of tests, by name, each in a process of its own."""
    return pytestconfig.stash[started]
