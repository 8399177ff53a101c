"""Progress statistics of queues: counts since a moment, the rate at which tasks end, the time left.

The counts are the queues' own; between two readings they cost nothing.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..._core.queue_state import QueueState
    from ..._core.state import State

# A rate is that of the last 30 seconds, or of the last five tasks that ended if they go back farther.
WINDOW, FEW = 30.0, 5

clock = time.monotonic

_STATES, _ENDS = ("waiting", "ready", "running"), ("done", "failed", "cancelled")


class Reading(NamedTuple):
    """The progress of a queue, and the words for it."""

    name: str
    ended: int
    submitted: int
    running: int
    failed: int
    cancelled: int
    rate: float  # tasks that end in a second
    left: float | None  # seconds, if that goes on; None: nothing is left, or nothing ends

    def counts(self) -> str:
        return f"{self.ended:,} of {self.submitted:,}"

    def states(self) -> dict[str, str]:
        """The words for each state; empty if no task is in it."""
        # First what needs a person: a narrow terminal cuts the last.
        numbers = {"failed": self.failed, "cancelled": self.cancelled, "running": self.running}
        return {state: f"{number:,} {state}" if number else "" for state, number in numbers.items()}

    def pace(self) -> str:
        """Return how many tasks end in a second; in a minute or an hour, if they are few."""
        for unit, seconds in (("s", 1), ("min", 60), ("h", 3600)):
            number = self.rate * seconds
            if number >= 1:
                return f"{number:,.0f}/{unit}" if number >= 10 else f"{number:.1f}/{unit}"
        return ""

    def remaining(self) -> str:
        return "" if self.left is None else f"{duration(self.left)} left"


class Statistics:
    """Counts of the queues of *scheduler*, or of *only* one, since the statistics were made.

    Tasks that were pending or running then count as submitted; tasks that had ended do not count.
    One thread reads at a time.
    """

    def __init__(self, scheduler: State, only: QueueState | None = None) -> None:
        self._scheduler = scheduler
        self._only = only
        self._began = self._last = clock()  # `_last`: when `read` was called last
        # How fast the tasks of each queue end; also of queues that the scheduler has forgotten since.
        self._paces: dict[QueueState, _Pace] = {}
        self._before = self._counts()  # the counts at the beginning
        self._paces = {queue: _Pace(self._began) for queue in self._before}

    @property
    def stopped(self) -> bool:
        return self._scheduler.stopped

    def elapsed(self) -> str:
        """Return how long ago the statistics were made."""
        return duration(clock() - self._began)

    def read(self) -> list[Reading]:
        """Return how far each queue is that has tasks.  Cost: some 5 µs a queue."""
        now = clock()
        readings = []
        for queue, counts in self._counts().items():
            before = self._before.get(queue, {})
            done, failed, cancelled = (counts[end] - before.get(end, 0) for end in _ENDS)
            ended = done + failed + cancelled
            left = sum(counts[state] for state in _STATES)
            rate = self._paces.setdefault(queue, _Pace(self._last)).rate(now, ended, left > 0)
            if ended or left:
                time_left = left / rate if rate and left else None
                states = counts["running"], failed, cancelled
                readings.append(Reading(queue.name, ended, ended + left, *states, rate, time_left))
        self._last = now
        return readings

    def _counts(self) -> dict[QueueState, dict[str, int]]:
        with self._scheduler.exclusive():
            known = dict.fromkeys(self._paces)
            known.update(dict.fromkeys(self._scheduler.queues if self._only is None else [self._only]))
            return {queue: queue.counts() for queue in known}


class _Pace:
    """The rate at which the tasks of a queue end.  At *began* no task had ended."""

    def __init__(self, began: float) -> None:
        self._samples = deque([(began, 0)])  # (time, how many had ended)

    def rate(self, now: float, ended: int, busy: bool) -> float:
        """Note how many have ended *now*; return how many end in a second.  *busy*: more are to come."""
        samples = self._samples
        if not busy:
            samples.clear()
        if not samples or samples[-1][1] != ended:
            samples.append((now, ended))
        while len(samples) > 1 and samples[1][0] <= now - WINDOW and ended - samples[1][1] >= FEW:
            samples.popleft()
        began, before = samples[0]
        return (ended - before) / (now - began) if now > began else 0.0


def duration(seconds: float) -> str:
    """``1:05``, or ``1:00:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
