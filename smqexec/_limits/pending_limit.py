"""The pending limit of a queue: a submit waits until the queue has room, first come first served.

A queue has *room* while its pending tasks and its reservations are fewer than the limit.  A reservation is
*waiting*, then *reserved*, and ends as *used*, when its task becomes pending, or as *given up*, when the
submit fails.  So a thread that was woken always has room: no other thread can take it.

All methods are called under the scheduler's lock, which is not held while a thread waits.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._futures.task import Task


class Reservation:
    """The right of one submit to add one pending task, or its wait for this right."""

    __slots__ = ("blocker", "task")

    def __init__(self) -> None:
        # The task that used it; written under the scheduler's lock.
        self.task: Task[Any] | None = None
        # The submitting thread blocks on it.  `PendingLimit` releases it, under the scheduler's lock.
        self.blocker = threading.Lock()
        self.blocker.acquire()


class PendingLimit:
    """The pending limit of one queue.  The scheduler's lock guards all fields."""

    __slots__ = ("_reserved", "_waiting", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit  # constant
        # Reservations with room, whose tasks are not pending yet.
        self._reserved: set[Reservation] = set()
        # Reservations without room, first come first: for each a thread blocks in submit().
        self._waiting: deque[Reservation] = deque()

    def reserve(self, reservation: Reservation, pending: int, wait: bool) -> bool:
        """Reserve room beside *pending* tasks and return True; else return False, and queue up if *wait*."""
        # Not before threads that wait already.
        free = not self._waiting and self._has_room(pending)
        if free:
            self._reserved.add(reservation)
        elif wait:
            self._waiting.append(reservation)
        return free

    def use(self, reservation: Reservation) -> None:
        """End *reservation*: its task is pending now."""
        self._reserved.discard(reservation)

    def give_up(self, reservation: Reservation, pending: int) -> None:
        """End *reservation* without a task; do nothing if it was used.  Cost: a step for each waiting one."""
        self._reserved.discard(reservation)
        if reservation in self._waiting:
            self._waiting.remove(reservation)
        self.admit(pending)

    def admit(self, pending: int) -> None:
        """Reserve room for waiting reservations, first come first, as far as *pending* tasks leave any."""
        while self._waiting and self._has_room(pending):
            reservation = self._waiting.popleft()
            self._reserved.add(reservation)
            reservation.blocker.release()

    def turn_away(self) -> None:
        """Wake all waiting threads without room: the queue refuses tasks, so their submits raise."""
        while self._waiting:
            self._waiting.popleft().blocker.release()

    def _has_room(self, pending: int) -> bool:
        """Return True if one more reservation is allowed beside *pending* tasks."""
        return pending + len(self._reserved) < self.limit
