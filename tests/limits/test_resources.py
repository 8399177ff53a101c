"""Resources: taken at the start, all or none; given back, in line; kept until released."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from random import Random
from threading import Event, Lock
from typing import Any
from unittest.mock import Mock

import pytest
from engines import Manual
from gate import DEADLINE, Gate, occupy
from internals import core_of, outside_of
from marks import slow_but
from outcomes import Kept, fail
from threads import beside, collected, planned, until

from smqexec import Queue, Raw, Resource, settled
from smqexec._limits.resources import Allocating
from smqexec._planner.nodes import READY

DISK = Resource("disk", 3)  # that no task takes


@pytest.fixture
def lab() -> Iterator[Any]:
    """A scheduler, a wide queue and a narrow one, three units of disk, a gate that opens at the end."""
    gate = Gate()
    disk = Resource("disk", 3)
    with planned(8, 1) as (scheduler, wide, narrow):
        try:
            yield scheduler, wide, narrow, disk, gate
        finally:
            gate.open()
            scheduler.resume()


def until_lacking(*tasks: Any) -> None:
    """Wait until each of *tasks* waits for units."""
    for task in tasks:
        until(lambda task=task: "lacks" in task.why())


# Bad input.


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"resources": 3}, TypeError, r"resources must be a dict such as \{disk: 2\}, not 3"),
        ({"resources": {"disk": 1}}, TypeError, r"keys of resources must be such as .* not 'disk'"),
        ({"resources": {DISK: 1.5}}, TypeError, "units of disk that a task takes must be an int, not 1.5"),
        ({"resources": {DISK: 0}}, ValueError, "units of disk that a task takes must be 1 or more, not 0"),
        ({"resources": {DISK: 4}}, ValueError, "a task can't take 4 of disk: there are 3$"),
        ({"hold": True}, ValueError, "hold=True keeps the resources that a task takes: give"),
        ({"release": 3}, TypeError, "release must be a list of tasks, not 3"),
        ({"release": [3]}, TypeError, "release must be a list of tasks, but holds 3"),
    ],
)
def test_bad_options(given: dict[str, Any], error: type[Exception], message: str) -> None:
    with planned(1) as (_, queue), pytest.raises(error, match=message):
        queue.options(**given)


def test_bad_releases(lab: Any) -> None:
    _, queue, _, disk, _ = lab
    tasks = [queue.submit(abs, 1), queue.options(resources={disk: 1}).submit(abs, 1)]
    with pytest.raises(TypeError, match="release must be a list of tasks, not <Task"):
        queue.options(release=tasks[0])
    for task in tasks:
        with pytest.raises(ValueError, match=r"nothing to release: <Task .* was not submitted with hold"):
            queue.options(release=[task])


@pytest.mark.parametrize(
    ("name", "n", "error", "message"),
    [
        (3, 1, TypeError, "the name of a resource must be a str, not 3"),
        ("disk", "many", TypeError, "the number of units of disk must be an int, not 'many'"),
        ("disk", 0, ValueError, "the number of units of disk must be 1 or more, not 0"),
    ],
)
def test_bad_resource(name: Any, n: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Resource(name, n)


def test_resource_is_of_one_scheduler(lab: Any) -> None:
    _, queue, _, disk, _ = lab
    holder = queue.options(resources={disk: 1}, hold=True).submit(abs, 1)
    with planned(1) as (_, other):
        for options in ({"resources": {disk: 1}}, {"release": [holder]}):
            with pytest.raises(ValueError, match=r"<Resource disk: . of 3 free> belongs to another"):
                other.options(**options)


def test_resource_of_a_scheduler_that_is_gone() -> None:
    disk = Resource("disk", 1)
    for _ in range(2):
        with planned(1) as (scheduler, queue):
            assert queue.options(resources={disk: 1}).submit(abs, -1).result(DEADLINE) == 1
        gone = weakref.ref(scheduler)
        del scheduler, queue
        until(collected(lambda gone=gone: gone() is None))


def test_what_says_what_it_is(lab: Any) -> None:
    _, queue, _, disk, _ = lab
    assert (disk.name, disk.n, disk.free) == ("disk", 3, 3)
    assert repr(disk) == "<Resource disk: 3 of 3 free>"
    assert "{<Resource disk: 3 of 3 free>: 2}" in repr(queue.options(resources={disk: 2}))


# Taken and given back.


def test_no_more_run_than_there_is(lab: Any) -> None:
    _, queue, _, disk, gate = lab
    tasks = [queue.options(resources={disk: 1}).submit(gate.enter, i) for i in range(7)]
    gate.wait_entered(3)
    assert queue.submit(abs, -1).result(DEADLINE) == 1  # others pass
    assert disk.free == 0
    assert queue.counts()["running"] == 3
    assert queue.counts()["waiting"] == 4
    gate.open()
    assert [task.result(DEADLINE) for task in tasks] == list(range(7))
    until(lambda: disk.free == 3)


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_order_is_that_of_the_queue(order: str) -> None:
    disk = Resource("disk", 1)
    ran: list[int] = []
    with planned(4, order=order, stopped=True) as (scheduler, queue):
        disked = queue.options(resources={disk: 1})
        tasks = [disked.submit(ran.append, i) for i in range(9)]
        needing = queue.submit(abs, queue.submit(len, [tasks[4]]))
        scheduler.resume()
        assert needing.result(DEADLINE) == 1
        assert scheduler.wait(DEADLINE)
    assert ran == ([4, 8, 7, 6, 5, 3, 2, 1, 0] if order == "newest" else list(range(9)))


def test_failed_and_cancelled_tasks_give_back(lab: Any) -> None:
    """Also with ``hold``."""
    scheduler, queue, _, disk, gate = lab
    taking = queue.options(resources={disk: 3}, hold=True)
    assert taking.submit(fail).exception(DEADLINE)
    first = gate.hold(taking)
    lined = [taking.submit(abs, 1) for _ in range(3)]
    until_lacking(*lined)
    assert lined[0].cancel() and lined[2].cancel()
    for task in (first, lined[1]):
        queue.options(release=[task]).submit(abs, 1)
    gate.open()
    assert lined[1].result(DEADLINE) == 1
    until(lambda: disk.free == 3)
    assert not disk._waiting and not outside_of(scheduler)


def test_granted_task_that_is_cancelled_gives_back(lab: Any) -> None:
    scheduler, queue, _, disk, gate = lab
    taking = queue.options(resources={disk: 3})
    gate.hold(taking)
    lined = [taking.submit(abs, 1) for _ in range(2)]
    until_lacking(*lined)
    scheduler.stop()
    gate.open()
    until(lambda: queue.counts()["ready"] == 1)
    assert disk.free == 0
    assert next(task for task in lined if task._stage == READY).cancel()
    assert (queue.counts()["ready"], disk.free) == (1, 0)  # the other one was granted them
    scheduler.resume()
    assert scheduler.wait(DEADLINE) and disk.free == 3


def test_cancelling_a_held_back_task_with_its_dependencies_keeps_the_line(lab: Any) -> None:
    """It leaves each line in which it stood, and those after it have their turn."""
    _, queue, _, disk, gate = lab
    tape = Resource("tape", 1)
    gate.hold(queue.options(resources={disk: 2}))
    until_lacking(first := queue.options(resources={tape: 1, disk: 2}).submit(abs, 1))
    until_lacking(behind := queue.options(resources={tape: 1}).submit(abs, -2))
    until_lacking(second := queue.options(resources={disk: 1}).submit(abs, 3))
    assert queue.submit(max, second, first).cancel(dependencies=True)
    assert first.cancelled() and second.cancelled()
    assert behind.result(DEADLINE) == 2
    gate.open()
    assert queue.options(resources={tape: 1, disk: 3}).submit(abs, -5).result(DEADLINE) == 5


def test_who_sees_a_task_done_sees_its_units_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its lock hold has not ended: the one in which it gives them back."""
    give_back = Allocating._give_back
    gate, asked = Gate(), Event()
    monkeypatch.setattr(Allocating, "_give_back", lambda *args: gate.enter() or give_back(*args))
    with planned(1) as (_, queue):
        disk = Resource("disk", 1)
        task = queue.options(resources={disk: 1}).submit(int)
        gate.wait_entered()
        assert task.done()
        free = beside(lambda: asked.set() or disk.free)
        assert asked.wait(DEADLINE)
        gate.open()
        assert free.result(DEADLINE) == 1


def test_task_whose_dependency_failed_takes_nothing(lab: Any) -> None:
    _, queue, _, disk, _ = lab
    taking = queue.options(resources={disk: 1})
    failed = queue.submit(fail)
    assert failed.exception(DEADLINE)
    assert taking.submit(abs, failed).exception(DEADLINE) is failed.exception()
    assert disk.free == 3
    assert taking.submit(str, settled(failed)).result(DEADLINE)


def test_several_resources_are_taken_together(lab: Any) -> None:
    _, queue, _, disk, gate = lab
    tape = Resource("tape", 1)
    gate.hold(queue.options(resources={tape: 1}))
    until_lacking(both := queue.options(resources={disk: 2, tape: 1}).submit(abs, -1))
    assert disk.free == 3  # it has none of either
    # A task that needs what it waits for comes after it.
    until_lacking(late := queue.options(resources={disk: 2}).submit(abs, -2))
    assert both.why() == "waiting: lacks 1 of tape: 0 of 1 free, held by Gate#1"
    assert late.why() == "waiting: lacks 2 of disk: 3 of 3 free; 1 task comes first"
    gate.open()
    assert (both.result(DEADLINE), late.result(DEADLINE)) == (1, 2)


def test_reasons_name_all_that_is_lacking_and_who_holds_it(lab: Any) -> None:
    scheduler, queue, _, disk, gate = lab
    tape = Resource("tape", 4)
    dump = queue.options(resources={tape: 1}, name="dump")
    copy = queue.options(resources={disk: 2}, name="copy")
    for number, holder in enumerate([dump, dump, dump, dump, copy], 1):
        holder.submit(gate.enter)
        gate.wait_entered(number)
    both = queue.options(resources={disk: 3, tape: 1}, name="both")
    until_lacking(*(tasks := [both.submit(abs, -number) for number in range(5)]))
    disk_share = "disk: 1 of 3 free, held by copy#5 (2 units)"
    tape_share = "tape: 0 of 4 free, held by dump#1, dump#2, dump#3 and 1 more"
    first = min(tasks, key=lambda task: task.why().count("come"))
    assert first.why() == f"waiting: lacks 3 of {disk_share}; lacks 1 of {tape_share}"
    disk_line, tape_line = scheduler.why().splitlines()[-2:]
    assert disk_line.startswith(f"{disk_share}; 5 tasks lack it: both#")
    assert tape_line.startswith(f"{tape_share}; 5 tasks lack it: both#")
    assert tape_line.endswith(" needs 1 and 2 more")
    gate.open()
    assert [task.result(DEADLINE) for task in tasks] == list(range(5))


def test_names_of_a_class_of_the_users_are_put_into_words_without_it(lab: Any) -> None:
    class Name(str):
        def __format__(self, spec: str) -> str:
            raise AssertionError("user code under the lock")

    _, queue, _, _, gate = lab
    disk = Resource(Name("disk"), 1)
    gate.hold(queue.options(resources={disk: 1}, name=Name("copy")))
    until_lacking(lacking := queue.options(resources={disk: 1}).submit(abs, -1))
    assert lacking.why() == "waiting: lacks 1 of disk: 0 of 1 free, held by copy#1"


def test_wide_request_is_not_starved(lab: Any) -> None:
    """Those that come later, and need less, do not go before it."""
    _, queue, _, disk, _ = lab
    gates = [Gate(), Gate(), Gate()]
    for gate in gates:
        gate.hold(queue.options(resources={disk: 1}))
    ran: list[str] = []
    until_lacking(queue.options(resources={disk: 3}).submit(ran.append, "wide"))
    narrow = [queue.options(resources={disk: 1}).submit(ran.append, "narrow") for _ in range(3)]
    until_lacking(*narrow)
    for gate in gates[:2]:
        gate.open()
    until(lambda: disk.free == 2)
    assert queue.submit(abs, -1).result(DEADLINE) == 1
    assert not ran
    gates[2].open()
    for task in narrow:
        task.result(DEADLINE)
    assert ran == ["wide", "narrow", "narrow", "narrow"]


def test_first_at_one_resource_makes_way_at_another(lab: Any) -> None:
    _, queue, _, disk, gate = lab
    camera, held = Resource("camera", 1), Gate()
    held.hold(queue.options(resources={camera: 1}))
    until_lacking(first := queue.options(resources={camera: 1, disk: 1}).submit(gate.enter))
    until_lacking(second := queue.options(resources={disk: 1}).submit(abs, -2))
    held.open()
    gate.wait_entered()
    assert second.result(DEADLINE) == 2 and first.running()
    gate.open()


def test_granted_task_is_the_next_of_its_queue(lab: Any) -> None:
    scheduler, wide, narrow, disk, gate = lab
    ran: list[str] = []
    own = Gate()
    gate.hold(wide.options(resources={disk: 3}))
    lacking = narrow.options(resources={disk: 1}).submit(ran.append, "lacking")
    until(lambda: narrow.counts()["waiting"] == 1)
    own.hold(narrow)
    others = [narrow.submit(ran.append, "other") for _ in range(3)]
    gate.open()
    until(lambda: lacking._stage == READY)
    assert lacking.why().endswith("is busy, 3 other tasks are ready")
    assert "lack it" not in scheduler.why()
    assert lacking.promote()  # no need
    own.open()
    for task in [lacking, *others]:
        task.result(DEADLINE)
    assert ran == ["lacking", "other", "other", "other"]


# Kept and released.


def test_kept_until_released(lab: Any) -> None:
    scheduler, queue, _, disk, gate = lab
    keeping = queue.options(resources={disk: 3}, hold=True, name="file")
    file = keeping.submit(abs, -1)
    assert file.result(DEADLINE) == 1
    until_lacking(later := keeping.submit(abs, -2))
    why = "waiting: lacks 3 of disk: 0 of 3 free, held by file#1 (3 units, {})".format
    assert later.why() == why("kept: no task releases it")
    releasing = queue.options(release=[file])
    # The one that stays goes first: were it not there as the other ends, that would release the file.
    users = [releasing.submit(gate.enter), releasing.submit(abs, file)]
    gate.wait_entered()
    assert users[1].result(DEADLINE) == 1
    assert later.why() == why("until 1 task has ended")
    assert scheduler.why().splitlines()[-1] == (
        "disk: 0 of 3 free, held by file#1 (3 units, until 1 task has ended); 1 task lacks it: file#2 needs 3"
    )
    gate.open()
    assert later.result(DEADLINE) == 2
    queue.options(release=[file, later]).submit(abs, 1).result(DEADLINE)  # the first has been released
    until(lambda: disk.free == 3)
    assert queue.options(resources={disk: 3}).submit(abs, -3).result(DEADLINE) == 3


@pytest.mark.parametrize("end", ["fails", "is cancelled", "is dropped"])
def test_releaser_that_never_returns_releases(lab: Any, end: str) -> None:
    scheduler, queue, _, disk, _ = lab
    file = queue.options(resources={disk: 3}, hold=True).submit(abs, -1)
    assert file.result(DEADLINE) == 1
    releasing = queue.options(release=[file])
    if end == "fails":
        releasing.submit(fail, file)
    elif end == "is dropped":
        releasing.submit(abs, queue.submit(fail))
    else:
        assert releasing.submit(abs, Future()).cancel()
    assert scheduler.wait(DEADLINE)
    assert disk.free == 3


def test_released_before_it_has_ended(lab: Any) -> None:
    """It gives its units back at its end."""
    _, queue, _, disk, gate = lab
    file = gate.hold(queue.options(resources={disk: 3}, hold=True))
    queue.options(release=[file]).submit(abs, 1).result(DEADLINE)
    assert disk.free == 0
    gate.open()
    until(lambda: disk.free == 3)


def test_what_is_kept_keeps_no_result(lab: Any) -> None:
    _, queue, _, disk, _ = lab
    file = queue.options(resources={disk: 1}, hold=True).submit(Kept)
    gone = weakref.ref(file.result(DEADLINE))
    use = queue.options(release=[file])
    del file
    until(collected(lambda: gone() is None))
    assert disk.free == 2
    use.submit(abs, 1).result(DEADLINE)
    until(lambda: disk.free == 3)


# Beside other things.


def test_queue_in_order_is_held_up() -> None:
    disk = Resource("disk", 1)
    ran: list[int] = []
    with planned(1) as (scheduler, other):
        line = Queue(scheduler, 1, in_order=True)
        file = other.options(resources={disk: 1}, hold=True).submit(abs, 1)
        file.result(DEADLINE)
        line.options(resources={disk: 1}).submit(ran.append, 1)
        line.submit(ran.append, 2)
        assert other.submit(abs, -1).result(DEADLINE) == 1
        until(lambda: line.counts()["waiting"] == 2)
        other.options(release=[file]).submit(abs, 1)
        assert scheduler.wait(DEADLINE)
    assert ran == [1, 2]


def test_queue_on_an_executor() -> None:
    disk = Resource("disk", 1)
    executor = Manual()
    with planned() as (scheduler,):
        queue = Queue(scheduler, 4, executor=executor)
        tasks = [queue.options(resources={disk: 1}).submit(abs, -i) for i in range(3)]
        for _ in tasks:
            executor.wait_for(1)
            assert len(executor.calls) == 1
            executor.run()
        assert sorted(task.result(DEADLINE) for task in tasks) == [0, 1, 2]


def test_ctrl_c_in_a_later_submission_leaves_lines_as_they_were(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler, queue, _, disk, gate = lab
    gate.hold(queue.options(resources={disk: 3}))
    taking = queue.options(resources={disk: 1})
    until_lacking(lacking := taking.submit(abs, -1))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(core_of(scheduler).allocating, "add_allocation", Mock(side_effect=KeyboardInterrupt))
        taking.submit(abs, 1)
    assert "lacks 1 of disk" in lacking.why()
    gate.open()
    assert lacking.result(DEADLINE) == 1
    until(lambda: disk.free == 3)


# Waiting in tasks.


@pytest.mark.parametrize("early", [True, False])
def test_task_waits_for_one_that_lacks_what_others_have(early: bool) -> None:
    """It runs nested what has to give back first: what is there when the wait begins, or comes later."""
    disk = Resource("disk", 1)
    with planned(1, 2) as (_, queue, other):
        gate, ahead = Gate(), Gate()

        def outer() -> Any:
            ahead.enter()
            return queue.options(resources={disk: 1}).submit(abs, -7).result(DEADLINE)

        file = other.options(resources={disk: 1}, hold=True).submit(gate.enter, -1)
        gate.wait_entered()
        lined = other.options(resources={disk: 1}, hold=True).submit(abs, -2)
        until(lambda: disk._waiting)
        task = queue.submit(outer)
        ahead.wait_entered()
        for each in (file, lined) if early else ():
            queue.options(release=[each]).submit(abs, each)  # in the slot of the task that waits
        ahead.open()
        until(lambda: len(disk._waiting) == 2)
        for each in () if early else (file, lined):
            queue.options(release=[each]).submit(abs, each)
        gate.open()
        assert task.result(DEADLINE) == 7


def test_task_that_has_some_of_what_the_one_it_waits_for_needs() -> None:
    """Another has it, too, and may give it back."""
    disk = Resource("disk", 2)
    gate = Gate()
    with planned(3) as (_, queue):
        taking = queue.options(resources={disk: 1})
        gate.hold(taking)
        task = taking.submit(lambda: taking.submit(abs, -1).result(DEADLINE))
        until(lambda: disk._waiting)
        gate.open()
        assert task.result(DEADLINE) == 1


def test_task_is_held_back_after_it_was_met_by_a_search() -> None:
    """The waiting task learns that the other one lacks units now."""
    disk = Resource("disk", 1)
    with planned(1, 1) as (_, queue, other):
        file = queue.options(resources={disk: 1}, hold=True).submit(abs, -1)
        file.result(DEADLINE)
        gate, _ = occupy(other)
        lacking = other.options(resources={disk: 1}).submit(abs, -7)  # ready, but for a slot
        task = queue.submit(lambda lacking: lacking.value.result(DEADLINE), Raw(Raw(lacking)))
        until(lambda: "waits for abs" in task.why())
        gate.open()
        until(lambda: disk._waiting)
        queue.options(release=[file]).submit(abs, 1)  # only who waits can run it
        assert task.result(DEADLINE) == 7


# All together, at random.


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("seed", slow_but(0, range(6)))
def test_random_tasks_never_have_more_than_there_is(seed: int, order: str) -> None:
    random = Random(seed)
    resources = [Resource(f"r{i}", random.randint(1, 4)) for i in range(3)]
    had = dict.fromkeys(resources, 0)
    lock = Lock()
    wrong: list[Any] = []

    def work(amounts: dict[Resource, int], fails: bool, *_: Any) -> int:
        for sign in (1, -1):
            with lock:
                for resource, number in amounts.items():
                    had[resource] += sign * number
                    if had[resource] > resource.n:
                        wrong.append((resource, had[resource]))
        if fails:
            raise ValueError
        return 1

    with planned(3, 1, 2, order=order) as (scheduler, *queues):
        tasks: list[Any] = []
        for _ in range(300):
            chosen = random.sample(resources, random.randint(0, 2))
            amounts = {resource: random.randint(1, resource.n) for resource in chosen}
            needs = random.sample(tasks[-8:], min(len(tasks), random.randint(0, 2)))
            hold = bool(amounts) and random.random() < 0.2
            queue = random.choice(queues)
            task = queue.options(resources=amounts, hold=hold).submit(
                work, Raw(amounts), random.random() < 0.05, *map(settled, needs)
            )
            if hold:
                random.choice(queues).options(release=[task]).submit(abs, 1)
            tasks.append(task)
            if random.random() < 0.1:
                random.choice(tasks[-20:]).cancel()
            if random.random() < 0.05:
                random.choice(tasks[-20:]).promote()
        assert scheduler.wait(DEADLINE), scheduler.why()
        until(lambda: all(resource.free == resource.n for resource in resources))
        assert not wrong
        assert not outside_of(scheduler)
        assert not any(resource._waiting or resource._holders for resource in resources)
