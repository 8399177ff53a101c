"""Hold a real task where a test wants it, without sleeping."""

from __future__ import annotations

import faulthandler
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

# Long: it is only reached when something hangs, and then it raises.
DEADLINE = 10.0


class Gate:
    """Tasks that enter stay inside until the test opens the gate: ``queue.submit(gate)``."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._entered = 0
        self._opened = False

    def enter(self, result: T | None = None) -> T | None:
        """Block until the gate is open, then return *result*."""
        with self._changed:
            self._entered += 1
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._opened, DEADLINE):
                faulthandler.dump_traceback()  # what the thread does that was to open it
                raise TimeoutError(f"nobody opened the gate within {DEADLINE} s")
        return result

    __call__ = enter

    def wait_entered(self, n: int = 1) -> None:
        """Block until *n* tasks in all have entered."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._entered >= n, DEADLINE):
                raise TimeoutError(f"{self._entered} of {n} tasks entered within {DEADLINE} s")

    def hold(self, queue: Any, result: Any = None) -> Any:
        """Submit the gate to *queue*; return the task, which has entered and is held."""
        task = queue.submit(self, result)
        self.wait_entered()
        return task

    def open(self) -> None:
        """Let everybody through, now and later."""
        with self._changed:
            self._opened = True
            self._changed.notify_all()


def occupy(queue: Any, result: Any = None) -> tuple[Gate, Any]:
    """Let a task run in *queue* until a gate is opened; return the gate and the task."""
    gate = Gate()
    return gate, gate.hold(queue, result)


def begun(queue: Any, call: Callable[[], Any]) -> tuple[Gate, Any]:
    """Let a task begin in *queue* that makes *call* once a gate is opened; return the gate and the task."""
    gate = Gate()
    task = queue.submit(lambda: gate.enter() or call())
    gate.wait_entered()
    return gate, task
