"""Recordings of real schedulers in real files, and how programs with a recording end."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from operator import add
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
from engines import manual
from gate import DEADLINE, Gate
from generating import Fed, count
from internals import core_of
from outcomes import fail, outcome
from programs import forks, run
from threads import beside, planned, until, until_gone
from traces import check_format

import smqexec
from smqexec import Event, Queue
from smqexec._observe.events import new_scheduler_hooks
from smqexec._observe.trace import write as _recorder
from smqexec._observe.trace.read import read
from smqexec.trace import Recording, record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.json"


def test_small_run(path: Path) -> None:
    with planned(stopped=True) as (scheduler,), record(scheduler, path) as recording:
        disk, cpu = Queue(scheduler, 1, "disk"), Queue(scheduler, 2, "cpu")
        one = disk.submit(add, 1, 2)
        two = disk.options(name="the second").submit(add, one, 2)
        both = cpu.submit(add, one, two)
        items = cpu.submit(count, 2)
        failed = cpu.submit(fail, items[1])
        never = cpu.submit(add, failed, 1)
        scheduler.resume()
        assert scheduler.wait(DEADLINE)
        scheduler.stop()
        recording.close()
    assert (both.result(), never.exception()) == (8, failed.exception())
    assert recording.path == str(path)
    trace = read(path)
    first = min(task.number for task in trace.tasks)
    seen = {task.number - first: task for task in trace.tasks}
    facts = [(seen[n].name, seen[n].queue.name, seen[n].outcome, seen[n].thread > 0) for n in range(6)]
    assert facts == [
        ("add", "disk", "done", True),
        ("the second", "disk", "done", True),
        ("add", "cpu", "done", True),
        ("count", "cpu", "done", True),
        ("fail", "cpu", "failed", True),
        ("add", "cpu", "failed", False),
    ]
    needs = [[number - first for number in seen[n].dependencies] for n in range(6)]
    assert needs == [[], [0], [0, 1], [], [3], [4]]
    assert sorted(queue[1:] for queue in trace.queues.values()) == [("cpu", 2), ("disk", 1)]
    assert [number - first for _, number in trace.items] == [3, 3]
    assert [name for _, name in trace.marks] == ["resume", "stop"]
    assert trace.facts["version"] == smqexec.__version__
    assert (trace.whole, trace.damaged) == (True, 0)
    for task in seen.values():
        assert task.submitted is not None and task.submitted <= task.start <= task.end
    check_format(json.loads(path.read_bytes()))


def test_queue_of_another_executor_has_a_row_for_each_slot(path: Path) -> None:
    gate = Gate()
    with ThreadPoolExecutor(4) as pool, planned() as (scheduler,), record(scheduler, path):
        queue = Queue(scheduler, 3, executor=pool, prefetch=3)
        tasks = [queue.submit(gate) for _ in range(3)]
        gate.wait_entered(3)
        gate.open()
        assert [task.result(DEADLINE) for task in tasks] == [None] * 3
        assert scheduler.wait(DEADLINE)
    trace = read(path)
    assert sorted(task.thread for task in trace.tasks) == [1, 2, 3]
    assert [queue.slots for queue in trace.queues.values()] == [3], "a prefetched call has no slot"
    check_format(json.loads(path.read_bytes()))


def test_what_was_there_before_is_in_it(path: Path) -> None:
    gate = Gate()
    with planned(1) as (scheduler, queue):
        running = gate.hold(queue)
        pending = queue.submit(add, running, 1)
        dropped = queue.submit(add, pending, 1)
        with record(scheduler, path):
            dropped.cancel()
            gate.open()
            pending.exception(DEADLINE)
            assert scheduler.wait(DEADLINE)
    tasks = sorted(read(path).tasks, key=lambda task: task.start)
    assert [(task.name, task.submitted, task.outcome, task.thread) for task in tasks] == [
        ("Gate", None, "done", 1),
        ("add", None, "cancelled", 0),
        ("add", None, "failed", 1),
    ]
    numbers = {"running": tasks[0].number, "pending": tasks[2].number}
    assert tasks[2].dependencies == (numbers["running"],)
    assert tasks[1].dependencies == (numbers["pending"],)


def test_what_ends_while_the_recording_begins(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()

    def slow(task: Any) -> str:
        gate.open()
        until(task.done)
        return "slow"

    monkeypatch.setattr(_recorder, "label_of", slow)
    with planned(1) as (scheduler, queue):
        gate.hold(queue)
        with record(scheduler, path):
            assert scheduler.wait(DEADLINE)
    [task] = read(path).tasks
    assert task.start <= task.end


@pytest.mark.parametrize("fn", [abs, fail, count, Fed(ValueError("no frame"))])
def test_recording_that_begins_within_the_report_of_an_end(path: Path, fn: Any) -> None:
    gate = Gate()

    def hold(event: Event) -> None:
        if event.kind == "end":
            gate.enter()

    with planned(1) as (scheduler, queue), scheduler.observe(hold) as observation:
        ending = queue.submit(fn, 1)
        gate.wait_entered()
        with record(scheduler, path):
            observation.close()
            gate.open()
            outcome(ending)
            queue.submit(add, 1, 2).result(DEADLINE)
    assert [(task.name, task.outcome) for task in read(path).tasks] == [("add", "done")]


def test_recording_that_begins_while_a_value_is_fetched_for_an_executor(path: Path) -> None:
    gate = Gate()

    class Remote(Future[int]):
        def result(self, timeout: float | None = None) -> int:
            gate.enter()
            return super().result(timeout)

    value = Remote()
    value.set_result(-1)
    with manual(1) as (scheduler, executor, queue):
        submitted = beside(queue.submit, abs, value)
        gate.wait_entered()
        with record(scheduler, path):
            gate.open()
            executor.wait_for(1)
            executor.run()
            assert submitted.result(DEADLINE).result(DEADLINE) == 1
    assert [(task.name, task.outcome) for task in read(path).tasks] == [("abs", "done")]


def test_two_recordings_at_once(tmp_path: Path) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    with planned(1) as (scheduler, queue), record(scheduler, one):
        queue.submit(add, 1, 2).result(DEADLINE)
        with record(scheduler, two):
            queue.submit(add, 3, 4).result(DEADLINE)
        queue.submit(add, 3, 4).result(DEADLINE)
    assert [len(read(each).tasks) for each in (one, two)] == [3, 1]
    assert read(one).tasks[1].number == read(two).tasks[0].number


def test_one_file_is_written_by_one_recording(path: Path) -> None:
    with planned() as (scheduler,):
        for same in (path.parent / "." / path.name, os.fsencode(path)):
            with (
                record(scheduler, path),
                pytest.raises(ValueError, match="being written by another recording"),
            ):
                record(scheduler, same)  # type: ignore[arg-type]
        record(scheduler, path).close()  # again, now that it is closed


def test_wrong_arguments(tmp_path: Path) -> None:
    with planned(1) as (scheduler, queue):
        with pytest.raises(TypeError, match=r"record takes a Scheduler, such as queue.scheduler"):
            record(queue, tmp_path / "run.json")
        with pytest.raises(IsADirectoryError):
            record(scheduler, tmp_path)
        for missing in (tmp_path / "none" / "run.json", ""):
            with pytest.raises(FileNotFoundError):
                record(scheduler, missing)
        assert core_of(scheduler).observers == ()
    assert list(tmp_path.iterdir()) == []
    assert _recorder._recordings == {}


def test_no_thread_for_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with planned() as (scheduler,):
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            path.write_text("an earlier run")
            with pytest.raises(RuntimeError, match="can't start"):
                record(scheduler, path)
            assert not path.read_text(), "a program that is killed at once would show the earlier run"
        assert core_of(scheduler).observers == ()
        record(scheduler, path).close()


def test_closing_twice_and_from_two_threads(path: Path) -> None:
    with planned() as (scheduler,):
        recording = record(scheduler, path)
        for closing in [beside(recording.close) for _ in range(4)]:
            closing.result(DEADLINE)
        recording.watch(scheduler)
        assert core_of(scheduler).observers == ()
    assert read(path).whole


class Full(io.FileIO):
    """A file on a disk that is full."""

    def write(self, text: Any) -> int:
        raise OSError(28, "No space left on device")


class Piecemeal(io.FileIO):
    """A file that takes a few bytes at a time."""

    def write(self, text: Any) -> int:
        return super().write(text[:7])


def open_as(file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_recorder, "open", lambda path, mode, **_: file(path, mode), raising=False)


@pytest.mark.parametrize("late", [False, True])
def test_full_disk_ends_the_recording(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    open_as(Full, monkeypatch)
    with planned(1) as (scheduler, queue):
        recording = record(scheduler, path)
        if not late:
            assert queue.submit(add, 1, 2).result(DEADLINE) == 3
            until(lambda: core_of(scheduler).observers == ())
            recording.watch(scheduler)
            assert core_of(scheduler).observers == ()
            assert queue.submit(add, 1, 2).result(DEADLINE) == 3
        recording.close()
    [logged] = [entry for entry in caplog.records if entry.levelno == logging.ERROR]
    assert f"the trace {path} ends here" in logged.message


def test_what_cannot_be_written_at_once_is_written_in_parts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_as(Piecemeal, monkeypatch)
    with planned(1) as (scheduler, queue), record(scheduler, path):
        queue.submit(add, 1, 2).result(DEADLINE)
    assert len(read(path).tasks) == 1


def test_notes_that_pile_up_are_made_slowly(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the thread that writes gets its turn."""
    paused: list[float] = []
    monkeypatch.setattr(_recorder, "BACKLOG", 2)
    monkeypatch.setattr(_recorder, "sleep", paused.append)
    with planned(1) as (scheduler, queue), record(scheduler, path) as recording, recording._lock:
        queue.submit(add, 1, 2).result(DEADLINE)
    assert paused == [_recorder.PAUSE]
    assert len(read(path).tasks) == 1


def test_finalizer_that_ends_tasks_in_the_middle_of_a_write_waits_for_nobody(path: Path) -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        pending = queue.submit(add, 1, 2)
        with record(scheduler, path) as recording, recording._lock:
            pending.cancel()  # as from a finalizer, in the thread that writes
    assert [task.outcome for task in read(path).tasks] == ["cancelled"]


def test_no_object_of_the_user_is_kept(path: Path) -> None:
    class Thing:
        def __call__(self, *args: Any) -> Any:
            return Thing()

    with planned(1) as (scheduler, queue), record(scheduler, path) as recording, recording._lock:
        # Nothing is written now.
        thing = Thing()
        task = queue.submit(thing, thing)
        gone = [ref(thing), ref(task), ref(task.result(DEADLINE))]
        queue.shutdown()  # and its thread has ended: it owned the result
        del thing, task
        until_gone(*gone)


# The end of the program, and its environment.


@pytest.fixture
def traced(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of programs that this one starts."""
    monkeypatch.setenv("SMQEXEC_TRACE", os.path.relpath(path))
    return path


def test_environment_variable_records_all_schedulers(traced: Path) -> None:
    outcome = run(
        """
        assert "SMQEXEC_TRACE" not in os.environ
        os.chdir("/")
        with Queue(1, "alone") as queue:
            one = queue.submit(int)
        Queue(Scheduler(), 2, "more").submit(abs, one)
        # It is left to the end of the program to wait.
        """
    )
    assert outcome.errors == ""
    trace = read(traced)
    assert [queue[:2] for queue in trace.queues.values()] == [(1, "alone"), (2, "more")]
    assert [(task.queue.pid, task.outcome) for task in trace.tasks] == [(1, "done"), (2, "done")]
    assert trace.whole and not trace.damaged
    # The command line shows the file that the variable names, and leaves it as it is.
    command = [sys.executable, "-W", "error", "-m", "smqexec.trace", str(traced), "--text"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 tasks in " in done.stdout
    assert len(read(traced).tasks) == 2


def test_environment_variable_that_names_no_file_is_named(
    traced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMQEXEC_TRACE", str(traced / "none"))
    errors = run("", code=1).errors
    assert 'os.environ.pop("SMQEXEC_TRACE")' in errors and "FileNotFoundError" in errors


def test_import_stays_light() -> None:
    heavy = ("json", "rich", "smqexec._observe.trace.write")
    code = f"import smqexec, sys; print([m for m in {heavy} if m in sys.modules])"
    environment = {name: value for name, value in os.environ.items() if name != "SMQEXEC_TRACE"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal here")
def test_killed_program_leaves_a_file_that_can_be_read(traced: Path) -> None:
    """It is written as it goes; the beginning of what hangs, once that has run for long."""
    run(
        f"""
        queue = Queue(2)
        for n in range(500):
            queue.submit(int)
        queue.scheduler.wait()
        queue.submit(threading.Event().wait)
        until(lambda: b"Event.wait" in open({str(traced)!r}, "rb").read(), 0.01)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        code=-signal.SIGKILL,
    )
    trace = read(traced)
    assert len(trace.tasks) == 501 and not trace.whole and trace.damaged == 0
    assert [task.name for task in trace.tasks if task.outcome == "running"] == ["Event.wait"]


@forks
def test_child_of_a_fork_writes_nothing(traced: Path) -> None:
    outcome = run(
        """
        queue = Queue(1)
        queue.submit(int).result()

        def main():
            with Queue(1) as other:
                other.submit(int).result()
                assert not core_of(other).observers

        with smqexec.trace.record(queue.scheduler, os.devnull):
            say(in_child(main))
        queue.submit(int).result()
        """
    )
    assert (outcome.lines, outcome.errors) == (["0"], "")
    trace = read(traced)
    assert len(trace.tasks) == 2 and trace.whole and not trace.damaged and len(trace.queues) == 1


# The same, in this process: what the others do is seen by no measure of coverage.


def test_everything(path: Path) -> None:
    recording = Recording(path)
    assert path.read_bytes() == b""
    new_scheduler_hooks.append(recording.watch)
    for _ in range(2):
        with Queue(1) as queue:
            queue.submit(add, 1, 2)
    recording.close()
    new_scheduler_hooks.pop()
    assert [(task.queue.pid, task.outcome) for task in read(path).tasks] == [(1, "done"), (2, "done")]


def test_package_has_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(smqexec, "trace")  # as if it had never been imported
    assert smqexec.trace.record is record
    with pytest.raises(AttributeError, match="has no attribute 'traces'"):
        smqexec.traces  # type: ignore[attr-defined]  # noqa: B018
