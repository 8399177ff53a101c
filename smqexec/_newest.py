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

A running node may *give way* to what comes before it, if its queue says so.
Searches then meet it as if it were pending, and own it, but for one that heads
its plan or was met by none: that goes by its own number, and is in no list.
And it has a way to leave the order that pending nodes have not: a relay may be
done while it runs, and what was met through that relay may have lost its rank.
So each plan keeps all its *ways* to such a node, and plans that come to it
later than its owner are kept *behind* it: the next to own it.

No structure here keeps a node that has started: entries of such nodes are
emptied in place (a `Cell` whose content is None), and skipped or swept later.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop
from typing import Any

from ._nodes import (
    ASIDE,
    READY,
    RUNNING,
    SEARCHING,
    STRIDE,
    SWEEP_FROM,
    Group,
    Node,
    Plan,
    PlannedQueue,
    Searching,
    dependents_of,
    sought,
)
from ._places import Places

# A new node adopts a plan also through so many nodes that no plan owns: two of one dependency,
# say, of which the first one goes on.
BARE_HEADS = 4


class NewestFirst(Places):
    """The search described above."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0  # nodes looked at by all searches so far

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
        elif node.place is ASIDE:
            self._pass(node)

    def start(self, node: Node) -> None:
        self.settle()
        if node.plan is None:
            self._unlist(node)
        else:
            del node.plan.met[node.place]
        self._start(node.queue, node)

    def _start(self, queue: PlannedQueue, node: Node) -> None:
        queue.start(node)
        plan: Plan | None = node.plan
        if plan is not None:
            if plan.head is node:  # all that it needed is done
                node.plan = None
                self._retire(plan)
            elif not queue.gives_way:
                node.plan = None
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
            plan.met.pop(node.place, None)
            node.place = None
            if any(other.state < RUNNING for other in node.dependencies):
                broken.append(plan)
            elif plan.head is node:
                ended.append(plan)
        if broken:
            self._dissolve(broken, nodes)
        for plan in ended:  # after it: one may own what was needed through a broken one
            self._retire(plan)
        for node in nodes:
            if node.queue is not None and node.queue.gives_way:
                self.ended(node)
            node.plan = None
            if self._beheaded:
                self._retire_beheaded(node)

    def ended(self, node: Node) -> None:
        """Forget *node*, of a queue that gives way."""
        self._forget_ways(node)
        node.plan = None
        node.place = None

    def promote(self, node: Node, number: int) -> None:
        self.settle()
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

    def give_way(self, node: Node, limit: int | None = None) -> Node | Searching | None:
        if not node.queue.ready:
            return None
        self.settle()
        self._reclaim(node)
        if node.plan is None:
            # In the heaps and on the stack a group goes by its base, which
            # would hide those of the group that come before this one.
            self._merge(self._disband(node.number // STRIDE * STRIDE, node.number))
        return self.take(node.queue, limit, node)

    def take(
        self, queue: PlannedQueue, limit: int | None = None, running: Node | None = None
    ) -> Node | Searching | None:
        """Start the node that goes first; if *running* gives way, only one that comes before that."""
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
            self.settle()
        elif stack and not search and not queue.heap and running is None:
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
        mark = -1  # the first part of the rank of *running*
        if running is not None:
            mark = running.number if running.plan is None else running.plan.number
        while True:
            waiting = self._best(queue)
            if waiting < mark:
                waiting = mark
            while search and search[-1][1] is None:
                search.pop()
            unfinished = search[-1][0] if search else -1
            if stack and stack[-1] is None:
                self._trim()
                steps += 10  # what it costs
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
                met, steps = self._advance(search[-1][1], queue, steps, limit, running)
                if met is not None:
                    self.steps += steps
                    if met is running:
                        return None
                    self._start(queue, met)
                    return met
            if limit is not None and steps >= limit:
                self.steps += steps
                return SEARCHING
        self.steps += steps
        assert waiting >= 0, "a ready node is in no structure"
        if (
            running is not None
            and waiting == mark
            # Of two that one plan has met the position decides.
            and (self._best(queue) < mark or running.place < queue.heap[0][-1].ready[queue][0])
        ):
            return None
        return self._take_waiting(queue)

    def _advance(
        self, plan: Plan, queue: PlannedQueue, steps: int, limit: int | None, running: Node | None
    ) -> tuple[Node | None, int]:
        """Go on with *plan* until it meets *running* or a ready node of *queue*, or has nothing left."""
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
            left = len(dependencies) - index
            if left < 2:
                del frames[-1]  # before going down: a chain then needs no depth
                if left <= 0:
                    continue
            else:
                frame[1] = index + 1
            node: Node = dependencies[index]
            steps += 1
            state = node.state
            if state >= RUNNING and (state > RUNNING or not node.queue.gives_way):
                continue
            home = node.queue
            if home is not None and home.gives_way:
                if not self._come_to(node, plan, dependencies):
                    continue
            else:
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
                plan.last += 1
            node.plan = plan
            node.place = plan.last
            if state == READY:
                if home is queue:
                    return node, steps
                self._shelve(plan, node)
            elif node is running:
                return node, steps
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

    # Nodes of queues that give way.

    def _come_to(self, node: Node, plan: Plan, dependencies: list[Any]) -> bool:
        """Note that the search of *plan* met *node* in *dependencies*; tell whether it is now the plan's."""
        if node.state == RUNNING:
            self._reclaim(node)
        owner = node.plan
        if (node.number if owner is None else owner.number) > plan.number:
            if plan.intact:
                self._shake(plan)
            if node.number > plan.number:
                return False  # nor will it ever be
            if plan.ways is None or node not in plan.ways:
                self._put_behind(plan, node)
        elif owner is None:
            if node.state < RUNNING:
                self._unlist(node)
        elif owner is not plan:
            self._take_over(owner, node)
            if owner.number > node.number:
                self._put_behind(owner, node)
        plan.last += 1
        if plan.ways is None:
            plan.ways = {}
        ways = plan.ways.get(node)
        if ways is None:
            plan.ways[node] = [1, (plan.last, dependencies)]
        else:
            ways.append((plan.last, dependencies))
        return owner is not plan and (owner is None or owner.number < plan.number)

    # Plans.

    def _begin(self, node: Node) -> Plan:
        """A new search from *node*, which is newer than all searches."""
        plan = Plan(node, node.number)
        self._live += 1
        self._enlist(plan)
        return plan

    def _visit(self, plan: Plan, node: Node) -> None:
        """Give *node* to *plan*, which begins at it."""
        owner = node.plan
        if owner is not None:
            self._take_over(owner, node)
            if node.queue.gives_way:
                self._forget_ways(node)  # from now on it goes by its own number
        node.plan = plan
        node.place = 0
        if node.state == READY:
            self._shelve(plan, node)
        else:
            plan.frames.append([node.dependencies, 0])

    def _adopt(self, node: Node) -> bool:
        """Make *node* the head of an intact plan that its first pending dependency heads, or has headed.

        Also through `BARE_HEADS` nodes that no plan owns, each the first pending dependency of the last.
        """
        first = node.dependencies[0]
        if first.plan is None and first.state < RUNNING and not self._live:
            return False  # as before anything runs, and most often
        heads: list[tuple[Node, list[int]]] = []
        current = node
        plan: Plan | None = None
        while plan is None:
            pending = [
                index
                for index, other in enumerate(current.dependencies)
                if other.state < RUNNING or (other.state == RUNNING and other.queue.gives_way)
            ]
            if not pending or len(heads) > BARE_HEADS:
                return False
            heads.append((current, pending))
            current = current.dependencies[pending[0]]
            plan = current.plan
            if plan is None:
                if current.queue is None or current.number % STRIDE:
                    return False  # a relay, or one of a group, which is costly to take out of there
                self.steps += 1
        if not plan.intact or (
            plan.head is not current and not self._give_up_heads(plan, current, node)
        ):
            return False
        for head, pending in reversed(heads):
            if head is not node:
                self._unlist(head)
            if current.queue.gives_way:
                plan.ways = plan.ways or {}
                plan.ways[current] = [1, (plan.first, head.dependencies)]
            plan.head = current = head
            plan.first -= 1
            head.plan = plan
            head.place = plan.first
            if len(pending) > 1:
                if not plan.later:
                    plan.later = deque()
                plan.later.append([head.dependencies, pending[1]])
        self._raise(plan, node.number)
        return True

    def _give_up_heads(self, plan: Plan, former: Node, new: Node) -> bool:
        """Send the heads of *plan* above *former* back to the stack, for *new*.

        Returns:
            False if *former* is no former head, or one above can't be sent back: the search has gone
            on with what else that needs, or an older plan may have passed over it, since this one
            owned it, for others than *new* depend on it.

        Cost: one step for each.
        """
        if plan.ways is not None or former.place > 0 or plan.stuck < former.place:
            return False
        heads: list[Node] = []
        left = len(plan.later)
        head: Any = plan.head
        above = None
        while head is not former:
            needs = head.dependencies
            if left and plan.later[left - 1][0] is needs:
                left -= 1
                searched = False
            else:
                searched = sum(map(sought, needs)) > 1 or any(frame[0] is needs for frame in plan.frames[:1])
            dependents = dependents_of(head)
            if (
                searched
                or len(dependents) > 2
                or any(other is not above and other is not new for other in dependents)
            ):
                plan.stuck = head.place
                return False
            heads.append(head)
            self.steps += 1
            above = head
            head = next(filter(sought, needs))
        while len(plan.later) > left:
            plan.later.pop()
        for head in heads:
            head.plan = head.place = None
            self._insert(head.number, head)
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

    def _shake(self, plan: Plan) -> None:
        plan.intact = False
        self._shaken.add(plan)

    def _take_over(self, owner: Plan, node: Node) -> None:
        """Part *node* from *owner*, for a newer plan."""
        if owner.intact:
            self._shake(owner)
        owner.met.pop(node.place, None)
        if owner.head is node:
            self._beheaded.setdefault(node, []).append(owner)

    def _retire_beheaded(self, head: Node) -> None:
        for plan in self._beheaded.pop(head, ()):
            self._retire(plan)

    def _retire(self, plan: Plan) -> None:
        """Forget *plan*: nothing pending is left of it, or it is dissolved."""
        if plan.head is not None:
            self._live -= 1
        if not plan.intact:
            self._shaken.discard(plan)
        plan.head = None
        plan.intact = False
        plan.frames.clear()
        plan.later = ()
        plan.ways = None
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
            if node.state < RUNNING and node.plan in plans:  # running ones are reclaimed when next met
                node.plan = node.place = None
                if node.queue is not None:
                    back.append(node)
            todo.extend(other for other in node.dependencies if other.state < RUNNING)
        for plan in plans:
            beheaded = self._beheaded.get(plan.head) if plan.head is not None else None
            if beheaded is not None and plan in beheaded:
                beheaded.remove(plan)
                if not beheaded:
                    del self._beheaded[plan.head]  # type: ignore[arg-type]
            self._retire(plan)
        self._merge(back)


def _leads_nowhere(node: Node) -> bool:
    """Tell whether all that waiting *node* needs runs, or is a relay for that: nothing is to be visited."""
    for other in node.dependencies:
        if other.state < RUNNING:
            if other.queue is not None or any(map(sought, other.dependencies)):
                return False
        elif sought(other):
            return False
    return True
