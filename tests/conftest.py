"""What every test gets: no thread outlives it, and Hypothesis repeats itself."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from gate import DEADLINE
from hypothesis import given, settings
from hypothesis.strategies import none
from internals import receivers

# How long a thread keeps the interpreter lock, in seconds: tiny, to be interrupted anywhere.
if interval := os.environ.get("SWITCH_INTERVAL"):
    sys.setswitchinterval(float(interval))

# A shell that starts the tests in the background (``nohup``, ``&`` in a script) lets them
# ignore SIGINT, which they and the programs that they start send to themselves.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# For type checkers, and for setuptools: not meant for the search for doctests.
collect_ignore = ["typing_checks.py", "sdist.py"]

# The same examples on every run and machine; a slow machine is no failure.
settings.register_profile("smqexec", deadline=None, derandomize=True, database=None)
settings.load_profile("smqexec")

def pytest_collection_finish() -> None:
    """Spare each later run of the collector what is there for the whole session: modules and tests."""
    # Hypothesis makes its random generator at the first test, and asks the collector who keeps that: from
    # CPython 3.14 on it warns where the answer is nobody, as it is for what is frozen.
    given(none())(lambda _: None)()
    receivers.listen(os.getpid())  # it starts a thread for the rest of the session
    gc.collect()
    gc.freeze()


raised = pytest.StashKey[bool]()


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Remember whether the test itself raised: a failure, expected or not, or a skip."""
    if call.when == "call":
        item.stash[raised] = call.excinfo is not None


@pytest.fixture
def switching_often() -> Iterator[None]:
    """Let threads be interrupted anywhere."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


@pytest.fixture(autouse=True)
def no_thread_outlives_its_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread behind, and name the thread.

    A lost executor's threads end soon after it is collected: they have until
    the deadline.  A test that raised is let off, since its traceback keeps
    its executors alive.
    """
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + DEADLINE
    while left := [thread for thread in threading.enumerate() if thread not in before]:
        if request.node.stash.get(raised, False):
            return
        if time.monotonic() > deadline:
            pytest.fail(f"threads outlived the test: {sorted(t.name for t in left)}")
        gc.collect()
        with suppress(RuntimeError):  # it is just being started
            left[0].join(0.05)
