"""`submit`, `try_submit` and `map` of `Queue`, and of `Submitter`, a queue with options; their types."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures._base import _result_or_cancel  # type: ignore[attr-defined]
from functools import partial
from itertools import islice
from typing import Any, Never, ParamSpec, TypeAlias, TypeVar, overload

from ._calls.arguments import ONE, encode
from ._calls.callables import Plain
from ._calls.kinds import Raw, settled
from ._core.queue_state import QueueState
from ._futures.items import Item
from ._futures.task import Task
from ._futures.waiter import deadline, left
from ._limits import admission
from ._limits.options import Options

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
Y = TypeVar("Y")

Arg: TypeAlias = A | Future[A] | Raw[A] | settled[A]  # an argument for a parameter of type A
Yields: TypeAlias = Generator[Y, Any, Any]  # the return type of a generator function


class Submits:
    """The base of `Queue` and `Submitter`.  All fields are set once, when the object is made."""

    _state: QueueState
    _options: Options
    #: Adds a task: called with the state, the function, its encoded arguments, their form, and the group.
    _add: Callable[..., Task[Any]]

    # Up to four positional arguments are checked, each a value or a future of it; arguments by name as values
    # (for a future say ``cast(Any, future)``).  A generator function makes a task of a list.  Never is for a
    # function that returns Any, which pyright would else take for a generator function.
    # fmt: off
    @overload
    def submit(self, fn: Callable[[A], Never], a: Arg[A], /) -> Task[Any]: ...
    @overload
    def submit(self, fn: Callable[[A], Yields[Y]], a: Arg[A], /) -> Task[list[Y]]: ...
    @overload
    def submit(self, fn: Callable[[A], R], a: Arg[A], /) -> Task[R]: ...
    @overload
    def submit(self, fn: Callable[[A, B], Never], a: Arg[A], b: Arg[B], /) -> Task[Any]: ...
    @overload
    def submit(self, fn: Callable[[A, B], Yields[Y]], a: Arg[A], b: Arg[B], /) -> Task[list[Y]]: ...
    @overload
    def submit(self, fn: Callable[[A, B], R], a: Arg[A], b: Arg[B], /) -> Task[R]: ...
    @overload
    def submit(self, fn: Callable[[A, B, C], Never], a: Arg[A], b: Arg[B], c: Arg[C], /) -> Task[Any]: ...
    @overload
    def submit(self, fn: Callable[[A, B, C], Yields[Y]],
               a: Arg[A], b: Arg[B], c: Arg[C], /) -> Task[list[Y]]: ...
    @overload
    def submit(self, fn: Callable[[A, B, C], R], a: Arg[A], b: Arg[B], c: Arg[C], /) -> Task[R]: ...
    @overload
    def submit(self, fn: Callable[[A, B, C, D], Never],
               a: Arg[A], b: Arg[B], c: Arg[C], d: Arg[D], /) -> Task[Any]: ...
    @overload
    def submit(self, fn: Callable[[A, B, C, D], Yields[Y]],
               a: Arg[A], b: Arg[B], c: Arg[C], d: Arg[D], /) -> Task[list[Y]]: ...
    @overload
    def submit(self, fn: Callable[[A, B, C, D], R],
               a: Arg[A], b: Arg[B], c: Arg[C], d: Arg[D], /) -> Task[R]: ...
    @overload
    def submit(self, fn: Callable[..., Never], a: Any, b: Any, c: Any, d: Any, e: Any, /,
               *args: Any, **kwargs: Any) -> Task[Any]: ...
    @overload
    def submit(self, fn: Callable[..., Yields[Y]], a: Any, b: Any, c: Any, d: Any, e: Any, /,
               *args: Any, **kwargs: Any) -> Task[list[Y]]: ...
    @overload
    def submit(self, fn: Callable[..., R], a: Any, b: Any, c: Any, d: Any, e: Any, /,
               *args: Any, **kwargs: Any) -> Task[R]: ...
    @overload
    def submit(self, fn: Raw[Callable[..., R]], /, *args: Any, **kwargs: Any) -> Task[R]: ...
    @overload
    def submit(self, fn: Callable[P, Never], /, *args: P.args, **kwargs: P.kwargs) -> Task[Any]: ...
    @overload
    def submit(self, fn: Callable[P, Yields[Y]], /, *args: P.args, **kwargs: P.kwargs) -> Task[list[Y]]: ...
    @overload
    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Task[R]: ...
    # fmt: on
    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Task[Any]:
        """Submit ``fn(*args, **kwargs)`` and return its task.

        Futures among the arguments are replaced by their results, also at any depth inside ``list``,
        ``tuple``, named tuples, ``dict``, ``set``, ``frozenset``, dataclass instances, ``defaultdict``,
        ``OrderedDict``, ``deque`` and (from Python 3.15 on) ``frozendict``, but not inside other
        subclasses of these: a dataclass that is also a dict, or an exception, is passed as it is.

        Raises:
            TypeError: *fn* is not callable.
            RuntimeError: The queue was shut down, or the interpreter is exiting; or the queue is full
                (see ``max_pending``), and the calling thread runs an event loop; or the call is made in
                a signal handler that has interrupted the scheduler.
            TimeoutError: The queue was full for the *timeout* of `Queue.options`.
            BrokenExecutor: An initializer failed (BrokenThreadPool), or the queue's executor has ended.

        Cost: about 1 µs, and a look at each object in plain containers among the arguments; `Raw`
        spares it.
        """
        if not callable(fn):
            fn = called(fn)
        if not args and not kwargs:
            return self._add(self._state, fn, args, None)
        if len(args) == 1 and not kwargs and (type(args[0]) is Task or type(args[0]) is Item):
            # As `encode` returns it: most calls with a future have this one argument.
            return self._add(self._state, fn, args[0], ONE)
        args, form = encode(args, kwargs)
        return self._add(self._state, fn, args, form)

    # Arguments are not checked here: that would take all of the overloads above once more.
    @overload
    def try_submit(self, fn: Callable[..., Never], /, *args: Any, **kwargs: Any) -> Task[Any] | None: ...
    @overload
    def try_submit(
        self, fn: Callable[..., Yields[Y]], /, *args: Any, **kwargs: Any
    ) -> Task[list[Y]] | None: ...
    @overload
    def try_submit(
        self, fn: Callable[..., R] | Raw[Callable[..., R]], /, *args: Any, **kwargs: Any
    ) -> Task[R] | None: ...
    def try_submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Task[Any] | None:
        """Submit as `submit` does, with its errors; or return None if the queue has ``max_pending`` tasks."""
        state = self._state
        args, form = encode(args, kwargs)
        task: Task[Any] | None = admission.add(state, called(fn), args, form, None, self._options, wait=False)
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

        All items are one submission, of which the first counts as the newest.  If the queue has
        ``max_pending``, each item is submitted when there is room, and a `map` that raises cancels the
        tasks that it has submitted.

        Args:
            timeout: Seconds from the call until the last result is there, or the last item submitted.
            chunksize: Ignored, as by ThreadPoolExecutor.
            buffersize: The most tasks at a time whose results were not taken; 1 or more.  The
                iterables are read as results are taken; without it, at once.

        Raises:
            TypeError, ValueError: *buffersize* is not an int, or less than 1.
            TimeoutError: By the iterator, when *timeout* is over; or by `map`, if there was no room.
        """
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        end = deadline(timeout)
        submit = self._item_submitter(fn, end)
        calls = zip(*iterables, strict=False)
        tasks: deque[Task[Any]] = deque()
        try:
            tasks.extend(map(submit, islice(calls, buffersize)))
        except BaseException:
            if self._state.pending_limit is not None:  # it has blocked, perhaps for long
                _cancel(tasks)
            raise
        return _results(tasks, end, map(submit, () if buffersize is None else calls))

    def _item_submitter(self, fn: Callable[..., Any], end: float | None) -> Callable[[tuple[Any, ...]], Any]:
        """Return a function that submits one item of a `map`, and ends it if the queue was collected."""
        state, options, add = self._state, self._options, self._add
        owner: Any = state.owner
        overridden = getattr(self.submit, "__func__", None) is not Submits.submit
        group = None if overridden else state.scheduler.submission.group()

        def submit(call: tuple[Any, ...]) -> Any:
            queue = owner()  # not kept: it may be lost while results are taken
            if queue is None:
                raise StopIteration  # for the builtin `map` that calls this
            if overridden:  # by a subclass of `Queue`, which wants to see the items, too
                return queue.submit(fn, *call)
            args, form = encode(call, None)
            if end is None or state.pending_limit is None:
                return add(state, called(fn), args, form, group)
            seconds: Any = left(end)
            if options.timeout is not None:
                seconds = min(seconds, options.timeout)
            return add(state, called(fn), args, form, group, options=options._replace(timeout=seconds))

        return submit


class Submitter(Submits):
    """A queue with options, as `Queue.options` returns it, for any number of calls.  Keeps the queue."""

    def __init__(self, queue: Submits, options: Options) -> None:
        self._queue = queue
        self._state = queue._state
        self._options = options
        self._add = partial(admission.add, options=options)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._queue!r} with {self._options!r}>"


def called(fn: Any) -> Any:
    """Return the function to call for *fn*, the first argument of ``submit``, or raise a TypeError."""
    if callable(fn):
        return fn
    if isinstance(fn, Raw) and callable(fn.value):
        return Plain(fn.value)  # the generator object itself is the result
    raise TypeError(f"the first argument of submit must be callable, not {fn!r}")


def _results(tasks: deque[Any], end: float | None, more: Iterator[Any]) -> Iterator[Any]:
    """Yield the results of *tasks*, and of *more*, one submitted for each result; cancel the tasks left."""
    try:
        while tasks:
            tasks.extend(islice(more, 1))
            yield _result_or_cancel(tasks.popleft(), left(end))
    finally:
        _cancel(tasks)


def _cancel(tasks: deque[Any]) -> None:
    """Cancel and remove all *tasks*: an exception keeps the frame that has the deque."""
    while tasks:
        tasks.popleft().cancel()
