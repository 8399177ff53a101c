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
        *{"_resources", "_task", "_items", "_calls", "_planner"},
    },
    "dask": {"_engines", "_calls", "_kept"},
    "_progress": {"_bars", "_meter", "_ticker", "_queue", "_scheduler", "_drawing"},
    "_bars": {"_meter", "_ticker", "_drawing"},
    "_meter": set(),
    "_ticker": set(),
    "_inline": {"_worker", "_waiting", "_slots", "_interrupts"},
    "_queue": {
        *{"_pending_limit", "_pools", "_engines", "_submitting", "_scheduler"},
        *{"_slots", "_options", "_task", "_calls"},
    },
    "_pools": {
        *{"_process", "_engines", "_inline", "_scheduler", "_worker"},
        "_slots",
    },
    "_submitting": {"_options", "_task", "_calls"},
    "_inside": {"_slots", "_stall", "_needs", "_future", "_nodes"},
    "_worker": {
        *{"_generators", "_waiting", "_notes", "_slots", "_task", "_future"},
        *{"_items", "_kept", "_interrupts", "_calls"},
    },
    "_engines": {
        *{"_generators", "_notes", "_slots", "_options", "_task", "_kept", "_future"},
        *{"_interrupts", "_calls", "_process", "_waiting"},
    },
    "_generators": {"_slots", "_task", "_future", "_calls"},
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
        *{"_arrivals", "_waiting", "_slots", "_options", "_calls", "_resources", "_task"},
        *{"_pending_limit", "_stall", "_interrupts", "_kept", "_future"},
        "_nodes",
    },
    "_pending_limit": set(),
    "_submission_order": {"_nodes"},
    "_arrivals": {
        *{"_dispatch", "_dropping", "_waking", "_waiting", "_slots", "_task", "_items", "_future"},
        *{"_submission_order", "_interrupts", "_calls", "_nodes"},
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
    "_observers": {"_slots", "_options", "_task", "_items", "_future", "_interrupts", "_calls"},
    "_needs": {"_resources", "_slots", "_task", "_future", "_nodes"},
    "_slots": {"_task", "_nodes"},
    "_options": {"_resources", "_task", "_calls"},
    "_task": {"_items", "_future", "_calls", "_nodes"},
    "_items": {"_kept", "_future", "_nodes"},
    "_kept": {"_future", "_nodes"},
    "_future": {"_conditions", "_nodes"},
    "_conditions": {"_interrupts", "_nodes"},
    "_interrupts": set(),
    "_calls": {"_future", "_slots"},
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


def place_of(path: Path) -> list[str]:
    """The dotted name of the package that the module at *path* lies in, as parts."""
    return list(path.relative_to(PACKAGE.parent).parent.parts)


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
            here = place_of(path)
            base = ".".join([*(here[: len(here) + 1 - node.level] if node.level else ()), node.module or ""])
            # "from package import name": the name may be a module.
            yield from ((node.lineno, f"{base.strip('.')}.{alias.name}") for alias in node.names)


def layer_of(name: str) -> str | None:
    """The room, or the module at the top, that the dotted *name* of ours lies in."""
    first, _, rest = name.partition(".")
    if first != "smqexec":
        return None
    layer = rest.partition(".")[0]
    return layer if (PACKAGE / f"{layer}.py").exists() or (PACKAGE / layer).is_dir() else "__init__"


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: ".".join([*place_of(path)[1:], path.stem])
)
def test_imports_point_down(path: Path) -> None:
    layer = [*place_of(path), path.stem][1]
    assert layer in ALLOWED, f"{path.name} has no place in the house yet"
    for line, name in imported(path):
        below = layer_of(name)
        assert below in {None, layer, *ALLOWED[layer]}, f"{path.name}:{line}: {layer} -> {below}"


@pytest.mark.parametrize("module", ["_planner", *sorted(ALLOWED["_planner"]), "_places", "_rank"])
def test_planner_is_pure(module: str) -> None:
    names = {name.partition(".")[0] for _, name in imported(PACKAGE / f"{module}.py")}
    assert not names & IMPURE, f"{module} imports {sorted(names & IMPURE)}"
