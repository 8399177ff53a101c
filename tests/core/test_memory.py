"""There is no memory for a moment: each time at another allocation, in whichever thread makes it.

The call may raise MemoryError, a task may fail with it, and the scheduler may break down, which is logged as
critical.  But each task ends, each thread that waits goes on, and a shutdown returns.
"""

from __future__ import annotations

from typing import Any

import pytest
from gate import DEADLINE
from internals import waiting
from programs import run
from threads import planned

# No function is made while allocations fail: CPython 3.13 crashes where there is no memory for one.
SCRIPT = """
import logging
from concurrent.futures import wait
from _testcapi import remove_mem_hooks, set_nomemory

logging.disable()

def yielding(): yield 1
yielding = smqexec.number_of_results(lambda: 1)(yielding)

class Stopped:
    "Threads of two queues are woken."
    def prepare(self):
        scheduler.stop()
        tasks.extend([queue.submit(int), other.submit(int)])
    def act(self):
        try:
            scheduler.resume()
        finally:
            scheduler.resume()

class Result:
    def act(self):
        tasks.append(queue.submit(time.sleep, 0))
        tasks[0].result(DEADLINE)

class Cancelled:
    def prepare(self):
        tasks.append(queue.submit(int, Future()))
        tasks.append(other.submit(int, tasks[0]))
    def act(self):
        try:
            tasks[0].cancel()
        finally:
            tasks[0].cancel()

class Part:
    def act(self):
        tasks.append(queue.submit(dict, a=1))
        tasks.append(tasks[0]["a"])

class Length:
    def act(self):
        tasks.append(queue.submit(yielding))
        len(tasks[0])

for n in range(1, LAST):
    limit(20)
    with Scheduler() as scheduler:
        queue, other = Queue(scheduler, 1), Queue(scheduler, 1)
        for each in (queue, other):  # from here on its thread waits for work
            each.submit(int).result(DEADLINE)
        case, tasks = CASE(), []
        getattr(case, "prepare", int)()
        end = time.monotonic() + DEADLINE
        set_nomemory(n, n + 1)
        try:
            case.act()
        except (MemoryError, RuntimeError):  # BrokenThreadPool, or no memory for a lock on CPython 3.11
            pass
        while True:
            try:
                while time.monotonic() < end and tasks and not tasks[-1].done():
                    time.sleep(0)
                break
            except MemoryError:
                pass
        remove_mem_hooks()
        scheduler.resume()
        assert not wait(tasks, DEADLINE).not_done, n
        for each in (queue, other):
            assert error_of(lambda: each.submit(int).result(DEADLINE)) is None or state_of(each).refusal, n
say("all ended")
"""


@pytest.mark.parametrize("case", ["Stopped", "Result", "Cancelled", "Part", "Length"])
def test_there_is_no_memory_for_a_moment(case: str) -> None:
    pytest.importorskip("_testcapi")  # it lets allocations fail
    assert run(SCRIPT.replace("CASE", case).replace("LAST", "200")).lines == ["all ended"]


@pytest.mark.parametrize("place", ["make_room", "perform"])
def test_no_memory_to_begin_a_nested_task(
    place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The scheduler breaks down: nobody waits for the task, which was taken and never called."""

    def refuse(*_: Any) -> None:
        monkeypatch.undo()
        raise MemoryError

    def outer() -> None:
        inner.append(queue.submit(int))
        monkeypatch.setattr(waiting, place, refuse)
        inner[0].result(DEADLINE)

    inner: list[Any] = []
    with planned(1) as (scheduler, queue):
        with pytest.raises(MemoryError):
            queue.submit(outer).result(DEADLINE)
        assert isinstance(inner[0].exception(DEADLINE), MemoryError)
        assert scheduler.wait(DEADLINE), scheduler.why()
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]
