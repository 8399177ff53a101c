"""Progress: what is counted, in which words, and where it is shown."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import threading
import types
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any
from weakref import ref

import pytest
from gate import DEADLINE, occupy
from internals import core_of, state_of, states_of
from threads import planned, until, until_gone

from smqexec import Queue, Scheduler, progress
from smqexec._observe import progress as _progress
from smqexec._observe.progress import statistics
from smqexec._observe.progress.statistics import Reading, Statistics, duration

NEVER = 1e6  # seconds


class Clock:
    """Time stands still until a test changes it."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(statistics, "clock", clock := Clock())
    return clock


@pytest.fixture
def queues() -> Iterator[Any]:
    with planned() as (scheduler,):
        yield scheduler, Queue(scheduler, 1, "camera"), Queue(scheduler, 2, "analysis")


def settle(queue: Queue, good: int = 0, bad: int = 0) -> None:
    """Let so many tasks succeed, and so many fail."""
    tasks = [queue.submit(int, text) for text in ["1"] * good + ["x"] * bad]
    for task in tasks:
        task.exception(DEADLINE)
    assert queue.scheduler.wait(DEADLINE)  # all counts are right


# -- What is counted


def test_counts_since_it_was_made(clock: Clock, queues: Any) -> None:
    scheduler, camera, analysis = queues
    settle(camera, 2, 1)
    scheduler.stop()
    assert Statistics(core_of(scheduler)).read() == [], "what has ended does not count"
    before = camera.submit(int)
    statistics = Statistics(core_of(scheduler))
    analysis.submit(int, before)
    camera.submit(int)
    assert [reading[:6] for reading in statistics.read()] == [
        ("camera", 0, 2, 0, 0, 0),
        ("analysis", 0, 1, 0, 0, 0),
    ]
    before.cancel()
    scheduler.resume()
    settle(camera, 3, 2)
    assert [reading[:6] for reading in statistics.read()] == [
        ("camera", 7, 7, 0, 2, 1),
        ("analysis", 1, 1, 0, 0, 1),
    ]


def test_a_queue_made_later(clock: Clock) -> None:
    with planned() as (scheduler,):
        statistics = Statistics(core_of(scheduler))
        clock.now += 100
        assert statistics.read() == []
        queue = Queue(scheduler, 1, "late")
        settle(queue, 4)
        scheduler.stop()
        queue.submit(int)
        clock.now += 2
        (reading,) = statistics.read()
    assert reading == Reading("late", 4, 5, 0, 0, 0, 2.0), "four in two seconds"
    assert reading.remaining() == "0:00 left"


def test_a_queue_that_was_lost_stays() -> None:
    with planned() as (scheduler,):
        queue = Queue(scheduler, 1, "lost")
        statistics = Statistics(core_of(scheduler))
        settle(queue, 3)
        slots = state_of(queue)
        gone = ref(queue)
        del queue
        until_gone(gone)
        until(lambda: not slots.workers)
        Queue(scheduler, 1, "next")
        assert slots not in states_of(scheduler)
        assert [reading[:3] for reading in statistics.read()] == [("lost", 3, 3)]


SLOW = [(t, t) for t in range(1, 101)]
FAST = [(100 + t, 100 + 10 * t) for t in range(1, 61)]
RATES: dict[str, tuple[Any, dict[int, float]]] = {
    "from the beginning": (
        [(0, 0), (10, 0), (10, 20), (20, 20), (20, 60)],
        {0: 0, 1: 0, 2: 2, 3: 1, 4: 3},
    ),
    "of the window; after half of it, of both": ([*SLOW, *FAST], {50: 1, 99: 1, 114: 5.5, 130: 10, 159: 10}),
    "of few, farther back: five in 500 s, or in 599": (
        [(t, t // 100) for t in range(1, 1201)],
        {-1: 0.01, -2: 0.008},
    ),
    "anew, after a rest": ([(10, 100), (1000, -200), (2000, -200), (2010, 220)], {0: 10, 1: 0, 2: 0, 3: 2}),
}


@pytest.mark.parametrize(("samples", "rates"), RATES.values(), ids=RATES.keys())
def test_rate(samples: Any, rates: dict[int, float]) -> None:
    """The rates at these times, when so many tasks had ended; a negative sum: and none are left."""
    history = statistics._History(0, {})
    found = [history.rate(now, abs(ended), ended >= 0) for now, ended in samples]
    assert {n: round(found[n], 3) for n in rates} == pytest.approx(rates)


# -- Words


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (0, ""), (12345.6, "12,346/s"), (10, "10/s"), (9.96, "10.0/s"), (1, "1.0/s"),
        (0.5, "30/min"), (0.02, "1.2/min"), (0.01, "36/h"), (1e-4, ""),
    ],
)  # fmt: skip
def test_paces(rate: float, words: str) -> None:
    assert Reading("", 0, 0, 0, 0, 0, rate).pace() == words


def test_durations() -> None:
    seconds = (0, 59.4, 59.6, 3599.4, 3600, 360_000)
    assert [*map(duration, seconds)] == ["0:00", "0:59", "1:00", "59:59", "1:00:00", "100:00:00"]


# -- In a file


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Clock:
    """No line but the last."""
    monkeypatch.setattr(_progress, "INTERVAL", NEVER)
    return clock


def test_two_blocks_one_after_the_other_and_one_of_a_queue(still: Clock, queues: Any) -> None:
    scheduler, camera, analysis = queues
    file, alone = io.StringIO(), io.StringIO()
    with progress(scheduler, file=file), progress(analysis, file=alone):
        settle(camera, 1200)
        settle(analysis, 1, 2)
        still.now += 75
        assert file.getvalue() == ""
    with progress(scheduler, file=file):
        settle(camera, 2)
        gate, _ = occupy(camera)
        for _ in range(3):
            analysis.submit(int, camera.submit(int)).cancel()
        scheduler.stop()
        still.now += 4
    gate.open()
    assert file.getvalue().splitlines() == [
        "smqexec, 1:15: camera 1,200 of 1,200; analysis 3 of 3, 2 failed",
        "smqexec, 0:04: camera 2 of 6, 1 running, 30/min, 0:08 left; analysis 3 of 3, 3 cancelled; stopped",
    ]
    assert alone.getvalue() == "smqexec, 1:15: analysis 3 of 3, 2 failed\n"


def test_lines_in_between(clock: Clock, monkeypatch: pytest.MonkeyPatch, queues: Any) -> None:
    monkeypatch.setattr(_progress, "INTERVAL", 0.001)
    file = io.StringIO()
    with progress(queues[0], file=file):
        until(lambda: file.getvalue().count("\n") >= 3)
    assert set(file.getvalue().splitlines()) == {"smqexec, 0:00: no tasks"}
    assert not [thread for thread in threading.enumerate() if thread.name == "smqexec-progress"]


def test_a_file_that_can_not_show_a_name(still: Clock) -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    with planned() as (scheduler,), progress(scheduler, file=file):
        settle(Queue(scheduler, 1, "r\u00f6ntgen\x1b[2J\n"), 1)
    assert raw.getvalue() == rb"smqexec, 0:00: r\xf6ntgen\x1b[2J\n 1 of 1" + b"\n"


def test_a_program_without_a_console(
    still: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with progress(Scheduler()):
        pass
    assert caplog.records == []


@pytest.mark.parametrize("late", [False, True])
def test_a_file_that_fails_is_logged_once(
    late: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_progress, "INTERVAL", NEVER if late else 0.001)
    file, before = io.StringIO(), threading.active_count()
    with pytest.raises(KeyError), progress(Scheduler(), file=file):
        file.close()
        if not late:
            until(lambda: caplog.records and threading.active_count() == before)
        raise KeyError
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("smqexec", logging.WARNING)
    assert "progress can't be shown" in record.message


@pytest.mark.parametrize("wrong", [None, 4, Future(), Scheduler])
def test_wrong_arguments(wrong: Any) -> None:
    """At the call, not only where its block begins."""
    with pytest.raises(TypeError, match="progress shows a Scheduler or a Queue, not"):
        progress(wrong)
    with pytest.raises(TypeError, match=r"file must be open for writing text, not 'run\.log'"):
        progress(Scheduler(), file="run.log")  # type: ignore[arg-type]


def test_it_rests_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an update that took long the pause is longer."""
    now = 0.0
    took = iter([0.001, 0.1, 0.25, 0.0])
    pauses: list[float] = []

    class Ended:
        def wait(self, timeout: float) -> bool:
            pauses.append(timeout)
            return len(pauses) == 5

    def update() -> None:
        nonlocal now
        now += next(took)

    monkeypatch.setattr(_progress, "time", types.SimpleNamespace(thread_time=lambda: now))
    _progress._show(Ended(), update, 0.1, lambda: None)  # type: ignore[arg-type]
    assert pauses == pytest.approx([0.1, 0.1, 1.9, 4.75, 0.1])


# -- On a terminal


class Terminal(io.StringIO):
    """Looks like one."""

    closing: Any = False  # or True, or "once"

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.closing:
            self.closing = self.closing is True
            raise OSError("the terminal is gone")
        return super().write(text)

    def last(self) -> list[str]:
        """The lines that were drawn last, words alone."""
        text = re.sub(r"\x1b\[[0-9;]*m", "", self.getvalue())
        lines = [line for line in re.split(r"[\r\n]|\x1b\[[?0-9]*[A-Za-z]", text) if line.strip()]
        return [" ".join(re.sub(r"[━╸╺-]{2,}[━╸╺ -]*", " ", line).split()) for line in lines]


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Any:
    """The module, with time that stands still, and a terminal of 100 columns."""
    pytest.importorskip("rich", reason="needs rich")
    from smqexec._observe.progress import bars as _bars

    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(_bars, "INTERVAL", NEVER)
    monkeypatch.setattr(_bars, "NOTEBOOK_INTERVAL", NEVER)
    yield _bars
    assert not _bars._taken


def test_bars(bars: Any, clock: Clock, queues: Any) -> None:
    scheduler, camera, analysis = queues
    with progress(scheduler, file=(terminal := Terminal())):
        settle(camera, 30)
        settle(analysis, 3, 2)
        gate, _ = occupy(camera)
        for _ in range(4):
            camera.submit(int)
        analysis.submit(int, camera.submit(int)).cancel()
        clock.now += 3
    assert terminal.last()[-2:] == [
        "camera 30 of 36 1 running 10/s 0:01 left",
        "analysis 6 of 6 2 failed 1 cancelled",
    ]
    assert "\x1b[1;31m2 failed" in terminal.getvalue(), "in red, and in a word"
    assert terminal.getvalue().endswith("\x1b[?25h"), "the cursor is there again"
    with progress(scheduler, file=terminal):
        scheduler.stop()
    assert terminal.last()[-1] == "camera 0 of 6 1 running stopped"
    gate.open()


def test_two_at_once_on_one_terminal(
    bars: Any, still: Clock, monkeypatch: pytest.MonkeyPatch, queues: Any
) -> None:
    """The second gets lines, above the bars."""
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    scheduler, one, two = queues
    with progress(scheduler):
        settle(one, 1)
        with progress(two):
            settle(two, 2)
    assert "smqexec, 0:00: analysis 2 of 2" in terminal.last()
    assert terminal.last()[-2:] == ["camera 1 of 1", "analysis 2 of 2"]
    assert terminal.getvalue().count("\x1b[?25l") == terminal.getvalue().count("\x1b[?25h") == 1


@pytest.mark.skipif(not hasattr(os, "ttyname"), reason="terminals have no names")
def test_standard_output_and_standard_error_are_one_terminal(bars: Any, queues: Any) -> None:
    scheduler, one, _ = queues
    ends = os.openpty()
    error, output = Terminal(), Terminal()
    error.fileno = output.fileno = lambda: ends[1]  # type: ignore[method-assign]
    with progress(scheduler, file=error):
        settle(one, 1)
        with progress(one, file=output):
            settle(one, 1)
    assert output.getvalue() == "smqexec, 0:00: camera 1 of 1\n"
    assert error.last()[-1] == "camera 2 of 2"
    for end in ends:
        os.close(end)


def test_what_is_printed_meanwhile_comes_above(
    bars: Any, queues: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", log := io.StringIO())
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with progress(queues[0]):
        settle(queues[1], 1)
        assert sys.stderr is not terminal
        print("a remark", file=sys.stderr)
        print("a result")
    assert sys.stderr is terminal
    assert "a remark" in terminal.last() and terminal.last()[-1].endswith("1 of 1")
    assert log.getvalue() == "a result\n", "what goes to a file stays there"


def test_without_standard_streams(bars: Any, queues: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    with progress(queues[0], file=(terminal := Terminal())):
        settle(queues[1], 1)
    assert terminal.last()[-1].endswith("1 of 1")


def test_a_terminal_that_is_gone(
    bars: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bars, "INTERVAL", 0.001)
    with pytest.raises(KeyError), progress(Scheduler(), file=(terminal := Terminal())):
        terminal.closing = True
        until(lambda: caplog.records)
        raise KeyError
    assert len(caplog.records) == 1


@pytest.mark.parametrize("closing", [True, "once"])
def test_a_terminal_that_was_never_there(bars: Any, closing: Any) -> None:
    terminal = Terminal()
    terminal.closing = closing
    with pytest.raises(OSError, match="gone"), progress(Scheduler(), file=terminal):
        pass
    assert not bars._taken
    terminal.closing = False
    with progress(Scheduler(), file=terminal):
        pass
    assert terminal.getvalue().endswith("\x1b[?25h")


def test_no_thread_for_it(bars: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    refused = pytest.raises(RuntimeError, match="can't start")
    with refused, progress(Scheduler(), file=(terminal := Terminal())):
        pass
    assert terminal.getvalue().endswith("\x1b[?25h")


@pytest.fixture
def no_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of rich can be imported."""
    monkeypatch.delitem(sys.modules, "smqexec._observe.progress.bars", raising=False)
    monkeypatch.delattr(_progress, "bars", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "rich"] + ["rich"]:
        monkeypatch.setitem(sys.modules, name, None)


# -- In a notebook


class ZMQInteractiveShell: ...


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What IPython was asked to show, each as text; a None in it: nothing can be shown any more."""
    shown: list[Any] = []

    def text(table: Any) -> str:
        return " ".join(re.sub(r"<[^>]*>|[━╸╺]", "", table._repr_mimebundle_([], [])["text/html"]).split())

    class Handle:
        def update(self, table: Any) -> None:
            assert None not in shown, "the notebook is gone"
            shown.append(text(table))

    def display(table: Any, display_id: bool) -> Handle:
        assert display_id
        shown.append(text(table))
        return Handle()

    modules: Any = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    modules[0].get_ipython = ZMQInteractiveShell
    modules[1].display = display
    monkeypatch.setitem(sys.modules, "IPython", modules[0])
    monkeypatch.setitem(sys.modules, "IPython.display", modules[1])
    return shown


def test_a_notebook_that_goes(
    bars: Any,
    notebook: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    queues: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(bars, "NOTEBOOK_INTERVAL", 0.001)
    scheduler, camera, _ = queues
    with progress(scheduler):
        until(lambda: len(notebook) > 3)
        settle(camera, 3, 1)
    assert (notebook[0], notebook[-1]) == ("", "camera 4 of 4 1 failed")
    with progress(scheduler):
        notebook.append(None)
        until(lambda: caplog.records)
    assert len(caplog.records) == 1


PLACES: dict[str, tuple[str, bool, Any, Any, bool]] = {
    "a dumb terminal": ("dumb", True, lambda: None, Terminal, False),
    "a terminal without rich": ("xterm", False, lambda: None, Terminal, False),
    "a notebook without rich": ("xterm", False, ZMQInteractiveShell, Terminal, False),
    "a file, from a notebook": ("xterm", True, ZMQInteractiveShell, io.StringIO, True),
    "a file, from IPython in a terminal": ("xterm", True, lambda: None, io.StringIO, False),
}


@pytest.mark.parametrize(("term", "rich", "shell", "kind", "given"), PLACES.values(), ids=PLACES.keys())
def test_places_that_get_lines(
    term: str, rich: bool, shell: Any, kind: Any, given: bool,
    still: Clock, notebook: list[Any], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if not rich:
        request.getfixturevalue("no_rich")
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", shell)
    monkeypatch.setattr(sys, "stderr", file := kind())
    with progress(Scheduler(), file=file if given else None):
        pass
    assert file.getvalue() == "smqexec, 0:00: no tasks\n"
    assert not notebook
