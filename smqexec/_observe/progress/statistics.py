"""How far queues are since a moment: counts, the rate at which tasks end, the time left."""

import time
from collections import deque
from typing import NamedTuple

from ..._core.queue_state import QueueState
from ..._core.state import State
from ..text import printable

# A rate is that of the last 30 seconds, or of the last five tasks that ended if they go back farther.
WINDOW, FEW = 30.0, 5

clock = time.monotonic


class Reading(NamedTuple):
    name: str
    ended: int
    submitted: int
    running: int
    failed: int
    cancelled: int
    rate: float  # tasks that end in a second

    def counts(self) -> str:
        return f"{self.ended:,} of {self.submitted:,}"

    def states(self) -> dict[str, str]:
        # Failures come first: a narrow terminal cuts the last words.
        numbers = {"failed": self.failed, "cancelled": self.cancelled, "running": self.running}
        return {state: f"{number:,} {state}" for state, number in numbers.items() if number}

    def pace(self) -> str:
        for unit, seconds in (("s", 1), ("min", 60), ("h", 3600)):
            number = self.rate * seconds
            if number >= 1:
                return f"{number:,.0f}/{unit}" if number >= 10 else f"{number:.1f}/{unit}"
        return ""

    def remaining(self) -> str:
        left = self.submitted - self.ended
        return f"{duration(left / self.rate)} left" if left and self.rate else ""


class Statistics:
    """Counts of the queues of *scheduler*, or of *only* one, since the statistics were made."""

    def __init__(self, scheduler: State, only: QueueState | None = None) -> None:
        self.scheduler = scheduler
        self._only = only
        self._began = self._last = now = clock()  # `_last`: the time of the last reading
        # Also of queues that the scheduler has forgotten since.
        self._histories: dict[QueueState, _History] = {}
        self._histories = {queue: _History(now, counts) for queue, counts in self._counts().items()}

    def read(self) -> list[Reading]:
        """Return the progress of each queue that has or had tasks.  Cost: some 5 µs a queue."""
        now = clock()
        readings: list[Reading] = []
        for queue, counts in self._counts().items():
            history = self._histories.setdefault(queue, _History(self._last, {}))
            ends = ("done", "failed", "cancelled")
            done, failed, cancelled = (counts[end] - history.before.get(end, 0) for end in ends)
            ended, running = done + failed + cancelled, counts["running"]
            left = counts["waiting"] + counts["ready"] + running
            rate = history.rate(now, ended, left > 0)
            if ended or left:
                readings.append(Reading(queue.name, ended, ended + left, running, failed, cancelled, rate))
        self._last = now
        return readings

    def line(self) -> str:
        parts: list[str] = []
        for reading in self.read():
            words = [*reading.states().values(), reading.pace(), reading.remaining()]
            parts.append(", ".join([f"{printable(reading.name)} {reading.counts()}", *filter(None, words)]))
        if self.scheduler.stopped:
            parts.append("stopped")
        return f"smqexec, {duration(clock() - self._began)}: {'; '.join(parts) or 'no tasks'}\n"

    def _counts(self) -> dict[QueueState, dict[str, int]]:
        with self.scheduler.exclusive():
            queues = self.scheduler.queues if self._only is None else [self._only]
            return {queue: queue.counts() for queue in dict.fromkeys([*self._histories, *queues])}


class _History:
    """How the tasks of a queue have ended since *began*, when the counts were *before*."""

    def __init__(self, began: float, before: dict[str, int]) -> None:
        self.before = before
        self._samples = deque([(began, 0)])  # times, and how many tasks had ended

    def rate(self, now: float, ended: int, busy: bool) -> float:
        """Note how many tasks have *ended*; return how many end in a second."""
        samples = self._samples
        if not busy:  # the rate begins anew after a time without tasks
            samples.clear()
        if not samples or samples[-1][1] != ended:
            samples.append((now, ended))
        while len(samples) > 1 and samples[1][0] <= now - WINDOW and ended - samples[1][1] >= FEW:
            samples.popleft()
        began, before = samples[0]
        return (ended - before) / (now - began) if now > began else 0.0


def duration(seconds: float) -> str:
    """Return *seconds* as ``1:05``, or ``1:00:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
