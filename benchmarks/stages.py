"""How many items SPDL has alive at once on each executor: ``python -m benchmarks.stages``.

SPDL bounds each stage by itself, whatever runs the calls: four calls, of which some may wait for room in the
queue to the next stage, and two items in that queue.  So three stages hold at most 4 + 2 + 4 + 2 + 4 items.
How many of these are used depends on which call a free thread takes.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from importlib import import_module
from typing import Any

from smqexec import Queue, Scheduler

WIDTH = 4  # threads of the executor, and calls of a stage
DEADLINE = 60.0  # seconds, of each wait
KINDS = ("pool", "oldest first", "newest first", "promoting", "SPDL's priority pool")


class Steps:
    """Three stages whose calls return one at a time, each when SPDL and the threads have done all they can.

    A step: one of the calls inside returns, its thread takes the next call, and SPDL submits what follows.
    *thread_first* says which of the latter two comes first.  So the number of items alive depends only on
    *seed*, which chooses the calls that return, and on the order in which the executor starts calls.
    """

    def __init__(self, items: int, seed: int, thread_first: bool) -> None:
        self.items, self.thread_first, self.random = items, thread_first, random.Random(seed)
        self.changed = threading.Condition()
        self.loop: asyncio.AbstractEventLoop | None = None  # SPDL's own
        self.inside: list[tuple[int, int]] = []  # the calls that may return: stage, item
        self.returning: list[tuple[int, int]] = []
        self.submitted = self.ended = 0
        self.answered = 0  # the calls that have ended, and SPDL has submitted what follows
        self.alive = self.most = 0

    def wait(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, DEADLINE)

    async def source(self) -> AsyncIterator[int]:
        with self.changed:
            self.loop = asyncio.get_running_loop()
            self.changed.notify_all()
        for item in range(self.items):
            yield item

    def stage(self, number: int) -> Callable[[int], int]:
        def call(item: int) -> int:
            with self.changed:
                if number == 0:
                    self.alive += 1
                self.most = max(self.most, self.alive)
                self.inside.append((number, item))
                self.changed.notify_all()
                self.wait(lambda: (number, item) in self.returning)
                if number == 2:
                    self.alive -= 1
            return item

        return call

    def counted(self, executor: Executor) -> Executor:
        """Return *executor*, with its calls counted as they are submitted and as they end."""
        steps = self

        class Counted(Executor):
            def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
                future = executor.submit(fn, *args, **kwargs)
                with steps.changed:
                    steps.submitted += 1
                assert steps.loop
                # Later, so that asyncio's own callback comes before this one.
                steps.loop.call_soon(future.add_done_callback, steps.note_end)
                return future

        return Counted()

    def note_end(self, future: Future[Any]) -> None:
        with self.changed:
            self.ended += 1
            self.changed.notify_all()
            if not self.thread_first:
                self.wait(lambda: self.answered == self.ended)

    def let_spdl_answer(self) -> None:
        """Return when the event loop has done all that follows from the calls that have ended."""
        loop, done = self.loop, threading.Event()
        assert loop

        def turn(left: int) -> None:
            if left:
                loop.call_soon(turn, left - 1)
            else:
                done.set()

        loop.call_soon_threadsafe(turn, 100)  # far more turns than an item takes to the next stage
        assert done.wait(DEADLINE)
        with self.changed:
            self.answered = self.ended
            self.changed.notify_all()

    def step(self) -> None:
        """Let one call return."""
        assert self.loop
        held = threading.Event()
        if self.thread_first:
            self.loop.call_soon_threadsafe(held.wait, DEADLINE)
        with self.changed:
            ended, count = self.ended, len(self.inside)
            waiting = self.submitted - ended > count
            self.returning.append(self.inside.pop(self.random.randrange(count)))
            self.changed.notify_all()
        self.wait(lambda: self.ended > ended)
        if self.thread_first and waiting:
            self.wait(lambda: len(self.inside) == count)
        held.set()

    def run(self, stages: list[Executor]) -> int:
        """Run all items through *stages*, check them, and return how many were alive at most."""
        builder = import_module("spdl.pipeline").PipelineBuilder().add_source(self.source())
        for number, executor in enumerate(stages):
            builder = builder.pipe(self.stage(number), executor=self.counted(executor), concurrency=WIDTH)
        # The sink takes all that comes: nothing has to be read before the end.
        pipeline = builder.add_sink(self.items).build(num_threads=1)
        with pipeline.auto_stop():
            self.wait(lambda: self.loop is not None)
            while True:
                self.let_spdl_answer()
                self.wait(lambda: len(self.inside) == min(WIDTH, self.submitted - self.ended))
                if not self.inside:
                    break
                self.step()
            assert sorted(pipeline) == list(range(self.items))
        return self.most


class Promoting(Executor):
    """What a stage submits here goes before all that was submitted earlier."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        task = self.queue.submit(fn, *args, **kwargs)
        task.promote()
        return task


def most_alive(kind: str, seed: int, thread_first: bool) -> int:
    """Return how many items are alive at most, if all three stages share an executor of this kind."""
    stages: list[Executor]
    pool: Any
    if kind == "SPDL's priority pool":
        pool = import_module("spdl.pipeline").PriorityThreadPoolExecutor(WIDTH)
        stages = [pool.get_executor() for _ in range(3)]
    elif kind == "promoting":
        pool = Queue(WIDTH)
        stages = [pool, Promoting(pool), Promoting(pool)]
    else:
        makers: dict[str, Callable[[int], Executor]] = {
            "pool": ThreadPoolExecutor,
            "oldest first": Queue,
            "newest first": partial(Queue, Scheduler()),
        }
        pool = makers[kind](WIDTH)
        stages = [pool] * 3
    with pool:
        return Steps(60, seed, thread_first).run(stages)


def main() -> None:
    """Print the fewest and the most items alive, over four orders in which calls end."""
    plans = [(seed, thread_first) for seed in (1, 2) for thread_first in (True, False)]
    for kind in KINDS:
        counts = sorted(most_alive(kind, *plan) for plan in plans)
        print(f"{kind:22} {counts[0]:2} to {counts[-1]:2} of 60 items")


if __name__ == "__main__":
    main()
