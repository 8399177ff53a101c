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
  last.  Chains that grow while they run cost one step a node this way.  Of a
  former head too: the heads above it go back to the stack, if no older search
  can have passed over them, so that many sinks of one chain cost no more.
* A node is promoted: it heads a plan with a new number.
* A node that has pending dependencies is dropped: what was visited through it
  may have lost its rank.  Its plan, and older plans that are not intact, are
  dissolved: their nodes go back to the stack.

No structure here keeps a node that has started: entries of such nodes are
emptied in place (a `Cell` whose content is None), and skipped or swept later.
"""

from __future__ import annotations

from heapq import heappop, heappush
from sys import maxsize
from typing import Any

from ._nodes import (
    ASIDE,
    HELD_BACK,
    NONE,
    READY,
    RUNNING,
    SEARCHING,
    STRIDE,
    Group,
    Node,
    Plan,
    PlannedQueue,
    dependencies_of,
    listed_dependencies,
)
from ._plans import Plans


class NewestFirst(Plans):
    """The search described above."""

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
        elif node.state == READY or not self._live or not self._adopt(node):
            # `_push`, written out: the hottest line of a submit.
            if len(self._stack) > self._stack_limit:
                self._sweep()
            self._stack.append(node)
            self._numbers.append(node.number)

    def freed(self, node: Node) -> None:
        # A node that no search has reached is on the stack, and will be met.
        if node.plan is not None:
            if node.plan is HELD_BACK:
                heappush(node.queue.front, node.place)
            elif self._fresh is None:
                self._fresh = node
            else:
                self._shelve(node.plan, node)
        elif node.place is ASIDE:
            self._pass(node)

    def start(self, node: Node) -> None:
        self.settle()
        if node.plan is None:
            self._unlist(node)
        elif node.plan is HELD_BACK:
            self._leave_front(node)
            node.plan = None
        else:
            del node.plan.met[node.place]
        self._start(node.queue, node)

    def _start(self, queue: PlannedQueue, node: Node) -> None:
        # `queue.start`, written out: a call less for each node that has dependencies.
        node.state = RUNNING
        queue.ready -= 1
        queue.running += 1
        node.place = None
        if node.dependencies is not NONE:
            node.began()
        plan: Plan | None = node.plan
        if plan is not None:
            node.plan = None
            if plan.head is node:  # all that it needed is done
                self._retire(plan)
            if self._beheaded:
                self._retire_beheaded(node)

    def dropped(self, nodes: list[Node]) -> None:
        self.settle()
        broken: list[Plan] = []
        ended: list[Plan] = []
        for node in nodes:
            plan = node.plan
            if plan is None:
                if node.queue is not None:
                    self._unlist(node)
                continue
            if plan is HELD_BACK:
                self._leave_front(node)
                continue
            plan.met.pop(node.place, None)
            node.place = None
            if any(other.state < RUNNING for other in dependencies_of(node)):
                broken.append(plan)
            elif plan.head is node:
                ended.append(plan)
        if broken:
            self._dissolve(broken, nodes)
        for plan in ended:  # after it: one may own what was needed through a broken one
            self._retire(plan)
        for node in nodes:
            node.plan = None
            if self._beheaded:
                self._retire_beheaded(node)

    def held_back(self, node: Node) -> None:
        """Let it go before all others once it is ready again; no search visits it any more.

        Plans that have met it lost it as it started, and need not know.
        """
        self.held += 1
        node.plan = HELD_BACK
        node.place = [self.held, node]

    def promote(self, node: Node, number: int) -> None:
        self.settle()
        plan = node.plan
        if plan is HELD_BACK:
            return  # it goes first anyway
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

    def take(self, queue: PlannedQueue, limit: int | None = None) -> Any:
        """Start the node that goes first."""
        if not queue.ready:
            return None
        front = queue.front
        while front:
            node = heappop(front)[1]
            if node is not None:
                node.plan = None
                queue.start(node)
                return node
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
            self.settle()
        elif stack and not search and not queue.heap:
            # Nothing waits or is half searched: the top of the stack, if ready.
            top = stack[-1]
            if isinstance(top, Group):
                node = top.nodes[0]
                if node.state == READY and node.queue is queue:
                    node = self._pop()
                    queue.start(node)
                    return node
            elif top is not None and top.state == READY and top.queue is queue:
                del stack[-1], numbers[-1]
                queue.start(top)
                return top
        steps = 0
        waiting = self._best(queue)  # to the end: a ready node of *queue* that is met is taken
        while True:
            while search and search[-1][1] is None:
                search.pop()
            unfinished = search[-1][0] if search else -1
            if stack and stack[-1] is None:
                steps += self._trim()
            elif stack and numbers[-1] > unfinished:
                if waiting > numbers[-1]:
                    break
                node = self._pop()
                if node.state == READY:
                    if node.queue is queue:
                        self.steps += steps
                        queue.start(node)
                        return node
                    self._pass(node)
                elif _leads_nowhere(node):
                    node.place = ASIDE
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
        """Go on with *plan* until it meets a ready node of *queue*, or has nothing left."""
        frames = plan.frames
        number = plan.number
        stop = maxsize if limit is None else limit
        above: Any = None  # the last node met that needs just one other
        dependencies: Any
        while frames or plan.later:
            frame = frames.pop() if frames else plan.later.popleft()
            dependencies, index = frame
            count = len(dependencies)  # none, where its node has started since
            while index < count:
                if steps >= stop:  # to go on from here another time
                    if type(dependencies) is tuple:
                        frame = [listed_dependencies(above), 0]
                    else:
                        frame[1] = index
                    frames.append(frame)
                    return None, steps
                node: Any = dependencies[index]
                index += 1
                steps += 1
                state = node.state
                if state >= RUNNING:
                    continue
                owner = node.plan
                if owner is plan:
                    continue
                if (node.number if owner is None else owner.number) > number:
                    # Met before, by a newer search or (promoted) on its own; or it was held back.
                    if plan.intact:
                        self._shake(plan)
                    continue
                if owner is None:
                    self._unlist(node)
                else:
                    self._take_over(owner, node)
                plan.last += 1
                node.plan = plan
                node.place = plan.last
                if state == READY:
                    if node.queue is not queue:
                        self._shelve(plan, node)
                        continue
                    if index < count:
                        frame[1] = index
                        frames.append(frame)
                    return node, steps
                needs = node.dependencies
                if needs is NONE:
                    continue
                # Go down, and only then on: where nothing is left here, a chain needs no depth.
                if index < count:
                    frame[1] = index
                    frames.append(frame)
                index = 0
                if type(needs) is list:
                    dependencies = needs
                    count = len(needs)
                    frame = [needs, 0]
                else:
                    dependencies = (needs,)
                    count = 1
                    above = node
        plan.spot[1] = None  # type: ignore[index]
        plan.spot = None
        return None, steps

    def _best(self, queue: PlannedQueue) -> int:
        """The number of the newest entry of *queue* that has a waiting node, or -1."""
        heap = queue.heap
        while heap:
            cell = heap[0]
            content = cell[-1]
            if type(content) is Plan:
                nodes = content.ready[queue]
                met = content.met
                while nodes and nodes[0] not in met:
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
            node = content.met.pop(heappop(content.ready[queue]))
        else:
            node = content
            heappop(queue.heap)
        self._start(queue, node)
        return node


def _leads_nowhere(node: Node) -> bool:
    """Tell whether all that waiting *node* needs runs, or is a relay for that: nothing is to be visited."""
    for other in dependencies_of(node):
        if other.state >= RUNNING:
            continue
        if other.queue is not None or any(need.state < RUNNING for need in dependencies_of(other)):
            return False
    return True
