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
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from ._planner import Node, PlannedQueue

WAITING, READY, RUNNING, DONE = range(4)
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

    __slots__ = ("__weakref__", "cells", "first", "frames", "head", "intact", "last", "later", "number", "ready", "spot")

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
        queue: PlannedQueue = node.queue  # type: ignore[assignment]
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

    def started(self, node: Node) -> None:
        pass

    def dropped(self, nodes: list[Node]) -> None:
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

    def _sort(self, queue: PlannedQueue) -> None:
        live = [node for node in queue.line if node.state == READY]
        live.extend(node for _, node in queue.heap if node.state == READY)
        live.sort(key=_number)
        queue.line = deque(live)
        queue.heap.clear()

    def entries(self) -> int:
        return 0


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
            self._push(node)

    def freed(self, node: Node) -> None:
        # A node that no search has reached is on the stack, and will be met.
        if node.plan is not None:
            self._shelve(node.plan, node)

    def started(self, node: Node) -> None:
        plan: Plan = node.plan
        node.plan = None
        if plan.head is node:  # all that it needed is done
            self._retire(plan)
        if self._beheaded:
            self._retire_beheaded(node)

    def dropped(self, nodes: list[Node]) -> None:
        broken: list[Plan] = []
        doomed = set(nodes)
        for node in nodes:
            plan = node.plan
            if plan is None:
                if node.queue is not None:
                    self._unlist(node)
                continue
            if type(node.place) is list:
                node.place[-1] = None
            node.place = None
            if any(other.state < RUNNING or other in doomed for other in node.dependencies):
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
                if node is None:  # an empty group
                    continue
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
                    queue.start(met)
                    return met
            if limit is not None and steps >= limit:
                self.steps += steps
                return SEARCHING
        self.steps += steps
        assert waiting >= 0, "a ready node is in no structure"
        return self._take_waiting(queue)

    def _advance(self, plan: Plan, queue: PlannedQueue, steps: int, limit: int | None) -> tuple[Node | None, int]:
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
        queue.start(node)
        return node

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
        elif node.dependencies:
            plan.frames.append([node.dependencies, 0])

    def _adopt(self, node: Node) -> bool:
        """Make *node* the head of the plan that its first pending dependency heads, if it may be."""
        dependencies = node.dependencies
        for index, first in enumerate(dependencies):
            if first.state < RUNNING:
                break
        else:
            return False
        plan = first.plan
        if plan is None or plan.head is not first or not plan.intact:
            return False
        plan.head = node
        plan.first -= 1
        node.plan = plan
        node.place = plan.first
        if index + 1 < len(dependencies):
            plan.later.append([dependencies, index + 1])
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
        queue = node.queue
        if queue is None:
            return
        node.place = cell = [node.place, node]
        nodes = plan.ready.get(queue)
        if nodes is None:
            nodes = plan.ready[queue] = []
        heappush(nodes, cell)
        if queue not in plan.cells:
            plan.cells[queue] = self._push_cell(queue, plan.number, plan)

    def _pass(self, node: Node) -> None:
        """Let a ready *node* that was on top of the stack wait for its queue."""
        node.place = self._push_cell(node.queue, node.number, node)  # type: ignore[arg-type]

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

    def _pop(self) -> Node | None:
        """The node on top, taken off; None where the group on top turned out empty."""
        entry = self._stack[-1]
        if type(entry) is Group:
            if entry.nodes:
                return entry.nodes.popleft()
            entry.listed = False
            entry = None
        self._stack.pop()
        self._numbers.pop()
        return entry  # type: ignore[return-value]

    def _insert(self, number: int, entry: Node | Group) -> None:
        numbers = self._numbers
        if len(numbers) > self._stack_limit:
            self._sweep()
        if not numbers or numbers[-1] < number:
            index = len(numbers)
        else:
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
        if entry is node:
            stack[index] = None
        elif type(entry) is Group and entry.base < node.number < entry.base + STRIDE:
            if entry.nodes and entry.nodes[0] is node:
                entry.nodes.popleft()
            elif entry.nodes and entry.nodes[-1] is node:
                entry.nodes.pop()
            elif node in entry.nodes:
                entry.nodes.remove(node)

    def _merge(self, nodes: list[Node]) -> None:
        if len(nodes) <= 16:
            for node in nodes:
                self._insert(node.number, node)
            return
        entries = [pair for pair in zip(self._numbers, self._stack) if pair[1] is not None]
        entries.extend((node.number, node) for node in nodes)
        entries.sort(key=_first)
        self._set_stack(entries)

    def _sweep(self) -> None:
        self._set_stack([pair for pair in zip(self._numbers, self._stack) if pair[1] is not None])

    def _set_stack(self, entries: list[tuple[int, Any]]) -> None:
        self._numbers[:] = [number for number, _ in entries]
        self._stack[:] = [entry for _, entry in entries]
        self._stack_limit = 2 * len(entries) + SWEEP_FROM

    # For tests.

    def entries(self) -> int:
        """The number of entries kept, live and dead."""
        return len(self._stack) + len(self._search) + len(self._beheaded) + len(self._shaken)


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
