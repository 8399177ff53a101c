"""The pending and running tasks as a graph that can be drawn."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from .drawing import Arrow, Box, mermaid, printable, table
from .snapshot import OUTSIDE, STATES, GraphEdge, GraphNode, snapshot

if TYPE_CHECKING:
    from .._core.state import State

# Most nodes that are drawn.
LIMIT = 1000

# What Mermaid takes by default: arrows (maxEdges), and characters (maxTextSize).
ARROWS, LENGTH = 500, 50_000

_ORDER = (OUTSIDE, *STATES.values())


class Graph:
    """The tasks that were pending or running when `Scheduler.graph` was called; it does not change.

    A notebook is given a table and a Mermaid drawing, and shows the one that it
    prefers.  JupyterLab prefers the table: ``display(graph, exclude=["text/html"])``
    shows the drawing there.

    A graph of more than 1,000 tasks or 500 dependencies is *folded*: tasks of the
    same function and queue become one node, with their numbers.
    """

    __slots__ = ("edges", "nodes")

    #: The tasks, in the order of submission; then what is outside.
    nodes: tuple[GraphNode, ...]
    #: The dependencies: those of each task in argument order.
    edges: tuple[GraphEdge, ...]

    def __init__(self, scheduler: State) -> None:
        self.nodes, self.edges = snapshot(scheduler)

    def mermaid(self, limit: int = LIMIT) -> str:
        """Return the graph in the language of Mermaid: a box for each task, framed by queue.

        Many sites draw Mermaid in Markdown.  The graph is folded also if the text
        had more than 50,000 characters: Mermaid refuses it by default, as it
        refuses more than 500 dependencies.

        Args:
            limit: How many nodes there may be.

        Raises:
            TypeError: *limit* is no int.
            ValueError: *limit* is less than 1.
        """
        if not isinstance(limit, int):
            raise TypeError(f"limit must be an int, not {limit!r}")
        if limit < 1:
            raise ValueError(f"limit must be 1 or more, not {limit}")
        while True:
            boxes, arrows = self._drawn(limit)
            text = mermaid(boxes, arrows)
            if len(arrows) <= ARROWS and len(text) <= LENGTH:  # as with one box, at the latest
                return text
            limit = min(limit, len(boxes)) // 2

    def _drawn(self, limit: int) -> tuple[list[Box], list[Arrow]]:
        """A box for each node; folded, if there are too many, one for each function and queue.

        Then the functions with most tasks have a box each, and all others have one.
        """
        if len(self.nodes) <= limit and len(self.edges) <= ARROWS:
            boxes = [
                Box(node.name, str(node.number) if node.number else "", node.state, node.queue, node.state)
                for node in self.nodes
            ]
            return boxes, list(self.edges)
        groups: dict[tuple[str, str], Counter[str]] = {}
        for node in self.nodes:
            groups.setdefault((node.name, node.queue), Counter())[node.state] += 1
        shown = list(groups)
        if len(shown) > limit:
            largest = set(sorted(shown, key=lambda group: -groups[group].total())[: limit - 1])
            shown = [group for group in shown if group in largest]
        places = {group: place for place, group in enumerate(shown)}
        boxes = [_folded(*group, groups.pop(group)) for group in shown]
        if groups:
            boxes.append(_folded(f"{len(groups):,} more functions", "", sum(groups.values(), Counter())))
        to = [places.get((node.name, node.queue), len(shown)) for node in self.nodes]
        counts = Counter((to[edge.source], to[edge.target]) for edge in self.edges)
        return boxes, [(*ends, _times(count)) for ends, count in counts.items()]

    # In notebooks.

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Return all forms of the graph; IPython itself leaves out what its user excludes."""
        return {"text/vnd.mermaid": self.mermaid(), "text/html": self._repr_html_(), "text/plain": repr(self)}

    def _repr_html_(self) -> str:
        boxes, arrows = self._drawn(LIMIT)
        needs: dict[int, list[str]] = {}
        for source, target, label in arrows:
            needs.setdefault(target, []).append(f"{boxes[source].title} {label}".rstrip())
        rows = [
            (box.title, box.detail, printable(box.queue), ", ".join(needs.get(place, ())))
            for place, box in enumerate(boxes)
        ]
        return table(repr(self)[1:-1], ["Task", "State", "Queue", "Waits for"], rows)

    def __repr__(self) -> str:
        counts = Counter(node.state for node in self.nodes)
        states = ", ".join(f"{counts[state]} {state}" for state in _ORDER if counts[state])
        dependencies = "1 dependency" if len(self.edges) == 1 else f"{len(self.edges)} dependencies"
        return f"<Graph of {dependencies}: {states or 'no tasks'}>"


def _folded(name: str, queue: str, counts: Counter[str]) -> Box:
    """All tasks of a function as one box: it looks like the tasks that are farthest."""
    states = [state for state in _ORDER if counts[state]]
    detail = ", ".join(f"{counts[state]:,} {state}" for state in states)
    return Box(name, _times(counts.total()), detail, queue, states[-1])


def _times(count: int) -> str:
    return f"x {count:,}" if count > 1 else ""
