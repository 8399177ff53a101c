"""Generator tasks whose values come over a real connection, or from a thread of this interpreter."""

from __future__ import annotations

import pickle
import signal
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Pipe
from pickle import PicklingError
from typing import Any
from unittest.mock import Mock

import pytest
import remote_calls
from engines import Inline
from gate import DEADLINE
from generating import END, Fed, count
from internals import core_of, receivers, stream_of
from threads import beside, until_gone, without_collector

from smqexec import Queue, number_of_results


class Pool(ThreadPoolExecutor):
    """A pool whose calls get another address of the receiver, *changed*, and are made *times* times.

    A call that has failed is made again *retries* times.
    """

    def __init__(self, times: int = 1, retries: int = 0, **changed: Any) -> None:
        super().__init__(1)
        self.times, self.retries = times, retries
        self.changed = changed

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        address, *rest = args
        if self.changed:
            address = pickle.loads(pickle.dumps(address))._replace(**self.changed)

        def call() -> Any:
            for _ in range(self.retries):
                with suppress(Exception):
                    return fn(address, *rest, **kwargs)
            return [fn(address, *rest, **kwargs) for _ in range(self.times)][-1]

        return super().submit(call)


def far() -> Pool:
    """A pool whose threads connect to this process as another process does."""
    return Pool(process=0)


def unreachable() -> Pool:
    """A pool whose threads can't connect to this process."""
    return Pool(process=0, listener=("/nowhere", b""))


@contextmanager
def queue_on(pool: Pool) -> Iterator[Queue]:
    with pool, Queue(executor=pool) as queue:
        yield queue


near_and_far = pytest.mark.parametrize("pool", [Pool, far])


@near_and_far
def test_each_value_is_computed_when_the_one_before_was_published(pool: Callable[[], Pool]) -> None:
    steps: list[int] = []
    seen: list[int] = []

    def step() -> Iterator[int]:
        for n in range(3):
            steps.append(n)
            yield n

    with queue_on(pool()) as queue:
        with queue.scheduler.stop():
            task = queue.submit(step)
            for n in range(3):
                task[n].add_done_callback(lambda _: seen.append(len(steps)))
        assert task.result(DEADLINE) == [0, 1, 2]
    assert seen == [1, 2, 3]


def endless_until_closed(closed: list[str], error: Exception | None = None) -> Callable[[], Iterator[int]]:
    """Return a generator function without end; closed, it adds to *closed* and raises *error*."""

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append("closed")
            if error is not None:
                raise error

    return endless


@near_and_far
@pytest.mark.parametrize("error", [None, OSError("shutter stuck")])
def test_cancel_closes_the_generator_and_raises_its_error(
    pool: Callable[[], Pool], error: Exception | None
) -> None:
    closed: list[str] = []
    with queue_on(pool()) as queue:
        task = queue.submit(endless_until_closed(closed, error))
        assert task[0].result(DEADLINE) == 1
        task.cancel()
        with pytest.raises(CancelledError if error is None else OSError):
            task.result(DEADLINE)
        assert task.cancelled() is (error is None)
    assert closed == ["closed"]


@near_and_far
@pytest.mark.parametrize(
    ("fn", "values"),
    [
        (number_of_results(lambda: 2)(lambda: iter((1, 2))), [1, 2]),  # an iterator without `close`
        (remote_calls.no_iterator, [1, 2, 3]),
    ],
)
def test_function_that_is_no_generator_function(pool: Callable[[], Pool], fn: Any, values: list[int]) -> None:
    with queue_on(pool()) as queue:
        assert queue.submit(fn).result(DEADLINE) == values


@pytest.mark.parametrize("kind", [ValueError, OSError, EOFError])
def test_value_that_can_not_be_pickled(kind: type[Exception]) -> None:
    class Unpicklable:
        def __reduce__(self) -> Any:
            raise error

    error = kind("stays here")
    with queue_on(far()) as queue:
        task = queue.submit(Fed(0, Unpicklable(), END))
        assert task.exception(DEADLINE) is error
        assert task[0].result(DEADLINE) == 0
    assert any("value 1, of type" in note for note in error.__notes__)


@pytest.mark.parametrize(
    ("fn", "error"), [(remote_calls.yield_one_way, ValueError), (remote_calls.yield_what_exits, SystemExit)]
)
def test_value_that_can_not_be_unpickled_fails_the_task(fn: Any, error: type[BaseException]) -> None:
    with queue_on(far()) as queue:
        task = queue.submit(fn)
        assert isinstance(task.exception(DEADLINE), error)
        assert task[0].result(DEADLINE) == 0


def test_worker_that_can_not_connect_returns_all_values() -> None:
    with queue_on(unreachable()) as queue:
        task = queue.submit(count, 3)
        assert [item.result(DEADLINE) for item in task[0:3]] == [0, 1, 2]
        assert task.result(DEADLINE) == [0, 1, 2]
        announced = queue.submit(number_of_results(lambda: 1)(lambda: iter((1, 2))))
        with pytest.raises(ValueError, match="more values than the 1"):
            announced.result(DEADLINE)
        assert announced[0].result(DEADLINE) == 1


def test_worker_whose_connection_no_thread_can_serve_returns_all_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(**_: Any) -> Any:  # keeps no connection, as a Mock does
        raise RuntimeError("can't start new thread")

    with queue_on(far()) as queue:
        monkeypatch.setattr(receivers, "threading", Mock(Thread=refuse))
        assert queue.submit(count, 3).result(DEADLINE) == [0, 1, 2]
        monkeypatch.undo()
        assert queue.submit(count, 3).result(DEADLINE) == [0, 1, 2]


def test_values_within_an_interpreter_are_the_same_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens: a subinterpreter may have no daemon threads, and a sandbox no sockets."""
    monkeypatch.setattr(receivers, "listen", None)
    made = object()
    with queue_on(Pool()) as queue:
        assert queue.submit(Fed(made, END)).result(DEADLINE)[0] is made


@near_and_far
def test_executor_does_not_retry_the_call_of_a_closed_generator(pool: Callable[[], Pool]) -> None:
    calls = pool()
    calls.retries = 1
    with queue_on(calls) as queue:
        task = queue.submit(endless_until_closed([]))
        assert task[0].result(DEADLINE) == 1
        task.cancel()
        with pytest.raises(CancelledError):
            task.result(DEADLINE)
        assert task.cancelled()
        announced = queue.submit(number_of_results(lambda: 1)(endless_until_closed([])))
        with pytest.raises(ValueError, match="more values than the 1"):
            announced.result(DEADLINE)


@pytest.mark.parametrize("end", ["result", "failure", "too many"])
def test_executor_that_keeps_its_futures_keeps_no_generator_task(end: str) -> None:
    class Value:
        pass

    class Keeping(Pool):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future = super().submit(fn, *args, **kwargs)
            kept.append(future)
            return future

    @number_of_results(lambda: 1 if end == "too many" else 2)
    def values() -> Iterator[Value]:
        yield Value()
        yield Value()
        if end == "failure":
            raise ValueError("shutter stuck")

    kept: list[Any] = []
    with without_collector(), queue_on(Keeping()) as queue:
        task = queue.submit(values)
        error = task.exception(DEADLINE)
        assert (error is None) == (end == "result")
        gone = [weakref.ref(task), weakref.ref(task[0].result(DEADLINE))]
        del task, error
        until_gone(*gone)


def test_ctrl_c_is_open_in_the_pause_of_a_generator_that_runs_inside_submit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handlers: list[Any] = []
    with Queue(1, executor=Inline()) as queue:
        waiting = type(core_of(queue).waiting)
        monkeypatch.setattr(waiting, "_pause", lambda *_: handlers.append(signal.getsignal(signal.SIGINT)))

        def frames() -> Iterator[int]:
            with queue.scheduler.stop():
                yield 0

        assert queue.submit(frames).result(DEADLINE) == [0]
    assert handlers == [signal.getsignal(signal.SIGINT)]


@near_and_far
@pytest.mark.parametrize("values", [0, 1])
def test_call_that_is_made_twice_fails(pool: Callable[[], Pool], values: int) -> None:
    fed, calls = Fed(*range(values), END), pool()
    calls.times = 2
    with queue_on(calls) as queue:
        task = queue.submit(fed)
        with pytest.raises(RuntimeError, match="can't be repeated"):
            task.result(DEADLINE)
        assert stream_of(task).values == list(range(values))
    assert fed.began == 1


def test_values_of_a_second_worker_that_could_not_connect_fail_the_task() -> None:
    class Moving(Pool):
        """A pool whose second call comes from another machine."""

        def submit(self, fn: Any, /, address: Any, *args: Any, **kwargs: Any) -> Future[Any]:
            def call(_: Any) -> Any:
                fn(address, *args)
                return fn(address._replace(process=0, listener=("/nowhere", b"")), *args)

            return super().submit(call, address)

    with queue_on(Moving()) as queue, pytest.raises(RuntimeError, match="can't be repeated"):
        queue.submit(count, 2).result(DEADLINE)


def test_worker_whose_receiver_is_gone_closes_the_generator() -> None:
    closed: list[str] = []
    ours, theirs = Pipe()
    address: Any = Mock(connect=lambda: receivers.RemoteReceiver(theirs))
    call = beside(receivers.stream, address, endless_until_closed(closed))
    assert ours.recv() == 1
    ours.close()
    assert isinstance(call.exception(DEADLINE), EOFError | OSError)
    assert closed == ["closed"]


def test_generator_is_closed_if_the_executor_cancels_its_future_while_it_runs() -> None:
    """As Dask's own executor does."""
    calls: list[Any] = []

    class Hasty(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            calls.append(beside(fn, *args))
            return Future()

    with Queue(1, executor=Hasty()) as queue:
        task = queue.submit(endless_until_closed([]))
        assert task[0].result(DEADLINE) == 1
        task.cancel()
        assert task.cancelled()
        assert calls[0].result(DEADLINE) == (True, [])


def test_strangers_are_ignored() -> None:
    address, _ = receivers.listen(remote_calls.os.getpid())
    with Client(address), queue_on(far()) as queue:  # the first one says nothing
        with pytest.raises(AuthenticationError):
            Client(address, authkey=b"guessed")
        assert queue.submit(count, 2).result(DEADLINE) == [0, 1]


def test_connections_are_accepted_again_after_an_error() -> None:
    accept = Mock(side_effect=[OSError("too many open files"), OSError("again"), KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        receivers._accept(Mock(accept=accept), b"")
    assert accept.call_count == 3


def test_exception_that_can_not_be_unpickled_is_replaced() -> None:
    assert receivers.perform(divmod, (7, 2), {}) == (3, 1)
    with pytest.raises(ValueError, match="bad frame"):
        receivers.perform(remote_calls.fail, ("bad frame",), {})
    with pytest.raises(StopIteration):
        receivers.perform(next, (iter(()),), {})
    with pytest.raises(PicklingError, match=r"the call raised OneSided\('no light'\)") as raised:
        receivers.perform(remote_calls.raise_one_sided, ("no light",), {})
    assert type(raised.value.__cause__).__name__ == "OneSided"
