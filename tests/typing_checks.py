"""Assertions about types: mypy and pyright read this file, nobody runs it."""

import asyncio
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, assert_type, cast

from smqexec import Queue, Raw, Scheduler, Task, settled


def number() -> int:
    return 1


def text(a: int, b: str = "") -> str:
    return b * a


def six(a: int, b: str, c: float, d: bytes, e: bool, f: None) -> list[int]:
    return [a]


def seven(a: int, b: int, c: int, d: int, e: int, f: int, g: int) -> int:
    return a


def report(future: Future[int]) -> bool:
    return future.cancelled()


queue = Queue(4)
Queue(None, "name", print, (1,))
Queue(Scheduler(), 4, "name")
Queue(max_workers=1, scheduler=Scheduler(order="oldest"))
pool: ThreadPoolExecutor = queue

one = queue.submit(number)
assert_type(one, Task[int])
assert_type(one.result(), int)
assert_type(queue.submit(text, 1), Task[str])
assert_type(queue.submit(text, one), Task[str])
assert_type(queue.submit(text, one, "x"), Task[str])
word = queue.submit(text, 1, "x")
assert_type(queue.submit(six, one, word, 1.0, b"", True, None), Task[list[int]])
assert_type(queue.submit(text, 1, b="x"), Task[str])
assert_type(queue.submit(text, 1, b=cast(Any, word)), Task[str])
assert_type(queue.submit(seven, 1, 2, one, 4, 5, 6, 7), Task[int])
assert_type(list(queue.map(text, [1, 2], ["a", "b"])), list[str])

queue.submit(text, "x")  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
queue.submit(text, word)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
queue.submit(number, 1)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
queue.submit(text, 1, c=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue, reportArgumentType]
Queue("x")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]

assert_type(queue.submit(report, settled(one)), Task[bool])
assert_type(queue.submit(report, Raw(one)), Task[bool])


async def waiting() -> None:
    assert_type(await one, int)
    assert_type(await asyncio.wrap_future(one), int)
    assert_type(await asyncio.get_running_loop().run_in_executor(queue, time.time), float)
