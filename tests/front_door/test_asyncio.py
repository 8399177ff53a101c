"""asyncio on tasks and items, and what the standard library reads of a future that is not public."""

from __future__ import annotations

import ast
import asyncio
import asyncio.base_events
import asyncio.futures
import concurrent.futures._base
from concurrent.futures import CancelledError, Executor, Future
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from gate import DEADLINE, Gate
from outcomes import fail
from threads import planned

from smqexec import Item, Queue, Scheduler, Task
from smqexec._engines.executors import Call, Engine
from smqexec._futures.remote_value import Remote

# What is known, of all versions.
READ = {
    asyncio.futures: {
        *{"fut._loop", "fut._Future__asyncio_awaited_by"},  # of its own futures
        "source._get_snapshot",
    },
    asyncio.base_events: {
        "future._log_destroy_pending",  # of its own
        *{f"handle.{name}" for name in ("_callback", "_cancelled", "_run", "_scheduled", "_when")},
        *{f"{name}._source_traceback" for name in ("handle", "task", "timer")},
        *{"timer._scheduled", "server._start_serving", "transp._protocol_paused"},
        *{"ssl_protocol._app_transport", "ssl_protocol._incoming", "stream_reader._buffer"},
    },
    concurrent.futures._base: {"f._condition", "f._state", "f._waiters", "future._condition"},
}


@pytest.mark.parametrize("module", READ, ids=lambda module: module.__name__)
def test_private_names_that_are_read_of_futures_are_known(module: ModuleType) -> None:
    """A new one: see whether it is read of a `concurrent.futures.Future`, and then give it to tasks."""
    assert module.__file__
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    no_futures = {"self", *(each.asname or each.name for node in imports for each in node.names)}
    found = {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if node.attr.startswith("_") and not node.attr.startswith("__") and node.value.id not in no_futures
    }
    assert found
    assert found <= READ[module], found - READ[module]


@pytest.mark.parametrize("kind", [Task, Item])
def test_methods_of_futures_that_tasks_inherit_are_known(kind: type) -> None:
    """The others read attributes that a task does not have."""
    inherited = {name for name in vars(Future) if getattr(kind, name) is getattr(Future, name)}
    methods = {name for name in inherited if callable(getattr(Future, name))}
    assert methods <= {"_invoke_callbacks", "_Future__get_result"}, methods


def test_snapshots() -> None:
    """Done, cancelled, result, exception: what asyncio of Python 3.15 asks."""
    with planned(1, stopped=True) as (scheduler, queue):
        gate = Gate()
        tasks = [queue.submit(divmod, 7, 2), queue.submit(fail), queue.submit(int), queue.submit(gate)]
        futures = [*tasks, tasks[0][1], tasks[1][0]]
        heir = queue.submit(str, tasks[2])
        assert {future._get_snapshot() for future in futures} == {(False, False, None, None)}
        assert tasks[2].cancel()
        scheduler.resume()
        gate.wait_entered()
        assert tasks[3]._get_snapshot() == (False, False, None, None)
        gate.open()
        assert scheduler.wait(DEADLINE)
        error = tasks[1].exception()
        assert futures[4].result(DEADLINE) == 1  # an item of a result ends after the task
        assert tasks[0]._get_snapshot() == (True, False, (3, 1), None)
        assert futures[4]._get_snapshot() == (True, False, 1, None)
        assert tasks[1]._get_snapshot() == futures[5]._get_snapshot() == (True, False, None, error)
        assert tasks[2]._get_snapshot() == heir._get_snapshot() == (True, True, None, None)


# Values that are kept elsewhere.


class Far(Remote):
    """A call that has been made; its value comes when a gate is open."""

    def __init__(self, value: Any, gate: Gate) -> None:
        super().__init__()
        self.value, self.gate = value, gate
        self.set_result(None)

    def result(self, timeout: float | None = None) -> Any:
        self.gate.enter()
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value

    def part(self, key: Any) -> Remote:
        return Far(self.value[key], self.gate)


class Keeper(Engine):
    remote_values = True
    max_workers = 1

    def takes(self, future: Remote) -> bool:
        return True

    def call(self, call: Call) -> Far:
        return Far(call.args[0], Gate())


@pytest.mark.parametrize("when", ["pending", "done"])
@pytest.mark.parametrize("part", [False, True], ids=["task", "item"])
def test_loop_goes_on_while_a_value_is_brought(part: bool, when: str) -> None:
    async def main(scheduler: Scheduler, queue: Queue) -> None:
        task: Any = queue.submit(print, ["value"])
        future = task[0] if part else task
        if when == "done":
            scheduler.resume()
            assert scheduler.wait(DEADLINE)
        waiting = asyncio.ensure_future(future)
        await asyncio.sleep(0)
        scheduler.resume()
        assert scheduler.wait(DEADLINE)
        gate = future._outcome.future.gate
        while not gate._entered:
            await asyncio.sleep(0)
        assert future.done() and not waiting.done()
        gate.open()
        assert await waiting == ("value" if part else ["value"])
        assert future._get_snapshot() == (True, False, await waiting, None)

    with Scheduler(stopped=True) as scheduler:
        queue = Queue(scheduler, 1, executor=Keeper(Executor()))
        assert queue.submit(print, 1)._get_snapshot() == (False, False, None, None)
        asyncio.run(asyncio.wait_for(main(scheduler, queue), DEADLINE))


@pytest.mark.parametrize("error", [ValueError("lost"), CancelledError()], ids=["lost", "cancelled"])
def test_value_that_cannot_be_brought(error: BaseException) -> None:
    async def main() -> None:
        task = queue.submit(print, error)
        assert scheduler.wait(DEADLINE)
        far: Any = task._outcome.future
        far.gate.open()
        cancelled = isinstance(error, CancelledError)
        assert task._get_snapshot() == (True, cancelled, None, None if cancelled else error)
        with pytest.raises(asyncio.CancelledError if cancelled else ValueError):
            await task

    with Scheduler() as scheduler:
        queue = Queue(scheduler, 1, executor=Keeper(Executor()))
        asyncio.run(asyncio.wait_for(main(), DEADLINE))


# Submitting from a loop to a queue that may be full.


@pytest.mark.parametrize("how", ["submit", "timeout", "map", "run_in_executor"])
def test_submit_that_would_block_the_loop_is_an_error(how: str) -> None:
    gate = Gate()

    async def main(queue: Queue) -> None:
        loop = asyncio.get_running_loop()
        running = gate.hold(queue)
        pending = queue.submit(abs, -1)  # there is room
        calls = {
            "submit": lambda: queue.submit(abs, -2),
            "timeout": lambda: queue.options(timeout=DEADLINE).submit(abs, -2),
            "map": lambda: queue.map(abs, [-2]),
            "run_in_executor": lambda: loop.run_in_executor(queue, abs, -2),
        }
        words = r"full: 1 pending .* event loop .* try_submit\(\), or await asyncio"
        with pytest.raises(RuntimeError, match=words):
            calls[how]()
        assert queue.try_submit(abs, -2) is None
        with pytest.raises(TimeoutError, match="is full"):
            queue.options(timeout=0).submit(abs, -2)
        late = asyncio.create_task(asyncio.to_thread(queue.submit, abs, -3))  # blocks another thread
        await asyncio.sleep(0)
        gate.open()
        await running
        assert (await pending, await (await late)) == (1, 3)

    with Queue(1, max_pending=1) as queue:
        asyncio.run(asyncio.wait_for(main(queue), DEADLINE))
        assert queue.submit(abs, -4).result(DEADLINE) == 4


def test_loop_of_a_task_of_the_scheduler_may_submit_more() -> None:
    """Its thread never waits for room."""

    async def main(queue: Queue) -> list[int]:
        return [await task for task in [queue.submit(abs, -n) for n in range(5)]]

    with Queue(1, max_pending=1) as queue, Queue(1, scheduler=queue.scheduler) as other:
        assert other.submit(asyncio.run, main(queue)).result(DEADLINE) == [0, 1, 2, 3, 4]
