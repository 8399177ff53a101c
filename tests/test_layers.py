"""The house: which module may import which."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "smqexec"

# Imports point down.
ALLOWED = {
    "__main__": {"__init__"},
    "trace": {"_observe", "_scheduler"},
    "__init__": {
        *{"_queue", "_scheduler", "_inside", "_observe"},
        *{"_resources", "_task", "_items", "_calls", "_planner"},
    },
    "dask": {"_engines", "_calls", "_kept"},
    "_observe": {
        *{"__init__", "_queue", "_scheduler", "_submission_order", "_waiting", "_needs", "_slots"},
        *{"_options", "_task", "_items", "_future", "_resources", "_exclusive", "_interrupts", "_calls"},
        "_planner",
    },
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
    "_inside": {"_slots", "_stall", "_needs", "_future", "_planner"},
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
        *{"_observe", "_process", "_stop", "_options"},
        *{"_streams", "_waking", "_waiting", "_stall", "_slots"},
    },
    "_stop": set(),
    "_notes": {"_options", "_task"},
    "_process": set(),
    "_streams": {
        *{"_calls", "_admission", "_waiting", "_needs", "_task", "_items", "_future", "_interrupts"},
        "_planner",
    },
    "_admission": {
        *{"_arrivals", "_waiting", "_slots", "_options", "_calls", "_resources", "_task"},
        *{"_pending_limit", "_stall", "_interrupts", "_kept", "_future"},
        "_planner",
    },
    "_pending_limit": set(),
    "_submission_order": {"_planner"},
    "_arrivals": {
        *{"_dispatch", "_dropping", "_waking", "_waiting", "_slots", "_task", "_items", "_future"},
        *{"_submission_order", "_exclusive", "_interrupts", "_calls", "_planner"},
    },
    "_dispatch": {
        *{"_breakdown", "_waking", "_waiting", "_needs", "_slots", "_task", "_future", "_interrupts"},
        "_planner",
    },
    "_breakdown": {
        *{"_calls", "_dropping", "_waking", "_needs", "_slots", "_task", "_future", "_interrupts"},
        "_planner",
    },
    "_dropping": {
        *{"_calls", "_waking", "_waiting", "_needs", "_resources", "_slots", "_task", "_items"},
        *{"_submission_order", "_future", "_interrupts", "_planner"},
    },
    "_waking": {
        *{"_calls", "_allocating", "_waiting", "_needs", "_slots", "_task", "_future", "_interrupts"},
        "_planner",
    },
    "_allocating": {
        *{"_waiting", "_needs", "_options", "_resources", "_slots", "_task"},
        *{"_interrupts", "_planner"},
    },
    "_resources": {"_planner"},
    "_waiting": {
        *{"_exclusive", "_stall", "_needs", "_slots", "_task", "_future", "_interrupts", "_planner"},
    },
    "_stall": {"_needs", "_slots", "_task"},
    "_needs": {"_resources", "_slots", "_task", "_future", "_planner"},
    "_slots": {"_task", "_planner"},
    "_options": {"_resources", "_task", "_calls"},
    "_task": {"_items", "_future", "_calls", "_planner"},
    "_items": {"_calls", "_kept", "_future", "_planner"},
    "_kept": {"_future", "_planner"},
    "_future": {"_conditions", "_interrupts", "_planner"},
    "_conditions": {"_interrupts", "_planner"},
    "_exclusive": {"_interrupts"},
    "_interrupts": set(),
    "_calls": set(),
    "_planner": set(),
}

# What would make the planner more than bookkeeping.
IMPURE = {"threading", "_thread", "time", "concurrent", "asyncio", "queue", "random", "os"}


def package_of(path: Path) -> list[str]:
    """The dotted name of the package that the module at *path* lies in, in parts."""
    return list(path.relative_to(PACKAGE.parent).parts[:-1])


def imported(path: Path, types: bool = False) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) for every import, wherever it stands; those for type checkers if *types*."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            if not types and isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                child.body = []  # a lower module may name what it is given from above
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package_of(path) if node.level else []
            parts = parts[: len(parts) - (node.level - 1)] if node.level > 1 else parts
            base = ".".join(filter(None, [*parts, node.module]))
            # "from package import name": the name may be a module.
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def layer_of(name: str) -> str | None:
    """The module or room of ours that the dotted *name* lies in, if any."""
    first, _, rest = name.partition(".")
    if first != "smqexec":
        return None
    layer = rest.partition(".")[0]
    return layer if (PACKAGE / f"{layer}.py").exists() or (PACKAGE / layer).is_dir() else "__init__"


def dotted(path: Path) -> str:
    """The dotted name of the module at *path*."""
    return ".".join([*package_of(path), *([] if path.stem == "__init__" else [path.stem])])


MODULES = {dotted(path): path for path in sorted(PACKAGE.rglob("*.py"))}
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name: str) -> None:
    layer = layer_of(name) or "__init__"
    assert layer in ALLOWED, f"{layer} has no place in the house yet"
    for line, other in imported(MODULES[name]):
        below = layer_of(other)
        assert below in {None, layer, *ALLOWED[layer]}, f"{name}:{line}: {layer} -> {below}"


@pytest.mark.parametrize("room", ROOMS)
def test_the_modules_of_a_room_form_no_circle(room: str) -> None:
    arrows: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        if layer_of(name) == room:
            names = {other for _, other in imported(path, types=True)}
            found = {other if other in MODULES else other.rpartition(".")[0] for other in names}
            arrows[name] = {other for other in found if other in MODULES and layer_of(other) == room} - {name}
    TopologicalSorter(arrows).prepare()  # a CycleError names the circle


@pytest.mark.parametrize("name", [name for name in MODULES if layer_of(name) == "_planner"])
def test_planner_is_pure(name: str) -> None:
    names = {other.partition(".")[0] for _, other in imported(MODULES[name])}
    assert not names & IMPURE, f"{name} imports {sorted(names & IMPURE)}"
