"""Everything at once, at random: what comes out must be what a serial program would compute."""

from __future__ import annotations

import concurrent.futures
import faulthandler
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from gate import DEADLINE, Gate
from internals import (
    check_order,
    lock_of,
    outside_of,
    paused_in,
    pending_in,
    resting_in,
    states_of,
    watchers_of,
)
from marks import slow_but
from threads import beside, planned, until

import smqexec
from smqexec import Queue, Raw, Scheduler, Task, checkpoint, number_of_results, settled
from smqexec._planner.nodes import DONE

pytestmark = pytest.mark.usefixtures("switching_often")


def at_work(scheduler: Scheduler) -> list[Any]:
    return [task for slots in states_of(scheduler) for run in slots.workers for task in run.tasks()]


def at_rest(scheduler: Scheduler) -> None:
    """Assert that *scheduler* has nothing to do, and keeps no record of anything."""
    # A worker on its way finds that another one took the task.
    until(lambda: not any(slots.coming for slots in states_of(scheduler)))
    with lock_of(scheduler):
        check_order(scheduler, [])
        records = {
            "outside": outside_of(scheduler),
            "waits": [run.waits for slots in states_of(scheduler) for run in slots.workers if run.waits],
            "paused": paused_in(scheduler),
            "resting": resting_in(scheduler),
            "watchers": watchers_of(scheduler),
            "searches": [needs for slots in states_of(scheduler) for needs in slots.searches],
            "at work": at_work(scheduler),
        }
        assert not any(records.values()), records


@contextmanager
def described(*schedulers: Scheduler) -> Iterator[None]:
    """Shut *schedulers* down after the block; if it raises, print their states, to find what hangs."""
    try:
        yield
    except BaseException:
        for scheduler in schedulers:
            print(scheduler, lock_of(scheduler), scheduler.why(), sep="\n")
            for slots in states_of(scheduler):
                print(slots.name, slots.counts(), f"{slots.limit=} {slots.idle=} {slots.coming=}")
                for needs in slots.searches:
                    print("needs", needs.awaited(), needs.ready, needs.frames)
        faulthandler.dump_traceback()
        raise
    for scheduler in schedulers:
        scheduler.shutdown()


# Stop and resume

CALLS = 500


@pytest.mark.parametrize("seed", slow_but(0, range(4)))
def test_nothing_is_lost_or_run_twice_over_stops_from_four_threads(seed: int) -> None:
    """Four threads stop, submit, resume and stop at random, while tasks count how often they run."""
    chance = random.Random(seed)
    scheduler = Scheduler(chance.choice(["newest", "oldest"]))
    queues = [Queue(scheduler, chance.randint(1, 3)) for _ in range(2)]

    def lane(seed: int) -> list[list[int]]:
        chance = random.Random(seed)
        ran: list[list[int]] = []
        last: Any = None
        while len(ran) < CALLS:
            kind = chance.random()
            if kind < 0.1:
                scheduler.stop(wait=chance.random() < 0.2)
            elif kind < 0.2:
                scheduler.resume()
            else:
                ran.append([])
                need = last if chance.random() < 0.5 else None
                last = chance.choice(queues).submit(lambda own, _: own.append(1), ran[-1], need)
        return ran

    with described(scheduler):
        lanes = [beside(lane, 4 * seed + i) for i in range(4)]
        counted = [own for each in lanes for own in each.result(DEADLINE)]
        scheduler.resume()
        assert scheduler.wait(DEADLINE), scheduler
        assert counted == [[1]] * 4 * CALLS
        at_rest(scheduler)
        assert scheduler.counts()["done"] == 4 * CALLS


# Everything


class Failed(Exception):
    """The exception that tasks raise here."""


def weight(value: Any) -> int:
    """Return a number that stands for *value*, an argument of a task."""
    if isinstance(value, Future):
        return outcome(value)
    if isinstance(value, list):
        return sum(map(weight, value))
    return int(value)


def outcome(future: Future[Any]) -> int:
    """Return a number that stands for the outcome of *future*, which must end within the deadline."""
    try:
        return weight(future.result(3 * DEADLINE))
    except (Failed, IndexError):
        return 7
    except CancelledError:
        return 11


@dataclass(eq=False)
class Call:
    """A submitted call, with all that the serial program needs."""

    number: int
    kind: str
    needs: list[Any]  # futures that must give a value
    looks: list[Any]  # futures that must have ended, in whatever way
    nests: list[object]
    ran: list[int] = field(default_factory=list)
    items: dict[int, Any] = field(default_factory=dict)  # those asked for
    refused: bool = False
    future: Any = None

    def value(self, *values: Any) -> int:
        return (31 * self.number + sum(map(weight, values))) % 1_000_003

    @property
    def length(self) -> int:
        """The number of items of a generator."""
        return self.number % 5

    @property
    def generates(self) -> bool:
        return self.kind in ("generator", "announced", "generator that fails")


def plain(call: Call, *values: Any) -> int:
    call.ran.append(1)
    if call.kind == "failing":
        raise Failed(call.number)
    if call.number % 3:
        checkpoint()
    return call.value(*values)


def generator(call: Call, *values: Any) -> Any:
    call.ran.append(1)
    base = call.value(*values)
    for i in range(call.length):
        yield base + i
    if call.kind == "generator that fails":
        raise Failed(call.number)


@number_of_results(lambda call, *_: call.length)
def announced(call: Call, *values: Any) -> Any:
    yield from generator(call, *values)


class _Thread(threading.local):
    depth = 0


THREAD = _Thread()


@contextmanager
def noted(nests: list[object]) -> Iterator[None]:
    """Around a task that waits: add to *nests* where it is nested in another."""
    THREAD.depth += 1
    try:
        if THREAD.depth > 1:
            nests.append(None)
        yield
    finally:
        THREAD.depth -= 1


def refused(call: Call, error: RuntimeError) -> int:
    """What becomes of a task whose wait would never end.

    None here needs itself.  But where the tasks in all slots wait, one of them
    has to do what another needs; should that turn out to need what is beneath
    it in its thread, there is no way on.
    """
    assert str(error).startswith("waiting would never end"), error
    assert call.nests, error  # perhaps no more: who has got the error too has gone on
    call.refused = True
    return -1


def waiting(call: Call, *values: Any) -> int:
    """Waits for other tasks, the last argument."""
    *values, looks = values
    call.ran.append(1)
    try:
        with noted(call.nests):
            return await_all(call, looks, values)
    except RuntimeError as error:
        return refused(call, error)


def await_all(call: Call, looks: list[Any], values: Any) -> int:
    chance = random.Random(call.number)
    how = chance.randrange(4)
    if how == 1:
        when = chance.choice([FIRST_COMPLETED, FIRST_EXCEPTION])
        assert smqexec.wait(looks, DEADLINE, when).done or not looks or call.nests
    elif how == 2:
        assert not smqexec.wait(looks, 3 * DEADLINE).not_done
    elif how == 3:
        # That all of them need what is beneath this task is no error, but as the wait for each one is, later.
        try:
            assert set(smqexec.as_completed(looks, DEADLINE)) == set(looks)
        except TimeoutError:
            assert call.nests
    return call.value(looks, *values)


class World:
    """Schedulers, their queues, threads that use them at random, and a record of it all."""

    def __init__(self, seed: int, calls: int) -> None:
        chance = random.Random(seed)
        self.seed = seed
        self.calls = calls
        orders = [chance.choice(["newest", "oldest"]) for _ in range(chance.choice([1, 1, 2]))]
        self.schedulers = [Scheduler(order) for order in orders]
        owners = [self.schedulers[i % len(orders)] for i in range(chance.randint(2, 4))]
        self.queues = [Queue(owner, chance.randint(1, 3)) for owner in owners]
        self.made: list[Call] = []
        self.of: dict[Any, Call] = {}
        self.asked: set[Any] = set()  # futures that somebody cancelled, perhaps too late
        self.inner: list[int] = []  # one entry for each call submitted inside a task
        self.nests: list[object] = []  # one entry for each task that waits, nested in another
        self.outside: list[tuple[Future[int], Any]] = []  # futures nobody has completed yet, with their end
        self.over = threading.Event()

    # What the threads do.

    def feed(self, seed: int) -> None:
        chance = random.Random(seed)
        for i in range(self.calls):
            self.submit(chance, seed * 1000 + i)
            if chance.random() < 0.2:
                self.complete_one()
        while self.outside:
            self.complete_one()

    def pick(self, chance: random.Random) -> Any:
        """Return a future that was made earlier, or an item of a generator task."""
        if not self.made or chance.random() < 0.05:
            future: Future[int] = Future()
            self.outside.append((future, chance.choice([1, 2, 3, Failed("outside"), None])))
            return future
        call = chance.choice(self.made[-25:])
        if call.generates and chance.random() < 0.7:
            # One item more than there is, where that is no error of the caller.
            last = call.length + (call.kind == "generator")
            if last:
                i = chance.randrange(last)
                return call.items.setdefault(i, call.future[i])
        return call.future

    def submit(self, chance: random.Random, number: int) -> None:
        queue = chance.choice(self.queues)
        kinds = ["plain"] * 6 + ["failing", "generator", "generator", "announced", "generator that fails"]
        if len(self.schedulers) == 1:  # a cycle of waits through two is no error: it would never end
            kinds += ["waiting"] * 3 + ["submitting"] * 3
        kind = chance.choice(kinds)
        needs = [self.pick(chance) for _ in range(chance.choice([0, 0, 1, 1, 1, 2, 3]))]
        looks = [self.pick(chance) for _ in range(chance.choice([0, 0, 0, 1, 2]))]
        call = Call(number, kind, needs, looks, self.nests)
        args: list[Any] = list(needs) if chance.random() < 0.5 else [needs]
        functions: dict[str, Callable[..., Any]] = {
            "plain": plain, "failing": plain, "announced": announced, "waiting": waiting,
            "submitting": self.submitting,
        }  # fmt: skip
        args += [Raw(looks)] if kind == "waiting" else map(settled, looks)
        call.future = task = queue.submit(functions.get(kind, generator), Raw(call), *args)
        self.of[task] = call
        self.made.append(call)

    def submitting(self, call: Call, *values: Any) -> int:
        """A task that divides its work."""
        call.ran.append(1)
        try:
            with noted(self.nests):
                return self.divide(call, values)
        except RuntimeError as error:
            return refused(call, error)

    def divide(self, call: Call, values: Any) -> int:
        chance = random.Random(call.number)
        numbers = [weight(value) for value in values]
        for _ in range(2):
            queue = chance.choice(self.queues)
            self.inner.append(1)
            numbers = [queue.submit(self.nested, numbers, chance.randrange(3)).result(3 * DEADLINE)]
        return call.value(*numbers)

    def nested(self, numbers: list[int], depth: int) -> int:
        if not depth:
            return sum(numbers)
        self.inner.append(1)
        with noted(self.nests):
            return self.queues[0].submit(self.nested, numbers, depth - 1).result(3 * DEADLINE)

    def complete_one(self) -> None:
        try:
            future, end = self.outside.pop()
        except IndexError:
            return
        if end is None:
            self.asked.add(future)
            future.cancel()
            future.set_running_or_notify_cancel()  # or nobody would tell those who wait
        elif isinstance(end, int):
            future.set_result(end)
        else:
            future.set_exception(end)

    def meddle(self, seed: int) -> None:
        chance = random.Random(seed)
        while not self.over.is_set():
            scheduler = chance.choice(self.schedulers)
            kind = chance.random()
            if kind < 0.15:
                scheduler.stop(wait=chance.random() < 0.1)
            elif kind < 0.5:
                scheduler.resume()
            elif kind < 0.53:
                with lock_of(scheduler):
                    found = pending_in(scheduler) + at_work(scheduler)
                    check_order(scheduler, found)
            elif self.made:
                call = chance.choice(self.made[-40:])
                future = call.future
                if kind < 0.6 and call.items:
                    future = chance.choice(list(call.items.values()))
                if kind < 0.65:
                    self.cancel(future, kind < 0.62)
                elif kind < 0.8:
                    future.promote()
                elif kind < 0.85:
                    future.add_done_callback(lambda _: None)
                elif kind < 0.9:
                    with suppress(TimeoutError, CancelledError):
                        future.exception(chance.choice([0, 1e-5, 1e-3]))
                elif kind < 0.95:
                    concurrent.futures.wait([future, *call.needs], 1e-5)
                else:
                    assert repr(future)
                    assert scheduler.counts()["running"] >= 0

    def cancel(self, future: Any, dependencies: bool) -> None:
        todo = [future]
        for each in todo:  # it grows while we go
            self.asked.add(each)
            call, source = self.of.get(each), getattr(each, "_source", None)
            if dependencies:
                todo += [] if call is None else call.needs + call.looks
                todo += [] if source is None else [source]
        future.cancel(dependencies)

    def resume(self) -> None:
        for scheduler in self.schedulers:
            scheduler.resume()

    # What must have come out.

    def run(self) -> None:
        with described(*self.schedulers):
            meddlers = [beside(self.meddle, 7 * self.seed + i) for i in range(2)]
            feeders = [beside(self.feed, 3 * self.seed + i) for i in range(3)]
            for thread in feeders:
                thread.result(2 * DEADLINE)
            self.over.set()
            until(lambda: self.resume() or all(thread.done() for thread in meddlers))
            self.resume()
            for thread in meddlers:
                thread.result(DEADLINE)
            left = concurrent.futures.wait([call.future for call in self.made], 4 * DEADLINE).not_done
            assert not left, left
            for scheduler in self.schedulers:
                assert scheduler.wait(DEADLINE), scheduler
            self.check()

    def check(self) -> None:
        assert len(self.made) == 3 * self.calls
        for call in self.made:
            self.check_call(call)
        for scheduler in self.schedulers:
            at_rest(scheduler)
        ends = [scheduler.counts() for scheduler in self.schedulers]
        total = sum(count for counts in ends for count in counts.values())
        assert total == sum(counts["done"] + counts["failed"] + counts["cancelled"] for counts in ends)
        assert total == len(self.made) + len(self.inner)

    def check_call(self, call: Call) -> None:
        task = call.future
        cancelled = [need for need in call.needs if need.cancelled()]
        failed = [need for need in call.needs if not need.cancelled() and need.exception()]
        if task.cancelled():
            assert task in self.asked or cancelled
            assert len(call.ran) <= 1
            assert not call.ran or task in self.asked
        elif task.exception() is None:
            assert not cancelled
            assert not failed
            assert call.ran == [1]
            base = -1 if call.refused else call.value(*call.needs, *call.looks)
            values = [base + i for i in range(call.length)]
            assert task.result() == (values if call.generates else base)
        elif task.origin is task:
            assert not cancelled
            assert not failed
            assert call.ran == [1]
            assert call.kind in ("failing", "generator that fails"), task.exception()
        else:
            assert call.ran == []
            assert any(need.exception() is task.exception() for need in failed)
        for i, item in call.items.items():
            self.check_item(call, i, item)

    def check_item(self, call: Call, i: int, item: Any) -> None:
        if item.cancelled():
            assert item in self.asked or call.future.cancelled()
        elif item.exception() is None:
            assert item.result() == call.value(*call.needs, *call.looks) + i
            assert i < call.length
        elif call.future.cancelled() or call.future.exception() is None:
            assert i == call.length
        else:
            assert item.exception() is call.future.exception()


def asleep(task: Task[Any]) -> bool:
    """Whether *task* runs and waits, with nothing left to look at."""
    for run in task._queue.workers if task._queue is not None else ():
        if task in run.tasks():
            return any(not wait.has_work() for _, wait in run.waits)
    return False


def test_wait_that_is_over_closes_no_circle() -> None:
    """When late begins to wait for first, that waits for other, but other no more for late."""
    outside: Future[int] = Future()
    gate = Gate()
    with planned(2, 2) as (_, one, two):

        def wait_in_vain() -> int:
            with suppress(CancelledError):
                between.result(DEADLINE)
            gate.enter()
            return 1

        late = two.submit(lambda _: first.result(DEADLINE), outside)
        between = two.submit(abs, late)
        other = one.submit(wait_in_vain)
        until(lambda: asleep(other))
        first = one.submit(lambda: other.result(DEADLINE))
        until(lambda: asleep(first))
        assert between.cancel()
        gate.wait_entered()
        outside.set_result(0)
        until(late.running)
        until(lambda: asleep(late) or late.done())
        until(lambda: asleep(first) or first.done())
        gate.open()
        assert [task.result(DEADLINE) for task in (first, late)] == [1, 1]


def test_wait_for_nothing() -> None:
    with planned(1) as (_, queue):
        for when in (FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED):
            assert queue.submit(smqexec.wait, [], None, when).result(DEADLINE) == (set(), set())
        assert queue.submit(lambda: list(smqexec.as_completed([]))).result(DEADLINE) == []


@pytest.mark.parametrize("seed", slow_but([0, 1, 2], range(20)))
def test_everything_at_once(seed: int) -> None:
    World(seed, 60).run()


# Queues with rules of their own.


@pytest.mark.parametrize("seed", range(6))
def test_rules(seed: int) -> None:
    """Threads that submit to queues of all kinds, cancel, stop and change widths; each line is in order."""
    chance = random.Random(seed)
    started: list[list[int]] = [[], []]
    with Scheduler(chance.choice(["newest", "oldest"])) as scheduler:
        lines = [
            Queue(scheduler, 1, in_order=True),
            Queue(scheduler, 1, in_order=True, max_pending=5, context=True),
        ]
        others = [
            Queue(scheduler, 2),
            Queue(scheduler, 2, max_pending=3),
            Queue(scheduler, inline=True),
            Queue(scheduler, 1, max_pending=8),
        ]
        order: list[list[Task[Any]]] = [[], []]
        locks = [threading.Lock(), threading.Lock()]
        tasks: list[Task[Any]] = []

        def note(line: int, number: int, *_: Any) -> int:
            started[line].append(number)
            return number

        def submit(mine: random.Random) -> None:
            for _ in range(60):
                needs = mine.sample(tasks, min(len(tasks), mine.randint(0, 2)))
                what = mine.random()
                if what < 0.4:
                    line = mine.randrange(2)
                    queue: Any = lines[line]
                    if mine.random() < 0.3:
                        queue = queue.options(name="in line", after=[settled(need) for need in needs[:1]])
                    with locks[line]:  # else who comes first is not to be told
                        task = queue.submit(note, line, len(order[line]), *map(settled, needs))
                        order[line].append(task)
                    tasks.append(task)
                elif what < 0.8:
                    tasks.append(mine.choice(others).submit(lambda *values: len(values), *needs))
                elif what < 0.9 and tasks:
                    mine.choice(tasks[-10:]).cancel()
                elif what < 0.95:
                    others[0].max_workers = mine.randint(1, 4)
                else:
                    with scheduler.stop():
                        scheduler.counts()

        threads = [beside(submit, random.Random(f"{seed} {number}")) for number in range(3)]
        for thread in threads:
            thread.result(DEADLINE)
        assert scheduler.wait(DEADLINE), scheduler.why()
        assert all(task.done() for task in tasks)
        for line in range(2):
            ran = [number for number, task in enumerate(order[line]) if not task.cancelled()]
            assert started[line] == ran
        at_rest(scheduler)
        assert all(slots.barrier is None or slots.barrier._stage == DONE for slots in states_of(scheduler))
        limits = [slots.pending_limit for slots in states_of(scheduler) if slots.pending_limit is not None]
        assert not any(limit._waiting or limit._reserved for limit in limits)
