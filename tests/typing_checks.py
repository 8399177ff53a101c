"""Assertions about types: mypy and pyright read this file, nobody runs it.

ty 0.0.108 and pyrefly 1.5.0 infer the same, but for this.  Both: not the result of a lambda that has
parameters.  pyrefly: not the result of an overloaded function, such as `max`; and it lets an ordinary
task be iterated.  `test_type_checkers.py` shows that these are all.
"""

import asyncio
import json
import time
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, NoReturn, assert_type, cast

import smqexec
from smqexec import (
    Event,
    Graph,
    Item,
    Observation,
    Queue,
    Raw,
    Scheduler,
    Task,
    number_of_results,
    progress,
    settled,
)
from smqexec._submitting import Submitter


def number() -> int:
    return 1


def text(a: int, b: str = "") -> str:
    return b * a


def three(a: int, b: str, c: float) -> list[int]:
    return [a]


def four(a: int, b: int, c: int, d: int) -> int:
    return a


def report(future: Future[int]) -> bool:
    return future.cancelled()


queue = Queue(4)
Queue(None, "name", print, (1,))
Queue(Scheduler(), 4, "name")
Queue(4, Scheduler())  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
Queue(max_workers=1, scheduler=Scheduler(order="oldest"))
Queue(Scheduler(), 1, in_order=True, max_pending=4, context=True, inline=True)
pool: ThreadPoolExecutor = queue

one = queue.submit(number)
assert_type(one, Task[int])
assert_type(one.result(), int)
assert_type(next(smqexec.as_completed([one])), Task[int])
assert_type(next(smqexec.as_completed([Future[int]()])), Future[int])
assert_type(queue.submit(text, 1), Task[str])
assert_type(queue.submit(text, one), Task[str])
assert_type(queue.submit(text, one, "x"), Task[str])
word = queue.submit(text, 1, "x")
assert_type(queue.submit(three, one, word, 1.0), Task[list[int]])
assert_type(queue.submit(text, 1, b="x"), Task[str])
assert_type(queue.submit(text, 1, b=cast(Any, word)), Task[str])
assert_type(queue.submit(four, 1, 2, one, 4), Task[int])
assert_type(list(queue.map(text, [1, 2], ["a", "b"])), list[str])

queue.submit(text, "x")  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
queue.submit(three, one, 2, 1.0)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
queue.submit(text, word)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
queue.submit(number, 1)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
queue.submit(text, 1, c=2)  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
Queue("x")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]

assert_type(queue.submit(report, settled(one)), Task[bool])
assert_type(queue.submit(report, Raw(one)), Task[bool])


# Options: the same types.

named = queue.options(name="x", after=[one, settled(word), Future[int]()], context=copy_context(), timeout=1)
assert_type(named, Submitter)
assert_type(named.submit(text, one), Task[str])
assert_type(queue.name, str)
queue.name = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
assert_type(queue.max_workers, int)
queue.max_workers = 2
queue.max_workers = "2"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
assert_type(queue.try_submit(text, one), Task[str] | None)
assert_type(named.try_submit(text, one), Task[str] | None)
queue.options(name=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
queue.options(after=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def waiting() -> None:
    assert_type(await one, int)
    assert_type(await asyncio.wrap_future(one), int)
    assert_type(await asyncio.get_running_loop().run_in_executor(queue, time.time), float)


# Functions that say nothing of what they return, or return nothing.


def anything(a: int) -> Any:
    return a


def nothing(a: int) -> NoReturn:
    raise ValueError(a)


assert_type(queue.submit(anything, one), Task[Any])
assert_type(queue.submit(json.loads, "1"), Task[Any])
assert_type(queue.submit(anything, a=1), Task[Any])
assert_type(queue.submit(nothing, 1), Task[Any])
assert_type(queue.submit(print, one), Task[None])
assert_type(queue.submit(max, one, 2), Task[int])
assert_type(queue.submit(lambda: 1), Task[int])
assert_type(queue.submit(lambda a: a + 1, 1), Task[int])
queue.submit(anything, "x")  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]


# Generator tasks.  A generator function must say that it returns a Generator:
# one that says Iterator can't be told from a function that returns an iterator,
# which is no generator task.  The same is true of other functions that announce
# a number of results.


def frames(count: int, name: str = "") -> Generator[bytes, None, str]:
    yield name.encode() * count
    return "last"


def iterator(count: int) -> Iterator[bytes]:
    yield b"" * count


def three_times(a: int, b: str, c: float) -> Generator[float, None, None]:
    yield c


def four_times(a: int, b: int, c: int, d: int) -> Generator[int, None, None]:
    yield a


class Camera:
    def stream(self, count: int) -> Generator[bytes, None, None]:
        yield bytes(count)


def size(frame: bytes) -> int:
    return len(frame)


def sizes(frames: list[bytes]) -> list[int]:
    return [len(frame) for frame in frames]


many = queue.submit(frames, 3)
assert_type(many, Task[list[bytes]])
assert_type(many.result(), list[bytes])
assert_type(queue.submit(frames, one), Task[list[bytes]])
assert_type(queue.submit(frames, one, "x"), Task[list[bytes]])
assert_type(queue.submit(frames, 3, name="x"), Task[list[bytes]])
assert_type(queue.submit(Camera().stream, one), Task[list[bytes]])
assert_type(queue.submit(three_times, one, word, 1.0), Task[list[float]])
assert_type(queue.submit(four_times, 1, 2, one, 4), Task[list[int]])
assert_type(queue.submit(iterator, 3), Task[Iterator[bytes]])  # wrong: see above
queue.submit(frames, "x")  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
queue.submit(frames, word)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]

assert_type(many[0], Item[bytes])
assert_type(many[-1].result(), bytes)
assert_type(many[1:], list[Item[bytes]])
assert_type(queue.submit(size, many[0]), Task[int])
assert_type(queue.submit(sizes, many), Task[list[int]])
queue.submit(text, many[0])  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]

assert_type(list(many), list[bytes])
assert_type([frame for frame in many], list[bytes])
for _ in one:  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    pass


assert_type(smqexec.wait([one]).done, set[Future[int]])
assert_type(list(smqexec.as_completed([one])), list[Task[int]])


async def watching() -> None:
    assert_type([frame async for frame in many], list[bytes])
    assert_type(await many[0], bytes)
    assert_type(await many, list[bytes])


# Of an ordinary task that returns a list, task[i] is typed, but a slice is one
# item, and iterating it a TypeError: types don't tell it from a generator task.


def pair() -> list[str]:
    return ["a", "b"]


def table() -> dict[str, int]:
    return {"a": 1}


assert_type(queue.submit(pair)[0], Item[str])
assert_type(queue.submit(table)["a"], Any)  # an Item[Any] mypy would not take for an argument
assert_type(queue.submit(text, queue.submit(table)["a"]), Task[str])


# The function in Raw is not searched for what it is: no generator task.  Its
# arguments are not checked.

assert_type(queue.submit(Raw(frames), 3), Task[Generator[bytes, None, str]])
assert_type(queue.submit(Raw(size), many[0]), Task[int])
raw = Raw(frames)
assert_type(queue.submit(raw, one, name="x"), Task[Generator[bytes, None, str]])


# The decorator keeps the type of a function whose count is typed.  (With a
# lambda its parameters become Any.)


def count_of(count: int, name: str = "") -> int:
    return count


@number_of_results(count_of)
def announced(count: int, name: str = "") -> Generator[bytes, None, None]:
    yield bytes(count)


announced(1, name="x")
announced("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
assert_type(queue.submit(announced, one), Task[list[bytes]])
assert_type(queue.submit(announced, 1, name="x"), Task[list[bytes]])
queue.submit(announced, "x")  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]


# What shows it.

assert_type(queue.scheduler.graph(), Graph)
assert_type(queue.scheduler.graph().nodes[0].name, str)
with progress(queue.scheduler) as shown, progress(queue):
    assert_type(shown, None)
progress(one)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# Observers and recordings.


def note(event: Event) -> None:
    assert_type(event.queue, str | None)
    assert_type(event.dependencies, tuple[int, ...])
    assert_type(event.error, BaseException | None)


with Scheduler().observe(note) as observation:
    assert_type(observation, Observation)
with smqexec.trace.record(Scheduler(), "run.json") as recording:
    assert_type(recording.path, str)
