"""Tasks that wait for tasks: nested in one slot and thread, or told that it would never end."""

from __future__ import annotations

import concurrent.futures
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError, Future
from functools import partial
from math import nan
from typing import Any

import pytest
from gate import DEADLINE, Gate, begun, occupy
from internals import (
    Wait,
    Waiter,
    blocked_on,
    core_of,
    idle_in,
    lock_of,
    pool_of,
    searches,
    searches_in,
    state_of,
    states_of,
    stream_of,
    termination,
    waiter,
    waiters_of,
    waiting,
    waits,
    watchers_of,
    workers_of,
)
from outcomes import nothing, outcome
from strikes import PACKAGE, Strike
from threads import beside, planned, until, until_gone, without_collector

import smqexec
from smqexec import Queue, Scheduler, checkpoint, number_of_results, settled
from smqexec._planner.nodes import READY, Node


def nothing_is_left(*schedulers: Scheduler) -> bool:
    """Return True if no record of a wait has outlived it."""
    queues = [state for scheduler in schedulers for state in states_of(scheduler)]
    waits = [worker for state in queues for worker in state.workers if worker.waits or worker.suspended]
    return not (searches or waits or any(state.searches for state in queues))


def searched(queue: Queue) -> Any:
    """Wait until the search of the one task of *queue* that waits has looked at all; return the search."""
    until(lambda: searches_in(queue))
    (search,) = searches_in(queue)

    def over() -> bool:
        with lock_of(queue):  # within a search there are moments without frames
            return bool(search.seen and not search.frames)

    until(over)
    return search


def deep_in(queue: Queue, depth: int = 1) -> None:
    """Wait until a worker of *queue* is in so many waits, one inside the other."""
    until(lambda: any(len(worker.waits) == depth for worker in workers_of(queue)))


def stopping(scheduler: Scheduler) -> Future[Any]:
    """Begin a ``stop(wait=True)`` in a thread of its own, and see that it has to wait."""
    stop = beside(scheduler.stop, True)
    until(lambda: watchers_of(scheduler) or stop.done())
    assert not stop.done()
    return stop


def no_thread(*_: object) -> None:
    raise RuntimeError("can't start new thread")


# One slot is enough.


def test_wait_takes_a_step_for_each_task_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the search for a cycle too: the tasks around it are many, and each waits for the next."""

    def steps(depth: int) -> int:
        counter = Strike(-1, PACKAGE, opcodes=True)
        # When the thread has nothing more to look at.
        monkeypatch.setattr(Wait, "sleep", lambda *args: gate.open() or Waiter.sleep(*args))

        def descend(n: int) -> None:
            if n:
                queue.submit(descend, n - 1).result()
            else:
                counter.within(lambda: smqexec.wait([held]))

        with planned(1, 1) as (_, queue, other):
            gate, held = occupy(other)
            queue.submit(descend, depth).result(DEADLINE)
        return -counter.left

    assert 100 < steps(120) < 5 * steps(30)


def test_wait_is_compared_with_those_of_other_threads_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """By each task around it.  A recursion on two slots costs less than its depth cubed, in any schedule."""
    compared: list[Any] = []
    extend, depth = Wait.extend, 100

    def counted(wait: Wait, nodes: Any, frame: Any) -> None:
        extend(wait, (compared.append(node) or node for node in nodes), frame)

    def descend(n: int) -> None:
        if n:
            queue.submit(descend, n - 1).result()

    monkeypatch.setattr(Wait, "extend", counted)
    with planned(2) as (_, queue):
        for _ in range(5):
            compared.clear()
            queue.submit(descend, depth).result(DEADLINE)
            # That many if the two threads take turns; with the waits of its own thread up to four times that.
            assert len(compared) <= (depth + 2) ** 3 / 12


def test_recursion_too_deep_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "DEEPEST", 100)  # or it takes seconds
    limit = sys.getrecursionlimit()
    with planned(1) as (scheduler, queue):
        over: list[int] = []

        def dig(n: int) -> int:
            try:
                # One submitted where nobody could wait any more runs later: it must not dig again.
                return 0 if over else 1 + int(queue.submit(dig, n + 1).result())
            except RecursionError:
                over.append(n)
                raise

        assert isinstance(queue.submit(dig, 0).exception(6 * DEADLINE), RecursionError)
        assert over[0] > 200
        assert scheduler.wait(DEADLINE)
        assert queue.submit(int).result(DEADLINE) == 0
        assert nothing_is_left(scheduler)
    assert sys.getrecursionlimit() == limit


def test_only_what_is_needed_runs_and_in_order() -> None:
    order: list[str] = []
    threads = set()
    with planned(1) as (_, queue):

        def note(name: str, *needs: Any) -> str:
            order.append(name)
            threads.add(threading.get_ident())
            return name

        def program() -> str:
            queue.submit(note, "unneeded")
            a = queue.submit(note, "a")
            b = queue.submit(note, "b", queue.submit(note, "under b"))
            queue.submit(note, "unneeded too")
            sink = queue.submit(note, "sink", b, a)
            order.append(f"got {sink.result()}")
            return note("end")

        assert queue.submit(program).result(DEADLINE) == "end"
        until(lambda: len(order) == 8)
    assert order == ["under b", "b", "a", "sink", "got sink", "end", "unneeded too", "unneeded"]
    assert len(threads) == 1


@pytest.mark.parametrize("schedulers", [1, 2])
def test_two_queues_of_one_slot_wait_for_each_other(schedulers: int) -> None:
    with planned(1, 1) as (scheduler, one, two), planned(1) as (other, three):
        second = two if schedulers == 1 else three
        both = threading.Barrier(2, timeout=DEADLINE)

        def call(queue: Queue) -> str:
            both.wait()
            return queue.submit(str, 1).result()

        tasks = [one.submit(call, second), second.submit(call, one)]
        assert [task.result(DEADLINE) for task in tasks] == ["1", "1"]

        def ping(n: int, here: Queue, there: Queue) -> int:
            return 1 + int(there.submit(ping, n - 1, there, here).result()) if n else 0

        assert one.submit(ping, 50, one, second).result(DEADLINE) == 50
        needs = one.submit(lambda: second.submit(str, one.submit(abs, -3)).result())
        assert needs.result(DEADLINE) == "3"
        assert nothing_is_left(scheduler, other)


def test_timeout_is_kept() -> None:
    with planned(1, 1) as (scheduler, queue, other):
        gate, held = occupy(other)
        never: Future[int] = Future()

        def program() -> Any:
            for timeout in (0, nan, 0.01):
                with pytest.raises(TimeoutError):
                    held.result(timeout)
            assert not scheduler.wait(0.01) and not watchers_of(scheduler)
            ended = queue.submit(int)
            assert ended.result() == 0
            assert smqexec.wait([never, ended], 0.01) == ({ended}, {never})
            given = smqexec.as_completed([never, ended], 0.01)
            assert next(given) is ended
            with pytest.raises(TimeoutError, match=r"1 \(of 2\)"):
                next(given)

        assert queue.submit(program).result(DEADLINE) is None
        assert not never._waiters
        gate.open()
        held.result(DEADLINE)
        assert queue.submit(scheduler.wait, 0).result(DEADLINE)  # only the task that asks runs


@pytest.mark.parametrize("schedulers", [1, 2])
def test_timeout_is_kept_in_the_middle_of_a_search(schedulers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what begins before the deadline is looked at."""
    monkeypatch.setattr(waits, "SEARCH_LIMIT", 10)
    with planned(1) as (_, queue), planned(1) as (_, abroad):
        other = abroad if schedulers == 2 else Queue(queue.scheduler, 1)
        never: Future[int] = Future()
        sink = other.submit(len, [other.submit(str, never) for _ in range(1000)])
        late = iter([0.0, 0.0, 0.0])  # the clock of the task stands still until the first slice is through
        main, clock = threading.get_ident(), time.monotonic
        monkeypatch.setattr(
            waiter, "monotonic", lambda: clock() if threading.get_ident() == main else next(late, 1e9)
        )

        def program() -> None:
            with pytest.raises(TimeoutError):
                sink.result(0.05)

        assert queue.submit(program).result(DEADLINE) is None
        assert next(late, None) is None
        never.set_result(1)
        assert sink.result(DEADLINE) == 1000


def test_stopped_scheduler_starts_nothing_for_a_waiting_task() -> None:
    with planned(1) as (scheduler, queue):
        order: list[int] = []

        def program() -> int:
            needs = [queue.submit(order.append, n) for n in range(3)]
            return int(queue.submit(lambda *_: 8, *needs).result())

        gate, task = begun(queue, program)
        scheduler.stop()
        gate.open()
        # Nothing can go on: that counts as stopped, though a task is running.
        scheduler.stop(wait=True)
        assert scheduler.counts()["ready"] == 3
        searched(queue)
        scheduler.resume()
        assert task.result(DEADLINE) == 8
        assert order == [0, 1, 2]


@pytest.mark.parametrize("everything", [False, True])
def test_long_search_without_an_event(everything: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread does not sleep between two slices."""
    monkeypatch.setattr(waits, "SEARCH_LIMIT", 10)
    with planned(1, 1) as (scheduler, queue, other):
        gate = Gate()

        def program() -> bool:
            first = queue.submit(int)
            first.add_done_callback(lambda _: gate.open())
            task = other.submit(nothing, other.submit(gate), first)
            for _ in range(50):
                task = other.submit(nothing, task)
            return bool(scheduler.wait(DEADLINE)) if everything else task.result(DEADLINE) is None

        assert queue.submit(program).result(DEADLINE)


@pytest.mark.parametrize("first", ["the needed task is awaited", "the slot waits"])
def test_task_in_the_needed_slot_waits(first: str) -> None:
    """The needed task is pending in a queue whose only slot is held by a task that waits for us."""
    with planned(1, 1, 1) as (scheduler, one, two, three):
        gate = Gate()

        def holder() -> str:
            text = one.submit(str, "from one").result()
            gate.open()  # only now the task that needs this slot may go on
            return text

        entered, held = begun(two, holder)
        needed = two.submit(str, three.submit(gate, "from three"))
        asks, task = begun(one, needed.result)
        steps = [(asks, one), (entered, two)]
        for each, queue in steps if first == "the needed task is awaited" else steps[::-1]:
            each.open()
            until(lambda queue=queue: task.done() or searches_in(queue))
            for search in list(searches_in(queue)):
                until(lambda search=search: (search.seen and not search.frames) or task.done())
        assert task.result(DEADLINE) == "from three"
        assert held.result(DEADLINE) == "from one"
        assert nothing_is_left(scheduler)


def test_all_waits_in_the_needed_slot_are_followed() -> None:
    """The outer task, too, waits for a task of ours, before it lets the needed one become ready."""
    with planned(1, 1, 1) as (_, one, two, three):
        gate, held = occupy(three, 0)
        asks, task = begun(one, lambda: pending.result(DEADLINE))

        def outer() -> None:
            two.submit(max, two.submit(one.submit(int).result), one.submit(int)).result()
            gate.open()

        two.submit(outer)
        deep_in(two, 2)
        pending = two.submit(int, held)
        asks.open()
        assert task.result(DEADLINE) == 0


def test_search_goes_along_each_arrow_of_a_graph_with_many_ways_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it records nothing that has ended."""
    looked: list[Any] = []
    followed: list[Any] = []
    visit, follow = Wait._visit, Wait._follow
    monkeypatch.setattr(Wait, "_visit", lambda *args: (looked.append(args[1]), visit(*args))[1])
    monkeypatch.setattr(Wait, "_follow", lambda *args: (followed.append(args[1]), follow(*args))[1])
    with planned(1, 1, 1) as (_, queue, other, third):
        (gate, held), (last, ended) = occupy(other, 1), occupy(third, 2)
        pair = [other.submit(max, ended, held), other.submit(abs, held)]
        last.open()
        ended.result(DEADLINE)
        for _ in range(7):
            pair = [other.submit(max, *pair), other.submit(min, *pair)]
        futures = [other.submit(max, *pair), Future()]
        task = queue.submit(lambda: smqexec.wait(futures, None, FIRST_COMPLETED).done)
        assert len(searched(queue).seen) == 1 + 2 * 8 + 1 + 1  # and the other queue
        assert len(looked) == 1 + 2 + 7 * 4 + 3  # once along each arrow
        assert len(followed) == 1 + 1  # to the waits of the running task, and of the other queue
        gate.open()
        assert task.result(DEADLINE) == {futures[0]}


@pytest.mark.parametrize("step", ["before the visit", "after it"])
def test_search_holds_the_lock_of_whose_task_it_looks_at_and_no_other(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two searches, each through the other's scheduler, would wait for each other's lock."""
    gate, locked, visit = Gate(), [], Wait._visit

    def looked(self: Any, node: Any, owner: Any) -> None:
        locked.append(lock_of(owner)._is_owned())
        visit(self, node, owner)

    monkeypatch.setattr(Wait, "_visit", looked)
    with planned(1) as (_, one), planned(1, stopped=True) as (another, two):
        far = two.submit(int)
        first, second = (two, one) if step == "before the visit" else (one, two)
        owner, name = (waits, "scheduler_of") if first is two else (Wait, "_visit")
        fn: Any = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *args: (far in args and gate.enter(), fn(*args))[1])
        task = one.submit(one.submit(abs, far).result)
        gate.wait_entered()
        with lock_of(first):
            gate.open()
            assert lock_of(second).acquire(timeout=DEADLINE)
            lock_of(second).release()
        another.resume()
        assert task.result(DEADLINE) == 0
        assert locked and all(locked)


def test_error_of_ours_under_the_lock_of_another_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search has its own lock again as the error leaves it: so the error is told, and no other."""
    visit = Wait._visit
    monkeypatch.setattr(Wait, "_visit", lambda *args: 1 / 0 if far in args else visit(*args))
    with planned(1) as (_, one), planned(1, stopped=True) as (another, two):
        far = two.submit(int)
        task = one.submit(one.submit(abs, far).result)
        assert isinstance(task.exception(DEADLINE), ZeroDivisionError)
        another.resume()
        assert far.result(DEADLINE) == 0


def test_search_is_extended_while_its_own_thread_visits_more() -> None:
    """Under the lock of another scheduler: on free-threaded builds the wait that extended it raised."""
    search = Wait(set(), ALL_COMPLETED)

    class Visited:
        def __hash__(self) -> int:
            search.seen[object()] = 0  # as the other thread may, at any moment
            return 0

    search.seen[Visited()] = 0
    search.extend({object() for _ in range(5)}, (iter(()), None))
    assert len(search.frames) == 1


def test_search_that_is_extended_as_a_frame_ends() -> None:
    """Under another scheduler's lock: so at any moment of a step."""
    with planned(1) as (_, one), planned(1) as (_, two):
        gate, held = occupy(two)
        task = one.submit(held.result)
        search, needed = searched(one), one.submit(int)

        def extends() -> Any:
            search.extend([weakref.ref(held)], (iter([needed]), None))
            yield from ()

        with lock_of(one):
            search.frames.append((extends(), None))
            search.wake()
        assert needed.result(DEADLINE) == 0  # nested: the only slot waits
        gate.open()
        task.result(DEADLINE)


@pytest.mark.parametrize("kept", [True, False])
def test_needed_task_that_another_worker_has_run_meanwhile(kept: bool) -> None:
    with planned(2, 2) as (_, queue, other):
        (gate, held), (slot, _), inner, last = occupy(other, -1), occupy(queue), Gate(), Gate()
        needed = queue.submit(abs, held)
        needs = [other.submit(abs, needed), other.submit(last, 0)]
        task = queue.submit(lambda: queue.submit(max, *needs, queue.submit(inner, 0)).result())
        inner.wait_entered()  # nested, after the search has visited all
        slot.open()
        gate.open()
        assert needs[0].result(DEADLINE) == 1
        gone = weakref.ref(needed)
        if not kept:
            del needed
            until_gone(gone)
        inner.open()
        (search,) = searches_in(queue)
        until(lambda: not search.ready)
        last.open()
        assert task.result(DEADLINE) == 1


def test_what_became_ready_meanwhile_is_done_in_the_order_in_which_it_is_needed() -> None:
    with planned(1, 2) as (_, queue, other):
        order: list[str] = []
        (gate, need), (another, needed) = occupy(other), occupy(other)
        first = queue.submit(lambda _: order.append("first"), need)
        second = queue.submit(lambda _: order.append("second"), needed)
        waited: Future[None] = Future()
        last = Gate()
        task = queue.submit(queue.submit(nothing, first, second, queue.submit(last, waited)).result)
        until(lambda: searches_in(queue))
        waited.set_result(None)
        last.wait_entered()
        another.open()
        needed.result(DEADLINE)
        gate.open()
        until(lambda: queue.counts()["ready"] == 2)
        last.open()
        task.result(DEADLINE)
    assert order == ["first", "second"]


def test_what_another_begins_to_wait_for_is_left_where_that_is_not_needed() -> None:
    with planned(1, 1, 1) as (_, one, two, three):
        order: list[str] = []
        gate, held = occupy(two)
        task = one.submit(lambda: held.result() or order.append("needed"))
        needs = searched(one)
        ready: Future[str] = Future()
        unneeded = one.submit(order.append, ready)
        other = three.submit(unneeded.result)
        deep_in(three)
        until(lambda: not needs.frames)
        ready.set_result("unneeded")
        assert not needs.ready
        gate.open()
        task.result(DEADLINE)
        other.result(DEADLINE)
    assert order == ["needed", "unneeded"]


def test_waiting_task_keeps_nothing_that_has_ended() -> None:
    """Neither before the wait began nor meanwhile, in whatever way."""
    with planned(1, 1, 2) as (_, queue, other, third), without_collector():
        (gate, held), (last, also_held) = occupy(third, 1), occupy(third, 2)
        needs = [other.submit(int), other.submit(abs, held), other.submit(abs, held)]
        needs[0].result(DEADLINE)
        task = queue.submit(
            queue.submit(nothing, other.submit(nothing, *map(settled, needs)), also_held).result
        )
        search = searched(queue)
        assert {*map(weakref.ref, needs[1:])} <= {*search.seen}
        needs[1].cancel()
        gone = [weakref.ref(need) for need in needs]
        del needs
        gate.open()
        until_gone(*gone)
        last.open()
        assert task.result(DEADLINE) is None


def test_wait_whose_search_is_not_over_keeps_nothing_after_its_end() -> None:
    """The awaited task runs nested, and the wait is over before the search has looked for more."""
    with planned(1) as (_, queue), without_collector():

        def program() -> list[Any]:
            tasks = [queue.submit(set), queue.submit(set), queue.submit(set)]
            results = [tasks[0].result(), *(task.result() for task in smqexec.wait(tasks[1:]).done)]
            return [*map(weakref.ref, results), *map(weakref.ref, tasks)]

        until_gone(*queue.submit(program).result(DEADLINE))


def test_task_that_waits_for_one_that_waits_for_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which needs what is pending in the first one's own queue."""
    ran: list[int] = []
    clock, last = time.monotonic, time.monotonic() + DEADLINE / 2
    monkeypatch.setattr(waiter, "monotonic", lambda: float(bool(ran) or clock() > last))
    with planned(1, 1) as (scheduler, one, two):

        def program() -> None:
            gate, awaited = begun(two, lambda: scheduler.wait(0.1))
            one.submit(ran.append, 1)
            gate.open()
            assert not awaited.result() and ran  # not all is done while the program waits

        # The time is over when it has done what it can.
        assert one.submit(program).result(DEADLINE) is None


@pytest.mark.parametrize("running", [False, True])
def test_task_that_waits_for_a_shutdown_runs_what_that_needs(running: bool) -> None:
    """And nothing else: what the tasks of that queue need, pending or running."""
    with planned(1, 1, 1) as (_, one, two, three):
        order: list[str] = []

        def program() -> None:
            gate, task = begun(two, three.shutdown)
            other = one.submit(order.append, "unneeded")
            needed = one.submit(order.append, "needed")
            three.submit(*((needed.result,) if running else (nothing, needed)))
            if running:
                deep_in(three)
            gate.open()
            task.result()
            assert not other.done()

        assert one.submit(program).result(DEADLINE) is None
        assert order[0] == "needed"


def test_handler_that_interrupts_the_scheduler_may_look() -> None:
    """At what has ended, and without waiting: neither takes the lock."""
    with planned(1, 1) as (_, queue, other):
        gate, held = occupy(other)
        done = queue.submit(int)
        done.result(DEADLINE)

        def program() -> None:
            with lock_of(queue):
                assert done.result() == 0 and smqexec.wait([done]).done
                with pytest.raises(TimeoutError):
                    held.result(0)

        queue.submit(program).result(DEADLINE)
        gate.open()


# Generator tasks.


def test_generator_that_another_idle_worker_can_run_is_not_nested() -> None:
    """Nested, it would end before the waiting task gets the item."""
    with planned(2) as (_, queue):
        gates = [occupy(queue)[0] for _ in range(2)]
        for each in gates:
            each.open()
        until(lambda: idle_in(queue) == 2)  # a worker between two tasks is not on its way to a third
        gate = Gate()

        def values() -> Any:
            yield 1
            yield gate.enter(2)

        def first_value() -> Any:
            task = queue.submit(values)
            first = task[0].result(DEADLINE)
            gate.open()
            return first, task

        first, task = queue.submit(first_value).result(DEADLINE)
        assert (first, task.result(DEADLINE)) == (1, [1, 2])


def test_generator_whose_worker_can_not_be_started_is_nested(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        until(lambda: len(sleeps) == 2)  # the waiting task has left the generator to this worker
        no_thread()

    def sleep(wait: Any, timeout: float) -> bool:
        if isinstance(wait, Wait) and wait.workers:
            sleeps.append(wait)
        return block(wait, timeout)

    sleeps: list[Wait] = []
    block = Wait.sleep
    monkeypatch.setattr(Wait, "sleep", sleep)
    outside: Future[int] = Future()
    with planned(2) as (_, queue):
        task = queue.submit(lambda: queue.submit(lambda n: (yield n), outside)[0].result(DEADLINE))
        until(lambda: sleeps)
        monkeypatch.setattr(pool_of(queue), "start", refuse)
        outside.set_result(1)
        assert task.result(DEADLINE) == 1


def test_start_of_a_nested_task_starts_a_worker_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread could be started for the nested task; then one can."""
    gate = Gate()
    with Queue(2, in_order=True) as queue:

        def program() -> None:
            with monkeypatch.context() as patch:
                patch.setattr(pool_of(queue), "start", no_thread)
                first = queue.submit(gate)
                queue.submit(gate)
            first.result(DEADLINE)

        task = queue.submit(program)
        gate.wait_entered(2)
        gate.open()
        task.result(DEADLINE)


@pytest.mark.parametrize("through", [False, True])
def test_generator_nested_in_a_task_that_it_waits_for(through: bool) -> None:
    """The waiting task has its item, but its slot and thread only after the generator's end."""

    def values() -> Any:
        yield 1
        yield other.submit(lambda: gate.enter() or outer.result()).result() if through else outer.result()

    with planned(1, 1, stopped=True) as (scheduler, queue, other):
        gate, made = Gate(), list[Any]()

        def first_value() -> Any:
            made.append(queue.submit(values))
            return made[0][0].result()

        outer = queue.submit(first_value)
        scheduler.resume()
        if through:  # the task between the two begins its wait last, and so tells of the cycle
            deep_in(queue, 2)
            gate.open()
        assert outer.result(DEADLINE) == 1
        with pytest.raises(RuntimeError, match=r"first_value#.* needs .*values#.*which .*waits for it"):
            made[0].result(DEADLINE)


# Cycles.


def each_other(one: Queue, two: Queue) -> list[Any]:
    tasks = [one.submit(lambda: tasks[1].result()), two.submit(lambda: tasks[0].result())]
    return tasks


def its_dependent(one: Queue, two: Queue) -> list[Any]:
    task = one.submit(lambda: heir.result())
    heir = two.submit(isinstance, settled(task), Future)
    return [task]


def among_several(one: Queue, two: Queue) -> list[Any]:
    task = one.submit(lambda: smqexec.wait([heir, Future()]))
    heir = one.submit(str, task)
    return [task]


@pytest.mark.parametrize("tasks_of", [each_other, its_dependent, among_several])
def test_cycle(tasks_of: Callable[[Queue, Queue], list[Any]]) -> None:
    with planned(1, 1, stopped=True) as (scheduler, one, two):
        itself = one.submit(lambda: itself.result())
        tasks = tasks_of(one, two)
        scheduler.resume()
        errors = [task.exception(DEADLINE) for task in tasks]
        assert all(isinstance(error, RuntimeError) for error in errors)
        assert any("waiting would never end" in str(error) for error in errors)
        assert any("which waits for it" in str(error) for error in errors)
        assert "Settled" not in str(errors)
        assert str(itself.exception(DEADLINE)).endswith("waits for itself")
        assert scheduler.wait(DEADLINE) and nothing_is_left(scheduler)


def test_cycle_is_found_while_another_thread_leaves_the_waiters() -> None:
    """That thread leaves, without a lock, as the search for a cycle looks at it."""

    class Leaver:
        @property
        def __class__(self) -> type:
            waiters_of(first).remove(self)
            return object

    with planned(1, 1) as (_, queue, other):
        gate, first = begun(queue, lambda: second.result(DEADLINE))
        first._waiters.append(Leaver())
        second: Any = other.submit(lambda: first.result(2 * DEADLINE))
        searched(other)
        gate.open()
        with pytest.raises(RuntimeError, match="waiting would never end"):
            first.result(DEADLINE)


def test_cycle_through_the_inner_of_two_tasks_of_a_thread() -> None:
    """The outer one is found before, by what it waits for itself."""
    with planned(1, 1) as (_, one, two):
        box: list[Any] = []
        asks, task = begun(one, lambda: box[0].result())
        far = one.submit(str, one.submit(str, task))

        def outer() -> None:
            box.append(two.submit(far.result))
            one.submit(nothing, box[0], task).result()

        two.submit(outer)
        deep_in(two, 2)
        asks.open()
        with pytest.raises(RuntimeError, match="would never end"):
            task.result(DEADLINE)


def test_cycle_through_a_wait_of_another_scheduler_is_no_error() -> None:
    """Its lock is not held, under which that wait begins and ends."""
    with planned(1) as (_, one), planned(1) as (_, two):
        gate, task = begun(one, lambda: awaited.result(0.01))
        awaited = two.submit(task.exception)
        searched(two)
        gate.open()
        assert isinstance(task.exception(DEADLINE), TimeoutError)
        assert awaited.result(DEADLINE) is task.exception()


def test_cycle_through_one_that_was_met_for_its_slot_at_first() -> None:
    """A wait for a slot is no cycle, as its task runs others; but then that task turns out to be needed."""
    with planned(1, 1) as (_, one, two):
        entered, holder = begun(two, lambda: task.result())
        sink = one.submit(nothing, two.submit(int), one.submit(str, holder))
        gate = Gate()
        task = one.submit(lambda: gate.enter() or sink.result())
        entered.open()
        until(lambda: searches_in(two))
        gate.open()
        with pytest.raises(RuntimeError, match="would never end"):
            task.result(DEADLINE)


def test_wait_for_any_of_several_is_part_of_no_cycle() -> None:
    with planned(1, 1, 1) as (_, one, two, three):
        gate, other = occupy(three, "other")
        asks, task = begun(one, lambda: awaited.result())
        awaited = two.submit(lambda: len(smqexec.wait([task, other], None, FIRST_COMPLETED).done))
        searched(two)
        asks.open()
        searched(one)
        gate.open()
        assert task.result(DEADLINE) == 1


def test_search_follows_no_wait_of_a_task_in_which_the_awaited_one_is_nested() -> None:
    with planned(1, 1) as (_, one, two):
        gate, order = Gate(), []
        box: list[Any] = []

        def outer() -> None:
            box.append(one.submit(gate))
            two.submit(nothing, box[0], two.submit(order.append, "unneeded")).result()

        asks, task = begun(two, lambda: box[0].result() or order.append("end"))
        last = one.submit(outer)
        gate.wait_entered()
        asks.open()
        until(lambda: all(not search.frames for search in searches_in(two)) and searches_in(two))
        gate.open()
        task.result(DEADLINE)
        last.result(DEADLINE)
        assert order == ["end", "unneeded"]


def test_search_does_not_follow_a_wait_that_is_over() -> None:
    """The search hears that the awaited task waits, and looks only when that wait has ended."""
    with planned(1, 1) as (_, one, two):
        busy, end = Gate(), Gate()
        order: list[str] = []

        def awaited() -> None:
            with pytest.raises(TimeoutError):
                unneeded.result(0.01)
            busy.open()
            end.enter()

        def program() -> None:
            two.submit(nothing, task, one.submit(busy)).result()
            order.append("end")

        asks, task = begun(two, awaited)
        waiting = one.submit(program)
        busy.wait_entered()  # nested
        unneeded = one.submit(order.append, "unneeded")
        asks.open()
        end.wait_entered()
        until(lambda: any(not search.frames for search in searches_in(one)))
        end.open()
        waiting.result(DEADLINE)
        unneeded.result(DEADLINE)
        assert order == ["end", "unneeded"]


# wait and as_completed.


def test_thread_that_wakes_finds_the_future_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would sleep again, for ever."""
    woken: list[bool] = []
    monkeypatch.setattr(Wait, "wake", lambda wait: woken.append(wait.satisfied()))
    futures: set[Future[Any]] = {Future(), Future()}
    wait = Wait(futures, FIRST_COMPLETED)
    for future in wait.awaited():  # a copy, as they end while others look
        future.set_result(None)
    assert woken == [True, True]
    assert {*wait.ended} == futures


def test_waiter_enters_and_leaves_a_future_under_its_condition() -> None:
    """Else the thread that ends the future, and calls all waiters, would miss it, or skip the next one."""

    class Waiters(list[Any]):
        def append(self, waiter: Any) -> None:
            assert futures[0]._condition._is_owned()
            super().append(waiter)

        def remove(self, waiter: Any) -> None:
            assert any(future._condition._is_owned() for future in futures)
            super().remove(waiter)
            for future in futures:  # all end while the wait leaves them
                if not future.done():
                    future.set_result(None)

    futures: list[Any] = [Future(), Future()]
    for future in futures:
        future._waiters = Waiters()
    futures[1]._waiters = []
    assert not smqexec.wait(futures, 0.001).done
    assert not futures[0]._waiters and all(future.done() for future in futures)


@pytest.mark.parametrize("return_when", [ALL_COMPLETED, FIRST_COMPLETED])
def test_wait_inside_a_task_and_outside(return_when: str) -> None:
    with planned(1) as (scheduler, queue):

        def program() -> tuple[int, int]:
            outside, cancelled = Future[int](), Future[int]()
            outside.set_result(1)
            assert cancelled.cancel() and not cancelled.set_running_or_notify_cancel()
            assert smqexec.wait([cancelled], DEADLINE).done
            with pytest.raises(ValueError):
                smqexec.wait([Future()], None, "LAST_COMPLETED")
            tasks = [outside, queue.submit(int, "1"), queue.submit(int, "x")]
            done, left = smqexec.wait([*tasks, *tasks[:2]], None, return_when)
            assert done | left == {*tasks}
            return len(done), len(left)

        for done, left in (program(), queue.submit(program).result(DEADLINE)):
            assert done + left == 3 and done > 0
            assert left == 0 or return_when == FIRST_COMPLETED
        assert nothing_is_left(scheduler)


def test_wait_for_the_first_exception_inside_a_task_ends_with_it_and_not_before() -> None:
    with planned(1, 2) as (_, queue, other):
        fine: Future[int] = Future()
        fine.set_result(1)
        (gate, text), (last, held) = occupy(other, "x"), occupy(other)
        failing = queue.submit(int, text)
        waiter = queue.submit(lambda: smqexec.wait([fine, failing, held], None, FIRST_EXCEPTION))
        until(lambda: searches_in(queue))
        assert not waiter.done()
        gate.open()
        assert waiter.result(DEADLINE) == ({fine, failing}, {held})
        late = queue.submit(lambda: smqexec.wait([failing, held], None, FIRST_EXCEPTION))
        assert late.result(DEADLINE) == ({failing}, {held})
        last.open()


def test_as_completed_inside_a_task_and_outside() -> None:
    """No future that was given is kept, also before all have been looked at."""
    with planned(1) as (scheduler, queue):

        def program() -> list[int]:
            tasks = [queue.submit(int, str(n)) for n in range(150)]
            return sorted(task.result() for task in smqexec.as_completed(tasks, DEADLINE))

        def forgets() -> bool:
            given = smqexec.as_completed([queue.submit(object) for _ in range(3)], DEADLINE)
            until_gone(weakref.ref(next(given)))
            assert len(list(given)) == 2
            futures: list[Any] = [Future(), Future()]
            given = smqexec.as_completed(futures, DEADLINE)
            futures.pop().set_result(1)
            until_gone(weakref.ref(next(given)))
            futures.pop().set_result(2)
            return next(given).result() == 2

        assert program() == queue.submit(program).result(DEADLINE) == list(range(150))
        assert queue.submit(forgets).result(DEADLINE)
        assert nothing_is_left(scheduler)


def test_as_completed_that_leaves_its_task_searches_no_more() -> None:
    with planned(1, 1) as (scheduler, queue, other):
        gate, held = occupy(other)

        def first() -> Any:
            given = smqexec.as_completed([queue.submit(int), held])
            next(given)
            return given

        given = queue.submit(first).result(DEADLINE)
        assert searches_in(queue)
        taking = beside(next, given)
        until(lambda: not searches_in(queue))
        gate.open()
        assert taking.result(DEADLINE) is held
        given.close()
        assert nothing_is_left(scheduler)


def test_as_completed_taken_to_another_task() -> None:
    """Which does then what is needed of its own queue."""
    with planned(1, 1, 1) as (_, one, two, three):
        gate, first = occupy(three, 1)
        box: list[Any] = []

        def begin() -> Any:
            second = two.submit(int, "2")
            box.append(smqexec.as_completed([first, second, Future()]))
            return next(box[0]).result()

        def go_on() -> Any:
            begun = one.submit(begin)
            until(lambda: searches_in(one))
            gate.open()
            until(begun.done)  # not its result: for that we would do what is left
            return begun.result(), next(box[0]).result()

        assert two.submit(go_on).result(DEADLINE) == (1, 2)


@pytest.mark.parametrize("event", ["freed", "extend"])
def test_event_that_is_under_way_as_a_wait_leaves_its_task_changes_no_later_search(event: str) -> None:
    wait = Wait(set(), ALL_COMPLETED)
    node = Node()

    class Seen(dict[Any, int]):
        """The record of the first search; another thread begins the next search as an event reads it."""

        def get(self, *_: Any) -> int:
            wait.bind(())
            return 0

        def keys(self) -> Any:
            wait.bind(())
            return {node}

    wait.seen = Seen()
    wait.freed(node) if event == "freed" else wait.extend([node], (iter(()), None))
    assert (len(wait.ready), len(wait.frames)) == (0, 1)


def test_as_completed_keeps_no_task_that_has_waited() -> None:
    with planned(1, 1) as (_, queue, other), without_collector():
        gate, held = occupy(other)
        box: list[Any] = [smqexec.as_completed([held, Future()])]
        task = queue.submit(lambda: next(box[0]) is held)
        searched(queue)
        gate.open()
        assert task.result(DEADLINE)
        gone = weakref.ref(task)
        del task
        until_gone(gone)


def test_what_becomes_ready_between_two_futures_is_done_for_the_second() -> None:
    with planned(1, 2) as (_, queue, other):
        (gate, first), (last, held) = occupy(other, 1), occupy(other, 2)

        def program() -> list[Any]:
            second = queue.submit(abs, held)
            given = smqexec.as_completed([first, second, Future()], DEADLINE)
            found = [next(given).result()]
            last.open()
            until(lambda: second._stage == READY)
            return [*found, next(given).result()]

        task = queue.submit(program)
        searched(queue)
        gate.open()
        assert task.result(DEADLINE) == [1, 2]


# checkpoint, stop, wait.


def test_checkpoint_blocks_while_stopped_and_ends_a_cancelled_task() -> None:
    checkpoint()  # outside a task it does nothing
    with planned(1) as (scheduler, queue):
        rounds: list[int] = []
        entered, task = begun(queue, lambda: until(lambda: checkpoint() or rounds.append(1)))
        scheduler.stop()
        entered.open()
        scheduler.stop(wait=True)
        assert not rounds
        scheduler.resume()
        until(lambda: rounds)
        task.cancel()  # whether it has ended on return depends on its worker
        with pytest.raises(CancelledError):
            task.result(DEADLINE)
        assert task.cancelled() and scheduler.counts()["cancelled"] == 1

        def give_up() -> None:
            raise CancelledError  # nobody asked for that: a failure like any other

        task = queue.submit(give_up)
        assert isinstance(task.exception(DEADLINE), CancelledError)
        assert not task.cancelled()


@pytest.mark.parametrize("exiting", [False, True])
def test_one_of_two_paused_tasks_is_cancelled(exiting: bool) -> None:
    """At interpreter exit, each that pauses."""
    with planned(2) as (scheduler, queue):
        gate = Gate()
        one, two = (queue.submit(lambda: gate.enter() or checkpoint() or "went on") for _ in range(2))
        gate.wait_entered(2)
        scheduler.stop()
        core_of(scheduler).exiting = exiting
        gate.open()
        scheduler.stop(wait=True)
        core_of(scheduler).exiting = False
        assert one.cancelled() is exiting
        one.cancel()
        with pytest.raises(CancelledError):
            one.result(DEADLINE)
        assert two.running() is not exiting
        scheduler.resume()
        if not exiting:
            assert two.result(DEADLINE) == "went on"


def test_callback_may_wait_for_a_stop() -> None:
    """Its task has ended."""
    with planned(1, stopped=True) as (scheduler, queue):
        stops: list[Any] = []
        queue.submit(int).add_done_callback(lambda _: stops.append(scheduler.stop(wait=True)))
        scheduler.resume()
        until(lambda: stops)


def test_stop_waits_for_a_task_that_has_just_waited_for_all() -> None:
    with planned(1) as (scheduler, queue):
        gate = Gate()
        entered, _ = begun(queue, lambda: scheduler.wait(DEADLINE) and gate.enter())
        stop = stopping(scheduler)
        entered.open()
        gate.wait_entered()
        assert watchers_of(scheduler)
        gate.open()
        stop.result(DEADLINE)


def test_stop_while_a_task_waits_for_all() -> None:
    with planned(1, 1) as (scheduler, queue, other):
        gate, held = occupy(other)
        waiter = queue.submit(scheduler.wait, DEADLINE)
        until(lambda: searches_in(queue))
        stop = beside(scheduler.stop, True)
        until(lambda: len(watchers_of(scheduler)) == 2 or stop.done())
        assert not stop.done()
        late = queue.submit(bool, held)  # its end wakes the waiter
        gate.open()
        stop.result(DEADLINE)
        assert scheduler.counts()["ready"] == 1  # nothing starts for the waiter either
        scheduler.resume()
        assert waiter.result(DEADLINE)
        assert late.done()


@pytest.mark.parametrize("what", ["nested", "outside"])
def test_stop_waits_for_what_may_go_on(what: str) -> None:
    """A task nested in one that waits, and one that waits for a future of another executor."""
    with planned(1) as (scheduler, queue):
        gate, outside = Gate(), Future[int]()
        if what == "nested":
            task = queue.submit(lambda: queue.submit(gate, 1).result())
            gate.wait_entered()
        else:
            task = queue.submit(lambda: len(smqexec.wait([outside]).done))
            deep_in(queue)
        stop = stopping(scheduler)
        gate.open()
        outside.set_result(1)
        stop.result(DEADLINE)
        scheduler.resume()
        assert task.result(DEADLINE) == 1


@pytest.mark.parametrize("own", [False, True], ids=["other executor", "own scheduler"])
def test_stop_waits_for_a_task_whose_wait_is_over(own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread of the task was woken, and has not gone on yet."""
    outside: Future[int] = Future()
    go_on = threading.Event()
    sleep = Wait.sleep

    def sleep_longer(wait: Any, timeout: float) -> bool:
        woken = sleep(wait, timeout)
        return woken and (not wait.workers or go_on.wait(DEADLINE))

    monkeypatch.setattr(Wait, "sleep", sleep_longer)
    with planned(1, 1) as (scheduler, queue, other):
        gate, held = occupy(other)
        task = queue.submit(lambda: smqexec.wait([held if own else outside]))
        until(lambda: any(not search.frames for search in list(searches_in(queue))))
        outside.set_result(1)
        stop = stopping(scheduler)
        gate.open()
        until(lambda: idle_in(other))
        assert watchers_of(scheduler)
        go_on.set()
        stop.result(DEADLINE)
        assert task.done()
        scheduler.resume()


@pytest.mark.parametrize("nested", [False, True])
def test_stop_does_not_wait_for_one_that_goes_on_waiting(nested: bool) -> None:
    """One of the futures that it awaits ends last of all, the other can not start; or the wait is nested."""
    with planned(1, 1) as (scheduler, queue, other):
        gate, held = occupy(other)
        pending = other.submit(int)

        def program() -> Any:
            return queue.submit(pending.result).result() if nested else smqexec.wait([held, pending])

        task = queue.submit(program)
        deep_in(queue, 1 + nested)
        stop = stopping(scheduler)
        gate.open()
        stop.result(DEADLINE)
        assert pending._home and task.running()
        scheduler.resume()
        assert task.result(DEADLINE) == (0 if nested else ({held, pending}, set()))


def test_stop_does_not_wait_for_one_that_waits_again_after_what_was_nested() -> None:
    with planned(1, 1) as (scheduler, queue, other):
        (gate, _), inner = occupy(other), Gate()
        pending = other.submit(int)
        task = queue.submit(lambda: queue.submit(max, pending, queue.submit(inner, 1)).result())
        inner.wait_entered()
        stop = stopping(scheduler)
        gate.open()
        until(lambda: state_of(other).running == 0)
        assert not stop.done()
        inner.open()
        stop.result(DEADLINE)
        assert task.running()
        scheduler.resume()
        assert task.result(DEADLINE) == 1


def test_task_stops_another_scheduler_and_waits_for_that() -> None:
    with planned(1) as (_, queue), planned(1) as (another, other):
        queue.submit(another.stop, True).result(DEADLINE)
        late = other.submit(int)
        assert another.stopped and not late.running()
        another.resume()
        assert late.result(DEADLINE) == 0


def test_wait_for_all_runs_what_others_submit_and_keeps_nothing_of_it() -> None:
    """And what becomes ready meanwhile."""
    with planned(1, 1) as (scheduler, queue, other):
        gate, held = occupy(other)
        freed = queue.submit(str, held)
        waiter = queue.submit(scheduler.wait, DEADLINE)
        until(lambda: searches_in(queue))
        late = queue.submit(int)
        gone = weakref.ref(late)
        assert late.result(DEADLINE) == 0
        del late
        until_gone(gone)
        gate.open()
        assert freed.result(DEADLINE) == "None"
        assert waiter.result(DEADLINE)


def test_shutdown_of_another_queue_inside_a_task() -> None:
    with planned(1) as (scheduler, queue):

        def program() -> int:
            with Queue(scheduler, 1) as other:
                return len([other.submit(str, queue.submit(int)) for _ in range(3)])

        assert queue.submit(program).result(DEADLINE) == 3


# Cancelling.


def test_cancel_with_dependencies() -> None:
    """All that no other task needs, at any depth, also behind one that is needed."""
    with planned(1, stopped=True) as (scheduler, queue):
        shared, awaited, watched, called, deep = (queue.submit(int) for _ in range(5))
        other = queue.submit(str, shared)
        answer = beside(awaited.result, DEADLINE)
        several = beside(concurrent.futures.wait, [watched], DEADLINE)
        until(lambda: blocked_on(awaited) and waiters_of(watched))
        called.add_done_callback(nothing)
        for _ in range(2000):
            deep = queue.submit(abs, deep)
        stream = queue.submit(lambda: (yield 1))
        needs = [shared, awaited, watched, called, deep, stream[0], queue.submit(bool, settled(deep))]
        assert queue.submit(sum, needs).cancel(dependencies=True)
        scheduler.resume()
        assert scheduler.wait(DEADLINE)
        assert not any(task.cancelled() for task in (shared, other, awaited, watched, called))
        assert deep.cancelled() and stream.cancelled()
        assert scheduler.counts()["done"] == 5
        assert answer.result(DEADLINE) == 0
        assert several.result(DEADLINE).done == {watched}


@pytest.mark.parametrize("running", [False, True], ids=["pending", "running"])
@pytest.mark.parametrize("far", [False, True], ids=["own scheduler", "other scheduler"])
def test_cancel_with_dependencies_reaches_a_generator_task_through_its_item(running: bool, far: bool) -> None:
    """Other items that were asked for keep it only where somebody needs them."""
    with planned(1, stopped=True) as (scheduler, queue), planned(1) as (_, other):
        gate = Gate()

        def film() -> Any:
            gate.enter()
            yield 1
            yield 2

        task = queue.submit(film)
        items = task[0:3]
        if running:
            scheduler.resume()
            gate.wait_entered()
        sink = (other if far else queue).submit(str, [items[0], settled(items[1])])
        assert sink.cancel(dependencies=True)
        assert task.cancelled() is not running
        gate.open()
        scheduler.resume()
        assert outcome(task) == outcome(items[2]) == "cancelled"


NEEDS: dict[str, Callable[[Queue, Any], object]] = {
    "task that depends on an item": lambda queue, film: queue.submit(str, film[1]),
    "task that depends on it": lambda queue, film: queue.submit(str, film),
    "callback of an item": lambda queue, film: film[1].add_done_callback(nothing),
    "thread that waits for an item": lambda queue, film: beside(film[1].result, DEADLINE),
    "thread that iterates": lambda queue, film: beside(list, iter(film)),
    "thread that waits for the length": lambda queue, film: beside(len, film),
}


@pytest.mark.parametrize("name", NEEDS)
def test_cancel_with_dependencies_spares_a_generator_task_that_is_needed(name: str) -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(number_of_results(lambda: 2)(lambda: (yield from "ab")))
        items = task[0:2]
        NEEDS[name](queue, task)
        if name.startswith("thread"):
            until(lambda: any(blocked_on(item) for item in stream_of(task).items.copy().values()))
        assert queue.submit(str, items[0]).cancel(dependencies=True)
        assert not task.cancelled()
        scheduler.resume()
        assert task.result(DEADLINE) == ["a", "b"]
        assert items[1].result(DEADLINE) == "b"


def test_cancel_with_dependencies_leaves_a_generator_task_whose_item_is_there() -> None:
    """The item needs it no more."""
    with planned(1, 1) as (_, queue, other):
        gate = Gate()

        def film() -> Any:
            yield 1
            yield gate.enter(2)

        task = queue.submit(film)
        busy, _ = occupy(other)
        assert task[0].result(DEADLINE) == 1
        assert other.submit(str, task[0]).cancel(dependencies=True)
        gate.open()
        assert task.result(DEADLINE) == [1, 2]
        busy.open()


def test_item_cancelled_with_dependencies_cancels_its_task() -> None:
    """If nothing else needs the task; without *dependencies* the task goes on."""
    with planned(1, stopped=True) as (scheduler, queue):
        alone, needed = queue.submit(divmod, 17, 5), queue.submit(divmod, 17, 5)
        heir = queue.submit(str, needed[1])
        spared = queue.submit(divmod, 1, 1)
        for item in (alone[0], needed[0]):
            assert item.cancel(dependencies=True)
        assert spared[0].cancel()
        assert alone.cancelled()
        scheduler.resume()
        assert heir.result(DEADLINE) == "2"
        assert spared.result(DEADLINE) == (1, 0)


def test_cancelling_a_graph_with_many_ways_looks_at_each_task_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Any] = []
    linked = termination.linked
    monkeypatch.setattr(termination, "linked", lambda nodes: (seen := linked(nodes), looked.extend(seen))[0])
    with planned(1, stopped=True) as (scheduler, queue):
        pair = [queue.submit(int), queue.submit(int)]
        for _ in range(9):
            pair = [queue.submit(max, *pair), queue.submit(min, *pair)]
        scheduler.shutdown(wait=False, cancel_futures=True)
        assert scheduler.counts()["cancelled"] == len(looked) == 20


def test_cancel_with_dependencies_of_another_scheduler() -> None:
    """Also one that ends meanwhile."""
    with planned(1, stopped=True) as (one, queue), planned(1, stopped=True) as (two, other):
        needed, gone = queue.submit(int), queue.submit(int)
        alone = queue.submit(str, queue.submit(int))
        kept = other.submit(str, needed)
        task = other.submit(nothing, needed, alone, gone)
        task.add_done_callback(lambda _: gone.cancel())
        assert task.cancel(dependencies=True)
        assert alone.cancelled() and gone.cancelled()
        assert not needed.cancelled()  # another task still needs it
        one.resume()
        two.resume()
        assert kept.result(DEADLINE) == "0"
        queue.submit(int).result(DEADLINE)
        assert one.counts()["cancelled"] == 3


def test_cancelling_block() -> None:
    with Queue(1) as queue:
        with pytest.raises(KeyError), queue.cancelling() as same:
            assert same is queue
            gate, held = occupy(queue)
            pending = queue.submit(int)
            raise KeyError
        assert pending.cancelled()
        with queue.cancelling():
            kept = queue.submit(int)
        gate.open()
        assert kept.result(DEADLINE) == 0
        assert held.result(DEADLINE) is None


def test_interrupt_cancels_what_was_submitted_meanwhile() -> None:
    with planned(1) as (scheduler, queue):
        gate, _ = occupy(queue)
        late: list[Any] = []
        queue.submit(int).add_done_callback(lambda _: late.append(queue.submit(int)))
        core_of(scheduler).ending.interrupt()
        gate.open()
        assert [task.cancelled() for task in late] == [True]


@pytest.mark.parametrize("whole", [False, True])
def test_interrupted_block_cancels(whole: bool) -> None:
    scheduler = Scheduler()
    queue = Queue(scheduler, 1)
    with pytest.raises(KeyboardInterrupt), scheduler if whole else queue:
        gate, held = begun(queue, partial(until, checkpoint))  # until it is asked
        gate.open()
        pending = queue.submit(int)
        raise KeyboardInterrupt
    assert pending.cancelled() and held.cancelled()
    scheduler.shutdown()
