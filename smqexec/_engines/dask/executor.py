"""The executor of a Dask cluster, and the futures of its calls: see ``smqexec.dask``.

A `ClusterFuture` stands for a value at the cluster, which Dask's own future keeps there.
Dask calls `ClusterFuture.end` in a thread of its own.  The thread of the client's event loop
must not wait for the cluster, so every other thread asks the cluster through ``in_loop``.
"""

# What comes from Dask is Any, and Dask need not be there.
# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportUnknownParameterType=false
# pyright: reportUntypedBaseClass=false

from __future__ import annotations

import operator
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, InvalidStateError, wait
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, ClassVar

from distributed import Client
from distributed import Future as DaskFuture
from typing_extensions import override

from ..._calls.callables import name_of
from ..._futures.remote_value import Remote
from ..channels import Channel
from ..executors import Call, Engine
from .calls import hole_for, pack, perform
from .channel import ClusterChannel
from .loop import in_loop

_NOTHING: Any = object()

# A call of more bytes is sent to a worker, not with the graph: Dask's scheduler keeps the graph
# as long as any value that was made from it.
LARGE = 100_000
# Why Dask drops calls: a lost worker had a value that no call can make again.  Such a call is
# sent again, so many times in all, since its arguments are still here.
LOST = ("lost dependencies", "already forgotten")
SENDINGS = 3

# Seconds of work to prefetch.  Without it a worker would be idle until its end of a call is known here
# and the next call is there: 12 ms on an idle machine (Dask's client sends every 10 ms, its scheduler
# and workers every 2 ms), and several times as long on busy ones.
PREFETCHED = 0.1
# Ends of calls by which the pace is measured, and how many calls may be prefetched at all.
RECENT, MOST = 16, 64


class CallLost(RuntimeError):
    """The cluster has dropped a call or its value without being asked."""


class BrokenCluster(BrokenExecutor):
    """The connection to the cluster's scheduler was lost, or the client closed."""


class ClusterFuture(Remote):
    """A call on the cluster: done when its value is there.

    `result` brings the value here, once, and keeps it; nothing else does.  When
    the future is collected, the cluster drops the value.

    It can be an argument of a call on the same cluster, at any depth.  It may be
    used from any thread, but that of the client's event loop can't fetch.
    """

    #: Dask's own future of it.
    remote: DaskFuture

    def __init__(self, executor: DaskExecutor, call: Call) -> None:
        super().__init__()
        self.executor = executor  # never changes
        # The next three are written by `send`, and by `end`, which comes after it.
        self._call: Call | None = call  # until it is done
        self._large: DaskFuture | None = None  # the packed call if it was sent by itself, until it is done
        self._sendings = 0  # how often the call was sent
        self._fetching = threading.Lock()  # guards `_value`
        self._value = _NOTHING  # the value, once it was brought here
        self._asked = False  # `cancel` was called

    @override
    def running(self) -> bool:
        """Return True until it is done: only the cluster knows whether it has begun."""
        return not self.done()

    @override
    def cancel(self) -> bool:
        """Ask the cluster not to make the call; return False, as it may be making it.

        Where the cluster agrees, the future is cancelled soon after.  A call that
        runs goes on to its end, and its value is thrown away.
        """
        if not self.done():
            self._asked = True
            client = self.executor.client
            # In the client's own thread: this one may be told just now how another call ended.
            client.loop.add_callback(client.cancel, [self.remote])
        return self.cancelled()

    @override
    def result(self, timeout: float | None = None) -> Any:
        """Return the value, which is brought here when first asked for.

        Args:
            timeout: Seconds to wait at most for the end of the call; None for no
                limit.  As of any future that is done, ``result(0)`` then gives
                the value, however long that is on its way.

        Raises:
            BrokenCluster: The value was lost with the cluster, or the client closed.
            CallLost: The cluster has dropped the call, or its value.
            CancelledError: The call was cancelled.
            TimeoutError: The call was not done in time.
            RuntimeError: Called in the thread of the client's event loop.
            BaseException: What the call raised.
        """
        super().result(timeout)
        with self._fetching:
            if self._value is _NOTHING:
                self._value = self._fetch()
            return self._value

    def _fetch(self) -> Any:
        client = self.executor.client
        if client.status != "running":
            raise self.executor.broken()
        try:
            return in_loop(client, self.remote.result)
        except CancelledError as error:
            raise self._lost(error) from error

    def send(self) -> None:
        """Submit the call.

        Raises:
            Exception: As of `DaskExecutor.submit`.
        """
        call: Any = self._call
        client = self.executor.client
        self._sendings += 1
        packed, values = pack(client, call)
        if packed.size > LARGE:
            scatter = partial(client.scatter, [packed], hash=False, workers=call.options.get("workers"))
            [self._large] = in_loop(client, scatter)
        # No time within which calls count as one: they go in the order in which they came.
        self.remote = client.submit(
            perform, self._large or packed, *values,
            key=f"{call.name}-{uuid.uuid4()}", pure=False, fifo_timeout="0 s", **call.options,
        )  # fmt: skip
        self.remote.add_done_callback(self.end)
        if client.status != "running":  # it may have closed before it had the call: then Dask never tells
            with suppress(InvalidStateError):  # it has told
                self.set_exception(self.executor.broken())

    def _lost(self, error: BaseException) -> BaseException:
        """Return the error of a call that Dask has cancelled unasked."""
        return CallLost(str(error)) if self.executor.client.status == "running" else self.executor.broken()

    def part(self, key: Any) -> ClusterFuture:
        """The future of ``result[key]``, which the cluster makes of its own value.

        Raises:
            BrokenCluster: The cluster was lost.
            Exception: *key* cannot be pickled.
        """
        return self.executor.submit(operator.getitem, self, key)

    def end(self, remote: DaskFuture) -> None:
        """End this future as *remote*, Dask's own, has ended: the callback of *remote*."""
        client = self.executor.client
        try:
            if remote.status == "error":
                exception = in_loop(client, remote.exception)
                self.set_exception(exception.with_traceback(in_loop(client, remote.traceback)))
            elif remote.status != "cancelled":
                self.set_result(None)
            elif self._asked:
                super().cancel()
                self.set_running_or_notify_cancel()
            elif client.status != "running":
                self.set_exception(self.executor.broken())
            else:
                in_loop(client, remote.result)  # raises why
        except Exception as error:  # the client may close meanwhile
            if self._sendings < SENDINGS and getattr(error, "reason", None) in LOST:
                with suppress(Exception):
                    self.send()
                    return
            with suppress(InvalidStateError):  # `send` has found that the client closed
                self.set_exception(self._lost(error))
        self.executor._ends.append(monotonic())
        self._call = self._large = None
        self._done_callbacks: list[Any] = []  # which know the arguments of the call, and more

    def __reduce__(self) -> Any:
        """Leave a hole for the value in the call that is being packed."""
        return hole_for(self.remote, self.executor.client)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.remote.key} state={'finished' if self.done() else 'pending'}>"


class DaskExecutor(Engine):
    """An executor that makes its calls on a Dask cluster.

    For ``Queue(scheduler, executor=DaskExecutor(client))``, where values go from
    call to call without coming here.  Also an executor of its own.  May be used
    from any thread.  Neither its end nor that of a queue ends the client.

    Args:
        client: A ``distributed.Client`` that is connected, and not asynchronous.

    Raises:
        TypeError: *client* is none.
        ValueError: It is asynchronous, or not connected.
    """

    #: Those of Dask's ``Client.submit`` that ``queue.options()`` of a queue on it takes.
    options: ClassVar[frozenset[str]] = frozenset(
        {"allow_other_workers", "priority", "resources", "retries", "workers"}
    )
    remote_values = True

    def __init__(self, client: Client) -> None:
        if not isinstance(client, Client):
            raise TypeError(f"the client must be a distributed.Client, not {client!r}")
        if client.asynchronous:
            raise ValueError(
                f"{client!r} is asynchronous, and a queue's threads can't wait for it; "
                "make the client without asynchronous=True, and outside of its event loop"
            )
        if client.status != "running":
            raise ValueError(f"{client!r} is not connected: its status is {client.status!r}")
        self.client = client  # never changes
        self._lock = threading.Lock()  # guards `_shutdown`, and the growth of `_pending`
        self._pending: set[ClusterFuture] = set()  # the calls at the cluster
        self._shutdown = False  # `shutdown` was called
        # Without a lock: written by the threads in which calls end, or that find the cluster gone.
        self._ends: deque[float] = deque(maxlen=RECENT)  # when calls ended
        self._broken: BrokenCluster | None = None  # see `gone`

    @property
    def prefetch(self) -> int:  # type: ignore[override]
        """The number of calls that may wait at busy workers: as many as end in a tenth of a second.

        So 1 for calls of a second, whose order counts, and dozens of calls that
        take no time, since the workers would be idle otherwise.
        """
        ends = self._ends
        if len(ends) < 2:
            return 1
        return min(1 + int(PREFETCHED * (len(ends) - 1) / max(ends[-1] - ends[0], 1e-6)), MOST)

    @property
    def max_workers(self) -> int:  # type: ignore[override]
        """The number of threads of the cluster's workers now.  Cost: a question to its scheduler.

        Raises:
            ValueError: There is no worker.
        """
        threads: int = sum(self.client.nthreads().values())
        if not threads:
            raise ValueError(
                "the cluster has no worker yet: give max_workers, or call client.wait_for_workers(1) before"
            )
        return threads

    @override
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> ClusterFuture:
        """Have ``fn(*args, **kwargs)`` called on the cluster; its futures among the arguments are replaced.

        Raises:
            RuntimeError: The executor was shut down.
            BrokenCluster: The client has lost its cluster, or was closed.
            Exception: *fn* or an argument cannot be pickled.
        """
        return self.call(Call(fn, args, kwargs, name_of(fn), {}))

    def takes(self, future: Remote) -> bool:
        return isinstance(future, ClusterFuture) and future.executor.client is self.client

    def call(self, call: Call) -> ClusterFuture:
        future = ClusterFuture(self, call)
        if self.client.status != "running":
            raise self.broken()
        with self._lock:
            if self._shutdown:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._pending.add(future)
        try:
            future.send()
        except BaseException as error:
            self._pending.discard(future)
            if self.client.status != "running" and isinstance(error, Exception):
                raise self.broken() from error
            raise
        future.add_done_callback(self._pending.discard)
        return future

    def channel(self, options: Mapping[str, Any]) -> Channel:
        if options.get("retries"):
            raise ValueError("a generator task can't be retried, as its values are out: leave retries out")
        try:
            return ClusterChannel(self.client)
        except Exception as error:
            if self.client.status != "running":
                raise self.broken() from error
            raise

    def broken(self) -> BrokenCluster:
        """Note that the cluster is gone, and return the error that says so."""
        error = BrokenCluster(
            f"the connection to the cluster's scheduler was lost, or the client closed: {self.client!r}"
        )
        self._broken = error
        return error

    @override
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls.  The client and the cluster stay as they are.

        Args:
            wait: Return when the calls taken are done.
            cancel_futures: Ask the cluster to cancel them.
        """
        with self._lock:
            self._shutdown = True
            pending = self._pending.copy()
        for future in pending if cancel_futures else ():
            future.cancel()
        if wait:
            _wait(pending)


_wait = wait  # which is also the name of an argument
