"""The end of the interpreter, a fork and Ctrl-C, with queues on an executor."""

from __future__ import annotations

import gc
import signal
import threading
import weakref
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import Any

import pytest
from engines import Inline, Manual, manual
from gate import DEADLINE
from generating import count
from programs import forks, run
from threads import until_gone, without_collector

from smqexec import Queue, Scheduler

POOL = """
        import multiprocessing, remote_calls
        from concurrent.futures import ProcessPoolExecutor
        pool = ProcessPoolExecutor(2, multiprocessing.get_context("forkserver"))
        queue = Queue(Scheduler(), executor=pool)
"""


def test_everything_submitted_runs_at_exit() -> None:
    """The exit hook of the pool refuses calls; ours comes before it."""
    outcome = run(f"""{POOL}
        here = Queue(queue.scheduler, 1)
        film = queue.submit(remote_calls.numbers, 3)
        film[0].result(DEADLINE)  # CPython 3.12.1 starts no thread for it once the main thread has ended
        total = queue.submit(sum, [queue.submit(pow, n, 2) for n in range(50)])
        here.submit(lambda total, film: say(total, len(film)), total, film)
    """)
    assert outcome.lines == [f"{sum(n * n for n in range(50))} 3"]
    assert outcome.errors == ""


def test_loky_that_has_not_begun_gets_no_call_at_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loky(Inline):
        _executor_manager_thread: Any = None
        _flags = object()

    Loky.__name__ = "ProcessPoolExecutor"
    loky = Loky()
    with Queue(1, executor=loky) as queue:
        monkeypatch.setattr(threading, "_SHUTTING_DOWN", True)
        loky._executor_manager_thread = object()
        assert queue.submit(abs, -1).result(DEADLINE) == 1
        loky._executor_manager_thread = None
        with pytest.raises(RuntimeError, match="after interpreter shutdown"):
            queue.submit(abs, -1).result(DEADLINE)
        monkeypatch.undo()


def test_shutdown_cancels_calls_that_the_executor_has_not_begun() -> None:
    with manual(2) as (_, engine, queue):
        tasks = [queue.submit(abs, -n) for n in range(3)]
        tasks.append(queue.submit(abs, tasks[1]))
        engine.calls[0][0].set_running_or_notify_cancel()
        queue.shutdown(wait=False, cancel_futures=True)
        assert [task.cancelled() for task in tasks] == [False, True, True, True]
        engine.calls[0][0].set_result(7)
        assert tasks[0].result(DEADLINE) == 7


def test_stopped_scheduler_cancels_at_exit() -> None:
    outcome = run(f"""{POOL}
        film = queue.submit(remote_calls.endless, os.devnull)
        film[2].result(DEADLINE)
        queue.scheduler.stop(wait=True)
        late = queue.submit(abs, -1)
        film.add_done_callback(lambda film: say("film", film.cancelled()))
        late.add_done_callback(lambda late: say("late", late.cancelled()))
    """)
    assert sorted(outcome.lines) == ["film True", "late True"]
    assert "cancelling 2 pending tasks at exit" in outcome.errors


def test_interpreter_exits_after_its_pool_broke() -> None:
    outcome = run(f"""{POOL}
        tasks = [queue.submit(remote_calls.die) for _ in range(9)]
        tasks[0].add_done_callback(lambda task: say(type(task.exception()).__name__))
    """)
    assert outcome.lines == ["BrokenProcessPool"]


def test_exit_hook_is_entered_again_only_after_the_hook_of_another_module() -> None:
    """Loky enters its hook at the first call."""
    hooks: Any = threading._threading_atexits  # type: ignore[attr-defined]
    with Queue(1, executor=Inline()) as queue:
        before = len(hooks)
        assert queue.submit(abs, -1).result(DEADLINE) == 1
        assert len(hooks) == before
        threading._register_atexit(int)  # type: ignore[attr-defined]
        for _ in range(2):
            assert queue.submit(abs, -1).result(DEADLINE) == 1
            assert len(hooks) == before + 2
        threading._register_atexit(int)  # type: ignore[attr-defined]
    with Queue(1, executor=Inline()):
        assert len(hooks) == before + 4


@forks
def test_child_cannot_use_an_inherited_queue() -> None:
    outcome = run("""
        from engines import Manual
        from generating import count
        engine = Manual()
        queue = Queue(1, executor=engine)
        task = queue.submit(abs, -1)
        film = Queue(1, executor=ThreadPoolExecutor(1)).submit(iter, (1,))
        def child():
            say(error_of(queue.submit, int))
            say(error_of(task.result))
            engine.run()
            say(task.cancel())
            queue.shutdown()
            with ThreadPoolExecutor(1) as pool, Queue(executor=pool) as other:
                say(other.submit(count, 3).result(DEADLINE))
        say("code", in_child(child))
        engine.run()
        say(task.result(DEADLINE))
    """)
    forked = "Forked: the queue was made before the fork, and its tasks are the parent's; make a new one"
    assert outcome.lines == [forked, forked, "False", "[0, 1, 2]", "code 0", "1"]
    assert outcome.errors == ""


def test_ctrl_c_interrupts_the_submit_of_the_executor() -> None:
    class Interrupted(Manual):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            if fn is abs:
                signal.raise_signal(signal.SIGINT)
            return super().submit(fn, *args, **kwargs)

    with manual(1, engine=Interrupted()) as (_, engine, queue):
        with pytest.raises(KeyboardInterrupt):
            queue.submit(abs, -1)
        assert (queue.counts()["failed"], engine.calls) == (1, [])
        task = queue.submit(int, "2")
        engine.run()
        assert task.result(DEADLINE) == 2


def test_ctrl_c_at_a_value_of_a_generator_leaves_the_submit_of_the_executor() -> None:
    class Direct(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_result(fn(*args, **kwargs))
            return future

    with manual(1, engine=Direct()) as (scheduler, _, queue):
        scheduler.observe(lambda event: event.kind == "item" and signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            queue.submit(count, 2)
        assert queue.counts()["failed"] == 1


def test_ctrl_c_in_a_with_block_cancels_running_calls() -> None:
    engine = Manual()
    with suppress(KeyboardInterrupt), Queue(1, executor=engine, prefetch=1) as queue:
        tasks = [queue.submit(abs, -n) for n in range(3)]
        raise KeyboardInterrupt
    assert all(task.cancelled() for task in tasks)


class Value:
    pass


@pytest.mark.parametrize("end", ["result", "failure", "refusal"])
def test_nothing_keeps_arguments_and_results(end: str) -> None:
    class Refusing(Manual):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            if fn is abs or end != "refusal":
                return super().submit(fn, *args, **kwargs)
            del fn, args, kwargs
            raise OSError("no room")

    with without_collector(), manual(1, engine=Refusing()) as (_, engine, queue):
        queue.submit(abs, -1)
        value = Value()
        task = queue.submit(lambda _: Value(), value)
        gone = [weakref.ref(value), weakref.ref(task)]
        del value
        engine.run()  # the next call is submitted then
        if end == "result":
            engine.run()
            gone.append(weakref.ref(task.result(DEADLINE)))
        elif end == "failure":
            engine.calls.pop()[0].set_exception(ValueError("of the call"))
        error = task.exception(DEADLINE)
        del task
        until_gone(*gone)
        assert (error is None) == (end == "result")


def test_nothing_keeps_a_result_while_the_next_call_runs_inside_submit() -> None:
    made: list[Any] = []

    def make() -> Value:
        value = Value()
        made.append(weakref.ref(value))
        return value

    with without_collector(), Queue(1, executor=Inline()) as queue:
        with queue.scheduler.stop():
            queue.submit(make)
            alive = queue.submit(lambda: made[0]())
        assert alive.result(DEADLINE) is None


def test_nothing_keeps_a_lost_queue_its_scheduler_and_its_executor() -> None:
    engine = Manual()
    queue = Queue(1, executor=engine)
    queue.submit(abs, -1)
    engine.run()
    gone = [weakref.ref(queue), weakref.ref(queue.scheduler), weakref.ref(engine)]
    del queue, engine
    gc.collect()
    until_gone(*gone)


@pytest.mark.parametrize("pending", [False, True])
@pytest.mark.parametrize("closed", [False, True])
def test_scheduler_does_not_keep_the_executor_of_an_ended_queue(closed: bool, pending: bool) -> None:
    need: Future[int] = Future()
    with without_collector(), Scheduler() as scheduler:
        engine = Manual()
        queue = Queue(scheduler, 1, executor=engine)
        task = queue.submit(abs, need if pending else -1)
        if not pending:
            engine.run()
        gone: list[Any] = [weakref.ref(engine)]
        if closed:  # then the queue itself keeps it neither
            queue.shutdown(wait=False)
        else:
            gone.append(weakref.ref(queue))
            del queue
        if pending:
            need.set_result(-1)
            engine.run()
        assert task.result(DEADLINE) == 1
        del engine
        until_gone(*gone)
        assert scheduler.counts()["done"] == 1
