"""Where the nodes of newest first wait: the stack, the queues' heaps, and the lists of plans.

What is where, and why, is told in ``_newest``, which decides.  An entry that is
no longer meant is emptied in place, and goes when it comes to an end of its list
or the list is swept.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from typing import Any, cast

from ._nodes import (
    ASIDE,
    HELD_BACK,
    READY,
    RUNNING,
    STRIDE,
    SWEEP_FROM,
    WAITING,
    Cell,
    Group,
    Node,
    Plan,
    PlannedQueue,
    check_heap,
    dependencies_of,
)

# Emptied entries that are taken from the top of the stack at once: some 5 µs, and how many
# of them take as long as a step of the search.
TRIM, TRIMMED_IN_A_STEP = 128, 12


class Places:
    """The entries of `NewestFirst`, and the checks on them."""

    def __init__(self) -> None:
        # By number; `_numbers` is the key of each entry.  An entry is a node, a
        # group, or None where a node was taken out.
        self._stack: list[Node | Group | None] = []
        self._numbers: list[int] = []
        self._emptied = 0  # how many entries are None
        self._search: list[Cell] = []  # [number, plan]
        # Plans that are not intact, until they are retired.  Not weakly: on a free-threaded
        # build one would be found, or vanish in the middle of a look, after it is let go of.
        self._shaken: set[Plan] = set()
        # Plans whose head a newer plan took over, by that head.
        self._beheaded: dict[Node, list[Plan]] = {}
        self._live = 0  # plans that are not retired
        self._stack_limit = self._search_limit = SWEEP_FROM
        self._serial = 0
        self.held = 0  # how many were held back
        # A node that became ready and was not put in its plan's heap yet: most
        # often it is the next to start, and never has to be.
        self._fresh: Node | None = None

    # The heaps of the queues.

    def settle(self) -> None:
        fresh, self._fresh = self._fresh, None
        if fresh is not None:
            self._shelve(fresh.plan, fresh)

    def _shelve(self, plan: Plan, node: Node) -> None:
        """Let the ready *node* of *plan* wait for its queue."""
        queue: PlannedQueue = node.queue
        plan.met[node.place] = node
        nodes = plan.ready.get(queue)
        if nodes is None:
            nodes = plan.ready[queue] = []
        heappush(nodes, node.place)
        if queue not in plan.cells:
            plan.cells[queue] = self._push_cell(queue, plan.number, plan)

    def _pass(self, node: Node) -> None:
        """Let a ready *node* that was on top of the stack wait for its queue."""
        node.place = self._push_cell(node.queue, node.number, node)

    def _push_cell(self, queue: PlannedQueue, number: int, content: Plan | Node) -> Cell:
        heap = queue.heap
        if len(heap) > queue.heap_limit:
            heap[:] = [cell for cell in heap if cell[-1] is not None and not _spent(cell[-1], queue)]
            heapify(heap)
            queue.heap_limit = 2 * len(heap) + SWEEP_FROM
        # After a plan is dissolved its number comes again: the serial breaks
        # the tie with the emptied entry, so that contents are never compared.
        self._serial += 1
        cell: Cell = [-number, self._serial, content]
        heappush(heap, cell)
        return cell

    def _leave_front(self, node: Node) -> None:
        """Take a *node* that was held back from the front of its queue, if it is there."""
        node.place[1] = None
        node.place = None

    def ready(self, queues: Iterable[PlannedQueue]) -> list[Node]:
        """The ready nodes of *queues*."""
        self.settle()
        found: list[Any] = [cell[1] for queue in queues for cell in queue.front]
        for entry in self._stack:
            found.extend(entry.nodes if type(entry) is Group else [entry])
        for queue in queues:
            for cell in queue.heap:
                plan = cell[-1]
                if type(plan) is Plan:
                    found.extend(plan.met.get(place) for place in plan.ready[queue])
                else:
                    found.append(plan)
        return [node for node in found if node is not None and node.state == READY]

    # The stack.

    def _push(self, node: Node) -> None:
        stack = self._stack
        if len(stack) > self._stack_limit:
            self._sweep()
        stack.append(node)
        self._numbers.append(node.number)

    def _pop(self) -> Node:
        """The node on top, taken off."""
        entry = self._stack[-1]
        if isinstance(entry, Group):
            node = entry.nodes.popleft()
            if entry.nodes:
                return node
            entry.listed = False
        else:
            node = cast(Node, entry)
        self._stack.pop()
        self._numbers.pop()
        return node

    def _trim(self) -> int:
        """Take emptied entries from the top: so many at most that it takes no longer than a few steps.

        Returns:
            How many steps it took.
        """
        stack = self._stack
        bottom = max(len(stack) - TRIM, 0)
        top = len(stack) - 1
        while top > bottom and stack[top - 1] is None:
            top -= 1
        count = len(stack) - top
        self._emptied -= count
        del stack[top:], self._numbers[top:]
        return 1 + count // TRIMMED_IN_A_STEP

    def _insert(self, number: int, entry: Node | Group) -> None:
        numbers = self._numbers
        if len(numbers) > self._stack_limit:
            self._sweep()
        index = bisect_right(numbers, number)  # after emptied entries of the same number
        numbers.insert(index, number)
        self._stack.insert(index, entry)

    def _unlist(self, node: Node) -> None:
        """Take a *node* that no plan owns from where it waits."""
        stack = self._stack
        if stack and stack[-1] is node:
            del stack[-1], self._numbers[-1]
            return
        place = node.place
        if place is not None:
            if type(place) is list:  # passed
                place[-1] = None
            node.place = None
            return
        index = bisect_right(self._numbers, node.number) - 1
        if index < 0:
            return  # a relay, which is on no stack
        entry = stack[index]
        if type(entry) is Group:
            nodes = entry.nodes
            if nodes[0] is node:  # the usual places are the two ends
                nodes.popleft()
            elif nodes[-1] is node:
                nodes.pop()
            else:
                nodes.remove(node)
            if nodes:
                return
            entry.listed = False
        stack[index] = None
        self._emptied += 1

    def _merge(self, nodes: list[Node]) -> None:
        """Put *nodes* back on the stack."""
        for base in dict.fromkeys(node.number // STRIDE * STRIDE for node in nodes):
            # A node of this group may belong between those that are left:
            # from now on each stands on the stack under its own number.
            # What the group gets later has lower numbers than all these.
            nodes.extend(self._disband(base, base))
        if len(nodes) <= 16:
            for node in nodes:
                self._insert(node.number, node)
            return
        entries = [pair for pair in zip(self._numbers, self._stack, strict=True) if pair[1] is not None]
        entries.extend((node.number, node) for node in nodes)
        entries.sort(key=_first)
        self._set_stack(entries)

    def _disband(self, base: int, above: int) -> list[Node]:
        """Take the group at *base* off the stack if its first number is above; return its nodes."""
        index = bisect_right(self._numbers, base) - 1
        entry = self._stack[index] if index >= 0 else None
        if type(entry) is not Group or entry.base != base or entry.nodes[0].number < above:
            return []
        nodes = list(entry.nodes)
        entry.nodes.clear()
        entry.listed = False
        self._stack[index] = None
        self._emptied += 1
        return nodes

    def _sweep(self) -> None:
        live = len(self._stack) - self._emptied
        if self._emptied < live:  # most often none is: nothing is to be gained yet
            self._stack_limit = len(self._stack) + live
            return
        entries = zip(self._numbers, self._stack, strict=True)
        self._set_stack([pair for pair in entries if pair[1] is not None])

    def _set_stack(self, entries: list[tuple[int, Any]]) -> None:
        self._numbers[:] = [number for number, _ in entries]
        self._stack[:] = [entry for _, entry in entries]
        self._stack_limit = 2 * len(entries) + SWEEP_FROM
        self._emptied = 0

    # For tests: is every entry where it has to be, and none too many?

    def _plans(self, queues: Iterable[PlannedQueue], nodes: Iterable[Node] = ()) -> list[Plan]:
        """The plans that the order itself holds, and those that own one of *nodes*."""
        plans = [cell[1] for cell in self._search]
        plans.extend(cell[-1] for queue in queues for cell in queue.heap if type(cell[-1]) is Plan)
        plans.extend(plan for beheaded in self._beheaded.values() for plan in beheaded)
        plans.extend(self._shaken)
        plans.extend(node.plan for node in nodes)
        return [plan for plan in dict.fromkeys(plans) if plan is not None and plan is not HELD_BACK]

    def entries(self, queues: Iterable[PlannedQueue]) -> int:
        """The number of entries kept for *queues*, live and dead."""
        self.settle()
        count = len(self._stack) + len(self._search) + len(self._shaken)
        count += sum(len(queue.heap) + len(queue.front) for queue in queues)
        count += sum(len(entry.nodes) for entry in self._stack if type(entry) is Group)
        count += sum(1 + len(beheaded) for beheaded in self._beheaded.values())
        for plan in self._plans(queues):
            count += 1 + len(plan.frames) + len(plan.later) + len(plan.cells)
            count += sum(1 + len(nodes) for nodes in plan.ready.values())
        return count

    def nodes(self, queues: Iterable[PlannedQueue]) -> list[Node]:
        """The pending nodes that the order itself holds."""
        found: list[Any] = [entry for entry in self._stack if type(entry) is not Group]
        found.extend(plan.head for plan in self._plans(queues))
        return [*self.ready(queues), *(node for node in found if node is not None)]

    def check(self, queues: Iterable[PlannedQueue], nodes: Iterable[Node]) -> None:
        self.settle()
        known = list(nodes)
        plans = self._plans(queues, known)
        self._check_unowned([node for node in known if node.plan is None and node.queue is not None])
        self._check_search(plans)
        for plan in plans:
            # A plan whose head has ended, or that was dissolved, is nowhere any more.
            assert plan.head is not None, plan
            self._check_plan(plan, plan.head, [node for node in known if node.plan is plan])
        held = [node for node in known if node.plan is HELD_BACK]
        for queue in queues:
            self._check_queue(queue)
            self._check_front(queue, [node for node in held if node.queue is queue])

    def _check_unowned(self, unowned: list[Node]) -> None:
        """The stack, and where the nodes are that no plan owns."""
        numbers, stack = self._numbers, self._stack
        # The stack is sorted by number.
        assert numbers == sorted(numbers), numbers
        # The emptied entries are counted.
        assert self._emptied == sum(entry is None for entry in stack), self._emptied
        listed: list[Any] = []
        entry: Any
        for number, entry in zip(numbers, stack, strict=True):
            if type(entry) is Group:
                # A group on the stack is not empty, and its first node the newest.
                own = [node.number for node in entry.nodes]
                assert own, entry
                assert own == sorted(set(own), reverse=True), own
                assert entry.listed and number == entry.base, (number, entry.base)
                assert number < own[-1] <= own[0] < number + STRIDE, (number, own)
                listed.extend(entry.nodes)
            elif entry is not None:
                # An entry's number is its node's.
                assert number == entry.number, (number, entry)
                listed.append(entry)
        # A node that no plan owns is there, was set aside, or is, ready, in its queue's heap; no other is.
        passed = [node for node in unowned if node.place is not None]
        assert len(listed) == len(set(listed)), listed
        assert set(listed) == set(unowned).difference(passed), (listed, unowned)
        for node in passed:
            if node.place is ASIDE:
                # It waits for what runs, perhaps through relays; or for a relay, as it was held back.
                assert node.state == WAITING, node
                continue
            assert node.state == READY, node
            assert [cell[-1] for cell in node.queue.heap].count(node) == 1, node
            assert node.place[-1] is node, node

    def _check_search(self, plans: list[Plan]) -> None:
        live = [cell for cell in self._search if cell[1] is not None]
        # Searches are sorted by number, and no two numbers are the same.
        numbers = [number for number, _ in live]
        assert numbers == sorted(set(numbers)), numbers
        # A plan with something left to visit is there once, under its number; other plans are not.
        assert {id(plan.spot) for plan in plans if plan.spot is not None} == {id(cell) for cell in live}
        assert all(cell[1].spot is cell and cell[1].number == cell[0] for cell in live), live
        assert all(plan.spot is not None for plan in plans if plan.frames or plan.later), plans
        for head, beheaded in self._beheaded.items():
            # A plan waits for its lost head to end only while that is pending and heads it.
            assert head.state < RUNNING, head
            assert beheaded, head
            assert all(plan.head is head and head.plan is not plan for plan in beheaded), (head, beheaded)

    def _check_plan(self, plan: Plan, head: Node, owned: list[Node]) -> None:
        reach = _reach(head)
        # The head is pending; another plan took it only if this one awaits its end.
        assert head.state < RUNNING, head
        assert (head.plan is not plan) == (plan in self._beheaded.get(head, ())), head
        # Plans that are not intact are listed.
        assert plan.intact != (plan in self._shaken), plan
        # Positions are those given out, each once.
        places = {node.place: node for node in owned}
        assert len(places) == len(owned), owned
        assert all(plan.first <= place <= plan.last for place in places), places
        # A plan owns nothing that its head does not need.
        assert set(owned) <= set(reach), (owned, reach)
        if plan.intact:
            # What an intact plan owns is, in this order, what a search from its head meets first,
            # but for those held back.
            reach = [node for node in _reach(head, _goes_by_rank) if _goes_by_rank(node)]
            assert [places[place] for place in sorted(places)] == reach[: len(owned)], (places, reach)
        if plan.spot is None:
            # A search that has ended left out only what is newer, and what is behind that or behind a
            # node that was set aside: relays.
            found = _reach(head, lambda node: node.place is not ASIDE and _owner(node).number <= plan.number)
            found = [node for node in found if node.plan is not None or node.queue is not None]
            assert all(_owner(node).number >= plan.number for node in found), reach
        # What it has to go on with are lists of nodes that still wait.
        waiting = {id(node.dependencies) for node in reach if type(node.dependencies) is list}
        for dependencies, _ in [*plan.frames, *plan.later]:
            assert not dependencies or id(dependencies) in waiting, dependencies
        # Its ready nodes, and no others, are in its heaps, each once.
        for queue, nodes in plan.ready.items():
            check_heap(nodes)
            live = {place: plan.met[place] for place in nodes if place in plan.met}
            assert all(node.place == place and node.queue is queue for place, node in live.items()), live
            assert len(live) == sum(node.queue is queue and node.state == READY for node in owned), live
            assert len(set(nodes)) == len(nodes), nodes
            # A queue for which a node waits knows this plan, by its present number.
            assert not live or queue in plan.cells, queue
        for queue, cell in plan.cells.items():
            assert cell[-1] is plan and cell[0] == -plan.number and cell in queue.heap, cell
        assert {node.queue for node in owned if node.state == READY} <= set(plan.ready), plan.ready

    def _check_queue(self, queue: PlannedQueue) -> None:
        check_heap([cell[0] for cell in queue.heap])
        for cell in queue.heap:
            content = cell[-1]
            if type(content) is Plan:
                # A plan's entry is the one that the plan knows.
                assert content.cells[queue] is cell, cell
            elif content is not None:
                # A node's is the one that the node knows; the node is ready and in no plan.
                assert content.place is cell and -cell[0] == content.number, cell
                assert content.state == READY and content.plan is None and content.queue is queue, cell
        # The line is for the other order.
        assert not queue.line, queue.line

    def _check_front(self, queue: PlannedQueue, held: list[Node]) -> None:
        check_heap([cell[0] for cell in queue.front])
        # Nodes that were held back know their cells, and are in front once they are ready again.
        assert all(node.place[1] is node for node in held), held
        live = [cell for cell in queue.front if cell[1] is not None]
        ready = [node.place for node in held if node.state == READY]
        assert sorted(live) == sorted(ready) and len(live) == len(set(map(id, live))), (live, ready)

    def describe(self) -> str:
        stack = list(zip(self._numbers, self._stack, strict=True))
        plans = [plan for _, plan in self._search if plan is not None]
        searches = [(plan.number, plan.intact, plan.head, plan.frames, plan.later) for plan in plans]
        return f"stack {stack}\nsearches {searches}\nlost heads {list(self._beheaded)}"


def _owner(node: Node) -> Plan | Node:
    """Whose number *node* goes by."""
    plan: Plan | None = node.plan
    return node if plan is None else plan


def _goes_by_rank(node: Node) -> bool:
    return node.plan is not HELD_BACK


def _first(entry: tuple[int, Any]) -> int:
    return entry[0]


def _spent(content: Any, queue: PlannedQueue) -> bool:
    """Tell whether an entry of the queue's heap has no node left, and if so part it from its plan."""
    if type(content) is not Plan:
        return False
    nodes = content.ready[queue]
    while nodes and nodes[0] not in content.met:
        heappop(nodes)
    if nodes:
        return False
    del content.cells[queue]
    return True


def _reach(head: Node, goes_on: Callable[[Node], bool] = bool) -> list[Node]:
    """The nodes that a search from *head* meets, in order, if it *goes_on* behind a node.  For tests."""
    seen: dict[Node, None] = {}
    todo = [head]
    while todo:
        node = todo.pop()
        if node.state < RUNNING and node not in seen:
            seen[node] = None
            todo.extend(reversed(dependencies_of(node)) if goes_on(node) else ())
    return list(seen)
