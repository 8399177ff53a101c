"""The planner interrupted by an exception at each line of each call, and rebuilt from the nodes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import pytest
from marks import slow_but
from planner_checks import check
from planning import Held, Named, Planner, Tolerant, withdraw
from strikes import strike

import smqexec._planner
from smqexec._planner.nodes import DONE, NEW, READY, RUNNING, WAITING, Node, dependencies_of, dependents_of

ROOM = str(Path(smqexec._planner.__file__).parent)


class World:
    """A planner with tasks in all states, the same for each seed."""

    def __init__(self, order: str, seed: int) -> None:
        random = self.random = Random(seed)
        self.planner = planner = Planner(order)
        self.newest = order == "newest"
        self.queues = [planner.new_queue() for _ in range(2)]
        self.nodes: list[Any] = []
        self.held_back: set[Any] = set()  # newest first, these go before all others
        group = planner.group()
        for number in range(40):
            kind = random.choice([Named, Named, Named, Named, Held, Tolerant])
            queue = None if kind is Held else random.choice([*self.queues, *self.queues, None])
            usable = [node for node in self.nodes[-8:] if node._stage < DONE]
            needs = random.sample(usable, min(len(usable), random.randint(0, 3)))
            node = kind(f"{kind.__name__} {number}")
            planner.admit(node, queue, needs, group if queue is not None and number % 5 == 0 else None)
            self.nodes.append(node)
            if number % 4 == 0 and (taken := planner.take(random.choice(self.queues))) is not None:
                if number % 3 == 0:
                    planner.done(taken)
                elif number % 8 == 0:
                    self.nodes.append(Named(f"lack of {taken}"))
                    planner.admit(self.nodes[-1], None)
                    planner.hold_back(taken, self.nodes[-1])
                    self.held_back.add(taken)
            if number % 10 == 9:
                planner.promote(random.choice(self.nodes))
        self.check()

    def in_states(self, *states: int) -> list[Any]:
        return [node for node in self.nodes if node._stage in states]

    def check(self) -> None:
        check(self.planner, self.queues, self.in_states(WAITING, READY, RUNNING))

    def first(self, queue: Any) -> Any:
        """The node of *queue* that is next, by the definition of the order; None if no node is ready."""
        sinks = [node for node in self.in_states(WAITING, READY) if node._queue is not None]
        sinks.sort(key=lambda node: node._number, reverse=self.newest)
        seen = set()
        todo = sinks[::-1]
        while todo:
            node = todo.pop()
            if node._stage < RUNNING and node not in seen:
                if node._stage == READY and node._queue is queue:
                    return node
                seen.add(node)
                todo.extend(reversed(dependencies_of(node)) if self.newest else ())
        return None

    def finish(self) -> None:
        """Run all pending tasks, assert that each starts in its turn, and that all end."""
        planner = self.planner
        while left := self.in_states(WAITING, READY, RUNNING):
            for queue in self.queues:
                held_back = [node for node in self.held_back if node._stage == READY and node._queue is queue]
                expected = held_back if held_back and self.newest else [self.first(queue)]
                assert planner.take(queue) in expected
            self.check()
            ended = self.in_states(RUNNING)
            ended += [node for node in left if node._queue is None and self.may_end(node)]
            assert ended, left
            planner.done(ended[0])

    def may_end(self, relay: Any) -> bool:
        return relay._stage == WAITING and all(node._stage >= RUNNING for node in dependencies_of(relay))


# What is interrupted: each returns the call, and what its caller does after a rebuild.
Act: TypeAlias = tuple[Callable[[], Any], Callable[[], Any]]


def nothing() -> None:
    pass


def add(world: World, relay: bool = False) -> Act:
    needs = world.random.sample(world.in_states(WAITING, READY, RUNNING), 3 - relay)
    world.nodes.append(node := (Held if relay else Named)("new"))
    return partial(world.planner.admit, node, None if relay else world.queues[0], needs), nothing


def add_relay(world: World) -> Act:
    return add(world, relay=True)


def take(world: World) -> Act:
    return partial(world.planner.take, world.queues[1]), nothing


def start(world: World) -> Act:
    return partial(world.planner.start, world.random.choice(world.in_states(READY))), nothing


def hold_back(world: World) -> Act:
    node = next(node for node in world.in_states(RUNNING) if node not in world.held_back)
    world.held_back.add(node)
    world.nodes.append(relay := Named("lack"))
    world.planner.admit(relay, None)
    return partial(world.planner.hold_back, node, relay), nothing


def done(world: World, end: str = "done") -> Act:
    node = max(world.in_states(RUNNING), key=lambda node: node._dependents is not None)
    call = partial(getattr(world.planner, end), node)
    return call, lambda: node._stage == RUNNING and call()


def complete(world: World) -> Act:
    return done(world, "complete")


def drop(world: World) -> Act:
    doomed = [world.random.choice(world.in_states(WAITING, READY))]
    for node in doomed:  # the loop extends the list
        doomed += [other for other in dependents_of(node) if not other._tolerant and other not in doomed]

    def again() -> None:
        for node in doomed:
            if node._stage <= RUNNING:
                world.planner.drop_all(node)

    return partial(world.planner.drop_all, doomed[0]), again


def promote(world: World) -> Act:
    node = world.random.choice([node for node in world.in_states(WAITING, READY) if node._queue is not None])
    return partial(world.planner.promote, node), nothing


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("act", [add, add_relay, take, start, hold_back, done, complete, drop, promote])
@pytest.mark.parametrize("seed", slow_but(1, [0, 1]))
def test_interrupted_at_each_line(order: str, act: Callable[[World], Act], seed: int) -> None:
    line, struck = 1, True
    while struck:
        world = World(order, seed)
        call, again = act(world)
        struck = strike(line, call, files=(ROOM,))
        world.planner.rebuild(world.queues, world.nodes)
        if struck and world.nodes[-1].name == "new":
            withdraw(world.planner, world.nodes.pop())
        again()
        world.check()
        world.finish()
        line += 1
    assert line > 4
    assert not world.in_states(NEW)


def test_rebuild_ends_a_relay_whose_end_was_lost() -> None:
    planner = Planner()
    queue = planner.new_queue()
    first, relay, last = Node(), Node(), Node()
    planner.admit(first, queue)
    planner.admit(relay, None, [first])
    planner.admit(last, queue, [relay])
    assert planner.take(queue) is first
    first._stage = DONE  # and there the exception came
    planner.rebuild([queue], [first, relay, last])
    assert relay._stage == DONE and planner.take(queue) is last


class Whole(Node):
    """A node whose owner keeps a relay for a part of its value."""

    __slots__ = ("part",)

    def _parts(self) -> list[Any]:
        return [self.part] if self.part._stage < DONE else []


def test_rebuild_leaves_a_part_with_its_owner() -> None:
    planner = Planner()
    queue = planner.new_queue()
    whole, part, last = Whole(), Held("part"), Named("last")
    whole.part = part
    part._stage, part._missing, part._dependencies = WAITING, 2, whole
    planner.admit(whole, queue)
    planner.admit(last, queue, [part])
    planner.rebuild([queue], [whole])
    check(planner, [queue], [whole, part, last])
    assert planner.take(queue) is whole
    assert planner.done(part) == [last]
    check(planner, [queue], [whole, last])
    planner.drop_all(whole)
    assert planner.take(queue) is last
