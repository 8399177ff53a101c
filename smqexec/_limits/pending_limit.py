"""How many tasks of a queue may be pending, and which threads wait to submit more."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._futures.task import Task


class Reservation:
    """The right of one submission to add a pending task."""

    __slots__ = ("blocker", "task")

    def __init__(self) -> None:
        self.task: Task[Any] | None = None  # the task that was submitted with it
        self.blocker = threading.Lock()  # released when the limit has room, or the queue takes no more tasks
        self.blocker.acquire()


class PendingLimit:
    """The limit of one queue: first come, first served.  Guarded by the scheduler's lock.

    Each method gets the number of tasks that are pending now.
    """

    __slots__ = ("_reserved", "_waiting", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        # The reservations whose tasks are not pending yet.  They count as pending.
        self._reserved: set[Reservation] = set()
        self._waiting: deque[Reservation] = deque()  # each has a thread in submit()

    def reserve(self, reservation: Reservation, pending: int, wait: bool) -> bool:
        """Return True if there is room for *reservation*; else let it wait in line, if it is to *wait*."""
        free = not self._waiting and self._has_room(pending)
        if free:
            self._reserved.add(reservation)
        elif wait:
            self._waiting.append(reservation)
        return free

    def use(self, reservation: Reservation) -> None:
        """Note that the task of *reservation* is pending now."""
        self._reserved.discard(reservation)

    def give_up(self, reservation: Reservation, pending: int) -> None:
        """Forget *reservation*.  Cost: where it waits, a step for each that waits."""
        self._reserved.discard(reservation)
        if reservation in self._waiting:
            self._waiting.remove(reservation)
        self.admit(pending)

    def admit(self, pending: int) -> None:
        """Let the first in line go on, as far as there is room."""
        while self._waiting and self._has_room(pending):
            reservation = self._waiting.popleft()
            self._reserved.add(reservation)
            reservation.blocker.release()

    def turn_away(self) -> None:
        """Let all in line go on without room: the queue takes no more tasks, and tells them so."""
        while self._waiting:
            self._waiting.popleft().blocker.release()

    def _has_room(self, pending: int) -> bool:
        return pending + len(self._reserved) < self.limit
