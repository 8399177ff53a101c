"""Generator tasks on real threads: values while the task still runs; stop, cancellation, failure."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest
from gate import DEADLINE, Gate
from generating import END, Counter, Fed, announced, awaits, before, count, feeding, listed, same, state
from internals import abandon, core_of, paused_in, pool_of, stream_of, watchers_of
from outcomes import Broken, Kept, fail, outcome
from threads import beside, planned, until, until_gone, without_collector

from smqexec import Queue, Raw, number_of_results
from smqexec._futures.items import LENGTH


def test_dependents_start_with_their_item() -> None:
    with planned(2) as (_, queue):
        task = queue.submit(fed := Fed())
        dependents = [queue.submit(same, task[i]) for i in range(3)]
        both = queue.submit(sum, [task[0], task[2]])
        fed.give(10)
        assert dependents[0].result(DEADLINE) == 10
        assert state(*dependents[1:], both, task) == [None] * 4
        fed.give(11, 12)
        assert (dependents[2].result(DEADLINE), both.result(DEADLINE)) == (12, 22)
        assert not task.done()
        fed.give(END)
        assert task.result(DEADLINE) == [10, 11, 12]


def test_changing_the_result_changes_no_item() -> None:
    """Neither by the caller nor by a dependent that gets the list as its argument."""
    with planned(1, stopped=True) as (scheduler, queue):
        given = [2, 0, 1]
        called, dependent = queue.submit(Fed(*given, END)), queue.submit(Fed(*given, END))
        changed = queue.submit(list.clear, dependent)
        before = [task[i] for task in (called, dependent) for i in range(3)]
        scheduler.resume()
        called.result(DEADLINE).reverse()
        changed.result(DEADLINE)
        assert [item.result(DEADLINE) for item in before] == given * 2
        for task in (called, dependent):
            assert [item.result(DEADLINE) for item in task[:]] == list(task) == given
            assert (len(task), task[-1].result(DEADLINE)) == (3, 1)
            assert isinstance(task[3].exception(DEADLINE), IndexError)
            assert task.result() is task.result() != given


def test_item_that_is_wanted_or_promoted_makes_its_generator_the_next_task() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        ran: list[str] = []
        tasks = [queue.submit(lambda name=name: (yield ran.append(name))) for name in "abcd"]
        queue.submit(lambda _: ran.append("of b"), tasks[1][0])
        item = tasks[2][0]
        assert item.promote()
        scheduler.resume()
        assert scheduler.wait(DEADLINE)
        assert ran == ["c", "b", "of b", "d", "a"]
        assert not item.promote()
        assert not tasks[1][0].promote()


class Countdown:
    """An iterator of its own kind, without ``close``."""

    number_of_results = staticmethod(lambda n: n)

    def __init__(self, n: int) -> None:
        self.left = n

    def __iter__(self) -> Countdown:
        return self

    def __next__(self) -> int:
        if not self.left:
            raise StopIteration("liftoff")
        self.left -= 1
        return self.left


class Closing(Countdown):
    closed = 0

    def close(self) -> None:
        Closing.closed += 1


class Method:
    def __call__(self, n: int) -> Iterator[int]:
        yield from range(n)


@pytest.mark.parametrize("fn", [count, partial(count), Method()])
def test_what_is_a_generator_task(fn: Any) -> None:
    """Its result is the list of all values."""
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(fn, 2)
        items = task[0:3]
        scheduler.resume()
        assert list(task) == task.result(DEADLINE) == [0, 1]
        assert [item.exception(DEADLINE) is None for item in items] == [True, True, False]
        assert list(queue.map(fn, range(3))) == [[], [0], [0, 1]]


@pytest.mark.parametrize("kind", [Countdown, Closing])
def test_iterator_class_with_a_number(kind: Any) -> None:
    """An iterator that has a ``close`` is closed if it is not exhausted."""
    Closing.closed = 0
    with planned(1) as (_, queue):
        task = queue.submit(kind, 3)
        assert (len(task), task[-1].result(DEADLINE), task.result(DEADLINE)) == (3, 0, [2, 1, 0])
        short = queue.submit(number_of_results(lambda: 1)(partial(kind, 3)))
        assert isinstance(short.exception(DEADLINE), ValueError)
        assert Closing.closed == (kind is Closing)


def test_raw_function_gives_the_generator_itself() -> None:
    """As does an ordinary function that returns one."""
    with planned(1) as (_, queue):
        task = queue.submit(Raw(count), 2)
        assert list(task.result(DEADLINE)) == [0, 1]
        with pytest.raises(TypeError, match="only a generator task can be iterated"):
            iter(task)
        for generator in queue.map(Raw(count), [1, 2]):
            assert next(generator) == 0
        with pytest.raises(TypeError, match="the first argument of submit must be callable"):
            queue.submit(Raw(1))
        assert list(queue.submit(lambda: count(2)).result(DEADLINE)) == [0, 1]
        iterator = iter([1])
        assert queue.submit(Mock(return_value=iterator)).result(DEADLINE) is iterator


def test_yielded_future_is_a_value() -> None:
    """Not a dependency: what waits for the item gets the future, done or not."""
    with planned(2, stopped=True) as (scheduler, queue):
        inner: Future[int] = Future()
        task = queue.submit(Fed(inner, END))
        waiting, full = queue.submit(same, task[0]), queue.submit(same, task)
        scheduler.resume()
        assert waiting.result(DEADLINE) is task[0].result(DEADLINE) is inner
        assert full.result(DEADLINE) == [inner]
        assert queue.submit(same, task[0]).result(DEADLINE) is inner
        assert not inner.done()


@pytest.mark.parametrize("raised", [StopIteration(2), CancelledError("mine")], ids=type)
def test_error_of_the_users_own_is_a_failure(raised: Exception) -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(Fed(1, raised))
        scheduler.resume()
        error = task.exception(DEADLINE)
        if isinstance(raised, StopIteration):
            assert (type(error), str(error)) == (RuntimeError, "generator raised StopIteration")
        else:
            assert error is raised and not task.cancelled()
        assert (task[0].result(), task[1].exception()) == (1, error)


@contextmanager
def context() -> Iterator[None]:
    yield


@pytest.mark.parametrize("fn", [context, listed])
def test_what_looks_like_a_generator_function_and_returns_no_iterator(fn: Any) -> None:
    """The result is an ordinary one, whatever was asked for before."""
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(fn)
        items = [task[1], *task[2:3]]
        heir = queue.submit(same, items[0])
        asking = [beside(list, task), beside(len, task)]
        until(lambda: awaits(task, 0) or awaits(task, LENGTH))
        scheduler.resume()
        if fn is listed:
            assert heir.result(DEADLINE) == items[0].result(DEADLINE) == 1
            assert task.result(DEADLINE) == [0, 1, 2]
            assert (task[-1].result(DEADLINE), task[0:2].result(DEADLINE)) == (2, [0, 1])
        else:
            with task.result(DEADLINE):
                pass
            for item in (*items, heir):
                error = item.exception(DEADLINE)
                assert isinstance(error, TypeError) and "is not subscriptable" in str(error)
            assert heir.origin is items[0]
        for each in asking:
            assert isinstance(each.exception(DEADLINE), TypeError)
        for ask, what in ((iter, "can be iterated"), (len, "has a length")):
            with pytest.raises(TypeError, match=f"only a generator task {what}"):
                ask(task)


def test_exception_after_some_values() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(fed := Fed("a", "b", Broken("third")))
        items = task[0:4]
        heirs = [queue.submit(same, item) for item in items]
        full = queue.submit(same, task)
        scheduler.resume()
        error = task.exception(DEADLINE)
        assert isinstance(error, Broken)
        for futures in (items, heirs, [task[i] for i in range(4)]):
            assert [outcome(future) for future in futures] == ["a", "b", error, error]
            assert [future.origin for future in futures] == [None, None, task, task]
        assert full.exception(DEADLINE) is error
        assert full.origin is task
        assert fed.closed == 1
        values = iter(task)
        assert [next(values), next(values)] == ["a", "b"]
        for ask in (lambda _: next(values), len, lambda task: task[-1]):
            with pytest.raises(Broken) as caught:
                ask(task)
            assert caught.value is error


def test_traceback_of_a_generator_shows_the_users_frames_alone() -> None:
    def frames(error: BaseException | None) -> list[str]:
        found, traceback = [], error and error.__traceback__
        while traceback:
            found.append(traceback.tb_frame.f_code.co_name)
            traceback = traceback.tb_next
        return found

    def counts() -> int:
        raise Broken

    with planned(1) as (_, queue):
        assert frames(queue.submit(Fed(1, Broken())).exception(DEADLINE)) == ["__call__"]
        assert frames(queue.submit(announced(0, [1])).exception(DEADLINE)) == []
        asked = frames(queue.submit(announced(counts)).exception(DEADLINE))
        assert asked[-1] == "counts"
        assert not {"perform", "open_stream"}.intersection(asked)


@pytest.mark.parametrize("fn", [count, announced(1), Countdown])
def test_call_that_cannot_be_made(fn: Any) -> None:
    """An iteration raises the failure, whether it began before or after that."""
    with planned(1, stopped=True) as (scheduler, queue):
        tasks = [queue.submit(fn, 1, 2, none=3) for _ in range(2)]
        item = tasks[0][3]
        scheduler.resume()
        for task in tasks:
            error = task.exception(DEADLINE)
            assert isinstance(error, TypeError) and "argument" in str(error)
            for ask in (list, len):
                with pytest.raises(TypeError) as caught:
                    ask(task)
                assert caught.value is error
            assert task[0].exception() is error
        assert item.exception() is tasks[0].exception()


def test_generators_on_dependencies_that_give_nothing() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        held: Future[Any] = Future()
        bad, gone = queue.submit(fail), queue.submit(same)
        fed = announced(counter := Counter())
        heirs = [queue.submit(fed, need) for need in (bad, gone, held)]
        waiting = [beside(len, heir) for heir in heirs]
        until(lambda: all(awaits(heir, LENGTH) for heir in heirs))
        items = [heir[0] for heir in heirs]
        gone.cancel()
        scheduler.resume()
        held.cancel()
        error = bad.exception(DEADLINE)
        heirs.append(queue.submit(fed, bad))
        items += [heir[0] for heir in heirs]
        ends = [error, "cancelled", "cancelled"]
        assert [type(each.exception(DEADLINE)) for each in waiting] == [Broken, *[CancelledError] * 2]
        assert [outcome(item) for item in items] == [*ends * 2, error]
        assert [item.origin for item in items] == [bad, None, None] * 2 + [bad]
        for heir in heirs:
            for ask in (list, len, lambda task: task[-1]):
                with pytest.raises((Broken, CancelledError)):
                    ask(heir)
            assert heir[1:3][1]
        assert fed.began == 0 and counter.asked == []


def test_stopped_scheduler_holds_a_generator_at_its_next_value() -> None:
    with feeding() as (scheduler, queue, fed, task):
        later = queue.submit(same, task[0])
        beats = [task[1], task[2]]
        until(task.running)
        scheduler.stop()
        stopping = beside(scheduler.stop, True)
        until(lambda: len(watchers_of(scheduler)) == 1)
        assert not stopping.done()  # it has not come to a value
        fed.give("a", "b")
        stopping.result(DEADLINE)
        assert len(paused_in(scheduler)) == 1
        # The value before is there; it keeps its slot and thread, and nothing runs.
        assert task[0].result(DEADLINE) == "a"
        assert state(task, later, *beats) == [None] * 4
        assert queue.counts()["running"] == 1
        assert not scheduler.wait(0)
        fed.give(gate := Gate())
        scheduler.resume()
        assert beats[0].result(DEADLINE) == "b"
        gate.wait_entered()
        gate.open()
        scheduler.stop()
        fed.give("c")
        scheduler.stop(wait=True)
        assert beats[1].result(DEADLINE) == "c"
        scheduler.resume()
        fed.give(END)
        assert later.result(DEADLINE) == "a"
        assert task.result(DEADLINE) == ["a", "b", "c"]


def test_stop_that_is_over_before_the_generator_looks() -> None:
    with feeding() as (scheduler, _, fed, task):
        until(task.running)
        before(core_of(scheduler).waiting, "_pause", scheduler.resume)
        scheduler.stop()
        fed.give("a", END)
        assert task.result(DEADLINE) == ["a"]


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "paused"])
def test_cancelled_generator_is_closed_at_its_next_value(stopped: bool) -> None:
    with planned(2) as (scheduler, queue):
        fed = Fed("a", gate := Gate())
        task = queue.submit(fed)
        items = task[0:3]
        heirs = [queue.submit(same, item) for item in items]
        full = queue.submit(same, task)
        assert heirs[0].result(DEADLINE) == "a"
        gate.wait_entered()
        gate.open()
        if stopped:
            scheduler.stop()
            fed.give("b")
            scheduler.stop(wait=True)
            task.cancel()  # whether it has ended on return depends on its worker
        else:
            assert not task.cancel() and not task.cancelled() and not task.cancel()
            fed.give("b")
        assert outcome(task) == "cancelled"
        assert task.cancelled() and task.cancel()
        assert fed.closed == 1
        scheduler.resume()
        ends = ["a", "b", "cancelled"]
        assert [outcome(future) for future in (*items, *heirs, full)] == [*ends * 2, "cancelled"]
        assert [outcome(task[i]) for i in range(3)] == ends
        assert queue.counts()["cancelled"] == 3
        values = iter(task)
        assert [next(values), next(values)] == ends[:2]
        with pytest.raises(CancelledError):
            next(values)


def test_generator_that_ends_before_it_comes_to_a_value_is_not_cancelled() -> None:
    with feeding("a", gate := Gate()) as (_, _, fed, task):
        gate.wait_entered()
        gate.open()
        assert not task.cancel()
        fed.give(END)
        assert task.result(DEADLINE) == ["a"]
        assert not task.cancelled()


@pytest.mark.parametrize("end", ["raises", "yields"])
def test_generator_that_does_not_let_itself_be_closed(end: str) -> None:
    """The task fails with what its ``close`` raised."""

    def steps() -> Iterator[int]:
        try:
            gate.enter()
            yield 1
        finally:
            if end == "raises":
                raise Broken("in finally")
            yield 2

    with planned(1) as (_, queue):
        gate = Gate()
        task = queue.submit(steps)
        item = task[1]
        gate.wait_entered()
        task.cancel()
        gate.open()
        error = task.exception(DEADLINE)
        if end == "raises":
            assert isinstance(error, Broken) and isinstance(error.__context__, GeneratorExit)
            cancelled = error.__context__.__context__  # its traceback would keep a frame of ours
            assert isinstance(cancelled, CancelledError) and cancelled.__traceback__ is None
        else:
            assert str(error) == "generator ignored GeneratorExit"
        assert item.exception(DEADLINE) is error and not task.cancelled()
        assert task[0].result() == 1
        assert queue.submit(same, 1).result(DEADLINE) == 1


def test_generator_of_an_abandoned_scheduler_completes_no_items() -> None:
    queue = Queue(1)
    gate = Gate()
    task = queue.submit(Fed(gate, "a", END))
    items = [task[0], task[1]]
    gate.wait_entered()
    abandon(queue)
    gate.open()
    pool_of(queue).shutdown()
    assert not any(item.done() for item in items) and not task.done()


@pytest.mark.parametrize("wrap", [lambda kept: kept, lambda kept: [kept]], ids=["direct", "inside"])
def test_generator_task_releases_its_arguments_when_it_starts(wrap: Callable[[Any], Any]) -> None:
    """And its function at its end, with what is bound to that."""
    with planned(1, stopped=True) as (scheduler, queue), without_collector():
        made: Future[Any] = Future()
        made.set_result(Kept())
        gone = weakref.ref(made.result())
        fed = Fed("a")
        call = number_of_results(lambda *_, **__: 2)(lambda *_, fed=fed, **__: fed())  # it keeps no arguments
        task = queue.submit(call, wrap(made), name=wrap(made))
        asking = beside(len, task)
        del made, call
        scheduler.resume()
        assert task[0].result(DEADLINE) == "a"
        assert asking.result(DEADLINE) == 2
        until_gone(gone)
        fed.give("b", END)
        assert task.result(DEADLINE) == ["a", "b"]
        fed_gone = weakref.ref(fed)
        del fed
        queue.submit(same).result(DEADLINE)
        until_gone(fed_gone)
        assert stream_of(task).items == {}


@pytest.mark.parametrize("end", ["fails", "is cancelled", "never runs", "has a wrong number"])
def test_generator_task_that_gives_no_list_releases_all(end: str) -> None:
    with planned(1, stopped=True) as (scheduler, queue), without_collector():
        fed = announced(-1 if end == "has a wrong number" else 3, ["a"])
        kept = Kept()
        task = queue.submit(fed, kept)
        items = task[0:3]
        if end == "never runs":
            task.cancel()
        scheduler.resume()
        if end in ("fails", "is cancelled"):
            assert items[0].result(DEADLINE) == "a"
            if end == "is cancelled":
                task.cancel()
            fed.give("b" if end == "is cancelled" else Broken())
        assert outcome(task)
        assert scheduler.wait(DEADLINE)
        queue.submit(same).result(DEADLINE)
        gone = [weakref.ref(each) for each in (kept, fed, *items)]
        task_gone = weakref.ref(task)
        stream = stream_of(task)
        assert stream.items == {}
        del kept, fed, items
        if end == "fails":
            # The traceback shows the generator's own frame, and that the arguments.
            task._outcome.exception.__traceback__ = task._outcome.traceback = None
        until_gone(*gone)
        del task, stream
        until_gone(task_gone)


@pytest.mark.parametrize("end", ["raises", "raises as it is closed", "its number raises"])
def test_failed_generator_keeps_no_frame_of_ours(end: str) -> None:
    """A frame in the traceback keeps its callers; on CPython 3.12 and 3.13 that of a generator does, too."""
    kept: list[Any] = []

    def film() -> Iterator[Kept]:
        frame = Kept()
        kept.append(weakref.ref(frame))
        try:
            while True:
                yield frame
                gate.enter()
                if end == "raises":
                    break
        finally:
            del frame
            raise Broken

    with without_collector(), planned(1) as (_, queue):
        gate = Gate()
        if end == "its number raises":
            task = queue.submit(number_of_results(lambda: fail())(film))
        else:
            task = queue.submit(film)
            gate.wait_entered()
            if end == "raises as it is closed":
                task.cancel()
        gate.open()
        error = task.exception(DEADLINE)
        queue.submit(int).result(DEADLINE)
        gone = weakref.ref(task)
        del task
        until_gone(gone, *kept)
        assert isinstance(error, Broken)


def test_metaclass_that_answers_nothing() -> None:
    class Mute(type):
        def __getattr__(cls, name: str) -> Any:
            raise Broken(name)

        __hash__ = fail

    class Odd(metaclass=Mute):
        def __call__(self) -> int:
            return 1

    with planned(1) as (_, queue):
        assert type(queue.submit(Odd).result(DEADLINE)) is Odd
        assert queue.submit(Odd()).result(DEADLINE) == 1
