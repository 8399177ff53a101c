"""Only the holder of a lock touches what the lock guards."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any

import pytest
from gate import DEADLINE, Gate
from internals import core_of, pool_of
from outcomes import Broken, fail
from threads import beside, until

import smqexec
from smqexec import Queue, Resource, Scheduler, checkpoint, settled
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
from smqexec._planner import DependencyPlanner
from smqexec._workers.waiting import Waiting
from smqexec._workers.waits import ConditionWait, Wait


class Held:
    """A lock that knows whether the calling thread holds it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: int | None = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        got = self._lock.acquire(blocking, timeout)
        if got:
            self._holder = threading.get_ident()
        return got

    def release(self) -> None:
        self._holder = None
        self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()

    def mine(self) -> bool:
        return self._holder == threading.get_ident()

    _is_owned = mine

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


# What says of itself that the lock is held.
METHODS: dict[type, str] = {
    DependencyPlanner: "add add_relay done drop take_freed group hold_back promote rebuild",
    Allocation: "take blockers",
    Allocating: "add_allocation allocate _allocation_ended _releaser_ended _give_back",
    Submission: "_plain _add_special _refuse",
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


@pytest.fixture
def touched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Return the touches by threads that did not hold the lock; all schedulers share one lock here."""
    found: list[str] = []
    lock = Held()

    def check(name: str) -> None:
        if not lock.mine():
            caller = sys._getframe(2)
            found.append(f"{name} in {caller.f_code.co_name}, line {caller.f_lineno}")

    def guarded(value: Any, name: str) -> Any:
        kind = type(value)
        if kind not in (list, dict, set):
            return value

        def method(original: Callable[..., Any]) -> Any:
            def call(self: Any, *args: Any, **kwargs: Any) -> Any:
                check(f"{name}.{original.__name__}")
                return original(self, *args, **kwargs)

            return call

        changing = ["append", "remove", "pop", "clear", "add", "discard", "__setitem__", "__delitem__"]
        changing = [each for each in changing if hasattr(kind, each) and f"{name}.{each}" not in ATOMIC]
        own = {each: method(getattr(kind, each)) for each in changing}
        return type("Guarded", (kind,), own)(value)

    def wrap(kind: type, name: str) -> None:
        original = getattr(kind, name)

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            check(f"{kind.__name__}.{name}")
            return original(self, *args, **kwargs)

        monkeypatch.setattr(kind, name, call)

    def watch(kind: type, names: list[str]) -> None:
        def write(self: Any, name: str, value: Any) -> None:
            if name in names:
                if hasattr(self, name):  # else it is being made
                    check(f"{kind.__name__}.{name}")
                value = guarded(value, f"{kind.__name__}.{name}")
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
            wrap(kind, name)
    for kind, names in WRITTEN.items():
        watch(kind, names.split())
    yield found


def interrupt(*_: object) -> int:
    raise KeyboardInterrupt


def count(*_: object) -> Iterator[int]:
    yield from range(3)


def announced(number: Callable[..., int]) -> Any:
    return smqexec.number_of_results(number)(lambda *_: count())


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_resources_are_lent(touched: list[str], order: str) -> None:
    disk = Resource("disk", 2)
    with Scheduler(order) as scheduler:
        queue, one = Queue(scheduler, 3), Queue(scheduler, 1)
        taking = queue.options(resources={disk: 1})
        files = [queue.options(resources={disk: 1}, hold=True).submit(abs, i) for i in range(6)]
        uses = [one.options(release=[file]).submit(max, file, 0) for file in files]
        tasks = [taking.submit(fail), taking.submit(count), one.options(resources={disk: 2}).submit(count)]
        tasks.append(one.submit(lambda: taking.submit(abs, 1).result(DEADLINE)))
        assert scheduler.why() and all(task.why() for task in tasks)
        tasks[0].cancel()
        assert scheduler.wait(DEADLINE)
        assert [task.result() for task in uses] == list(range(6))
        until(lambda: disk.free == 2)
    assert not touched


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_tasks_come_and_go(touched: list[str], order: str) -> None:
    with Scheduler(order) as scheduler:
        queue, other = Queue(scheduler, 2), Queue(scheduler, 1)
        gate = Gate()
        outside: list[Future[int]] = [Future() for _ in range(4)]
        held = other.submit(gate, 1)
        tasks = [queue.submit(abs, held), queue.submit(max, [held, outside[0]], key=abs)]
        tasks += [queue.submit(fail, held), other.submit(abs, outside[2])]
        tasks.append(queue.submit(str, settled(outside[1])))
        tasks += [queue.submit(str, task) for task in tasks]
        told: list[Any] = []
        for task in tasks:
            task.add_done_callback(told.append)
        assert tasks[0].promote()
        assert queue.submit(str, tasks[0]).cancel(dependencies=True)
        assert queue.submit(str, outside[3]).cancel()
        results = queue.map(abs, [1, 2])
        assert scheduler.why() and all(task.why() for task in tasks)
        waiting = beside(smqexec.wait, tasks, DEADLINE)
        with pytest.raises(TimeoutError):
            tasks[0].result(0)
        outside[0].set_result(3)
        outside[1].set_exception(ValueError())
        outside[2].cancel()
        outside[2].set_running_or_notify_cancel()
        outside[3].set_result(1)
        gate.open()
        assert list(results) == [1, 2]
        waiting.result(DEADLINE)
        assert scheduler.wait(DEADLINE)
        until(lambda: len(told) == len(tasks))
        assert sum(scheduler.counts().values()) == sum(queue.counts().values()) + sum(other.counts().values())
        assert scheduler.queues == (queue, other)
    assert not touched


def test_stop_and_end(touched: list[str]) -> None:
    scheduler = Scheduler()
    queue, other = Queue(scheduler, 1), Queue(scheduler, 2)
    gates = [Gate(), Gate()]
    paused = [
        each.submit(lambda gate: gate.enter() or checkpoint(), gate)
        for each, gate in zip((queue, other), gates, strict=True)
    ]
    for gate in gates:
        gate.wait_entered()
    scheduler.stop()
    pending = [queue.submit(int), other.submit(str, paused[0])]
    for gate in gates:
        gate.open()
    scheduler.stop(wait=True)
    assert paused[0].cancel() is False
    with pytest.raises(CancelledError):
        paused[0].result(DEADLINE)
    scheduler.resume()
    assert pending[0].result(DEADLINE) == 0
    assert pending[1].cancelled()
    assert paused[1].result(DEADLINE) is None
    held = [other.submit(checkpoint), other.submit(str, Future())]
    core_of(scheduler).ending.interrupt([other._state])
    assert held[1].cancelled()
    scheduler.stop()
    held = [other.submit(int)]
    core_of(scheduler).ending.cancel_held()
    assert held[0].cancelled()
    scheduler.resume()
    core_of(scheduler).ending.finish_at_exit()
    queue.shutdown()
    scheduler.shutdown(cancel_futures=True)
    assert not touched


def test_waits_inside_tasks(touched: list[str]) -> None:
    with Scheduler() as scheduler, Scheduler() as another:
        one, two, far = Queue(scheduler, 1), Queue(scheduler, 1), Queue(another, 1)

        def program() -> list[Any]:
            found = [one.submit(str, two.submit(int, far.submit(int))).result(DEADLINE)]
            with pytest.raises(TimeoutError):
                one.submit(str, Future()).result(0.001)
            found += [task.result() for task in smqexec.as_completed([one.submit(int), two.submit(int)])]
            found.append(len(smqexec.wait([two.submit(one.submit(int).result), far.submit(int)]).done))
            found.append(another.wait(DEADLINE))
            with pytest.raises(RuntimeError):
                box[0].result()
            return found

        def depth(n: int) -> int:
            return 1 + one.submit(depth, n - 1).result() if n else 0

        assert one.submit(depth, 20).result(DEADLINE) == 20
        box: list[Any] = [one.submit(program)]
        assert box[0].result(DEADLINE) == ["0", 0, 0, 2, True]
        one.submit(lambda: two.shutdown(cancel_futures=True)).result(DEADLINE)
        scheduler.shutdown(wait=False, cancel_futures=True)
    assert not touched


def test_generators_and_parts(touched: list[str]) -> None:
    with Scheduler() as scheduler:
        queue, other = Queue(scheduler, 1), Queue(scheduler, 1)
        gate = Gate()

        def generate(*_: object) -> Iterator[int]:
            yield 0
            gate.enter()
            yield 1

        task = queue.submit(generate)
        gate.wait_entered()
        items = [task[0], *task[1:4]]
        heirs = [other.submit(str, item) for item in items]
        newer = queue.submit(int)
        iterating = beside(list, iter(task))
        assert items[3].cancel()
        until(lambda: items[1]._at_end and items[1]._at_end.waiters)
        with items[2]._condition:
            pass
        parts = [heirs[0][0], heirs[1][5], other.submit(fail)[0]]
        given: Future[int] = Future()
        lengths = [queue.submit(announced(lambda *_: 3), given), queue.submit(announced(fail), given)]
        asking = [beside(len, each) for each in lengths]
        gate.open()
        assert iterating.result(DEADLINE) == [0, 1]
        assert [heir.exception(DEADLINE) is None for heir in heirs[:3]] == [True, True, False]
        assert [part.exception(DEADLINE) is None for part in parts] == [True, False, False]
        given.set_result(1)
        assert asking[0].result(DEADLINE) == 3
        assert isinstance(asking[1].exception(DEADLINE), Broken)
        assert list(lengths[0]) == [0, 1, 2]
        assert newer.result(DEADLINE) == 0
        assert queue.submit(announced(lambda *_: 3)).result(DEADLINE) == [0, 1, 2]
    assert not touched


def test_queues_that_break_or_are_lost(touched: list[str]) -> None:
    with Scheduler() as scheduler:
        broken = Queue(scheduler, 2, initializer=fail)
        assert broken.submit(int).exception(DEADLINE)
        lost = Queue(scheduler, 1)
        late = lost.submit(int)
        slots = lost._state
        del lost
        assert late.result(DEADLINE) == 0
        until(lambda: slots.lost and not slots.workers)
        Queue(scheduler, 1)
    assert not touched


def test_submits_that_fail(touched: list[str]) -> None:
    class Refusing(Future[int]):
        def add_done_callback(self, fn: Any) -> None:
            raise ValueError

    with Scheduler() as scheduler:
        queue = Queue(scheduler, 1)
        with pytest.raises(ValueError):
            queue.submit(str, Refusing())
        other: Any = Queue(scheduler, 1)
        pool_of(other).start = fail
        with pytest.raises(Broken):
            other.submit(int)
        del pool_of(other).start
    assert not touched
