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
from typing import Any

import pytest

distributed = pytest.importorskip("distributed", reason="needs smqexec[dask]")

import cluster_calls as calls  # noqa: E402 - it needs distributed too
import threads  # noqa: E402
from gate import Gate  # noqa: E402
from threads import beside  # noqa: E402

from smqexec import Item, Queue, Scheduler, Task, number_of_results  # noqa: E402
from smqexec._engines.dask.transport import in_loop  # noqa: E402
from smqexec.dask import BrokenCluster, CallLost, ClusterFuture, DaskExecutor  # noqa: E402

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


CLUSTER = """
import sys
from distributed import LocalCluster

if __name__ == "__main__":
    with LocalCluster(
        n_workers=int(sys.argv[1]), threads_per_worker=1, processes=True, dashboard_address=None,
        resources={"camera": 1}, silence_logs=100,
    ) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


@contextmanager
def cluster(workers: int, directory: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A cluster in a process of its own, which has its threads and children."""
    script = directory / "cluster.py"
    script.write_text(CLUSTER)
    here = Path(__file__).parents[1]
    path = os.pathsep.join([str(here), str(here.parent), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    process = subprocess.Popen(
        [sys.executable, str(script), str(workers)],
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
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The client of a cluster that lasts for all tests."""
    directory = tmp_path_factory.mktemp("cluster")
    with cluster(2, directory) as (address, _), distributed.Client(address) as client:
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


@contextmanager
def planned(executor: DaskExecutor, **options: Any) -> Iterator[tuple[Scheduler, Queue, Queue]]:
    """A scheduler, a queue on the cluster, and one of a thread.  What is pending at the end is cancelled."""
    scheduler = Scheduler(**options)
    remote, local = Queue(scheduler, executor=executor), Queue(scheduler, 1)
    try:
        yield scheduler, remote, local
    finally:
        scheduler.shutdown(wait=False, cancel_futures=True)
        scheduler.resume()
        assert scheduler.wait(DEADLINE), scheduler
        scheduler.shutdown()


@pytest.fixture
def queues(executor: DaskExecutor) -> Iterator[tuple[Scheduler, Queue, Queue]]:
    with planned(executor) as made:
        yield made


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


# Values.


def test_a_value_goes_from_task_to_task_without_coming_here(queues: Any) -> None:
    _, remote, _ = queues
    before = calls.Homely.arrivals
    task = remote.submit(calls.grow, 0)
    for _ in range(5):
        task = remote.submit(calls.grow, task)
    assert remote.submit(calls.number_in, task).result(DEADLINE) == 5
    assert calls.Homely.arrivals == before


def test_a_value_comes_here_once(queues: Any) -> None:
    _, remote, local = queues
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


def test_values_stand_anywhere_in_arguments(queues: Any) -> None:
    _, remote, _ = queues
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


def test_daskʼs_own_futures_are_arguments_too(client: Any, queues: Any) -> None:
    _, remote, _ = queues
    own = client.scatter(calls.Homely(7))
    before = calls.Homely.arrivals
    assert remote.submit(calls.number_in, own).result(DEADLINE) == 7
    assert remote.submit(calls.number_in, value=own).result(DEADLINE) == 7
    assert calls.Homely.arrivals == before
    assert remote.submit(calls.shape_of, {"deep": [client.scatter(2)]}).result(DEADLINE) == "{'deep': [2]}"


def test_a_call_on_the_same_client_takes_the_futures_of_another_executor(
    client: Any, executor: DaskExecutor, queues: Any
) -> None:
    _, remote, local = queues
    future = DaskExecutor(client).submit(calls.grow, 4)
    before = calls.Homely.arrivals
    assert remote.submit(calls.number_in, future).result(DEADLINE) == 4
    assert calls.Homely.arrivals == before
    assert local.submit(calls.identity, future).result(DEADLINE).number == 4


def test_a_value_is_dropped_with_its_task(client: Any, queues: Any) -> None:
    _, remote, _ = queues
    task = remote.submit(calls.grow, 0)
    last = remote.submit(calls.grow, task)
    last.exception(DEADLINE)
    assert len(keys_of(client, "grow")) == 2
    del task
    until(lambda: len(keys_of(client, "grow")) == 1)
    del last
    until(lambda: not keys_of(client, "grow"))


def keys_of(client: Any, name: str) -> list[str]:
    """The keys of values that are on the cluster and calls of *name* gave."""
    held = {key for keys in client.has_what().values() for key in keys}
    return [key for key in held if str(key).startswith(f"{name}-")]


def test_a_failure_is_dropped_with_its_task(client: Any, queues: Any) -> None:
    _, remote, _ = queues
    task = remote.submit(calls.failing, "x")
    assert isinstance(task.exception(DEADLINE), ValueError)
    del task
    until(lambda: not any(str(key).startswith("failing-") for key in client.who_has()))


def test_each_call_is_made(queues: Any, tmp_path: Path) -> None:
    """A second measurement is a second measurement."""
    _, remote, _ = queues
    path = str(tmp_path / "calls")
    assert sorted(remote.submit(calls.mark, path).result(DEADLINE) for _ in range(3)) == [1, 2, 3]


# Parts.


def test_a_part_of_a_value_stays_on_the_cluster(queues: Any) -> None:
    _, remote, local = queues
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


def test_a_part_that_there_is_not_fails(queues: Any) -> None:
    _, remote, _ = queues
    pair = remote.submit(divmod, 17, 5)
    early = pair[2]
    assert isinstance(early.exception(DEADLINE), IndexError)
    assert isinstance(pair[2].exception(DEADLINE), IndexError)
    with pytest.raises(IndexError):
        pair[2].result(DEADLINE)
    assert isinstance(remote.submit(calls.identity, pair[2]).exception(DEADLINE), IndexError)


# Failure.


def test_a_failure_comes_with_its_traceback(queues: Any) -> None:
    _, remote, _ = queues
    task = remote.submit(calls.failing, "x")
    late = remote.submit(calls.add, remote.submit(calls.add, task))
    with pytest.raises(ValueError, match="x") as caught:
        late.result(DEADLINE)
    assert any(entry.name == "failing" for entry in caught.traceback)
    assert late.origin is task
    assert late.exception() is task.exception()


@pytest.mark.parametrize("named", [False, True])
def test_part_that_cannot_be_pickled_is_named(queues: Any, named: bool) -> None:
    _, remote, _ = queues
    lock = threading.Lock()
    task = remote.submit(calls.shape_of, value=lock) if named else remote.submit(calls.add, 1, lock)
    error = task.exception(DEADLINE)
    assert isinstance(error, PicklingError)
    where = "shape_of can't be sent to the cluster: its argument 'value'" if named else "add can't be sent"
    assert where in str(error)
    assert "of type 'lock'" in str(error)


def test_a_function_that_cannot_be_pickled_is_named(executor: DaskExecutor) -> None:
    with pytest.raises(PicklingError, match="can't be sent to the cluster: it can't be pickled"):
        executor.submit(threading.Lock().acquire)


def test_a_future_of_another_client_comes_here_first(client: Any, queues: Any) -> None:
    _, remote, _ = queues
    with distributed.Client(client.scheduler.address) as other:
        before = calls.Homely.arrivals
        future = DaskExecutor(other).submit(calls.grow, 4)
        wait([future], DEADLINE)
        assert remote.submit(calls.number_in, future).result(DEADLINE) == 4
        assert calls.Homely.arrivals == before + 1
        with pytest.raises(PicklingError, match="to that cluster only"):
            DaskExecutor(client).submit(calls.identity, future)
        del future


def test_a_future_of_the_cluster_is_for_its_cluster_alone(executor: DaskExecutor) -> None:
    import pickle

    future = executor.submit(calls.add)
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(future)
    future.result(DEADLINE)


@pytest.mark.parametrize("size", [10, 10**6])
def test_call_is_sent_again_after_its_worker_is_lost(queues: Any, tmp_path: Path, size: int) -> None:
    _, remote, _ = queues
    path = str(tmp_path / "deaths")
    first = remote.submit(calls.die_first, path, 1, calls.Homely(1, size))
    after = remote.submit(calls.add, first, 10)
    assert after.result(DEADLINE) == 12


def test_value_of_a_large_call_is_lost_with_its_worker(
    client: Any, queues: Any, tmp_path: Path
) -> None:
    _, remote, _ = queues
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


def test_a_large_call_is_dropped_when_it_is_done(client: Any, queues: Any) -> None:
    _, remote, _ = queues
    task = remote.submit(calls.number_in, calls.Homely(7, 10**6))
    assert remote.submit(calls.add, task, 1).result(DEADLINE) == 8
    until(lambda: not keys_of(client, "bytes"))


# Options of Dask.


def test_a_task_is_named_on_the_cluster(queues: Any) -> None:
    _, remote, _ = queues
    assert remote.submit(calls.worker_and_key).result(DEADLINE)[1].startswith("worker_and_key-")

    named = remote.options(name="dark frame").submit(calls.worker_and_key)
    assert named.result(DEADLINE)[1].startswith("dark frame-")


def test_a_call_goes_to_the_worker_that_is_named(client: Any, queues: Any) -> None:
    _, remote, _ = queues
    for address in client.nthreads():
        tasks = [remote.options(workers=[address]).submit(calls.worker_and_key) for _ in range(3)]
        assert {task.result(DEADLINE)[0] for task in tasks} == {address}


def test_a_call_that_fails_is_retried(queues: Any, tmp_path: Path) -> None:
    _, remote, _ = queues
    assert remote.options(retries=2).submit(calls.fail_first, str(tmp_path / "a"), 2).result(DEADLINE) == 3
    failed = remote.options(retries=1).submit(calls.fail_first, str(tmp_path / "b"), 2)
    assert str(failed.exception(DEADLINE)) == "call 2"


def test_a_call_waits_for_resources_of_a_worker(client: Any, executor: DaskExecutor) -> None:
    """Each worker has one camera, and there are slots for more."""
    with planned(executor) as (scheduler, _, _):
        remote = Queue(scheduler, 4, executor=executor)
        opened = fresh("opened")
        names = [fresh("entered") for _ in range(3)]
        camera = remote.options(resources={"camera": 1})
        tasks = [camera.submit(calls.gated, name, opened, name) for name in names]
        entered = [distributed.Event(name, client) for name in names]
        until(lambda: sum(event.is_set() for event in entered) == 2)
        distributed.Event(opened, client).set()
        assert [task.result(DEADLINE) for task in tasks] == names


def test_an_option_that_dask_does_not_know_is_refused(queues: Any) -> None:
    _, remote, _ = queues
    with pytest.raises(TypeError, match=r"no option 'colour'; this queue knows .*resources.*workers"):
        remote.options(colour="red")


def test_options_that_dask_does_not_take_fail_the_task(queues: Any) -> None:
    _, remote, _ = queues
    task = remote.options(allow_other_workers=True).submit(calls.add)
    assert "workers=" in str(task.exception(DEADLINE))


def test_a_generator_task_cannot_be_retried(queues: Any) -> None:
    _, remote, _ = queues
    task = remote.options(retries=2).submit(calls.counting, 2)
    with pytest.raises(ValueError, match="can't be retried"):
        task.result(DEADLINE)


# The end of workers, calls, clients, clusters.


def test_a_call_whose_worker_is_killed_is_made_again(queues: Any, tmp_path: Path) -> None:
    _, remote, _ = queues
    kept = remote.submit(calls.grow, 3)
    task = remote.submit(calls.die_first, str(tmp_path / "deaths"), 1, kept)
    assert task.result(DEADLINE) == 2
    # What the worker had is made again where it was lost.
    assert remote.submit(calls.number_in, kept).result(DEADLINE) == 3


def test_a_call_that_kills_its_workers_fails(queues: Any, tmp_path: Path) -> None:
    _, remote, _ = queues
    task = remote.submit(calls.die_first, str(tmp_path / "deaths"), 100)
    assert isinstance(task.exception(DEADLINE), distributed.KilledWorker)
    assert remote.submit(calls.add, 1, 2).result(DEADLINE) == 3


def test_cancel_ends_a_call_that_has_not_begun(client: Any, executor: DaskExecutor) -> None:
    with planned(executor) as (scheduler, _, _):
        remote = Queue(scheduler, 4, executor=executor)
        opened = fresh("opened")
        names = [fresh("entered") for _ in range(2)]
        running = [remote.submit(calls.gated, name, opened) for name in names]
        for name in names:
            assert distributed.Event(name, client).wait(DEADLINE)
        waiting = remote.submit(calls.add, 1)
        dependent = remote.submit(calls.add, waiting)
        while not waiting.running():
            pass
        waiting.cancel()
        for task in (waiting, dependent):
            with pytest.raises(CancelledError):
                task.result(DEADLINE)
        distributed.Event(opened, client).set()
        assert [task.result(DEADLINE) for task in running] == [None, None]


def test_cancel_throws_away_the_value_of_a_running_call(client: Any, queues: Any) -> None:
    _, remote, _ = queues
    with gated(client, remote.submit, 1) as task:
        task.cancel()
        with pytest.raises(CancelledError):
            task.result(DEADLINE)


def test_call_that_the_cluster_drops_unasked_fails(client: Any, executor: DaskExecutor) -> None:
    with gated(client, executor.submit, 1) as future:
        client.cancel([future.remote], reason="no-reason", msg="somebody wanted it")
        with pytest.raises(CallLost, match="somebody wanted it"):
            future.result(DEADLINE)


def test_a_value_that_the_cluster_has_dropped_cannot_be_brought(client: Any, executor: DaskExecutor) -> None:
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
    told = beside(client.sync, ask, future)
    assert "event loop" in str(told.result(DEADLINE))
    assert future.result(DEADLINE) == 3


async def ask(future: ClusterFuture) -> BaseException | None:
    try:
        future.result()
    except RuntimeError as error:
        return error
    return None


def test_a_shut_down_executor_takes_nothing_more(client: Any) -> None:
    executor = DaskExecutor(client)
    with gated(client, executor.submit, 1) as future:
        executor.shutdown(wait=False)
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            executor.submit(calls.add)
    executor.shutdown()
    assert future.done()
    with Scheduler() as scheduler:
        task = Queue(scheduler, 1, executor=executor).submit(calls.add)
        assert "after shutdown" in str(task.exception(DEADLINE))


def test_shutdown_may_cancel(client: Any) -> None:
    executor = DaskExecutor(client)
    with gated(client, executor.submit, 1) as future:
        executor.shutdown(cancel_futures=True)
        assert future.cancelled()


# Clients and clusters that are not for us.


def test_object_that_is_no_client_is_refused() -> None:
    with pytest.raises(TypeError, match=r"must be a distributed\.Client, not 'tcp"):
        DaskExecutor("tcp://scheduler:8786")  # type: ignore[arg-type]


def test_an_asynchronous_client_is_refused(client: Any) -> None:
    async def main() -> None:
        async with distributed.Client(client.scheduler.address, asynchronous=True) as other:
            with pytest.raises(ValueError, match="is asynchronous"):
                DaskExecutor(other)

    asyncio.run(main())


def test_a_closed_client_is_refused(client: Any) -> None:
    other = distributed.Client(client.scheduler.address)
    executor = DaskExecutor(other)
    other.close()
    with pytest.raises(ValueError, match="not connected: its status is 'closed'"):
        DaskExecutor(other)
    with pytest.raises(BrokenCluster):
        executor.submit(calls.add)
    with Scheduler() as scheduler:
        queue = Queue(scheduler, 2, executor=executor)
        first = queue.submit(calls.add)
        assert isinstance(first.exception(DEADLINE), BrokenCluster)
        with pytest.raises(BrokenCluster):
            queue.submit(calls.add)


def test_the_number_of_workers_is_that_of_their_threads(client: Any, executor: DaskExecutor) -> None:
    assert executor.max_workers == 2


def test_a_cluster_without_workers_needs_max_workers(tmp_path: Path) -> None:
    with cluster(0, tmp_path) as (address, _), distributed.Client(address) as other:
        with pytest.raises(ValueError, match="no worker yet"):
            Queue(executor=DaskExecutor(other))
        Queue(1, executor=DaskExecutor(other)).shutdown()


def test_a_client_that_is_closed_fails_its_calls(client: Any) -> None:
    other = distributed.Client(client.scheduler.address)
    with Scheduler() as scheduler:
        queue = Queue(scheduler, executor=DaskExecutor(other))
        done = queue.submit(calls.add, 1, 2)
        assert done.exception(DEADLINE) is None
        with gated(client, queue.submit, 1) as running:
            pending = queue.submit(calls.add, running)
            other.close()
            assert isinstance(running.exception(DEADLINE), BrokenCluster)
            assert isinstance(pending.exception(DEADLINE), BrokenCluster)
            with pytest.raises(BrokenCluster):
                done.result(DEADLINE)


def test_a_call_while_the_client_closes_fails(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask takes the call after it has cancelled all others, and never tells of its end."""
    other = distributed.Client(client.scheduler.address)
    take = other.submit

    def submit(*args: Any, **kwargs: Any) -> Any:
        if other.status == "running":
            other.close()
        other.status = "closing"  # which it is for a while
        try:
            return take(*args, **kwargs)
        finally:
            other.status = "closed"

    with Scheduler() as scheduler:
        queue = Queue(scheduler, 1, executor=DaskExecutor(other))
        monkeypatch.setattr(other, "submit", submit)
        assert isinstance(queue.submit(calls.add).exception(DEADLINE), BrokenCluster)


def test_a_call_that_a_closed_client_refuses_fails(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    other = distributed.Client(client.scheduler.address)
    take = other.submit

    def submit(*args: Any, **kwargs: Any) -> Any:
        other.close()
        return take(*args, **kwargs)

    executor = DaskExecutor(other)
    monkeypatch.setattr(other, "submit", submit)
    with pytest.raises(BrokenCluster):
        executor.submit(calls.add)
    with pytest.raises(BrokenCluster):
        executor.address(Any, {})  # type: ignore[arg-type]


def test_a_scheduler_that_is_killed_fails_all_calls(tmp_path: Path) -> None:
    """What runs and what is pending fails, values can't be brought, other queues go on; no thread is left."""
    with (
        cluster(1, tmp_path) as (address, process),
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


def test_items_come_as_they_are_yielded(client: Any, queues: Any) -> None:
    _, remote, local = queues
    name = fresh("step")
    task = remote.submit(calls.stepping, name, 3)
    items = [task[number] for number in range(3)]
    after = [local.submit(calls.add, items[0], 10), remote.submit(calls.add, items[0], 20)]
    assert not any(item.done() for item in items)
    distributed.Event(f"{name}-0", client).set()
    assert items[0].result(DEADLINE) == 0
    assert [task.result(DEADLINE) for task in after] == [10, 20]
    assert task.running() and not items[1].done()
    for number in (1, 2):
        distributed.Event(f"{name}-{number}", client).set()
    assert task.result(DEADLINE) == [0, 1, 2]


def test_a_generator_gets_values_of_the_cluster(client: Any, queues: Any) -> None:
    _, remote, _ = queues
    before = calls.Homely.arrivals
    for two in (remote.submit(calls.add, 1, 1), client.scatter(2)):
        assert remote.submit(calls.counting, two).result(DEADLINE) == [0, 1]
    assert calls.Homely.arrivals == before


def test_the_announcement_of_a_generator_is_asked_here(queues: Any) -> None:
    _, remote, _ = queues
    counting = number_of_results(calls.identity)(calls.counting)
    try:
        task = remote.submit(counting, remote.submit(calls.add, 1, 1))
        assert task.result(DEADLINE) == [0, 1]
        assert len(task) == 2
    finally:
        del calls.counting.number_of_results  # type: ignore[attr-defined]


def test_a_value_that_cannot_be_pickled_fails_its_generator(queues: Any) -> None:
    _, remote, _ = queues
    task = remote.submit(calls.unpicklable_second)
    assert task[0].result(DEADLINE) == 0
    assert task.exception(DEADLINE) is not None


def test_the_connection_of_a_generator_ends_with_it(queues: Any) -> None:
    _, remote, _ = queues
    assert remote.submit(calls.counting, 2).result(DEADLINE) == [0, 1]

    def serves(thread: threading.Thread) -> bool:
        return thread.name == "smqexec-values" and not thread.daemon

    threads.until(lambda: not any(map(serves, threading.enumerate())), 0.01)


def test_a_function_that_only_seems_to_generate_gives_its_value(queues: Any) -> None:
    _, remote, _ = queues
    seeming = Seeming()
    task = remote.submit(seeming, 3)
    assert task.result(DEADLINE) == 3


class Seeming:
    number_of_results = None

    def __init__(self) -> None:
        self.number_of_results = calls.identity

    def __call__(self, value: int) -> int:
        return value


def test_stop_holds_a_generator_at_its_next_value(client: Any, queues: Any) -> None:
    scheduler, remote, _ = queues
    name = fresh("step")
    task = remote.submit(calls.stepping, name, 3)
    distributed.Event(f"{name}-0", client).set()
    assert task[0].result(DEADLINE) == 0
    scheduler.stop()
    for number in (1, 2):
        distributed.Event(f"{name}-{number}", client).set()
    scheduler.stop(wait=True)
    assert task[1].result(DEADLINE) == 1
    assert not task[2].done() and task.running()
    scheduler.resume()
    assert task.result(DEADLINE) == [0, 1, 2]


def test_cancel_closes_a_generator_at_its_next_value(client: Any, queues: Any, tmp_path: Path) -> None:
    _, remote, _ = queues
    name, path = fresh("step"), tmp_path / "closed"
    task = remote.submit(calls.stepping, name, 3, str(path))
    distributed.Event(f"{name}-0", client).set()
    assert task[0].result(DEADLINE) == 0
    assert task.cancel() is False
    distributed.Event(f"{name}-1", client).set()
    with pytest.raises(CancelledError):
        task.result(DEADLINE)
    assert path.read_text() == "x"
    assert task[0].result() == 0


def test_nothing_of_a_generator_stays_on_the_cluster(client: Any, queues: Any) -> None:
    _, remote, _ = queues
    before = client.run_on_scheduler(calls.queues_kept)  # of workers that were lost
    assert remote.submit(calls.counting, 3).result(DEADLINE) == [0, 1, 2]
    assert isinstance(remote.submit(calls.failing_after, 1).exception(DEADLINE), OSError)
    cancelled = remote.submit(calls.counting, 10**9)
    cancelled[0].result(DEADLINE)
    cancelled.cancel()
    with pytest.raises(CancelledError):
        cancelled.result(DEADLINE)
    until(lambda: client.run_on_scheduler(calls.queues_kept) <= before)


def test_a_generator_whose_worker_is_killed_does_not_begin_anew(queues: Any, tmp_path: Path) -> None:
    _, remote, _ = queues
    path = tmp_path / "begun"
    task = remote.submit(calls.dying_after, 2, str(path))
    first, third = task[0], task[2]
    assert "can't be repeated" in str(task.exception(DEADLINE))
    assert first.result(DEADLINE) == 0
    assert third.exception(DEADLINE) is task.exception()
    assert path.read_text() == "x"


def test_a_closed_client_ends_a_generator(client: Any, tmp_path: Path) -> None:
    other = distributed.Client(client.scheduler.address)
    name, path = fresh("step"), tmp_path / "closed"
    with Scheduler() as scheduler:
        task = Queue(scheduler, executor=DaskExecutor(other)).submit(calls.stepping, name, 2, str(path))
        distributed.Event(f"{name}-0", client).set()
        assert task[0].result(DEADLINE) == 0
        other.close()
        assert isinstance(task.exception(DEADLINE), BrokenCluster)
    distributed.Event(f"{name}-1", client).set()
    until(path.exists)


def test_a_wait_in_the_loop_of_a_closed_client_is_refused(client: Any) -> None:
    other = distributed.Client(client.scheduler.address)
    other.close()
    with pytest.raises(ConnectionError, match="the event loop of the Dask client has ended"):
        in_loop(other, asyncio.sleep, 0)


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


# Order, and a mixed graph.


def test_tasks_go_in_our_order(client: Any, executor: DaskExecutor, tmp_path: Path) -> None:
    with planned(executor, stopped=True) as (scheduler, _, _):
        one = Queue(scheduler, 1, executor=executor, prefetch=0)
        order = tmp_path / "order"
        tasks = [one.submit(note, str(order), f"a{number}") for number in range(3)]
        tasks += [one.submit(note, str(order), f"b{number}", tasks[number]) for number in range(3)]
        scheduler.resume()
        for task in tasks:
            task.result(DEADLINE)
        assert order.read_text().split() == ["a2", "b2", "a1", "b1", "a0", "b0"]


def note(path: str, word: str, _: Any = None) -> None:
    with open(path, "a") as file:
        file.write(f"{word} ")


def test_a_graph_of_threads_and_cluster(queues: Any) -> None:
    _, remote, local = queues
    acquired = [local.submit(operator.mul, 10, number) for number in range(6)]
    sums = [remote.submit(calls.add, *acquired[number : number + 2]) for number in range(5)]
    assert [task.result(DEADLINE) for task in sums] == [10, 30, 50, 70, 90]
    assert isinstance(sums[0], Task)
    gate = Gate()
    held = local.submit(gate)
    late = remote.submit(calls.identity, held)
    gate.wait_entered()
    assert not late.done()
    gate.open()
    assert late.result(DEADLINE) is None


# The benchmarks run; what they measure is not judged here.


class Weightless:
    """A cluster whose scheduler is not in this process, and can't be asked what it holds."""

    class scheduler:
        workers: dict[str, Any] = {}  # noqa: RUF012
        tasks: dict[str, Any] = {}  # noqa: RUF012


def test_the_benchmarks_of_the_cluster_run(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    from benchmarks import cluster as benchmark

    monkeypatch.setattr(benchmark, "LINKS", 3)
    monkeypatch.setattr(benchmark, "ARRAY", 10**6)
    monkeypatch.setattr(benchmark, "PAIRS", 2)
    lines = [
        *benchmark.costs(client, 40, 1),
        *benchmark.weights(client),
        *benchmark.first_results(client, Weightless, 1),
    ]
    assert [line.split("  ")[1] for line in lines[1:4]] == ["chain", "binary tree", "layers of 100"]
    assert "until it is done" in lines[5]
    assert any("newest first" in line for line in lines)
