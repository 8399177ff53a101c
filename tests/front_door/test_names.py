"""The names that users see: in the errors of wrong calls, in completion, and where methods are pickled."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from gate import DEADLINE
from threads import planned

from smqexec import Item, Queue, Resource, Scheduler, Task


@pytest.fixture(scope="module")
def known() -> Any:
    """What the calls below may name."""
    with planned(1) as (scheduler, queue):
        task = queue.submit(divmod, 5, 3)
        assert task.result(DEADLINE) == (1, 2)
        yield {"scheduler": scheduler, "queue": queue, "task": task, "item": task[0], **globals()}


class Own(Scheduler):
    """A subclass."""


TWICE = "the scheduler was given twice, as first argument and by name"
FIRST = "the scheduler must come first: Queue(scheduler, 4)"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("Queue(bogus=1)", "Queue() got an unexpected keyword argument 'bogus'"),
        ("Queue(scheduler, 1, bogus=1)", "Queue() got an unexpected keyword argument 'bogus'"),
        ("Queue(scheduler, 1, max_workers=2)", "Queue() got multiple values for argument 'max_workers'"),
        ("Queue(4, scheduler)", FIRST),
        ("Queue(4, Own())", FIRST),
        ("Queue(scheduler, Own())", FIRST),
        ("Queue(4, 'name', scheduler)", FIRST),
        ("Queue(4, 'name', print, scheduler)", FIRST),
        ("Queue(max_workers=scheduler)", FIRST),
        ("Queue(thread_name_prefix=scheduler)", FIRST),
        ("Queue(scheduler, 2, scheduler=scheduler)", TWICE),
        ("Queue(2, scheduler='x')", "scheduler must be a Scheduler, not 'x'"),
        ("Queue('2')", "max_workers must be an int or None, not '2'"),
        ("Queue(2.0)", "max_workers must be an int or None, not 2.0"),
        ("Queue(1, initializer=())", "initializer must be a callable"),
        ("queue.submit([0])", "the first argument of submit must be callable, not [0]"),
        ("Queue(in_order='x')", "in_order must be True or False, not 'x'"),
        ("Queue(context=None)", "context must be True or False, not None"),
        ("Queue(inline=1)", "inline must be True or False, not 1"),
        ("Scheduler(stopped='x')", "stopped must be True or False, not 'x'"),
        ("Scheduler(debug='x')", "debug must be True or False, not 'x'"),
        ("queue.options(resources={Resource('r', 1): 1}, hold=3)", "hold must be True or False, not 3"),
        ("queue.submit()", "Queue.submit() missing 1 required positional argument: 'fn'"),
        ("queue.try_submit()", "Queue.try_submit() missing 1 required positional argument: 'fn'"),
        ("queue.map(abs, [], bogus=1)", "Queue.map() got an unexpected keyword argument 'bogus'"),
        ("task.cancel(bogus=1)", "Task.cancel() got an unexpected keyword argument 'bogus'"),
        ("task.result(1, 2)", "Task.result() takes from 1 to 2 positional arguments but 3 were given"),
        ("task.why(1)", "Task.why() takes 1 positional argument but 2 were given"),
        ("item.result(1, 2)", "Task.result() takes from 1 to 2 positional arguments but 3 were given"),
        ("scheduler.observe()", "Scheduler.observe() missing 1 required positional argument: 'callback'"),
    ],
)
def test_a_wrong_call_is_told_of_by_the_names_that_its_user_knows(
    call: str, message: str, known: dict[str, Any]
) -> None:
    with pytest.raises(TypeError) as raised:
        eval(call, known)
    assert str(raised.value) == message


def test_a_scheduler_may_be_an_argument_of_the_initializer() -> None:
    given: list[object] = []
    with Scheduler() as scheduler, Queue(scheduler, 1, "", given.append, (scheduler,)) as queue:
        assert queue.submit(abs, -1).result(DEADLINE) == 1
    assert given == [scheduler]


@pytest.mark.parametrize("method", [Queue.submit, Queue.map, Task.cancel, Task.result, Scheduler.observe])
def test_methods_can_be_pickled(method: Callable[..., Any]) -> None:
    assert pickle.loads(pickle.dumps(method)) is method


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_completion_shows_what_is_promised_alone() -> None:
    assert public(Resource) == {"free", "n", "name"}
    assert public(Queue) - public(ThreadPoolExecutor) | {"map", "shutdown", "submit"} == {
        *{"cancelling", "counts", "map", "max_workers", "name", "options", "scheduler", "shutdown"},
        *{"submit", "try_submit"},
    }
    assert public(Scheduler) == {
        *{"counts", "graph", "observe", "order", "queues", "resume", "shutdown", "stop", "stopped", "wait"},
        "why",
    }
    assert public(Task) == public(Item) == public(Future) | {"origin", "promote", "why"}
