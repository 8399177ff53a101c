"""The executor of a Dask cluster, and the futures of its calls: see ``smqexec.dask``.

A `ClusterFuture` is done when its value is at the cluster, where Dask's own future keeps the value, or when
the call has failed or was cancelled.  `ClusterFuture.result` fetches the value.  Dask calls
`ClusterFuture._end` in a thread of its own.  The thread of the client's event loop must not wait for the
cluster; all other threads ask the cluster by ``in_loop``.
"""

# What comes from Dask is Any, and Dask need not be there.
# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportUnknownParameterType=false

import operator
import threading
import uuid
from collections import deque
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import BrokenExecutor, CancelledError
from concurrent.futures import wait as wait_for
from contextlib import contextmanager, suppress
from functools import partial
from time import monotonic
from typing import Any, ClassVar

from distributed import Client
from distributed import Future as DaskFuture

from ..._calls.callables import name_of
from ..._futures.remote_value import Remote
from ..executors import Call, Engine, end_of
from ..receivers import Address, Receiver
from .transport import ClusterConnection, in_loop, pack, perform

# The result of a future whose value was not fetched.
_THERE: Any = object()
# A call of more bytes is sent to a worker, not with Dask's graph: Dask's scheduler keeps the graph as long as
# any value that was made from it.  Dask drops such a call, and what needs its value, with the worker, for one
# of the reasons LOST; then this process sends the call again, SENDINGS times in all.
LARGE, LOST, SENDINGS = 100_000, ("lost dependencies", "already forgotten"), 3
# Seconds of work to prefetch, the most calls, and how many ends measure the pace.  Without prefetch a worker
# waits 12 ms for the next call, as Dask's client sends every 10 ms, and longer on a busy machine.
PREFETCHED, MOST, RECENT = 0.1, 64, 16


class CallLost(RuntimeError):
    """The cluster has dropped a call or its value without being asked."""


class BrokenCluster(BrokenExecutor):
    """The connection to the cluster's scheduler was lost, or the client closed."""


class ClusterFuture(Remote):
    """A call on the cluster: done when its value is there.

    Only `result` fetches the value, once, and keeps it.  When the future is collected, the cluster drops the
    value.  The future can be an argument of a call on the same cluster, at any depth.  Any thread may use it,
    but the thread of the client's event loop can't fetch the value.
    """

    #: Dask's own future of the call.  Replaced by `send`.
    remote: DaskFuture

    def __init__(self, executor: "DaskExecutor", call: Call) -> None:
        super().__init__()
        self.executor = executor  # constant
        # The call, and a large one at a worker, until it is done; and how often it was sent.  Written by
        # `send`, and by `_end`, which Dask calls after that.
        self._call: Call | None = call
        self._large: DaskFuture | None = None
        self._sendings = 0
        # Held while the value replaces `_THERE` as the result.
        self._fetching = threading.Lock()
        # `cancel` was called.  Written by any thread.
        self._asked = False

    def running(self) -> bool:
        """Return True until the call is done: only the cluster knows whether it has begun."""
        return not self.done()

    def cancel(self) -> bool:
        """Ask the cluster not to make the call; return False, as a worker may be making it.

        The future is cancelled soon after, if the cluster agrees.  A call that runs goes on to its end, and
        its value is thrown away.
        """
        if not self.done():
            self._asked = True
            client = self.executor.client
            # In the loop: the calling thread may be Dask's, which waits for no answer.
            client.loop.add_callback(client.cancel, [self.remote])
        return self.cancelled()

    def result(self, timeout: float | None = None) -> Any:
        """Return the value, which is fetched on the first request.

        Args:
            timeout: Seconds to wait at most for the end of the call, and not for the value on its way; None
                for no limit.

        Raises:
            BrokenCluster: The value was lost with the cluster, or the client closed.
            CallLost: The cluster has dropped the call, or its value.
            CancelledError: The call was cancelled.
            TimeoutError: The call has not ended in time.
            RuntimeError: This is the thread of the client's event loop.
            BaseException: The call raised it.
        """
        super().result(timeout)
        with self._fetching:
            if self._result is _THERE:
                try:
                    self._result: Any = in_loop(self.executor.client, self.remote.result)
                except (CancelledError, ConnectionError) as error:
                    raise self.executor.lost(error) from error
            return self._result

    def send(self) -> None:
        """Submit the call; raise an exception as `DaskExecutor.submit` does."""
        call: Any = self._call
        client = self.executor.client
        self._sendings += 1
        packed, values = pack(client, call)
        if len(packed) > LARGE:
            scatter = partial(client.scatter, [packed], hash=False, workers=call.options.get("workers"))
            [self._large] = in_loop(client, scatter)
        # With another `fifo_timeout`, calls that come within that time have the same priority.
        self.remote = client.submit(
            perform, self._large or packed, *values,
            key=f"{call.name}-{uuid.uuid4()}", pure=False, fifo_timeout="0 s", **call.options,
        )  # fmt: skip
        self.remote.add_done_callback(self._end)
        if client.status != "running":  # if it closed before it had the call, Dask calls no `_end`
            raise ConnectionError

    def _end(self, remote: DaskFuture) -> None:
        """End this future as *remote*, Dask's own, has ended: the callback of *remote*."""
        client = self.executor.client
        try:
            if remote.status == "error":
                exception = in_loop(client, remote.exception)
                self.set_exception(exception.with_traceback(in_loop(client, remote.traceback)))
            elif remote.status != "cancelled":
                self.set_result(_THERE)
            elif self._asked:
                super().cancel()
                self.set_running_or_notify_cancel()
            else:
                in_loop(client, remote.result)  # raises the reason
        except Exception as error:  # the client may close meanwhile
            if self._sendings < SENDINGS and getattr(error, "reason", None) in LOST:
                with suppress(Exception):
                    self.send()
                    return
            self.set_exception(self.executor.lost(error))
        self.executor._ends.append(monotonic())
        self._call = self._large = None
        self._done_callbacks: list[Any] = []  # they refer to a queue

    def part(self, key: Any) -> "ClusterFuture":
        """Return the future of ``result[key]``, which the cluster computes."""
        return self.executor.submit(operator.getitem, self, key)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.remote.key} state={'finished' if self.done() else 'pending'}>"


class DaskExecutor(Engine):
    """An executor that makes its calls on a Dask cluster.

    For ``Queue(scheduler, executor=DaskExecutor(client))``: values go from call to call without coming to
    this process.  Also an executor of its own.  Any thread may use it.  Neither the end of the executor nor
    that of a queue closes the client.

    Args:
        client: A ``distributed.Client`` that is connected, and not asynchronous.

    Raises:
        TypeError: *client* is no ``distributed.Client``.
        ValueError: *client* is asynchronous, or not connected.
    """

    #: The options of Dask's ``Client.submit`` that ``queue.options()`` of a queue on this executor takes.
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
        self.client = client  # constant; any thread writes the other fields, without a lock
        # The calls at the cluster.
        self._pending: set[ClusterFuture] = set()
        # When the last calls ended.
        self._ends: deque[float] = deque(maxlen=RECENT)
        # For `end_of`: `shutdown` was called; the error of the cluster, once a call has found it lost.
        self._shutdown = False
        self._broken: BrokenCluster | None = None

    @property
    def prefetch(self) -> int:  # type: ignore[override]
        """How many calls may wait at busy workers: one, and as many as end in a tenth of a second."""
        ends = self._ends
        if len(ends) < 2:
            return 1
        return min(1 + int(PREFETCHED * (len(ends) - 1) / max(ends[-1] - ends[0], 1e-6)), MOST)

    @property
    def max_workers(self) -> int:  # type: ignore[override]
        """The number of threads of the cluster's workers now.  Cost: a request to its scheduler.

        Raises:
            ValueError: There is no worker.
        """
        threads: int = sum(self.client.nthreads().values())
        if not threads:
            raise ValueError(
                "the cluster has no worker yet: give max_workers, or call client.wait_for_workers(1) before"
            )
        return threads

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

    def ended(self) -> BaseException | None:
        return end_of(self)

    def explain(self, error: BaseException, fn: Any, args: Any, kwargs: Any) -> BaseException:
        return error  # `pack` has said why

    def call(self, call: Call) -> ClusterFuture:
        if self._shutdown:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future = ClusterFuture(self, call)
        with self._breaking():
            future.send()
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        return future

    def address(self, receiver: Receiver, options: Mapping[str, Any]) -> Address:
        if options.get("retries"):
            raise ValueError("a generator task can't be retried, as its values are out: leave retries out")
        with self._breaking():
            return ClusterConnection(self.client, receiver).address

    @contextmanager
    def _breaking(self) -> Generator[None]:
        """Raise `BrokenCluster` in place of an exception of a client that has lost its cluster."""
        try:
            yield
        except Exception as error:
            if self.client.status != "running":
                raise self.lost(error) from error
            raise

    def lost(self, error: BaseException) -> BaseException:
        """Return why Dask has cancelled a call with *error*; if the cluster is gone, record that."""
        if self.client.status == "running":
            return CallLost(str(error))
        lost = f"the connection to the cluster's scheduler was lost, or the client closed: {self.client!r}"
        self._broken = BrokenCluster(lost)
        return self._broken

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls.  The client and the cluster stay as they are.

        Args:
            wait: Return when the calls taken are done.
            cancel_futures: Ask the cluster to cancel these calls.
        """
        self._shutdown = True
        pending = self._pending.copy()
        for future in pending if cancel_futures else ():
            future.cancel()
        if wait:
            wait_for(pending)
