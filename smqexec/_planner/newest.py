"""Newest first: the order of a depth-first search from the newest pending node.

Start at the newest pending node, visit dependencies in argument order, go on with the next newest node
not yet visited: the first ready node met starts first.  To search anew for each free slot would cost the
whole graph each time.  So searches are suspended and kept::

    todo         to be searched: waiting nodes that no search has visited, and suspended searches
    queue.line   may start: ready nodes that no search owns, and the shelves of searches

Both are in order of number, the highest first.  A node has a number of its own.  A search has that of its
head, where it began.  A shelf holds the ready nodes of one search for one queue.

Example, with one slot.  Three tasks are submitted: a = f(), b = g(a), c = h(b, a)::

    event            todo          queue.line   what happens
    (submitted)      b, c          a            c is newer than a: a search begins at c
    begin at c       search of c   a            it owns c and b; a, the next dependency, is ready
    advance          search of c                a starts
    a is done        search of c                b becomes ready, and starts
    submit d = i()   search of c   d            d is newer than c
    b is done                      c, d         c, the head, is ready: the search ends; d is newer

Why that is exact.  The dependencies of a node never change, and a node that starts has none pending.  So
nodes leave the graph at its far end, and the others keep their order.  The order of a visited node changes by
three events only: a newer node that leads to it is searched (see `_advance`), it is promoted, or a node
through which it was visited is dropped (see `left`).

Invariant: if a live search owns a node but not a pending dependency of it, then a newer search owns that
dependency, or something in `todo`, at least as new, leads to it.
"""

from collections.abc import Iterable
from math import inf
from operator import attrgetter
from typing import Any

from .line import GAP, HELD_BACK, Line, Search, Shelf
from .nodes import DONE, NONE, READY, RUNNING, Node, PlannedQueue, settle
from .searches import Searches


class NewestFirst(Searches):
    """The order described above.  `_settle_one` is a short cut: `take` is exact without it."""

    new_line = Line

    def list_ready(self, node: Node) -> None:
        """List waiting *node*, which has become READY."""
        search = node._search
        if search is None or not search.live:
            # If it is in `todo`, it stays there.  `_search` stays: see `left`.
            if node._place is None or node._place < 0:
                self.put(node)
        elif search.head is node:
            # All other nodes of the search have started; or a drop has cut them off from the head, and a
            # newer search has to visit them.
            self.dissolve(search)
            node._search = None
        elif search is HELD_BACK:
            node._queue.held_back[node] = None
            # Until `held_back` is empty no thing of the line is the first, so `take` looks in `held_back`.
            node._queue.line.late_top = inf
        else:
            search.shelve(node)

    def promote(self, node: Node, number: int) -> None:
        """Let pending *node* go by *number*, which is above all others."""
        search = node._search
        if search is HELD_BACK:
            return  # a node that was held back goes first anyway
        self.leave(node)
        if search is not None and search.live:
            self.lose(search, node)
            # `left` has to know what was visited through *node*, and by how old a search.
            node._search = Search(search._number, live=False)
        node._number = number
        self.put(node)

    def take(self, queue: PlannedQueue, limit: int, ended: Any = None) -> Any:
        """Start and return the node of *queue* that goes first, after *ended*, a node of *queue*, has ended.

        Return None if none is ready, or if *limit* steps of search do not find it: the next call goes on.
        """
        if ended is None:
            queue.running += 1  # otherwise the task that starts takes the place of *ended*
        else:
            ended._stage = DONE
            if (dependents := ended._dependents) is not None:
                ended._dependents = None
                if type(dependents) is list:
                    settle(self, dependents)
                elif (node := self._settle_one(queue, dependents)) is not None:
                    return node
        line, todo = queue.line, self.todo
        while True:
            # What goes first, if it is on top of its line: no gap is, and no late thing has a higher number.
            first, top = line.things[-1], todo.things[-1]
            number = top._number
            if number <= first._number:
                if line.late_top < first._number > todo.late_top:
                    if first._stage == READY:
                        node = first
                        del line.things[-1]
                        break
                    if type(first) is Shelf:
                        node = first.pop()
                        break
            elif line.late_top < number > todo.late_top:
                if top._stage == READY and top._queue is queue:
                    node = top
                    del todo.things[-1]
                    break
                if queue.ready and limit > 0 and top is not GAP:
                    steps = self.steps
                    go_on = self._advance if type(top) is Search else self.begin
                    if (node := go_on(top, queue, limit)) is not None:
                        break
                    limit -= self.steps - steps
                    continue
            if not queue.ready or limit <= 0:
                queue.running -= 1
                return None
            # A gap is on top, or a late thing has a higher number, or `held_back` is not empty.
            if queue.held_back:
                node = next(iter(queue.held_back))
                del queue.held_back[node]
                break
            line.tidy()
            todo.tidy()
            if line.things[-1] is todo.things[-1]:  # `BOTTOM`: an exception struck as a node was listed
                raise RuntimeError(f"{queue.ready} ready nodes are in no line")
        node._search = None
        # `DependencyPlanner.start`, written out, but `running` was counted above.
        node._stage = RUNNING
        queue.ready -= 1
        if node._dependencies is not NONE:
            needs = node._dependencies
            if type(needs) is list:
                node._empty(needs)
            node._dependencies = NONE
        return node

    def _settle_one(self, queue: PlannedQueue, node: Any) -> Any:
        """Count one dependency of *node* as done; start and return *node*, if it surely goes first."""
        missing = node._missing
        if missing > 1:
            node._missing = missing - 1  # `settle`, written out
            return None
        line, todo, search = queue.line, self.todo, node._search
        if not (
            # The next node of a chain.  Nothing that is ready or to be searched has a higher number.
            node._queue is queue and search is not None and search.live and search.head is not node
            and todo.things[-1]._number <= (number := search._number) > line.things[-1]._number
            and todo.late_top <= number > line.late_top
        ):  # fmt: skip
            settle(self, [node])
            return None
        # READY is skipped, so `freed` lacks *node*.
        queue.waiting -= 1
        node._stage = RUNNING
        node._search = None
        needs = node._dependencies  # `release_dependencies`, written out
        if type(needs) is list:
            node._empty(needs)
        node._dependencies = NONE
        return node

    def listed(self, queues: Iterable[PlannedQueue]) -> list[Any]:
        """Return all ready nodes, and the nodes and heads of searches in `todo`."""
        nodes: list[Any] = []
        for queue in queues:
            nodes += queue.held_back
            for thing in queue.line.all():
                nodes += thing.nodes.values() if type(thing) is Shelf else (thing,)
        nodes += [thing.head if type(thing) is Search else thing for thing in self.todo.all()]
        # An exception in `lose` or `dissolve` may leave a search without a head in `todo`.
        return [node for node in nodes if node is not None]

    def rebuild(self, queues: Iterable[PlannedQueue], pending: list[Any]) -> None:
        """Make the order anew: *pending* nodes all count as waiting.  Cost: a sort."""
        self.todo = Line()
        self.losers.clear()
        for queue in queues:
            queue.line = Line()
            queue.held_back.clear()
        for node in sorted(pending, key=attrgetter("_number")):  # what goes first comes last
            if node._search is not HELD_BACK:
                node._search = None
                self.put(node)
