"""The two real programs of the benchmarks' examples do what they say."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from gate import DEADLINE

ROOT = Path(__file__).parents[2]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: importlib.import_module(f"benchmarks.examples.{name}")


@pytest.mark.parametrize("name", ["images", "measurement"])
def test_each_has_under_sixty_lines(name: str) -> None:
    assert len((ROOT / "benchmarks/examples" / f"{name}.py").read_text().splitlines()) < 60


def test_images_are_scored_the_same_both_ways(example: Any) -> None:
    pytest.importorskip("numpy", reason="the images need numpy and pillow")
    pytest.importorskip("PIL", reason="the images need numpy and pillow")
    (_, *dependent), (_, *phases) = example("images").compare(12, 64)
    assert [value for value, _ in dependent[-1]] == [value for value, _ in phases[-1]]
    assert len(phases[-1]) == 12
    assert phases[2] == 12  # phases keep all of them


def test_each_point_is_stored_once(example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    magnet = {"field": 0.0, "settles in": 0.0}
    rows = example("measurement").measure(magnet, [0.0, 0.5, 1.0])
    assert [row[0] for row in rows] == [0.0, 0.5, 1.0]
    assert all(abs(mean - field) < 0.01 for field, mean, _ in rows)
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert magnet["field"] == 0.0


# The handler says what it has done, by a call that may interrupt a print.
TELLING = """
import os, signal
from smqexec import Scheduler
from benchmarks.examples.measurement import measure

def telling(kind, name):
    method = getattr(kind, name)
    def tell(*args):
        result = method(*args)
        os.write(1, f"\\n{name}\\n".encode())
        return result
    setattr(kind, name, tell)

telling(Scheduler, "stop"), telling(Scheduler, "resume")
signal.signal(signal.SIGINT, signal.default_int_handler)
magnet = {"field": 0.0, "settles in": 0.01}
rows = measure(magnet, [n / 100 for n in range(1, 3001)])
print("end", len(rows), magnet["field"], flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_ctrl_c_stops_resumes_and_ends_a_measurement() -> None:
    """The third one ends it: the points so far are stored, and the field is ramped down."""
    with subprocess.Popen(
        [sys.executable, "-c", TELLING],
        stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        late = threading.Timer(6 * DEADLINE, process.kill)  # ends the lines as well
        late.start()
        try:
            assert process.stdout is not None
            for word in ("field", "stop", "resume"):
                assert any(line.startswith(word) for line in process.stdout), word
                process.send_signal(signal.SIGINT)
            *_, last = process.stdout
            assert process.wait() == 0
        finally:
            late.cancel()
            late.join()
            process.kill()
    word, points, field = last.split()
    assert word == "end"
    assert 0 < int(points) < 3000
    assert field == "0.0"
