"""An exception at any line of a submit, such as Ctrl-C, leaves the scheduler as it was."""

from __future__ import annotations

import gc
import itertools
import signal
import sys
import threading
from _thread import interrupt_main
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from gate import DEADLINE, Gate
from internals import (
    check_order,
    core_of,
    idle_in,
    lock_of,
    outside_of,
    pool_of,
    recovery,
    searches,
    state_of,
    submission,
)
from marks import slow_but
from outcomes import nothing
from strikes import CALLS, SUBMITS, Struck, each_step, from_outside, handling, press_ctrl_c, strike, submit_in
from threads import beside, planned, until

from smqexec import Queue, Resource, Scheduler, number_of_results
from smqexec._calls import interrupts as _interrupts
from smqexec._calls.interrupts import interruptible, keep, uninterrupted, unmasked

FAST = [*((name, "newest", True, {}) for name in SUBMITS)]
FAST += [("two", order, True, {"in_order": True}) for order in ("newest", "oldest")]
FAST += [("two", "newest", True, {"max_pending": 5})]
SLOW = [("newest", False, {}), ("oldest", True, {}), ("newest", True, {"in_order": True})]
SLOW += [("oldest", True, {"in_order": True}), ("newest", True, {"max_pending": 5})]
ALL = FAST + [case for name in SUBMITS for end in SLOW if (case := (name, *end)) not in FAST]


@pytest.mark.parametrize("name, order, started, options", slow_but(FAST, ALL))
def test_submit_interrupted_at_every_line(
    name: str, order: str, started: bool, options: dict[str, Any]
) -> None:
    """The task leaves no entry in the order, no barrier, and no place taken of a pending limit."""
    for step in each_step(30):
        gate, outside = Gate(), Future[int]()
        with planned(2, order=order) as (scheduler, other):
            queue = Queue(scheduler, 1, **options)
            ran: list[int] = []
            try:
                held = gate.hold(other, "held")
                if started:
                    assert queue.submit(int).result(DEADLINE) == 0
                before = [queue.submit(lambda x: ran.append(1) or x, held)]  # noqa: B023
                before.append(queue.submit(str, other.submit(lambda x: x, held)))
                foreign = queue.submit(str, outside)
                step.strike(lambda: SUBMITS[name](queue, held, outside))  # noqa: B023
                check_order(scheduler)
                limit = state_of(queue).pending_limit
                assert limit is None or not limit._reserved, step
                after = [queue.submit(ran.append, 2), other.submit(str, before[0])]
            finally:
                gate.open()
                outside.set_result(1)
            assert [task.result(DEADLINE) for task in [*before, *after]] == ["held", "held", None, "held"]
            assert foreign.result(DEADLINE) == "1"
            assert scheduler.wait(DEADLINE), step
            assert ran == [1, 2] or not state_of(queue).in_order
            assert not outside_of(scheduler), step


@pytest.mark.parametrize("name", slow_but(["two", "failed"], [*SUBMITS, "failed"]))
def test_observers_hear_of_the_end_of_each_interrupted_submit(name: str) -> None:
    """Once; and of no end if they were not told of the submit."""
    for step in each_step(30):
        gate, outside = Gate(), Future[int]()
        with planned(1, 2) as (scheduler, queue, other):
            submitted: list[Any] = []
            ended: list[Any] = []
            lists = {"submit": submitted, "end": ended}
            held = other.submit(gate)
            failed = other.submit(int, "x")
            assert failed.exception(DEADLINE)
            scheduler.observe(lambda event: lists.get(event.kind, []).append(event.task))  # noqa: B023
            submits = {**SUBMITS, "failed": lambda *_: queue.submit(int, failed)}  # noqa: B023
            step.strike(lambda: submits[name](queue, held, outside))  # noqa: B023
            gate.open()
            outside.set_result(1)
            assert scheduler.wait(DEADLINE), step
        assert [task for task in ended if task is not held] == submitted, step  # that of held came before
        assert all("Task at" in repr(task) for task in ended)


@pytest.fixture
def interrupting(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Call it with a scheduler: once its next task is added, *acts* are called, and Ctrl-C strikes."""

    def arm(scheduler: Scheduler, *acts: Callable[[], object]) -> None:
        add = core_of(scheduler).add_node

        def struck_add(*args: Any) -> None:
            add(*args)
            monkeypatch.undo()
            for act in acts:
                act()
            raise KeyboardInterrupt

        monkeypatch.setattr(core_of(scheduler), "add_node", struck_add)

    return arm


@pytest.mark.parametrize("order", slow_but("newest", ["newest", "oldest"]))
def test_submit_interrupted_twice(order: str, interrupting: Any) -> None:
    """The second Ctrl-C does not prevent the repair after the first one, nor let others see the damage."""
    for step in each_step(40):
        gate = Gate()
        with planned(1, order=order) as (scheduler, queue):
            try:
                held = gate.hold(queue, "held")
                before = [queue.submit(abs, i) for i in range(3)]
                interrupting(scheduler)
                step.strike(lambda: queue.submit(int))
                check_order(scheduler)
                assert state_of(queue).ready == len(before), step
            finally:
                gate.open()
            assert [task.result(DEADLINE) for task in [held, *before]] == ["held", 0, 1, 2], step
            assert scheduler.wait(DEADLINE), step


def test_no_garbage_is_collected_while_the_task_of_an_interrupted_submit_is_withdrawn(
    interrupting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finalizer would wait for the lock, which the interrupted thread holds."""

    class Garbage:
        def __init__(self) -> None:
            self.cycle = self

        def __del__(self) -> None:
            pending.cancel()

    def litter() -> None:
        for _ in range(10_000):
            Garbage()

    def roots() -> list[Any]:
        litter()
        return []

    class Thread(threading.Thread):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            if kwargs.get("name") == "smqexec-elsewhere":
                litter()  # as the thread is made that withdraws
            super().__init__(*args, **kwargs)

    def strike() -> None:
        monkeypatch.setattr(core_of(scheduler), "roots", roots)
        monkeypatch.setattr(threading, "Thread", Thread)

    with planned(1, stopped=True) as (scheduler, queue):
        pending = queue.submit(int)
        interrupting(scheduler, strike)
        assert isinstance(beside(queue.submit, abs).exception(DEADLINE), KeyboardInterrupt)
        assert gc.isenabled()


def test_submit_interrupted_where_no_thread_can_be_started(
    interrupting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interrupted thread withdraws the task itself."""

    def no_thread(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    with planned(1, stopped=True) as (scheduler, queue):
        before = queue.submit(abs, -2)
        interrupting(scheduler, partial(monkeypatch.setattr, submission, "start_new_thread", no_thread))
        with pytest.raises(KeyboardInterrupt):
            queue.submit(int)
        monkeypatch.undo()
        assert not lock_of(scheduler)._is_owned()
        check_order(scheduler, [before])
        scheduler.resume()
        assert before.result(DEADLINE) == 2


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_submit_interrupted_again_as_the_thread_is_started_that_withdraws_the_task(
    begun: bool, error: type[BaseException], interrupting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task is withdrawn once, and the lock is released."""
    with planned(1, stopped=True) as (scheduler, queue):
        before = queue.submit(abs, -1)
        withdrawals: list[bool] = []
        start, undo = submission.start_new_thread, recovery._undo

        def struck_start(*args: Any) -> None:
            monkeypatch.setattr(submission, "start_new_thread", start)
            if begun:
                start(*args)
            raise error

        def arm() -> None:
            monkeypatch.setattr(submission, "start_new_thread", struck_start)
            monkeypatch.setattr(recovery, "_undo", lambda *args: (withdrawals.append(True), undo(*args))[1])

        interrupting(scheduler, arm)
        with pytest.raises(KeyboardInterrupt):
            queue.submit(int)
        assert not lock_of(scheduler)._is_owned()
        assert withdrawals == [True]
        scheduler.resume()
        assert before.result(DEADLINE) == 1
        assert scheduler.wait(DEADLINE)


def test_first_submit_of_a_queue_interrupted_at_every_line() -> None:
    """A thread that was to be started is not counted on."""
    for step in each_step(20):
        with planned(1) as (scheduler, queue):
            step.strike(lambda: queue.submit(int))
            assert queue.submit(abs, 1).result(DEADLINE) == 1, step
            assert scheduler.wait(DEADLINE), step


def test_submit_interrupted_while_an_earlier_worker_has_not_begun(interrupting: Any) -> None:
    """The repair removes that worker, and starts another one."""
    gate = Gate()
    with planned() as (scheduler,), Queue(scheduler, 1, "slow", gate.enter) as queue:
        before = queue.submit(abs, -1)
        interrupting(scheduler)
        with pytest.raises(KeyboardInterrupt):
            queue.submit(int)
        gate.open()
        assert before.result(DEADLINE) == 1


def test_submit_interrupted_when_its_task_runs_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """The running task goes on."""
    with planned(1) as (scheduler, queue):
        gate = Gate()
        submit = pool_of(queue).submit

        def late(*args: Any) -> None:
            submit(*args)
            gate.wait_entered()
            raise Struck

        monkeypatch.setattr(pool_of(queue), "submit", late)
        with pytest.raises(Struck):
            queue.submit(gate)
        monkeypatch.undo()
        assert queue.counts()["running"] == 1
        gate.open()
        assert queue.submit(int).result(DEADLINE) == 0
        assert scheduler.counts()["done"] == 2


def test_idle_worker_is_not_lost_where_a_submit_is_interrupted_as_it_wakes_the_worker() -> None:
    with planned(2) as (scheduler, queue):
        lost = queue.submit(str, Future())
        assert lost.cancel()
        until(lambda: idle_in(queue) == 1)
        with lock_of(scheduler):
            state_of(queue).idle.popitem()  # as a submit does before it wakes the worker
            recovery._undo(core_of(scheduler), state_of(queue), lost)
        until(lambda: idle_in(queue) == 1)
        together = threading.Barrier(2)
        tasks = [queue.submit(together.wait, DEADLINE) for _ in range(2)]
        assert sorted(task.result(DEADLINE) for task in tasks) == [0, 1]


def test_interrupted_member_of_a_group_and_its_group() -> None:
    """Earlier members of the group stay, in their order."""
    with planned(1, stopped=True) as (scheduler, queue):
        order: list[int] = []
        group = core_of(scheduler).submission.group()
        for number in range(3):
            submit_in(group, queue, order.append, number)
        newer = queue.submit(order.append, 9)
        for step in each_step(30):
            step.strike(lambda: submit_in(group, queue, order.append, 3))
            step.number += 6
            newer.promote()
        scheduler.resume()
        assert scheduler.wait(DEADLINE)
        # Where Ctrl-C came too late, the caller did not learn that it was submitted.
        assert [number for number in order if number != 3] == [9, 0, 1, 2]


def test_promoted_tasks_stay_promoted() -> None:
    with planned(1, stopped=True, order="oldest") as (scheduler, queue):
        order: list[int] = []
        tasks = [queue.submit(order.append, number) for number in range(3)]
        tasks[2].promote()
        assert strike(40, lambda: queue.submit(order.append, 3), press_ctrl_c)
        tasks[1].promote()
        scheduler.resume()
        assert scheduler.wait(DEADLINE)
        assert [number for number in order if number != 3] == [1, 2, 0]


class Refusing(Future[int]):
    """A future that raises as it is asked to tell."""

    def __init__(self, before: Callable[[], object] = int) -> None:
        super().__init__()
        self.before = before

    def add_done_callback(self, fn: Any) -> None:
        self.before()
        raise ValueError("no callbacks here")


class Finished(Refusing):
    """One that tells first, and then raises."""

    def add_done_callback(self, fn: Any) -> None:
        self.set_result(1)
        fn(self)
        super().add_done_callback(fn)


@pytest.mark.parametrize("state", ["waiting", "held back", "granted", "running", "done"])
@pytest.mark.parametrize("hold", [False, True])
def test_refused_submit_leaves_no_units_taken(state: str, hold: bool) -> None:
    """In each *state* of its task, which does not count unless it has started; also with *hold*."""
    disk = Resource("disk", 2)
    gate, busy = Gate(), Gate()
    with planned(1, 4) as (scheduler, queue, other):
        both = {"resources": {disk: 2}}

        def before() -> None:
            if state in ("held back", "granted"):
                until(lambda: "1 task lacks it" in scheduler.why())
            if state == "granted":
                busy.hold(queue)
                gate.open()
                until(holder.done)
                assert disk.free == 0
            elif state == "running":
                until(lambda: disk.free == 0)
            elif state == "done":
                until(lambda: queue.counts()["done"])

        try:
            if state in ("held back", "granted"):
                holder = other.options(**both).submit(gate)
                gate.wait_entered()
            fn = (lambda *_: gate()) if state == "running" else max
            future = Refusing() if state == "waiting" else Finished(before)
            with pytest.raises(ValueError, match="no callbacks here"):
                queue.options(**both, hold=hold).submit(fn, 1, future)
        finally:
            gate.open()
            busy.open()
        assert scheduler.wait(DEADLINE), scheduler.why()
        assert not outside_of(scheduler)
        # In "granted" another task has run.
        assert sum(queue.counts().values()) == (state in ("granted", "running", "done"))
        assert disk.free == 2
        assert other.options(**both).submit(abs, -3).result(DEADLINE) == 3


@pytest.mark.parametrize("state", ["waiting", "done"])
def test_refused_submit_releases_what_it_was_to_release(state: str) -> None:
    """As if its task was cancelled."""
    disk = Resource("disk", 1)
    with planned(1) as (scheduler, queue):
        frame = queue.options(resources={disk: 1}, hold=True).submit(abs, -1)
        frame.result(DEADLINE)
        future = Refusing() if state == "waiting" else Finished()
        with pytest.raises(ValueError, match="no callbacks here"):
            queue.options(release=[frame]).submit(max, 1, future)
        assert scheduler.wait(DEADLINE)
        assert disk.free == 1


RULES = ["resources", "release", "max_pending", "all", "failed"]


@pytest.mark.parametrize(
    "rule, busy", slow_but(("all", True), [(rule, busy) for rule in RULES for busy in (False, True)])
)
def test_ctrl_c_in_a_submit_with_rules_at_every_line(rule: str, busy: bool) -> None:
    """Units, holds and places of pending limits are free once all tasks have ended."""
    for step in each_step(30):
        disk = Resource("disk", 2)
        gate = Gate()
        with planned(2, order="oldest") as (scheduler, queue):
            small = Queue(scheduler, 1, max_pending=2)
            try:
                frame = queue.options(resources={disk: 1}, hold=True).submit(abs, -1)
                frame.result(DEADLINE)
                fails = queue.submit(divmod, 1, 0)
                assert isinstance(fails.exception(DEADLINE), ZeroDivisionError)
                taken = queue.options(resources={disk: 1}).submit(gate) if busy else None
                options: dict[str, Any] = {} if rule == "max_pending" else {"timeout": DEADLINE}
                if rule in ("resources", "all", "failed"):
                    options["resources"] = {disk: 1}
                if rule in ("release", "all", "failed"):
                    options["release"] = [frame]
                where = (queue if rule in ("resources", "release") else small).options(**options)
                after = [fails] if rule == "failed" else []
                step.strike(lambda: where.submit(max, 1, 2, *after))  # noqa: B023
            finally:
                gate.open()
            if taken is not None:
                taken.result(DEADLINE)
            queue.options(release=[frame]).submit(abs, 1)
            more = [small.options(timeout=DEADLINE).submit(abs, -number) for number in range(4)]
            assert [task.result(DEADLINE) for task in more] == [0, 1, 2, 3]
            assert scheduler.wait(DEADLINE), (step, scheduler.why())
            assert disk.free == 2, step
            both = queue.options(resources={disk: 2}).submit(abs, -5)
            assert both.result(DEADLINE) == 5, step
            check_order(scheduler)


def one(value: Any) -> Any:
    yield value


def new_queue(scheduler: Any, act: Callable[[Queue], object]) -> None:
    """Make a queue, and call *act* with it.  It is kept: Python swallows an exception in a finalizer."""
    queue = Queue(scheduler, 1, max_pending=1)
    scheduler.keeps = queue
    act(queue)


MORE_CALLS: dict[str, Callable[[Scheduler, Queue, Any, Resource], object]] = {
    "submit resources": lambda scheduler, queue, task, disk: queue.options(resources={disk: 1}).submit(int),
    "queue": lambda scheduler, queue, task, disk: new_queue(scheduler, lambda new: new.submit(int)),
    "shutdown": lambda scheduler, queue, task, disk: new_queue(scheduler, Queue.shutdown),
    "item of a generator": lambda scheduler, queue, task, disk: queue.submit(one, task)[0],
}


@pytest.fixture
def terminated() -> Iterator[Callable[..., object]]:
    """The handler of SIGTERM during the test, which raises."""

    def handler(*_: object) -> None:
        raise TimeoutError

    with handling(signal.SIGTERM, handler):
        yield handler


@pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="CPython 3.12 tells of no bytecodes here")
@pytest.mark.parametrize(
    "name, number",
    slow_but(
        [("submit dependent", signal.SIGINT), ("stop", signal.SIGTERM), ("cancel", signal.SIGTERM)],
        itertools.product([*CALLS, *MORE_CALLS], [signal.SIGINT, signal.SIGTERM]),
    ),
)
def test_signal_between_any_two_bytecodes(name: str, number: int, terminated: Callable[..., object]) -> None:
    """Its handler raises.  No lock stays taken, all slots still work, and every task ends.

    From CPython 3.14 on a signal may strike when ``with`` has taken a lock, and its block has not begun.
    """
    for step in each_step(20):
        step.number += 6 if step.number > 250 else 0
        gate, disk = Gate(), Resource("disk", 2)
        with planned(1, 2) as (scheduler, queue, other):
            held = gate.hold(other, "held")
            task = queue.submit(str, held)
            call: Any = MORE_CALLS.get(name) or CALLS[name]
            last = disk if name in MORE_CALLS else 1e-9
            try:
                act = partial(interrupt_main, number)
                step.strike(partial(call, scheduler, queue, task, last), act, opcodes=True)
                assert not lock_of(scheduler)._is_owned(), step
                assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, step
                assert signal.getsignal(signal.SIGTERM) is terminated, step
                scheduler.resume()
                queue.max_workers = 2
            finally:
                gate.open()
            both = threading.Barrier(2)
            after = [where.submit(both.wait, DEADLINE) for where in (queue, queue, other, other)]
            assert sorted(each.result(DEADLINE) for each in after) == [0, 0, 1, 1], step
            assert task.result(DEADLINE) == "held"
            assert scheduler.wait(DEADLINE), (step, scheduler.why())
            assert queue.options(resources={disk: 2}).submit(abs, -1).result(DEADLINE) == 1


def test_ctrl_c_at_any_line_of_tasks_that_wait_inline() -> None:
    """In the main thread: tasks that were added end, and later tasks run."""
    for step in range(300, 1800, 7):
        with planned(1) as (scheduler, other):
            queue = Queue(scheduler, inline=True)
            tasks: list[Any] = []

            def outer() -> int:
                tasks.append(queue.submit(abs, -3))  # noqa: B023
                return tasks[0].result(DEADLINE) + other.submit(abs, -1).result(DEADLINE)  # noqa: B023

            strike(step, lambda: tasks.append(queue.submit(outer)), from_outside)  # noqa: B023
            assert scheduler.wait(DEADLINE), (step, scheduler.why())
            assert all(task.done() for task in tasks)
            assert queue.submit(abs, -4).result(DEADLINE) + other.submit(abs, -5).result(DEADLINE) == 9
            assert not searches, step


ACTS: dict[str, Callable[[Queue, Any, Any], object]] = {
    "cancel": lambda queue, root, outside: root.cancel(),
    "cancel dependencies": lambda queue, root, outside: root.cancel(dependencies=True),
    "cancel all": lambda queue, root, outside: queue.shutdown(wait=False, cancel_futures=True),
    "promote": lambda queue, root, outside: root.promote(),
    "a result from outside": lambda queue, root, outside: outside.set_result(1),
    "an error from outside": lambda queue, root, outside: outside.set_exception(ValueError()),
}


@pytest.mark.parametrize("order", slow_but("newest", ["newest", "oldest"]))
@pytest.mark.parametrize("name", ACTS)
def test_ctrl_c_at_many_lines(name: str, order: str) -> None:
    """No pending task is lost: each ends with some outcome, and its waiters are woken."""
    for step in each_step(10, 1 + 3 * (order == "oldest")):
        gate, outside = Gate(), Future[int]()
        with planned(2, 1, order=order) as (scheduler, queue, other):
            held = [other.submit(gate, "held"), queue.submit(gate), queue.submit(gate)]
            gate.wait_entered(3)
            root = queue.submit(str, held[0])
            ends: list[Any] = [root, queue.submit(int), queue.submit(str, outside)]
            ends += [queue.submit(str, root), other.submit(str, root)]
            ends += [other.submit(str, ends[2]), ends[3][0], queue.submit(str, ends[4])]
            waiting = [beside(end.exception, DEADLINE) for end in ends[1:4:2]]
            act = partial(ACTS[name], queue, root, outside)
            # What strikes a callback before ours has put it off is lost, as any is after set_result.
            spared = ("interrupts.py", "exclusive.py", "at_end.py") if name.endswith("outside") else ()
            step.strike(act, spared=spared)
            step.number += 5
            if not outside.done():
                outside.set_result(1)
            gate.open()
            for told in waiting:
                with suppress(CancelledError):
                    told.result(DEADLINE)
            assert scheduler.wait(DEADLINE), step
            until(lambda: all(end.done() for end in ends))  # noqa: B023
            check_order(scheduler)


REQUESTS: dict[str, Callable[[Any], object]] = {
    "length": len,
    "item": lambda film: film[1],
    "last item": lambda film: film[-1],
    "slice": lambda film: film[:],
    "iteration": lambda film: list(iter(film)),
    "part": lambda film: film["b"],
}


@pytest.mark.parametrize("name", slow_but("iteration", REQUESTS))
def test_ctrl_c_in_a_request_for_a_part_at_every_line(name: str) -> None:
    """The task is as before: a second request gets the part."""

    def film(letters: str) -> Any:
        yield from letters

    for step in each_step(5):
        with planned(1, stopped=True) as (scheduler, queue):
            if name == "part":
                task: Any = queue.submit(dict, a="a", b="b")
            else:
                task = queue.submit(number_of_results(len)(film), "ab")
            began = Future[None]()
            resumed = beside(lambda: began.result(DEADLINE) or scheduler.resume())  # noqa: B023

            def ask() -> None:
                began.set_result(None)  # noqa: B023
                REQUESTS[name](task)  # noqa: B023

            step.strike(ask)
            resumed.result(DEADLINE)
            item = task["b"] if name == "part" else task[1]
            heir = queue.submit(str, item)
            assert item.result(DEADLINE) == heir.result(DEADLINE) == "b", step
            assert name == "part" or (len(task), list(task)) == (2, ["a", "b"]), step
            assert scheduler.wait(DEADLINE), step
            assert not outside_of(scheduler)


def test_ctrl_c_at_any_line_of_a_submit_that_gets_no_room() -> None:
    """Its place in the pending limit is free again."""
    for step in each_step(20):
        with planned(stopped=True) as (scheduler,), Queue(scheduler, 1, max_pending=1) as queue:
            task = queue.submit(int)
            step.strike(partial(queue.options(timeout=0).submit, int), from_outside)
            scheduler.resume()
            assert task.result(DEADLINE) == 0
            assert queue.options(timeout=0).submit(int).result(DEADLINE) == 0, step


def test_ctrl_c_is_raised_wherever_it_comes_around_a_callback(caplog: pytest.LogCaptureFixture) -> None:
    """Also just after the callback, before Ctrl-C is masked again."""
    for step in each_step(20):
        with planned(1, stopped=True) as (_, queue):
            task = queue.submit(int)
            task.add_done_callback(nothing)
            task.add_done_callback(nothing)
            raised: list[type[BaseException]] = []

            def cancel() -> None:
                try:
                    task.cancel()  # noqa: B023
                    nothing()  # on CPython 3.14 Ctrl-C at the last line comes as the next function begins
                except BaseException as error:
                    raised.append(type(error))  # noqa: B023

            step.strike(cancel, from_outside, files=(_interrupts.__file__,))
            assert raised == [KeyboardInterrupt] * bool(step.struck), step
    assert not caplog.records


def test_ctrl_c_is_put_off_until_the_block_has_ended() -> None:
    through: list[int] = []

    def put_off() -> None:
        with uninterrupted():
            press_ctrl_c()
            through.append(1)
        through.append(2)

    with pytest.raises(KeyboardInterrupt):
        put_off()
    assert through == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(("call", "made"), [(unmasked, True), (interruptible, False)])
def test_masked_ctrl_c_comes_before_an_interruptible_call(call: Callable[..., Any], made: bool) -> None:
    called: list[int] = []
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        press_ctrl_c()
        call(called.append, 1)
    assert bool(called) == made


def test_exception_that_was_kept_is_raised_although_ctrl_c_came_later() -> None:
    with pytest.raises(KeyboardInterrupt, match="kept"), uninterrupted():
        assert keep(KeyboardInterrupt("kept"))
        press_ctrl_c()


@pytest.mark.parametrize("handler", [signal.SIG_IGN, None], ids=["ignored", "not Python's"])
def test_uninterrupted_leaves_other_handlers_alone(handler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_interrupts, "getsignal", lambda _: handler)
    monkeypatch.setattr(_interrupts, "set_handler", None)
    with uninterrupted():
        pass


def test_uninterrupted_in_a_subinterpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subinterpreter gets no signals, and may set no handler, as is true of this thread."""

    def enter() -> None:
        monkeypatch.setattr(_interrupts, "MAIN", {threading.get_ident()})
        with uninterrupted():
            assert _interrupts._block is None

    beside(enter).result(DEADLINE)


def test_each_handler_of_a_masked_signal_is_called_once(terminated: Callable[..., object]) -> None:
    """With the frame that the signal struck, although others raise; what is masked first is raised."""
    seen: list[Any] = []

    def look(number: int, frame: Any) -> None:
        seen.append((number, frame.f_code.co_name))

    with handling(signal.SIGABRT, look), pytest.raises(TimeoutError) as raised, uninterrupted():
        for number in (signal.SIGTERM, signal.SIGABRT, signal.SIGINT, signal.SIGABRT):
            signal.raise_signal(number)
        assert not seen
    assert seen == [(signal.SIGABRT, test_each_handler_of_a_masked_signal_is_called_once.__name__)]
    assert type(raised.value.__context__) is KeyboardInterrupt


def test_handler_that_a_call_of_the_users_has_removed_is_not_called(terminated: object) -> None:
    with uninterrupted():
        signal.raise_signal(signal.SIGTERM)
        unmasked(signal.signal, signal.SIGTERM, signal.SIG_IGN)


def test_what_a_section_has_decided_is_done_although_a_part_of_it_raises() -> None:
    done: list[int] = []
    with planned(1) as (scheduler, _):
        with pytest.raises(ZeroDivisionError), core_of(scheduler).exclusive() as section:
            section.then(divmod, 1, 0)
            section.then(done.append, 1)
        assert done == [1]
        assert not lock_of(scheduler)._is_owned()


def test_first_item_is_refused_to_a_handler_that_has_interrupted_the_scheduler() -> None:
    """Later items need no lock."""
    with planned(1, stopped=True) as (scheduler, queue):
        frames = queue.submit(one, 1)
        with core_of(scheduler).exclusive(), pytest.raises(RuntimeError, match="make this call in another"):
            frames[0]
        frames[0]
        with core_of(scheduler).exclusive():
            assert not frames[1].done()
