"""A Dask cluster as the engine of a queue: a real one, of two worker processes."""

from __future__ import annotations

import asyncio
import operator
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from pickle import PicklingError
from types import SimpleNamespace
from typing import Any

import pytest

distributed = pytest.importorskip("distributed", reason="needs smqexec[dask]")

import cluster_calls as calls  # noqa: E402 - it needs distributed too
import threads  # noqa: E402
from threads import beside  # noqa: E402

from smqexec import Item, Queue, Scheduler, number_of_results  # noqa: E402
from smqexec._engines.dask.transport import in_loop  # noqa: E402
from smqexec.dask import BrokenCluster, CallLost, DaskExecutor  # noqa: E402

DEADLINE = calls.DEADLINE
STARTING = 3 * DEADLINE  # of a cluster: three interpreters, each of which imports Dask

pytestmark = [
    pytest.mark.cluster,
    # Dask's own, of its clusters and clients.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


# Of the cluster, which would be kept busy if it was asked all the time.
until = partial(threads.until, pause=0.02, deadline=DEADLINE)


@contextmanager
def cluster(workers: int) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A cluster in a process of its own, which has its threads and children."""
    here = Path(__file__).parents[1]
    path = os.pathsep.join([str(here), str(here.parent), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    process = subprocess.Popen(
        [sys.executable, calls.__file__, str(workers)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    address = beside(process.stdout.readline)
    try:
        yield address.result(STARTING).strip(), process
    finally:
        process.stdin.close()
        try:
            process.wait(DEADLINE)
        finally:
            process.kill()
            if address.done():  # else a thread still reads
                process.stdout.close()


@pytest.fixture(scope="session")
def client() -> Iterator[Any]:
    """The client of a cluster that lasts for all tests."""
    with cluster(2) as (address, _), distributed.Client(address) as client:
        client.wait_for_workers(2, timeout=DEADLINE)
        # The threads that it starts when first needed.
        told = threading.Event()
        client.submit(calls.add, pure=False).add_done_callback(lambda _: told.set())
        assert told.wait(DEADLINE)
        beside(lambda: client.gather(client.scatter(0))).result(DEADLINE)
        yield client


@pytest.fixture
def executor(client: Any) -> Iterator[DaskExecutor]:
    executor = DaskExecutor(client)
    yield executor
    client.wait_for_workers(2, timeout=DEADLINE)


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    with threads.planned() as (scheduler,):
        yield scheduler


@pytest.fixture
def remote(executor: DaskExecutor, scheduler: Scheduler) -> Queue:
    return Queue(scheduler, executor=executor)


@pytest.fixture
def local(scheduler: Scheduler) -> Queue:
    return Queue(scheduler, 1)


@contextmanager
def gated(client: Any, submit: Any, value: Any = None) -> Iterator[Any]:
    """A future of *submit* whose call runs on the cluster during the block."""
    entered, opened = fresh("entered"), fresh("opened")
    future = submit(calls.gated, entered, opened, value)
    assert distributed.Event(entered, client).wait(DEADLINE)
    yield future
    distributed.Event(opened, client).set()


def fresh(word: str) -> str:
    return f"{word}-{uuid.uuid4().hex}"


@pytest.fixture
def step(client: Any) -> Any:
    """The name of a generator; with a number, lets it yield that."""
    name = fresh("step")

    def go_on(number: int | None = None) -> str:
        if number is not None:
            distributed.Event(f"{name}-{number}", client).set()
        return name

    return go_on


# Values.


def test_a_value_goes_from_task_to_task_without_coming_here(remote: Any) -> None:
    before = calls.Homely.arrivals
    task = remote.submit(calls.grow, 0)
    for _ in range(5):
        task = remote.submit(calls.grow, task)
    assert remote.submit(calls.number_in, task).result(DEADLINE) == 5
    assert calls.Homely.arrivals == before


def test_a_value_comes_here_once(remote: Any, local: Any) -> None:
    before = calls.Homely.arrivals
    task = remote.submit(calls.grow, 3)
    assert task.exception(DEADLINE) is None
    assert calls.Homely.arrivals == before
    asked = [beside(task.result, DEADLINE) for _ in range(4)]
    value = task.result(DEADLINE)
    assert all(each.result(DEADLINE) is value for each in asked)
    assert value.number == 3
    assert task.result() is value
    assert local.submit(calls.identity, task).result(DEADLINE) is value
    assert local.submit(calls.identity, [task]).result(DEADLINE) == [value]
    assert calls.Homely.arrivals == before + 1
    # It is still there.
    assert remote.submit(calls.number_in, task).result(DEADLINE) == 3


def test_values_stand_anywhere_in_arguments(remote: Any) -> None:
    one, two = remote.submit(calls.add, 1), remote.submit(calls.add, 2)
    argument = {
        (one, "key"): [two, (one,), {two}, frozenset([one])],
        "named": calls.Pair(one, {"deep": calls.Pair(two, None)}),
        "point": calls.Point(one),
    }
    expected = {
        (1, "key"): [2, (1,), {2}, frozenset([1])],
        "named": calls.Pair(1, {"deep": calls.Pair(2, None)}),
        "point": calls.Point(1),
    }
    assert remote.submit(calls.shape_of, argument).result(DEADLINE) == repr(expected)
    assert remote.submit(calls.shape_of, value=[two, two]).result(DEADLINE) == "[2, 2]"


def test_daskʼs_own_futures_are_arguments_too(client: Any, remote: Any) -> None:
    own = client.scatter(calls.Homely(7))
    before = calls.Homely.arrivals
    assert remote.submit(calls.number_in, own).result(DEADLINE) == 7
    assert remote.submit(calls.number_in, value=own).result(DEADLINE) == 7
    assert calls.Homely.arrivals == before
    assert remote.submit(calls.shape_of, {"deep": [client.scatter(2)]}).result(DEADLINE) == "{'deep': [2]}"


def test_a_call_on_the_same_client_takes_the_futures_of_another_executor(
    client: Any, executor: DaskExecutor, remote: Any, local: Any
) -> None:
    future = DaskExecutor(client).submit(calls.grow, 4)
    before = calls.Homely.arrivals
    assert remote.submit(calls.number_in, future).result(DEADLINE) == 4
    assert calls.Homely.arrivals == before
    assert local.submit(calls.identity, future).result(DEADLINE).number == 4


def test_values_and_failures_are_dropped_with_their_tasks(client: Any, remote: Any) -> None:
    task = remote.submit(calls.grow, 0)
    last = remote.submit(calls.grow, task)
    failed = remote.submit(calls.failing, "x")
    assert isinstance(failed.exception(DEADLINE), ValueError)
    last.exception(DEADLINE)
    assert len(keys_of(client, "grow")) == 2
    del task, failed
    until(lambda: len(keys_of(client, "grow")) == 1)
    until(lambda: not any(str(key).startswith("failing-") for key in client.who_has()))
    del last
    until(lambda: not keys_of(client, "grow"))


def keys_of(client: Any, name: str) -> list[str]:
    """The keys of values that are on the cluster and calls of *name* gave."""
    held = {key for keys in client.has_what().values() for key in keys}
    return [key for key in held if str(key).startswith(f"{name}-")]


def test_each_call_is_made(remote: Any, tmp_path: Path) -> None:
    """A second measurement is a second measurement."""
    path = str(tmp_path / "calls")
    assert sorted(remote.submit(calls.mark, path).result(DEADLINE) for _ in range(3)) == [1, 2, 3]


# Parts.


def test_a_part_of_a_value_stays_on_the_cluster(remote: Any, local: Any) -> None:
    before = calls.Homely.arrivals
    pair = remote.submit(calls.identity, (calls.Homely(1), calls.Homely(2)))
    early = pair[0]
    assert isinstance(early, Item)
    assert remote.submit(calls.number_in, early).result(DEADLINE) == 1
    pair.exception(DEADLINE)
    assert remote.submit(calls.number_in, pair[1]).result(DEADLINE) == 2
    assert calls.Homely.arrivals == before
    assert local.submit(calls.number_in, pair[1]).result(DEADLINE) == 2
    assert early.result(DEADLINE).number == 1
    assert calls.Homely.arrivals == before + 2


def test_a_part_that_there_is_not_fails(remote: Any) -> None:
    pair = remote.submit(divmod, 17, 5)
    for part in (pair[2], pair[2]):  # pending, and perhaps done
        with pytest.raises(IndexError):
            part.result(DEADLINE)
    pair.exception(DEADLINE)
    assert isinstance(remote.submit(calls.identity, pair[2]).exception(DEADLINE), IndexError)


# Failure.


def test_a_failure_comes_with_its_traceback(remote: Any) -> None:
    task = remote.submit(calls.failing, "x")
    late = remote.submit(calls.add, remote.submit(calls.add, task))
    with pytest.raises(ValueError, match="x") as caught:
        late.result(DEADLINE)
    assert any(entry.name == "failing" for entry in caught.traceback)
    assert late.origin is task
    assert late.exception() is task.exception()


@pytest.mark.parametrize(
    ("made", "name", "part"),
    [
        (lambda call, lock: call(calls.grow, value=lock), "grow", "its argument 'value', of type 'lock',"),
        (lambda call, lock: call(calls.add, 1, lock), "add", "its argument 2, of type 'lock',"),
        (lambda call, lock: call(lock.acquire), "acquire", "it"),
    ],
)
def test_part_that_cannot_be_pickled_is_named(remote: Any, made: Any, name: str, part: str) -> None:
    with pytest.raises(PicklingError, match=f"{name} can't be sent to the cluster: {part} can't be pickled"):
        made(remote.submit, threading.Lock()).result(DEADLINE)


def test_a_future_of_another_client_comes_here_first(client: Any, remote: Any) -> None:
    with distributed.Client(client.scheduler.address) as other:
        before = calls.Homely.arrivals
        future = DaskExecutor(other).submit(calls.grow, 4)
        wait([future], DEADLINE)
        assert remote.submit(calls.number_in, future).result(DEADLINE) == 4
        assert calls.Homely.arrivals == before + 1
        with pytest.raises(PicklingError, match="to that cluster only"):
            DaskExecutor(client).submit(calls.identity, future)
        del future


@pytest.mark.parametrize("size", [10, 10**6])
def test_call_whose_worker_is_killed_is_made_again(remote: Any, tmp_path: Path, size: int) -> None:
    kept = remote.submit(calls.grow, 3)
    task = remote.submit(calls.die_first, str(tmp_path / "deaths"), 1, [kept, calls.Homely(1, size)])
    assert remote.submit(calls.add, task, 10).result(DEADLINE) == 12
    # What the worker had is made again.
    assert remote.submit(calls.number_in, kept).result(DEADLINE) == 3


def test_value_of_a_large_call_is_lost_with_its_worker(
    client: Any, remote: Any, tmp_path: Path
) -> None:
    made = remote.submit(calls.number_in, calls.Homely(7, 10**6))
    assert made.exception(DEADLINE) is None
    until(lambda: not keys_of(client, "bytes"))
    [key] = keys_of(client, "number_in")
    [holder] = client.who_has()[key]
    deadly = remote.options(workers=[holder], allow_other_workers=True)
    assert deadly.submit(calls.die_first, str(tmp_path / "deaths"), 1).result(DEADLINE) == 2
    assert isinstance(remote.submit(calls.add, made, 1).exception(DEADLINE), CallLost)
    with pytest.raises(CallLost):
        made.result(DEADLINE)


# Options of Dask.


def test_a_task_is_named_on_the_cluster(remote: Any) -> None:
    assert remote.submit(calls.key).result(DEADLINE).startswith("key-")
    assert remote.options(name="dark frame").submit(calls.key).result(DEADLINE).startswith("dark frame-")


def test_a_call_that_fails_is_retried(remote: Any, tmp_path: Path) -> None:
    assert remote.options(retries=2).submit(calls.fail_first, str(tmp_path / "a"), 2).result(DEADLINE) == 3
    failed = remote.options(retries=1).submit(calls.fail_first, str(tmp_path / "b"), 2)
    assert str(failed.exception(DEADLINE)) == "call 2"


@pytest.mark.parametrize(
    ("fn", "options", "words"),
    [
        (calls.add, {"allow_other_workers": True}, "workers="),
        (calls.counting, {"retries": 2}, "can't be retried"),
    ],
)
def test_options_that_a_call_can_not_have_fail_its_task(
    remote: Any, fn: Any, options: dict[str, Any], words: str
) -> None:
    assert words in str(remote.options(**options).submit(fn, 2).exception(DEADLINE))
    with pytest.raises(TypeError, match=r"no option 'colour'; this queue knows .*resources.*workers"):
        remote.options(colour="red")


# The end of workers, calls, clients, clusters.


def test_cancel_ends_a_call_that_has_not_begun(client: Any, executor: Any, scheduler: Scheduler) -> None:
    remote = Queue(scheduler, 4, executor=executor)
    with gated(client, remote.submit) as first, gated(client, remote.submit) as second:
        waiting = remote.submit(calls.add, 1)
        dependent = remote.submit(calls.add, waiting)
        until(waiting.running)
        waiting.cancel()
        for task in (waiting, dependent):
            with pytest.raises(CancelledError):
                task.result(DEADLINE)
    assert [task.result(DEADLINE) for task in (first, second)] == [None, None]


def test_cancel_throws_away_the_value_of_a_running_call(client: Any, remote: Any) -> None:
    with gated(client, remote.submit, 1) as task:
        task.cancel()
        with pytest.raises(CancelledError):
            task.result(DEADLINE)


@pytest.mark.parametrize("size", [10, 10**6])
def test_calls_and_values_that_the_cluster_drops_are_lost(
    client: Any, executor: DaskExecutor, size: int
) -> None:
    with gated(client, executor.submit, bytes(size)) as future:
        client.cancel([future.remote], reason="no-reason", msg="somebody wanted it")
        with pytest.raises(CallLost, match="somebody wanted it"):
            future.result(DEADLINE)
    with gated(client, executor.submit, 1) as future:
        client.cancel([future.remote], reason="lost dependencies")
    assert future.result(DEADLINE) == 1, "sent again"
    future = executor.submit(calls.add, 1, 2)
    wait([future], DEADLINE)
    client.cancel([future.remote])
    with pytest.raises(CallLost):
        future.result(DEADLINE)


def test_the_future_of_a_call_tells_its_state(client: Any, executor: DaskExecutor) -> None:
    with gated(client, executor.submit, 1) as future:
        assert future.running()
        assert "gated-" in repr(future) and "pending" in repr(future)
        with pytest.raises(TimeoutError):
            future.result(0)
    wait([future], DEADLINE)
    assert future.result(0) == 1, "done, but not fetched before"
    assert not future.running()
    assert future.cancel() is False
    assert "finished" in repr(future)


def test_the_loop_of_the_client_cannot_wait_for_a_value(client: Any, executor: DaskExecutor) -> None:
    future = executor.submit(calls.add, 1, 2)
    wait([future], DEADLINE)

    async def ask() -> None:
        with pytest.raises(RuntimeError, match="event loop"):
            future.result()

    beside(client.sync, ask).result(DEADLINE)
    assert future.result(DEADLINE) == 3


@pytest.mark.parametrize("cancel", [False, True])
def test_a_shut_down_executor_takes_nothing_more(client: Any, cancel: bool) -> None:
    executor = DaskExecutor(client)
    with gated(client, executor.submit, 1) as future:
        executor.shutdown(wait=cancel, cancel_futures=cancel)
        assert future.cancelled() is cancel
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            executor.submit(calls.add)
    executor.shutdown()
    assert future.done()
    with Queue(1, executor=executor) as queue:
        assert "after shutdown" in str(queue.submit(calls.add).exception(DEADLINE))


# Clients and clusters that are not for us.


def test_an_asynchronous_client_is_refused(client: Any) -> None:
    async def main() -> None:
        async with distributed.Client(client.scheduler.address, asynchronous=True) as other:
            with pytest.raises(ValueError, match="is asynchronous"):
                DaskExecutor(other)

    asyncio.run(main())
    with pytest.raises(TypeError, match=r"must be a distributed\.Client, not 'tcp"):
        DaskExecutor("tcp://scheduler:8786")  # type: ignore[arg-type]


def test_a_closed_client_is_refused(client: Any) -> None:
    other = distributed.Client(client.scheduler.address)
    executor = DaskExecutor(other)
    other.close()
    with pytest.raises(ValueError, match="not connected: its status is 'closed'"):
        DaskExecutor(other)
    with pytest.raises(ConnectionError, match="the event loop of the Dask client has ended"):
        in_loop(other, asyncio.sleep, 0)
    with pytest.raises(BrokenCluster):
        executor.submit(calls.add)
    with Queue(2, executor=executor) as queue:
        assert isinstance(queue.submit(calls.add).exception(DEADLINE), BrokenCluster)
        with pytest.raises(BrokenCluster):
            queue.submit(calls.add)


def test_a_cluster_without_workers_needs_max_workers(executor: DaskExecutor) -> None:
    assert executor.max_workers == 2
    with cluster(0) as (address, _), distributed.Client(address) as other:
        with pytest.raises(ValueError, match="no worker yet"):
            Queue(executor=DaskExecutor(other))
        Queue(1, executor=DaskExecutor(other)).shutdown()


def test_a_client_that_is_closed_fails_its_calls(client: Any, step: Any, tmp_path: Path) -> None:
    other, path = distributed.Client(client.scheduler.address), tmp_path / "closed"
    with Queue(executor=DaskExecutor(other)) as queue:
        done = queue.submit(calls.add, 1, 2)
        assert done.exception(DEADLINE) is None
        film = queue.submit(calls.stepping, step(0), 2, str(path))
        assert film[0].result(DEADLINE) == 0
        with gated(client, queue.submit, 1) as running:
            pending = queue.submit(calls.add, running)
            other.close()
            for task in (film, running, pending):
                assert isinstance(task.exception(DEADLINE), BrokenCluster)
            with pytest.raises(BrokenCluster):
                done.result(DEADLINE)
    step(1)
    until(path.exists)  # the generator was closed


@pytest.mark.parametrize("takes", [True, False])
def test_a_call_while_the_client_closes_fails(
    client: Any, monkeypatch: pytest.MonkeyPatch, takes: bool
) -> None:
    """If Dask takes the call, after it has cancelled all others, it never tells of its end."""
    other = distributed.Client(client.scheduler.address)
    executor, take = DaskExecutor(other), other.submit

    def submit(*args: Any, **kwargs: Any) -> Any:
        other.close()
        other.status = "closing" if takes else "closed"  # it is closing for a while
        try:
            return take(*args, **kwargs)
        finally:
            other.status = "closed"

    monkeypatch.setattr(other, "submit", submit)
    with pytest.raises(BrokenCluster):
        executor.submit(calls.add)
    with pytest.raises(BrokenCluster):
        executor.address(Any, {})  # type: ignore[arg-type]
    with Queue(1, executor=executor) as queue:
        assert isinstance(queue.submit(calls.add).exception(DEADLINE), BrokenCluster)


def test_a_scheduler_that_is_killed_fails_all_calls() -> None:
    """What runs and what is pending fails, values can't be brought, other queues go on; no thread is left."""
    with (
        cluster(1) as (address, process),
        distributed.Client(address, timeout=1) as other,
        Scheduler() as scheduler,
    ):
        queue, local = Queue(scheduler, executor=DaskExecutor(other)), Queue(scheduler, 1)
        done = queue.submit(calls.add, 1, 2)
        assert done.exception(DEADLINE) is None
        entered = fresh("entered")
        running = queue.submit(calls.gated, entered, fresh("opened"))
        pending = queue.submit(calls.add, running)
        assert distributed.Event(entered, other).wait(DEADLINE)
        process.send_signal(signal.SIGKILL)
        for task in (running, pending):
            error = task.exception(DEADLINE)
            assert isinstance(error, BrokenCluster)
            assert "queue DaskExecutor-" in "".join(error.__notes__)
        with pytest.raises(BrokenExecutor):
            done.result(DEADLINE)
        with pytest.raises(BrokenCluster):
            queue.submit(calls.add)
        assert local.submit(calls.add, 1, 2).result(DEADLINE) == 3


# Generator tasks.


def test_items_come_as_they_are_yielded(step: Any, remote: Any, local: Any) -> None:
    task = remote.submit(calls.stepping, step(), 3)
    items = task[:3]
    after = [local.submit(calls.add, items[0], 10), remote.submit(calls.add, items[0], 20)]
    assert not any(item.done() for item in items)
    step(0)
    assert items[0].result(DEADLINE) == 0
    assert [task.result(DEADLINE) for task in after] == [10, 20]
    assert task.running() and not items[1].done()
    step(1)
    step(2)
    assert task.result(DEADLINE) == [0, 1, 2]


def test_a_generator_gets_values_of_the_cluster(client: Any, remote: Any) -> None:
    before = calls.Homely.arrivals
    for two in (remote.submit(calls.add, 1, 1), client.scatter(2)):
        assert remote.submit(calls.counting, two).result(DEADLINE) == [0, 1]
    assert calls.Homely.arrivals == before


def test_the_announcement_of_a_generator_is_asked_here(remote: Any) -> None:
    announced = number_of_results(calls.identity)(lambda count: iter(range(count)))
    task = remote.submit(announced, remote.submit(calls.add, 1, 1))
    assert task.result(DEADLINE) == [0, 1]
    assert len(task) == 2


def test_a_value_that_cannot_be_pickled_fails_its_generator(remote: Any) -> None:
    task = remote.submit(calls.unpicklable_second)
    assert task[0].result(DEADLINE) == 0
    assert task.exception(DEADLINE) is not None


def test_stop_and_cancel_act_at_the_next_value_of_a_generator(
    step: Any, scheduler: Scheduler, remote: Any, tmp_path: Path
) -> None:
    path = tmp_path / "closed"
    task = remote.submit(calls.stepping, step(0), 4, str(path))
    assert task[0].result(DEADLINE) == 0
    scheduler.stop()
    step(1)
    step(2)
    scheduler.stop(wait=True)
    assert task[1].result(DEADLINE) == 1
    assert not task[2].done() and task.running()
    scheduler.resume()
    assert task[2].result(DEADLINE) == 2
    assert task.cancel() is False
    step(3)
    with pytest.raises(CancelledError):
        task.result(DEADLINE)
    assert path.read_text() == "x"
    assert task[0].result() == 0


def test_nothing_of_a_generator_stays_on_the_cluster(client: Any, remote: Any) -> None:
    before = client.run_on_scheduler(calls.queues_kept)  # of workers that were lost
    assert remote.submit(calls.counting, 3).result(DEADLINE) == [0, 1, 2]
    assert isinstance(remote.submit(calls.failing_after, 1).exception(DEADLINE), OSError)
    with pytest.raises(ValueError, match="not here"):
        remote.submit(calls.counting, calls.Homeless()).result(DEADLINE)
    cancelled = remote.submit(calls.counting, 10**9)
    cancelled[0].result(DEADLINE)
    cancelled.cancel()
    with pytest.raises(CancelledError):
        cancelled.result(DEADLINE)
    until(lambda: client.run_on_scheduler(calls.queues_kept) <= before)


def test_a_generator_whose_worker_is_killed_does_not_begin_anew(remote: Any, tmp_path: Path) -> None:
    path = tmp_path / "begun"
    task = remote.submit(calls.dying_after, 2, str(path))
    first, third = task[0], task[2]
    assert "can't be repeated" in str(task.exception(DEADLINE))
    assert first.result(DEADLINE) == 0
    assert third.exception(DEADLINE) is task.exception()
    assert path.read_text() == "x"


def test_a_wait_in_the_loop_of_a_client_ends_with_it(client: Any) -> None:
    other = distributed.Client(client.scheduler.address)
    begun = threading.Event()

    async def wait_for_ever() -> None:
        begun.set()
        await asyncio.Event().wait()

    waiting = beside(lambda: in_loop(other, wait_for_ever))
    assert begun.wait(DEADLINE)
    other.close()
    with pytest.raises(ConnectionError, match="the event loop of the Dask client has ended"):
        waiting.result(DEADLINE)


def test_a_graph_of_threads_and_cluster(remote: Any, local: Any) -> None:
    acquired = [local.submit(operator.mul, 10, number) for number in range(6)]
    sums = [remote.submit(calls.add, *acquired[number : number + 2]) for number in range(5)]
    assert local.submit(sum, sums).result(DEADLINE) == 250


# The benchmarks run; what they measure is not judged here.


def test_the_benchmarks_of_the_cluster_run(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    from benchmarks import cluster as benchmark

    # A scheduler that is not in this process, and can't be asked what it holds.
    unseen = SimpleNamespace(scheduler=SimpleNamespace(workers={}, tasks={}))
    monkeypatch.setattr(benchmark, "LINKS", 3)
    monkeypatch.setattr(benchmark, "ARRAY", 10**6)
    monkeypatch.setattr(benchmark, "PAIRS", 2)
    lines = [
        *benchmark.costs(client, 40, 1),
        *benchmark.weights(client),
        *benchmark.first_results(client, unseen, 1),
    ]
    assert [line.split("  ")[1] for line in lines[1:4]] == ["chain", "binary tree", "layers of 100"]
    assert "until it is done" in lines[5]
    assert any("newest first" in line for line in lines)
