"""The planner beside the naive search: small graphs exhaustively, long walks at random."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, combinations, permutations, product
from random import Random
from typing import Any

import pytest
from marks import slow_but
from model import Model
from planner_checks import check, entries
from planning import SEARCHING, Held, Named, Planner, Tolerant, TolerantHeld

from smqexec._core.queue_state import Barrier
from smqexec._planner.nodes import READY, RUNNING, SWEEP_FROM

ORDERS = ["newest", "oldest"]


class Both:
    """A planner and the naive model: each call goes to both, and they must answer alike."""

    def __init__(self, order: str = "newest", queues: int = 1, in_order: Collection[int] = ()) -> None:
        self.planner = Planner(order)
        self.queues = [self.planner.new_queue() for _ in range(queues)]
        self.model = Model(order)
        self.model.lines = {queue: [] for queue in in_order}
        self.last: dict[int, Any] = dict.fromkeys(in_order)  # the barrier of the task added last
        self.barriers: dict[int, Barrier] = {}  # of tasks that have not started
        self.nodes: list[Any] = []
        self.groups: list[tuple[Any, int]] = []

    def check(self) -> None:
        check(self.planner, self.queues, [self.nodes[task] for task in self.tasks("pending", "running")])

    def tasks(self, *states: str) -> list[int]:
        return [task for task, state in self.model.state.items() if state in states]

    def running(self, queue: int) -> list[int]:
        return [task for task in self.tasks("running") if self.model.queue[task] == queue]

    def relays(self) -> list[int]:
        """Return the relays that `done` may end, held or not: no dependency of theirs is pending."""
        pending = self.tasks("pending")
        relays = [task for task in pending if self.model.queue[task] is None]
        return [task for task in relays if not set(pending).intersection(self.model.needs[task])]

    def ready(self) -> set[int]:
        tasks = [task for task in self.tasks("pending") if self.model.queue[task] is not None]
        return set(filter(self.model.ready, tasks))

    def group(self) -> int:
        """Open a group: the model's name for it is a number that no other submission has."""
        self.model.clock += 1
        self.groups.append((self.planner.group(), self.model.clock))
        return len(self.groups) - 1

    def add(
        self, queue: int | None, needs: Sequence[int] = (), group: Any = None, tolerant: bool = False,
        held: bool = False,
    ) -> int:  # fmt: skip
        task = len(self.nodes)
        ended = [need for need in needs if self.model.state[need] in ("done", "dropped")]
        node = ((Named, Tolerant), (Held, TolerantHeld))[held][tolerant](task)
        self.nodes.append(node)
        ordered = queue in self.last
        grouped = group is not None and not ordered and self.model.newest
        opened, submission = self.groups[group] if grouped else (None, None)
        self.model.add(task, queue, [need for need in needs if need not in ended], submission)
        slots = None if queue is None else self.queues[queue]
        last = self.last[queue] if ordered else None  # type: ignore[index]
        before = [] if last is None else [last]
        self.planner.admit(node, slots, [*before, *(self.nodes[need] for need in needs)], opened)
        if ordered:
            self.last[queue] = self.barriers[task] = barrier = Barrier()  # type: ignore[index]
            self.planner.admit(barrier, None, [node, *before])
        return task

    def started(self) -> list[int]:
        """Return the tasks that may be held back: running ones, or the first of a queue in order."""
        running = [task for task in self.tasks("running") if self.model.queue[task] not in self.last]
        return running + [task for task in self.barriers if self.nodes[task]._stage == READY]

    def hold_back(self, task: int) -> None:
        """Let *task*, one of `started`, wait for a relay, like a task that lacks a resource."""
        if self.nodes[task]._stage == READY:
            self.planner.start(self.nodes[task])
        relay = self.add(None)
        self.planner.hold_back(self.nodes[task], self.nodes[relay])
        self.model.hold_back(task, relay)

    def take(self, queue: int, limit: int | None = None) -> int | None:
        return self._starts(self.model.first(queue), limit, partial(self.planner.take, self.queues[queue]))

    def _starts(self, expected: int | None, limit: int | None, call: Callable[[Any], Any]) -> int | None:
        node: Any = SEARCHING
        while node is SEARCHING:
            node = call(limit)
            assert node is not SEARCHING or limit is not None
        got = None if node is None else node.name
        assert got == expected, (got, expected)
        if expected is not None:
            assert node._stage == RUNNING
            before = self.ready()
            self.model.state[expected] = "running"
            self.model.leave_line(expected)
            barrier = self.barriers.pop(expected, None)
            freed = [] if barrier is None else self.planner.done(barrier)
            assert {node.name for node in freed} == self.ready() - before
        return expected

    def done(self, task: int) -> None:
        before = self.ready()
        self.model.end(task)
        self._end_relays()
        freed = self.planner.done(self.nodes[task])
        assert {node.name for node in freed} == self.ready() - before
        assert len(freed) == len(set(freed))

    def complete(self, task: int, limit: int | None = None) -> int | None:
        """End *task* and start the next of its queue, in one call of the planner."""
        before = self.ready()
        self.model.state[task] = "done"
        self._end_relays()
        became = self.ready() - before
        expected = self.model.first(self.model.queue[task])
        node, freed = self.planner.complete(self.nodes[task], limit)
        names = {node.name for node in freed}
        assert names <= became <= names | {expected} and len(freed) == len(names), (freed, became)
        again = partial(self.planner.take, self.nodes[task]._queue)
        return self._starts(expected, limit, again if node is SEARCHING else lambda limit: node)

    def drop(self, task: int) -> None:
        before = self.ready()
        state, needs = self.model.state, self.model.needs
        doomed = {task}
        for other in self.tasks("pending"):  # in the order they were added
            if not self.nodes[other]._tolerant and doomed.intersection(needs[other]):
                doomed.add(other)
        state.update(dict.fromkeys(doomed, "dropped"))
        for other in doomed:
            self.model.leave_line(other)
        self._end_relays()
        dropped, freed = self.planner.drop_all(self.nodes[task])
        for node in dropped:
            self.barriers.pop(node.name, None)
        names = [node.name for node in dropped]
        assert names[0] == task and set(names) == doomed and len(names) == len(doomed)
        assert {node.name for node in freed} == self.ready() - before
        assert len(freed) == len(set(freed))

    def promote(self, task: int) -> None:
        promotable = self.model.state[task] == "pending" and self.model.queue[task] is not None
        assert self.planner.promote(self.nodes[task]) == promotable
        if promotable:
            self.model.promote(task)

    def _end_relays(self) -> None:
        state, needs = self.model.state, self.model.needs
        for task in self.tasks("pending"):
            relay = self.model.queue[task] is None and not self.nodes[task]._ended_by_owner
            if relay and needs[task] and {state[need] for need in needs[task]} <= {"done", "dropped"}:
                state[task] = "done"


# Every small graph, every schedule.

Graph = tuple[tuple[int, ...], ...]


def graphs(tasks: int, ordered: bool) -> Iterator[Graph]:
    """All graphs; *ordered*: with every order of arguments."""

    def arguments(task: int) -> list[tuple[int, ...]]:
        choose = permutations if ordered else combinations
        return list(chain.from_iterable(choose(range(task), size) for size in range(task + 1)))

    return product(*(arguments(task) for task in range(tasks)))


def every_choice(play: Callable[[Callable[[int], int]], None]) -> int:
    """Call *play* for every sequence of choices that it makes, and return how many there were."""
    path: list[list[int]] = []  # [choice, how many there are]
    for plays in range(1, 1_000_000):
        depth = 0

        def choose(options: int) -> int:
            nonlocal depth
            if depth == len(path):
                path.append([0, options])
            depth += 1
            return path[depth - 1][0]

        play(choose)
        while path and path[-1][0] + 1 == path[-1][1]:
            path.pop()
        if not path:
            return plays
        path[-1][0] += 1
    raise AssertionError("too many plays")


def play(
    graph: Graph, queue_of: tuple[int, ...], slots: int, order: str, first: int, choose: Callable[[int], int],
    in_order: Collection[int] = (), drops: int = 0, items: Mapping[tuple[int, int], int] | None = None,
) -> None:  # fmt: skip
    """Submit *first* tasks, then let chance decide what is next: a submission, an end, one of *drops*.

    Free slots are filled at once, as the scheduler does.  *items* says, for each pair (task, generator),
    how many items of that generator the task needs; 0: the whole of it.
    """
    both = Both(order, max(queue_of) + 1, in_order=in_order)
    added: list[int] = []  # the tasks, without their items

    def add() -> None:
        task = len(added)
        needs: list[int] = []
        for need in graph[task]:
            count = items[task, need] if items else 0
            needs += [both.add(None, [added[need]], held=True) for _ in range(count)] or [added[need]]
        added.append(both.add(queue_of[task], needs))

    for _ in range(first):
        add()
    while True:
        for queue in range(len(both.queues)):
            while len(both.running(queue)) < slots and both.take(queue) is not None:
                pass
        ways: list[Callable[[], Any]] = [partial(both.complete, task) for task in both.tasks("running")]
        ways += [partial(both.done, item) for item in both.relays()]
        if len(added) < len(graph):
            if any(both.model.state[added[need]] == "dropped" for need in graph[len(added)]):
                return  # it would be dropped at once
            ways.append(add)
        if not ways:
            break
        if drops:
            ways += [partial(both.drop, task) for task in both.tasks("pending")]
        choice = choose(len(ways))
        drops -= choice >= len(ways) - len(both.tasks("pending")) and drops > 0
        ways[choice]()
        both.check()
    assert not both.tasks("pending", "running")
    assert not any(both.model.lines.values()) and not both.barriers


@pytest.mark.parametrize("tasks, order", slow_but([(3, "oldest"), (4, "newest")], product([3, 4], ORDERS)))
def test_all_small_graphs_submitted_first(tasks: int, order: str) -> None:
    for graph in graphs(tasks, ordered=True):
        every_choice(partial(play, graph, (0,) * tasks, 2, order, tasks))


@pytest.mark.parametrize("tasks, slots", slow_but([(3, 1), (3, 2)], [(3, 1), (3, 2), (4, 1)]))
def test_all_small_graphs_submitted_while_running(tasks: int, slots: int) -> None:
    for graph in graphs(tasks, ordered=tasks < 4):
        every_choice(partial(play, graph, (0,) * tasks, slots, "newest", 0))


@pytest.mark.parametrize("first", [0, 3])
def test_all_small_graphs_on_two_queues(first: int) -> None:
    for graph in graphs(3, ordered=True):
        for queue_of in product((0, 1), repeat=3):
            every_choice(partial(play, graph, queue_of, 1, "newest", first))


# The same with a queue that starts in order.


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("slots, first, drops", [(1, 0, 0), (2, 3, 0), (1, 3, 1), (2, 0, 1)])
def test_all_small_graphs_in_order(slots: int, first: int, drops: int, order: str) -> None:
    """On one queue that starts in order, and on one beside another that does not."""
    for graph in graphs(3, ordered=True):
        for queue_of in product((0, 1), repeat=3):
            every_choice(partial(play, graph, queue_of, slots, order, first, in_order=[0], drops=drops))


@pytest.mark.slow
def test_four_tasks_in_order() -> None:
    for graph in graphs(4, ordered=False):
        for queue_of in [(0, 0, 0, 0), (1, 0, 0, 0), (0, 0, 0, 1), (1, 0, 0, 1), (1, 0, 1, 0), (0, 1, 0, 1)]:
            every_choice(partial(play, graph, queue_of, 1, "newest", 4, in_order=[0]))


# The same with generators, whose items end before them.


def partings(graph: Graph, choices: Sequence[int]) -> Iterator[dict[tuple[int, int], int]]:
    """All choices of how many items each task needs of another, two in all at most."""
    needs = [(task, need) for task, dependencies in enumerate(graph) for need in dependencies]
    counts = product(choices, repeat=len(needs))
    return (dict(zip(needs, chosen, strict=True)) for chosen in counts if sum(chosen) <= 2)


@pytest.mark.parametrize(
    "order, slots, first", slow_but(("newest", 2, 3), [("newest", 1, 0), ("newest", 2, 3), ("oldest", 1, 0)])
)
def test_all_small_graphs_of_generators(order: str, slots: int, first: int) -> None:
    for graph in graphs(3, ordered=True):
        for items in partings(graph, [0, 1, 2]):
            every_choice(partial(play, graph, (0, 0, 0), slots, order, first, items=items))


def test_every_schedule_is_tried() -> None:
    """Three independent tasks in two slots: three, then two, then one may end first: 2 * 2 * 1."""
    assert every_choice(partial(play, ((), (), ()), (0, 0, 0), 2, "newest", 3)) == 4
    assert sum(1 for _ in graphs(4, ordered=False)) == 64


# Random walks.


def walk(seed: int, order: str, steps: int = 200) -> None:
    """Do anything allowed, with other preferences for each seed."""
    random = Random(seed)
    queues = range(random.randint(1, 3))
    in_order = [queue for queue in queues if random.random() < 0.4]
    both = Both(order, len(queues), in_order)
    slots = [random.randint(1, 4) for _ in queues]
    most_needs, recent = random.randint(0, 4), random.choice([3, 10, 100])
    p_add, p_drop = random.choice([0.3, 0.5, 0.7]), random.choice([0, 0, 0.03, 0.1])
    p_promote, p_relay = random.choice([0, 0.05, 0.2]), random.choice([0, 0.1, 0.3, 0.5])
    p_group, p_tolerant = random.choice([0, 0.1, 0.5]), random.choice([0, 0.2])
    p_held = random.choice([0, 0.5, 1])
    p_back = random.choice([0, 0, 0.1, 0.3])
    for step in range(steps):
        tasks = range(len(both.nodes))
        if random.random() < p_add:
            # A new task can't be given a dropped one, unless it tolerates that.
            tolerant = random.random() < p_tolerant
            usable = [task for task in tasks[-recent:] if tolerant or both.model.state[task] != "dropped"]
            needs = random.choices(usable, k=random.randint(0, most_needs)) if usable else []
            if random.random() < p_held:  # and items, of one generator as often as not
                recently = both.tasks("pending")[-2 * recent :]
                items = [task for task in recently if both.nodes[task]._ended_by_owner]
                needs += [task for task in items[-random.randint(1, 8) :] if random.random() < 0.5]
            if random.random() < p_relay:
                held = random.random() < p_held
                if held and random.random() < 0.7:  # an item, most often of a generator
                    needs = [random.choice(both.tasks("running") or usable)] if usable else []
                both.add(None, needs, tolerant=tolerant, held=held)
            else:
                group = None
                if random.random() < p_group:
                    known = both.groups and random.random() < 0.8
                    group = random.randrange(len(both.groups)) if known else both.group()
                both.add(random.choice(queues), needs, group, tolerant)
        elif random.random() < p_back and (started := both.started()):
            both.hold_back(random.choice(started))
        elif random.random() < p_drop and (alive := both.tasks("pending", "running")):
            both.drop(random.choice(alive))
        elif random.random() < p_promote and tasks:
            both.promote(random.choice(tasks))
        elif random.random() < p_relay and (relays := both.relays()):
            both.done(random.choice(relays))
        else:
            queue = random.choice(queues)
            running = both.running(queue)
            if running and (len(running) >= slots[queue] or random.random() < 0.5):
                end = random.choice([both.done, both.complete])
                end(random.choice(running))
            else:
                both.take(queue, random.choice([None, 1, 3]))
        if step % 8 == 0:
            both.check()
    while both.tasks("pending", "running"):
        for queue in queues:
            both.take(queue)
        ended = random.choice(both.tasks("running") + both.relays())
        (both.complete if both.model.queue[ended] is not None and random.random() < 0.5 else both.done)(ended)
    both.check()
    assert entries(both.planner, both.queues) < 4 * SWEEP_FROM + 10, "nothing is pending"


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("chunk", slow_but([0, 4], range(16)))
def test_random_walk(chunk: int, order: str) -> None:
    count = 12 if order == "newest" else 4
    for seed in range(chunk * count, chunk * count + count):
        try:
            walk(seed, order)
        except BaseException:
            print(f"walk({seed}, {order!r})")
            raise


# Searches that adopt newer tasks, or lose their heads to newer searches.


@pytest.fixture
def searched() -> Iterator[tuple[Both, Callable[[], int]]]:
    """Queues 0 and 1 for the test, and a function that finishes all searches, and returns all their steps."""
    both = Both(queues=3)
    for _ in range(100):
        both.add(2)

    def search() -> int:
        assert both.take(2) is not None
        both.check()
        return both.planner.order.steps

    yield both, search
    both.check()


def drain(both: Both, queue: int) -> None:
    """Run the remaining tasks of *queue*, one at a time."""
    for task in both.running(queue):
        both.done(task)
    while (started := both.take(queue)) is not None:
        both.done(started)
        both.check()


def test_sinks_of_one_pending_chain_are_adopted_in_turn(searched: Any) -> None:
    both, search = searched
    both.take(both.add(0) and 0)
    chain = both.add(0)
    for _ in range(20):
        chain = both.add(0, [chain])
    steps = search()
    for _ in range(30):
        both.add(0, [chain])
        end = search()
    assert 30 <= end - steps <= 4 * 30
    drain(both, 0)


def test_chain_with_another_sink_at_each_task(searched: Any) -> None:
    both, search = searched
    both.take(both.add(0) and 0)
    link = both.add(0, [both.add(0)])
    steps = search()
    for _ in range(30):
        previous, link = link, both.add(0, [link])
        both.add(0, [previous])
        end = search()
    assert 60 <= end - steps <= 5 * 60
    drain(both, 0)


def test_heads_that_cannot_be_removed_are_visited_once(searched: Any) -> None:
    both, search = searched
    first = both.add(0)
    assert both.take(0) == first
    former = both.add(0, [both.add(0, [first])])
    search()
    head = both.add(0, [former])
    both.add(1, [both.add(1), head])
    for _ in range(40):
        head = both.add(0, [head])
    steps = search()
    for _ in range(40):
        both.add(0, [former])
        end = search()
    assert 40 <= end - steps <= 6 * 40
    drain(both, 0)


@pytest.mark.parametrize("late", [False, True])
def test_search_ends_before_all_that_it_owns_has_started(searched: Any, late: bool) -> None:
    """A newer search has taken over only a part of the path to a task, and a drop cuts off the older one.

    *late*: the task becomes ready in that drop, just before the tolerant head of the older search.
    """
    both, search = searched
    first, cut = both.add(1), both.add(None)
    last = both.add(0, [both.add(0, [cut])], tolerant=True) if late else both.add(0)
    between = both.add(0, [first, last])
    both.add(0, [both.add(0, [between, cut])], tolerant=True)
    search()
    other = both.add(1)
    both.add(0, [other, between])
    assert both.take(1) == other
    assert both.take(1) == first  # the newer search now owns *between*, and will visit *last* next
    both.drop(cut)
    assert last in both.ready()
    both.check()
    both.promote(last)
    drain(both, 0)
