"""Only the holder of a lock touches what the lock guards."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any

import pytest
from gate import DEADLINE, Gate
from generating import count
from internals import core_of, pool_of, state_of
from outcomes import Broken, fail
from test_stress import World
from threads import planned, until

from smqexec import Queue, Resource, Scheduler, checkpoint
from smqexec._calls.interrupts import LIMIT
from smqexec._core.dispatch import Dispatcher
from smqexec._core.queue_state import QueueState, Worker
from smqexec._core.state import State
from smqexec._core.submission import Submission
from smqexec._core.termination import Termination
from smqexec._ending import Ending
from smqexec._futures.at_end import AtEnd
from smqexec._futures.future import PlannedFuture
from smqexec._futures.items import Stream
from smqexec._limits.resources import Allocating, Allocation
from smqexec._planner.planner import DependencyPlanner
from smqexec._workers.waiting import ConditionWait, Waiting
from smqexec._workers.waits import Wait

# What says of itself that the lock is held.
METHODS: dict[type, str] = {
    DependencyPlanner: "add add_relay done drop take_freed group hold_back promote rebuild",
    Allocation: "take blockers",
    Allocating: "add_allocation allocate _allocation_ended _releaser_ended _give_back",
    Submission: "_plain _add_special",
    Termination: "forget pending drop _drop_some",
    State: "wake_condition_waiters waiting_tasks yield_lock take_starts take wake_for wake wake_all",
    Waiting: "at_rest",
    Ending: "_idle _held",
    Wait: "take extend",
    ConditionWait: "nodes take",
    QueueState: "wake_idle name_worker leave leave_unbegun",
    PlannedFuture: "_get_at_end _end _leave",
}
# What is written under it.  Lists and dicts are also changed under it.
WRITTEN: dict[type, str] = {
    QueueState: "waiting ready running done failed cancelled refusal has_rules barrier workers coming",
    Worker: "task waits",
    AtEnd: "cancel_requested callbacks waiters",
    Stream: "length closed",  # `items` is changed by single atomic steps, with and without the lock
    State: "stopped paused condition_waiters queues relays",
    Dispatcher: "_stops",
    Ending: "_cancels_held",
}
# A waiter leaves at any time: the thread that ends the future iterates over a copy.
ATOMIC = {"AtEnd.waiters.remove"}


@pytest.fixture(autouse=True)
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No thread touches these without the lock; all schedulers share one lock here."""
    found: list[str] = []
    lock: Any = threading.RLock()

    def check(name: str) -> None:
        if not lock._is_owned():
            caller = sys._getframe(2)
            found.append(f"{name} in {caller.f_code.co_name}, line {caller.f_lineno}")

    def checked(kind: type, method: str, name: str) -> Any:
        original = getattr(kind, method)

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            check(f"{name}.{method}")
            return original(self, *args, **kwargs)

        return call

    def guard(value: Any, name: str) -> Any:
        kind = type(value)
        if kind not in (list, dict, set):
            return value
        changing = ["append", "remove", "pop", "clear", "add", "discard", "__setitem__", "__delitem__"]
        changing = [each for each in changing if hasattr(kind, each) and f"{name}.{each}" not in ATOMIC]
        return type("Guarded", (kind,), {each: checked(kind, each, name) for each in changing})(value)

    def watch(kind: type, names: list[str]) -> None:
        def write(self: Any, name: str, value: Any) -> None:
            if name in names:
                if hasattr(self, name):  # else it is being made
                    check(f"{kind.__name__}.{name}")
                value = guard(value, f"{kind.__name__}.{name}")
            object.__setattr__(self, name, value)

        monkeypatch.setattr(kind, "__setattr__", write, raising=False)

    set_limit = sys.setrecursionlimit

    def set_locked(limit: int) -> None:
        if not LIMIT.locked():
            found.append("the limit of recursion")
        set_limit(limit)

    monkeypatch.setattr(sys, "setrecursionlimit", set_locked)
    init = Scheduler.__init__

    def make(self: Any, *args: Any, **kwargs: Any) -> None:
        with lock:
            init(self, *args, **kwargs)
        core_of(self).lock = lock

    monkeypatch.setattr(Scheduler, "__init__", make)
    for kind, names in METHODS.items():
        for name in names.split():
            monkeypatch.setattr(kind, name, checked(kind, name, kind.__name__))
    for kind, names in WRITTEN.items():
        watch(kind, names.split())
    yield
    assert not found


@pytest.mark.parametrize("seed", range(3))
def test_everything_at_once(seed: int) -> None:
    World(seed, 60).run()


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_resources_are_lent(order: str) -> None:
    disk = Resource("disk", 2)
    with Scheduler(order) as scheduler:
        queue, one = Queue(scheduler, 3), Queue(scheduler, 1)
        taking = queue.options(resources={disk: 1})
        files = [queue.options(resources={disk: 1}, hold=True).submit(abs, i) for i in range(6)]
        uses = [one.options(release=[file]).submit(max, file, 0) for file in files]
        both = one.options(resources={disk: 2})
        tasks = [taking.submit(fail), taking.submit(count, 3), both.submit(count, 3)]
        tasks.append(one.submit(lambda: taking.submit(abs, 1).result(DEADLINE)))
        assert scheduler.why() and all(task.why() for task in tasks)
        tasks[0].cancel()
        assert scheduler.wait(DEADLINE)
        assert [task.result() for task in uses] == list(range(6))
        until(lambda: disk.free == 2)


def test_parts_groups_and_waits() -> None:
    with planned(1, 1) as (scheduler, queue, other):
        assert list(queue.map(abs, [1, 2])) == [1, 2]
        assert queue.submit(divmod, 7, 4)[1].result(DEADLINE) == 3
        with pytest.raises(TimeoutError):
            queue.submit(lambda: queue.submit(str, Future()).result(0.001)).result(DEADLINE)
        queue.submit(lambda: other.submit(scheduler.wait, 0.01).result()).result(DEADLINE)
        assert Queue(scheduler, inline=True).submit(int).result(DEADLINE) == 0


def test_stop_and_end() -> None:
    with planned(2) as (scheduler, queue):
        gate = Gate()
        paused = [queue.submit(lambda: gate.enter() or checkpoint()) for _ in range(2)]
        gate.wait_entered(2)
        scheduler.stop()
        gate.open()
        scheduler.stop(wait=True)
        paused[0].cancel()  # whether it has ended on return depends on its worker
        with pytest.raises(CancelledError):
            paused[0].result(DEADLINE)
        scheduler.resume()
        assert paused[1].result(DEADLINE) is None
        ending = core_of(scheduler).ending
        ends: list[Callable[[], object]] = [lambda: ending.interrupt([state_of(queue)]), ending.cancel_held]
        for end in ends:
            held = queue.submit(str, Future())
            scheduler.stop()
            end()
            assert held.cancelled()
            scheduler.resume()
        ending.finish_at_exit()


def test_queues_that_break_or_are_lost() -> None:
    with Scheduler() as scheduler:
        broken = Queue(scheduler, 2, initializer=fail)
        assert broken.submit(int).exception(DEADLINE)
        lost = Queue(scheduler, 1)
        late = lost.submit(int)
        slots = state_of(lost)
        del lost
        assert late.result(DEADLINE) == 0
        until(lambda: slots.lost and not slots.workers)
        Queue(scheduler, 1)


def test_submits_that_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing: Any = Future()
    refusing.add_done_callback = fail
    with planned(1, 1) as (_, queue, other):
        with pytest.raises(Broken):
            queue.submit(str, refusing)
        monkeypatch.setattr(pool_of(other), "start", fail)
        with pytest.raises(Broken):
            other.submit(int)
