"""Other libraries behind one interface, each used as its documentation says.

A library is imported when its adapter is made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache
from importlib import import_module
from tempfile import TemporaryDirectory
from threading import Event, Lock
from typing import Any, NamedTuple

from smqexec import Queue, Scheduler

from .workloads import SLOTS


class Adapter:
    """What the benchmarks need of a library; these methods are for futures like the standard library's."""

    def submit(self, fn: Any, /, *args: Any) -> Any:
        """A future of ``fn(*args)``; the futures among *args* are replaced by their results."""
        raise NotImplementedError

    def results(self, final: Iterable[Any]) -> list[Any]:
        """Wait for the results of *final*."""
        return [future.result() for future in final]

    def notify(self, future: Any, tell: Callable[[Any], None]) -> None:
        """Have *tell* called once the result of *future* is there."""
        future.add_done_callback(tell)

    def occupy(self) -> bool:
        """Keep all slots busy until `release`; False where what is pending is not in this process."""
        GATE.clear()
        self.held = [self.submit(pass_gate) for _ in range(SLOTS)]
        return True

    def settle(self, tasks: int) -> None:
        """Return when *tasks* that were submitted are where they wait."""

    def release(self) -> None:
        GATE.set()
        self.results(self.held)

    def close(self) -> None:
        """End what was started."""


GATE = Event()


def pass_gate() -> int:
    GATE.wait()
    return 1


class Smqexec(Adapter):
    def __init__(self) -> None:
        self.queue = Queue(Scheduler(), SLOTS)
        self.submit = self.queue.submit  # type: ignore[method-assign]
        self.close = self.queue.shutdown  # type: ignore[method-assign]


class Callbacks(Adapter):
    """What one writes by hand: the last dependency's callback submits the call."""

    def __init__(self) -> None:
        self.pool: Any = ThreadPoolExecutor(SLOTS)

    def submit(self, fn: Any, /, *args: Any) -> Any:
        needed = [arg for arg in args if isinstance(arg, Future)]
        if not needed:
            return self.pool.submit(fn, *args)
        return Later(self.pool, fn, args, needed).outcome

    def close(self) -> None:
        self.pool.shutdown()


class Later:
    """A call that waits for futures."""

    def __init__(self, pool: Any, fn: Any, args: tuple[Any, ...], needed: list[Future[Any]]) -> None:
        self.pool, self.fn, self.args = pool, fn, args
        self.outcome: Future[Any] = Future()
        self.left = len(needed)
        self.lock = Lock()
        for future in needed:
            future.add_done_callback(self.count)

    def count(self, _: Future[Any]) -> None:
        with self.lock:
            self.left -= 1
            if self.left:
                return
        self.pool.submit(self.run)

    def run(self) -> None:
        try:
            values = [arg.result() if isinstance(arg, Future) else arg for arg in self.args]
            self.outcome.set_result(self.fn(*values))
        except BaseException as error:
            self.outcome.set_exception(error)


class Pebble(Callbacks):
    """It has no dependencies either."""

    def __init__(self) -> None:
        self.pool = import_module("pebble").ThreadPool(SLOTS)

    def close(self) -> None:
        self.pool.close()
        self.pool.join()


class Spdl(Callbacks):
    """Its priority pool has no dependencies; stages made later go first: here calls with dependencies."""

    def __init__(self) -> None:
        self.owner = import_module("spdl.pipeline").PriorityThreadPoolExecutor(max_workers=SLOTS)
        self.first, self.pool = self.owner.get_executor(), self.owner.get_executor()

    def submit(self, fn: Any, /, *args: Any) -> Any:
        if not any(isinstance(arg, Future) for arg in args):
            return self.first.submit(fn, *args)
        return super().submit(fn, *args)

    def close(self) -> None:
        self.owner.shutdown()


class MoreExecutors(Adapter):
    def __init__(self) -> None:
        self.library = import_module("more_executors")
        self.executor = self.library.Executors.thread_pool(max_workers=SLOTS)

    def submit(self, fn: Any, /, *args: Any) -> Any:
        if not any(isinstance(arg, Future) for arg in args):
            return self.executor.submit(fn, *args)
        futures = [arg if isinstance(arg, Future) else self.library.f_return(arg) for arg in args]
        together = self.library.f_zip(*futures)
        return self.library.f_flat_map(together, lambda values: self.executor.submit(fn, *values))

    def close(self) -> None:
        self.executor.shutdown()


class Parsl(Adapter):
    def __init__(self) -> None:
        parsl = import_module("parsl")
        threads = import_module("parsl.executors").ThreadPoolExecutor(max_threads=SLOTS)
        self.directory = TemporaryDirectory()
        self.kernel = parsl.load(
            parsl.Config(executors=[threads], run_dir=self.directory.name, strategy="none")
        )
        self.app = cache(parsl.python_app)

    def submit(self, fn: Any, /, *args: Any) -> Any:
        return self.app(fn)(*args)

    def close(self) -> None:
        self.kernel.cleanup()
        self.directory.cleanup()


class Dask(Adapter):
    """Nothing runs before the results are asked for: what is pending is the graph."""

    def __init__(self) -> None:
        dask = import_module("dask")
        self.compute, self.callback = dask.compute, import_module("dask.callbacks").Callback
        self.delayed = cache(lambda fn: dask.delayed(fn, pure=False))
        self.watched: dict[Any, Callable[[Any], None]] = {}

    def submit(self, fn: Any, /, *args: Any) -> Any:
        return self.delayed(fn)(*args)

    def results(self, final: Iterable[Any]) -> list[Any]:
        with self.callback(posttask=self.done) if self.watched else nullcontext():
            return list(self.compute(*final, scheduler="threads", num_workers=SLOTS))

    def done(self, key: Any, *_: Any) -> None:
        if key in self.watched:
            self.watched.pop(key)(key)

    def notify(self, future: Any, tell: Callable[[Any], None]) -> None:
        self.watched[future.key] = tell

    def occupy(self) -> bool:
        self.held = []
        return True


class Distributed(Adapter):
    def __init__(self) -> None:
        self.client = import_module("distributed").Client(
            processes=False, n_workers=1, threads_per_worker=SLOTS, dashboard_address=None,
            silence_logs=logging.ERROR,
        )  # fmt: skip

    def submit(self, fn: Any, /, *args: Any) -> Any:
        return self.client.submit(fn, *args, pure=False)

    def results(self, final: Iterable[Any]) -> list[Any]:
        return list(self.client.gather(list(final)))

    def settle(self, tasks: int) -> None:
        while len(self.client.cluster.scheduler.tasks) < tasks:
            Event().wait(0.01)

    def close(self) -> None:
        self.client.close()
        self.client.cluster.close()


class Ray(Adapter):
    def __init__(self) -> None:
        self.ray = ray = import_module("ray")
        ray.init(num_cpus=SLOTS, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        self.remote = cache(ray.remote)

    def submit(self, fn: Any, /, *args: Any) -> Any:
        return self.remote(fn).remote(*args)

    def results(self, final: Iterable[Any]) -> list[Any]:
        return list(self.ray.get(list(final)))

    def notify(self, future: Any, tell: Callable[[Any], None]) -> None:
        future.future().add_done_callback(tell)

    def occupy(self) -> bool:
        return False

    def close(self) -> None:
        self.ray.shutdown()


class Peer(NamedTuple):
    """How to get a library's adapter."""

    make: Callable[[], Adapter]
    module: str | None = None  # that it needs; None: only the standard library and ours
    package: str | None = None  # its name where it is installed from


PEERS = {
    "smqexec": Peer(Smqexec),
    "callbacks on ThreadPoolExecutor": Peer(Callbacks),
    "callbacks on pebble": Peer(Pebble, "pebble", "pebble"),
    "callbacks on SPDL's pool": Peer(Spdl, "spdl.pipeline", "spdl"),
    "more-executors": Peer(MoreExecutors, "more_executors", "more-executors"),
    "dask, threads": Peer(Dask, "dask", "dask"),
    "distributed, one process": Peer(Distributed, "distributed", "distributed"),
    "Parsl, threads": Peer(Parsl, "parsl", "parsl"),
    "Ray, local": Peer(Ray, "ray", "ray"),
}
