"""Bluesky: a plan runs as a generator task, and its documents are items while it runs."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import pytest
from gate import DEADLINE, Gate

from clients.conftest import need
from smqexec import Queue, Scheduler

pytestmark = pytest.mark.filterwarnings("ignore")

POINTS = [0.5, 1.5, 2.5, 3.5]

Documents = Generator[tuple[str, Any], None, None]


def documents(plan: Iterator[Any]) -> Documents:
    """Do what the messages of *plan* say, and yield its documents as they come, as a RunEngine emits them."""
    descriptor: Any = None
    reading: dict[str, Any] = {}
    for message in plan:
        if message.command in {"set", "trigger"}:
            getattr(message.obj, message.command)(*message.args).wait(DEADLINE)
        elif message.command == "open_run":
            run = need("event_model").compose_run(metadata=message.kwargs)
            yield "start", run.start_doc
        elif message.command == "read":
            reading.update(message.obj.read())
            if descriptor is None:
                descriptor = run.compose_descriptor(name="primary", data_keys=message.obj.describe())
                yield "descriptor", descriptor.descriptor_doc
        elif message.command == "save":
            data, times = ({key: got[k] for key, got in reading.items()} for k in ("value", "timestamp"))
            yield "event", descriptor.compose_event(data=data, timestamps=times)
        elif message.command == "close_run":
            yield "stop", run.compose_stop()


class Scan:
    """A scan over simulated devices, by Bluesky's own plan; it stays in *gate* before its third point."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.motor = need("ophyd.sim").SynAxis(name="motor")

    def point(self, detectors: Any, motor: Any, step: float) -> Iterator[Any]:
        if step == POINTS[2]:
            self.gate.enter()
        return need("bluesky.plan_stubs").one_1d_step(detectors, motor, step)

    def plan(self) -> Iterator[Any]:
        return need("bluesky.plans").list_scan([self.motor], self.motor, POINTS, per_step=self.point)

    def run(self) -> Documents:
        """Take all points, and ramp down at the end."""
        try:
            yield from documents(self.plan())
        finally:
            self.motor.set(0.0).wait(DEADLINE)


def value_of(document: tuple[str, Any]) -> tuple[int, float]:
    return document[1]["seq_num"], document[1]["data"]["motor"]


def names(documents: list[tuple[str, Any]]) -> list[str]:
    return [name for name, _ in documents]


def test_each_point_comes_once_and_in_order_while_the_plan_runs() -> None:
    scan = Scan()
    with Scheduler() as scheduler:
        instrument, analysis = Queue(scheduler, 1), Queue(scheduler, 2)
        plan = instrument.submit(scan.run)
        values = [analysis.submit(value_of, plan[2 + number]) for number in range(len(POINTS))]
        assert [value.result(DEADLINE) for value in values[:2]] == [(1, 0.5), (2, 1.5)]
        scan.gate.wait_entered()
        assert not plan.done()
        scan.gate.open()
        assert [value.result(DEADLINE) for value in values] == list(enumerate(POINTS, 1))
    assert names(plan.result()) == ["start", "descriptor", *["event"] * len(POINTS), "stop"]
    assert scan.motor.position == 0.0


def test_a_plan_pauses_between_points_and_goes_on() -> None:
    scan = Scan()
    with Scheduler() as scheduler:
        plan = Queue(scheduler, 1).submit(scan.run)
        scan.gate.wait_entered()
        scheduler.stop()
        scan.gate.open()
        scheduler.stop(wait=True)  # returns when the plan holds at its next yield
        assert scan.motor.position == POINTS[2]
        scheduler.resume()
        scheduler.resume()
        assert [value_of(document) for document in plan.result(DEADLINE)[2:-1]] == list(enumerate(POINTS, 1))


def test_a_cancelled_plan_ramps_down() -> None:
    scan = Scan()
    with Scheduler() as scheduler:
        plan = Queue(scheduler, 1).submit(scan.run)
        scan.gate.wait_entered()
        plan.cancel()
        scan.gate.open()
    assert plan.cancelled()
    assert scan.motor.position == 0.0


def test_a_real_plan_runs_in_the_run_engine() -> None:
    bluesky = need("bluesky")
    seen: list[tuple[str, Any]] = []
    scan = Scan()
    scan.gate.open()
    with Queue(1) as queue:
        engine = bluesky.RunEngine({}, context_managers=[])
        queue.submit(engine, scan.plan(), lambda *document: seen.append(document)).result(6 * DEADLINE)
    assert names(seen) == ["start", "descriptor", *["event"] * len(POINTS), "stop"]
