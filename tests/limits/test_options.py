"""Options: a name, what comes before, a context; and what they are refused for."""

from __future__ import annotations

import sys
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextvars import Context, ContextVar
from typing import Any
from weakref import ref

import pytest
from engines import Inline
from gate import DEADLINE, Gate
from internals import check_order, lock_of, pending_in
from outcomes import Kept
from programs import run
from threads import planned, until_gone, without_collector

from smqexec import Queue, Raw, Resource, Scheduler, Task, number_of_results, settled
from smqexec._engines.executors import Engine
from smqexec._futures.names import label_of

place: ContextVar[str] = ContextVar("place", default="nowhere")


def home() -> Context:
    """Return a context in which `place` is home."""
    context = Context()
    context.run(place.set, "home")
    return context


# The name.


def test_name_is_shown_for_all_its_life() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        first = queue.options(name="dark frame").submit(int, 1)
        failing = queue.options(name="flat").submit(int, "x")
        tasks = first, failing, queue.submit(abs, 1)
        assert " dark frame#1 state=ready queue=" in repr(first)
        assert [label_of(task) for task in tasks] == ["dark frame", "flat", "abs"]
        first.promote()
        scheduler.resume()
        assert scheduler.wait(DEADLINE)
    assert repr(first).endswith(" dark frame#4 state=done returned int>")
    assert repr(failing).endswith(" flat#2 state=failed raised ValueError>")
    assert [label_of(task) for task in tasks] == ["dark frame", "flat", "abs"]


# The map of a submitter.


def test_map_of_a_submitter_is_one_submission() -> None:
    order: list[int] = []
    with planned(1, stopped=True) as (scheduler, queue):
        submitter = queue.options(name="item")
        results = submitter.map(order.append, range(4))
        with lock_of(scheduler):
            assert [label_of(task) for task in pending_in(scheduler)] == ["item"] * 4
        scheduler.resume()
        assert list(results) == [None] * 4
        assert order == [0, 1, 2, 3]
        # As results are taken, and the iterator keeps the options, but not the queue.
        assert list(submitter.map(abs, iter([-1, -2, -3]), buffersize=1)) == [1, 2, 3]


# What comes before.


def test_after_orders_and_passes_nothing() -> None:
    """After the arguments in the search."""
    order: list[str] = []

    def note(name: str) -> str:
        order.append(name)
        return name

    with planned(1, stopped=True) as (scheduler, queue):
        before, argument = queue.submit(note, "before"), queue.submit(note, "argument")
        task = queue.options(after=[before]).submit(note, argument)
        assert task._stage < before._stage  # it waits, and the other is ready
        scheduler.resume()
        task.result(DEADLINE)
    assert order == ["argument", "before", "argument"]


def test_after_beside_arguments() -> None:
    """What is both is one dependency; arguments of all kinds go on to be passed."""
    with planned(2, stopped=True) as (scheduler, queue):
        one, two = queue.submit(int, "1"), queue.submit(int, "2")
        submitter = queue.options(after=[one, two, one])
        tasks = [
            submitter.submit(pow, one, 5),
            submitter.submit(dict, a=two),
            submitter.submit(sum, [one, two]),
            submitter.submit(dict, a=3),
            submitter.submit(divmod, 7, 2),
            submitter.submit(isinstance, Raw(one), Future),
        ]
        check_order(scheduler)
        scheduler.resume()
        values = [task.result(DEADLINE) for task in tasks]
    assert values == [1, {"a": 2}, 3, {"a": 3}, (3, 1), True]


def test_failure_or_cancellation_before_ends_the_task() -> None:
    with planned(1) as (_, queue):
        failing = queue.submit(int, "x")
        pending = queue.options(after=[failing]).submit(abs, 1)
        assert pending.exception(DEADLINE) is failing.exception(DEADLINE)
        late = queue.options(after=[failing]).submit(abs, 1)
        assert late.exception(DEADLINE) is failing.exception()
        assert late.origin is pending.origin is failing
        assert queue.options(after=[settled(failing)]).submit(abs, -1).result(DEADLINE) == 1
        cancelled: Future[int] = Future()
        task = queue.options(after=[cancelled]).submit(abs, 1)
        assert cancelled.cancel()
        assert task.cancelled()


def test_after_futures_of_others() -> None:
    """Of an executor that is not ours, and of another scheduler."""
    foreign: Future[int] = Future()
    broken: Future[int] = Future()
    with ThreadPoolExecutor(1) as pool, planned(1) as (_, other), planned(1, stopped=True) as (here, queue):
        task = queue.options(after=[foreign, pool.submit(abs, 1), other.submit(abs, 1)]).submit(abs, -1)
        failing = queue.options(after=[broken]).submit(abs, -1)
        here.resume()
        assert not task.done()
        foreign.set_result(0)
        assert task.result(DEADLINE) == 1
        error = OSError()
        broken.set_exception(error)
        assert failing.exception(DEADLINE) is error
        assert failing.origin is broken


def test_options_keep_nothing() -> None:
    """Neither the result of a task before nor what is in the context, not even by a name that outlives it."""
    with planned(1) as (_, queue):
        context, thing = Context(), Kept()
        context.run(place.set, thing)  # type: ignore[arg-type]
        early = queue.submit(Kept)
        gone = [ref(early.result(DEADLINE)), ref(thing)]
        late = queue.options(name="late", after=[early], context=context).submit(abs, -1)
        assert late.result(DEADLINE) == 1
        with without_collector():
            del early, thing, context
            until_gone(*gone)
        assert label_of(late) == "late"


# The context.


def test_call_is_made_in_its_context() -> None:
    context = home()
    with planned(1) as (_, queue):
        submitter = queue.options(context=context)
        assert submitter.submit(place.get).result(DEADLINE) == "home"
        assert queue.submit(place.get).result(DEADLINE) == "nowhere"
        # What it sets, stays there.
        submitter.submit(place.set, "away").result(DEADLINE)
        assert context[place] == "away"
        assert queue.submit(place.get).result(DEADLINE) == "nowhere"
        assert place.get() == "nowhere"


def test_generator_task_is_at_each_step_in_its_context() -> None:
    def visit() -> Any:
        try:
            while True:
                place.set(place.get() + "+")
                yield place.get()
        finally:
            place.set(place.get() + " closed")

    context = home()
    with planned(1) as (_, queue):
        task = queue.options(context=context).submit(visit)
        assert [item.result(DEADLINE) for item in task[0:2]] == ["home+", "home++"]
        task.cancel()
        with pytest.raises(CancelledError):
            task.result(DEADLINE)
    assert context[place].startswith("home++") and context[place].endswith("+ closed")


def test_number_of_results_is_asked_in_the_context_of_the_call() -> None:
    letters = number_of_results(lambda: len(place.get()))(lambda: iter(place.get()))
    with planned(1) as (_, queue):
        assert queue.options(context=home()).submit(letters).result(DEADLINE) == list("home")


def test_iterator_without_close_in_a_context() -> None:
    """A function that announces a number, and returns an iterator that has no close."""
    each = number_of_results(len)(lambda values: iter(values))
    with planned(1) as (_, queue):
        submitter = queue.options(context=Context())
        assert submitter.submit(each, [1, 2]).result(DEADLINE) == [1, 2]
        assert list(submitter.submit(each, [1, 2])) == [1, 2]
        short = submitter.submit(number_of_results(lambda: 1)(lambda: iter([1, 2])))
        assert isinstance(short.exception(DEADLINE), ValueError)
        # And what generates nothing gives what it returns, also an iterator.
        assert list(submitter.submit(iter, [1]).result(DEADLINE)) == [1]
        assert next(submitter.submit(Raw(lambda: (yield 1))).result(DEADLINE)) == 1


def test_function_in_a_context_keeps_its_name_and_traceback() -> None:
    def fail() -> None:
        raise OSError

    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.options(context=Context()).submit(fail)
        assert "fail#1 state=ready" in repr(task)
        scheduler.resume()
        error: Any = task.exception(DEADLINE)
    assert error.__traceback__.tb_frame.f_code.co_name == "fail"


def test_queue_that_copies_contexts() -> None:
    with planned() as (scheduler,):
        queue = Queue(scheduler, 1, context=True)
        plain = Queue(scheduler, 1)
        token = place.set("here")
        try:
            task = queue.submit(place.get)
            item = queue.submit(lambda: (yield place.get()))[0]
            results = queue.map(lambda _: place.set(place.get() + "+") and place.get(), range(3))
            other = queue.options(context=Context(), name="x").submit(place.get)
            without = plain.submit(place.get)
        finally:
            place.reset(token)
        # A copy for each, and what it sets is lost with it.
        assert [task.result(DEADLINE), item.result(DEADLINE)] == ["here", "here"]
        assert list(results) == ["here+"] * 3
        assert other.result(DEADLINE) == without.result(DEADLINE) == "nowhere"
        assert place.get() == "nowhere"
        assert type(task) is Task  # and no bigger than any other
        # Of a task that submits its own, also where the other is nested in it.
        outer = queue.submit(lambda: place.set("inside") and queue.submit(place.get).result(DEADLINE))
        assert outer.result(DEADLINE) == "inside"
        with pytest.raises(TypeError, match="context and executor= exclude each other"):
            Queue(scheduler, executor=Telling(), context=True)


def test_thread_beside_an_inline_queue_starts_in_an_empty_context() -> None:
    """On builds where threads inherit the context of their starter too."""
    token = place.set("of the submitter")
    with Scheduler() as scheduler:
        threads, queue = Queue(scheduler, 1), Queue(scheduler, inline=True)
        gate = Gate()
        task = queue.submit(lambda _: place.get(), threads.submit(gate))
        gate.open()
        assert task.result(DEADLINE) == "nowhere"
    place.reset(token)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="threads never inherit a context")
@pytest.mark.parametrize("inherit", ["0", "1"])
def test_worker_starts_in_an_empty_context_whatever_the_interpreter_does(inherit: str) -> None:
    outcome = run(
        """
        from contextvars import ContextVar
        variable = ContextVar("variable", default="unset")
        variable.set("of the submitter")
        with Queue(1) as queue, Queue(1, context=True) as copying:
            results = [each.submit(variable.get).result() for each in (queue, copying)]
        say(sys.flags.thread_inherit_context, *results)
        """,
        options=["-X", f"thread_inherit_context={inherit}"],
    )
    assert outcome.lines == [f"{inherit} unset of the submitter"]


# What is refused.


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"nam": "x"}, "there is no option 'nam'; this queue knows after, context, hold, name, release, res"),
        ({"name": 1}, "name must be a str, not 1"),
        ({"after": 1}, r"after must be a list of futures and settled\(future\), not 1"),
        ({"after": [1]}, r"after must be a list of futures and settled\(future\), but holds 1"),
        ({"after": [Raw(Future())]}, r"after must be a list of futures and settled\(future\), but holds Raw"),
        ({"after": Future()}, r"after must be a list of futures and settled\(future\), not <Future"),
        ({"after": settled(Future())}, r"after must be a list of futures and settled\(future\), not settled"),
        ({"context": {}}, "context must be a contextvars.Context, not {}"),
        ({"timeout": "1"}, "timeout must be a number of seconds or None, not '1'"),
        ({"timeout": True}, "timeout must be a number of seconds or None, not True"),
        ({"timeout": -1}, "timeout must be a number of seconds, 0 or more, not -1"),
        ({"timeout": float("nan")}, "timeout must be a number of seconds, 0 or more, not nan"),
    ],
)
def test_bad_option(given: dict[str, Any], message: str) -> None:
    error = ValueError if "0 or more" in message else TypeError
    with planned(1) as (_, queue), pytest.raises(error, match=message):
        queue.options(**given)


class Telling(Engine):
    """An engine that keeps what it is told."""

    options = frozenset({"retries", "resources"})

    def __init__(self) -> None:
        super().__init__(Inline())
        self.calls: list[Any] = []

    def call(self, call: Any) -> Future[Any]:
        self.calls.append(call)
        return super().call(call)


def count_to(n: int) -> Any:
    yield from range(n)


def test_engine_is_told_of_its_options() -> None:
    """And of resources of its own, which have no `Resource` but a name."""
    engine, disk = Telling(), Resource("disk", 1)
    with Scheduler() as scheduler:
        queue = Queue(scheduler, 1, executor=engine)
        with pytest.raises(TypeError, match=r"knows after, .*, retries, timeout"):
            queue.options(tries=3)
        submitter = queue.options(name="far", retries=3, resources={disk: 1, "GPU": 2})
        assert "name='far', " in repr(submitter) and "'retries': 3" in repr(submitter)
        assert submitter.submit(abs, -1).result(DEADLINE) == 1
        assert submitter.submit(count_to, 2).result(DEADLINE) == [0, 1]
        assert queue.options(resources={disk: 1}).submit(abs, -1).result(DEADLINE) == 1
        with pytest.raises(TypeError, match="context and executor= exclude each other"):
            queue.options(context=Context())
        assert queue.submit(abs, -7).result(DEADLINE) == 7
    told = [(call.name, dict(call.options)) for call in engine.calls]
    assert told == [("far", {"retries": 3, "resources": {"GPU": 2}})] * 2 + [("abs", {})] * 2
