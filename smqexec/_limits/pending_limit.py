"""The pending limit of a queue: threads wait for room to submit, first come first served.

A submit *reserves* room, blocking if there is none, and *uses* the reservation as its task becomes pending;
if it fails in between, it *gives up* the reservation.  So room is never given twice, and the lock is not
held while a thread waits.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._futures.task import Task


class Reservation:
    """One submit's place: in line, then with room."""

    __slots__ = ("blocker", "task")

    def __init__(self) -> None:
        self.task: Task[Any] | None = None  # the task that used it; written under the lock
        self.blocker = threading.Lock()  # released, under the lock, when the submit may go on
        self.blocker.acquire()


class PendingLimit:
    """The limit of one queue.  All methods are called under the scheduler's lock."""

    __slots__ = ("_reserved", "_waiting", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._reserved: set[Reservation] = set()  # with room; their tasks are not pending yet, but count
        self._waiting: deque[Reservation] = deque()  # without room: each has a thread in submit()

    def reserve(self, reservation: Reservation, pending: int, wait: bool) -> bool:
        """Return True if there is room beside *pending* tasks; else join the line, if to *wait*."""
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
        """Forget *reservation*.  Cost: if it waits, a step for each that waits."""
        self._reserved.discard(reservation)
        if reservation in self._waiting:
            self._waiting.remove(reservation)
        self.admit(pending)

    def admit(self, pending: int) -> None:
        """Give room to the first in line, as far as there is any beside *pending* tasks."""
        while self._waiting and self._has_room(pending):
            reservation = self._waiting.popleft()
            self._reserved.add(reservation)
            reservation.blocker.release()

    def turn_away(self) -> None:
        """Let all in line go on without room: the queue takes no more tasks, so their submits raise."""
        while self._waiting:
            self._waiting.popleft().blocker.release()

    def _has_room(self, pending: int) -> bool:
        return pending + len(self._reserved) < self.limit
