"""Newest first: the order of a depth-first search from the newest pending node.

The search visits dependencies in argument order and goes on with the next newest pending node not
yet visited.  Searching anew for each free slot would cost the whole graph, so searches are kept
and suspended::

    todo         what is still to be searched: nodes that were waiting when they were added and
                 that no search has visited, and suspended searches
    queue.line   what may start: other ready nodes that no search owns, and the shelves of searches

A node goes by its number and a search by that of its head, the highest first.  `take` goes on
searching while the first of `todo` is newer than the first of the queue's line, and then starts
the line's first.

Why that is exact.  A node's dependencies never change, and one that starts has none pending, so
nodes leave the graph at its far end: what is left keeps its order.  A node is met first along
the least path (in argument order) from the newest node that leads to it.  Three things change
that for a node that was visited:

* Something newer leads to it: a newer search takes over what it visits, an older one passes it by.
* It is promoted, and so newer: it leaves its search and goes by its new number.
* A node on that path is dropped: `dropped` finds the nodes that fall, and dissolves the searches
  that own or lead to one of these.

Invariant: if a live search owns a node but not a pending dependency of it, then a newer search
owns that dependency, or something in `todo`, at least as new, leads to it.

Adoption.  A search is *intact* if it lost no node and passed none by.  If the first pending
dependency of a new node is the head of such a search, then that search is what a search from the
new node would do next: the node becomes its head, at a position before all others, and what else
it needs is searched last.  So chains that grow while they run cost one step a node.  Heads can be
taken off again while what else they need was not searched: so many sinks share one chain.

Fresh.  One of the nodes that become ready is in no line and on no shelf: most often it starts next.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from sys import maxsize
from typing import Any

from .graph import settle
from .line import BOTTOM, GAP, Line
from .nodes import (
    DONE,
    NONE,
    READY,
    RUNNING,
    SEARCHING,
    SWEEP_FROM,
    WAITING,
    Node,
    PlannedQueue,
    release_dependencies,
)  # fmt: skip
from .search import HELD_BACK, Past, Search, Shelf
from .searches import Searches


class NewestFirst(Searches):
    """The order described above.  `take` writes out the common cases: any may be removed."""

    new_line = Line
    _fresh: Any = None  # a ready node of a live search that is on no shelf, if there is one

    def freed(self, node: Node) -> None:
        """List waiting *node*, which has become READY."""
        search = node._search
        if search is not None and search.live:
            if search.head is not node:
                if self._fresh is None and search is not HELD_BACK:
                    self._fresh = node
                else:
                    search.shelve(node)
                return
            # All else that it owned has started.  Or a drop has cut it off, for a newer search to visit.
            if self._fresh is not None and self._fresh._search is search:
                self.settle()
            self.dissolve(search)
            node._search = None
            return
        # A search that is not live stays in the node: if a node that leads to this one is dropped,
        # `dropped` has to know that others have passed it by.
        if search is not None:
            self.unlist(node)
        elif node._place is not None:
            return  # no search has visited it: it stays in `todo`
        self.put(node)

    def settle(self) -> None:
        """Put the fresh node on a shelf."""
        fresh, self._fresh = self._fresh, None
        if fresh is not None:
            fresh._search.shelve(fresh)

    def start(self, node: Node) -> None:
        """Start ready *node*, whatever would go first."""
        self.leave(node)
        node._queue.start(node)

    def leave(self, node: Node) -> None:
        """Remove pending *node*, which is about to start or end, from where it is listed."""
        self.settle()
        self.unlist(node)

    def promote(self, node: Node, number: int) -> None:
        """Let pending *node* go by *number*, which is above all others."""
        search = node._search
        if search is HELD_BACK:
            return  # it goes first anyway
        self.leave(node)
        if search is not None and search.live:
            self.part(search, node)
            node._search = Past(search._number)
        node._number = number
        self.put(node)

    def take(self, queue: PlannedQueue, limit: Any = None, ended: Any = None, freed: Any = None) -> Any:
        """Start the node of *queue* that goes first; None if none is ready; or `SEARCHING`.

        *limit* is how many nodes to look at now.  *ended*, a running node of *queue*, ends first, with a
        value: nodes that become ready by that are added to *freed*, perhaps without the one that starts.
        """
        line, todo = queue.line, self.todo
        if ended is None:
            queue.running += 1  # else one less runs, and one more
        else:
            ended._stage = DONE
            node = ended._dependents
            if node is not None:
                ended._dependents = None
                if type(node) is list:
                    settle(self, node, freed)
                elif node._missing > 1:  # saves a call
                    node._missing -= 1
                elif (
                    # The next of a chain, if nothing that is ready, or to be searched, comes before it.
                    node._queue is queue
                    and self._fresh is None
                    and (search := node._search) is not None
                    and search.live
                    and todo.things[-1]._number <= (number := search._number) > line.things[-1]._number
                    and todo.late_top <= number > line.late_top
                    and search.head is not node
                ):
                    queue.waiting -= 1
                    node._stage = RUNNING
                    node._search = None
                    needs = node._dependencies  # `release_dependencies`, written out
                    if type(needs) is list:
                        node._empty(needs)
                    node._dependencies = NONE
                    return node
                else:
                    settle(self, [node], freed)
        fresh, things = self._fresh, line.things
        node = things[-1]
        if fresh is None:
            # What is on top, if it is a ready node, and nothing newer is late.
            if todo.things[-1]._number > node._number:
                things = todo.things
                node = things[-1]
            number = node._number
            if node._stage != READY or node._queue is not queue or not line.late_top < number > todo.late_top:
                return self._take_first(queue, limit)
            del things[-1]
        elif (
            # The fresh node, on the same condition.
            fresh._queue is queue
            and todo.things[-1]._number <= (rank := fresh._search._number) > node._number
            and todo.late_top <= rank > line.late_top
        ):
            node, self._fresh = fresh, None
            node._search = None
        else:
            return self._take_first(queue, limit)
        node._stage = RUNNING
        queue.ready -= 1
        needs = node._dependencies
        if needs is not NONE:  # `release_dependencies`, written out
            if type(needs) is list:
                node._empty(needs)
            node._dependencies = NONE
        return node

    def _take_first(self, queue: PlannedQueue, limit: int | None) -> Any:
        """Do what `take` does in every case, for a node that is counted as running already."""
        line, todo = queue.line, self.todo
        stop = maxsize if limit is None else self.steps + limit
        node: Any = None
        if queue.first:
            node = next(iter(queue.first))
            del queue.first[node]
        while node is None and queue.ready:
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
                    self.settle()
                    continue
                # Most often its search adopts what was added since: then it needs no shelf.
            elif top._number >= thing._number:
                assert top is not BOTTOM, "a ready node is in no line"
                node = top.pop() if type(top) is Shelf else line.things.pop()
                break
            if self.steps >= stop:
                node = SEARCHING
            elif type(thing) is Search:
                node = self._advance(thing, queue, stop)
            elif thing._stage == WAITING:
                node = self.begin(thing, queue, stop)
            else:  # it became ready where it was
                self.steps += 1
                del todo.things[-1]
                if thing._queue is queue:
                    node = thing
                else:
                    self.put(thing)
        if todo.gaps > SWEEP_FROM:
            todo.sweep()  # a long search leaves gaps, and it may be the last for long
        if node is None or node is SEARCHING:
            queue.running -= 1
            return node
        node._stage = RUNNING
        node._search = None
        queue.ready -= 1
        release_dependencies(node)
        return node

    def listed(self, queues: Iterable[PlannedQueue]) -> list[Any]:
        """Return all ready nodes, and what is still to be searched."""
        nodes: list[Any] = [self._fresh]
        for queue in queues:
            nodes += queue.first
            for thing in queue.line.all():
                nodes += thing.nodes.values() if type(thing) is Shelf else (thing,)
        nodes += [thing.head if type(thing) is Search else thing for thing in self.todo.all()]
        return [node for node in nodes if node is not None]

    def rebuild(self, queues: Iterable[PlannedQueue], pending: list[Any]) -> None:
        """Make the order anew: *pending* nodes all count as waiting.  Cost: a sort."""
        self.todo, self._fresh = Line(), None
        for queue in queues:
            queue.line = Line()
            queue.first.clear()
        for node in sorted(pending, key=attrgetter("_number")):  # what goes first comes last
            if node._search is not HELD_BACK:
                node._search = None
                self.put(node)
