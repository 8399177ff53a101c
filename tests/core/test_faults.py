"""Faults in each place: nothing hangs, no task is lost, no result is wrong, and other tasks go on."""

from __future__ import annotations

import gc
import itertools
import logging
import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from concurrent.futures.thread import BrokenThreadPool
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from gate import DEADLINE, Gate, occupy
from generating import count
from internals import (
    check_order,
    core_of,
    idle_in,
    lock_of,
    order_of,
    outside_of,
    pending_in,
    pool_of,
    state_of,
    termination,
    watchers_of,
)
from outcomes import Broken, fail, nothing
from strikes import CALLS, Struck
from threads import beside, planned, until

from smqexec import (
    Queue,
    Raw,
    Resource,
    Scheduler,
    Task,
    checkpoint,
    number_of_results,
    settled,
)
from smqexec._calls.interrupts import make_room
from smqexec._planner.newest import NewestFirst
from smqexec._planner.oldest import OldestFirst
from smqexec._planner.planner import DependencyPlanner


def interrupt(*_: object) -> Any:
    raise KeyboardInterrupt  # not by exec(): CPython would then end pytest as if it had been struck


def healthy(*queues: Queue) -> None:
    """Assert that *queues* have all their slots and run new tasks, and that no entry of the fault is left."""
    for queue in queues:
        slots = state_of(queue)
        assert queue.scheduler.wait(DEADLINE), queue.scheduler
        until(lambda queue=queue: not outside_of(queue.scheduler))  # parts are cut when their task has ended
        with lock_of(queue.scheduler):
            check_order(queue.scheduler, [])
            assert len(slots.workers) <= slots.limit
        together = threading.Barrier(slots.limit)
        tasks = [queue.submit(together.wait, DEADLINE) for _ in range(slots.limit)]
        assert sorted(task.result(DEADLINE) for task in tasks) == list(range(slots.limit))


# Threads


def test_initializer_that_fails_in_the_third_thread() -> None:
    """What runs in the other two goes on."""
    calls = itertools.count()
    with planned(1) as (scheduler, other):
        queue = Queue(scheduler, 3, initializer=lambda: fail() if next(calls) == 2 else None)
        gate = Gate()
        running = [queue.submit(gate.enter, i) for i in range(2)]
        gate.wait_entered(2)
        scheduler.stop()
        pending = [queue.submit(nothing), queue.submit(nothing, running[0])]
        heirs = [other.submit(nothing, task) for task in pending]
        scheduler.resume()
        for task in [*pending, *heirs]:
            assert isinstance(task.exception(DEADLINE), BrokenThreadPool)
        assert [heir.origin for heir in heirs] == pending
        gate.open()
        assert [task.result(DEADLINE) for task in running] == [0, 1]
        with pytest.raises(BrokenThreadPool, match="A thread initializer failed"):
            queue.submit(nothing)
        healthy(other)
        queue.shutdown()


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """While it has an error, no thread of a queue named "refused" starts: that is raised."""
    start = threading.Thread.start
    errors: list[Exception] = []

    def refuse(thread: threading.Thread) -> None:
        if errors and thread.name.startswith("refused"):
            raise errors[0]
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    return errors


def yielding(*_: object) -> Any:
    yield 1


def route(name: str, queue: Queue) -> tuple[Any, Callable[[], object]]:
    """Return a future, on which a task of another queue may depend, and a function that ends the future."""
    if name == "outside":
        future: Future[None] = Future()
        return future, lambda: future.set_result(None)
    if name == "resumed":
        queue.scheduler.stop()
        return 1, queue.scheduler.resume
    if name == "cancelled":
        pending = queue.submit(nothing, Future())
        return settled(pending), pending.cancel
    gate, held = occupy(queue)
    task: Any = queue.submit(yielding if name == "value" else lambda _: [1], held)
    return task if name == "returned" else task[0], gate.open


@pytest.mark.parametrize("name", ["returned", "cancelled", "outside", "value", "part", "resumed"])
def test_no_thread_for_what_becomes_ready(name: str, refusing: Any, caplog: pytest.LogCaptureFixture) -> None:
    error = RuntimeError("can't start new thread")
    with planned(1) as (scheduler, queue):
        refused = Queue(scheduler, 2, "refused")
        refusing.append(error)
        need, end = route(name, queue)
        tasks = [refused.submit(nothing, need) for _ in range(3)]
        late = refused.submit(nothing, Future())  # not ready: nothing is wrong with it
        heir = queue.submit(nothing, tasks[0])
        end()
        for task in tasks:
            assert task.exception(DEADLINE) is error
            assert task.origin is task
        assert heir.exception(DEADLINE) is error
        assert heir.origin is tasks[0]
        assert "a thread for queue refused" in caplog.text  # it says where
        assert late.cancel()
        refusing.clear()
        healthy(queue, refused)


def test_callback_leaves_what_is_ready_to_a_thread_that_could_not_start_before(refusing: Any) -> None:
    with planned() as (scheduler,):
        refused = Queue(scheduler, 2, "refused")
        gate, other = Gate(), Gate()
        first = gate.hold(refused)
        refusing.append(RuntimeError("can't start new thread"))
        second = refused.submit(other.open)
        refusing.clear()
        # Not `second.result`: that the callback's thread would do itself.
        first.add_done_callback(lambda _: other.enter())
        gate.open()
        second.result(DEADLINE)
        healthy(refused)


def test_idle_thread_takes_the_task_of_a_thread_that_could_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with planned(2) as (_, queue):
        gate, _ = occupy(queue)
        starting = Gate()

        def refuse() -> None:
            starting.enter()
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(pool_of(queue), "_adjust_thread_count", refuse)
        submitted = beside(queue.submit, int)
        starting.wait_entered()
        gate.open()
        until(lambda: idle_in(queue))  # it has taken the task of the other thread, which is still on its way
        task = queue.submit(int)
        starting.open()
        submitted.result(DEADLINE)
        assert wait([task], DEADLINE).done
        monkeypatch.undo()
        healthy(queue)


def test_thread_of_one_worker_begins_another_that_could_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with planned(2) as (scheduler, queue):
        gate, failing = Gate(), Gate()
        core, pool = core_of(scheduler), pool_of(queue)
        start_failed, adjust = core._start_failed, pool._adjust_thread_count

        def refuse() -> None:
            monkeypatch.setattr(pool, "_adjust_thread_count", adjust)
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(core, "_start_failed", lambda *args: failing.enter() or start_failed(*args))
        monkeypatch.setattr(pool, "_adjust_thread_count", refuse)
        submitted = beside(queue.submit, int)
        failing.wait_entered()
        gate.hold(queue)
        failing.open()
        assert wait([submitted.result(DEADLINE)], DEADLINE).done
        gate.open()
        healthy(queue)


def test_submit_raises_no_error_that_its_task_did_not_end_with(monkeypatch: pytest.MonkeyPatch) -> None:
    with planned(1, 1) as (_, queue, other):
        gate = Gate()
        need = other.submit(lambda: gate.enter() or fail())
        gate.wait_entered()

        def refuse(*_: object) -> None:
            gate.open()
            assert isinstance(need.exception(DEADLINE), Broken)
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(pool_of(queue), "submit", refuse)
        task = queue.submit(nothing, need)
        monkeypatch.undo()
        assert task.exception(DEADLINE) is need.exception()
        healthy(queue, other)


def test_thread_whose_worker_was_given_up_leaves_at_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    queue = Queue(1, initializer=gate.enter)
    submit = pool_of(queue).submit

    def submit_and_raise(*args: Any) -> None:
        submit(*args)
        gate.wait_entered()
        raise MemoryError

    monkeypatch.setattr(pool_of(queue), "submit", submit_and_raise)
    with pytest.raises(MemoryError):
        queue.submit(nothing)
    monkeypatch.undo()
    (thread,) = queue._threads  # before it may end
    gate.open()
    queue.shutdown(wait=False)
    thread.join(DEADLINE)
    assert not thread.is_alive()


def test_queue_that_breaks_while_a_thread_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    with planned(1) as (scheduler, other):
        queue = Queue(scheduler, 1)
        error = BrokenThreadPool("an initializer failed")

        def refuse(*_: object) -> None:
            core_of(scheduler).termination.break_off(state_of(queue), error)
            raise error

        monkeypatch.setattr(pool_of(queue), "submit", refuse)
        with pytest.raises(BrokenThreadPool, match="an initializer failed"):
            queue.submit(nothing)
        monkeypatch.undo()
        assert scheduler.counts()["failed"] == 1
        healthy(other)


# Objects that answer no question


class Hostile:
    """Whoever compares, hashes, prints or tests it, or asks for an attribute it lacks, gets an exception."""

    def refuse(self, *_: object) -> Any:
        raise Broken("nobody may ask")

    __eq__ = __hash__ = __repr__ = __str__ = __bool__ = __len__ = __iter__ = __getattr__ = refuse  # type: ignore[assignment]
    __getitem__ = __contains__ = __lt__ = __format__ = __index__ = __int__ = __reduce_ex__ = refuse

    def __call__(self, *_: object) -> Hostile:
        return self


def same(found: Any, expected: Any) -> bool:
    return found is expected


def test_hostile_result() -> None:
    hostile = Hostile()

    def generate() -> Any:
        yield hostile
        yield 1
        return hostile

    with planned(1, 1) as (_, queue, other):
        film = queue.submit(generate)
        assert other.submit(same, film[0], hostile).result(DEADLINE)
        assert film.result(DEADLINE)[0] is next(iter(film)) is hostile
        gate = Gate()
        task = queue.submit(lambda: gate.enter() or hostile)
        heirs = [other.submit(same, task, hostile), other.submit(lambda found: found[0] is hostile, [task])]
        piece = task[0]
        waiting = beside(wait, [task, *heirs], DEADLINE)
        seen: list[object] = []
        task.add_done_callback(lambda t: seen.append(t.result() is hostile))
        gate.open()
        assert task.result(DEADLINE) is hostile
        assert [heir.result(DEADLINE) for heir in heirs] == [True, True]
        assert not waiting.result(DEADLINE).not_done
        assert isinstance(piece.exception(DEADLINE), Broken)  # its result[0] raises
        until(lambda: seen)  # callbacks come after those who wait
        assert seen == [True]
        assert "returned Hostile" in repr(task)
        assert isinstance(task[0].exception(DEADLINE), Broken)
        assert other.submit(lambda f: f.result() is hostile, settled(task)).result(DEADLINE)
        healthy(queue, other)


@pytest.mark.parametrize("when", ["before", "after"])
def test_hostile_key(when: str) -> None:
    hostile = Hostile()
    with planned(1, 1) as (_, queue, other):
        gate = Gate()
        task = queue.submit(lambda: gate.enter() or {1: 2})
        generator = other.submit(yielding)
        if when == "after":
            gate.open()
            task.result(DEADLINE)
            generator.result(DEADLINE)
        item = task[hostile]
        heir = other.submit(nothing, item)
        with pytest.raises(Broken):
            generator[hostile]
        gate.open()
        assert isinstance(item.exception(DEADLINE), Broken)
        assert heir.exception(DEADLINE) is item.exception()
        assert task[1].result(DEADLINE) == 2
        healthy(queue, other)


def test_hostile_function() -> None:
    hostile = Hostile()
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(hostile)
        assert "Hostile" in repr(task)
        heir = queue.submit(hostile, task)
        heir.add_done_callback(hostile)
        scheduler.resume()
        assert heir.result(DEADLINE) is hostile
        assert next(queue.map(hostile, [1])) is hostile
        assert queue.submit(hostile).cancel() in (False, True)
        healthy(queue)


class HostileError(Exception):
    __eq__ = __hash__ = __repr__ = __str__ = __bool__ = __getattr__ = Hostile.refuse  # type: ignore[assignment]


class Demanding(Exception):
    """An exception whose constructor needs more arguments than `args` has."""

    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__()
        self.code, self.reason = code, reason


@dataclass(frozen=True)
class Frozen(Exception):
    code: int = 3


class OwnTraceback(Exception):
    """An exception whose class overrides `__traceback__` and `with_traceback`."""

    @property
    def __traceback__(self) -> Any:  # type: ignore[override]
        raise Broken("nobody may ask")

    def with_traceback(self, traceback: Any) -> Any:
        raise Broken("nobody may ask")


ODD = [KeyboardInterrupt(), SystemExit(), GeneratorExit(), Struck(), Frozen(), OwnTraceback(), HostileError()]


@pytest.mark.parametrize("error", [*ODD, Demanding(1, reason="x")], ids=lambda error: type(error).__name__)
def test_exception_is_the_outcome_of_any_kind(error: BaseException) -> None:
    """Each raise has the very object, also of a generator, a part or a foreign future."""

    def throw(*_: object) -> Any:
        raise error

    def generate() -> Any:
        yield 1
        throw()

    @number_of_results(throw)
    def announced() -> Any:
        yield 1

    class Container:
        __getitem__ = throw

    with planned(1, 1, stopped=True) as (scheduler, queue, other):
        tasks = [queue.submit(throw), queue.submit(generate), queue.submit(announced)]
        ends: list[Any] = [*tasks, tasks[1][1], other.submit(nothing, tasks[0]), queue.submit(Container)[0]]
        if not isinstance(error, Exception):  # else pytest's handler of logs would fail on a hostile one
            tasks[1][0].add_done_callback(throw)
        scheduler.resume()
        late = queue.submit(Container)
        late.result(DEADLINE)
        for end in [*ends, late[0]] if isinstance(error, Exception) else ends:
            assert end.exception(DEADLINE) is error
            for _ in range(2):
                with pytest.raises(type(error)) as caught:
                    end.result()
                assert caught.value is error
        with pytest.raises(type(error)):
            len(tasks[2])
        outside: Future[None] = Future()
        heir = other.submit(nothing, outside)
        outside.set_exception(error)
        assert heir.exception(DEADLINE) is error
        healthy(queue, other)


# Callbacks


ACTS: dict[str, Callable[[Queue, Any], object]] = {
    "raises": lambda queue, task: fail(),
    "leaves": lambda queue, task: sys.exit(1),
    "interrupts": interrupt,
    "submits": lambda queue, task: queue.submit(nothing),
    "waits": lambda queue, task: queue.submit(nothing).result(DEADLINE),
    "waits for all": lambda queue, task: wait([task, queue.submit(nothing)], DEADLINE),
    "cancels": lambda queue, task: (task.cancel(), queue.submit(nothing).cancel()),
    "stops": lambda queue, task: (queue.scheduler.stop(), queue.scheduler.resume()),
    "adds": lambda queue, task: task.add_done_callback(nothing),
    "asks": lambda queue, task: (repr(task), task.done(), queue.counts(), repr(queue.scheduler)),
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("how", ["returned", "failed", "dropped", "cancelled", "value", "missing", "part"])
@pytest.mark.parametrize("act", ACTS)
def test_callback(act: str, how: str) -> None:
    """With any act in any callback, the next callback is called and other tasks go on."""
    with planned(2, 1, stopped=True) as (scheduler, queue, other):
        fn = {"failed": fail, "dropped": fail, "value": yielding, "missing": yielding}.get(how, lambda _: [1])
        task: Any = queue.submit(fn, Future() if how == "cancelled" else None)
        watched = {
            "dropped": lambda: other.submit(nothing, task),
            "part": lambda: task[0],
            "value": lambda: task[0],
            "missing": lambda: task[1],
        }.get(how, lambda: task)()
        ended = threading.Event()
        watched.add_done_callback(lambda end: ACTS[act](queue, end))
        watched.add_done_callback(lambda _: ended.set())
        heir = other.submit(lambda end: end.done(), settled(watched))
        scheduler.resume()
        if how == "cancelled":
            beside(task.cancel)  # in this thread Ctrl-C in the callback would end the tests
        assert ended.wait(DEADLINE)
        assert heir.result(DEADLINE)
        healthy(queue, other)


@pytest.mark.parametrize("wait_for_it", [False, True])
def test_callback_that_shuts_the_scheduler_down(wait_for_it: bool) -> None:
    with planned(1, 1, stopped=True) as (scheduler, queue, other):
        task = queue.submit(nothing)
        last = other.submit(nothing, task)
        ended = threading.Event()
        task.add_done_callback(lambda _: scheduler.shutdown(wait=wait_for_it))
        task.add_done_callback(lambda _: ended.set())
        scheduler.resume()
        assert last.result(DEADLINE) is None
        assert ended.wait(DEADLINE)
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            other.submit(nothing)


# Futures


def test_result_that_is_a_future() -> None:
    """The future is a result like any other: no task waits for it."""
    future: Future[int] = Future()

    def generate() -> Any:
        yield future

    with planned(1, 1) as (_, queue, other):
        never = other.submit(nothing, Future())
        for result in (future, never):
            task = queue.submit(lambda result=result: result)
            assert task.result(DEADLINE) is result
            assert queue.submit(same, task, Raw(result)).result(DEADLINE)
            inside = queue.submit(lambda found, result: found[0] is result, [task], Raw(result))
            assert inside.result(DEADLINE)
        item = queue.submit(generate)[0]
        assert item.result(DEADLINE) is future
        assert queue.submit(same, item, Raw(future)).result(DEADLINE)
        never.cancel()
        healthy(queue, other)


class Sloppy(Future[Any]):
    """A future of a library that completes it as often as it likes, and calls back each time.

    If it is *eager*, it calls back while it is asked how it ended, too.
    """

    eager = False

    def complete(self, outcome: object) -> None:
        with self._condition:
            failed = isinstance(outcome, BaseException)
            self._result, self._exception = (None, outcome) if failed else (outcome, None)  # type: ignore[assignment]
            self._state = "FINISHED"
            self._condition.notify_all()
        self._invoke_callbacks()  # type: ignore[attr-defined]

    def cancelled(self) -> bool:
        if self.eager:
            self.eager = False
            self._invoke_callbacks()  # type: ignore[attr-defined]
        return super().cancelled()


@pytest.mark.parametrize("first", [1, Broken("first")])
@pytest.mark.parametrize("second", [2, Broken("second")])
@pytest.mark.parametrize("eager", [False, True])
def test_future_that_is_completed_twice(
    first: object, second: object, eager: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with planned(2) as (_, queue):
        future = Sloppy()
        future.eager = eager
        task = queue.submit(abs, future)
        tolerant = queue.submit(lambda f: f.done(), settled(future))
        future.complete(first)
        wait([task], DEADLINE)
        assert (task.exception() or task.result()) is first
        future.complete(second)
        threads = [beside(future.complete, second) for _ in range(4)]
        for thread in threads:
            thread.result(DEADLINE)
        assert (task.exception() or task.result()) is first
        assert tolerant.result(DEADLINE)
        assert not caplog.records
        healthy(queue)


@pytest.mark.parametrize("refused", ["cancelled", "exception", "result"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_future_that_raises_where_it_is_asked(refused: str, when: str) -> None:
    with planned(1) as (_, queue):
        future: Any = Future()
        setattr(future, refused, fail)
        if when == "before":
            future.set_result(1)
        task = queue.submit(nothing, future)
        heir = queue.submit(nothing, task)
        if when == "after":
            future.set_result(1)
        assert isinstance(task.exception(DEADLINE), Broken)
        assert heir.exception(DEADLINE) is task.exception()
        healthy(queue)


# Recursion


def at_the_bottom(frames: int, act: Callable[[], object]) -> None:
    """Call *act* where about so many *frames* are left."""

    def down() -> None:
        try:
            down()
        except RecursionError:
            climbed[0] += 1
            if climbed[0] >= frames:
                climbed[0] = -sys.maxsize
                act()
            raise

    climbed = [0]
    with suppress(RecursionError):
        down()


def settle_down(call: Callable[[], object]) -> None:
    with suppress(CancelledError, TimeoutError, RuntimeError, Broken, IndexError):
        call()


MORE_CALLS: dict[str, Callable[[Queue, Any], object]] = {
    "submit and result": lambda queue, task: queue.submit(nothing).result(DEADLINE),
    "checkpoint": lambda queue, task: checkpoint(),
    "outside": lambda queue, task: task.outside.set_result(1),
}


@pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside"])
@pytest.mark.parametrize("act", [*CALLS, *MORE_CALLS])
def test_at_the_bottom_of_a_recursion(act: str, inside: bool, caplog: pytest.LogCaptureFixture) -> None:
    """What runs out of frames raises, or not; nothing is left half done, and Python's limit is as before."""
    limit = sys.getrecursionlimit()
    for frames in range(1, 60):
        with planned(1, 2) as (scheduler, queue, other):
            outside: Future[int] = Future()
            need = other.submit(lambda _: [1], outside)
            task = other.submit(lambda found: found, need)
            task.outside = outside  # a Future has room for it
            if act in ("result", "exception", "wait", "wait for all"):
                outside.set_result(0)
            raised: list[type[BaseException]] = []

            def bottom(frames: int = frames, task: Any = task, raised: Any = raised) -> None:
                def call() -> None:
                    try:
                        if act in CALLS:
                            CALLS[act](scheduler, other, task, DEADLINE)
                        else:
                            MORE_CALLS[act](queue, task)
                    except BaseException as error:
                        raised.append(type(error))
                        raise

                at_the_bottom(frames, lambda: settle_down(call))

            (queue.submit(bottom) if inside else beside(bottom)).result(DEADLINE)
            scheduler.resume()
            if act == "outside" and outside.done() and raised:
                # The standard library had no frame left to call a callback, nor to log that.
                assert raised == [RecursionError]
                task.cancel(dependencies=True)
            elif not outside.done():
                outside.set_result(0)
            if not task.cancelled():
                assert task.result(DEADLINE) == [1], frames
            healthy(queue, other)
            assert sys.getrecursionlimit() == limit  # what was not lowered at the bottom is by now


def test_submit_to_an_executor_at_the_bottom_of_a_recursion() -> None:
    """No slot keeps a task that was taken and never sent."""
    with ThreadPoolExecutor(1) as pool:
        for frames in range(1, 60):
            with planned() as (scheduler,):
                queue = Queue(scheduler, executor=pool)
                at_the_bottom(frames, lambda queue=queue: settle_down(lambda: queue.submit(int)))
                assert queue.submit(int).result(DEADLINE) == 0, frames
                assert scheduler.wait(DEADLINE), (frames, scheduler.why())


@pytest.mark.parametrize("inline", [False, True], ids=["executor", "inline"])
def test_resume_that_is_too_deep_raises_before_it_changes_anything(inline: bool) -> None:
    """Or the tasks run: none fails."""
    with ThreadPoolExecutor(1) as pool:
        options: dict[str, Any] = {"inline": True} if inline else {"executor": pool}
        for frames in range(20, 80):
            with planned(stopped=True) as (scheduler,), Queue(scheduler, 1, **options) as queue:
                tasks = [queue.submit(int), queue.submit(int)]
                at_the_bottom(frames, lambda: settle_down(scheduler.resume))
                scheduler.resume()
                assert [task.result(DEADLINE) for task in tasks] == [0, 0], frames


def test_resume_of_an_inline_queue_at_the_bottom_of_a_recursion() -> None:
    """The task runs there, or fails; no part of its result and no dependent waits for ever."""
    for frames in range(20, 80):
        with planned(1, stopped=True) as (scheduler, other), Queue(scheduler, inline=True) as inline:
            task = inline.submit(dict, a=1)
            parts = [task["a"], task["b"]]
            heir = other.submit(nothing, parts[0])
            at_the_bottom(frames, lambda: settle_down(scheduler.resume))
            scheduler.resume()
            ends = wait([task, *parts, heir], DEADLINE)
            for pending in ends.not_done:
                pending.cancel()
            assert not ends.not_done, frames


def test_limit_of_recursion_that_python_refuses_is_lowered_later() -> None:
    """A task that was nested ends where more frames are in use than the limit was."""
    limit = sys.getrecursionlimit()
    with planned(1, stopped=True) as (_, queue):
        task = queue.submit(nothing)
        make_room(100)
        at_the_bottom(50, lambda: make_room(-100))
        assert sys.getrecursionlimit() == limit + 100
        task.promote()
        assert sys.getrecursionlimit() == limit


# A handler or finalizer that interrupts the very thread that holds the lock


def test_cancel_in_a_thread_that_holds_the_lock() -> None:
    """The iterator of a `map` cancels in this way if it is collected in the middle of a submit."""
    with planned(1, stopped=True) as (scheduler, queue):
        task = queue.submit(nothing)
        heir = queue.submit(nothing, task)
        with core_of(scheduler).exclusive():
            assert not heir.cancel(dependencies=True)
        assert heir.cancelled()
        assert task.cancelled()
        scheduler.resume()
        healthy(queue)


# Our own code


class Internal(Exception):
    """A fault of our own code."""


PLANNING = "add_queue add add_relay hold_back start done drop promote"
ORDERING = "list_ready take leave left promote listed"
METHODS = [
    *((DependencyPlanner, name, order) for name in PLANNING.split() for order in ("newest", "oldest")),
    (DependencyPlanner, "group", "newest"),  # of a `map`: the other order needs none
    *((NewestFirst, name, "newest") for name in ["put", *ORDERING.split()]),
    *((OldestFirst, name, "oldest") for name in ORDERING.split()),
]


def life(order: str, number: int, **options: Any) -> list[Future[Any]]:
    """Do all that a scheduler is for, with *number* queues, whatever raises `Internal`; return futures."""
    futures: list[Future[Any]] = []
    outside: Future[int] = Future()

    def attempt(call: Callable[..., Any], *args: Any) -> Any:
        """Return the future of *call*; if *call* raises for a fault of our own code, a failed future."""
        try:
            futures.append(call(*args))
        except (Internal, BrokenThreadPool) as error:
            failed: Future[Any] = Future()
            failed.set_exception(error)
            futures.append(failed)
        return futures[-1]

    def nested() -> Any:
        return attempt(submit, abs, attempt(last, abs, -1)).result(DEADLINE)

    with suppress(Internal):
        scheduler = Scheduler(order, stopped=True)
        queues = [Queue(scheduler, 1, **options)] + [Queue(scheduler, 2)] * (number - 1)
        submit, last = queues[0].submit, queues[-1].submit
        disk = Resource("disk", 1)
        held = attempt(submit, abs, 1)
        first = attempt(last, abs, held)
        attempt(submit, max, [first, held, outside])
        attempt(submit, fail, held)
        doomed = attempt(last, abs, attempt(submit, abs, outside))
        film = attempt(submit, count, 3)
        items = [film[0], film[2]] if isinstance(film, Task) else []
        futures += items
        for item in items:
            attempt(last, abs, item)
        for _ in range(3):
            attempt(queues[-1].options(resources={disk: 1}).submit, abs, held)
        with suppress(Internal, BrokenThreadPool):
            queues[0].map(abs, [1, 2, 3])
        attempt(submit, nested)
        if isinstance(first, Task):
            first.promote()
        doomed.cancel()
        scheduler.resume()
        outside.set_result(2)
        for future in list(futures):
            assert wait([future], DEADLINE).done
            assert future is doomed or not isinstance(future.exception(), TimeoutError)
        keeping = attempt(queues[0].options(resources={disk: 1}, hold=True).submit, abs, -1)
        with scheduler.stop():
            others = [attempt(submit, abs, keeping)]
            lacking = attempt(queues[0].options(resources={disk: 1}).submit, abs, keeping)  # it is held back
            others.append(attempt(submit, abs, keeping))
        assert not wait(others, DEADLINE).not_done
        if isinstance(keeping, Task):
            attempt(queues[0].options(release=[keeping]).submit, abs, keeping)
        assert wait([lacking], DEADLINE).done
        lasting = attempt(submit, abs, Future())
        for queue in queues:
            queue.shutdown(wait=False, cancel_futures=True)
        assert wait([lasting], DEADLINE).done
    return futures


@pytest.mark.parametrize("number, options", [(1, {}), (2, {}), (2, {"inline": True})])
@pytest.mark.parametrize("struck", METHODS, ids=lambda case: f"{case[0].__name__}.{case[1]}-{case[2]}")
def test_fault_of_ours(
    struck: Any, number: int, options: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever raises in the planner, once or from then on: all futures end, and threads leave."""
    where, name, order = struck
    method = getattr(where, name)
    for call, last in [(1, True), (2, True), (4, True), (1, False)]:
        calls = itertools.count(1)

        def strike(*args: Any, call: int = call, last: bool = last, calls: Any = calls) -> Any:
            number = next(calls)
            if number == call or (number > call and not last):
                raise Internal
            return method(*args)

        caplog.clear()
        with monkeypatch.context() as patch:
            patch.setattr(where, name, strike)
            futures = beside(lambda: life(order, number, **options)).result(3 * DEADLINE)
            assert all(future.done() for future in futures)
            assert next(calls) > 1, "it was not struck"
        for record in caplog.records:
            assert record.name == "smqexec" and record.levelno == logging.CRITICAL and record.exc_info
    gc.collect()  # the exceptions keep frames, and these tasks, in cycles


def test_fault_of_ours_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The log names the task.  Pending tasks fail, running tasks go on, and all queues refuse new tasks."""
    with planned(1, 1, 1) as (scheduler, queue, other, idle):
        gate, running = Gate(), Gate()
        held = queue.submit(gate, 1)
        lasting = other.submit(running, 2)
        idle.submit(abs, 1).result(DEADLINE)
        pending = [queue.submit(abs, held), other.submit(abs, held), idle.submit(abs, Future()), held[0]]
        told: list[Any] = []
        pending[0].add_done_callback(told.append)
        waiting = beside(held.exception, DEADLINE)
        gate.wait_entered()
        running.wait_entered()
        monkeypatch.setattr(order_of(scheduler), "done", fail)
        gate.open()
        error = waiting.result(DEADLINE)
        assert isinstance(error, Broken)
        assert [task.exception(DEADLINE) for task in pending] == [error] * 4
        until(lambda: told)  # callbacks come after those who wait
        assert told == [pending[0]]
        (record,) = caplog.records
        assert (record.name, record.levelno) == ("smqexec", logging.CRITICAL)
        assert record.args == (held, core_of(scheduler))
        assert record.exc_info is not None and record.exc_info[1] is error
        for refusing in (queue, other, idle):
            with pytest.raises(BrokenThreadPool, match="internal error") as caught:
                refusing.submit(abs, 1)
            assert caught.value.__cause__ is error
        running.open()
        assert lasting.result(DEADLINE) == 2
        counts = scheduler.counts()
        assert (counts["failed"], counts["done"], counts["running"], counts["waiting"]) == (4, 2, 0, 0)
        scheduler.shutdown()
        assert not any(thread.is_alive() for each in (queue, other, idle) for thread in each._threads)


@pytest.mark.parametrize("observed", [False, True])
def test_fault_of_ours_as_the_next_task_was_taken(
    observed: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the task that has ended.  Observers hear of the end of all others, each once."""
    with planned(1, 1) as (scheduler, queue, other):
        ended: list[Any] = []
        gate, first = occupy(queue, 1)
        rest = [other.submit(abs, first), queue.submit(abs, -1), queue.submit(abs, -1)]
        until(lambda: idle_in(other))  # a worker on its way needs no wake
        if observed:
            scheduler.observe(lambda event: event.kind == "end" and ended.append(event.task))
        monkeypatch.setattr(core_of(scheduler), "wake_for", fail)
        gate.open()
        assert {type(task.exception(DEADLINE)) for task in rest} == {Broken}
        assert [record.args and record.args[0] for record in caplog.records] == [first]
        until(lambda: len(ended) >= 4 * observed)
        assert sorted(ended, key=str) == sorted([first, *rest] if observed else [], key=str)


def test_fault_of_ours_on_an_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor(2) as pool, Scheduler(stopped=True) as scheduler:
        queue = Queue(scheduler, executor=pool)
        first = queue.submit(abs, -1)
        tasks = [queue.submit(fail), queue.submit(abs, first), queue.submit(abs, Future())]
        error = Internal()

        def done(node: object) -> Any:
            raise error

        monkeypatch.setattr(order_of(scheduler), "done", done)
        scheduler.resume()
        assert first.exception(DEADLINE) is error
        assert isinstance(tasks[0].exception(DEADLINE), (Broken, Internal))
        assert [task.exception(DEADLINE) for task in tasks[1:]] == [error] * 2
        assert scheduler.wait(DEADLINE)


def test_fault_of_ours_between_two_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks of the first slice have ended as they were to."""
    monkeypatch.setattr(termination, "SLICE", 3)
    with planned(1, stopped=True) as (scheduler, queue):
        first = queue.submit(abs, -1)
        heirs = [queue.submit(abs, first) for _ in range(6)]
        told: list[Any] = []
        for task in heirs:
            task.add_done_callback(told.append)
        waiting = [beside(wait, [task]) for task in heirs]
        drop, calls = order_of(scheduler).drop, itertools.count()

        def struck(*args: Any) -> Any:
            if next(calls):
                raise Internal
            return drop(*args)

        monkeypatch.setattr(order_of(scheduler), "drop", struck)
        assert first.cancel()
        for each in waiting:
            each.result(DEADLINE)
        assert len(told) == len(heirs)
        assert [task.cancelled() for task in heirs] == [True] * 2 + [False] * 4
        assert isinstance(heirs[-1].exception(), Internal)
        scheduler.resume()


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_tasks_that_are_still_to_be_dropped_are_pending(order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(termination, "SLICE", 3)
    with planned(1, order=order, stopped=True) as (scheduler, queue):
        first = queue.submit(abs, -1)
        heirs = [queue.submit(abs, first) for _ in range(6)]
        between: list[Any] = []
        monkeypatch.setattr(core_of(scheduler), "yield_lock", lambda: between.append(pending_in(scheduler)))
        assert first.cancel()
        assert between == [heirs[2:], heirs[5:]]
        failing = queue.submit(fail)
        heirs = [queue.submit(nothing, failing) for _ in range(6)]
        monkeypatch.undo()
        monkeypatch.setattr(termination, "SLICE", 3)
        scheduler.resume()
        assert [heir.exception(DEADLINE) for heir in heirs] == [failing.exception()] * 6
        assert [heir.origin for heir in heirs] == [failing] * 6
        assert not core_of(scheduler).unfinished_drops


def test_worker_that_is_to_be_started_is_started_although_a_slice_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(termination, "SLICE", 1)
    with planned(1, 2) as (_, queue, other):
        gate, _ = occupy(queue)
        first = queue.submit(abs, -1)
        meeting = threading.Barrier(2)
        guests = [other.submit(lambda _: meeting.wait(DEADLINE), settled(first)) for _ in range(2)]
        heirs = [queue.submit(abs, first) for _ in range(3)]
        assert first.cancel()
        gate.open()
        assert sorted(guest.result(2 * DEADLINE) for guest in guests) == [0, 1]
        assert all(heir.cancelled() for heir in heirs)


def test_fault_of_ours_in_a_queue_with_rules_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with planned(stopped=True) as (scheduler,):
        queue = Queue(scheduler, 1, in_order=True, max_pending=3)
        tasks = [queue.submit(abs, -1) for _ in range(3)]
        submitting = beside(queue.submit, abs, -1)
        waiting = beside(scheduler.wait, DEADLINE)
        until(lambda: watchers_of(scheduler))
        monkeypatch.setattr(order_of(scheduler), "promote", fail)
        assert not tasks[0].promote()
        assert all(isinstance(task.exception(DEADLINE), Broken) for task in tasks)
        with pytest.raises(BrokenThreadPool):
            submitting.result(DEADLINE)
        assert waiting.result(DEADLINE)


def test_fault_of_ours_while_a_task_that_has_started_is_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker runs the task then."""
    disk = Resource("disk", 1)
    with planned(2) as (scheduler, queue):
        gate = Gate()
        using = queue.options(resources={disk: 1})
        held = gate.hold(using, 1)
        monkeypatch.setattr(order_of(scheduler), "hold_back", fail)
        lacking = using.submit(abs, -1)
        assert isinstance(lacking.exception(DEADLINE), Broken)
        gate.open()
        assert held.result(DEADLINE) == 1


def test_end_of_a_task_that_goes_on_after_a_fault_of_ours_does_not_reach_what_has_failed() -> None:
    disk = Resource("disk", 1)
    with Scheduler() as scheduler:
        queue = Queue(scheduler, 2)
        using = queue.options(resources={disk: 1})
        gate = Gate()
        held = gate.hold(using, 1)
        tasks = [using.submit(abs, -1)]
        until(lambda: "disk" in tasks[0].why())  # it was held back
        tasks += [queue.submit(abs, held), queue.submit(isinstance, settled(held), Task)]
        error = Internal()
        core_of(scheduler).break_down(error)
        gate.open()
        assert held.result(DEADLINE) == 1
        assert scheduler.wait(DEADLINE)
        assert all(task.exception(0) is error for task in tasks)
        assert (scheduler.counts()["done"], scheduler.counts()["failed"]) == (1, 3)
