"""Queues on an executor, tested with executors that do what the test wants."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Future, ThreadPoolExecutor
from operator import add
from pickle import PicklingError
from typing import Any

import pytest
from engines import Inline, Manual, manual
from gate import DEADLINE, Gate
from outcomes import outcome
from threads import beside, until

from smqexec import Queue, Raw, Scheduler, number_of_results, settled


def test_at_most_max_workers_are_at_the_executor_in_our_order() -> None:
    with manual(2) as (_, engine, queue):
        first = [queue.submit(pow, n, 2) for n in range(2)]
        later = [queue.submit(pow, n, 2) for n in range(2, 5)]
        assert engine.arguments == [(0, 2), (1, 2)]
        assert queue.counts()["running"] == 2
        assert queue.counts()["ready"] == 3
        engine.run(0)
        assert first[0].result(DEADLINE) == 0
        assert engine.arguments == [(1, 2), (4, 2)]  # the newest first
        engine.run_all()
        assert [task.result(DEADLINE) for task in first + later] == [0, 1, 4, 9, 16]


def test_prefetch_lets_more_calls_wait_at_the_executor() -> None:
    with manual(2, prefetch=3) as (_, engine, queue):
        tasks = queue.map(abs, range(9))
        assert len(engine.calls) == 5
        while engine.calls:
            assert len(engine.calls) <= 5
            engine.run(0)
        assert list(tasks) == list(range(9))


class Named(Inline):
    """An executor whose `submit` has named parameters, as Dask's and Parsl's."""

    def submit(self, fn: Any, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(fn, *args, **kwargs)


@pytest.mark.parametrize("executor", [Inline, Named])
def test_every_kind_of_argument_arrives(executor: Any) -> None:
    def take(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    done: Future[int] = Future()
    done.set_result(5)
    with Queue(1, executor=executor()) as queue:
        one = queue.submit(abs, -1)
        assert queue.submit(abs, one).result(DEADLINE) == 1
        assert queue.submit(take, one, 2).result(DEADLINE) == ((1, 2), {})
        assert queue.submit(take, Raw(done), settled(done)).result(DEADLINE) == ((done, done), {})
        assert queue.submit(take, fn=one, self=2).result(DEADLINE) == ((), {"fn": 1, "self": 2})
        assert queue.submit(take, a=[one]).result(DEADLINE) == ((), {"a": [1]})


@pytest.mark.parametrize("error", [ValueError("no hash"), PicklingError("no hash")])
def test_result_that_its_container_refuses_fails_the_task(error: Exception) -> None:
    class Refused:
        def __hash__(self) -> int:
            raise error

    with Queue(1, executor=Inline()) as queue:
        task = queue.submit(len, {queue.submit(Refused)})
        assert task.exception(DEADLINE) is error
        assert queue.submit(abs, -1).result(DEADLINE) == 1


def test_executor_that_calls_inside_submit_causes_no_recursion() -> None:
    with Scheduler(stopped=True) as scheduler:
        queues = [Queue(scheduler, 1, executor=Inline()) for _ in range(2)]
        task: Any = 0
        for n in range(5000):
            task = queues[n % 2].submit(add, task, 1)
        scheduler.resume()
        assert task.result(DEADLINE) == 5000


def test_call_inside_submit_may_submit_and_wait() -> None:
    with Scheduler() as scheduler:
        queue, other = (Queue(scheduler, 1, executor=Inline()) for _ in range(2))
        before = queue.submit(abs, -1)
        task = queue.submit(lambda one: other.submit(add, one, 1).result(DEADLINE), before)
        assert task.result(DEADLINE) == 2


def test_stop_keeps_ready_tasks_from_the_executor() -> None:
    with manual(1) as (scheduler, engine, queue):
        first, second = queue.submit(abs, -1), queue.submit(abs, -2)
        scheduler.stop()
        engine.run()
        assert first.result(DEADLINE) == 1
        assert not engine.calls and queue.counts()["ready"] == 1
        scheduler.stop(wait=True)
        scheduler.resume()
        engine.run()
        assert second.result(DEADLINE) == 2


def test_cancel_cancels_a_call_that_the_executor_has_not_begun() -> None:
    with manual(1, prefetch=2) as (_, engine, queue):
        tasks = [queue.submit(fn, 3) for fn in (abs, abs, count_to, str)]
        assert engine.calls[0][0].set_running_or_notify_cancel()
        assert not tasks[0].cancel()
        for task in tasks[1:3]:
            assert task.cancel()
            assert task.cancelled()
        assert [call[0].cancelled() for call in engine.calls] == [False, True, True, False]
        engine.calls[0][0].set_result(1)
        engine.run(3)
        assert [task.result(DEADLINE) for task in (tasks[0], tasks[3])] == [1, "3"]


def test_task_that_is_cancelled_inside_submit() -> None:
    class Slow(Manual):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            task.cancel()
            return super().submit(fn, *args, **kwargs)

    with manual(1, engine=Slow()) as (scheduler, _, queue):
        with scheduler.stop():
            task = queue.submit(abs, -1)
        assert task.cancelled()


def test_call_that_others_cancel_cancels_its_task_and_dependents() -> None:
    with manual(1) as (scheduler, engine, queue):
        task = queue.submit(abs, -1)
        late = Queue(scheduler, 1).submit(add, task, 1)
        engine.calls.pop()[0].cancel()
        assert task.cancelled() and late.cancelled()
        with pytest.raises(CancelledError):
            task.result(DEADLINE)
        again = queue.submit(abs, -2)
        engine.run()
        assert again.result(DEADLINE) == 2


class Lost(BrokenExecutor):
    """An exception that can't be made again from its `args`."""

    def __new__(cls, *, worker: int) -> Any:
        return super().__new__(cls, worker)

    def __init__(self, *, worker: int) -> None:
        super().__init__(f"worker {worker} is gone")
        self.worker = worker


@pytest.mark.parametrize(
    "error",
    [BrokenExecutor("it broke"), RuntimeError("cannot schedule new futures after shutdown"), Lost(worker=7)],
)
def test_executor_that_has_ended_fails_pending_tasks(error: Exception) -> None:
    with manual(1, "cluster") as (scheduler, engine, queue):
        here = Queue(scheduler, 1)
        gate = Gate()
        held = here.submit(gate)
        running, ready = queue.submit(abs, -1), queue.submit(count_to, 2)
        waiting = queue.submit(add, held, 1)
        engine.refuses = error
        engine.run()
        assert running.result(DEADLINE) == 1
        for task in (ready, waiting):
            assert task.exception(DEADLINE) is error
        assert error.__notes__ == ["queue cluster runs its tasks on Manual, which has ended"]
        assert queue._broken is error
        for _ in range(2):
            with pytest.raises(type(error), match=str(error)) as refused:
                queue.submit(abs, -1)
            assert vars(refused.value) == vars(error)  # its notes, too
        gate.open()
        assert here.submit(abs, -3).result(DEADLINE) == 3


def test_why_counts_no_prefetch_as_slots() -> None:
    with manual(2, "cluster", prefetch=1) as (_, engine, queue):
        tasks = [queue.submit(abs, -n) for n in range(4)]
        assert "all 2 slots of cluster are busy" in tasks[3].why()
        engine.run_all()


def count_to(count: int) -> Iterator[int]:
    yield from range(count)


@pytest.mark.parametrize("fn", [abs, count_to])
def test_a_call_that_is_refused_fails_alone(fn: Any) -> None:
    with manual(1) as (_, engine, queue):
        engine.refuses = OSError("no room")
        assert queue.submit(fn, 3).exception(DEADLINE) is engine.refuses
        engine.refuses = None
        task = queue.submit(abs, -1)
        engine.run()
        assert task.result(DEADLINE) == 1


def test_call_that_broke_with_the_executor_fails_pending_tasks() -> None:
    with manual(3) as (_, engine, queue):
        tasks = [queue.submit(abs, -n) for n in range(4)]  # three run
        error = BrokenExecutor("a worker is gone")
        engine._broken = True
        for future, *_ in engine.calls.copy():
            future.set_exception(error)
        assert all(task.exception(DEADLINE) is error for task in tasks)
        assert len(engine.calls) == 3 and len(error.__notes__) == 1


def test_task_that_raises_the_error_of_another_executor() -> None:
    def use_another() -> None:
        raise BrokenExecutor("of the task")

    with Queue(1, executor=Inline()) as queue:
        assert isinstance(queue.submit(use_another).exception(DEADLINE), BrokenExecutor)
        assert queue.submit(abs, -1).result(DEADLINE) == 1


def test_threads_of_another_executor() -> None:
    lock, done = threading.Lock(), Future[int]()
    done.set_result(1)

    def frames(count: int) -> Iterator[Any]:
        for n in range(count):
            yield n, lock  # no pickle is needed

    with ThreadPoolExecutor(2) as engine, Queue(executor=engine) as queue:
        assert queue._max_workers == 2
        assert queue.submit(add, queue.submit(abs, -1), 1).result(DEADLINE) == 2
        assert queue.submit(lambda x, *, y: (x, y), Raw(done), y=Raw(done)).result(DEADLINE) == (done, done)
        film = queue.submit(frames, 3)
        assert film[1].result(DEADLINE) == (1, lock)
        assert film.result(DEADLINE) == [(n, lock) for n in range(3)]
        generator: Any = queue.submit(Raw(frames), 1).result(DEADLINE)
        assert list(generator) == [(0, lock)]


def test_max_workers_is_taken_from_the_executor_or_required() -> None:
    with pytest.raises(TypeError, match="max_workers must be given: Manual does not tell"):
        Queue(executor=Manual())
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        Queue(0, executor=Manual())
    assert Queue(3, executor=Manual())._max_workers == 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"executor": 3}, TypeError, "executor must be a concurrent.futures.Executor, not 3"),
        ({"executor": Inline(), "initializer": int}, TypeError, "give the initializer to the Inline"),
        ({"executor": Inline(), "initargs": (1,)}, TypeError, "give the initializer to the Inline"),
        ({"executor": Inline(), "prefetch": -1}, ValueError, "prefetch must be 0 or more"),
        ({"executor": Inline(), "prefetch": "1"}, TypeError, "prefetch must be an int or None, not '1'"),
        ({"prefetch": 1}, ValueError, "prefetch=1 needs executor="),
        ({"executor": Queue(1)}, TypeError, "give both queues the same scheduler"),
    ],
)
def test_wrong_use_is_an_error(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        Queue(1, **options)


@pytest.mark.parametrize(("name", "shown"), [("gpu", "gpu"), ("", r"Inline-\d+")])
def test_name_and_repr(name: str, shown: str) -> None:
    assert re.fullmatch(f"<Queue {shown}, 2 slots: no tasks>", repr(Queue(2, name, executor=Inline())))


def test_shutdown_waits_and_leaves_the_executor_alone() -> None:
    with manual(1) as (_, engine, queue):
        task = queue.submit(abs, -1)
        closed = beside(queue.shutdown)
        until(lambda: queue._shutdown)
        with pytest.raises(RuntimeError, match="after shutdown"):
            queue.submit(abs, -2)
        engine.run()
        closed.result(DEADLINE)
        assert task.result(DEADLINE) == 1


# Generator tasks.


def test_announced_length_and_what_is_wrong_with_it() -> None:
    announced = number_of_results(lambda _: 2)(lambda count: iter(range(count)))
    with ThreadPoolExecutor(1) as pool, Queue(executor=pool) as queue:
        assert len(queue.submit(announced, 2)) == 2
        with pytest.raises(ValueError, match="more values than the 2"):
            queue.submit(announced, 3).result(DEADLINE)
        with pytest.raises(IndexError, match="fewer than the 2 announced"):
            queue.submit(announced, 1)[1].result(DEADLINE)


def test_item_of_a_call_that_runs_and_gives_no_iterator() -> None:
    """It was asked for while the call ran: it is then the part of the result."""
    gate = Gate()

    @number_of_results(lambda: 2)
    def seeming() -> Any:
        return gate.enter([1, 2, 3])

    with ThreadPoolExecutor(1) as pool, Scheduler() as scheduler:
        task = Queue(scheduler, executor=pool).submit(seeming)
        gate.wait_entered()
        item = task[1]
        heir = Queue(scheduler, 1).submit(str, item)
        assert not item.done()
        gate.open()
        assert (item.result(DEADLINE), heir.result(DEADLINE)) == (2, "2")
        with pytest.raises(TypeError, match="only a generator task has a length"):
            len(task)


@pytest.mark.parametrize("generator", [False, True])
@pytest.mark.parametrize("method", ["submit", "add_done_callback", "cancelled", "exception", "result"])
def test_future_of_the_executor_that_does_not_work_fails_its_task(method: str, generator: bool) -> None:
    class Wrong(Future[Any]):
        def __getattribute__(self, name: str) -> Any:
            if name == method:
                raise OSError("no answer")
            return super().__getattribute__(name)

    class Engine(Manual):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            future = Wrong()
            future.set_result((True, [1]) if generator else 1)
            return None if method == "submit" else future

    with Scheduler() as scheduler:
        here = Queue(scheduler, 1)
        task = Queue(scheduler, 1, executor=Engine()).submit(count_to if generator else abs, 1)
        error = task.exception(DEADLINE)
        assert isinstance(error, AttributeError if method == "submit" else OSError)
        assert here.submit(abs, -1).result(DEADLINE) == 1


@pytest.mark.parametrize("cancelled", [False, True])
def test_future_that_calls_back_again_ends_its_task_alone(cancelled: bool) -> None:
    """A second call, at once or when the worker has the next task, is none about that task."""

    class Repeating(Future[Any]):
        def call_back(self) -> None:
            for callback in self._done_callbacks:  # type: ignore[attr-defined]
                callback(self)

    class Engine(Manual):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            super().submit(fn, *args)
            self.calls[-1] = (Repeating(), *self.calls[-1][1:])
            return self.calls[-1][0]

    engine = Engine()
    with manual(1, engine=engine) as (_, _, queue):
        tasks = [queue.submit(abs, n) for n in range(2)]
        [(future, *_)] = engine.calls
        if cancelled:
            assert future.cancel()
            del engine.calls[0]
        else:
            engine.run()
        future.call_back()
        assert [task.running() for task in tasks] == [False, True]
        engine.run_all()
        future.call_back()
        assert [outcome(task) for task in tasks] == ["cancelled" if cancelled else 0, 1]
        assert queue.submit(abs, -3).running()
        engine.run_all()


@pytest.mark.parametrize(("error", "raised"), [(ValueError, ValueError), ("no exception", TypeError)])
def test_exception_that_is_none_fails_the_task_as_its_raise_does(error: Any, raised: Any) -> None:
    """`Future.set_exception` accepts a class, and anything else: as a call's outcome, and as a dependency."""
    with manual(1) as (_, engine, queue), Queue(1) as threads:
        foreign: Future[Any] = Future()
        tasks = [queue.submit(abs, 1), threads.submit(abs, foreign)]
        foreign.set_exception(error)
        engine.calls.pop()[0].set_exception(error)
        tasks.append(threads.submit(abs, foreign))
        assert [type(task.exception(DEADLINE)) for task in tasks] == [raised] * 3
        with pytest.raises(raised):
            tasks[0].result()


def test_shutdown_cancels_calls_whose_futures_do_not_say_whether_they_run() -> None:
    class Silent(Future[Any]):
        def running(self) -> bool:
            raise OSError("no answer")

    class Engine(Manual):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            return silent if fn is int else super().submit(fn, *args, **kwargs)

    silent = Silent()
    with Scheduler() as scheduler:
        queue = Queue(scheduler, 2, executor=Engine())
        tasks = [queue.submit(int), queue.submit(abs, 1)]
        queue.shutdown(wait=False, cancel_futures=True)
        silent.set_result(1)
        assert [outcome(task) for task in tasks] == [1, "cancelled"]


@pytest.mark.parametrize("cancelled", [None, "", "cancelled"])
def test_future_may_say_by_any_object_whether_it_was_cancelled(cancelled: Any) -> None:
    class Loose(Future[Any]):
        def cancelled(self) -> Any:
            return cancelled

    class Engine(Manual):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            return loose

    loose = Loose()
    with manual(1, engine=Engine()) as (_, _, queue), Queue(1) as threads:
        tasks = [queue.submit(abs, 1), threads.submit(abs, loose)]
        error = ValueError("of the call")
        loose.set_exception(error)
        assert [outcome(task) for task in tasks] == ["cancelled" if cancelled else error] * 2
