"""Generator tasks: a user's request makes an item, and the value that the worker publishes ends it.

A generator task is *open* from the call of its function to the end of its iterator.  Only its worker takes
values and writes `Stream.values`, without the lock.  For the planner an item is a relay that depends on the
task: so dependents of the item need the task.

No request misses the end of its item.  The request adds the item, then looks whether the value, or the end
of the stream or of the task, is there; the other thread writes one of these, then looks for items.  Methods
of lists and dicts are atomic, and full memory barriers: so at least one of the two sees the other.  If both
do, the lock lets one of them end the item, and both remove it from `Stream.items` after its end.
"""

from _thread import start_new_thread
from collections.abc import Iterator
from functools import partial
from typing import Any

from .._calls.callables import announcement, length, name_of
from .._calls.frames import strip_ours
from .._calls.interrupts import DEFERRED, call_deferred, elsewhere, unmasked
from .._core.queue_state import QueueState, Worker
from .._core.state import State
from .._futures.future import FAILED, Failure
from .._futures.items import LENGTH, Item, Stream
from .._futures.task import Task
from .._planner.nodes import DONE, WAITING


class Streams:
    """The part of a scheduler for generator tasks and items."""

    def __init__(self, core: State) -> None:
        self._core = core  # constant

    # Requests for a part of a task.  Called by any thread.

    def stream(self, task: Task[Any], announced: bool) -> Stream | None:
        """Return the stream of *task*; make it if there is none, unless *task* is done."""
        with self._core.exclusive():
            if task._stream is None and task._stage < DONE:
                task._stream = Stream(announced)
                task._get_at_end().item_callbacks += (self._end_items,)
            return task._stream

    def item(self, home: QueueState, task: Task[Any], stream: Stream, index: int) -> Item[Any]:
        """Return the item of *task*, of the queue *home*, for value *index*.  Takes no lock, in general."""
        item = stream.items.get(index)
        if item is None:
            item = stream.items.setdefault(index, Item._of(home, task, index))
        # Also for an item of an earlier request, which Ctrl-C may have interrupted.
        if index < len(stream.values) or stream.closed or task._stage >= DONE:
            self._end_late(task, stream, item, index)
        return item

    def length(self, task: Any, stream: Stream) -> Item[Any]:
        """Return an item that ends when the length of *task* is known, or *task* has ended."""
        with self._core.exclusive():
            if stream.length is not None or task._stage >= DONE:
                return Item._ended(DONE, None)
            return stream.items.setdefault(LENGTH, Item._of(task._home, task, LENGTH))

    def part(self, task: Any, key: Any) -> Item[Any]:
        """Return the item for ``result[key]`` of an ordinary *task*."""
        with self._core.exclusive():
            if task._stage < DONE:
                item = Item._of(task._home, task, key)
                self._core.planner.add_relay(item, task)
                task._get_at_end().item_callbacks += (partial(self._end_part, item, key),)
                # Between the ends of the task and of the item, no running task leads to the item.
                self._core.relays.add(item)
                return item
        return task._known(None, key)  # type: ignore[no-any-return]

    # Called by the worker of the generator task.

    def open_stream(self, task: Task[Any], fn: Any, args: Any, kwargs: Any) -> None:
        """Make the stream of *task*, the call ``fn(*args, **kwargs)``, and store its announced length."""
        count = announcement(fn)
        stream: Any = self.stream(task, count is not None)
        try:
            if count is not None:
                number = length(count, name_of(fn), args, kwargs)
                with self._core.changing() as section:
                    # `length` looks at this under the same lock before it makes an item: none is left behind.
                    stream.length = number
                    if LENGTH in stream.items:
                        section.then(self._complete, stream.items[LENGTH], number)
                        del stream.items[LENGTH]
        finally:
            del task, fn, args, kwargs, count  # the traceback of a failure keeps this frame

    def drive(self, worker: Worker, task: Task[Any], iterator: Iterator[Any]) -> list[Any]:
        """Publish each value of *iterator*, pause or end after it if asked to; return a list of all."""
        core = self._core
        publish, stream = self.publish, task._stream
        at_end: Any = task._at_end  # never None: `stream` has added a callback
        try:
            while True:
                try:
                    value = next(iterator)
                except StopIteration:
                    break
                publish(worker, task, stream, value)
                # What `checkpoint` asks, written out: it saves a call for each value.
                if core.stopped or at_end.cancel_requested:
                    core.waiting.checkpoint(task)
        except BaseException as error:
            strip_ours(error)  # it may be the context of what `close` raises
            try:
                close = getattr(iterator, "close", None)
                if close is not None:
                    close()
            finally:
                # On CPython 3.12 and 3.13 the frame of a failed generator keeps this frame.
                close = value = at_end = None
                del worker, task, iterator, stream
            raise
        return self.close_stream(task)

    def publish(self, worker: Worker, task: Task[Any], stream: Any, value: Any) -> None:
        """Append *value*, if it is not one too many, and end its item if there is one; else take no lock."""
        values = stream.values
        index = len(values)
        if index == stream.length:
            more = f"more values than the {index} that number_of_results announced"
            raise ValueError(f"the generator yielded {more}")
        if self._core.observers:
            self._core.observers.notify("item", worker.queue, task, worker.thread, index=index)
        values.append(value)
        if index in stream.items:
            try:
                # Not `get`: with it an item costs five times as much on free-threaded CPython 3.13.
                item = stream.items[index]
            except KeyError:  # a request has just ended it
                return
            self._complete(item, value)
            stream.items.pop(index, None)

    def close_stream(self, task: Any) -> list[Any]:
        """Record that the generator of *task* has returned; return a new list of all values."""
        with self._core.exclusive():
            task._stream.closed = True
        self._end_items(task)  # for the planner, no item of a task that ends is pending
        return task._stream.values.copy()  # type: ignore[no-any-return]

    # The end of items whose value or error is known.

    def _end_items(self, task: Any) -> None:
        """End the pending items of *task*, whose values, or whose result or failure, are known."""
        stream: Stream = task._stream
        for key, item in stream.items.copy().items():  # `copy` is atomic: a request may come
            if key is LENGTH:
                self._complete(item, None)  # `len` looks again
            else:
                self._end_late(task, stream, item, key)

    def _end_late(self, task: Task[Any], stream: Stream, item: Item[Any], index: int) -> None:
        """End *item*, whose value or error is known: perhaps since before the item was added."""
        self._end(item, task._known(stream, index))
        stream.items.pop(index, None)

    def _end_part(self, item: Item[Any], key: Any, task: Task[Any]) -> None:
        """End *item* as ``result[key]`` of *task*, which has ended."""
        if item.done():  # cancelled: nobody wants a call of the user's method
            return
        try:
            known = unmasked(task._known, None, key)
        except BaseException as error:  # such as SystemExit: by a method of the user's result
            strip_ours(error)
            known = Item._ended(FAILED, Failure(error))
        try:
            self._end(item, known)
        except RecursionError:  # no stack is left here; nobody else ends the item
            start_new_thread(elsewhere, (self._end, (item, known)))

    def _end(self, item: Item[Any], known: Item[Any]) -> None:
        """End *item* as *known* has ended."""
        # The block is for its checks, which come before any change: of the stack, and of a reentrant call.
        with self._core.exclusive() as section:
            section.then(self._complete if known._stage == DONE else self._fail, item, known._outcome)

    def _complete(self, item: Item[Any], value: Any) -> None:
        """End *item* with *value*; do nothing if it has ended."""
        core = self._core
        try:
            if not core.lock.acquire(False):
                core.spin_and_lock()
            try:
                if item._stage != WAITING:  # a cancelled item has left the planner
                    return
                item._outcome = value
                core.relays.discard(item)
                freed = core.planner.done(item)
                if freed:
                    core.wake_for(freed)
                at_end = item._at_end
                if at_end is None:
                    item._home = None
                else:
                    item._leave()
                starts = core.take_starts() if core.starts else ()  # not `starts` itself: others add to that
            finally:
                core.lock.release()
                if DEFERRED:
                    call_deferred()
            # In the order of a task's end; callbacks last: they may wait for a worker started here.
            item._source = item._key = None  # as `_release`; the planner has released the dependencies
            if at_end is not None:
                item._wake_waiters(at_end)
            if starts:
                core.start_workers(starts)
            if at_end is not None:
                item._call_callbacks(at_end)
        except Exception as error:
            core.break_down(error, None, item)

    def _fail(self, item: Item[Any], fate: Failure | None) -> None:
        """End *item* with the failure *fate*, or cancelled if that is None; do nothing if it has ended."""
        termination = self._core.termination
        with self._core.changing() as section:
            if item._stage == WAITING:
                termination.drop(item, fate, termination.ended_in(section))
