"""How calls are submitted: the methods that a queue and its submitters share, and their types.

A *submitter* is a queue with options: what `Queue.options` gives.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import TYPE_CHECKING, Any, Never, ParamSpec, TypeAlias, TypeVar, overload
from weakref import ref

from ._calls.arguments import encode
from ._calls.callables import Plain
from ._calls.kinds import Raw, settled
from ._futures.task import Task
from ._limits.options import NO_OPTIONS, Options

if TYPE_CHECKING:
    from ._core.state import QueueState
    from ._queue import Queue

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
Y = TypeVar("Y")

# What may stand where a function takes an A.
Argument: TypeAlias = "A | Future[A] | Raw[A] | settled[A]"


class Submits:
    """What submits calls: a `Queue`, or a `Submitter` of one."""

    __slots__ = ()

    # Up to six positional arguments are checked, each a value or a future of
    # it.  Arguments by name are checked as values: a future among them is
    # right, but typing has no word for it (say ``cast(Any, future)``).
    #
    # Three overloads for each number of them: a generator function makes a task
    # of a list; before it stands Never for a function that returns Any, which
    # would match that one too.
    @overload
    def submit(self, fn: Callable[[], Never], /) -> Task[Any]: ...
    @overload
    def submit(self, fn: Callable[[], Generator[Y, Any, Any]], /) -> Task[list[Y]]: ...
    @overload
    def submit(self, fn: Callable[[], R], /) -> Task[R]: ...
    @overload
    def submit(self, fn: Callable[[A], Never], a: Argument[A], /) -> Task[Any]: ...
    @overload
    def submit(self, fn: Callable[[A], Generator[Y, Any, Any]], a: Argument[A], /) -> Task[list[Y]]: ...
    @overload
    def submit(self, fn: Callable[[A], R], a: Argument[A], /) -> Task[R]: ...
    @overload
    def submit(self, fn: Callable[[A, B], Never], a: Argument[A], b: Argument[B], /) -> Task[Any]: ...
    @overload
    def submit(
        self, fn: Callable[[A, B], Generator[Y, Any, Any]],
        a: Argument[A], b: Argument[B], /,
    ) -> Task[list[Y]]: ...  # fmt: skip
    @overload
    def submit(self, fn: Callable[[A, B], R], a: Argument[A], b: Argument[B], /) -> Task[R]: ...
    @overload
    def submit(
        self, fn: Callable[[A, B, C], Never],
        a: Argument[A], b: Argument[B], c: Argument[C], /,
    ) -> Task[Any]: ...  # fmt: skip
    @overload
    def submit(
        self, fn: Callable[[A, B, C], Generator[Y, Any, Any]],
        a: Argument[A], b: Argument[B], c: Argument[C], /,
    ) -> Task[list[Y]]: ...  # fmt: skip
    @overload
    def submit(
        self, fn: Callable[[A, B, C], R],
        a: Argument[A], b: Argument[B], c: Argument[C], /,
    ) -> Task[R]: ...  # fmt: skip
    @overload
    def submit(
        self, fn: Callable[[A, B, C, D], Never],
        a: Argument[A], b: Argument[B], c: Argument[C], d: Argument[D], /,
    ) -> Task[Any]: ...  # fmt: skip
    @overload
    def submit(
        self, fn: Callable[[A, B, C, D], Generator[Y, Any, Any]],
        a: Argument[A], b: Argument[B], c: Argument[C], d: Argument[D], /,
    ) -> Task[list[Y]]: ...  # fmt: skip
    @overload
    def submit(
        self, fn: Callable[[A, B, C, D], R],
        a: Argument[A], b: Argument[B], c: Argument[C], d: Argument[D], /,
    ) -> Task[R]: ...  # fmt: skip
    @overload
    def submit(
        self, fn: Callable[[A, B, C, D, E], Never],
        a: Argument[A], b: Argument[B], c: Argument[C], d: Argument[D], e: Argument[E], /,
    ) -> Task[Any]: ...  # fmt: skip
    @overload
    def submit(
        self, fn: Callable[[A, B, C, D, E], Generator[Y, Any, Any]],
        a: Argument[A], b: Argument[B], c: Argument[C], d: Argument[D], e: Argument[E], /,
    ) -> Task[list[Y]]: ...  # fmt: skip
    @overload
    def submit(
        self, fn: Callable[[A, B, C, D, E], R],
        a: Argument[A], b: Argument[B], c: Argument[C], d: Argument[D], e: Argument[E], /,
    ) -> Task[R]: ...  # fmt: skip
    @overload
    def submit(
        self, fn: Callable[[A, B, C, D, E, F], Never],
        a: Argument[A], b: Argument[B], c: Argument[C], d: Argument[D], e: Argument[E], f: Argument[F], /,
    ) -> Task[Any]: ...  # fmt: skip
    @overload
    def submit(
        self, fn: Callable[[A, B, C, D, E, F], Generator[Y, Any, Any]],
        a: Argument[A], b: Argument[B], c: Argument[C], d: Argument[D], e: Argument[E], f: Argument[F], /,
    ) -> Task[list[Y]]: ...  # fmt: skip
    @overload
    def submit(
        self, fn: Callable[[A, B, C, D, E, F], R],
        a: Argument[A], b: Argument[B], c: Argument[C], d: Argument[D], e: Argument[E], f: Argument[F], /,
    ) -> Task[R]: ...  # fmt: skip
    @overload
    def submit(
        self, fn: Callable[..., Never],
        a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, /, *args: Any, **kwargs: Any,
    ) -> Task[Any]: ...  # fmt: skip
    @overload
    def submit(
        self, fn: Callable[..., Generator[Y, Any, Any]],
        a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, /, *args: Any, **kwargs: Any,
    ) -> Task[list[Y]]: ...  # fmt: skip
    @overload
    def submit(
        self, fn: Callable[..., R],
        a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, /, *args: Any, **kwargs: Any,
    ) -> Task[R]: ...  # fmt: skip
    @overload
    def submit(self, fn: Raw[Callable[..., R]], /, *args: Any, **kwargs: Any) -> Task[R]: ...
    @overload
    def submit(self, fn: Callable[P, Never], /, *args: P.args, **kwargs: P.kwargs) -> Task[Any]: ...
    @overload
    def submit(
        self, fn: Callable[P, Generator[Y, Any, Any]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Task[list[Y]]: ...
    @overload
    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Task[R]: ...
    def submit(
        self, fn: Callable[..., Any] | Raw[Callable[..., Any]], /, *args: Any, **kwargs: Any
    ) -> Task[Any]:
        """Submit ``fn(*args, **kwargs)`` and return its task.

        Futures among the arguments are replaced by their results, also at any
        depth inside ``list``, ``tuple``, named tuples, ``dict``, ``set``,
        ``frozenset``, dataclass instances, ``defaultdict``, ``OrderedDict``,
        ``deque`` and (from Python 3.15 on) ``frozendict``, but not inside other
        subclasses of these.

        Raises:
            TypeError: *fn* is not callable.
            RuntimeError: The queue was shut down, or the interpreter is
                exiting.
            BrokenThreadPool: An initializer failed.

        Cost: about 1 µs, and a look at each object in plain containers among
        the arguments; `Raw` spares it.
        """
        if not callable(fn):
            fn = called(fn)
        kept: Any = None
        if args or kwargs:
            args, kept = encode(args, kwargs)
        state = self._state
        return state.add(state, fn, args, kept, None)

    # Less is checked here: that would take all of the above once more.
    @overload
    def try_submit(self, fn: Callable[..., Never], /, *args: Any, **kwargs: Any) -> Task[Any] | None: ...
    @overload
    def try_submit(
        self, fn: Callable[..., Generator[Y, Any, Any]], /, *args: Any, **kwargs: Any
    ) -> Task[list[Y]] | None: ...
    @overload
    def try_submit(
        self, fn: Callable[..., R] | Raw[Callable[..., R]], /, *args: Any, **kwargs: Any
    ) -> Task[R] | None: ...
    def try_submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Task[Any] | None:
        """Do what `submit` does, or return None where that would block: see ``max_pending``.

        Raises:
            TypeError: As by `submit`.
            RuntimeError: As by `submit`.
            BrokenThreadPool: As by `submit`.
        """
        queue, options = self._target()
        add = queue._state.scheduler.admission.try_add
        task: Task[Any] | None = queue._submit(fn, args, kwargs, None, options or NO_OPTIONS, add)
        return task

    def map(
        self,
        fn: Callable[..., R],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[R]:
        """Submit ``fn`` for the items of *iterables*, and return an iterator over the results.

        All items are one submission, of which the first counts as the newest.
        Where a queue has ``max_pending`` they are submitted one after another,
        as there is room: without *buffersize* `map` returns when the last one
        is, and where it fails before, those submitted are cancelled.

        Args:
            fn: Called with one item of each iterable.
            iterables: Read at once, or, with *buffersize*, as results are taken.
            timeout: Seconds from the call until the last result may be awaited,
                or the last item submitted.
            chunksize: Ignored, as by ThreadPoolExecutor.
            buffersize: How many tasks whose results were not taken yet there
                may be.

        Raises:
            TypeError: *buffersize* is no int.
            ValueError: *buffersize* is less than 1.
            TimeoutError: By the iterator, when *timeout* is over; or by `map`,
                where there was no room.
        """
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        end = None if timeout is None else timeout + time.monotonic()
        calls = zip(*iterables, strict=False)
        queue, options = self._target()
        if options is None and (type(queue).submit is not Submits.submit or "submit" in queue.__dict__):
            group = _THROUGH_SUBMIT
        else:
            group = queue._state.scheduler.submission.group()
        tasks: deque[Task[Any]] = deque()
        try:
            tasks.extend(
                _submit_item(queue, fn, call, group, options, end) for call in islice(calls, buffersize)
            )
        except BaseException:
            if queue._state.pending_limit is not None:  # it has blocked, perhaps for long
                _cancel(tasks)
            raise
        # The iterator must not keep the queue: it may be lost while results
        # are taken.
        more = None if buffersize is None else (ref(queue), calls)
        return _results(fn, tasks, end, more, group, options)

    if TYPE_CHECKING:
        _state: QueueState

        def _target(self) -> tuple[Queue, Options | None]:
            """The queue, and with which options."""
            ...


class Submitter(Submits):
    """A queue with options: each call submitted through it has them.

    Made by `Queue.options`, once for any number of calls.  It keeps the queue,
    and the futures of *after*.
    """

    __slots__ = ("_options", "_queue")

    def __init__(self, queue: Queue, options: Options) -> None:
        self._queue = queue
        self._options = options

    if not TYPE_CHECKING:  # pragma: no branch - there its types are those of the queue's

        def submit(self, fn, /, *args, **kwargs):
            return self._queue._submit(fn, args, kwargs, None, self._options)

        submit.__doc__ = Submits.submit.__doc__

    def _target(self) -> tuple[Queue, Options | None]:
        return self._queue, self._options

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._queue!r} with {self._options!r}>"


def called(fn: Any) -> Any:
    """What a task calls for *fn*, the first argument of ``submit``.

    Raises:
        TypeError: Nothing can be called there.
    """
    if callable(fn):
        return fn
    if isinstance(fn, Raw) and callable(fn.value):
        return Plain(fn.value)  # the generator object itself is the result
    raise TypeError(f"the first argument of submit must be callable, not {fn!r}")


_THROUGH_SUBMIT: Any = object()  # the group of a map whose items go through a submit that is not ours


def _submit_item(
    queue: Queue,
    fn: Callable[..., Any],
    call: tuple[Any, ...],
    group: Any,
    options: Options | None,
    end: float | None,
) -> Task[Any]:
    if group is _THROUGH_SUBMIT:
        return queue.submit(fn, *call)
    state = queue._state
    if end is not None and state.pending_limit is not None:
        options = (options or NO_OPTIONS).within(end - time.monotonic())
    if options is not None:
        return queue._submit(fn, call, None, group, options)  # type: ignore[no-any-return]
    args, kept = encode(call, None)
    return state.add(state, fn if callable(fn) else called(fn), args, kept, group)


def _results(
    fn: Callable[..., R],
    tasks: deque[Any],
    end: float | None,
    more: tuple[Callable[[], Queue | None], Iterator[Any]] | None,
    group: Any,
    options: Options | None,
) -> Iterator[R]:
    """The results of *tasks* in order, submitting *more* as they are taken; those not taken are cancelled."""
    try:
        while tasks:
            if more is not None:
                queue, call = more[0](), None
                if queue is None or (call := next(more[1], None)) is None:
                    more = None
                else:
                    tasks.append(_submit_item(queue, fn, call, group, options, end))
                del queue, call
            # No name may keep the task or its result while we are suspended.
            yield _result_or_cancel(tasks.popleft(), None if end is None else end - time.monotonic())
    finally:
        _cancel(tasks)


def _cancel(tasks: Iterable[Task[Any]]) -> None:
    for task in tasks:
        task.cancel()


def _result_or_cancel(task: Any, timeout: float | None) -> Any:
    try:
        try:
            return task.result(timeout)
        finally:
            task.cancel()
    finally:
        del task  # no cycle with the exception
