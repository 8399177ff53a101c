"""Both ends of the channel of a generator task: in one process, but over a real connection."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from concurrent.futures import CancelledError, Future
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Listener, answer_challenge
from pickle import PicklingError
from typing import Any

import pytest
import remote_calls
from gate import DEADLINE
from internals import channels
from threads import beside, until

from smqexec._engines.channels import BegunAnew, LocalAddress, LocalChannel, Ordinary, perform, stream


def elsewhere(channel: LocalChannel) -> LocalAddress:
    """The address of *channel* as a worker in another process sees it."""
    return channel.address._replace(process=0)


def received(channel: LocalChannel, future: Future[Any]) -> Generator[Any]:
    """The values of the call of *future* that come through *channel*."""
    future.add_done_callback(channel.finish)
    return channel.values()


def far(fn: Any, *args: Any) -> tuple[Generator[Any], Future[Any]]:
    """The values of a call that is made in a thread, over a connection; and the future of the call."""
    channel = LocalChannel(True)
    future = beside(stream, elsewhere(channel), fn, *args)
    return received(channel, future), future


def count(n: int) -> Any:
    yield from range(n)
    return threading.Lock()  # the return value is not sent


def test_each_value_is_computed_when_the_one_before_was_taken() -> None:
    steps: list[int] = []

    def step() -> Iterator[int]:
        for n in range(3):
            steps.append(n)
            yield n

    values, future = far(step)
    for n in range(3):
        assert next(values) == n
        assert steps == list(range(n + 1))
    assert list(values) == []
    assert future.result(0) == (True, [])


@pytest.mark.parametrize("error", [None, OSError("shutter stuck")])
def test_close_closes_the_generator_and_raises_its_error(error: Exception | None) -> None:
    closed: list[str] = []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append("closed")
            if error is not None:
                raise error

    values, _ = far(endless)
    assert next(values) == 1
    if error is None:
        values.close()
    else:
        with pytest.raises(OSError, match="shutter stuck"):
            values.close()
    assert closed == ["closed"]


def test_result_that_is_no_iterator() -> None:
    values, _ = far(remote_calls.no_iterator)
    with pytest.raises(Ordinary) as ordinary:
        next(values)
    assert ordinary.value.args == ([1, 2, 3],)


def test_iterator_that_has_no_close() -> None:
    assert list(far(iter, (1, 2))[0]) == [1, 2]


@pytest.mark.parametrize("error", [ValueError("stays here"), OSError("stays here"), EOFError("stays here")])
def test_value_that_can_not_be_pickled(error: Exception) -> None:
    class Unpicklable:
        def __reduce__(self) -> Any:
            raise error

    def numbers() -> Iterator[Any]:
        yield 0
        yield Unpicklable()

    values, future = far(numbers)
    assert next(values) == 0
    with pytest.raises(type(error), match="stays here"):
        next(values)
    assert "numbers, of type" in error.__notes__[-1] and "value 1 of" in error.__notes__[-1]
    assert future.done()


def test_value_that_can_not_be_unpickled_closes_the_generator() -> None:
    values, future = far(remote_calls.yield_one_way)
    with pytest.raises(ValueError, match="invalid literal for int"):
        next(values)
    assert future.result(DEADLINE) == (True, [])


def test_worker_that_reaches_no_channel_returns_all_values() -> None:
    channel, nobody = LocalChannel(False), LocalChannel(True)
    nobody.close()
    for address in (elsewhere(nobody), elsewhere(channel)):
        assert stream(address, count, 3) == (True, [0, 1, 2])
    assert list(received(channel, beside(stream, elsewhere(nobody), count, 3))) == [0, 1, 2]


def test_values_within_an_interpreter_are_the_same_objects() -> None:
    made = object()
    for listens in (False, True):
        channel = LocalChannel(listens)
        assert (channel.address.address is not None) is listens
        values = received(channel, beside(stream, channel.address, iter, [made]))
        assert next(values) is made
        assert list(values) == []


@pytest.mark.parametrize(("listens", "here"), [(True, False), (True, True), (False, True)])
def test_second_worker_of_a_call_does_not_connect(listens: bool, here: bool) -> None:
    channel = LocalChannel(listens)
    address = channel.address if here else elsewhere(channel)
    values = received(channel, beside(stream, address, count, 1))
    assert next(values) == 0
    if not listens:
        with pytest.raises(BegunAnew):
            stream(address, remote_calls.fail, "the call must not be made")
    else:  # it can't know that there was another worker; `values` finds that out
        assert stream(address, count, 1) == (True, [0])
    assert list(values) == []


def test_values_of_a_second_worker_that_could_not_connect_fail_the_task() -> None:
    channel, future = LocalChannel(True), Future[Any]()
    values = received(channel, future)
    first = beside(stream, elsewhere(channel), count, 1)
    assert next(values) == 0
    ended = beside(next, values)
    assert first.result(DEADLINE) == (True, [])
    future.set_result(stream(elsewhere(channel), count, 1))
    with pytest.raises(BegunAnew):
        ended.result(DEADLINE)


def test_worker_that_is_not_accepted_before_the_channel_closes_does_not_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    channel = LocalChannel(True)

    def close_first(*args: Any) -> None:
        channel.close()
        answer_challenge(*args)

    monkeypatch.setattr("multiprocessing.connection.answer_challenge", close_first)
    with pytest.raises(BegunAnew):
        stream(elsewhere(channel), remote_calls.fail, "the call must not be made")


@pytest.mark.parametrize("here", [False, True])
def test_worker_whose_receiver_is_gone_closes_the_generator(here: bool) -> None:
    channel = LocalChannel(True)
    address = channel.address if here else elsewhere(channel)
    future = beside(stream, address, remote_calls.numbers, 5)
    connection: Any = channel.accept()
    assert connection.recv()[0][0] == 0
    channel.close(connection)
    assert future.result(DEADLINE) == (True, [])


def test_worker_that_is_gone_while_its_future_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "GRACE", 0.0)
    channel = LocalChannel(True)
    values = received(channel, Future())

    def begin() -> Any:
        worker = Client(channel.address.address, authkey=channel.address.key)
        worker.send((1,))
        return worker

    begun = beside(begin)
    assert next(values) == 1
    begun.result(DEADLINE).close()
    with pytest.raises(ConnectionError, match="the worker is gone, and 0 s later"):
        next(values)


def test_future_may_end_long_after_the_last_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "GRACE", 0.0)
    channel, future = LocalChannel(True), Future[Any]()
    ended = beside(list, received(channel, future))
    outcome = beside(stream, elsewhere(channel), count, 1).result(DEADLINE)
    future.set_result(outcome)
    assert ended.result(DEADLINE) == [0]


def test_call_that_is_cancelled_before_its_worker_connects() -> None:
    future = Future[Any]()
    values = received(LocalChannel(True), future)
    assert future.cancel()
    with pytest.raises(CancelledError):
        next(values)


def test_stranger_that_connects_is_ignored() -> None:
    channel = LocalChannel(True)

    def strange() -> Any:
        with pytest.raises(AuthenticationError):
            Client(channel.address.address, authkey=b"guessed")
        return stream(elsewhere(channel), count, 1)

    assert list(received(channel, beside(strange))) == [0]


def test_accept_is_repeated_until_a_file_can_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(Listener):
        refusals = 2

        def accept(self) -> Any:
            if self.refusals:
                self.refusals -= 1
                raise OSError("too many open files")
            return super().accept()

    monkeypatch.setattr("multiprocessing.connection.Listener", Full)
    assert list(far(count, 1)[0]) == [0]


def test_end_of_the_call_is_delivered_when_a_file_can_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = [OSError("too many open files")] * 2

    def connect(*args: Any, **kwargs: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return Client(*args, **kwargs)

    future = Future[Any]()
    monkeypatch.setattr("multiprocessing.connection.Client", connect)
    ended = beside(list, received(LocalChannel(True), future))
    until(lambda: bool(future._done_callbacks))  # type: ignore[attr-defined]
    future.set_result((True, [7]))
    assert ended.result(DEADLINE) == [7]
    assert not refusals


def test_exception_that_can_be_unpickled_is_raised_as_it_is() -> None:
    with pytest.raises(ValueError, match="bad frame"):
        perform(remote_calls.fail, ("bad frame",), {})
    with pytest.raises(StopIteration):
        perform(next, (iter(()),), {})
    assert perform(divmod, (7, 2), {}) == (3, 1)


def test_exception_that_can_not_be_unpickled_is_replaced() -> None:
    with pytest.raises(PicklingError, match=r"the call raised OneSided\('no light'\)") as raised:
        perform(remote_calls.raise_one_sided, ("no light",), {})
    assert type(raised.value.__cause__).__name__ == "OneSided"
