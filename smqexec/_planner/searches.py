"""The searches of `NewestFirst`: begun, advanced, adopted by newer nodes, taken over, dissolved.

The theory is told in ``newest``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import Any

from .graph import dependencies_of, dependents_of, listed_dependencies
from .line import BOTTOM, GAP, Line
from .nodes import NONE, READY, RUNNING, SEARCHING, SWEEP_FROM, WAITING, Node, PlannedQueue
from .search import HELD_BACK, Past, Search

# The place of a ready node that is in `todo`: no search has visited it since it was added, waiting.
UNVISITED: Any = "unvisited"

# So many nodes that no search owns are looked through at once for a search to adopt.
PATH = 300


class Searches:
    """All searches of one planner."""

    def __init__(self) -> None:
        #: What is still to be searched: nodes that no search has visited and that were waiting when
        #: they were added, and searches that have something left, each by its number.
        self.todo = Line()
        #: How many nodes all searches have looked at so far.
        self.steps = 0

    # Where nodes are listed.

    def put(self, node: Node) -> None:
        """List pending *node*, which no search owns and no line has, by its own number."""
        node._place = None
        if node._stage == READY:
            node._queue.line.push(node._number, node)
        elif node._queue is not None:  # else it is a relay: what needs it leads to it
            self.todo.push(node._number, node)

    def leave(self, node: Node) -> None:
        """Remove pending *node* from where it is listed, if it is."""
        search = node._search
        if search is HELD_BACK:
            node._place[1] = None  # its cell in the queue's heap, if it is ready
        elif search is None or not search.live:
            self._unlist(node)
        elif node._stage == READY:
            search.unshelve(node)

    def _unlist(self, node: Node) -> None:
        """Remove pending *node*, which no search owns, from the line that has it, if one has."""
        place = node._place
        if place is UNVISITED or (place is None and node._stage == WAITING):
            self.todo.discard(node._number)  # a relay is listed nowhere: nothing has its number
        elif place is None:
            node._queue.line.discard(node._number)

    # Searching.

    def first(self, queue: PlannedQueue, stop: int) -> Any:
        """Return the node of *queue* that goes first, removed from where it is listed; or `SEARCHING`.

        There is a ready one.  All ready nodes that a search owns are on shelves.
        """
        line, todo = queue.line, self.todo
        while True:
            ready, number = line.numbers[-1], todo.numbers[-1]
            if line.gaps or line.late_top > ready:
                ready = line.first()
            if todo.gaps or todo.late_top > number:
                number = todo.first()
            if ready >= number and line.things[-1] is not GAP:
                break
            node = self._go_on(todo.things[-1] if ready < number else GAP, queue, stop)
            if node is not None:
                if todo.gaps > SWEEP_FROM:
                    todo.sweep()  # a long search has just left them, and it may be the last for long
                return node
            if self.steps >= stop:
                return SEARCHING
        thing = line.things[-1]
        assert thing is not BOTTOM, "a ready node is in no line"
        if type(thing) is Search:
            node = thing.shelves[queue].first()
            thing.unshelve(node)
            return node
        del line.things[-1], line.numbers[-1]
        return thing

    def _go_on(self, thing: Any, queue: PlannedQueue, stop: int) -> Any:
        """Search on at *thing*, the first of `todo`; return a node of *queue* that goes first, or None."""
        if type(thing) is Search:
            return self._advance(thing, queue, stop)
        if thing._stage == WAITING:
            return self.begin(thing, queue, stop)
        self.steps += 1
        if thing is GAP:
            return None  # `Line.first` has removed some
        # It has become ready where it was.
        del self.todo.things[-1], self.todo.numbers[-1]
        if thing._queue is queue:
            return thing
        self.put(thing)
        return None

    def begin(self, root: Any, queue: PlannedQueue, stop: int) -> Any:
        """Search from *root*, the first of `todo`: let a search adopt it, or make one.

        The search gets all that is on the way from the root along first pending dependencies, as
        far as no other search owns it, and as steps are left until step *stop*.

        Returns:
            A node of *queue* that goes first, if there is one at the end of the way; or None.

        Cost: one step for each node on the way.
        """
        todo, things, numbers, number = self.todo, self.todo.things, self.todo.numbers, root._number
        path: list[Node] = []
        rests: list[tuple[list[Node], int]] = []  # what else those on the path need
        adopter: Search | None = None
        node = need = root
        needs: Any = NONE
        owner: Any = None
        most = min(PATH, stop - self.steps)
        while len(path) < most:
            needs = node._dependencies
            if type(needs) is list:
                index = 0
                for need in needs:
                    index += 1
                    if need._stage < RUNNING:
                        break
                else:
                    break  # all that it needs runs
                if index < len(needs):
                    rests.append((needs, index))
            elif needs is NONE or needs._stage >= RUNNING:
                break
            else:
                need = needs
            path.append(node)
            if things[-1] is node:
                del things[-1], numbers[-1]
            elif node._place is None and node._number:  # else it is listed nowhere
                todo.discard(node._number)
            owner = need._search
            if owner is None or not owner.live:
                owner = None
                if need._stage == READY or need._number > number:
                    break
            elif need._stage == READY or owner._number > number:
                break
            elif owner.intact and self._bare(owner, need):
                adopter = owner
                break
            else:
                self.part(owner, need)
            node = need
        self.steps += len(path) or 1
        if adopter is not None:
            self._own(adopter, path, rests)
        elif not path:
            todo.discard(number)  # it is listed again once it is ready
            root._place = 0
        elif type(needs) is list or need._stage == WAITING or owner is not None or need._number > number:
            lowest = listed_dependencies(path[-1])
            first = rests.pop()[1] - 1 if rests and rests[-1][0] is lowest else len(lowest) - 1
            search = Search(root)
            search.frames.append((lowest, first))
            self._own(search, path, rests)
        else:
            return self._reach(need, path, rests, queue)
        return None

    def _reach(
        self, need: Node, path: list[Node], rests: list[tuple[list[Node], int]], queue: PlannedQueue
    ) -> Node | None:
        """End a way at ready *need*, which no search owns, and which alone is needed by the last of *path*.

        Return it if it is of *queue*: it goes first.
        """
        self.steps += 1
        self._unlist(need)
        root = path[0]
        if need._queue is queue and len(path) == 1:
            root._place = 0  # no search is needed: all that root needs runs
            return need
        search = Search(root)
        search.last = need._place = 1
        need._search = search
        self._own(search, path, rests)
        if need._queue is queue:
            return need
        search.shelve(need)
        return None

    def _own(self, search: Search, path: list[Node], rests: list[tuple[list[Node], int]]) -> None:
        """Put *path* on top of *search*, which is not in `todo`; *rests* are searched last."""
        position = search.first
        for node in reversed(path):
            position -= 1
            node._search = search
            node._place = position
        search.first = position
        if rests:
            if not search.later:
                search.later = deque()
            for rest in reversed(rests):
                search.later.append(rest)
        self._raise(search, path[0])

    def _bare(self, search: Search, former: Node) -> bool:
        """Make *former* the head of *search* again, if it is or was that, and remove it from `todo`.

        The heads above it are then no search's.

        Returns:
            False, if it was none; or if what else one above it needs was searched, and is pending.

        Cost: one step for each head above it.
        """
        if former._place > search.solid:
            return False
        heads: list[Node] = []
        left = len(search.later)
        head: Any = search.head
        while head is not former:
            self.steps += 1
            needs = head._dependencies
            pending = [need for need in dependencies_of(head) if need._stage < RUNNING]
            pending = [need for need in pending if need._search is not HELD_BACK]
            if left and search.later[left - 1][0] is needs:
                left -= 1
            elif len(pending) > 1:
                search.solid = head._place
                return False
            heads.append(head)
            head = pending[0]
        self.todo.discard(search._number)
        if heads:
            past = Past(search._number)
            for head in heads:
                head._search = past
            while len(search.later) > left:
                search.later.pop()
            search.head, search.first = former, former._place
            self.put(heads[0])
        return True

    def _raise(self, search: Search, head: Node) -> None:
        """Give *search*, which is not in `todo`, the new *head*."""
        old, number = search._number, head._number
        search.head, search._number = head, number
        if old != number:
            for queue, shelf in search.shelves.items():
                if shelf.nodes:
                    queue.line.discard(old)
                    queue.line.push(number, search)
        if search.frames or search.later:
            self.todo.push(number, search)

    def part(self, search: Search, node: Node) -> None:
        """Note that *search* no longer owns *node*: a newer one does."""
        search.intact = False
        if node._stage == READY:
            search.unshelve(node)
        elif search.head is node:
            # The newer one will visit whatever this one could still reach.
            search.head = None
            search.frames, search.later = [], ()
            self.todo.discard(search._number)

    def _advance(self, search: Search, queue: PlannedQueue, stop: int) -> Node | None:
        """Go on with *search*, the first of `todo`, until it meets a ready node of *queue*, or step *stop*.

        Return that node, which goes first, or None.  A search that has nothing left leaves `todo`.
        """
        frames, number, steps, todo = search.frames, search._number, self.steps, self.todo
        above: Any = None  # the node whose dependencies are visited
        while frames or search.later:
            needs, index = frames.pop() if frames else search.later.popleft()
            count = len(needs)  # 0, if its node has started since
            while index < count:
                if steps >= stop:
                    frames.append((needs if type(needs) is list else listed_dependencies(above), index))
                    self.steps = steps
                    return None
                node = needs[index]
                index += 1
                steps += 1
                state, owner = node._stage, node._search
                if state >= RUNNING or owner is search:
                    continue
                if owner is not None and owner.live:
                    if owner._number > number:
                        search.intact = False
                        continue
                    self.part(owner, node)
                elif node._number > number:
                    search.intact = False
                    continue
                elif (place := node._place) is None:  # `_unlist`, written out for what is in the stack
                    line = node._queue.line if state == READY else todo
                    things = line.things
                    if things[-1] is node:
                        del things[-1], line.numbers[-1]
                    elif things[at := bisect_right(line.numbers, node._number) - 1] is node:
                        things[at] = GAP
                        line.gaps += 1
                    else:
                        line.discard(node._number)  # it is late; or a relay, which is listed nowhere
                elif place is UNVISITED:
                    todo.discard(node._number)
                search.last = node._place = search.last + 1
                node._search = search
                if state == READY and node._queue is not queue:
                    search.shelve(node)
                    continue
                if index < count:
                    frames.append((needs, index))
                if state == READY:
                    self.steps = steps
                    return node  # type: ignore[no-any-return]
                above, index = node, 0  # go down, and only then on
                needs = node._dependencies
                if type(needs) is not list:
                    needs = dependencies_of(node)
                count = len(needs)
        self.steps = steps
        todo.discard(number)
        return None

    # Drops.

    def forget(self, nodes: list[Any]) -> None:
        """Search anew what may have been visited through *nodes*, which have just been dropped and left.

        Cost: one step for each node that was visited through them, and for what depends on these;
        and a new search of the searches that own or lead to one of them.
        """
        visited = [node for node in nodes if node._search is not None]
        fallen = _fallen(visited)
        broken = [node._search for node in visited if node._search.live and node._search.head is node]
        for node in fallen:
            broken.append(node._search)
            for other in dependents_of(node):
                # An older search, or the same, that passed it by or lost it.
                search = other._search
                if other._stage < RUNNING and search is not None and search._number <= node._search._number:
                    broken.append(search)
        for search in broken:
            if search.live:
                self._dissolve(search)
        for node in fallen:
            self.leave(node)  # a dissolved search may have listed it, as its head
            self.put(node)
        for node in [*fallen, *nodes]:
            node._search = None  # what was visited through it has fallen too

    def _dissolve(self, search: Search) -> None:
        """End *search*: what it owned is to be searched again, from its head; what is ready is listed."""
        search.live = False
        search.frames, search.later = [], ()
        shelves, search.shelves = search.shelves, {}
        for queue, shelf in shelves.items():
            if shelf.nodes:
                queue.line.discard(search._number)
                for node in shelf.nodes.values():
                    self.put(node)
        head, search.head = search.head, None
        if head is not None:
            self.todo.discard(search._number)
            if head._stage < RUNNING:
                self.put(head)


def _fallen(dropped: list[Any]) -> list[Any]:
    """Return the nodes that may have been visited through *dropped* ones: none that newer searches own."""
    fallen: dict[Node, None] = {}
    todo = dropped.copy()
    while todo:
        node = todo.pop()
        number = node._search._number
        for need in dependencies_of(node):
            search = need._search
            if need._stage >= RUNNING or need in fallen or search is None:
                continue
            if not search.live or search._number <= number:
                fallen[need] = None
                todo.append(need)
    return list(fallen)
