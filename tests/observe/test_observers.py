"""Observers: the events, their order and threads, and observers that raise."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, wait
from contextlib import contextmanager
from operator import add
from typing import Any

import pytest
from gate import DEADLINE, Gate, occupy
from generating import count
from internals import abandon, core_of, events, lock_of, pool_of, state_of, waiters_of
from outcomes import fail
from programs import forks, run
from threads import beside, planned, until, until_gone

from smqexec import Event, Queue, Scheduler, Task, settled
from smqexec._observe.events import number_of


class Listener:
    """An observer that keeps the events.  Appending to a list is atomic."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.threads: list[int] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self.threads.append(threading.get_ident())

    def kinds(self, task: Any = None) -> list[str]:
        return [event.kind for event in self.events if task is None or event.task is task]

    def wait_end(self, task: Any) -> None:
        """Block until the end event of *task*: if the task never ran, it comes after the end can be seen."""
        until(lambda: "end" in self.kinds(task))

    def of(self, task: Any, kind: str) -> Event:
        [event] = [event for event in self.events if event.task is task and event.kind == kind]
        return event


@contextmanager
def observed(*sizes: int) -> Iterator[Any]:
    """A `Listener`, and the scheduler that it observes with its queues, as of `planned`."""
    listener = Listener()
    with planned(*sizes) as (scheduler, *queues), scheduler.observe(listener):
        yield listener, scheduler, *queues


def test_events_of_a_task() -> None:
    with observed(1) as (listener, _, queue):
        one = queue.submit(add, 1, 2)
        two = queue.submit(add, one, one)
        assert two.result(DEADLINE) == 6
        thread = queue.submit(threading.get_ident).result(DEADLINE)
    for task in (one, two):
        assert listener.kinds(task) == ["submit", "start", "end"]
    submit, start, end = (listener.of(two, kind) for kind in ("submit", "start", "end"))
    assert submit.time <= start.time <= end.time
    assert submit.number == start.number == end.number == listener.of(one, "submit").number + 1
    assert submit.dependencies == (submit.number - 1,)
    assert (submit.worker, start.worker, end.worker) == (None, thread, thread)
    assert (submit.outcome, start.outcome, end.outcome, end.error) == (None, None, "done", None)
    assert submit.queue == start.queue == end.queue == queue.name
    assert submit.name == start.name == end.name == "add"
    assert repr(end).startswith("Event(kind='end', ")


def test_called_in_the_thread_where_it_happens() -> None:
    with observed(1) as (listener, _, queue):
        gate, held = occupy(queue)
        dropped = queue.submit(add, held, 1)
        dropped.cancel()
        gate.open()
        held.result(DEADLINE)
    worker = listener.of(held, "start").worker
    assert worker != threading.get_ident()
    for event, thread in zip(listener.events, listener.threads, strict=True):
        happened_here = event.task is dropped or event.kind == "submit"
        assert thread == (threading.get_ident() if happened_here else worker)


def test_never_called_under_the_lock_nor_after_the_end_of_a_call_can_be_seen() -> None:
    locked: list[str] = []
    late: list[str] = []

    def look(event: Event) -> None:
        if lock_of(scheduler)._is_owned():
            locked.append(event.kind)
        if event.worker is not None and event.task and event.task.done():
            late.append(event.kind)

    with observed(1) as (listener, scheduler, queue), scheduler.observe(look):
        queue.submit(count, 2).result(DEADLINE)
        failed = queue.submit(fail)
        queue.submit(add, failed, 1).exception(DEADLINE)
        with scheduler.stop():
            queue.submit(add, queue.submit(add, 1, 2), 3).cancel(dependencies=True)
        assert scheduler.wait(DEADLINE)
    assert set(listener.kinds()) == {"submit", "start", "item", "end", "stop", "resume"}
    assert not locked and not late


def test_failed_task_and_its_dependent() -> None:
    with observed(1) as (listener, scheduler, queue):
        with scheduler.stop():
            failed = queue.submit(fail)
            never = queue.submit(add, failed, 1)
        error = never.exception(DEADLINE)
        listener.wait_end(never)
    assert listener.kinds(failed) == ["submit", "start", "end"]
    assert listener.kinds(never) == ["submit", "end"]
    end, dropped = listener.of(failed, "end"), listener.of(never, "end")
    assert (end.outcome, dropped.outcome) == ("failed", "failed")
    assert end.error is dropped.error is error
    assert end.worker is not None and dropped.worker is None
    with scheduler.observe(listener), Queue(scheduler, 1) as later:
        at_once = later.submit(add, failed, 1)
    assert listener.kinds(at_once) == ["submit", "end"]
    assert listener.of(at_once, "submit").dependencies == (listener.of(failed, "submit").number,)


def test_cancelled_while_pending_and_while_running() -> None:
    gate = Gate()

    def obey() -> None:
        gate.enter()
        raise CancelledError

    with observed(1) as (listener, scheduler, queue):
        running = queue.submit(obey)
        gate.wait_entered()
        pending = queue.submit(add, 1, 2)
        pending.cancel()
        running.cancel()
        gate.open()
        assert scheduler.wait(DEADLINE)
    assert listener.kinds(pending) == ["submit", "end"]
    assert listener.kinds(running) == ["submit", "start", "end"]
    assert [listener.of(task, "end").outcome for task in (pending, running)] == ["cancelled"] * 2
    assert listener.of(running, "end").error is None


def test_items_come_in_order_and_before_their_dependents_start() -> None:
    with observed(1, 1) as (listener, scheduler, one, two):
        with scheduler.stop():
            task = one.submit(count, 3)
            user = two.submit(add, task[1], 10)
        assert user.result(DEADLINE) == 11
        assert task.result(DEADLINE) == [0, 1, 2]
    assert listener.kinds(task) == ["submit", "start", "item", "item", "item", "end"]
    items = [event for event in listener.events if event.kind == "item"]
    assert [event.index for event in items] == [0, 1, 2]
    assert {event.worker for event in items} == {listener.of(task, "start").worker}
    assert listener.of(user, "submit").dependencies == (listener.of(task, "submit").number,)
    assert listener.events.index(items[1]) < listener.events.index(listener.of(user, "start"))


def test_failing_item_has_no_event() -> None:
    with observed(1) as (listener, scheduler, queue):
        with scheduler.stop():
            task = queue.submit(count, 1)
            never = queue.submit(add, task[5], 1)
        never.exception(DEADLINE)
        listener.wait_end(never)
    assert {event.task for event in listener.events} == {None, task, never}
    assert listener.kinds(never) == ["submit", "end"]


def test_dependencies_are_those_among_all_arguments_done_or_not() -> None:
    foreign: Future[int] = Future()
    foreign.set_result(7)
    with observed(1) as (listener, scheduler, queue):
        done = queue.submit(add, 1, 2)
        done.result(DEADLINE)
        other = queue.submit(add, 2, 2)
        task = queue.submit(lambda *args, **kwargs: None, [other, {"k": done}], foreign, last=settled(done))
        task.result(DEADLINE)
        parted = queue.submit(add, task[0], done)  # fails: the result is None
        later = queue.options(after=[settled(parted)]).submit(add, other, 1)
        after = queue.options(after=[other]).submit(int)
        with planned(1) as (_, far):
            far_away = far.submit(add, other, 1)
            beyond = queue.submit(add, far_away, 1)
            beyond.result(DEADLINE)
        assert scheduler.wait(DEADLINE)
    numbers = {task: listener.of(task, "submit").number for task in (done, other, task, parted)}
    assert listener.of(task, "submit").dependencies == (numbers[other], numbers[done])
    # The item had ended, so that it knew of no task any more.
    assert listener.of(parted, "submit").dependencies == (numbers[done],)
    assert listener.of(later, "submit").dependencies == (numbers[other], numbers[parted])
    assert listener.of(after, "submit").dependencies == (numbers[other],)
    assert listener.of(beyond, "submit").dependencies == (far_away._serial,)


def test_tasks_submitted_before_get_numbers_when_first_seen() -> None:
    listener = Listener()
    with planned(1) as (scheduler, queue):
        gate, running = occupy(queue)
        pending = queue.submit(add, 1, 2)
        with scheduler.observe(listener):
            user = queue.submit(add, pending, 1)
            gate.open()
            assert scheduler.wait(DEADLINE)
    assert (listener.kinds(running), listener.kinds(pending)) == (["end"], ["start", "end"])
    assert listener.of(user, "submit").dependencies == (listener.of(pending, "start").number,)
    numbers = [listener.of(task, "end").number for task in (pending, user, running)]
    assert numbers == [numbers[0], numbers[0] + 1, numbers[0] + 2]


def test_events_of_many_threads_are_in_order() -> None:
    """Each task's own, and the end of a task before the starts of its dependents."""
    with observed(4, 4) as (listener, scheduler, one, two):

        def submit() -> None:
            for n in range(100):
                first = one.submit(add, n, 1)
                one.submit(max, [two.submit(add, first, n) for _ in range(2)])

        for thread in [beside(submit) for _ in range(4)]:
            thread.result(DEADLINE)
        assert scheduler.wait(DEADLINE)
    found: dict[int, list[Event]] = defaultdict(list)
    for event in listener.events:
        if event.kind == "start":
            needs = found[event.number][0].dependencies
            assert all(found[number][-1].kind == "end" for number in needs)
        found[event.number].append(event)
    assert len(found) == 4 * 100 * 4
    for each in found.values():
        assert [event.kind for event in each] == ["submit", "start", "end"]
        assert sorted(event.time for event in each) == [event.time for event in each]


def test_stop_and_resume_have_events_if_they_change_something_and_a_closed_queue_has_none() -> None:
    with observed(1) as (listener, scheduler, queue):
        scheduler.resume()
        scheduler.stop()
        scheduler.stop()
        scheduler.resume()
        scheduler.resume()
        queue.shutdown()
        with pytest.raises(RuntimeError, match="after shutdown"):
            queue.submit(add, 1, 2)
    assert listener.kinds() == ["stop", "resume"]
    first, last = listener.events
    assert first.time <= last.time


def test_resume_is_told_before_what_it_starts() -> None:
    with observed() as (listener, scheduler):
        queue = Queue(scheduler, inline=True)
        scheduler.stop()
        queue.submit(scheduler.stop)
        scheduler.resume()
    assert listener.kinds() == ["stop", "submit", "resume", "start", "stop", "end"]


def raising(error: type[BaseException], kind: str = "") -> Any:
    """Return a function that raises *error*: an observer, if it is of one *kind* of events."""

    def call(*args: Any) -> None:
        if not kind or args[0].kind == kind:
            raise error

    return call


def forked(scheduler: Scheduler, queue: Queue) -> Any:
    """Return a task of another scheduler that was made before the fork."""
    other = Scheduler(stopped=True)
    task = Queue(other).submit(int)
    abandon(other)
    return task


REFUSALS: dict[str, Any] = {
    "shut down": (
        lambda s, queue: s.observe(lambda _: queue.shutdown(wait=False)),
        RuntimeError,
        "cancelled",
    ),
    "struck": (lambda s, _: s.observe(raising(KeyboardInterrupt, "submit")), KeyboardInterrupt, "cancelled"),
    "forked": (forked, RuntimeError, "cancelled"),
    "no thread": (lambda _, q: setattr(pool_of(q), "submit", raising(RuntimeError)), RuntimeError, "failed"),
}


@pytest.mark.parametrize(("refuse", "error", "outcome"), REFUSALS.values(), ids=REFUSALS.keys())
def test_submission_that_is_refused_after_its_event_has_an_end(
    refuse: Any, error: type[BaseException], outcome: str
) -> None:
    with observed(1) as (listener, scheduler, queue):
        argument = refuse(scheduler, queue)
        observers = core_of(scheduler).observers
        with pytest.raises(error):
            queue.submit(str, argument)
        assert core_of(scheduler).observers == observers, "none of them is to blame"
        assert scheduler.counts()["waiting"] == scheduler.counts()["ready"] == 0
    events = [(event.kind, event.outcome, event.worker) for event in listener.events]
    assert events == [("submit", None, None), ("end", outcome, None)]


def test_ctrl_c_of_an_observer_at_an_end_leaves_nobody_waiting() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        first = queue.submit(int)
        second = queue.submit(abs, first)
        waiting, called = beside(second.result), queue.submit(abs, second)
        ended: list[Any] = []
        called.add_done_callback(ended.append)
        until(lambda: waiters_of(second))
        with scheduler.observe(raising(KeyboardInterrupt, "end")), pytest.raises(KeyboardInterrupt):
            first.cancel()
        assert isinstance(waiting.exception(DEADLINE), CancelledError)
        assert ended == [called]


@pytest.mark.parametrize(
    ("kind", "error", "inline"),
    [
        ("submit", ZeroDivisionError, False),
        ("submit", SystemExit, False),
        ("start", KeyboardInterrupt, False),
        ("start", KeyboardInterrupt, True),  # in the main thread, which runs the task
        ("dropped", KeyboardInterrupt, False),  # in the thread of the worker
    ],
)
def test_observer_that_raises_is_logged_and_closed(
    kind: str, error: type[BaseException], inline: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def bad(event: Event) -> None:
        happened = "dropped" if event.kind == "end" and event.worker is None else event.kind
        calls.append(happened)
        if happened == kind:
            raise error

    calls: list[str] = []
    with observed() as (listener, scheduler), scheduler.observe(bad):
        queue = Queue(scheduler, inline=inline)
        with scheduler.stop():
            tasks = [queue.submit(fail)]
            tasks.append(queue.submit(abs, tasks[0]))
        assert tasks[0].exception(DEADLINE) is tasks[1].exception(DEADLINE) is not None
        listener.wait_end(tasks[1])
        until(lambda: caplog.records)
        assert len(core_of(scheduler).observers) == 1
        assert queue.submit(add, 1, 2).result(DEADLINE) == 3
    assert calls.count(kind) == 1
    assert listener.kinds(tasks[1]) == ["submit", "end"]
    [record] = caplog.records
    assert record.levelno == logging.ERROR and "observer raised" in record.message
    assert record.exc_info and record.exc_info[0] is error


def test_submission_too_deep_for_an_observer_is_not_its_fault(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def deep(frames: int) -> int:
        return 1 + deep(frames - 1) if frames else 0

    def needy(event: Event) -> None:
        calls.append(deep(20))  # more than is left for it, at some depth

    tasks: list[Any] = []

    def submit() -> None:
        tasks.append(queue.submit(add, 1, 2))
        submit()

    with planned(1) as (scheduler, queue), scheduler.observe(needy):
        with pytest.raises(RecursionError):
            submit()
        assert scheduler.wait(DEADLINE)
        assert len(core_of(scheduler).observers) == 1
    assert {task.result(DEADLINE) for task in tasks} == {3}
    assert caplog.records == []


def test_an_end_too_deep_for_an_observer_closes_it() -> None:
    def deep(event: Event) -> None:
        if event.kind == "end":
            deep(event)

    def cancel() -> None:
        for task in pending:
            task.cancel()
        cancel()

    with planned(1) as (scheduler, queue), scheduler.stop():
        pending = [queue.submit(add, 1, 2) for _ in range(3)]
        with scheduler.observe(deep), pytest.raises(RecursionError):
            cancel()
        assert core_of(scheduler).observers == () and all(task.cancelled() for task in pending)


def test_closed_observer_gets_no_events() -> None:
    one, two = Listener(), Listener()
    with planned(1) as (scheduler, queue):
        first, second = scheduler.observe(one), scheduler.observe(two)
        queue.submit(add, 1, 2).result(DEADLINE)
        first.close()
        first.close()  # twice does no harm
        queue.submit(add, 1, 2).result(DEADLINE)
        second.close()
        with pytest.raises(TypeError, match="callable with an event"):
            scheduler.observe("run.json")
        assert core_of(scheduler).observers == ()
    assert (len(one.events), len(two.events)) == (3, 6)


def test_observer_that_another_one_closes_is_not_called_with_the_same_event() -> None:
    listener = Listener()
    with planned(1) as (scheduler, queue), scheduler.observe(lambda _: last.close()):
        last = scheduler.observe(listener)
        assert queue.submit(add, 1, 2).result(DEADLINE) == 3
    assert not listener.events


def test_after_the_last_observer_tasks_are_plain_again() -> None:
    with planned(1) as (scheduler, queue):
        observations = [scheduler.observe(id), scheduler.observe(id)]
        for observation in observations:
            assert state_of(queue).has_rules
            observation.close()
        assert not state_of(queue).has_rules


def test_callback_that_an_observer_adds_at_the_end_is_called() -> None:
    with planned(1) as (scheduler, queue):
        called: list[Any] = []
        scheduler.observe(lambda event: event.kind == "end" and event.task.add_done_callback(called.append))
        task = queue.submit(int)
        queue.shutdown()
        assert called == [task]


def test_observer_may_submit_and_cancel() -> None:
    more: list[Any] = []

    def follow(event: Event) -> None:
        if event.kind == "end" and not more:
            more.append(queue.submit(add, 3, 4))
            more.append(queue.submit(add, more[0], 4))
            more[1].cancel()

    with planned(1) as (scheduler, queue), scheduler.observe(follow):
        queue.submit(add, 1, 2)
        assert scheduler.wait(DEADLINE)
    assert more[0].result() == 7 and more[1].cancelled()


@pytest.mark.parametrize("fn", [abs, count])
def test_task_of_a_submit_can_only_be_asked_for_its_state(fn: Any) -> None:
    """Before it is added, no scheduler could end what is made of it."""
    uses: list[Callable[[Any], object]] = [
        *(Task.why, Task.cancel, Task.promote),
        *(lambda task: task.result(0), lambda task: task.exception(0), lambda task: task[0]),
        *(lambda task: task.add_done_callback(repr), lambda task: wait([task], 0)),
        *(lambda task: queue.submit(abs, task), lambda task: Queue(1).submit(abs, [task])),
    ]
    errors: list[Any] = []

    def use(event: Event) -> None:
        if event.kind == "submit" and event.task is not None and not errors:
            task = event.task
            assert (task.done(), task.running(), task.cancelled(), task.origin) == (False, False, False, None)
            assert f"{fn.__name__}#" in repr(task) and "state=new" in repr(task)
            for use in uses:
                try:
                    errors.append(use(task))
                except Exception as error:
                    errors.append(error)

    with planned(1) as (scheduler, queue), scheduler.observe(use):
        task = queue.submit(fn, 2)
        assert task.result(DEADLINE) == (2 if fn is abs else [0, 1])
        assert len(errors) == len(uses)
        for error in errors:
            assert isinstance(error, RuntimeError) and str(error).startswith("the task can't be used yet")
        assert task.why() == f"done: returned {type(task.result()).__name__}"
        assert scheduler.counts()["done"] == 1 and scheduler.wait(DEADLINE)


def test_breakdown_of_another_scheduler_within_a_submit_event() -> None:
    """It looks at all futures of the process, also at one that no scheduler has yet."""

    def break_down(event: Event) -> None:
        if event.kind == "submit":
            core_of(broken).break_down(ZeroDivisionError())

    broken = Scheduler(stopped=True)
    pending, called = Queue(broken, 1).submit(abs, 1), []
    pending.add_done_callback(called.append)
    with planned(1) as (scheduler, queue), scheduler.observe(break_down):
        assert queue.submit(abs, -2).result(DEADLINE) == 2
    assert isinstance(pending.exception(0), ZeroDivisionError)
    assert called == [pending]


def test_observation_keeps_no_scheduler_and_no_task() -> None:
    scheduler = Scheduler()
    queue = Queue(scheduler, 1)
    with scheduler.observe(lambda event: None) as observation:
        task = queue.submit(object)
        result = weakref.ref(task)
        queue.shutdown()
        del task
        until_gone(result)
    gone = weakref.ref(scheduler)
    del scheduler, queue
    gc.collect()
    until_gone(gone)
    observation.close()


@forks
def test_child_of_a_fork_has_no_observers() -> None:
    outcome = run(
        """
        def in_the_child():
            assert not core_of(queue).observers
            parents.close()
            fresh = Queue(1)
            fresh.scheduler.observe(lambda event: say("child", event.kind))
            fresh.submit(int).result(DEADLINE)
            fresh.shutdown()

        queue = Queue(1)
        parents = queue.scheduler.observe(lambda event: say("parent", event.kind))
        say(in_child(in_the_child))
        queue.submit(int).result(DEADLINE)
        """
    )
    kinds = ("submit", "start", "end")
    assert outcome.lines == [*(f"child {kind}" for kind in kinds), "0", *(f"parent {kind}" for kind in kinds)]


def test_number_that_another_thread_gives_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    with planned(1, stopped=True) as (_, queue):
        task = queue.submit(int)
        given: list[int] = []

        def late() -> int:
            patch.undo()
            given.append(number_of(task))  # as another thread
            return events.next_number()  # the true one

        with monkeypatch.context() as patch:
            patch.setattr(events, "next_number", late)
            assert [number_of(task)] == given
