"""One named race each: threads that start together, many rounds, seeded."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import as_completed, wait
from types import SimpleNamespace
from typing import Any

import pytest
from engines import Manual
from gate import DEADLINE, occupy
from internals import SPINS, blocked_on, core_of, exclusive, lock_of, pool_of, record_of, waiter
from outcomes import add, fail
from threads import beside, hold, planned, until

from smqexec import Queue, Scheduler, Task
from smqexec._calls.interrupts import MAIN, _after_fork
from smqexec._futures.conditions import Condition

ROUNDS = 150


pytestmark = pytest.mark.usefixtures("switching_often")


class Racers:
    """Threads that stay for many rounds, since starting one takes longer than a race.

    In each round all *lanes* are called at once, each after a little time, which differs from round to round.
    """

    def __init__(self, *lanes: Callable[[], object]) -> None:
        self._start = threading.Barrier(len(lanes) + 1, timeout=DEADLINE)
        self._end = threading.Barrier(len(lanes) + 1, timeout=DEADLINE)
        self._over = False
        self.found: list[Any] = [None] * len(lanes)
        self._threads = [beside(self._run, place, lane) for place, lane in enumerate(lanes)]

    def _run(self, place: int, lane: Callable[[], object]) -> None:
        chance = random.Random(place)
        while True:
            self._start.wait()
            if self._over:
                return
            for _ in range(chance.randrange(200)):
                pass
            try:
                self.found[place] = lane()
            except BaseException as error:
                self.found[place] = error
            self._end.wait()

    def race(self) -> list[Any]:
        """Start all lanes at once; return their results or exceptions."""
        self._start.wait()
        self._end.wait()
        return self.found

    def __enter__(self) -> Racers:
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._start.wait()
        for thread in self._threads:
            thread.result(DEADLINE)


def test_race_between_cancel_and_start() -> None:
    with planned(2, stopped=True) as (scheduler, queue):
        ran: list[int] = []
        tasks: list[Task[Any]] = []

        def cancel() -> list[bool]:
            return [task.cancel() for task in tasks]

        with Racers(scheduler.resume, cancel, cancel) as racers:
            for _ in range(ROUNDS):
                scheduler.stop(wait=True)
                ran.clear()
                tasks[:] = [queue.submit(ran.append, i) for i in range(3)]
                heirs = [queue.submit(lambda x: x, task) for task in tasks]
                _, one, two = racers.race()
                assert scheduler.wait(DEADLINE)
                for i, (task, heir) in enumerate(zip(tasks, heirs, strict=True)):
                    assert task.cancelled() == heir.cancelled() == (i not in ran)
                    # Both threads heard the same, but for one that came when it had ended.
                    assert one[i] == two[i] == task.cancelled()


def test_race_between_cancel_and_a_failing_dependency() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        heirs: list[Any] = []

        def cancel() -> list[bool]:
            return [heir.cancel() for heir in heirs]

        with Racers(scheduler.resume, cancel, lambda: wait(heirs, DEADLINE).not_done) as racers:
            for _ in range(ROUNDS):
                scheduler.stop(wait=True)
                bad = queue.submit(fail)
                heirs[:] = [queue.submit(add, bad) for _ in range(3)]
                _, answers, rest = racers.race()
                assert rest == set()
                assert answers == [heir.cancelled() for heir in heirs]
                assert all(heir.cancelled() or heir.origin is bad for heir in heirs)


def test_race_between_those_who_look_and_completion() -> None:
    """Threads that wait in every way, and callbacks."""
    with planned(2, stopped=True) as (scheduler, queue):
        tasks: list[Any] = []
        called: list[tuple[int, bool]] = []

        def watch() -> None:
            for i, task in enumerate(tasks):
                task.add_done_callback(lambda t, i=i: called.append((i, t.done())))

        lanes: list[Callable[[], object]] = [
            lambda: wait(tasks, DEADLINE).not_done,
            lambda: set(as_completed(tasks, DEADLINE)) ^ set(tasks),
            lambda: [task.exception(DEADLINE) for task in tasks].count(None),
        ]
        with Racers(scheduler.resume, *lanes, watch, watch) as racers:
            for _ in range(ROUNDS):
                scheduler.stop(wait=True)
                called.clear()
                bad = queue.submit(fail)
                tasks[:] = [queue.submit(add, 1), bad, queue.submit(add, bad), queue.submit(add, 1)]
                assert racers.race() == [None, set(), set(), 2, None, None]
                until(lambda: len(called) == 8)
                assert sorted(called) == [(i, True) for i in (0, 0, 1, 1, 2, 2, 3, 3)]


def test_waiter_that_gives_up_while_the_task_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waiter leaves the list while other waiters are woken: none of them may be missed."""
    late = threading.local()

    class Wakes:
        """The wakes of a waiter that gives up as it is woken: the waking thread goes on after that."""

        def __init__(self) -> None:
            self.told, self.gave_up = threading.Event(), threading.Event()

        def acquire(self, *limit: float) -> bool:
            if limit:
                assert self.told.wait(DEADLINE)
                late.wakes = self
            return not limit

        def release(self) -> None:
            self.told.set()
            assert self.gave_up.wait(DEADLINE)

    def give_up(task: Task[int]) -> bool:
        late.wanted = True
        try:
            return task.result(1) == 2
        finally:
            late.wakes.gave_up.set()

    with planned(1, stopped=True) as (scheduler, queue):
        made = {True: Wakes, False: threading.Lock}
        monkeypatch.setattr(waiter, "Lock", lambda: made[hasattr(late, "wanted")]())
        task = queue.submit(add, 1)
        first = beside(give_up, task)
        until(lambda: blocked_on(task))
        second = beside(task.result)
        until(lambda: len(blocked_on(task)) == 2)
        scheduler.resume()
        assert first.result(DEADLINE)  # done is done, however late
        assert second.result(DEADLINE) == 2


def test_task_ends_as_its_waiter_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waiter finds that the record is gone."""
    remove = Condition.remove
    with planned(1, stopped=True) as (_, queue):
        task = queue.submit(add, 1)

        def late(condition: Condition, wait: Any) -> None:
            monkeypatch.undo()
            assert wait in record_of(task).waiters
            assert task.cancel()
            remove(condition, wait)

        monkeypatch.setattr(Condition, "remove", late)
        with pytest.raises(TimeoutError):
            task.result(1e-9)
        assert task.cancelled() and not blocked_on(task)


@pytest.mark.parametrize("at", [1, 2, SPINS, None])
def test_submitter_lets_who_holds_the_lock_go_on(at: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks again some times, and then it blocks."""
    with planned(1, stopped=True) as (scheduler, queue):
        release = hold(lock_of(scheduler))
        sleeps: list[float] = []

        def sleep(seconds: float) -> None:
            sleeps.append(seconds)
            if len(sleeps) == at:
                release()

        monkeypatch.setattr(exclusive, "time", SimpleNamespace(sleep=sleep))
        submitting = beside(queue.submit, add, 1)
        try:
            until(lambda: len(sleeps) == (at or SPINS))
        finally:
            release()
        task = submitting.result(DEADLINE)
        assert sleeps == [0] * (at or SPINS)
        scheduler.resume()
        assert task.result(DEADLINE) == 2


class Contended(SimpleNamespace):
    """A lock: its methods are fields."""

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


def test_end_of_an_item_starts_no_worker_of_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread submits as soon as the lock is released."""
    with planned(2) as (scheduler, queue):
        gate, task = occupy(queue, {"x": 1})
        part = task["x"]
        lock, start = lock_of(scheduler), pool_of(queue).start
        submitted: list[Any] = []
        started: list[Any] = []

        def release() -> None:
            lock.release()
            if part.done() and not submitted:
                submitted.append(None)
                submitted.append(beside(queue.submit, add, 1).result(DEADLINE))

        def note(state: Any, worker: Any) -> None:
            started.append(worker)
            start(state, worker)

        monkeypatch.setattr(pool_of(queue), "start", note)
        contended = Contended(acquire=lock.acquire, release=release, _is_owned=lock._is_owned)
        monkeypatch.setattr(core_of(scheduler), "lock", contended)
        gate.open()
        assert part.result(DEADLINE) == 1
        until(lambda: len(submitted) == 2)
        assert submitted[1].result(DEADLINE) == 2
        monkeypatch.undo()
        queue.shutdown()
        assert len(started) == 1


def test_worker_that_gets_the_lock_later_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever it tries, another thread has the lock."""
    with planned(1, stopped=True) as (scheduler, queue):
        lock = lock_of(scheduler)
        contended = Contended(
            acquire=lambda blocking=True, _=-1: blocking and lock.acquire(),
            release=lock.release,
            _is_owned=lock._is_owned,
        )
        monkeypatch.setattr(core_of(scheduler), "lock", contended)
        task = queue.submit(dict, x=1)
        part = task["x"]
        after = queue.submit(add, part)
        scheduler.resume()
        assert (after.result(DEADLINE), part.result(0)) == (2, 1)
        monkeypatch.undo()


def test_hook_after_fork_knows_the_new_main_thread() -> None:
    parents = MAIN.copy()
    assert parents == {threading.main_thread().ident}
    try:
        mine = beside(lambda: (_after_fork(), threading.get_ident())[1]).result(DEADLINE)
        assert MAIN == {mine} != parents
    finally:
        MAIN.clear()
        MAIN.update(parents)


def test_calls_that_end_in_many_threads_let_others_go() -> None:
    """Each end starts another call: all calls are made, and never more than the limit at a time."""
    engine, seen = Manual(), []

    def end_some() -> None:
        while not all(task.done() for task in tasks):
            seen.append(len(engine.calls))
            try:
                engine.run()
            except IndexError:
                time.sleep(0)  # none is there: let the others, who give some, go on

    with Scheduler() as scheduler:
        queue = Queue(scheduler, 1, executor=engine, prefetch=6)
        for _ in range(5):
            tasks = [queue.submit(abs, -n) for n in range(40)]
            threads = [beside(end_some) for _ in range(3)]
            assert [task.result(DEADLINE) for task in tasks] == list(range(40))
            for thread in threads:
                thread.result(DEADLINE)
    assert max(seen) <= 7
