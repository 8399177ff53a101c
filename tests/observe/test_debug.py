"""Scheduler(debug=True): where tasks were submitted, and failures whose exception was not retrieved."""

from __future__ import annotations

import gc
import logging
import re
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from gate import DEADLINE, occupy
from internals import core_of, lock_of
from programs import forks, run
from threads import beside, collected, planned, until

from smqexec import Queue, Scheduler, number_of_results, settled
from smqexec._observe import debug as _debug

UNSEEN = "a task of queue camera failed, and its exception was never retrieved"


def expose() -> Any:
    raise ValueError("no light")


def here() -> int:
    """The line of the caller."""
    return sys._getframe(1).f_lineno


@pytest.fixture
def lab(caplog: pytest.LogCaptureFixture) -> Iterator[tuple[Scheduler, Queue]]:
    with Scheduler(debug=True) as scheduler:
        yield scheduler, Queue(scheduler, 1, "camera")


def unseen(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [record for record in caplog.records if record.getMessage() == UNSEEN]


def test_only_debug_sees_more() -> None:
    with planned(1) as (scheduler, queue):
        assert not core_of(scheduler).observers
        gate, task = occupy(queue)
        assert task._submitted_at is task._since is None
        assert not vars(task)
        assert " for " not in task.why()
        gate.open()


def test_note_says_where_it_was_submitted(lab: Any) -> None:
    _, queue = lab
    task, line = queue.submit(expose), here()
    error: Any = task.exception(DEADLINE)
    assert error.__notes__ == [
        f"raised by task expose#{task._serial} of queue camera, submitted at {__file__}:{line}"
    ]
    mapped, line = queue.map(lambda _: expose(), [1]), here()
    with pytest.raises(ValueError) as caught:
        next(mapped)
    assert caught.value.__notes__[0].endswith(f" of queue camera, submitted at {__file__}:{line}")


def test_why_says_for_how_long_it_has_run(lab: Any) -> None:
    _, queue = lab
    gate, task = occupy(queue)
    assert re.fullmatch(r"running for \d+\.\d s in camera_0", task.why())
    gate.open()


def test_submitted_by_nothing_but_the_package(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, queue = lab
    monkeypatch.setattr(_debug, "_PACKAGE", "")
    assert queue.submit(int)._submitted_at


# Failures.


def test_failure_that_was_not_retrieved_is_logged(lab: Any, caplog: pytest.LogCaptureFixture) -> None:
    scheduler, queue = lab
    task = queue.submit(expose)
    late = queue.submit(abs, task)
    assert scheduler.wait(DEADLINE)
    del task
    assert late.done() and late.origin.done()
    gc.collect()
    assert not unseen(caplog)
    with lock_of(scheduler):  # a finalizer that interrupts the holder of the lock logs nothing itself
        del late
        gc.collect()
    until(collected(lambda: unseen(caplog)))
    (record,) = unseen(caplog)  # once, not for each that failed with it
    assert (record.levelno, record.name) == (logging.ERROR, "smqexec")
    assert record.threadName == "smqexec-elsewhere"
    assert isinstance(record.exc_info[1], ValueError)
    assert record.exc_info[1].__notes__[0].startswith("raised by task expose#")
    until(lambda: not any(thread.name == "smqexec-elsewhere" for thread in threading.enumerate()))


LOOKS: dict[str, Any] = {
    "result": lambda task, queue: beside(task.result, DEADLINE).exception(DEADLINE),
    "exception": lambda task, queue: task.exception(DEADLINE),
    "of a dependent": lambda task, queue: queue.submit(abs, task).exception(DEADLINE),
    "of one that was added later": lambda task, queue: [
        queue.scheduler.wait(DEADLINE),
        queue.submit(abs, task).exception(DEADLINE),
    ],
    "of a part": lambda task, queue: task[0].exception(DEADLINE),
    "of an ended part": lambda task, queue: [queue.scheduler.wait(DEADLINE), task[0].exception(DEADLINE)],
    "settled": lambda task, queue: queue.submit(lambda f: f.exception(), settled(task)).result(DEADLINE),
    "a callback": lambda task, queue: task.add_done_callback(lambda f: f.exception()),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_failure_that_was_retrieved_is_not(lab: Any, caplog: pytest.LogCaptureFixture, look: Any) -> None:
    scheduler, queue = lab
    task = queue.submit(expose)
    look(task, queue)
    assert scheduler.wait(DEADLINE)
    del task
    gc.collect()
    # The report of a later failure comes after this one's.
    queue.submit(expose)
    assert scheduler.wait(DEADLINE)
    gc.collect()
    until(collected(lambda: unseen(caplog)))
    assert len(unseen(caplog)) == 1


def test_failure_handed_on_to_another_scheduler(lab: Any, caplog: pytest.LogCaptureFixture) -> None:
    scheduler, queue = lab
    for look in (False, True):
        with planned(1) as (_, other):
            task = queue.submit(expose)
            late = other.submit(abs, task)
            until(late.done)
            assert scheduler.wait(DEADLINE)
            del task
            gc.collect()
            assert not unseen(caplog)
            if look:
                assert late.exception()
            del late
        gc.collect()
        if not look:
            until(collected(lambda: unseen(caplog)))
            caplog.clear()
    assert not unseen(caplog)


def test_announcement_that_failed_is_retrieved_by_len(lab: Any, caplog: pytest.LogCaptureFixture) -> None:
    _, queue = lab
    announced: Any = number_of_results(lambda: 1 // 0)(lambda: iter([1]))
    task = queue.submit(announced)
    with pytest.raises(ZeroDivisionError):
        len(task)
    del task
    gc.collect()
    assert not unseen(caplog)


def test_report_for_which_there_is_no_thread(
    lab: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left out; the next is logged."""
    scheduler, queue = lab
    refused: list[Any] = []

    def refuse(*call: Any) -> None:
        refused.append(call)
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(_debug, "start_new_thread", refuse)
        queue.submit(expose)
        assert scheduler.wait(DEADLINE)
        until(collected(lambda: refused))
    assert not unseen(caplog)
    queue.submit(expose)
    assert scheduler.wait(DEADLINE)
    until(collected(lambda: len(unseen(caplog)) == 1))


def test_end_of_the_process(lab: Any, caplog: pytest.LogCaptureFixture) -> None:
    scheduler, queue = lab
    tasks = [queue.submit(expose), queue.submit(expose)]
    assert tasks[0].exception(DEADLINE)
    assert scheduler.wait(DEADLINE)
    for _ in range(2):
        _debug._at_exit()
        assert len(unseen(caplog)) == 1


@forks
def test_end_of_the_program() -> None:
    """Each failure that lives is logged once; a child of a fork leaves all to the parent."""
    outcome = run(
        """
        def expose():
            raise ValueError("no light")
        task = Queue(Scheduler(debug=True), 1, "camera").submit(expose)
        until(task.done)
        in_child(int)
        """
    )
    assert outcome.errors.startswith(UNSEEN)
    assert outcome.errors.count("ValueError: no light") == 1
    assert "submitted at <string>:" in outcome.errors
