"""The searches of `NewestFirst`: begun, advanced, adopted, taken over, dissolved.  See ``newest``."""

from collections import deque  # noqa: I001
from typing import Any

from .line import GAP, HELD_BACK, Line, Search
from .nodes import (
    LATE, NONE, ORIGIN, READY, RUNNING, SWEEP_FROM, Node, PlannedQueue, dependencies_of, dependents_of,
    listed_dependencies,
)  # fmt: skip


class Searches:
    """All searches of one planner.  `NewestFirst` adds the verbs."""

    def __init__(self) -> None:
        # Waiting nodes that no search has visited, and suspended searches.  A node that becomes ready here
        # stays, until a search meets it or it is the first of `todo`.
        self.todo = Line()
        self.steps = 0  # how many nodes all searches have looked at so far
        # Suspended searches that have lost a node to a newer one.
        self.losers: dict[Search, None] = {}
        # Nodes that became ready since the last `DependencyPlanner.take_freed`.  Always this list.
        self.freed: list[Any] = []

    def put(self, node: Node) -> None:
        """List pending *node*, which no search owns and which is in no line, by its own number."""
        if node._stage == READY:
            node._queue.line.push(node)
        elif node._queue is not None:  # a relay is in no line: a search gets to it from its dependents
            self.todo.push(node)

    def leave(self, node: Node) -> None:
        """Remove pending *node* from its line or shelf, if it is in one."""
        search = node._search
        if search is HELD_BACK:
            node._queue.held_back.pop(node, None)
        elif search is not None and search.live:
            if node._stage == READY:
                search.unshelve(node)
        elif node._place is not None and node._place >= 0 and not self.todo.remove(node):
            node._queue.line.remove(node)

    def begin(self, root: Any, queue: PlannedQueue, limit: int) -> Any:
        """Begin a search at *root*, the first of `todo`; or return its one dependency, if that may start."""
        if root._stage == READY:  # a node of another queue, which became ready in `todo`
            self.steps += 1
            del self.todo.things[-1]
            self.put(root)
            return None
        path, rests, search = self._path(root, limit)
        self.steps += len(path) or 1
        if not path:  # all its dependencies run; it is listed again once it is ready
            self.todo.remove(root)
            root._place = None
            return None
        # A short cut for pairs: a search would start *need*, and end.
        need: Any = root._dependencies
        if (
            type(need) is not list and need._stage == READY and need._queue is queue
            and need._place >= 0 and queue.line.remove(need)
        ):  # fmt: skip
            root._place = None
            return need
        if search is None:
            # A new search goes on at the end of the path, with the dependency where the path ended.  Its
            # frame includes the rest of this list, so *rests* does not.
            search = Search(root._number)
            needs = listed_dependencies(path[-1])
            index = rests.pop()[1] - 1 if rests and rests[-1][0] is needs else len(needs) - 1
            search.frames.append((needs, index))
        # The path comes before all that the search has visited, in the order in which it was walked.
        search.lowest -= len(path)
        for place, node in enumerate(path, search.lowest):
            node._place = place
            node._search = search
        if rests:
            # The other dependencies of the deepest node come first, as in a recursion.
            search.later = search.later or deque()
            search.later.extend(reversed(rests))
        search.head, search._number = root, root._number
        # The shelves of an adopted search go by the new number.
        for queue, shelf in search.shelves.items():
            if shelf.nodes:
                queue.line.remove(shelf)
                shelf._number = root._number
                queue.line.push(shelf)
        if search.frames or search.later:
            self.todo.push(search)
        return None

    def _path(self, root: Any, limit: int) -> tuple[list[Node], list[Any], Search | None]:
        """Walk from *root* along first pending dependencies; return `path`, `rests`, the adopting search."""
        todo, things, number = self.todo, self.todo.things, root._number
        # The nodes of the walk, at most *limit*, now in no line.
        path: list[Node] = []
        rests: list[Any] = []  # the other dependencies of these nodes, as frames
        node = need = root
        for _ in range(limit):
            # *need*: the first pending dependency of *node*.  The walk ends if there is none.
            need = node._dependencies
            if type(need) is list:
                needs, index = need, 0
                for need in needs:
                    index += 1
                    if need._stage < RUNNING:
                        break
                else:
                    break  # all its dependencies run
                if index < len(needs):
                    rests.append((needs, index))
            elif need is NONE or need._stage >= RUNNING:
                break
            path.append(node)
            if things[-1] is node:
                del things[-1]
            elif node._place is not None and node._place >= 0:
                todo.remove(node)
            # Then *need* is the next *node*; or the path ends here, and `_advance` takes *need*, or skips it.
            if need._stage == READY:
                break
            owner = need._search
            if owner is not None and owner.live:
                if owner._number > number:
                    break
                # Adoption.  An intact search, which lost no node and skipped none, has done all that a search
                # from its head would do first.  So *root* becomes its head, and *rests* are searched last.
                # Thus a chain that grows while it runs costs one step a node.
                if owner.intact and self._uncover(owner, need):
                    return path, rests, owner
                self.lose(owner, need)
            elif need._number > number:
                break
            node = need
        return path, rests, None

    def _uncover(self, search: Search, former: Node) -> bool:
        """Make *former* the head of *search* again; return False if more was searched from a newer head."""
        if former._place > ORIGIN:
            return False  # it never was the head
        # The newer heads.  Each can be removed if its other dependencies were not searched: thus many sinks
        # share one chain.
        heads: list[Node] = []
        # So many frames of `later` remain: those of *former* and older heads.
        kept = len(search.later)
        head: Any = search.head
        while head is not former:
            self.steps += 1
            pending = [n for n in dependencies_of(head) if n._stage < RUNNING and n._search is not HELD_BACK]
            if kept and search.later[kept - 1][0] is head._dependencies:
                kept -= 1  # its other dependencies were not searched
            elif len(pending) > 1:
                return False
            heads.append(head)
            head = pending[0]
        self.todo.remove(search)
        if heads:
            # `left` has to know that *search* has visited them.
            past = Search(search._number, live=False)
            for head in heads:
                head._search = past
            while len(search.later) > kept:
                search.later.pop()
            search.head, search.lowest = former, former._place
            # The other heads are listed nowhere: a search from the newest one leads to them.
            self.put(heads[0])
        return True

    def lose(self, search: Search, node: Node) -> None:
        """Note that *search* no longer owns *node*: a newer search does, or *node* is newer itself."""
        search.intact = False
        if search.head is node:
            # The newer search will visit all that this one could still reach.
            search.head = None
            self.finish(search)
        elif search.frames or search.later:
            self.losers[search] = None

    def finish(self, search: Search) -> None:
        """Let *search* visit no more nodes."""
        search.frames, search.later = [], ()
        self.losers.pop(search, None)
        if search._place is not None:
            self.todo.remove(search)
            search._place = None

    def _advance(self, search: Search, queue: PlannedQueue, limit: int) -> Any:
        """Go on with *search*, the first of `todo`, to a ready node of *queue*; return that, in no line."""
        frames, number, todo = search.frames, search._number, self.todo
        # The dependencies of one node, which are visited now; the index of the next one; how many they are.
        needs: Any = NONE
        index = count = 0
        node: Any = None
        first = self.steps + 1
        for self.steps in range(first, first + limit):  # then the next call goes on
            while index >= count:  # the list is at its end
                if not frames and not search.later:
                    self.steps -= 1  # nothing is left to look at
                    self.finish(search)
                    return None
                needs, index = frames.pop() if frames else search.later.popleft()
                count = len(needs)  # 0, if its node has started since
            node = needs[index]
            index += 1
            state, owner = node._stage, node._search
            if state >= RUNNING:
                continue
            if owner is not None and owner.live:
                if owner is search:
                    continue
                if owner._number > number:
                    search.intact = False  # the newer search keeps the node; from an older one it is taken
                    continue
                if state == READY:
                    owner.unshelve(node)
                self.lose(owner, node)
            # No search owns it.  A newer node was promoted, and goes by itself.
            elif node._number > number:
                search.intact = False
                continue
            elif state == READY and node._queue.line.remove(node):
                pass  # otherwise it became ready in `todo`
            elif at := node._place:
                if at > 0:  # `Line.remove`, written out
                    todo.things[at] = GAP
                    todo.gaps += 1
            elif at == LATE:
                todo.remove(node)
            if index < count:  # the dependencies of *node* first, then the rest of this list
                frames.append((needs, index))
            if state == READY and node._queue is queue:
                if 2 * todo.gaps > len(todo.things) + SWEEP_FROM:
                    todo.sweep()  # a long search leaves gaps, and may be the last change for a long time
                return node
            search.highest = node._place = search.highest + 1
            node._search = search
            if state == READY:
                search.shelve(node)
                index = count
                continue
            index, needs = 0, node._dependencies
            if type(needs) is not list and needs is not NONE:  # `dependencies_of`, written out
                needs = (needs,)
            count = len(needs)
        if index < count:
            frames.append((needs if type(needs) is list else listed_dependencies(node), index))
        return None

    def left(self, nodes: list[Any]) -> None:
        """List again the nodes that may have been visited through *nodes*, which have started or ended."""
        visited = [node for node in nodes if node._search is not None]
        # The nodes that may have been visited through them, and that no newer search owns.
        fallen: dict[Node, None] = {}
        todo = visited.copy()
        while todo:
            node = todo.pop()
            for need in dependencies_of(node):
                search = need._search
                if need._stage >= RUNNING or need in fallen or search is None:
                    continue
                if not search.live or search._number <= node._search._number:
                    fallen[need] = None
                    todo.append(need)
        # Searches to dissolve: a search whose head was dropped, the owner of a fallen node, ...
        broken = [node._search for node in visited if node._search.live and node._search.head is node]
        for node in fallen:
            broken.append(node._search)
            for other in dependents_of(node):
                # ... and the search of a dependent, unless newer, which skipped a fallen node or lost it.
                search = other._search
                if other._stage < RUNNING and search is not None and search._number <= node._search._number:
                    broken.append(search)
        # ... and any search that has lost a node: its frames may go on from that node.
        if fallen:
            broken += self.losers
        for search in broken:
            if search.live:
                self.dissolve(search)
        for node in fallen:
            self.leave(node)  # a dissolved search may have listed it, as its head
            self.put(node)
        for node in [*fallen, *nodes]:
            node._search = None  # all that was visited through *node* has fallen too

    def dissolve(self, search: Search) -> None:
        """End *search*, and list its ready nodes and its head, from which the others are searched again."""
        search.live = False
        self.finish(search)
        for queue, shelf in search.shelves.items():
            if shelf.nodes:
                queue.line.remove(shelf)
            for node in shelf.nodes.values():
                self.put(node)
        search.shelves.clear()
        head, search.head = search.head, None
        if head is not None and head._stage < RUNNING:
            self.put(head)
