"""Why a task has not started, or not ended, in words."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future
from typing import Any

import pytest
from engines import Manual
from gate import DEADLINE, Gate
from internals import core_of, paused_in, workers_of
from threads import planned, until

import smqexec
from smqexec import Queue, Scheduler, checkpoint, settled


@pytest.fixture
def lab() -> Iterator[Any]:
    """A scheduler, two queues of one and two slots, and a gate that is opened at the end."""
    gate = Gate()
    with Scheduler() as scheduler:
        try:
            yield scheduler, Queue(scheduler, 1, "acquire"), Queue(scheduler, 2, "compute"), gate
        finally:
            gate.open()
            scheduler.resume()
            scheduler.shutdown(wait=False, cancel_futures=True)


# One task.


def test_waits_for_what_runs(lab: Any) -> None:
    _, acquire, compute, gate = lab
    frame = gate.hold(acquire)
    assert frame.why() == "running in acquire_0"
    for argument in (frame, settled(frame)):
        assert compute.submit(abs, argument).why() == "waiting: needs Gate#1 (running in acquire_0)"
    other = acquire.submit(abs, 1)
    both = compute.submit(max, frame, other)
    assert both.why() == "waiting: needs Gate#1 (running in acquire_0), and 1 more"
    tasks = [compute.submit(gate.enter) for _ in range(2)]
    gate.wait_entered(3)
    assert sorted(task.why() for task in tasks) == ["running in compute_0", "running in compute_1"]


def test_waits_for_a_chain() -> None:
    with planned(1, stopped=True) as (_, queue):
        chain = [queue.submit(abs, 1)]
        for _ in range(20_000):
            chain.append(queue.submit(abs, chain[-1]))
        end = "abs#1 (ready: the scheduler is stopped)"
        assert chain[1].why() == f"waiting: needs {end}"
        assert chain[3].why() == f"waiting: needs abs#3, which needs abs#2, which needs {end}"
        words = "waiting: needs abs#6, which needs abs#5, which needs abs#4, which needs 2 more, which needs"
        assert chain[6].why() == f"{words} {end}"
        assert chain[-1].why().endswith(f"which needs 19996 more, which needs {end}")


def test_ready(lab: Any) -> None:
    _, narrow, queue, gate = lab
    for each in (narrow, queue, queue):
        each.submit(gate.enter)
    gate.wait_entered(3)
    task = queue.submit(abs, 1)
    for more in ("", ", 1 other task is ready", ", 2 other tasks are ready"):
        assert task.why() == f"ready: all 2 slots of compute are busy{more}"
        queue.submit(abs, 1)
    assert narrow.submit(abs, 1).why() == "ready: the slot of acquire is busy"


def test_thread_is_on_its_way(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler, acquire, _, _ = lab
    starts: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(core_of(scheduler), "start_workers", lambda *args: starts.append(args))
        task = acquire.submit(abs, 1)
        assert task.why() == "ready: a thread of acquire is on its way"
        assert scheduler.why().splitlines()[1] == "acquire: 1 ready, a thread of acquire is on its way"
    core_of(scheduler).start_workers(*starts[0])
    assert task.result(DEADLINE) == 1


def test_futures_from_outside(lab: Any) -> None:
    scheduler, _, compute, gate = lab
    future: Future[int] = Future()
    waiting = [compute.submit(abs, future), compute.submit(abs, settled(future))]
    assert [task.why() for task in waiting] == ["waiting: needs a future of another executor"] * 2
    with planned(1) as (_, foreign):
        task = foreign.submit(gate.enter, 1)
        assert compute.submit(abs, task).why() == "waiting: needs Gate.enter#1 of another scheduler"
        assert scheduler.why().splitlines()[1:] == [
            "not done: a future of another executor, a future of another executor, "
            "Gate.enter#1 of another scheduler; needed by 3 tasks: abs#1, abs#2, abs#3"
        ]
        future.set_result(-1)
        words = "not done: Gate.enter#1 of another scheduler; needed by 1 task: abs#3"
        assert scheduler.why().splitlines()[-1] == words
        gate.open()


def test_items(lab: Any) -> None:
    _, acquire, compute, gate = lab

    def film() -> Iterator[int]:
        yield 1
        yield gate.enter(2)  # type: ignore[misc]

    task = acquire.submit(film)
    name = "test_items.<locals>.film"
    gate.wait_entered()
    second = task[1]
    needs = f"needs {name}#1 (running in acquire_0)"
    assert second.why() == f"waiting: {needs}"
    assert compute.submit(abs, second).why() == f"waiting: needs item 1 of {name}#1, which {needs}"
    later = acquire.submit(divmod, 7, 2)
    for key, shown in (("key", "'key'"), (None, "NoneType")):
        words = compute.submit(abs, later[key]).why()
        assert words.startswith(f"waiting: needs item {shown} of divmod#3, which")
    gate.open()
    assert second.result(DEADLINE) == 2
    assert second.why() == "done: returned int"


def test_part_whose_value_is_being_taken(lab: Any) -> None:
    _, acquire, compute, gate = lab

    class Slow:
        def __getitem__(self, key: Any) -> Any:
            return gate.enter(key)

    with acquire.scheduler.stop():
        task = acquire.submit(Slow)
        part = task["key"]
        needing = compute.submit(str, part)
    gate.wait_entered()
    assert task.done()
    assert part.why() == "waiting: what it needs has just ended"
    assert needing.why() == f"waiting: needs item 'key' of {Slow.__qualname__}#1"
    gate.open()
    assert needing.result(DEADLINE) == "key"


def test_waits_while_it_runs(lab: Any) -> None:
    scheduler, acquire, _, gate = lab
    held = gate.hold(acquire)
    outside: Future[int] = Future()
    films = acquire.options(name="film")
    film = films.submit(smqexec.number_of_results(lambda _: 0)(lambda _: iter([])), held)
    tasks = [acquire.submit(abs, i) for i in range(5)]
    for awaited, wait in {
        " for Gate#1": lambda: held.result(DEADLINE),
        " for the length of film#2": lambda: len(film),
        "futures of other executors": lambda: smqexec.wait([outside], DEADLINE),
        " and 2 more": lambda: smqexec.wait(tasks, DEADLINE),
        "acquire": acquire.shutdown,
        "the scheduler": scheduler.wait,
    }.items():
        task = Queue(scheduler, 1, "waiter").submit(wait)
        until(lambda task=task: "waits" in task.why())
        words = task.why()
        assert words.startswith("running in waiter_0, waits for ") and words.endswith(awaited), words
    gate.open()
    outside.set_result(1)


def test_what_was_waited_for_is_done_and_the_thread_is_busy(lab: Any) -> None:
    """The awaited task has ended, and what its own wait needed still runs above the task that waits."""
    _, acquire, compute, gate = lab
    enough: Future[None] = Future()
    begun = threading.Event()

    def call_back() -> None:
        assert begun.wait(DEADLINE)  # or the one slot is taken by the gate
        smqexec.wait([acquire.submit(gate.enter), enough], DEADLINE, FIRST_COMPLETED)

    calling = compute.submit(call_back)
    waiting = acquire.submit(lambda: [begun.set(), smqexec.wait([calling], DEADLINE)])
    gate.wait_entered()
    enough.set_result(None)
    calling.result(DEADLINE)
    words = waiting.why()
    assert ", waits for tasks that have ended, does Gate.enter#" in words, words


def test_nested_task(lab: Any) -> None:
    _, acquire, _, gate = lab
    inner: list[Any] = []

    def outer() -> Any:
        inner.append(acquire.submit(gate.enter, 1))
        return inner[0].result(DEADLINE)

    task = acquire.submit(outer)
    gate.wait_entered()
    assert task.why() == "running in acquire_0, waits for Gate.enter#2, does Gate.enter#2 meanwhile"
    assert inner[0].why() == "running in acquire_0"


def test_held_by_a_stop_and_asked_to_end(lab: Any) -> None:
    scheduler, acquire, _, gate = lab

    def long() -> None:
        gate.enter()
        while True:
            checkpoint()

    task = acquire.submit(long)
    gate.wait_entered()
    scheduler.stop()
    gate.open()
    until(lambda: paused_in(scheduler))
    assert task.why() == "running in acquire_0, held as the scheduler is stopped"
    scheduler.resume()
    gate = Gate()
    busy = acquire.submit(gate.enter)
    task.cancel()
    gate.wait_entered()
    busy.cancel()
    assert busy.why() == "running in acquire_0, asked to end"
    gate.open()


def test_task_at_an_executor(lab: Any) -> None:
    scheduler, _, compute, _ = lab
    executor = Manual()
    cluster = Queue(scheduler, 1, "cluster", executor=executor)
    task = cluster.options(name="far").submit(abs, -1)
    needing = compute.submit(abs, task)
    executor.wait_for(1)
    assert needing.why() == f"waiting: needs far#1 (running in {next(iter(workers_of(cluster))).thread})"
    executor.run()


def test_how_it_ended(lab: Any) -> None:
    _, acquire, compute, gate = lab
    gate.open()
    failed = acquire.submit(int, "x")
    late = compute.submit(abs, failed)
    assert compute.submit(str, 1).result(DEADLINE) == "1"
    done = compute.submit(divmod, 7, 2)
    assert isinstance(late.exception(DEADLINE), ValueError)
    assert done.result(DEADLINE) == (3, 1)
    assert done.why() == "done: returned tuple"
    assert core_of(acquire).why_of(done) is None, "as if it ended while it was asked"
    assert failed.why() == "failed: raised ValueError"
    assert late.why() == f"failed: needs {failed!r}"
    with acquire.scheduler.stop():
        cancelled = acquire.submit(abs, 1)
        assert cancelled.cancel()
    assert cancelled.why() == "cancelled"


# All at once.


def test_all_that_is_stuck(lab: Any) -> None:
    scheduler, acquire, compute, gate = lab
    assert scheduler.why() == "nothing is pending or running"
    frame = acquire.submit(gate.enter, 1)
    gate.wait_entered()
    sums = [compute.submit(max, frame, settled(frame)) for _ in range(5)]
    sums.append(compute.submit(abs, frame))
    acquire.submit(abs, sums[5])
    acquire.submit(abs, 1)
    outside: list[Future[int]] = [Future(), Future()]
    compute.submit(max, outside)
    compute.submit(abs, outside[0])
    assert scheduler.why().splitlines() == [
        "1 running, 1 ready, 9 waiting",
        "Gate.enter#1: running in acquire_0; needed by 6 tasks: max#2, max#3, max#4 and 3 more",
        "acquire: 1 ready, the slot of acquire is busy",
        "not done: a future of another executor, a future of another executor, "
        "a future of another executor; needed by 2 tasks: max#10, abs#11",
    ]
    scheduler.stop()
    assert scheduler.why().splitlines()[:2] == [
        "the scheduler is stopped: 1 running, 1 ready, 9 waiting",
        "Gate.enter#1: running in acquire_0; needed by 6 tasks: max#2, max#3, max#4 and 3 more",
    ]
    assert "slot" not in scheduler.why()


def test_cancelled_dependents_are_not_named(lab: Any) -> None:
    scheduler, acquire, compute, gate = lab
    frame = gate.hold(acquire)
    tasks = [compute.submit(abs, frame) for _ in range(100)]
    tasks[1].cancel()  # the planner removes it later
    assert scheduler.why().endswith("needed by 99 tasks: abs#2, abs#4, abs#5 and 96 more")


# Others at work.


def test_a_queue_may_have_any_name(lab: Any) -> None:
    """Also one that looks like the place of a name."""
    scheduler, _, _, gate = lab
    odd = Queue(scheduler, 1, "\0007\0")
    odd.submit(gate.enter)
    gate.wait_entered()
    assert odd.submit(abs, 1).why() == "ready: the slot of \0007\0 is busy"
