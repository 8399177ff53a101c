"""The context variables that tasks see: none of the call that happened to start their worker's thread."""

from __future__ import annotations

import sys
from contextvars import ContextVar
from typing import Any

import pytest
from gate import DEADLINE, Gate
from programs import run

from smqexec import Queue, Scheduler

VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="unset")


@pytest.fixture
def inside() -> Any:
    token = VARIABLE.set("of the submitter")
    yield
    VARIABLE.reset(token)


def test_worker_starts_in_an_empty_context(inside: None) -> None:
    """On builds where threads inherit the context of their starter too."""
    with Queue(1) as queue:
        first = queue.submit(VARIABLE.get)
        assert first.result(DEADLINE) == "unset"
        assert queue.submit(VARIABLE.get).result(DEADLINE) == "unset"


def test_thread_beside_an_inline_queue_starts_in_an_empty_context(inside: None) -> None:
    with Scheduler() as scheduler:
        threads, queue = Queue(scheduler, 1), Queue(scheduler, inline=True)
        gate = Gate()
        task = queue.submit(lambda _: VARIABLE.get(), threads.submit(gate))
        gate.open()
        assert task.result(DEADLINE) == "unset"


@pytest.mark.skipif(sys.version_info < (3, 14), reason="threads never inherit a context")
@pytest.mark.parametrize("inherit", ["0", "1"])
def test_worker_starts_in_an_empty_context_whatever_the_interpreter_does(inherit: str) -> None:
    outcome = run(
        """
        from contextvars import ContextVar
        variable = ContextVar("variable", default="unset")
        variable.set("of the submitter")
        with Queue(1) as queue, Queue(1, context=True) as copying:
            results = [each.submit(variable.get).result() for each in (queue, copying)]
        say(sys.flags.thread_inherit_context, *results)
        """,
        options=["-X", f"thread_inherit_context={inherit}"],
    )
    assert outcome.lines == [f"{inherit} unset of the submitter"]
