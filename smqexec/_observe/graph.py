"""The pending and running tasks as a graph, drawn in the language of Mermaid or as a table of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from string import ascii_letters, digits
from typing import TYPE_CHECKING, NamedTuple

from .._futures.names import counted
from .snapshot import OUTSIDE, GraphEdge, GraphNode, snapshot
from .text import columns, printable

if TYPE_CHECKING:
    from .._core.state import State

# Most boxes that are drawn, and most rows of the table.
BOXES, ROWS = 1000, 50

# The limits of Mermaid by default: arrows (maxEdges), and characters (maxTextSize).
ARROWS, LENGTH = 500, 50_000

# The frames of boxes, by state.
_STYLES = {
    OUTSIDE: "stroke-dasharray:1 3",
    "waiting": "stroke-dasharray:6 3",
    "ready": "stroke-width:1px",
    "running": "stroke-width:4px",
}

# In Mermaid almost any other character may have a meaning, also in quotes: ``__`` begins bold text.
_PLAIN = frozenset(f"{ascii_letters}{digits} ")

# How a graph is folded, by one rule after the other: the nodes with the same key become one box.
_GROUPS: tuple[Callable[[GraphNode], object], ...] = (
    lambda node: (node.name, node.queue),
    lambda node: node.queue,
    lambda node: None,
)

# From one of the boxes to another, by index, and a label.
Arrow = tuple[int, int, str]


class Graph:
    """The tasks that were pending or running when `Scheduler.graph` was called; it does not change.

    As the value of a cell it is drawn by JupyterLab (since 4.1) and Notebook (since 7.1), which have
    Mermaid; other notebooks and IPython show a table of text.

    A graph of more than 1,000 tasks (50 in the table) or 500 dependencies is *folded*: tasks of the
    same function and queue become one node, with their numbers.  If these are too many still, the
    tasks of each queue become one node, or all tasks.
    """

    __slots__ = ("edges", "nodes")

    #: The tasks, in the order of submission; then futures from outside.
    nodes: tuple[GraphNode, ...]
    #: The dependencies, of each task in argument order.
    edges: tuple[GraphEdge, ...]

    def __init__(self, scheduler: State) -> None:
        self.nodes, self.edges = snapshot(scheduler)

    def mermaid(self) -> str:
        """Return the graph in the language of Mermaid: a box for each task, framed by queue.

        Many sites draw Mermaid in Markdown.  The graph is folded also if the text had more than
        50,000 characters: Mermaid refuses it by default, as it refuses more than 500 dependencies.
        """
        texts = (_mermaid(*drawing) for drawing in self._drawings(BOXES))
        return next(text for text in texts if len(text) <= LENGTH)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Return the graph as Mermaid and as text: JupyterLab would show HTML rather than Mermaid."""
        return {"text/vnd.mermaid": self.mermaid(), "text/plain": self._table()}

    def _table(self) -> str:
        boxes, arrows = next(self._drawings(ROWS))
        needs: list[list[str]] = [[] for _ in boxes]
        for source, target, label in arrows:
            needs[target].append(f"{boxes[source].title} {label}".rstrip())
        rows = [("Task", "State", "Queue", "Waits for")]
        for box, names in zip(boxes, needs, strict=True):
            rows.append((box.title, box.detail, printable(box.queue), ", ".join(names)))
        return "\n".join([repr(self)[1:-1], "", *columns(rows)])

    def _drawings(self, limit: int) -> Iterator[tuple[Sequence[_Box], Sequence[Arrow]]]:
        """Yield the drawings of at most *limit* boxes and 500 arrows, the most detailed first."""
        if len(self.nodes) <= limit and len(self.edges) <= ARROWS:
            yield [_box([node]) for node in self.nodes], self.edges
        for group in _GROUPS:  # pragma: no branch - the last one is drawn always
            members: dict[object, list[GraphNode]] = {}
            for node in self.nodes:
                members.setdefault(group(node), []).append(node)
            places = {key: place for place, key in enumerate(members)}
            to = [places[group(node)] for node in self.nodes]
            arrows = Counter((to[source], to[target]) for source, target, _ in self.edges)
            if len(members) <= limit and len(arrows) <= ARROWS:
                boxes = [_box(nodes) for nodes in members.values()]
                yield boxes, [(*ends, _times(count)) for ends, count in arrows.items()]

    def __repr__(self) -> str:
        states = _states(self.nodes) or "no tasks"
        return f"<Graph of {counted(len(self.edges), 'dependency', 'dependencies')}: {states}>"


class _Box(NamedTuple):
    """One node as it is drawn, or several."""

    title: str
    detail: str  # a second line
    queue: str  # the frame around it; empty: no frame
    state: str  # its style


def _box(nodes: Sequence[GraphNode]) -> _Box:
    """Return one box for *nodes*.  Its style is that of the state nearest to the end."""
    first = nodes[0]
    if len(nodes) == 1:
        title = f"{printable(first.name)} {first.number or ''}".rstrip()
        return _Box(title, first.state, first.queue, first.state)
    names = {node.name for node in nodes}
    name = printable(first.name) if len(names) == 1 else counted(len(names), "function")
    queue = first.queue if len({node.queue for node in nodes}) == 1 else ""
    state = max((node.state for node in nodes), key=[*_STYLES].index)
    return _Box(f"{name} {_times(len(nodes))}", _states(nodes), queue, state)


def _states(nodes: Sequence[GraphNode]) -> str:
    """Return how many of *nodes* are in each state, in words."""
    counts = Counter(node.state for node in nodes)
    return ", ".join(f"{counts[state]:,} {state}" for state in _STYLES if counts[state])


def _times(count: int) -> str:
    return f"x {count:,}" if count > 1 else ""


def _mermaid(boxes: Sequence[_Box], arrows: Sequence[Arrow]) -> str:
    frames: dict[str, list[str]] = {}
    for place, (title, detail, queue, state) in enumerate(boxes):
        box = f'n{place}["{_escaped(title)}<br/>{_escaped(detail)}"]:::{state}'
        frames.setdefault(queue, []).append(box)
    lines = ["flowchart LR"]
    for number, (queue, inside) in enumerate(frames.items()):
        frame = [f'subgraph q{number}["{_escaped(printable(queue))}"]', *inside, "end"]
        lines += frame if queue else inside
    for source, target, label in arrows:
        lines.append(f'n{source} -->|"{_escaped(label)}"| n{target}' if label else f"n{source} --> n{target}")
    lines += [f"classDef {state} {style}" for state, style in _STYLES.items()]
    return "\n  ".join(lines) + "\n"


def _escaped(text: str) -> str:
    return "".join(c if c in _PLAIN else f"#{ord(c)};" for c in text)
