"""What must hold of a planner's structures at any time between two calls, and what there is in them."""

from __future__ import annotations  # noqa: I001

from collections.abc import Callable, Iterable
from math import inf
from typing import Any

from smqexec._planner.line import BOTTOM, GAP, HELD_BACK, Line, Search, Shelf
from smqexec._planner.newest import NewestFirst
from smqexec._planner.nodes import (
    DONE, LATE, READY, RUNNING, WAITING, Node, PlannedQueue, dependencies_of, dependents_of, linked,
)  # fmt: skip
from smqexec._planner.planner import DependencyPlanner


def entries(planner: DependencyPlanner, queues: Iterable[PlannedQueue]) -> int:
    """The number of entries kept for *queues*, which are all of the planner's, live and dead."""
    queues = list(queues)
    order = planner.order
    if not isinstance(order, NewestFirst):
        return sum(len(queue.line.things) + len(queue.line.late) for queue in queues)
    lines = [order.todo, *(queue.line for queue in queues)]
    count = sum(
        len(line.things) - 1 + len(line.late) + len(line.descending) + len(line.heap) for line in lines
    )
    count += sum(len(queue.held_back) for queue in queues)
    for search in _searches(order, queues):
        count += 1 + len(search.frames) + len(search.later)
        count += sum(1 + len(shelf.nodes) + len(shelf.heap) for shelf in search.shelves.values())
    return count


def check(
    planner: DependencyPlanner, queues: Iterable[PlannedQueue], nodes: Iterable[Node] | None = None
) -> None:
    """Assert every invariant; where one is broken, print the state.

    *queues*: all of *planner*.  *nodes*: all that are pending or running; None: those that can be found.
    """
    queues = list(queues)
    order = planner.order
    listed = order.listed(queues)
    first = list(listed if nodes is None else nodes)
    known = dict.fromkeys([*first, *(node for node in linked(first) if node._stage < RUNNING)])
    pending = [node for node in known if node._stage < RUNNING]
    try:
        # Nothing that was found has ended.
        assert all(WAITING <= node._stage <= RUNNING for node in known), known
        # The order's own nodes are pending.
        assert set(listed) <= set(pending), listed
        for node in pending:
            _check_links(node)
        for queue in queues:
            _check_counts(queue, known, nodes is not None)
        if isinstance(order, NewestFirst):
            _check_newest(order, queues, pending)
        else:
            _check_oldest(queues, pending)
    except AssertionError:
        _describe(planner, queues, pending)
        raise


def _describe(planner: DependencyPlanner, queues: list[PlannedQueue], pending: list[Node]) -> None:
    for node in pending:
        owner = None if node._search is None else (node._search._number, node._search.live, node._place)
        print(f"{node}: state {node._stage} number {node._number} search {owner}", node._dependencies)
    for queue in queues:
        counts = queue.waiting, queue.ready, queue.running
        line = _described(queue.line) if isinstance(queue.line, Line) else queue.line.all()
        print(f"{queue}: counts {counts} line {line} first {queue.held_back}")
    if isinstance(planner.order, NewestFirst):
        print(f"todo {_described(planner.order.todo)}")
        for search in _searches(planner.order, queues):
            frames = search.frames, search.later
            print(f"search {search._number} intact {search.intact} head {search.head}", *frames)


def _described(line: Line) -> str:
    return f"{[(thing._number, thing) for thing in line.things]} late {line.late}"


def _check_links(node: Node) -> None:
    missing = [other for other in dependencies_of(node) if other._stage < DONE]
    # It waits for those of its dependencies that have not ended; a relay that has none left or is
    # held, for `done`.
    awaits_done = node._queue is None and (node._ended_by_owner or not missing)
    expected = len(missing) + awaits_done
    assert (node._stage == WAITING) == (expected > 0), (node, expected)
    assert node._stage != WAITING or node._missing == expected, (node, node._missing)
    for other in missing:
        # A dependency that has not ended knows its dependent, as often as that lists it.
        assert dependents_of(other).count(node) == missing.count(other), (node, other)
    for other in dependents_of(node):
        # A dependent that is pending knows its dependency.
        assert other._stage >= RUNNING or node in dependencies_of(other), (node, other)
    # A relay is never ready.
    assert node._queue is not None or node._stage == WAITING, node


def _check_counts(queue: PlannedQueue, known: Iterable[Node], whole: bool) -> None:
    states = [node._stage for node in known if node._queue is queue]
    found = states.count(WAITING), states.count(READY), states.count(RUNNING)
    counts = queue.waiting, queue.ready, queue.running
    assert found[1] == counts[1], (found, counts)
    if whole:
        assert found == counts, (found, counts)
    else:
        assert found[0] <= counts[0] and found[2] <= counts[2], (found, counts)


def _check_heap(keys: list[Any]) -> None:
    # No entry of the heap comes before the one above it.
    assert all(keys[(index - 1) // 2] <= keys[index] for index in range(1, len(keys))), keys


def _check_oldest(queues: list[PlannedQueue], pending: list[Node]) -> None:
    for queue in queues:
        line, heap = list(queue.line.things), queue.line.late
        # The line and the heap are sorted by number.
        numbers = [node._number for node in line]
        assert numbers == sorted(set(numbers)), numbers
        _check_heap([number for number, _ in heap])
        # An entry's number is its node's.
        assert all(number == node._number for number, node in heap), heap
        # No node is in both, or twice in one.
        listed = line + [node for _, node in heap]
        assert len(set(listed)) == len(listed), listed
        # Each ready node is in one of them.
        live = {node for node in listed if node._stage == READY}
        assert live == {node for node in pending if node._queue is queue and node._stage == READY}, listed
    # There are no searches.
    assert all(node._search is None or node._search is HELD_BACK for node in pending), pending


# Newest first.


def _searches(order: NewestFirst, queues: Iterable[PlannedQueue], nodes: Iterable[Node] = ()) -> list[Search]:
    """The live searches that the order itself holds, and those that own one of *nodes*."""
    found: list[Any] = [thing for thing in order.todo.all() if type(thing) is Search]
    shelves = [thing for queue in queues for thing in queue.line.all() if type(thing) is Shelf]
    found += [next(iter(shelf.nodes.values()))._search for shelf in shelves]
    found += [node._search for node in nodes if node._search is not None and node._search is not HELD_BACK]
    return [search for search in dict.fromkeys(found) if search.live]


def _owner(node: Node) -> Any:
    """The search that owns *node*, or the node itself."""
    return node._search if node._search is not None and node._search.live else node


def _check_newest(order: NewestFirst, queues: list[PlannedQueue], pending: list[Node]) -> None:
    for line in [order.todo, *(queue.line for queue in queues)]:
        _check_line(line)
    searches = _searches(order, queues, pending)
    unowned = [node for node in pending if _owner(node) is node and node._queue is not None]
    listed = [thing for thing in order.todo.all() if isinstance(thing, Node)]
    # What waits and no search owns is to be searched, or something newer that leads to it, unless
    # all that it needs runs.  It may have become ready there.
    waiting = [node for node in unowned if node._stage == WAITING or node in listed]
    assert set(listed) <= set(waiting) and len(listed) == len(set(listed)), (listed, waiting)
    left_for = _left(order)
    for node in set(waiting).difference(listed):
        assert left_for.get(node, -1) > node._number or _reaches_nothing(node), node
    for queue in queues:
        _check_queue(queue, pending, [node for node in unowned if node not in listed])
    # A search that has something left is in `todo`, by its number.
    unfinished = {id(search) for search in searches if search.frames or search.later}
    assert unfinished <= {id(thing) for thing in order.todo.all() if type(thing) is Search}, unfinished
    for thing in order.todo.all():
        assert type(thing) is not Search or (thing.live and thing.head is not None), thing
    for search in searches:
        _check_search(search, [node for node in pending if node._search is search])
    _check_passed(left_for, pending)


def _reaches_nothing(node: Node) -> bool:
    """Tell whether all that *node* needs runs, but for what goes on its own and relays for such."""
    for other in _reach(node, lambda other: other is node or other._queue is None):
        if other is not node and other._queue is not None and other._search is not HELD_BACK:
            return False
    return True


def _check_line(line: Line) -> None:
    assert line.things[0] is BOTTOM
    assert line.things.count(BOTTOM) == 1
    assert line.things.count(GAP) == line.gaps
    stack = [thing._number for thing in line.things if thing is not GAP]
    assert stack == sorted(set(stack)), stack
    # Each thing knows where it is.
    for thing in line.all():
        index = thing._place
        at = line.late.get(thing._number) if index == LATE else line.things[index]
        assert at is thing, (thing, index)
    _check_heap(line.heap)
    assert sorted(line.descending, reverse=True) == [*line.descending]
    assert set(line.late) <= {*line.descending, *(-number for number in line.heap)}, line.late
    assert line.late_top >= max(line.late, default=-2), line.late
    numbers = [thing._number for thing in line.all()]
    assert len(numbers) == len(set(numbers)), numbers


def _check_queue(queue: PlannedQueue, pending: list[Node], unowned: list[Node]) -> None:
    things = queue.line.all()
    ready = {node for node in unowned if node._stage == READY and node._queue is queue}
    # In the line are the ready nodes that no search owns, and shelves of searches that own others.
    nodes = [thing for thing in things if isinstance(thing, Node)]
    assert len(nodes) == len(set(nodes)) and set(nodes) == ready, (nodes, ready)
    for thing in things:
        owners = {node._search for node in thing.nodes.values()} if type(thing) is Shelf else set()
        assert type(thing) is not Shelf or len(owners) == 1, owners
        assert all(search.live and search._number == thing._number for search in owners), thing
    # Nodes that were held back and are ready again go first.
    held = [node for node in pending if node._search is HELD_BACK and node._queue is queue]
    assert set(queue.held_back) == {node for node in held if node._stage == READY}, queue.held_back
    assert not queue.held_back or queue.line.late_top == inf, queue.line.late_top


def _check_search(search: Search, owned: list[Node]) -> None:
    # It is in a line under the number of its head.
    head = search.head
    if head is not None:
        assert head._search is search and head._number == search._number and head._stage == WAITING, head
        assert set(owned) <= set(_reach(head)), owned
    else:
        assert not search.intact and not search.frames and not search.later, search
    # Positions are those given out, each once.
    places = {node._place: node for node in owned}
    assert len(places) == len(owned), owned
    assert all(search.lowest <= place <= search.highest for place in places), places
    if search.intact and head is not None:
        # What an intact search owns is, in this order, what a search from its head meets first.
        met = [node for node in _reach(head, _searchable) if _searchable(node)]
        assert [places[place] for place in sorted(places)] == met[: len(owned)], (places, met)
    # Its ready nodes, and no others, are on its shelves.
    for queue, shelf in search.shelves.items():
        _check_heap(shelf.heap)
        assert set(shelf.nodes) <= set(shelf.heap), shelf.nodes
        assert bool(shelf.nodes) == (shelf in queue.line.all()), queue
    shelved = [node for shelf in search.shelves.values() for node in shelf.nodes.values()]
    assert len(shelved) == len(set(shelved))
    assert set(shelved) == {node for node in owned if node._stage == READY}, (shelved, owned)
    assert all(search.shelves[node._queue].nodes[node._place] is node for node in shelved), shelved
    # What it has to go on with are lists of nodes that still wait, or of which nothing is pending.
    waiting = {id(node._dependencies) for node in owned if type(node._dependencies) is list}
    for dependencies, index in [*search.frames, *search.later]:
        left = any(other._stage < RUNNING for other in dependencies[index:])
        assert not left or id(dependencies) in waiting or not search.intact, dependencies


def _searchable(node: Node) -> bool:
    return node._search is not HELD_BACK


def _left(order: NewestFirst) -> dict[Node, int]:
    """For each node the newest number in `todo` that leads to it."""
    roots = [thing.head if type(thing) is Search else thing for thing in order.todo.all()]
    left: dict[Node, int] = {}
    for root in sorted(roots, key=lambda node: -node._number):
        for node in _reach(root):
            left.setdefault(node, root._number)
    return left


def _check_passed(left: dict[Node, int], pending: list[Node]) -> None:
    """What a search owns leads only to what it, or a newer one, owns or will search, or goes on its own."""
    for node in pending:
        search = node._search
        if search is None or search is HELD_BACK or not search.live:
            continue
        for need in dependencies_of(node):
            if need._stage < RUNNING and need._search is not search and need._search is not HELD_BACK:
                by = max(_owner(need)._number if _owner(need) is not need else -1, left.get(need, -1))
                assert by >= search._number or _alone(need, search._number), (node, need)


def _alone(need: Node, number: int) -> bool:
    """Tell whether *need* goes by its own number, which is higher: promoted, or ready."""
    return _owner(need) is need and need._number > number


def _reach(head: Node, goes_on: Callable[[Node], bool] = bool) -> list[Node]:
    """The nodes that a search from *head* meets, in order, if it *goes_on* behind a node."""
    seen: dict[Node, None] = {}
    todo = [head]
    while todo:
        node = todo.pop()
        if node._stage < RUNNING and node not in seen:
            seen[node] = None
            todo.extend(reversed(dependencies_of(node)) if goes_on(node) else ())
    return list(seen)
