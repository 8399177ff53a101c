"""Both ends of the channel of a generator task, in one process but over a real connection."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, answer_challenge
from pickle import PicklingError
from typing import Any

import pytest
import remote_calls
from gate import DEADLINE
from threads import beside, until

from smqexec._engines import remote as _remote
from smqexec._engines.remote import Channel, Ordinary, Reply, perform, stream


def elsewhere(channel: Channel) -> Reply:
    """How a worker in another process finds *channel*."""
    return channel.reply._replace(process=0)


def far(fn: Any, *args: Any) -> tuple[Iterator[Any], Future[Any]]:
    """The values of a call that is made in a thread, over a connection."""
    channel = Channel(True)
    future = beside(stream, elsewhere(channel), fn, args, {})
    return channel.values(future), future


def count(n: int) -> Any:
    yield from range(n)
    return "through"


def returned(values: Iterator[Any]) -> Any:
    with pytest.raises(StopIteration) as end:
        next(values)
    return end.value.value


def test_values_come_one_by_one() -> None:
    steps: list[int] = []

    def step() -> Iterator[int]:
        for n in range(3):
            steps.append(n)
            yield n

    values, future = far(step)
    for n in range(3):
        assert next(values) == n
        assert steps == list(range(n + 1))  # and it is held there
    assert returned(values) is None
    assert future.done()


def test_what_it_returned_comes_last() -> None:
    values, _ = far(count, 0)
    assert returned(values) == "through"


def test_closed_it_closes_the_generator_and_waits_for_that() -> None:
    closed: list[str] = []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append("closed")

    values: Any = far(endless)[0]
    assert next(values) == 1
    values.close()
    assert closed == ["closed"]


def test_what_closing_raises_is_raised_here() -> None:
    def failing() -> Iterator[int]:
        try:
            yield 1
        finally:
            raise OSError("shutter stuck")

    values: Any = far(failing)[0]
    assert next(values) == 1
    with pytest.raises(OSError, match="shutter stuck"):
        values.close()


def test_no_iterator_is_told() -> None:
    values, _ = far(remote_calls.no_iterator)
    with pytest.raises(Ordinary) as ordinary:
        next(values)
    assert ordinary.value.args == ([1, 2, 3],)


def test_an_iterator_that_can_not_be_closed() -> None:
    values, _ = far(iter, (1, 2))
    assert [next(values), next(values)] == [1, 2]
    assert returned(values) is None


def test_value_that_can_not_be_pickled() -> None:
    values, future = far(remote_calls.numbers_to_what_is_unpicklable, 1)
    assert next(values) == 0
    with pytest.raises(ValueError, match="stays here") as raised:
        next(values)
    assert "value 1 of numbers_to_what_is_unpicklable" in raised.value.__notes__[-1]
    assert future.done()


def test_where_nobody_listens_all_values_come_at_the_end() -> None:
    channel, nobody = Channel(False), Channel(True)
    nobody.close()
    future = beside(stream, elsewhere(nobody), count, (3,), {})
    values = channel.values(future)
    assert [next(values) for _ in range(3)] == [0, 1, 2]
    assert returned(values) == "through"


def test_where_no_worker_is_abroad_there_is_no_listener() -> None:
    channel = Channel(False)
    assert channel.reply.address is None
    assert stream(elsewhere(channel), count, (2,), {}) == ("returned", "through", [0, 1])
    channel.close()
    assert stream(channel.reply, count, (2,), {}) == ("returned", "through", [0, 1])


def test_worker_in_this_interpreter_needs_no_connection() -> None:
    channel = Channel(True)
    made = object()
    values = channel.values(beside(stream, channel.reply, iter, ([made],), {}))
    assert next(values) is made
    assert returned(values) is None


def test_worker_in_this_interpreter_that_makes_the_call_once_more_is_sent_away() -> None:
    channel = Channel(False)
    values: Any = channel.values(beside(stream, channel.reply, count, (1,), {}))
    assert next(values) == 0
    again = channel.pair()
    assert returned(values) == "through"
    with pytest.raises(EOFError):
        again.recv()


def test_worker_whose_parent_is_gone_closes_the_generator() -> None:
    channel = Channel(True)
    future = beside(stream, elsewhere(channel), remote_calls.numbers, (5,), {})
    connection: Any = channel._accept()
    assert connection.recv()[0] == "item"
    channel.close(connection)
    assert future.result(DEADLINE) == ("returned", None, [])


def test_worker_that_is_gone_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_remote, "GRACE", 0.0)
    channel, future = Channel(True), Future[Any]()
    values = channel.values(future)

    def begin() -> Any:
        worker = Client(channel.reply.address, authkey=channel.reply.key)
        worker.send(("item", 1))
        return worker

    begun = beside(begin)
    assert next(values) == 1
    begun.result(DEADLINE).close()
    with pytest.raises(ConnectionError, match="the worker is gone, and 0 s later"):
        next(values)


def test_call_that_is_cancelled_before_it_began() -> None:
    channel, future = Channel(True), Future[Any]()
    values = channel.values(future)
    assert future.cancel()
    with pytest.raises(CancelledError):
        next(values)


def test_value_that_can_not_be_made_again_ends_the_call() -> None:
    values, future = far(remote_calls.yield_one_way)
    with pytest.raises(ValueError, match="invalid literal for int"):
        next(values)
    assert future.result(DEADLINE) == ("returned", None, [])


def test_strangers_are_sent_away() -> None:
    channel = Channel(True)

    def strange() -> Any:
        with pytest.raises(AuthenticationError):
            Client(channel.reply.address, authkey=b"guessed")
        return stream(elsewhere(channel), count, (1,), {})

    values = channel.values(beside(strange))
    assert next(values) == 0
    assert returned(values) == "through"


def test_connection_that_can_not_be_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    from multiprocessing.connection import Listener

    class Full(Listener):
        refusals = 2

        def accept(self) -> Any:
            if self.refusals:
                self.refusals -= 1
                raise OSError("too many open files")
            return super().accept()

    monkeypatch.setattr("multiprocessing.connection.Listener", Full)
    values, _ = far(count, 1)
    assert next(values) == 0
    assert returned(values) == "through"


def test_worker_that_makes_the_call_once_more_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    channel, connected = Channel(True), threading.Event()
    values: Any = channel.values(beside(stream, elsewhere(channel), count, (1,), {}))
    assert next(values) == 0

    def answer(*args: Any) -> None:
        connected.set()
        answer_challenge(*args)

    monkeypatch.setattr("multiprocessing.connection.answer_challenge", answer)
    again = beside(stream, elsewhere(channel), remote_calls.fail, ("it must not be called",), {})
    assert connected.wait(DEADLINE)
    assert returned(values) == "through"
    assert again.result(DEADLINE) == ("returned", None, [])


def test_end_of_the_call_is_told_when_files_can_be_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = [OSError("too many open files")] * 2

    def connect(*args: Any, **kwargs: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return Client(*args, **kwargs)

    channel, future = Channel(True), Future[Any]()
    monkeypatch.setattr("multiprocessing.connection.Client", connect)
    ended = beside(returned, channel.values(future))
    until(lambda: bool(future._done_callbacks))  # type: ignore[attr-defined]
    future.set_result(("returned", "through", []))
    assert ended.result(DEADLINE) == "through"
    assert not refusals


def test_exceptions_pass_as_they_are_where_they_can() -> None:
    with pytest.raises(ValueError, match="bad frame"):
        perform(remote_calls.fail, ("bad frame",), {})
    with pytest.raises(StopIteration):
        perform(next, (iter(()),), {})
    assert perform(divmod, (7, 2), {}) == (3, 1)


def test_exceptions_that_can_not_be_made_again_are_told_by_another() -> None:
    with pytest.raises(PicklingError, match=r"raise_one_sided raised OneSided\('no light'\)") as raised:
        perform(remote_calls.raise_one_sided, ("no light",), {})
    assert type(raised.value.__cause__).__name__ == "OneSided"
    values, _ = far(remote_calls.yield_then_raise_one_sided, "no light")
    assert next(values) == 1
    with pytest.raises(PicklingError, match="no light"):
        next(values)
