"""Bluesky: a plan runs as a generator task, and its documents are items while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from gate import DEADLINE, Gate

from clients.conftest import need
from smqexec import Queue, Scheduler

pytestmark = pytest.mark.filterwarnings("ignore")


class Motor:
    """An instrument that a plan can set and read."""

    name = "motor"
    parent = None

    def __init__(self) -> None:
        self.position = 0.0
        self.ramped_down = False

    def read(self) -> dict[str, Any]:
        return {"motor": {"value": self.position, "timestamp": 0.0}}


def scan(motor: Motor, points: list[float], gate: Gate) -> Iterator[Any]:
    """Set and read at each point; one message a point, in Bluesky's own form; ramp down at the end."""
    message = need("bluesky").Msg
    try:
        for number, point in enumerate(points):
            if number == 2:
                gate.enter()
            motor.position = point
            yield message("read", motor, reading=motor.read(), seq_num=number + 1)
    finally:
        motor.position = 0.0
        motor.ramped_down = True


def test_each_point_comes_once_and_in_order_while_the_plan_runs() -> None:
    need("bluesky")
    motor, gate, points = Motor(), Gate(), [0.5, 1.5, 2.5, 3.5]
    with Scheduler() as scheduler:
        instrument, analysis = Queue(scheduler, 1), Queue(scheduler, 2)
        plan = instrument.submit(scan, motor, points, gate)
        values = [analysis.submit(value_of, plan[number]) for number in range(len(points))]
        assert [value.result(DEADLINE) for value in values[:2]] == [(1, 0.5), (2, 1.5)]
        gate.wait_entered()
        assert not plan.done()
        gate.open()
        assert [value.result(DEADLINE) for value in values] == list(enumerate(points, 1))
    assert motor.ramped_down


def test_a_plan_pauses_between_points_and_goes_on() -> None:
    need("bluesky")
    motor, gate, points = Motor(), Gate(), [1.0, 2.0, 3.0, 4.0]
    with Scheduler() as scheduler:
        plan = Queue(scheduler, 1).submit(scan, motor, points, gate)
        gate.wait_entered()
        scheduler.stop()
        gate.open()
        scheduler.stop(wait=True)  # returns when the plan holds at its next yield
        assert motor.position == 3.0
        scheduler.resume()
        scheduler.resume()
        assert [message.kwargs["seq_num"] for message in plan.result(DEADLINE)] == [1, 2, 3, 4]


def test_a_cancelled_plan_ramps_down() -> None:
    need("bluesky")
    motor, gate = Motor(), Gate()
    with Scheduler() as scheduler:
        plan = Queue(scheduler, 1).submit(scan, motor, [1.0, 2.0, 3.0, 4.0], gate)
        gate.wait_entered()
        plan.cancel()
        gate.open()
    assert plan.cancelled()
    assert motor.ramped_down
    assert motor.position == 0.0


def test_a_real_plan_runs_in_the_run_engine() -> None:
    bluesky = need("bluesky")
    plans = need("bluesky.plans")
    sim = need("ophyd.sim")
    documents: list[str] = []
    with Queue(1) as queue:
        engine = bluesky.RunEngine({}, context_managers=[])
        plan = plans.scan([sim.det], sim.motor, 0, 1, 3)
        queue.submit(engine, plan, lambda name, document: documents.append(name)).result(6 * DEADLINE)
    assert documents == ["start", "descriptor", "event", "event", "event", "stop"]


def value_of(message: Any) -> tuple[int, float]:
    return message.kwargs["seq_num"], message.kwargs["reading"]["motor"]["value"]
