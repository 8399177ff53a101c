"""The two real programs of the benchmarks' examples do what they say."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gate import DEADLINE

ROOT = Path(__file__).parent.parent


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


def test_ctrl_c_stops_resumes_and_ends_a_measurement(tmp_path: Path) -> None:
    """The third one ends it: the points so far are stored, and the field is ramped down."""
    program = (
        "from benchmarks.examples.measurement import measure\n"
        "magnet = {'field': 0.0, 'settles in': 0.01}\n"
        f"rows = measure(magnet, [n / 100 for n in range(1, 3001)], {str(tmp_path / 'points.db')!r})\n"
        "print('end', len(rows), magnet['field'], flush=True)\n"
    )
    restore = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", restore + program],
        stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("field")
        process.send_signal(signal.SIGINT)  # stop
        process.send_signal(signal.SIGINT)  # resume, or one signal with the first: then it is stopped
        process.send_signal(signal.SIGINT)
        for _ in range(1000):
            try:
                out, _ = process.communicate(timeout=0.2)
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)  # two signals at once may have been one
        assert process.returncode == 0
        last = out.splitlines()[-1].split()
        assert last[0] == "end"
        assert 0 < int(last[1]) < 3000
        assert last[2] == "0.0"
    finally:
        process.kill()
        process.wait(DEADLINE)
