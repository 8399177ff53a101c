"""How many tasks of a queue may be pending, and who waits to submit more."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._task import Task


class Ticket:
    """One submission to a queue with little room."""

    __slots__ = ("blocker", "task")

    def __init__(self) -> None:
        self.task: Task[Any] | None = None  # what was submitted with it
        self.blocker = threading.Lock()  # with its thread behind it
        self.blocker.acquire()


class Room:
    """The room of one queue: first come, first served.  Guarded by the scheduler's lock."""

    __slots__ = ("_admitted", "_line", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        # Those that count as pending, until their tasks do: a set, to be changed in one step.
        self._admitted: set[Ticket] = set()
        self._line: deque[Ticket] = deque()

    def enter(self, ticket: Ticket, pending: int, wait: bool) -> bool:
        """Admit *ticket*; False where there is no room: it then stands in line, if it is to *wait*.

        Args:
            ticket: A new one.
            pending: How many tasks are.
            wait: See above.
        """
        free = not self._line and self._has_room(pending)
        if free:
            self._admitted.add(ticket)
        elif wait:
            self._line.append(ticket)
        return free

    def use(self, ticket: Ticket) -> None:
        """Note that the task of *ticket* is pending now."""
        self._admitted.discard(ticket)

    def leave(self, ticket: Ticket, pending: int) -> None:
        """Note that *ticket* is not needed any more.  Cost: O(those that wait), where it is one of them."""
        self._admitted.discard(ticket)
        if ticket in self._line:
            self._line.remove(ticket)
        self.let_in(pending)

    def let_in(self, pending: int) -> None:
        """Admit who waits, as far as there is room with so many tasks *pending*."""
        while self._line and self._has_room(pending):
            ticket = self._line.popleft()
            self._admitted.add(ticket)
            ticket.blocker.release()

    def turn_away(self) -> None:
        """Let all that wait go, not admitted: the queue takes no more tasks, and they will be told so."""
        while self._line:
            self._line.popleft().blocker.release()

    def _has_room(self, pending: int) -> bool:
        return pending + len(self._admitted) < self.limit
