"""A submitted call and its future, in one slotted object.

The submitting thread writes the fields before the task is added.  The scheduler's lock guards them while the
task is pending.  While it runs, its worker alone releases the call (`_fn`, `_args`, `_form`), and other
threads read only `_fn`.  The thread that ends the task releases the rest of the call, but keeps its name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from operator import index
from sys import maxsize
from typing import Any, TypeVar, overload

from .._calls import arguments
from .._calls.callables import announcement, generates, name_of
from .._calls.frames import strip_ours
from .._planner.nodes import DONE, Node
from .future import FAILED, Failure, PlannedFuture
from .items import LENGTH, Item, Stream
from .names import known_as
from .owner import Home

R = TypeVar("R")
Y = TypeVar("Y")


class Task(PlannedFuture[R]):
    """A submitted call: the future of its result, and an argument for later calls.

    Made by `Queue.submit`.  All methods of a `concurrent.futures.Future` work, from any thread, but only the
    scheduler ends the task.  In asyncio a task can be awaited on any running loop, so ``gather`` takes tasks;
    ``asyncio.wait`` takes ``asyncio.wrap_future(task)``.  An asyncio future is no dependency: await it first.

    A task whose dependency failed never runs: its exception is the dependency's own, and `origin` is the task
    that raised it, which a note in the exception names.  A cancelled dependency cancels its dependents.  Of
    several such ends the first one counts; of those that came before the submit, that of the first argument.

    When a task is done it releases its function, arguments and dependencies, and the scheduler releases the
    task: a result lives only as long as a reference to its future, or a task that needs it.

    The call of a generator function, or of a callable with ``number_of_results`` that returns an iterator, is
    a *generator task*: its result is a list of the values yielded, made once at its end, and while it runs
    ``task[i]``, slices and iteration give them one by one.

    - It runs in one slot, at its own pace, whether or not the values are used, and nothing else runs in that
      slot meanwhile.  A task that waits for a value in the only slot runs the generator nested, to its end.
    - With fewer values than announced, the missing items fail with an IndexError; with more, the task fails
      with a ValueError.  If the generator raises, the values before stay good; all else fails.
    - A stopped scheduler holds it at its next ``yield``.  `cancel` asks it to end, as any running task: at
      the next ``yield``, or where it is held, the generator is closed, so that its ``finally`` runs.
    - A future that is yielded is a value like any other.  ``Raw(function)`` is called as an ordinary
      function: the generator object is its result.
    - It keeps all its values until its future goes: one that never ends fills the memory.
    - For the order of the scheduler an item stands for its task.

    For type checkers a generator function must say that it returns a ``Generator[...]``: then the task is a
    ``Task[list[...]]``.
    """

    __slots__ = ("_args", "_fn", "_form")

    # Options, in the instance's own dictionary, which a plain task does not have.
    _name: str | None = None  # in place of the function's name
    _engine: Any = None  # options for the engine of its queue, as a dict
    _barrier: Node | None = None  # in a queue with ``in_order``: done once this task has started
    _allocation: Any = None  # the units of resources that it takes: an `Allocation`
    _releases: tuple[Any, ...] = ()  # the allocations of other tasks that its end returns

    # These are set in the instance's own dictionary under observers or ``debug=True`` alone.
    _serial = 0  # its number for observers; see `events.number_of`
    _submitted_at: str | None = None  # the line of code that submitted it; written by the submitting thread
    _since: float | None = None  # when it started; written by its worker

    # The planner's slot `_queue`, under the name that all futures have for it.
    _home = Node._queue  # type: ignore[misc]
    _queue: Home | None
    _fn: Any  # the function; once that is released, its name as a str
    # The arguments and their form, as `encode` returns them; None once the call is over.
    # Exception: if `_args` is None before the start, the arguments are the dependencies (of the form ALL).
    # `_empty` then writes a list of them, at the start: see `Submission._plain`.
    _args: Any
    _form: Any
    # Of a generator task, in its own dictionary; None before its start, and before a request for an item.
    _stream: Stream | None = None

    def _empty(self, needs: list[Any]) -> None:
        if self._args is None:
            self._args = needs.copy()
        needs.clear()

    # Items.

    def __bool__(self) -> bool:
        return True  # without this, `__len__` would decide

    @overload
    def __getitem__(self: Task[list[Y]], key: int) -> Item[Y]: ...
    @overload
    def __getitem__(self: Task[list[Y]], key: slice) -> list[Item[Y]]: ...
    @overload
    def __getitem__(self, key: Any) -> Any: ...
    def __getitem__(self, key: Any) -> Any:
        """A part of the task's output, as a future that can be an argument at once.

        For a generator task ``task[i]`` is an `Item` for value *i*, and a slice is a list of items.  If the
        generator ends before it reaches an index, that item fails with an IndexError.  Until its value is
        published, each request returns the same item.  For an ordinary task ``task[key]`` is an `Item` for
        ``result[key]``, and fails with the error of that expression.

        A negative index, or the end of a slice, waits for the length, as `len` does.  Cost: about 1 µs.

        Raises:
            IndexError: The length of a generator task is known, and the index is out of range.
            TypeError: The index of a generator task is no int; or it is negative, or a slice needs the end,
                and the length is neither known nor announced.
        """
        stream, queue = self._stream, self._queue
        if stream is not None and type(key) is int and key >= 0:  # saves all that follows, for most keys
            if key < len(stream.values):
                return Item._ended(DONE, stream.values[key])
            if stream.length is None and queue is not None:
                return queue.scheduler.streams.item(queue, self, stream, key)
        stream = self._streaming()
        if stream is None:
            return self._known(None, key) if queue is None else queue.scheduler.streams.part(self, key)
        length = stream.length
        if length is None:
            ends = [key]
            if isinstance(key, slice):
                ends = [key.start or 0, -1 if key.stop is None else key.stop, key.step or 1]
            length = len(self) if min(map(index, ends)) < 0 else maxsize
        try:
            numbers = range(length)[key]
        except IndexError:
            raise IndexError(f"index {key} is out of range: the length of the task is {length}") from None
        if isinstance(numbers, range):
            return [self._item(stream, number) for number in numbers]
        return self._item(stream, numbers)

    def _item(self, stream: Stream, number: int) -> Item[Any]:
        """Return the item for value *number*: pending, or done if its value or its error is known."""
        queue = self._queue  # None: the task has ended
        if queue is None or number < len(stream.values):
            return self._known(stream, number)
        return queue.scheduler.streams.item(queue, self, stream, number)  # type: ignore[no-any-return]

    def _known(self, stream: Stream | None, key: Any) -> Item[Any]:
        """Return an ended item for value *key* of *stream*, or for ``result[key]`` if *stream* is None."""
        if stream is not None:
            # Each step reads a state that only moves on, so a step that finds nothing leaves it to a later
            # one: a value below the length of `values`, a closed stream, then the end of the task.
            if key < len(stream.values):
                return Item._ended(DONE, stream.values[key])
            if stream.closed:
                return Item._ended(FAILED, Failure(stream.missing(key)))
        outcome = self._outcome
        if self._stage != DONE:
            return Item._ended(self._stage, outcome and outcome.of(self))
        try:
            return Item._ended(DONE, outcome[key])
        except Exception as error:
            strip_ours(error)
            return Item._ended(FAILED, Failure(error))

    def __len__(self) -> int:
        """The number of values of a generator task.

        If ``number_of_results`` announces it, this waits until the task has started and its worker has called
        that.  A task that waits here runs the generator task nested, as in `result`, if that needs its slot.

        Raises:
            TypeError: This is an ordinary task; or the length is not announced, and the generator runs.
            CancelledError: The task was cancelled.
            BaseException: The task, or its ``number_of_results``, failed.
        """
        stream = self._generating("has a length")
        try:
            queue = self._queue
            if stream.length is None and stream.announced and queue is not None:
                with suppress(CancelledError):  # the item ends with the task, if there is no length before
                    queue.scheduler.streams.length(self, stream).result()
            if stream.length is not None:
                return stream.length
            if self._stage < DONE:
                raise TypeError(
                    f"the length of {self!r} is not known before its end; number_of_results would announce it"
                )
            self.result()  # raises the failure of the task
            self._generating("has a length")  # again: it may have turned out to be an ordinary task
            return len(stream.values)
        finally:
            del self, stream  # as in `result`

    def __iter__(self: Task[list[Y]]) -> Iterator[Y]:
        """Iterate over the values of a generator task, waiting for each.

        An exception of the generator is raised after the values before it.

        Raises:
            TypeError: This is an ordinary task.
        """
        return self._values(self._generating("can be iterated"))

    def __aiter__(self: Task[list[Y]]) -> AsyncIterator[Y]:
        """Do what `__iter__` does in ``async for``: the event loop runs on while this waits for a value."""
        return self._values_in_loop(self._generating("can be iterated"))

    def _values(self, stream: Stream) -> Iterator[Any]:
        """Yield each value of *stream*, then raise the failure of the task if it has one."""
        number = 0
        try:
            while not (stream.closed or self.done()) or number < len(stream.values):
                if number < len(stream.values):
                    yield stream.values[number]
                    number += 1
                else:  # an item that was cancelled alone has no value: then the next request makes another
                    with suppress(CancelledError):
                        self._item(stream, number).exception()
            self.result()  # raises the failure of the generator
            self._generating("can be iterated")
        finally:
            del self, stream  # no cycle from the traceback to this frame and back

    async def _values_in_loop(self, stream: Stream) -> AsyncIterator[Any]:
        """Do what `_values` does in an event loop."""
        number = 0
        try:
            while not (stream.closed or self.done()) or number < len(stream.values):
                if number < len(stream.values):
                    yield stream.values[number]
                    number += 1
                else:
                    await _end_of(self._item(stream, number))
            await self
            self._generating("can be iterated")
        finally:
            del self, stream

    def _generating(self, ability: str) -> Stream:
        """Return the stream of a generator task; raise a TypeError if this is an ordinary task."""
        stream = self._streaming()
        if stream is None:
            raise TypeError(f"only a generator task {ability}; {self!r} is an ordinary task: use its result")
        return stream

    def _streaming(self) -> Stream | None:
        """Return the stream of a generator task, pending, running or done; None for an ordinary one."""
        if self._stream is None:
            # Read after `_stream`: a worker makes the stream, then releases the function.
            fn, queue = self._fn, self._queue
            if callable(fn) and generates(fn):
                if queue is not None:
                    queue.scheduler.streams.stream(self, announcement(fn) is not None)
                if self._stream is None and self._stage > DONE:  # it has failed or was cancelled
                    self._stream = Stream(False)
        stream = self._stream
        if stream is not None and self._stage == DONE and not stream.closed:
            return None  # an ordinary task: its function looked like a generator function
        return stream

    def _parts(self) -> list[Any]:
        stream = self._stream
        if stream is None:
            return []
        items = stream.items.copy()  # atomic, as a request may come: it makes no tuples, so no collector runs
        if self._stage < DONE:
            return list(items.values())
        # The planner drops these with the task.  An item that has a value is left out: the thread that added
        # the item is about to end it.
        count = len(stream.values)
        return [item for key, item in items.items() if key is LENGTH or key >= count]

    def _release(self) -> None:
        self._streaming()  # while the function is there
        self._fn = name_of(self._fn)
        self._args = self._form = None
        super()._release()

    def __repr__(self) -> str:
        return self._described(known_as(self))


arguments.TASK, arguments.ITEM = Task, Item


async def _end_of(item: Item[Any]) -> None:
    """Return when *item* has ended.  Awaited itself, it would be cancelled with the caller, for all."""
    from asyncio import Event, get_running_loop

    loop, ended = get_running_loop(), Event()

    def wake(_: Future[Any]) -> None:
        with suppress(RuntimeError):  # the loop is closed, so nothing waits
            loop.call_soon_threadsafe(ended.set)

    item.add_done_callback(wake)
    await ended.wait()
