"""One named race each: threads that start together, many rounds, seeded."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, as_completed, wait
from queue import Empty, SimpleQueue
from typing import Any

import pytest
from engines import Manual
from gate import DEADLINE
from internals import SPINS, blocked_on, core_of, exclusive, lock_of, record_of, waits
from outcomes import add, fail
from threads import beside, hold, planned, until

from smqexec import Queue, Scheduler, Task, settled
from smqexec._calls.interrupts import MAIN, _after_fork
from smqexec._futures.waiters import Condition

ROUNDS = 150


pytestmark = pytest.mark.usefixtures("switching_often")


class Racers:
    """Threads that stay for many rounds, since starting one takes longer than a race."""

    def __init__(self, *lanes: Callable[[], object]) -> None:
        self._start = threading.Barrier(len(lanes) + 1, timeout=DEADLINE)
        self._end = threading.Barrier(len(lanes) + 1, timeout=DEADLINE)
        self._over = False
        self.found: list[object] = [None] * len(lanes)
        self._threads = [beside(self._run, place, lane) for place, lane in enumerate(lanes)]

    def _run(self, place: int, lane: Callable[[], object]) -> None:
        while True:
            self._start.wait()
            if self._over:
                return
            try:
                self.found[place] = lane()
            except BaseException as error:
                self.found[place] = error
            self._end.wait()

    def race(self) -> list[object]:
        """Start all functions at once; return their results or exceptions."""
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


def spin(chance: random.Random) -> None:
    """Spend a little time, another amount in each round."""
    for _ in range(chance.randrange(200)):
        pass


def test_race_between_cancel_and_start() -> None:
    chance = random.Random(1)
    with planned(2, stopped=True) as (scheduler, queue):
        ran: list[int] = []
        tasks: list[Task[Any]] = []

        def cancel() -> list[bool]:
            spin(chance)
            return [task.cancel() for task in tasks]

        with Racers(scheduler.resume, cancel, cancel) as racers:
            for _ in range(ROUNDS):
                scheduler.stop(wait=True)
                ran.clear()
                tasks[:] = [queue.submit(ran.append, i) for i in range(3)]
                heirs = [queue.submit(lambda x: x, task) for task in tasks]
                _, one, two = racers.race()
                assert scheduler.wait(DEADLINE)
                assert isinstance(one, list)
                assert isinstance(two, list)
                for i, (task, heir) in enumerate(zip(tasks, heirs, strict=True)):
                    assert task.done()
                    assert task.cancelled() == heir.cancelled() == (i not in ran)
                    # Both threads heard the same, but for one that came when it had ended.
                    assert one[i] == two[i] == task.cancelled()


def test_race_between_wait_and_completion() -> None:
    chance = random.Random(2)
    with planned(2, stopped=True) as (scheduler, queue):
        tasks: list[Any] = []

        def waiting() -> object:
            spin(chance)
            return wait(tasks, DEADLINE).not_done

        def completing() -> object:
            spin(chance)
            return set(as_completed(tasks, DEADLINE)) ^ set(tasks)

        def result() -> object:
            return [task.exception(DEADLINE) for task in tasks].count(None)

        with Racers(scheduler.resume, waiting, completing, result) as racers:
            for _ in range(ROUNDS):
                scheduler.stop(wait=True)
                bad = queue.submit(fail)
                tasks[:] = [queue.submit(add, 1), bad, queue.submit(add, bad), queue.submit(add, 1)]
                assert racers.race() == [None, set(), set(), 2]


def test_waiter_that_gives_up_while_the_task_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waiter leaves the list while other waiters are woken: none of them may be missed."""
    late = threading.local()

    class Wakes:
        """The wakes of a waiter that gives up as it is woken: the waking thread goes on after that."""

        def __init__(self) -> None:
            self.told, self.gave_up = threading.Event(), threading.Event()

        def get(self, timeout: float | None) -> None:
            assert self.told.wait(DEADLINE)
            late.wakes = self
            raise Empty

        def put(self, _: None) -> None:
            self.told.set()
            assert self.gave_up.wait(DEADLINE)

    def give_up(task: Task[int]) -> bool:
        late.wanted = True
        try:
            return task.result(1) == 2
        finally:
            late.wakes.gave_up.set()

    with planned(1, stopped=True) as (scheduler, queue):
        made = {True: Wakes, False: SimpleQueue}
        monkeypatch.setattr(waits, "SimpleQueue", lambda: made[hasattr(late, "wanted")]())
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
            assert wait in record_of(task).waiters
            assert task.cancel()
            remove(condition, wait)

        monkeypatch.setattr(Condition, "remove", late)
        with pytest.raises(TimeoutError):
            task.result(1e-9)
        assert task.cancelled() and not blocked_on(task)


def test_race_between_callback_and_completion() -> None:
    chance = random.Random(4)
    with planned(2, stopped=True) as (scheduler, queue):
        tasks: list[Task[Any]] = []
        called: list[tuple[int, bool]] = []

        def watch() -> None:
            spin(chance)
            for i, task in enumerate(tasks):
                task.add_done_callback(lambda t, i=i: called.append((i, t.done())))

        with Racers(scheduler.resume, watch, watch) as racers:
            for _ in range(ROUNDS):
                scheduler.stop(wait=True)
                called.clear()
                bad = queue.submit(fail)
                tasks[:] = [queue.submit(add, 1), bad, queue.submit(add, bad)]
                racers.race()
                assert scheduler.wait(DEADLINE)
                until(lambda: len(called) == 6)
                assert sorted(called) == [(i, True) for i in (0, 0, 1, 1, 2, 2)]


def test_race_between_a_dependency_that_ends_and_submit() -> None:
    chance = random.Random(7)
    with planned(2, stopped=True) as (scheduler, queue):
        needs: list[Any] = []

        def submit() -> list[Any]:
            spin(chance)
            good, bad, gone = needs
            return [
                queue.submit(add, good).result(DEADLINE),
                queue.submit(add, bad).exception(DEADLINE),
                queue.submit(add, settled(bad), gone).cancel(),
                queue.submit(lambda f: f.done(), settled(gone)).result(DEADLINE),
            ]

        with Racers(scheduler.resume, submit, lambda: needs[2].cancel()) as racers:
            for _ in range(ROUNDS):
                scheduler.stop(wait=True)
                needs[:] = [queue.submit(add, 1), queue.submit(fail), queue.submit(add, Future())]
                _, found, cancelled = racers.race()
                assert cancelled is True
                assert found == [3, needs[1].exception(DEADLINE), True, True]
                assert scheduler.wait(DEADLINE)


def test_race_between_cancel_and_a_failing_dependency() -> None:
    chance = random.Random(8)
    with planned(1, stopped=True) as (scheduler, queue):
        heirs: list[Any] = []

        def cancel() -> list[bool]:
            spin(chance)
            return [heir.cancel() for heir in heirs]

        def waiting() -> object:
            return wait(heirs, DEADLINE).not_done

        with Racers(scheduler.resume, cancel, waiting) as racers:
            for _ in range(ROUNDS):
                scheduler.stop(wait=True)
                bad = queue.submit(fail)
                heirs[:] = [queue.submit(add, bad) for _ in range(3)]
                _, answers, rest = racers.race()
                assert rest == set()
                assert answers == [heir.cancelled() for heir in heirs]
                assert all(heir.cancelled() or heir.origin is bad for heir in heirs)


def test_queues_come_and_go_while_others_work() -> None:
    with planned(1) as (scheduler, queue):

        def passing() -> int:
            with Queue(scheduler, 1) as own:
                return own.submit(add, queue.submit(add, 1)).result(DEADLINE)

        with Racers(passing, passing) as racers:
            for _ in range(ROUNDS // 5):
                assert racers.race() == [3, 3]
        assert scheduler.queues[0] is queue


class Clock:
    """In place of the module: *release* is called in the sleep number *at*, or never."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self, release: Callable[[], None], at: int) -> None:
        self.release, self.at = release, at
        self.sleeps = 0

    def sleep(self, seconds: float) -> None:
        assert seconds == 0
        self.sleeps += 1
        if self.sleeps == self.at:
            self.release()


@pytest.mark.parametrize("at", [1, 2, SPINS])
def test_submitter_lets_who_holds_the_lock_go_on(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        clock = Clock(hold(lock_of(scheduler)), at)
        monkeypatch.setattr(exclusive, "time", clock)
        task = beside(queue.submit, add, 1).result(DEADLINE)
        assert clock.sleeps == at
        scheduler.resume()
        assert task.result(DEADLINE) == 2


def test_submitter_blocks_when_that_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        release = hold(lock_of(scheduler))
        clock = Clock(release, -1)
        monkeypatch.setattr(exclusive, "time", clock)
        submitting = beside(queue.submit, add, 1)
        try:
            until(lambda: clock.sleeps == SPINS)
        finally:
            release()
        task = submitting.result(DEADLINE)
        scheduler.resume()
        assert task.result(DEADLINE) == 2


def test_worker_that_gets_the_lock_later_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Contended:
        """A lock that another thread has whenever it is tried."""

        def __init__(self, lock: Any) -> None:
            self._lock = lock

        def __getattr__(self, name: str) -> Any:
            return getattr(self._lock, name)

        def acquire(self, blocking: bool = True) -> bool:
            return blocking and self._lock.acquire()  # type: ignore[no-any-return]

        def __enter__(self) -> None:
            self._lock.acquire()

        def __exit__(self, *_: object) -> None:
            self._lock.release()

    with planned(1, stopped=True) as (scheduler, queue):
        monkeypatch.setattr(core_of(scheduler), "lock", Contended(lock_of(scheduler)))
        task = queue.submit(dict, x=1)
        part = task["x"]
        after = queue.submit(add, part)
        scheduler.resume()
        assert (after.result(DEADLINE), part.result(0)) == (2, 1)


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
