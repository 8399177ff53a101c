"""The house: which module may import which."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "smqexec"

# Imports point down.
ALLOWED = {
    "__main__": {"__init__"},
    "trace": {"_recorder", "_scheduler", "_tracefile", "_tracetext", "_timeline"},
    "_timeline": {"_tracefile"},
    "_tracetext": {"_tracefile"},
    "_tracefile": set(),
    "_recorder": {"__init__", "_observers", "_options", "_interrupts", "_nodes", "_tracelines"},
    "_tracelines": set(),
    "__init__": {
        *{"_queue", "_scheduler", "_graph", "_progress", "_inside", "_observers", "_recorder"},
        *{"_resources", "_task", "_items", "_functions", "_kinds", "_planner"},
    },
    "dask": {"_dask_calls", "_dask_line", "_executors", "_remote", "_functions", "_kept"},
    "_dask_line": {"_executors"},
    "_dask_calls": {"_executors"},
    "_progress": {"_bars", "_meter", "_ticker", "_queue", "_scheduler", "_drawing"},
    "_bars": {"_meter", "_ticker", "_drawing"},
    "_meter": set(),
    "_ticker": set(),
    "_inline": {"_worker", "_waiting", "_slots", "_interrupts"},
    "_queue": {
        *{"_pending_limit", "_pools", "_engine", "_submitting", "_scheduler"},
        *{"_executors", "_slots", "_options", "_task", "_arguments", "_functions", "_kinds"},
    },
    "_pools": {
        *{"_process", "_engine", "_inline", "_scheduler", "_worker"},
        *{"_executors", "_slots", "_kinds"},
    },
    "_submitting": {"_options", "_task", "_arguments", "_functions", "_kinds"},
    "_inside": {"_slots", "_stall", "_needs", "_future", "_nodes"},
    "_worker": {
        *{"_generators", "_waiting", "_notes", "_slots", "_task", "_future"},
        *{"_items", "_kept", "_interrupts", "_arguments", "_functions"},
    },
    "_engine": {
        *{"_generators", "_remote", "_pickling", "_notes", "_slots", "_options", "_task", "_kept", "_future"},
        *{"_executors", "_interrupts", "_arguments", "_recipe", "_functions", "_process", "_waiting"},
    },
    "_executors": {"_kept"},
    "_remote": {"_functions"},
    "_pickling": {"_future", "_functions"},
    "_generators": {"_slots", "_task", "_future", "_functions"},
    "_scheduler": {
        *{"_graph", "_drawing", "_debug", "_process", "_stop", "_why", "_options"},
        *{"_streams", "_waking", "_waiting", "_stall", "_slots"},
    },
    "_graph": {"_survey", "_drawing"},
    "_survey": {"_submission_order", "_task", "_items", "_options", "_nodes"},
    "_drawing": set(),
    "_stop": set(),
    "_debug": set(),
    "_notes": {"_options", "_task"},
    "_why": {
        *{"_waiting", "_needs", "_slots", "_options", "_task", "_items", "_future"},
        *{"_resources", "_rank", "_nodes"},
    },
    "_process": set(),
    "_streams": {"_admission", "_waiting", "_needs", "_task", "_items", "_future", "_nodes"},
    "_admission": {
        *{"_arrivals", "_waiting", "_slots", "_options", "_contexts", "_resources", "_task"},
        *{"_pending_limit", "_stall", "_interrupts", "_arguments", "_functions", "_kept", "_future"},
        "_nodes",
    },
    "_pending_limit": set(),
    "_submission_order": {"_nodes"},
    "_arrivals": {
        *{"_dispatch", "_dropping", "_waking", "_waiting", "_slots", "_task", "_items", "_future"},
        *{"_submission_order", "_interrupts", "_arguments", "_nodes"},
    },
    "_dispatch": {
        *{"_breakdown", "_waking", "_waiting", "_needs", "_slots", "_task", "_future", "_interrupts"},
        "_nodes",
    },
    "_breakdown": {
        *{"_dropping", "_waking", "_needs", "_slots", "_task", "_future", "_interrupts", "_planner"},
        "_nodes",
    },
    "_dropping": {
        *{"_debug", "_waking", "_waiting", "_needs", "_resources", "_slots", "_task", "_items"},
        *{"_submission_order", "_future", "_interrupts", "_nodes"},
    },
    "_waking": {"_later", "_waiting", "_needs", "_slots", "_task", "_future", "_nodes"},
    "_later": {"_allocating"},
    "_allocating": {
        *{"_waiting", "_needs", "_options", "_resources", "_slots", "_task"},
        *{"_interrupts", "_nodes"},
    },
    "_resources": {"_nodes"},
    "_waiting": {
        *{"_observers", "_stall", "_needs", "_slots", "_task", "_future", "_interrupts", "_planner"},
        "_nodes",
    },
    "_stall": {"_needs", "_slots", "_task"},
    "_observers": {"_slots", "_options", "_task", "_items", "_future", "_interrupts", "_arguments"},
    "_needs": {"_resources", "_slots", "_task", "_future", "_nodes"},
    "_slots": {"_task", "_nodes"},
    "_options": {"_resources", "_task", "_kinds"},
    "_contexts": {"_slots", "_future", "_functions"},
    "_task": {"_items", "_future", "_arguments", "_functions", "_nodes"},
    "_items": {"_kept", "_future", "_nodes"},
    "_kept": {"_future", "_nodes"},
    "_future": {"_conditions", "_nodes"},
    "_conditions": {"_interrupts", "_nodes"},
    "_interrupts": set(),
    "_functions": set(),
    "_arguments": {"_recipe", "_kinds"},
    "_recipe": {"_kinds"},
    "_kinds": set(),
    "_planner": {"_remaking", "_newest", "_oldest", "_nodes"},
    "_remaking": {"_newest", "_oldest", "_nodes"},
    "_newest": {"_plans", "_nodes"},
    "_plans": {"_places", "_nodes"},
    "_places": {"_nodes"},
    "_oldest": {"_nodes"},
    "_rank": {"_nodes"},
    "_nodes": set(),
}

# What would make the planner more than bookkeeping.
IMPURE = {"threading", "_thread", "time", "concurrent", "asyncio", "queue", "random", "os"}


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) for every import that is executed, wherever it stands."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                child.body = []  # a lower module may name what it is given from above
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, ["smqexec" if node.level else "", node.module]))
            # "from package import name": the name may be a module.
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def layer_of(name: str) -> str | None:
    """The module of ours that the dotted *name* lies in, if any."""
    first, _, rest = name.partition(".")
    if first != "smqexec":
        return None
    module = rest.partition(".")[0]
    return module if (PACKAGE / f"{module}.py").exists() else "__init__"


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_imports_point_down(path: Path) -> None:
    assert path.stem in ALLOWED, f"{path.name} has no place in the house yet"
    for line, name in imported(path):
        below = layer_of(name)
        assert below in {None, path.stem, *ALLOWED[path.stem]}, f"{path.name}:{line}: {path.stem} -> {below}"


@pytest.mark.parametrize("module", ["_planner", *sorted(ALLOWED["_planner"]), "_places", "_rank"])
def test_planner_is_pure(module: str) -> None:
    names = {name.partition(".")[0] for _, name in imported(PACKAGE / f"{module}.py")}
    assert not names & IMPURE, f"{module} imports {sorted(names & IMPURE)}"
