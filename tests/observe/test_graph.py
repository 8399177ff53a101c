"""Graphs of what is pending and running: what they show, and how they are drawn and folded."""

from __future__ import annotations

import re
from concurrent.futures import Future
from itertools import pairwise
from typing import Any
from weakref import ref

import pytest
from gate import DEADLINE, occupy
from internals import pending_in
from threads import beside, planned, until_gone

from smqexec import Graph, Queue, Scheduler, settled
from smqexec._observe import graph as _graph


def acquire(*needs: object) -> None: ...


def analyse(*needs: object) -> None: ...


def film() -> Any:
    yield from range(3)


HOSTILE = 'a"b\n<script>x</script>\\N &lt; __x__ `]|\x00\udce9;#'


def hostile() -> None: ...


hostile.__qualname__ = HOSTILE


def shown(graph: Graph) -> list[tuple[int, str, str, str]]:
    return [tuple(node) for node in graph.nodes]


def arrows(graph: Graph) -> list[tuple[str, str, str]]:
    """The edges, each by the numbers of its ends."""
    names = [f"{node.name} {node.number}" for node in graph.nodes]
    return [(names[source], names[target], part) for source, target, part in graph.edges]


# -- What it shows


def test_states_queues_and_order_of_arguments() -> None:
    with planned(1, 1) as (scheduler, camera, analysis):
        gate, running = occupy(camera)
        ready = camera.submit(acquire)
        analysis.submit(analyse, ready, 1, running, ready)
        graph = scheduler.graph()
        names = camera.name, analysis.name
        gate.open()
    assert shown(graph) == [
        (1, "Gate", names[0], "running"),
        (2, "acquire", names[0], "ready"),
        (3, "analyse", names[1], "waiting"),
    ]
    assert graph.edges == ((1, 2, ""), (0, 2, "")), "as arguments, each once"


def test_the_order_of_a_queue_is_no_dependency() -> None:
    with planned(stopped=True) as (scheduler,):
        queue = Queue(scheduler, 1, in_order=True)
        first = queue.submit(acquire)
        queue.submit(acquire)
        queue.submit(analyse, first)
        graph = scheduler.graph()
    assert [edge[:2] for edge in graph.edges] == [(0, 2)]


def test_nothing_is_pending() -> None:
    graph = Scheduler().graph()
    assert (graph.nodes, graph.edges) == ((), ())
    assert repr(graph) == "<Graph of 0 dependencies: no tasks>"
    assert graph.mermaid().startswith("flowchart")


def test_parts_of_dependencies() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        task, pair = queue.submit(film), queue.submit(acquire)
        queue.submit(analyse, task[2], pair["key"], pair[(0, 1)], task)
        queue.submit(analyse, settled(task), settled(task[0]), [task])
        queue.options(name="report", after=[settled(pair), task]).submit(analyse)
        graph = scheduler.graph()
    assert arrows(graph) == [
        ("film 1", "analyse 3", "[2]"),
        ("acquire 2", "analyse 3", "['key']"),
        ("acquire 2", "analyse 3", "[tuple]"),
        ("film 1", "analyse 3", ""),
        ("film 1", "analyse 4", "settled"),
        ("film 1", "analyse 4", "settled [0]"),
        ("film 1", "analyse 4", ""),
        ("acquire 2", "report 5", "settled"),
        ("film 1", "report 5", ""),
    ]


def test_what_has_ended_among_the_needs_is_not_shown() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        blocker = Future[int]()
        done = queue.submit(film)
        task = queue.submit(analyse, done, blocker, settled(done), done[0])
        scheduler.resume()
        assert done.result(DEADLINE) == [0, 1, 2]
        graph = scheduler.graph()
        blocker.set_result(0)
        task.result(DEADLINE)
    assert [(node.name, node.state) for node in graph.nodes] == [
        ("analyse", "waiting"),
        ("future of another executor", "outside"),
    ]
    assert graph.edges == ((1, 0, ""),)


def test_futures_from_outside_come_last_in_the_order_of_need() -> None:
    with planned(1, stopped=True) as (_, elsewhere), planned(1, stopped=True) as (scheduler, queue):
        future, foreign = Future[int](), elsewhere.submit(acquire)
        queue.submit(analyse, future, foreign, settled(future), foreign[0], settled(foreign))
        queue.submit(acquire, future)
        graph = scheduler.graph()
        future.set_result(0)
    assert repr(graph) == "<Graph of 6 dependencies: 6 outside, 2 waiting>"
    names = ["future of another executor", "task of another scheduler"]
    needed = [names[i] for i in (0, 1, 0, 1, 1, 0)]
    assert shown(graph)[2:] == [(0, name, "", "outside") for name in needed]
    parts = ["", "", "settled", "", "settled", ""]
    assert graph.edges == tuple((2 + n, n // 5, part) for n, part in enumerate(parts))


def test_a_map_is_one_submission_in_its_order() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        first = [queue.submit(fn) for fn in (abs, acquire)]
        results = queue.map(analyse, [first[1], first[0]])
        queue.submit(film)
        graph = scheduler.graph()
        names = [queue.submit(str, task).why().split()[2] for task in pending_in(scheduler)]
        del results
    assert {"analyse#3[0],", "analyse#3[1],"} < {*names}
    assert [(node.number, node.name) for node in graph.nodes] == [
        (1, "abs"), (2, "acquire"), (3, "analyse"), (3, "analyse"), (4, "film"),
    ]  # fmt: skip
    assert [edge[:2] for edge in graph.edges] == [(1, 2), (0, 3)]


def test_promoted_task_of_the_oldest_order_has_no_number() -> None:
    with planned(1, order="oldest", stopped=True) as (scheduler, queue):
        for task in [queue.submit(fn) for fn in (abs, film)][1:]:
            task.promote()
        graph = scheduler.graph()
        assert queue.submit(acquire, task).why() == "waiting: needs film (ready: the scheduler is stopped)"
    assert [(node.number, node.name) for node in graph.nodes] == [(0, "film"), (1, "abs")]
    assert '"film<br/>' in graph.mermaid()


class Name(str):
    """A name whose every use raises."""

    def __iter__(self) -> Any:
        raise AssertionError

    __format__ = __len__ = __hash__ = __eq__ = __iter__  # type: ignore[assignment]


def test_names_are_asked_for_without_the_lock() -> None:
    class Odd:
        def __call__(self) -> None: ...

        def __getattr__(self, name: str) -> str:
            assert name == "__qualname__"
            scheduler.counts()
            return Name("odd")

    with planned(1, stopped=True) as (scheduler, queue):
        needing = queue.submit(acquire, queue.submit(Odd()))
        graph = beside(scheduler.graph).result(DEADLINE)
        why = beside(needing.why).result(DEADLINE)
    assert why == "waiting: needs odd#1 (ready: the scheduler is stopped)"
    assert graph.nodes[0].name == "odd"
    assert type(graph.nodes[0].name) is str


def test_it_keeps_no_task() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        gone = ref(queue.submit(acquire))
        graph = scheduler.graph()
        scheduler.resume()
        assert scheduler.wait(DEADLINE)
        until_gone(gone)
        assert len(graph.nodes) == 1


# -- Drawn


def test_mermaid() -> None:
    with planned(stopped=True) as (scheduler,):
        camera = Queue(scheduler, 1, "camera")
        analysis = Queue(scheduler, 4, "analysis")
        frame = camera.submit(acquire)
        analysis.submit(analyse, frame[0], frame, outside := Future[int]())
        text = scheduler.graph().mermaid()
        outside.set_result(0)
    assert text.splitlines()[:10] == [
        "flowchart LR",
        '  subgraph q0["camera"]',
        '  n0["acquire 1<br/>ready"]:::ready',
        "  end",
        '  subgraph q1["analysis"]',
        '  n1["analyse 2<br/>waiting"]:::waiting',
        "  end",
        '  n2["future of another executor<br/>outside"]:::outside',
        '  n0 -->|"#91;0#93;"| n1',
        "  n0 --> n1",
    ]


# What a reader is to see of HOSTILE.
SEEN = 'a"b\\n<script>x</script>\\N &lt; __x__ `]|\\x00\\udce9;#'


def rows_of(graph: Graph) -> list[list[str]]:
    """The cells of the table of text, without its head."""
    rows = graph._repr_mimebundle_()["text/plain"].splitlines()[3:]
    return [re.split(" {2,}", row) for row in rows]


def test_notebooks_are_given_mermaid_and_a_table_of_text_with_escaped_names() -> None:
    """JupyterLab would show HTML, which ranks before Mermaid there."""
    with planned(stopped=True) as (scheduler,):
        task = Queue(scheduler, 1, HOSTILE).submit(hostile)
        Queue(scheduler, 1, "q" * 100_000).submit(acquire, task[HOSTILE])
        graph = scheduler.graph()
    text = graph.mermaid()
    label = re.search(r'^ {2}n0\["([A-Za-z0-9 #;]*) 1<br/>ready"\]:::ready$', text, re.MULTILINE)
    assert label, text
    assert plain(label[1]) == SEEN
    forms = graph._repr_mimebundle_(include=None, exclude=None)
    assert forms.keys() == {"text/vnd.mermaid", "text/plain"} and not hasattr(graph, "_repr_html_")
    assert forms["text/vnd.mermaid"] == text
    key = re.sub(r"^.*\[|\]$", "", graph.edges[0].part)
    assert forms["text/plain"].startswith("Graph of 1 dependency: 1 waiting, 1 ready\n\nTask ")
    assert rows_of(graph) == [
        [f"{SEEN} 1", "ready", SEEN],
        ["acquire 2", "waiting", f"{'q' * 30}…{'q' * 30}", f"{SEEN} 1 [{key}]"],
    ]


# -- Folded


def plain(text: str) -> str:
    """What a reader sees of a Mermaid text."""
    return re.sub(r"#(\d+);", lambda entity: chr(int(entity[1])), text)


def labels(text: str) -> list[str]:
    """What stands in the boxes of a Mermaid text."""
    return re.findall(r'^ +n\d+\["(.*)"\]:::', plain(text), re.MULTILINE)


def drawn(text: str) -> list[str]:
    """The arrows of a Mermaid text."""
    return re.findall(r"^ +(n\d+ -->.*)$", plain(text), re.MULTILINE)


def most(graph: Graph, boxes: int) -> str:
    """The text of at most so many boxes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_graph, "BOXES", boxes)
        return graph.mermaid()


def test_a_large_graph_is_folded_by_function_and_queue() -> None:
    with planned() as (scheduler,):
        camera, analysis = Queue(scheduler, 1, "camera"), Queue(scheduler, 4, "analysis")
        gate, first = occupy(camera)
        scheduler.stop()
        frames = [first, *(camera.submit(acquire) for _ in range(1500))]
        for x, y in pairwise(frames):
            analysis.submit(analyse, x, y)
        analysis.submit(acquire)
        graph = scheduler.graph()
        scheduler.shutdown(wait=False, cancel_futures=True)
        gate.open()
    assert len(graph.nodes) == 3002
    assert len(most(graph, 4000)) < 1000, "there are too many arrows for Mermaid"
    text = graph.mermaid()
    assert labels(text) == [
        "Gate 1<br/>running",
        "acquire x 1,500<br/>1,500 ready",
        "analyse x 1,500<br/>1,500 waiting",
        "acquire 3002<br/>ready",
    ]
    assert drawn(text) == ["n0 --> n2", 'n1 -->|"x 2,999"| n2']
    assert rows_of(graph)[:2] == [
        ["Gate 1", "running", "camera"],
        ["acquire x 1,500", "1,500 ready", "camera"],
    ]
    assert labels(most(graph, 3)) == [
        "2 functions x 1,501<br/>1,500 ready, 1 running",
        "2 functions x 1,501<br/>1,500 waiting, 1 ready",
    ]
    assert labels(most(graph, 1)) == ["3 functions x 3,002<br/>1,500 waiting, 1,501 ready, 1 running"]


def test_a_fold_looks_like_its_task_nearest_to_the_end() -> None:
    with planned(1, stopped=True) as (scheduler, queue):
        tasks = [queue.submit(acquire) for _ in range(3)]
        queue.submit(acquire, tasks[0])
        graph = scheduler.graph()
    text = most(graph, 3)
    assert labels(text) == ["acquire x 4<br/>1 waiting, 3 ready"]
    assert text.count(":::ready") == 1 and drawn(text) == ["n0 --> n0"]
    assert len(labels(most(graph, 4))) == 4


@pytest.mark.parametrize(
    ("count", "needs", "length", "boxes"),
    [(103, 5, 10, 103), (104, 5, 10, 1), (600, 0, 10, 600), (800, 0, 40, 1)],
)
def test_mermaid_is_folded_to_what_mermaid_takes(count: int, needs: int, length: int, boxes: int) -> None:
    """At most 500 arrows and 50,000 characters; here all functions are different."""
    with planned(1, stopped=True) as (scheduler, queue):
        tasks: list[Any] = []
        for number in range(count):

            def fn(*needs: object) -> None: ...

            fn.__qualname__ = f"{number:{length}}"
            tasks.append(queue.submit(fn, *tasks[max(0, number - needs) :]))
        text = scheduler.graph().mermaid()
    assert text.count(" -->") <= 500 and len(text) <= 50_000
    assert len(labels(text)) == boxes
