"""Newest first: the order of a depth-first search from the newest pending node.

Start at the newest pending node, visit dependencies in argument order, go on with the next newest node
not yet visited: the first ready node met starts first.  To search anew for each free slot would cost the
whole graph each time.  So searches are suspended and kept::

    todo         to be searched: waiting nodes that no search has visited, and suspended searches
    queue.line   may start: ready nodes that no search owns, and the shelves of searches

Both are in order of number, the highest first.  A node has a number of its own.  A search has that of its
head, where it began.  A shelf holds the ready nodes of one search for one queue, and has the number of the
search.  While the first of `todo` has a higher number than the first of `queue.line`, `take` goes on
searching there.  Otherwise the first of `queue.line` starts.

Example, with one slot.  Three tasks are submitted: a = f(), b = g(a), c = h(b, a)::

    event            todo          queue.line   what happens
    (submitted)      b, c          a            c is newer than a: a search begins at c
    begin at c       search of c   a            it owns c and b; a, the next dependency, is ready
    advance          search of c                a starts
    a is done        search of c                b becomes ready, and starts
    submit d = i()   search of c   d            d is newer than c
    b is done                      c, d         c, the head, is ready: the search ends; d is newer

Why that is exact.  The dependencies of a node never change, and a node that starts has none pending.
So nodes leave the graph at its far end, and the others keep their order.  The order of a visited node
changes by three events only:

* A newer node that leads to it is searched.  The newer search takes the node over from an older
  search.  A search never visits what a newer search owns.
* It is promoted: it leaves its search and goes by its new number.
* A node through which it was visited is dropped: see `dropped`.

Invariant: if a live search owns a node but not a pending dependency of it, then a newer search
owns that dependency, or something in `todo`, at least as new, leads to it.

Adoption.  A search is *intact* if it lost no node and skipped none.  If the first pending dependency
of a new node is the head of an intact search, a search from the new node would first do all that the
intact search does.  So the new node becomes its head; the other dependencies of the new node are
searched last.  Thus a chain that grows while it runs costs one step a node.  A head can be removed
again as long as its other dependencies were not searched.  Thus many sinks share one chain.

Fresh.  One node that became ready is in no line and on no shelf: most often it starts next.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from sys import maxsize
from typing import Any

from .line import GAP, Line
from .nodes import DONE, NONE, READY, RUNNING, WAITING, Node, PlannedQueue, settle
from .search import HELD_BACK, Search, Shelf
from .searches import Searches


class NewestFirst(Searches):
    """The order described above.  `take` writes out the common cases: any may be removed."""

    new_line = Line
    # A ready node of a live search that is on no shelf, if there is one.  `list_ready` sets it.
    _fresh: Any = None

    def list_ready(self, node: Node) -> None:
        """List waiting *node*, which has become READY."""
        search = node._search
        if search is None:
            # No search has visited it.  It stays in `todo`, or `begin` has taken it from there.
            if node._place is None:
                self.put(node)
        elif not search.live:
            # The field `_search` stays: if a node that leads to this one is dropped, `dropped` has to
            # know that other searches have skipped it.
            self.unlist(node)
            self.put(node)
        elif search.head is node:
            # All else that the search owned has started.  Or a drop has cut that off from the head:
            # then a newer search has to visit it.
            if self._fresh is not None and self._fresh._search is search:
                self.shelve_fresh()
            self.dissolve(search)
            node._search = None
        elif self._fresh is None and search is not HELD_BACK:
            self._fresh = node
        else:
            search.shelve(node)

    def shelve_fresh(self) -> None:
        """Put the fresh node, if there is one, on a shelf."""
        fresh, self._fresh = self._fresh, None
        if fresh is not None:
            fresh._search.shelve(fresh)

    def start(self, node: Node) -> None:
        """Start ready *node*, whatever would go first."""
        self.leave(node)
        node._queue.start(node)

    def leave(self, node: Node) -> None:
        """Remove pending *node*, which is about to start or end, from where it is listed."""
        self.shelve_fresh()
        self.unlist(node)

    def promote(self, node: Node, number: int) -> None:
        """Let pending *node* go by *number*, which is above all others."""
        search = node._search
        if search is HELD_BACK:
            return  # it goes first anyway
        self.leave(node)
        if search is not None and search.live:
            self.lose(search, node)
            node._search = Search(search._number, live=False)
        node._number = number
        self.put(node)

    def take(self, queue: PlannedQueue, limit: int = maxsize, ended: Any = None) -> Any:
        """Start the node of *queue* that goes first; None if none is ready.

        Also None if a search of *limit* steps, or twice as many, does not find it: the next call goes on.
        *ended*, a running node of *queue*, ends first, with a value; `freed` may lack the node that starts.
        """
        if ended is None:
            queue.running += 1  # else one less runs, and one more
        else:
            ended._stage = DONE
            if ended._dependents is not None and (node := self._settle(queue, ended)) is not None:
                return node
        line, todo = queue.line, self.todo
        fresh, things = self._fresh, line.things
        node = things[-1]
        if fresh is None:
            # What is on top, if nothing newer is late: a ready node, or a search that goes on.
            if todo.things[-1]._number > node._number:
                things = todo.things
                node = things[-1]
            if not line.late_top < node._number > todo.late_top:
                node = None
            elif node._stage == READY and node._queue is queue:
                del things[-1]
            else:
                searches = type(node) is Search and queue.ready
                node = self._advance(node, queue, limit) if searches else None
        elif (
            # The fresh node, on the same condition.
            fresh._queue is queue
            and todo.things[-1]._number <= (number := fresh._search._number) > node._number
            and todo.late_top <= number > line.late_top
        ):
            node, self._fresh = fresh, None
            node._search = None
        else:
            node = None
        if node is None:
            node = self._find(queue, limit)
            if node is None:
                queue.running -= 1
                return None
        # `PlannedQueue.start`, written out, but `running` was counted above.
        node._stage = RUNNING
        queue.ready -= 1
        needs = node._dependencies
        if needs is not NONE:
            if type(needs) is list:
                node._empty(needs)
            node._dependencies = NONE
        return node

    def _settle(self, queue: PlannedQueue, ended: Any) -> Any:
        """Tell the dependents of *ended*; start and return the only one, if it surely goes first."""
        node, ended._dependents = ended._dependents, None
        if type(node) is list:
            settle(self, node)
            return None
        missing = node._missing
        if missing > 1:
            node._missing = missing - 1  # `settle`, written out
            return None
        line, todo, search = queue.line, self.todo, node._search
        if not (
            # The next of a chain, if nothing that is ready, or to be searched, comes before it.
            node._queue is queue and self._fresh is None
            and search is not None and search.live and search.head is not node
            and todo.things[-1]._number <= (number := search._number) > line.things[-1]._number
            and todo.late_top <= number > line.late_top
        ):  # fmt: skip
            settle(self, [node])
            return None
        queue.waiting -= 1
        node._stage = RUNNING
        node._search = None
        needs = node._dependencies  # `release_dependencies`, written out
        if type(needs) is list:
            node._empty(needs)
        node._dependencies = NONE
        return node

    def _find(self, queue: PlannedQueue, limit: int) -> Any:
        """Return the node of *queue* that goes first, now listed nowhere: what `take` does in every case."""
        line, todo = queue.line, self.todo
        stop = self.steps + limit
        node: Any = None
        if queue.held_back:
            node = next(iter(queue.held_back))
            del queue.held_back[node]
        while node is None and queue.ready and self.steps < stop:
            for each in (line, todo):
                top = each.things[-1]
                if top is GAP or each.late_top > top._number:
                    each.tidy()
            thing, top = todo.things[-1], line.things[-1]
            if (fresh := self._fresh) is not None:
                rank = fresh._search._number
                if fresh._queue is queue and rank > top._number and rank >= thing._number:
                    node, self._fresh = fresh, None
                    break
                if fresh._queue is not queue or rank < top._number or thing._stage != WAITING:
                    self.shelve_fresh()
                    continue
                # A search is to begin.  Most often the search of the fresh node adopts the new head,
                # and the fresh node needs no shelf.
            elif top._number >= thing._number:
                node = top.pop() if type(top) is Shelf else line.things.pop()
                break
            # The first of `todo` is newer than all that may start.
            if type(thing) is Search:
                node = self._advance(thing, queue, stop - self.steps)
            elif thing._stage == WAITING:
                node = self.begin(thing, queue, stop - self.steps)
            else:
                # It became ready in `todo`: see `list_ready`.
                self.steps += 1
                del todo.things[-1]
                if thing._queue is queue:
                    node = thing
                else:
                    self.put(thing)
        if node is not None:
            node._search = None
        return node

    def listed(self, queues: Iterable[PlannedQueue]) -> list[Any]:
        """Return all ready nodes, and what is still to be searched."""
        nodes: list[Any] = [self._fresh]
        for queue in queues:
            nodes += queue.held_back
            for thing in queue.line.all():
                nodes += thing.nodes.values() if type(thing) is Shelf else (thing,)
        nodes += [thing.head if type(thing) is Search else thing for thing in self.todo.all()]
        return [node for node in nodes if node is not None]

    def rebuild(self, queues: Iterable[PlannedQueue], pending: list[Any]) -> None:
        """Make the order anew: *pending* nodes all count as waiting.  Cost: a sort."""
        self.todo, self._fresh = Line(), None
        for queue in queues:
            queue.line = Line()
            queue.held_back.clear()
        for node in sorted(pending, key=attrgetter("_number")):  # what goes first comes last
            if node._search is not HELD_BACK:
                node._search = None
                self.put(node)
