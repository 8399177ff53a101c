"""What a task costs in executed bytecodes: a bound for each workload, on two versions of Python."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

# 2 % above what was counted.  A commit that lowers a count lowers the bound with it.
BOUNDS = {
    (3, 11): {"independent": 366, "chain": 547, "tree": 683, "pairs": 702, "layers": 945, "items": 878},
    (3, 13): {"independent": 347, "chain": 516, "tree": 634, "pairs": 656, "layers": 877, "items": 824},
}
# Those of the first version on 3.11, which no count may reach again.
FIRST = {"independent": 523, "chain": 929, "tree": 972, "pairs": 957, "layers": 1258, "items": 1440}


@pytest.mark.skipif(sys.version_info[:2] not in BOUNDS, reason="counts depend on the version of Python")
@pytest.mark.parametrize("name", FIRST)
def test_bytecodes_of_a_task(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    bytecodes = importlib.import_module("benchmarks.bytecodes")
    count = bytecodes.count(bytecodes.SHAPES[name])
    assert count <= BOUNDS[sys.version_info[:2]][name] <= FIRST[name]
