"""A line: nodes and searches by number, of which the highest goes first.

Most things that go first came last, so a line is a stack.  Only a *late* thing, which comes out of
turn, is in a dict, with its number in a heap; it moves to the stack when its turn has come.  A
removed thing is forgotten at once, so that no line keeps a task, or its result, alive: a `GAP`
stays in its place until it comes to the top or is swept.  No two things have the same number.
"""

from __future__ import annotations

from bisect import bisect_right
from heapq import heapify, heappop, heappush
from itertools import compress, repeat
from operator import is_not
from typing import Any

from .nodes import SWEEP_FROM, Node

MOVED_AT_ONCE = 128  # late things move to the stack: some 50 µs


# Entries of a stack that are no things: below all things, and where a thing was removed.
BOTTOM, GAP = Node(), Node()


class Line:
    """Things by number.  Cost: O(1) at the top, O(log n) elsewhere, over all calls."""

    __slots__ = ("gaps", "heap", "late", "late_top", "numbers", "things")

    def __init__(self) -> None:
        # The stack: `BOTTOM`, then things in ascending order of number, and gaps.
        self.things: list[Any] = [BOTTOM]
        self.numbers: list[int] = [-1]  # of each of them
        self.gaps = 0  # how many there are
        # Late things by number; and a heap of these numbers, negated, with some of removed things.
        self.late: dict[int, Any] = {}
        self.heap: list[int] = []
        # No late thing has a higher number, so a thing on top of the stack with a higher one goes first.
        self.late_top: float = -1

    def push(self, number: int, thing: Any) -> None:
        """Add *thing*, whatever its *number*."""
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

    def tidy(self) -> None:
        """Let the thing that goes first be the last of `things`, or else `BOTTOM`."""
        things, numbers = self.things, self.numbers
        if self.gaps > SWEEP_FROM:
            self.sweep()
        while things[-1] is GAP:
            del things[-1], numbers[-1]
            self.gaps -= 1
        if self.late_top > numbers[-1]:
            # Late things go before the whole stack: move them there, the first of them if they are many.
            heap, late, bound = self.heap, self.late, numbers[-1]
            moved: list[int] = []
            while heap and -heap[0] > bound and len(moved) < MOVED_AT_ONCE:
                number = -heappop(heap)
                if number in late and number not in moved[-1:]:
                    moved.append(number)
            moved.reverse()
            numbers += moved
            things += [late[number] for number in moved]
            for number in moved:
                del late[number]
            self.late_top = -heap[0] if heap else -1

    def sweep(self) -> None:
        """Remove all gaps, if they are half of the stack.  Cost: O(1) for each of them."""
        things, numbers = self.things, self.numbers
        if 2 * self.gaps > len(things):
            live = [*map(is_not, things, repeat(GAP))]
            numbers[:] = compress(numbers, live)
            things[:] = compress(things, live)
            self.gaps = 0

    def all(self) -> list[Any]:
        """Return all things, also after an exception in the middle of a change."""
        things = (*self.things, *self.late.values())
        return [thing for thing in things if thing is not GAP and thing is not BOTTOM]
