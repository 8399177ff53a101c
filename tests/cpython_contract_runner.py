"""Run CPython's own thread-pool tests on another executor, in a process of their own.

Usage: python cpython_contract_runner.py FOLDER EXECUTOR [CLASS ...]

FOLDER is a ``test`` package that has ``test_concurrent_futures``; it may be
another Python's, since few installations keep it.  EXECUTOR (``module:name``)
takes the place of ``ThreadPoolExecutor``.  Without CLASS: print the names of
the test classes that make an executor of that type.

Nothing of CPython's is copied: the tests are imported from where they lie.
"""

from __future__ import annotations

import concurrent.futures
import faulthandler
import importlib
import os
import sys
import time
import types
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

# Where the package keeps its thread-pool tests.
MODULES = ["test_thread_pool", "test_shutdown", "test_init", "test_wait", "test_as_completed"]

# Longest class, in seconds: 9 on an idle machine.  Reached only by a deadlock.
DEADLINE = 100.0


def put_in(folder: str, executor: str) -> None:
    """Make ``ThreadPoolExecutor`` mean *executor*, and ``test`` importable.

    What the running Python has of its ``test`` package comes before *folder*.
    """
    sys.path.insert(0, str(HERE.parent))
    module, _, name = executor.partition(":")
    executor_type = getattr(importlib.import_module(module), name)
    concurrent.futures.ThreadPoolExecutor = executor_type  # type: ignore[misc]
    # Some tests write "from concurrent.futures import {executor_type.__name__}".
    setattr(concurrent.futures, executor_type.__name__, executor_type)
    try:
        import test
    except ImportError:
        test = sys.modules["test"] = types.ModuleType("test")
        test.__path__ = []
    test.__path__ = [*test.__path__, folder]
    lend()


def lend() -> None:
    """Give a Python before 3.13 what a newer one's tests ask of it."""
    from test import support

    if not hasattr(os, "process_cpu_count"):
        os.process_cpu_count = os.cpu_count  # type: ignore[attr-defined]
    if not hasattr(support, "Py_GIL_DISABLED"):
        support.Py_GIL_DISABLED = False

        def run_always(*args: object, **options: object) -> Callable[[Any], Any]:
            return lambda test: test

        support.requires_gil_enabled = support.skip_if_sanitizer = run_always
    if not hasattr(support, "sleeping_retry"):  # before 3.11.5

        def sleeping_retry(timeout: float, message: str | None = None) -> Iterator[None]:
            end = time.monotonic() + timeout
            while time.monotonic() < end:
                yield
                time.sleep(0.01)
            raise AssertionError(message or f"not so within {timeout} s")

        support.sleeping_retry = sleeping_retry


def load(folder: str, executor: str) -> dict[str, type[unittest.TestCase]]:
    """The classes of tests that make an executor of the type put in, by name."""
    put_in(folder, executor)
    package = importlib.import_module("test.test_concurrent_futures")
    if hasattr(package, "__path__"):
        modules = [importlib.import_module(f"{package.__name__}.{name}") for name in MODULES]
    else:
        modules = [package]  # one file, before 3.12
    found = {}
    for module in modules:
        if hasattr(module, "assert_python_ok"):
            module.assert_python_ok = in_child(module.assert_python_ok, folder, executor)
        for name, value in vars(module).items():
            if (
                isinstance(value, type)
                and issubclass(value, unittest.TestCase)
                and getattr(value, "executor_type", None) is concurrent.futures.ThreadPoolExecutor
            ):
                found[name] = value
    return found


def in_child(assert_python_ok: Callable[..., Any], folder: str, executor: str) -> Callable[..., Any]:
    """*assert_python_ok* whose child process gets the same *executor*."""
    # The child runs isolated, so no variable of the environment reaches it.
    first = (
        f"import sys; sys.path.insert(0, {str(HERE)!r}); import {Path(__file__).stem} as runner; "
        f"runner.put_in({folder!r}, {executor!r})\n"
    )

    def assert_child_ok(option: str, code: str) -> Any:
        return assert_python_ok(option, first + code)

    return assert_child_ok


def run(folder: str, executor: str, *names: str) -> bool:
    """Run the classes *names*; true if all went well and left nothing behind."""
    found = load(folder, executor)
    if not names:
        print(*sorted(found))
        return True
    from test import support

    suite = unittest.TestSuite()
    for name in names:
        suite.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(found[name]))
    faulthandler.dump_traceback_later(DEADLINE, exit=True)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    if support.environment_altered:
        print("a test left a thread or a process behind")
    return result.wasSuccessful() and result.testsRun > 0 and not support.environment_altered


if __name__ == "__main__":
    sys.exit(not run(*sys.argv[1:]))
