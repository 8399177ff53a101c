"""The house: which module may import which."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

import smqexec

PACKAGE = Path(__file__).parent.parent / "smqexec"

# From above to below: imports point down, for type checkers too.  The picture in ``smqexec`` is this table.
ROOMS = {
    "front door": "the public names; it builds the rooms below and joins them",
    "_observe": "views of a scheduler: events, why, graph, debug, progress, trace",
    "_engines": "queues on any executor: processes, interpreters, a cluster; generator tasks there",
    "_workers": "workers run tasks: threads, inline, the loop, generators and their streams, nested waiting",
    "_limits": "conditions of a task's start, besides dependencies: options, pending limits, resources",
    "_core": "the one lock and the state under it: tasks arrive, start, end; queues, wakes, barriers, exit",
    "_futures": "Task and Item: the futures that a scheduler ends",
    "_calls": "a call: futures gathered from its arguments, results substituted; callables",
    "_planner": "the order in which tasks start.  Pure: no threads, locks, clocks, futures",
}

# What would make the planner more than bookkeeping.
IMPURE = {"threading", "_thread", "time", "concurrent", "asyncio", "queue", "random", "os"}


def dotted(path: Path) -> str:
    """The dotted name of the module at *path*."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def imported(name: str) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) for every import of module *name*, also for type checkers alone."""
    path = MODULES[name]
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            # "from package import name": the name may be a module.
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def room_of(name: str) -> str | None:
    """The room that the dotted *name* lies in, if it is ours."""
    first, *rest = name.split(".")
    if first != "smqexec":
        return None
    return rest[0] if rest and rest[0] in ROOMS else "front door"


MODULES = {dotted(path): path for path in sorted(PACKAGE.rglob("*.py"))}
ORDER = list(ROOMS)


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name: str) -> None:
    room = room_of(name)
    assert room is not None
    for line, other in imported(name):
        below = room_of(other)
        if below is not None:
            assert ORDER.index(below) >= ORDER.index(room), f"{name}:{line}: {room} -> {below}"


def test_each_room_is_in_the_picture() -> None:
    picture = " ".join((smqexec.__doc__ or "").split())
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == set(ORDER[1:])
    for room, sentence in ROOMS.items():
        assert " ".join(f"{room} {sentence}".split()) in picture


def test_modules_form_no_circle() -> None:
    arrows: dict[str, set[str]] = {}
    for name in MODULES:
        names = {other for _, other in imported(name)}
        found = {other if other in MODULES else other.rpartition(".")[0] for other in names}
        arrows[name] = {other for other in found if other in MODULES} - {name}
    TopologicalSorter(arrows).prepare()  # a CycleError names the circle


@pytest.mark.parametrize("name", [name for name in MODULES if room_of(name) == "_planner"])
def test_planner_is_pure(name: str) -> None:
    names = {other.partition(".")[0] for _, other in imported(name)}
    assert not names & IMPURE, f"{name} imports {sorted(names & IMPURE)}"
