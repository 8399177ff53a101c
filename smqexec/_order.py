"""The two orders in which ready nodes start: newest sink first, and oldest first.

Pure bookkeeping beneath `_planner`, which owns the graph and tells an order
what happened to a node: `added`, `freed` (it became ready), `started`,
`dropped`.  An order answers `take` and `promote`.

Newest first is the order of a depth-first search that starts at the newest
pending node, visits dependencies in argument order and goes on with the next
newest node not yet visited.  Searching anew for every free slot would cost the
whole graph each time, so a search is kept and suspended::

    stack    nodes no search has reached, by number, newest on top
    Plan     a suspended search from one of them, its `head`
    search   the plans with something left to visit, by number, newest last

A plan owns the nodes it visited; each has a position in it.  The rank of an
owned node is (number of its plan, position).  `take` advances the newest
search until it meets a ready node of the asking queue, unless a node found
earlier, by a search at least as new, waits in the queue's heap.

Why that is exact.  A node's dependencies never change after it was added, and
a node that starts has none pending, so nodes leave the graph at its far end:
what is left keeps its order.  Four things can change it, and each is met:

* A newer node is added: a newer plan takes over every node that it visits.
* A node is added whose first pending dependency heads an *intact* plan (one
  that lost no node and passed over none): the whole search of that plan is
  what a search from the new node would do next, so the plan is *adopted*: it
  gets the new head and number, and the head's other dependencies are visited
  last.  Chains that grow while they run cost one step a node this way.
* A node is promoted: it heads a plan with a new number.
* A node that has pending dependencies is dropped: what was visited through it
  may have lost its rank.  Its plan, and older plans that are not intact, are
  dissolved: their nodes go back to the stack.

No structure here keeps a node that has started: entries of such nodes are
emptied in place (a `Cell` whose content is None), and skipped or swept later.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from ._planner import Node, PlannedQueue

WAITING, READY, RUNNING, DONE, DROPPED = range(5)
NEW = -1

# Numbers of consecutive submissions are this far apart: room for the items of
# a group, which share one submission.
STRIDE = 1 << 32

# Sweep a list of entries only when it has doubled since the last time, and not
# below this length: a sweep then costs O(1) for each entry made.
SWEEP_FROM = 64

Cell = list[Any]  # a key, perhaps a tie-breaker, and last the content; None: nothing here any more


class Searching:
    """The type of `SEARCHING`: `take` used up its limit and has to be called again."""

    def __repr__(self) -> str:
        return "SEARCHING"


SEARCHING = Searching()


class Group:
    """Nodes of one submission, such as those of a `map`: the first counts as the newest."""

    __slots__ = ("base", "count", "listed", "nodes")

    def __init__(self, base: int) -> None:
        self.base = base
        self.count = 0
        self.listed = False  # newest first: is it on the stack?
        self.nodes: deque[Node] = deque()  # newest first: those no search has reached


class Plan:
    """A suspended depth-first search, and the ready nodes that it has met."""

    __slots__ = (
        "__weakref__",
        "cells",
        "first",
        "frames",
        "head",
        "intact",
        "last",
        "later",
        "number",
        "ready",
        "spot",
    )

    def __init__(self, head: Node, number: int) -> None:
        self.head: Node | None = head
        self.number = number
        self.intact = True
        self.first = self.last = 0  # positions given out so far
        # Where the search stands: [dependencies, index of the next to visit].
        # A frame holds the node's own list, which is emptied when the node
        # starts: a search that sleeps keeps no result alive.
        self.frames: list[list[Any]] = []
        self.later: deque[list[Any]] = deque()  # frames to go on with when those are done
        self.ready: dict[PlannedQueue, list[Cell]] = {}  # heaps of [position, node]
        self.cells: dict[PlannedQueue, Cell] = {}  # this plan's entry in the queue's heap
        self.spot: Cell | None = None  # this plan's entry in the list of searches


class OldestFirst:
    """The ready node with the lowest number starts first: first in, first out."""

    def __init__(self) -> None:
        self._before = 0  # promoted nodes are numbered downwards from here

    def item_number(self, group: Group) -> int:
        group.count += 1
        return group.base + group.count - 1

    def added(self, node: Node, group: Group | None) -> None:
        if node.state == READY:
            self.freed(node)

    def freed(self, node: Node) -> None:
        queue: PlannedQueue = node.queue
        line = queue.line
        # Nodes that are ready when added come in the order of their numbers
        # and need no heap.
        if not line or line[-1].number < node.number:
            line.append(node)
        else:
            heappush(queue.heap, [node.number, node])

    def take(self, queue: PlannedQueue, limit: int | None = None) -> Node | None:
        line, heap = queue.line, queue.heap
        while line and line[0].state != READY:
            line.popleft()
        while heap and heap[0][1].state != READY:
            heappop(heap)
        if heap and (not line or heap[0][0] < line[0].number):
            node: Node = heappop(heap)[1]
        elif line:
            node = line.popleft()
        else:
            return None
        queue.start(node)
        return node

    def dropped(self, nodes: list[Node]) -> None:
        # An entry can't be emptied in place here: a dropped node may stay
        # until it comes to an end of the line, or a later drop finds that as
        # many are dropped as ready.
        for queue in dict.fromkeys(node.queue for node in nodes):
            if queue is None:
                continue
            line = queue.line
            while line and line[-1].state != READY:  # the usual places are the two ends
                line.pop()
            while line and line[0].state != READY:
                line.popleft()
            length = len(line) + len(queue.heap)
            if length > queue.ready and (length <= SWEEP_FROM or length > 2 * queue.ready):
                self._sort(queue)

    def promote(self, node: Node, number: int) -> None:
        """Number *node* and all it needs before all others, in the order of a search."""
        order: list[Node] = []
        seen: set[Node] = set()
        todo = [node]
        while todo:
            current = todo.pop()
            if current.state < RUNNING and current not in seen:
                seen.add(current)
                order.append(current)
                todo.extend(reversed(current.dependencies))
        self._before -= len(order)
        for place, current in enumerate(order):
            current.number = self._before + place
        for queue in dict.fromkeys(current.queue for current in order):
            if queue is not None:
                self._sort(queue)

    def ready(self, queues: Iterable[PlannedQueue]) -> list[Node]:
        """The ready nodes of *queues*."""
        nodes = [node for queue in queues for node in [*queue.line, *(cell[-1] for cell in queue.heap)]]
        return [node for node in nodes if node.state == READY]

    def _sort(self, queue: PlannedQueue) -> None:
        live = [node for node in queue.line if node.state == READY]
        live.extend(node for _, node in queue.heap if node.state == READY)
        live.sort(key=_number)
        queue.line = deque(live)
        queue.heap.clear()

    # For tests.

    def entries(self, queues: Iterable[PlannedQueue]) -> int:
        """The number of entries kept for *queues*, live and dead."""
        return sum(len(queue.line) + len(queue.heap) for queue in queues)

    def nodes(self, queues: Iterable[PlannedQueue]) -> list[Node]:
        """The pending nodes that the order itself holds."""
        return self.ready(queues)

    def check(self, queues: Iterable[PlannedQueue], pending: Iterable[Node]) -> None:
        for queue in queues:
            line, heap = list(queue.line), queue.heap
            # The line and the heap are sorted by number.
            numbers = [node.number for node in line]
            assert numbers == sorted(set(numbers)), numbers
            _check_heap(heap)
            # An entry's number is its node's.
            assert all(number == node.number for number, node in heap), heap
            # No node is in both, or twice in one; none has started.
            nodes = line + [node for _, node in heap]
            assert len(set(nodes)) == len(nodes), nodes
            assert all(node.state in (READY, DROPPED) for node in nodes), nodes
            # Each ready node is in one of them.
            live = {node for node in nodes if node.state == READY}
            assert live == {node for node in pending if node.queue is queue and node.state == READY}, nodes
        for node in pending:
            # There are no plans and no places.
            assert node.plan is None, node
            assert node.place is None, node

    def describe(self) -> str:
        return f"promoted down to {self._before}"


class NewestFirst:
    """The search described above."""

    def __init__(self) -> None:
        self.steps = 0  # nodes looked at by all searches so far
        # By number; `_numbers` is the key of each entry.  An entry is a node, a
        # group, or None where a node was taken out.
        self._stack: list[Node | Group | None] = []
        self._numbers: list[int] = []
        self._search: list[Cell] = []  # [number, plan]
        # Plans that are not intact and still own a pending node.
        self._shaken: WeakSet[Plan] = WeakSet()
        # Plans whose head a newer plan took over, by that head.
        self._beheaded: dict[Node, list[Plan]] = {}
        self._stack_limit = self._search_limit = SWEEP_FROM
        self._serial = 0
        # A node that became ready and was not put in its plan's heap yet: most
        # often it is the next to start, and never has to be.
        self._fresh: Node | None = None

    # What the planner tells.

    def item_number(self, group: Group) -> int:
        group.count += 1
        return group.base + STRIDE - group.count

    def added(self, node: Node, group: Group | None) -> None:
        if group is not None:
            group.nodes.append(node)
            if not group.listed:
                group.listed = True
                self._insert(group.base, group)
        elif node.state == READY or not self._adopt(node):
            # `_push`, written out: the hottest line of a submit.
            if len(self._stack) > self._stack_limit:
                self._sweep()
            self._stack.append(node)
            self._numbers.append(node.number)

    def freed(self, node: Node) -> None:
        # A node that no search has reached is on the stack, and will be met.
        if node.plan is not None:
            if self._fresh is None:
                self._fresh = node
            else:
                self._shelve(node.plan, node)

    def _settle_fresh(self) -> None:
        fresh, self._fresh = self._fresh, None
        if fresh is not None:
            self._shelve(fresh.plan, fresh)

    def _start(self, queue: PlannedQueue, node: Node) -> None:
        queue.start(node)
        plan: Plan | None = node.plan
        if plan is not None:
            node.plan = None
            if plan.head is node:  # all that it needed is done
                self._retire(plan)
            if self._beheaded:
                self._retire_beheaded(node)

    def dropped(self, nodes: list[Node]) -> None:
        self._settle_fresh()
        broken: list[Plan] = []
        for node in nodes:
            plan = node.plan
            if plan is None:
                if node.queue is not None:
                    self._unlist(node)
                continue
            if type(node.place) is list:
                node.place[-1] = None
            node.place = None
            if any(other.state < RUNNING for other in node.dependencies):
                broken.append(plan)
            elif plan.head is node:
                self._retire(plan)
        if broken:
            self._dissolve(broken, nodes)
        for node in nodes:
            node.plan = None
            if self._beheaded:
                self._retire_beheaded(node)

    def promote(self, node: Node, number: int) -> None:
        self._settle_fresh()
        plan = node.plan
        if plan is None:
            self._unlist(node)
            node.number = number
            self._push(node)
        elif plan.head is node and plan.intact:
            node.number = number
            self._raise(plan, number)
        else:
            node.number = number
            self._visit(self._begin(node), node)

    # The search.

    def take(self, queue: PlannedQueue, limit: int | None = None) -> Node | Searching | None:
        if not queue.ready:
            return None
        stack, numbers, search = self._stack, self._numbers, self._search
        fresh = self._fresh
        if fresh is not None:
            number = fresh.plan.number
            if (
                fresh.queue is queue
                and (not stack or numbers[-1] < number)
                and (not search or search[-1][0] <= number)
                and (not queue.heap or -queue.heap[0][0] < number)
            ):  # nothing that waits, and nothing still to search, comes before it
                self._fresh = None
                self._start(queue, fresh)
                return fresh
            self._settle_fresh()
        elif stack and not search and not queue.heap:
            # Nothing waits or is half searched: the top of the stack, if ready.
            top = stack[-1]
            if type(top) is Group:
                node = top.nodes[0]
                if node.state == READY and node.queue is queue:
                    node = self._pop()
                    queue.start(node)
                    return node
            elif top is not None and type(top) is not Group and top.state == READY and top.queue is queue:
                del stack[-1], numbers[-1]
                queue.start(top)
                return top
        steps = 0
        while True:
            waiting = self._best(queue)
            while search and search[-1][1] is None:
                search.pop()
            while stack and stack[-1] is None:
                stack.pop()
                numbers.pop()
            unfinished = search[-1][0] if search else -1
            if stack and numbers[-1] > unfinished:
                if waiting > numbers[-1]:
                    break
                node = self._pop()
                if node.state == READY:
                    if node.queue is queue:
                        self.steps += steps
                        queue.start(node)
                        return node
                    self._pass(node)
                else:
                    self._visit(self._begin(node), node)
                steps += 1
            elif waiting >= unfinished:
                break
            else:
                met, steps = self._advance(search[-1][1], queue, steps, limit)
                if met is not None:
                    self.steps += steps
                    self._start(queue, met)
                    return met
            if limit is not None and steps >= limit:
                self.steps += steps
                return SEARCHING
        self.steps += steps
        assert waiting >= 0, "a ready node is in no structure"
        return self._take_waiting(queue)

    def _advance(
        self, plan: Plan, queue: PlannedQueue, steps: int, limit: int | None
    ) -> tuple[Node | None, int]:
        """Go on with *plan* until it meets a ready node of *queue* or has nothing left."""
        frames = plan.frames
        while limit is None or steps < limit:
            if not frames:
                if plan.later:
                    frames.append(plan.later.popleft())
                    continue
                plan.spot[1] = None  # type: ignore[index]
                plan.spot = None
                break
            frame = frames[-1]
            dependencies, index = frame
            if index >= len(dependencies):
                frames.pop()
                continue
            if index + 1 == len(dependencies):
                frames.pop()  # before going down: a chain then needs no depth
            else:
                frame[1] = index + 1
            node: Node = dependencies[index]
            steps += 1
            if node.state >= RUNNING:
                continue
            owner = node.plan
            if owner is plan:
                continue
            if (node.number if owner is None else owner.number) > plan.number:
                # Met before, by a newer search or (promoted) on its own.
                if plan.intact:
                    self._shake(plan)
                continue
            if owner is None:
                self._unlist(node)
            else:
                self._take_over(owner, node)
            node.plan = plan
            plan.last += 1
            node.place = plan.last
            if node.state == READY:
                if node.queue is queue:
                    return node, steps
                self._shelve(plan, node)
            elif node.dependencies:
                frames.append([node.dependencies, 0])
        return None, steps

    def _best(self, queue: PlannedQueue) -> int:
        """The number of the newest entry of *queue* that has a waiting node, or -1."""
        heap = queue.heap
        while heap:
            cell = heap[0]
            content = cell[-1]
            if type(content) is Plan:
                nodes = content.ready[queue]
                while nodes and nodes[0][1] is None:
                    heappop(nodes)
                if nodes:
                    return -cell[0]  # type: ignore[no-any-return]
                del content.cells[queue]
            elif content is not None:
                return -cell[0]  # type: ignore[no-any-return]
            heappop(heap)
        return -1

    def _take_waiting(self, queue: PlannedQueue) -> Node:
        content = queue.heap[0][-1]
        node: Node
        if type(content) is Plan:
            node = heappop(content.ready[queue])[1]
        else:
            node = content
            heappop(queue.heap)
        self._start(queue, node)
        return node

    def ready(self, queues: Iterable[PlannedQueue]) -> list[Node]:
        """The ready nodes of *queues*."""
        self._settle_fresh()
        found: list[Any] = []
        for entry in self._stack:
            found.extend(entry.nodes if type(entry) is Group else [entry])
        for queue in queues:
            for cell in queue.heap:
                plan = cell[-1]
                found.extend([place[-1] for place in plan.ready[queue]] if type(plan) is Plan else [plan])
        return [node for node in found if node is not None and node.state == READY]

    # Plans.

    def _begin(self, node: Node) -> Plan:
        """A new search from *node*, which is newer than all searches."""
        plan = Plan(node, node.number)
        self._enlist(plan)
        return plan

    def _visit(self, plan: Plan, node: Node) -> None:
        """Give *node* to *plan*, which begins at it."""
        owner = node.plan
        if owner is not None:
            self._take_over(owner, node)
        node.plan = plan
        node.place = 0
        if node.state == READY:
            self._shelve(plan, node)
        else:
            plan.frames.append([node.dependencies, 0])

    def _adopt(self, node: Node) -> bool:
        """Make *node* the head of the plan that its first pending dependency heads, if it may be."""
        dependencies: list[Node] = node.dependencies
        first = dependencies[0]
        plan: Plan | None = first.plan
        if plan is None and first.state < RUNNING:
            return False  # as before anything runs, and most often
        pending = [index for index, other in enumerate(dependencies) if other.state < RUNNING]
        if not pending:
            return False
        first = dependencies[pending[0]]
        plan = first.plan
        if plan is None or plan.head is not first or not plan.intact:
            return False
        plan.head = node
        plan.first -= 1
        node.plan = plan
        node.place = plan.first
        if len(pending) > 1:
            plan.later.append([dependencies, pending[1]])
        self._raise(plan, node.number)
        return True

    def _raise(self, plan: Plan, number: int) -> None:
        """Make *plan* the newest of all."""
        plan.number = number
        spot = plan.spot
        if spot is not None and self._search[-1] is spot:
            spot[0] = number
        elif spot is not None or plan.later:
            if spot is not None:
                spot[1] = None
            self._enlist(plan)
        for queue, cell in list(plan.cells.items()):
            if queue.heap[0] is cell:
                cell[0] = -number
            else:
                cell[-1] = None
                plan.cells[queue] = self._push_cell(queue, number, plan)

    def _enlist(self, plan: Plan) -> None:
        search = self._search
        if len(search) > self._search_limit:
            search[:] = [cell for cell in search if cell[1] is not None]
            self._search_limit = 2 * len(search) + SWEEP_FROM
        plan.spot = [plan.number, plan]
        search.append(plan.spot)

    def _shelve(self, plan: Plan, node: Node) -> None:
        """Let the ready *node* of *plan* wait for its queue."""
        queue: PlannedQueue = node.queue
        node.place = cell = [node.place, node]
        nodes = plan.ready.get(queue)
        if nodes is None:
            nodes = plan.ready[queue] = []
        heappush(nodes, cell)
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

    def _shake(self, plan: Plan) -> None:
        plan.intact = False
        self._shaken.add(plan)

    def _take_over(self, owner: Plan, node: Node) -> None:
        """Part *node* from *owner*, for a newer plan."""
        if owner.intact:
            self._shake(owner)
        if type(node.place) is list:
            node.place[-1] = None
        if owner.head is node:
            self._beheaded.setdefault(node, []).append(owner)

    def _retire_beheaded(self, head: Node) -> None:
        for plan in self._beheaded.pop(head, ()):
            self._retire(plan)

    def _retire(self, plan: Plan) -> None:
        """Forget *plan*: nothing pending is left of it, or it is dissolved."""
        plan.head = None
        plan.intact = False
        plan.frames.clear()
        plan.later.clear()
        for cell in plan.cells.values():
            cell[-1] = None
        plan.cells.clear()
        if plan.spot is not None:
            plan.spot[1] = None
            plan.spot = None

    def _dissolve(self, broken: list[Plan], dropped: list[Node]) -> None:
        """Send the nodes of *broken* plans, and of older ones not intact, back to the stack.

        Cost: the nodes reachable from those plans' heads, and a merge.
        """
        newest = max(plan.number for plan in broken)
        plans = set(broken)
        plans.update(plan for plan in self._shaken if plan.number < newest)
        todo: list[Node] = [plan.head for plan in plans if plan.head is not None]
        todo.extend(dropped)
        seen: set[Node] = set()
        back: list[Node] = []
        while todo:
            node = todo.pop()
            if node in seen:
                continue
            seen.add(node)
            if node.state < RUNNING and node.plan in plans:
                node.plan = None
                if type(node.place) is list:
                    node.place[-1] = None
                node.place = None
                if node.queue is not None:
                    back.append(node)
            todo.extend(other for other in node.dependencies if other.state < RUNNING)
        for plan in plans:
            beheaded = self._beheaded.get(plan.head) if plan.head is not None else None
            if beheaded is not None and plan in beheaded:
                beheaded.remove(plan)
                if not beheaded:
                    del self._beheaded[plan.head]  # type: ignore[arg-type]
            self._shaken.discard(plan)
            self._retire(plan)
        self._merge(back)

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
        if type(entry) is Group:
            node = entry.nodes.popleft()
            if entry.nodes:
                return node
            entry.listed = False
        else:
            node = entry  # type: ignore[assignment]
        self._stack.pop()
        self._numbers.pop()
        return node

    def _insert(self, number: int, entry: Node | Group) -> None:
        numbers = self._numbers
        if len(numbers) > self._stack_limit:
            self._sweep()
        index = bisect_right(numbers, number)  # after emptied entries of the same number
        numbers.insert(index, number)
        self._stack.insert(index, entry)

    def _unlist(self, node: Node) -> None:
        """Take a *node* that no plan owns from where it waits."""
        if type(node.place) is list:  # passed
            node.place[-1] = None
            node.place = None
            return
        stack = self._stack
        if stack and stack[-1] is node:
            stack.pop()
            self._numbers.pop()
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

    def _merge(self, nodes: list[Node]) -> None:
        """Put *nodes* back on the stack."""
        for base in dict.fromkeys(node.number // STRIDE * STRIDE for node in nodes):
            index = bisect_right(self._numbers, base) - 1
            entry = self._stack[index] if index >= 0 else None
            if type(entry) is Group and entry.base == base:
                # A node of this group may belong between those that are left:
                # from now on each stands on the stack under its own number.
                # What the group gets later has lower numbers than all these.
                nodes.extend(entry.nodes)
                entry.nodes.clear()
                entry.listed = False
                self._stack[index] = None
        if len(nodes) <= 16:
            for node in nodes:
                self._insert(node.number, node)
            return
        entries = [pair for pair in zip(self._numbers, self._stack, strict=True) if pair[1] is not None]
        entries.extend((node.number, node) for node in nodes)
        entries.sort(key=_first)
        self._set_stack(entries)

    def _sweep(self) -> None:
        entries = zip(self._numbers, self._stack, strict=True)
        self._set_stack([pair for pair in entries if pair[1] is not None])

    def _set_stack(self, entries: list[tuple[int, Any]]) -> None:
        self._numbers[:] = [number for number, _ in entries]
        self._stack[:] = [entry for _, entry in entries]
        self._stack_limit = 2 * len(entries) + SWEEP_FROM

    # For tests.

    def _plans(self, queues: Iterable[PlannedQueue], nodes: Iterable[Node] = ()) -> list[Plan]:
        """The plans that the order itself holds, and those that own one of *nodes*."""
        plans = [cell[1] for cell in self._search] + list(self._shaken)
        plans.extend(cell[-1] for queue in queues for cell in queue.heap if type(cell[-1]) is Plan)
        plans.extend(plan for beheaded in self._beheaded.values() for plan in beheaded)
        plans.extend(node.plan for node in nodes)
        return [plan for plan in dict.fromkeys(plans) if plan is not None]

    def entries(self, queues: Iterable[PlannedQueue]) -> int:
        """The number of entries kept for *queues*, live and dead."""
        self._settle_fresh()
        count = len(self._stack) + len(self._search) + len(self._shaken)
        count += sum(len(queue.heap) for queue in queues)
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

    def check(self, queues: Iterable[PlannedQueue], pending: Iterable[Node]) -> None:
        self._settle_fresh()
        plans = self._plans(queues, pending)
        self._check_unowned([node for node in pending if node.plan is None and node.queue is not None])
        self._check_search(plans)
        for plan in plans:
            # A plan whose head has ended, or that was dissolved, is nowhere any more.
            assert plan.head is not None, plan
            self._check_plan(plan, plan.head, [node for node in pending if node.plan is plan])
        for queue in queues:
            self._check_queue(queue)

    def _check_unowned(self, unowned: list[Node]) -> None:
        """The stack, and where the nodes are that no plan owns."""
        numbers, stack = self._numbers, self._stack
        # The stack is sorted by number.
        assert numbers == sorted(numbers), numbers
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
        # A node that no plan owns is there or, ready, in its queue's heap; and no other node is.
        passed = [node for node in unowned if node.place is not None]
        assert len(listed) == len(set(listed)), listed
        assert set(listed) == set(unowned).difference(passed), (listed, unowned)
        for node in passed:
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
        # Positions are those given out, each once; a ready node has one in its cell.
        places = {(node.place[0] if node.state == READY else node.place): node for node in owned}
        assert len(places) == len(owned), owned
        assert all(plan.first <= place <= plan.last for place in places), places
        # A plan owns nothing that its head does not need.
        assert set(owned) <= set(reach), (owned, reach)
        if plan.intact:
            # What an intact plan owns is, in this order, what a search from its head meets first.
            assert [places[place] for place in sorted(places)] == reach[: len(owned)], (places, reach)
        if plan.spot is None:
            # A search that has ended left out only what is newer.
            owners = [node if node.plan is None else node.plan for node in reach]
            assert all(owner.number >= plan.number for owner in owners), reach
        # What it has to go on with are lists of nodes that still wait.
        waiting = {id(node.dependencies) for node in reach}
        for dependencies, _ in [*plan.frames, *plan.later]:
            assert not dependencies or id(dependencies) in waiting, dependencies
        # Its ready nodes, and no others, are in its heaps, each once.
        for queue, nodes in plan.ready.items():
            _check_heap(nodes)
            live = [cell for cell in nodes if cell[1] is not None]
            assert all(cell[1].place is cell and cell[1].queue is queue for cell in live), live
            assert len(live) == sum(node.queue is queue and node.state == READY for node in owned), live
            # A queue for which a node waits knows this plan, by its present number.
            assert not live or queue in plan.cells, queue
        for queue, cell in plan.cells.items():
            assert cell[-1] is plan and cell[0] == -plan.number and cell in queue.heap, cell
        assert {node.queue for node in owned if node.state == READY} <= set(plan.ready), plan.ready

    def _check_queue(self, queue: PlannedQueue) -> None:
        _check_heap(queue.heap)
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

    def describe(self) -> str:
        stack = list(zip(self._numbers, self._stack, strict=True))
        plans = [plan for _, plan in self._search if plan is not None]
        searches = [(plan.number, plan.intact, plan.head, plan.frames, plan.later) for plan in plans]
        return f"stack {stack}\nsearches {searches}\nlost heads {list(self._beheaded)}"


def _number(node: Node) -> int:
    return node.number


def _first(entry: tuple[int, Any]) -> int:
    return entry[0]


def _spent(content: Any, queue: PlannedQueue) -> bool:
    """Tell whether an entry of the queue's heap has no node left, and if so part it from its plan."""
    if type(content) is not Plan:
        return False
    nodes = content.ready[queue]
    while nodes and nodes[0][1] is None:
        heappop(nodes)
    if nodes:
        return False
    del content.cells[queue]
    return True


def _reach(head: Node) -> list[Node]:
    """The pending nodes that a search from *head* meets, in order.  For tests."""
    seen: dict[Node, None] = {}
    todo = [head]
    while todo:
        node = todo.pop()
        if node.state < RUNNING and node not in seen:
            seen[node] = None
            todo.extend(reversed(node.dependencies))
    return list(seen)


def _check_heap(heap: list[Cell]) -> None:
    # No entry comes before the one above it.
    assert all(heap[(index - 1) // 2][0] <= heap[index][0] for index in range(1, len(heap))), heap
