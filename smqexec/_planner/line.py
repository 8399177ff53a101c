"""A line: things by number, of which the highest goes first.

What goes first mostly comes last, so a line is a stack.  Only what comes out of turn, a *late*
thing, is in a dict, with its number in a heap.  A thing that is removed is forgotten at once: a
`GAP` stays in its place on the stack until it comes to the top or is swept.  So no line keeps a
task, or its result, alive.  A late thing moves to the stack when its turn has come.

A thing is a node or a search.  No two things of a line have the same number.
"""

from __future__ import annotations

from bisect import bisect_right
from heapq import heapify, heappop, heappush
from itertools import compress, repeat
from operator import is_not
from typing import Any

from .nodes import NEW, SWEEP_FROM

# So many gaps, or late things, are moved at once: some 10 or 50 µs.
TRIM = 128


class Mark:
    """What stands in a stack where no thing is.  Its state is that of no node in a line."""

    _stage = NEW


BOTTOM = Mark()  # below all things
GAP = Mark()  # where a thing was removed


class Line:
    """Things by number.  Cost: O(1) at the top, O(log n) elsewhere, over all calls."""

    __slots__ = ("gaps", "heap", "late", "late_top", "numbers", "things")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Remove everything."""
        #: `BOTTOM`, then things in ascending order of number, with gaps; and the number of each.
        self.things: list[Any] = [BOTTOM]
        self.numbers: list[int] = [-1]
        #: How many gaps there are.
        self.gaps = 0
        #: Things that came out of turn, by number; and a heap of these numbers, negated, with
        #: some of things that have left.
        self.late: dict[int, Any] = {}
        self.heap: list[int] = []
        #: No late thing has a higher number: what is on top of the stack and above this goes first.
        self.late_top = -1

    def push(self, number: int, thing: Any) -> None:
        """Add *thing*, whatever its *number*."""
        if self.things[-1] is GAP:
            self._trim()
        if number > self.numbers[-1]:
            self.numbers.append(number)
            self.things.append(thing)
            return
        self.late[number] = thing
        heappush(self.heap, -number)
        if number > self.late_top:
            self.late_top = number

    def discard(self, number: int) -> None:
        """Remove the thing of *number*, if there is one."""
        numbers, things = self.numbers, self.things
        if numbers[-1] == number and things[-1] is not GAP:
            del numbers[-1], things[-1]
            if things[-1] is GAP:
                self._trim()
        elif number in self.late:
            del self.late[number]
            if len(self.heap) > 2 * len(self.late) + SWEEP_FROM:
                self.heap = [-number for number in self.late]
                heapify(self.heap)
        else:
            index = bisect_right(numbers, number) - 1
            if numbers[index] == number and things[index] is not GAP:
                things[index] = GAP
                self.gaps += 1
                if self.gaps > SWEEP_FROM:
                    self.sweep()

    def first(self) -> int:
        """Return the highest number, or -1: that of the last of `things`.  It may be that of a gap."""
        if self.gaps > SWEEP_FROM and 2 * self.gaps > len(self.things):
            self.sweep()
        if self.things[-1] is GAP:
            self._trim()
        if self.late_top > self.numbers[-1]:
            self._catch_up()
        return self.numbers[-1]

    def _catch_up(self) -> None:
        """Move late things that go before all of the stack there: the first of them, so many at most.

        Cost: O(log n) for each thing that moves, which it does once.
        """
        heap, late = self.heap, self.late
        bound = self.numbers[-1]
        moved: list[int] = []
        while heap and -heap[0] > bound and len(moved) < TRIM:
            number = -heappop(heap)
            if number in late and (not moved or moved[-1] != number):
                moved.append(number)
        moved.reverse()
        self.numbers += moved
        self.things += [late[number] for number in moved]
        for number in moved:
            del late[number]
        self.late_top = -heap[0] if heap else -1

    def all(self) -> list[Any]:
        """Return all things, also where an exception has struck in the middle of a change."""
        things = [*self.things, *self.late.values()]
        return [thing for thing in things if type(thing) is not Mark]

    def sweep(self) -> None:
        """Remove all gaps, if they are half of the stack.  Cost: O(1) for each of them."""
        things, numbers = self.things, self.numbers
        if 2 * self.gaps > len(things):
            live = [*map(is_not, things, repeat(GAP))]
            numbers[:] = compress(numbers, live)
            things[:] = compress(things, live)
            self.gaps = 0

    def _trim(self) -> None:
        """Remove gaps from the top: so many at most that it takes no longer than a few steps of a search."""
        things, numbers = self.things, self.numbers
        top = len(things)
        bottom = max(top - TRIM, 1)
        while top > bottom and things[top - 1] is GAP:
            top -= 1
        self.gaps -= len(things) - top
        del things[top:], numbers[top:]
