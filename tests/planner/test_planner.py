"""The planner by example.  In the graphs an arrow leads from a task to one that needs it."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterable
from random import Random
from typing import Any

import pytest
from outcomes import Broken, fail
from planner_checks import check, entries
from planning import SEARCHING, Held, Named, Planner, Tolerant, withdraw

from smqexec._planner.line import Line, Search, Thing
from smqexec._planner.nodes import DONE, RUNNING, SWEEP_FROM, Node, dependencies_of, dependents_of


class Counted(Held):
    """Counts how often the states of items were read: a step of any loop over them."""

    __slots__ = ("_kept",)
    reads = 0

    @property
    def _stage(self) -> int:  # type: ignore[override]
        Counted.reads += 1
        return self._kept

    @_stage.setter
    def _stage(self, stage: int) -> None:
        self._kept = stage


class Plan:
    """A planner, its queues by name, and its nodes by name."""

    def __init__(self, order: str = "newest", queues: str = "q") -> None:
        self.planner = Planner(order)
        self.queues = {name: self.planner.new_queue() for name in queues}
        self.nodes: dict[str, Any] = {}

    def add(
        self, name: str, needs: Iterable[str] = (), queue: str = "q", group: Any = None, kind: Any = Named
    ) -> None:
        """Add a node; *needs* are names, so that ``"ab"`` means a and b."""
        node = self.nodes[name] = kind(name)
        self.planner.admit(node, self.queues.get(queue), [self.nodes[need] for need in needs], group)

    def put(self, graph: str) -> None:
        """Add nodes: ``"a b@r x:ab"`` are a, b in queue r, and x, which needs both."""
        for word in graph.split():
            word, _, queue = word.partition("@")
            name, _, needs = word.partition(":")
            self.add(name, needs, queue or "q")

    def item(self, name: str, generator: str, kind: Any = Held) -> None:
        """Add a held relay: a value that *generator* is going to yield."""
        self.add(name, [generator], queue="", kind=kind)

    def take(self, queue: str = "q") -> str | None:
        node = self.planner.take(self.queues[queue])
        return None if node is None else node.name

    def done(self, name: str) -> list[str]:
        return [node.name for node in self.planner.done(self.nodes[name])]

    def drop(self, name: str) -> tuple[list[str], list[str]]:
        dropped, freed = self.planner.drop_all(self.nodes[name])
        return [node.name for node in dropped], [node.name for node in freed]

    def promote(self, name: str) -> bool:
        return self.planner.promote(self.nodes[name])

    def hold_back(self, name: str) -> str:
        """Hold running *name* back: let it wait for a relay; return the name of the relay."""
        relay = f"lack of {name}"
        self.add(relay, queue="")
        self.planner.hold_back(self.nodes[name], self.nodes[relay])
        return relay

    def run(self) -> list[str]:
        """Run all pending tasks, one at a time for each queue in turn; return the order of starts."""
        started: list[str] = []
        while True:
            self.check()
            now = [name for name in map(self.take, self.queues) if name is not None]
            if not now:
                return started
            started += now
            for name in now:
                self.done(name)

    def check(self) -> None:
        pending = [node for node in self.nodes.values() if node._stage < DONE]
        check(self.planner, self.queues.values(), pending)

    def entries(self) -> int:
        return entries(self.planner, self.queues.values())

    def steps(self) -> int:
        return self.planner.order.steps


# Relays: nodes of no queue.


def test_chain_of_relays_needs_no_recursion() -> None:
    plan = Plan()
    plan.add("a")
    plan.add("-1", "a", queue="")
    for index in range(5000):
        plan.add(str(index), [str(index - 1)], queue="")
    plan.add("x", ["4999"])
    assert plan.take() == "a"
    assert plan.done("a") == ["x"]


# Held relays: items of a generator, which is running while it publishes them.


@pytest.mark.parametrize(
    ("asked", "ended"), [("one by one", "in order"), ("all first", "reversed"), ("all first", "shuffled")]
)
def test_stream_of_items_leaves_nothing_on_its_generator(asked: str, ended: str) -> None:
    """10,000 items of a running generator; at most 100 are pending at a time, or all are."""
    plan, random = Plan(), Random(4)
    plan.add("g")
    assert plan.take() == "g"
    size, block = 10_000, 100 if asked == "one by one" else 10_000
    most = Counted.reads = 0
    for start in range(0, size, block):
        names = [f"i{index}" for index in range(start, start + block)]
        for name in names:
            plan.item(name, "g", kind=Counted)
        if ended == "reversed":
            names.reverse()
        elif ended == "shuffled":
            random.shuffle(names)
        for name in names:
            assert plan.done(name) == []
            del plan.nodes[name]
            most = max(most, len(dependents_of(plan.nodes["g"])))
    assert Counted.reads <= 20 * size
    assert most <= 4 * block
    assert len(dependents_of(plan.nodes["g"])) <= SWEEP_FROM
    plan.check()


@pytest.mark.parametrize("wanted", ["by one", "by each", "by a group", "by a fold"])
def test_stream_of_items_costs_a_few_steps_an_item(wanted: str) -> None:
    """Consumers in another queue search all the time, and a newer task is added at each item."""
    plan = Plan(queues="qr")
    last = plan.planner.group()  # its tasks are found when all else was searched
    plan.add("g")
    size = 1000
    for index in range(size):
        plan.item(f"i{index}", "g")
    if wanted == "by one":
        plan.add("total", [f"i{index}" for index in range(size)], queue="r")
    group = plan.planner.group() if wanted == "by a group" else None
    for index in range(size):
        if wanted != "by one":
            needs = [f"x{index - 1}", f"i{index}"] if wanted == "by a fold" and index else [f"i{index}"]
            plan.add(f"x{index}", needs, queue="r", group=group)
    assert plan.take() == "g"
    for index in range(size):
        plan.add(f"n{index}")
        plan.add(f"last{index}", queue="r", group=last)
        assert plan.take("r") == f"last{index}"
        plan.done(f"i{index}")
        while (name := plan.take("r")) is not None:
            plan.done(name)
    plan.check()
    assert plan.steps() <= 12 * size
    assert plan.nodes["g"]._stage == RUNNING


# Adoption.


@pytest.mark.parametrize("chains", [1, 2])
def test_chain_that_grows_while_it_runs_costs_a_step_a_task(chains: int) -> None:
    plan = Plan()
    ends = [""] * chains
    running: list[str] = []
    added = ended = 0
    while ended < 1000:
        for chain in range(chains):
            for _ in range(2 if added < 1000 else 0):
                needs = [ends[chain]] if ends[chain] else []
                ends[chain] = f"{chain}.{added}"
                plan.add(ends[chain], needs)
                added += 1
        while len(running) < 4 and (name := plan.take()) is not None:
            running.append(name)
        plan.done(running.pop(0))
        ended += 1
    plan.check()
    assert plan.steps() <= 1.5 * ended


def test_ladder_that_grows_while_it_runs_costs_a_step_a_task() -> None:
    """Each task needs its predecessor and a random recent task."""
    plan, random = Plan(), Random(0)
    plan.add("0")
    for task in range(1, 600):
        plan.add(str(task), dict.fromkeys([str(task - 1), str(random.randrange(max(0, task - 9), task))]))
        if task % 2:
            name = plan.take()
            assert name is not None
            plan.done(name)
    plan.check()
    plan.run()
    assert plan.steps() <= 2 * 600


def test_other_dependencies_of_an_adopted_task_are_searched_last() -> None:
    r"""::

    a --> b --> x <-- c <-- d       a is running when x comes
    """
    plan = Plan(queues="qr")
    plan.put("d c:d a e b:ae")
    assert plan.take() == "a"
    plan.add("x", "bc")
    plan.check()
    assert plan.steps() == 2
    assert plan.run() == ["e", "d", "c"]
    assert plan.done("a") == ["b"]
    assert plan.run() == ["b", "x"]


def test_nodes_of_a_suspended_search_go_before_an_older_search() -> None:
    """Two become ready at once: neither of them lets the search begin at w, which needs p alone."""
    plan = Plan(queues="qr")
    plan.put("e@r p w:p z a:e b:e h:ab")
    assert plan.take("r") == "e"
    assert plan.take("q") == "z"
    assert plan.done("e") == ["a", "b"]
    assert [plan.take("q") for _ in range(3)] == ["a", "b", "p"]


# Dropping.


def test_nodes_visited_through_a_promoted_task_are_listed_again_when_it_is_dropped() -> None:
    plan = Plan(queues="qr")
    plan.put("e@r k@r x d:e n:d h:nx")
    assert plan.take("q") == "x"
    plan.promote("n")
    plan.drop("n")
    plan.check()
    assert plan.take("r") == "e", "d needs it, and is newer than k"


def test_search_does_not_go_on_behind_a_node_that_a_drop_has_cut_off() -> None:
    """The search of x has lost v, m and b to the search of v, in the middle of what b needs."""
    plan = Plan(queues="qr")
    plan.put("old@r k e b:ke m:b")
    plan.add("v", "m", kind=Tolerant)
    plan.put("g x:v")
    assert plan.take() == "k"
    plan.promote("v")
    assert plan.planner.take(plan.queues["r"], limit=3) is SEARCHING
    plan.drop("m")
    plan.check()
    assert [plan.take(), plan.take(), plan.take()] == ["v", "g", "e"], "g is newer than b, which needs e"


def test_search_does_not_go_on_in_the_dependencies_of_a_dropped_node() -> None:
    """The search of x is suspended in the dependencies of m, of which no search has visited e."""
    plan = Plan()
    plan.put("e k f g m:ke")
    plan.add("x", "mf", kind=Tolerant)
    assert plan.take() == "k"
    plan.drop("m")
    plan.check()
    assert [plan.take(), plan.take(), plan.take()] == ["f", "g", "e"], "x needs f"


def test_dissolved_search_keeps_nothing() -> None:
    """A newer task that needs an old one is added and dropped many times, and no entry is left."""
    plan = Plan(queues="qr")
    plan.put("a@r b:a@r")
    sizes = []
    for round in range(300):
        plan.put("k x:bk y:x")
        assert plan.take() == "k"
        plan.done("k")
        plan.drop("x")
        plan.add("k")
        assert plan.take() == "k"
        plan.done("k")
        if round % 10 == 0:
            plan.check()
        sizes.append(plan.entries())
    assert max(sizes[200:]) <= max(sizes[:100]) <= 4 * SWEEP_FROM


def test_wide_fan_forgets_dropped_dependents() -> None:
    plan = Plan()
    plan.add("a")
    for index in range(1000):
        plan.add(f"x{index}", "a")
    for index in Random(1).sample(range(1000), 990):
        plan.drop(f"x{index}")
    dependents = plan.nodes["a"]._dependents
    assert dependents is not None
    assert len(dependents) <= 10 + SWEEP_FROM
    plan.check()
    assert len(plan.run()) == 11


def test_long_search_leaves_no_gaps_where_it_found_nodes() -> None:
    plan = Plan()
    plan.add("f", queue="")
    plan.add("old")
    names = [f"x{index}" for index in range(1000)]
    for name in names:
        plan.add(name, "f")
    plan.add("later", "f")
    plan.add("sink", [*names, "old", "later"])
    assert plan.take() == "old"
    assert plan.entries() <= 4 * SWEEP_FROM
    plan.check()


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_drop_of_ready_tasks_in_any_order(order: str) -> None:
    """Half of the tasks are ready when they are added, half become ready later, in another order."""
    plan, random = Plan(order), Random(2)
    plan.add("f", queue="")
    names = [f"x{index}" for index in range(300)]
    for name in names:
        plan.add(name, "f" if random.random() < 0.5 else "")
    for name in random.sample(names, 150):
        plan.promote(name)
    plan.done("f")
    doomed = set(random.sample(names, 280))
    for name in names:
        if name in doomed:
            plan.drop(name)
            plan.check()
    assert plan.entries() <= 4 * SWEEP_FROM
    assert len(plan.run()) == 20
    assert plan.entries() <= 4 * SWEEP_FROM


# Others.


def test_dropped_nodes_are_skipped_oldest_first() -> None:
    """A dropped entry is not searched for: it is removed when it comes to the front."""
    plan = Plan("oldest")
    plan.add("f", queue="")
    plan.add("g", queue="")
    for index in range(100):
        plan.add(f"x{index}", "f" if index % 2 else "g")
    plan.done("g")
    plan.done("f")  # so these are late
    for name in ["x1", "x3", "x0", "x2", "x50"]:
        plan.drop(name)
        plan.check()
    assert plan.run() == [f"x{index}" for index in range(4, 100) if index != 50]
    plan.put("a b c")
    for index in range(200):
        plan.add(f"later {index}")
    plan.drop("b")
    plan.check()
    assert [plan.take() for _ in range(2)] == ["a", "c"]


def test_unknown_order() -> None:
    with pytest.raises(ValueError, match="order must be 'newest' or 'oldest', not 'random'"):
        Planner("random")


def test_ready_node_that_no_line_has_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception struck as it was listed.  The next worker that takes a node does not search for ever."""
    plan = Plan()
    plan.put("a b:a")
    assert plan.take() == "a"
    with monkeypatch.context() as patch, pytest.raises(Broken):
        patch.setattr(type(plan.planner.order), "list_ready", fail)
        plan.planner.done(plan.nodes["a"])
    with pytest.raises(RuntimeError, match="1 ready nodes are in no line"):
        plan.take()


def test_held_back_task_that_is_ready_again_is_dropped() -> None:
    plan = Plan()
    plan.put("a b")
    assert plan.take() == "b"
    plan.done(plan.hold_back("b"))
    plan.drop("b")
    plan.check()
    assert [plan.take(), plan.take()] == ["a", None]


def test_search_skips_a_promoted_dependency_that_no_search_owns() -> None:
    plan = Plan()
    plan.put("r")
    assert plan.take() == "r"
    plan.put("y:r p x:yp q w:qy")
    plan.promote("y")  # all its dependencies run, so it is in no line
    assert [plan.take(), plan.take(), plan.take()] == ["q", "p", None]
    plan.check()
    for name in "qpr":
        plan.done(name)
    assert plan.run() == ["y", "w", "x"]


def test_thing_that_was_late_and_comes_again_on_top_is_not_late() -> None:
    line, newer, older = Line(), Thing(2), Thing(1)
    line.push(newer)
    line.push(older)
    assert line.late_top == 1
    assert line.remove(newer) and line.remove(older)
    line.push(older)
    line.tidy()
    assert line.things[-1] is older
    assert line.late_top < 1


# Searching in slices.


def test_limit_cuts_a_search_into_slices() -> None:
    """A chain of 100 below the newest sink: each call goes on with the search, and makes ten steps more."""
    plan = Plan()
    for task in range(101):
        plan.add(str(task), [str(task - 1)] if task else ())
    slices = 0
    while (node := plan.planner.take(plan.queues["q"], 10)) is SEARCHING:
        slices += 1
        plan.check()
    assert node is plan.nodes["0"]
    assert slices == 10
    assert plan.steps() == 101


def test_search_looks_at_each_node_once() -> None:
    """Nodes of another queue too; and it visits none while no node of its queue is ready."""
    plan = Plan(queues="qr")
    plan.put("z@r a x@r y@r w@r b:x s:axywb")
    assert [plan.take("q"), plan.take("q"), plan.steps()] == ["a", None, 2]
    assert [plan.take("r"), plan.steps()] == ["x", 3]
    plan.done("x")
    assert [plan.take("q"), plan.steps()] == ["b", 6]
    assert [plan.take("r"), plan.take("r"), plan.take("r")] == ["y", "w", "z"]
    assert plan.steps() == 6


# Nothing grows, and nothing is kept.


def service(plan: Plan, rounds: int, step: Any) -> int:
    """Play *rounds* and return the most entries that the planner ever had."""
    most = 0
    for number in range(rounds):
        step(number)
        for name in [name for name, node in plan.nodes.items() if node._stage >= DONE]:
            del plan.nodes[name]
        most = max(most, plan.entries()) if number % 16 == 0 else most
    plan.check()
    return most


def finish(plan: Plan, queue: str = "q", limit: int = 1_000_000) -> None:
    while limit and (name := plan.take(queue)) is not None:
        plan.done(name)
        limit -= 1


def test_service_that_always_has_work_does_not_grow() -> None:
    """A chain that never ends; each task also needs a part, which runs already."""
    plan = Plan(queues="qr")
    plan.add("part", queue="r")
    assert plan.take("r") == "part"
    plan.add("total", ["part"])

    def step(number: int) -> None:
        plan.add("next part", queue="r")
        assert plan.take("r") == "next part"
        plan.add("next total", ["total", "next part"])
        if number % 1000 == 0:
            plan.check()
        plan.done("part")
        assert plan.planner.take(plan.queues["q"]) is plan.nodes["total"]
        plan.done("total")
        for name in ["part", "total"]:
            plan.nodes[name] = plan.nodes.pop(f"next {name}")

    assert service(plan, 5000, step) < 4 * SWEEP_FROM


@pytest.mark.parametrize("size", [1, 2])
def test_service_of_groups_does_not_grow(size: int) -> None:
    """A sink needs the first task of each group; newer tasks always go before the older groups."""
    plan = Plan(queues="qr")

    def step(number: int) -> None:
        group = plan.planner.group()
        for index in range(size):
            plan.add(f"g{number}.{index}", group=group)
        plan.add("x", [f"g{number}.0"])
        finish(plan, limit=1 + size)

    assert service(plan, 3000, step) < 4 * SWEEP_FROM


@pytest.mark.parametrize("change", ["promoted", "dropped", "dropped and late"])
def test_tasks_that_leave_before_their_turn_leave_no_entry(change: str) -> None:
    plan = Plan()
    late = plan.planner.group()
    plan.put("a b")

    def step(number: int) -> None:
        if change == "promoted":
            plan.promote("ab"[number % 2])
        else:
            plan.add("x", group=plan.planner.group() if change == "dropped" else late)
            plan.drop("x")

    assert service(plan, 1000, step) < 4 * SWEEP_FROM


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_done_task_is_freed_while_older_searches_are_suspended(order: str) -> None:
    """The search of x is suspended with a and b before it; a has run, and x alone needs its result."""
    plan = Plan(order, queues="qr")
    plan.put("w@r a b x:wab s:a")
    assert plan.take() == "a"
    plan.done("a")
    if order == "newest":
        assert [plan.take(), plan.take()] == ["s", "b"]
    gone = weakref.ref(plan.nodes["a"])
    assert plan.nodes.pop("a") in dependencies_of(plan.nodes["x"])
    for name in "xs":
        plan.drop(name)
        plan.nodes[name]._dependencies = ()  # as the owner does
    assert gone() is None, "without a collector"
    plan.check()


def test_started_task_releases_its_dependencies_although_a_search_is_suspended_in_them() -> None:
    """The search of x is suspended inside the dependencies of y when the last of these is met."""
    plan = Plan(queues="qr")
    plan.put("a b c@r y:ab x:yc")
    assert plan.take() == "a"
    plan.done("a")
    assert plan.take() == "b"
    plan.done("b")
    gone = [weakref.ref(plan.nodes.pop(name)) for name in "ab"]
    assert all(ref() is not None for ref in gone), "y needs the results"
    assert plan.take() == "y"
    assert [ref() for ref in gone] == [None, None]
    plan.check()
    assert plan.take("r") == "c"


def test_started_task_releases_its_one_dependency_although_a_search_is_suspended_before_it() -> None:
    """The search of x is suspended between b and a, the only dependency of b."""
    plan = Plan(queues="qr")
    plan.put("y@r a b:a x:b")
    assert plan.planner.take(plan.queues["r"], limit=2) is SEARCHING
    plan.planner.start(plan.nodes["a"])
    plan.done("a")
    plan.planner.start(plan.nodes["b"])
    gone = weakref.ref(plan.nodes.pop("a"))
    assert gone() is None
    plan.check()
    assert plan.take("r") == "y"


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_planner_keeps_nothing_of_a_finished_random_graph(order: str) -> None:
    plan, random = Plan(order, queues="qr"), Random(3)
    for index in range(300):
        needs = random.sample(list(plan.nodes), min(index, random.randrange(4)))
        plan.add(f"x{index}", needs, random.choice("qr"))
        if index % 3 == 0 and (name := plan.take(random.choice("qr"))) is not None:
            plan.done(name)
    plan.run()
    gone = [weakref.ref(node) for node in plan.nodes.values()]
    plan.nodes.clear()
    assert not any(ref() is not None for ref in gone)
    assert plan.entries() <= 4 * SWEEP_FROM


def test_shelf_that_loses_nodes_out_of_turn_does_not_grow() -> None:
    head, node, queue = Named("head"), Named("x"), Planner().new_queue()
    head._number = 1
    node._search = search = Search(head._number)
    node._queue = queue
    for place in range(1000):
        node._place = place
        search.shelve(node)
        if place:
            search.unshelve(node)
    node._place = 0
    assert len(search.shelves[queue].heap) <= 2 + SWEEP_FROM
    assert search.shelves[queue].pop() is node


# Rebuilding.


def test_held_back_task_after_a_rebuild() -> None:
    """Its relay is done before the rebuild, or after it."""
    plan = Plan()
    plan.put("h i")
    assert [plan.take() for _ in range(2)] == ["i", "h"]
    late, early = plan.hold_back("i"), plan.hold_back("h")
    plan.done(early)
    plan.put("a b")
    lost = Named("lost")
    plan.planner.admit(lost, plan.queues["q"], [plan.nodes["b"]])
    plan.planner.rebuild([*plan.queues.values()], [plan.nodes[late], lost])
    withdraw(plan.planner, lost)
    plan.check()
    plan.put("c d")
    plan.check()
    plan.done(late)
    assert plan.run() == ["h", "i", "d", "c", "b", "a"]
    assert lost._stage > RUNNING


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_rebuild_while_many_tasks_end(order: str) -> None:
    """A node that waits for a dropped node never becomes ready."""
    planner = Planner(order)
    queue = planner.new_queue()
    nodes = [Node() for _ in range(10)]
    for place, node in enumerate(nodes):
        planner.admit(node, queue, nodes[max(place - 1, 0) : place])
    doomed = deque(nodes[:1])
    dropped, freed = planner.drop(doomed, None, None, 3)
    assert (dropped, freed, list(doomed)) == (nodes[:3], [], nodes[3:4])
    lost = Node()
    planner.admit(lost, queue)
    planner.rebuild([queue], [*doomed, lost])
    withdraw(planner, lost)
    assert planner.take(queue) is None
    assert (queue.waiting, queue.ready) == (7, 0)
    assert planner.drop(doomed, None, None) == (nodes[3:], [])
    assert (queue.waiting, queue.ready, planner.take(queue)) == (0, 0, None)
    check(planner, [queue], [])
