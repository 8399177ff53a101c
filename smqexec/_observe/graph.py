"""The pending and running tasks as a graph, drawn in the language of Mermaid or as a table of text.

One hold of the lock lists the tasks.  Then they are named, which may run user code; the graph keeps no task.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from string import ascii_letters, digits
from typing import Any, NamedTuple

from .._core.state import State
from .._futures.at_end import Foreign, Settled
from .._futures.items import Item
from .._futures.names import counted, label_of, shown
from .._planner.nodes import DONE, READY, RUNNING, STRIDE, WAITING, dependencies_of
from .text import columns, printable

# Most boxes that are drawn, and most rows of the table.
BOXES, ROWS = 1000, 50
# The limits of Mermaid by default: arrows (maxEdges), and characters (maxTextSize).
ARROWS, LENGTH = 500, 50_000

# In Mermaid almost any other character may have a meaning, also in quotes: ``__`` begins bold text.
_PLAIN = frozenset(f"{ascii_letters}{digits} ")

_STATES = {WAITING: "waiting", READY: "ready", RUNNING: "running"}

# The frames of boxes, by state.
_STYLES = {
    "outside": "stroke-dasharray:1 3",
    "waiting": "stroke-dasharray:6 3",
    "ready": "stroke-width:1px",
    "running": "stroke-width:4px",
}


class GraphNode(NamedTuple):
    """A task; or a future from outside that a task waits for."""

    #: Its place in the order of submission, from 1 on; a promotion changes it.  Newest first, the tasks
    #: of one `map` have the same.  0: from outside; or promoted, oldest first.
    number: int
    #: Its name, or that of its function.
    name: str
    #: The name of its queue; empty: from outside.
    queue: str
    #: ``"waiting"``, ``"ready"`` or ``"running"``; ``"outside"``: of another executor or scheduler.
    state: str


class GraphEdge(NamedTuple):
    """A dependency."""

    #: The dependency: an index of `Graph.nodes`.
    source: int
    #: The dependent: an index of `Graph.nodes`.
    target: int
    #: What is needed: empty for the result, ``[3]`` for an item, ``settled`` for the end.
    part: str


class _Box(NamedTuple):
    title: str
    detail: str  # a second line
    queue: str  # the frame around it; empty: no frame
    state: str  # its style


class Graph:
    """The tasks that were pending or running when `Scheduler.graph` was called; it does not change.

    As the value of a cell it is drawn by JupyterLab (since 4.1) and Notebook (since 7.1), which have
    Mermaid; other notebooks and IPython show a table of text.

    A graph of more than 1,000 tasks (50 in the table) or 500 dependencies is *folded*: tasks of the
    same function and queue become one node; if these are too many, the tasks of each queue, or all.
    """

    __slots__ = ("edges", "nodes")

    #: The tasks, in the order of submission; then futures from outside.
    nodes: tuple[GraphNode, ...]
    #: The dependencies, of each task in argument order.
    edges: tuple[GraphEdge, ...]

    def __init__(self, scheduler: State) -> None:
        with scheduler.exclusive():
            tasks: Any = dict.fromkeys([*scheduler.termination.pending(), *scheduler.running_tasks()])
            found = [(task, task._number, task._stage, task._queue.name, [*_needs(task)]) for task in tasks]
        # The tasks of a `map` have falling numbers.
        found.sort(key=lambda each: (each[1] // STRIDE, -each[1]))
        nodes = [
            GraphNode(max(number // STRIDE, 0), label_of(task), queue, _STATES[stage])
            for task, number, stage, queue, _ in found
        ]
        places = {task: place for place, (task, *_) in enumerate(found)}
        edges: list[GraphEdge] = []
        for target, (*_, needs) in enumerate(found):
            for node, part, outside in needs:
                if outside:
                    places[node] = len(nodes)
                    nodes.append(GraphNode(0, outside, "", "outside"))
                if node in places:  # else the node only keeps the order of a queue
                    edges.append(GraphEdge(places[node], target, part))
        self.nodes, self.edges = tuple(nodes), tuple(edges)

    def mermaid(self) -> str:
        """Return the graph in the language of Mermaid, folded to the 50,000 characters that Mermaid takes."""
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

    def _drawings(self, limit: int) -> Iterator[tuple[Sequence[_Box], Sequence[GraphEdge]]]:
        """Yield the drawings of at most *limit* boxes and 500 arrows, the most detailed first."""
        if len(self.nodes) <= limit and len(self.edges) <= ARROWS:
            yield [_box([node]) for node in self.nodes], self.edges
        # The nodes with the same key become one box: of a name and queue, of a queue, or all.
        for level in range(3):  # pragma: no branch - the last one is drawn always
            keys = [(node.name, node.queue)[level:] for node in self.nodes]
            members: dict[object, list[GraphNode]] = {}
            for key, node in zip(keys, self.nodes, strict=True):
                members.setdefault(key, []).append(node)
            places = {key: place for place, key in enumerate(members)}
            arrows = Counter((places[keys[source]], places[keys[target]]) for source, target, _ in self.edges)
            if len(places) <= limit and len(arrows) <= ARROWS:
                labels = {ends: f"x {count:,}" if count > 1 else "" for ends, count in arrows.items()}
                yield [*map(_box, members.values())], [GraphEdge(*ends, labels[ends]) for ends in arrows]

    def __repr__(self) -> str:
        states = _states(self.nodes) or "no tasks"
        return f"<Graph of {counted(len(self.edges), 'dependency', 'dependencies')}: {states}>"


def _needs(task: Any) -> Iterator[tuple[Any, str, str]]:
    """Yield each pending dependency of *task*, its needed part, and a name if it is from outside.  Locked."""
    for node in dict.fromkeys(dependencies_of(task)):
        if node._stage < DONE:
            part = outside = ""
            if isinstance(node, Settled):
                (node,) = dependencies_of(node)
                part = "settled"
            if isinstance(node, Foreign):
                part = "settled" if node.settled else ""
                outside = "future of another executor" if node.future is None else "task of another scheduler"
            elif isinstance(node, Item):
                part = f"{part} [{shown(node._key)}]".lstrip()
                node = node._source
            yield node, part, outside


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
    return _Box(f"{name} x {len(nodes):,}", _states(nodes), queue, state)


def _states(nodes: Sequence[GraphNode]) -> str:
    counts = Counter(node.state for node in nodes)
    return ", ".join(f"{counts[state]:,} {state}" for state in _STYLES if counts[state])


def _mermaid(boxes: Sequence[_Box], arrows: Sequence[GraphEdge]) -> str:
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
