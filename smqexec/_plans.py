"""The plans of newest first: begun, adopted by newer nodes, taken over node by node, retired.

What a plan is, and why it may be adopted, is told in ``_newest``.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from ._nodes import (
    HELD_BACK,
    READY,
    RUNNING,
    STRIDE,
    SWEEP_FROM,
    Node,
    Plan,
    dependencies_of,
    dependents_of,
    listed_dependencies,
)
from ._places import Places

# A new node adopts a plan also through so many nodes that no plan owns: of two that need the
# same, say, the first one goes on.
BARE_HEADS = 1


class Plans(Places):
    """What happens to the plans of `NewestFirst`."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0  # nodes looked at by all searches so far

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
        node.plan = plan
        node.place = 0
        if node.state == READY:
            self._shelve(plan, node)
        else:
            plan.frames.append([listed_dependencies(node), 0])

    def _adopt(self, node: Node) -> bool:
        """Make *node* the head of an intact plan that its first pending dependency heads, or has headed.

        Also through `BARE_HEADS` nodes that no plan owns, each the first pending dependency of the last.
        """
        heads = [node]
        current = node
        plan: Plan | None = None
        while plan is None:
            for other in dependencies_of(current):
                if other.state < RUNNING:
                    break
            else:
                return False
            current = other
            plan = current.plan
            if plan is None:
                if len(heads) > BARE_HEADS or current.queue is None or current.number % STRIDE:
                    return False  # far; a relay; or one of a group, which is costly to take out of there
                self.steps += 1
                heads.append(current)
        if not plan.intact or (plan.head is not current and not self._give_up_heads(plan, current, node)):
            return False
        for head in reversed(heads):
            if head is not node:
                self._unlist(head)
            plan.head = current = head
            plan.first -= 1
            head.plan = plan
            head.place = plan.first
            needs = head.dependencies
            if type(needs) is list:
                pending = [index for index, other in enumerate(needs) if other.state < RUNNING]
                if len(pending) > 1:
                    if not plan.later:
                        plan.later = deque()
                    plan.later.append([needs, pending[1]])
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
        if former.place > 0 or plan.stuck < former.place:
            return False
        heads: list[Node] = []
        left = len(plan.later)
        head: Any = plan.head
        above = None
        while head is not former:
            needs = dependencies_of(head)
            if left and plan.later[left - 1][0] is needs:
                left -= 1
                searched = False
            else:
                searched = sum(map(_searchable, needs)) > 1
                searched = searched or any(frame[0] is needs for frame in plan.frames[:1])
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
            head = next(filter(_searchable, needs))
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
                node.plan = node.place = None
                if node.queue is not None:
                    back.append(node)
            todo.extend(other for other in dependencies_of(node) if other.state < RUNNING)
        for plan in plans:
            beheaded = self._beheaded.get(plan.head) if plan.head is not None else None
            if beheaded is not None and plan in beheaded:
                beheaded.remove(plan)
                if not beheaded:
                    del self._beheaded[plan.head]  # type: ignore[arg-type]
            self._retire(plan)
        self._merge(back)


def _searchable(node: Node) -> bool:
    """Tell whether searches visit *node*, if no newer one has."""
    return node.state < RUNNING and node.plan is not HELD_BACK
