"""The end of the interpreter, and its double after a fork.

Most tests run a script in a process of its own, killed with all its children
at the deadline.  The last ones call on a scheduler of their own what the hooks
call, where every interleaving can be forced.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import sysconfig
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any
from weakref import WeakSet

import pytest
from gate import DEADLINE, Gate, occupy
from internals import abandon, core_of, lock_of, pool_of, process, state, state_of
from marks import slow_but
from programs import forks, run
from threads import beside

from smqexec import Queue, Scheduler, checkpoint

# What was submitted runs to its end


def test_everything_submitted_runs() -> None:
    """Also tasks of queues that were shut down, broke or are lost, and tasks with foreign dependencies."""
    outcome = run("""
        import logging
        logging.disable()
        scheduler = Scheduler()
        queues = [Queue(scheduler, 2) for _ in range(3)] + [Queue(1)]
        first = queues[0].submit(at_exit, 1)
        tasks = [queues[i % 4].submit(lambda i, _: say(i), i, first) for i in range(10)]
        last = first
        for i in range(20):
            last = queues[i % 4].submit(lambda x: x + 1, last)
        queues[0].submit(say, "chain", last)
        Queue(1).submit(lambda x: say("lost", x), Queue(1).submit(at_exit, "x"))
        closed = Queue(1)
        closed.submit(say, closed.submit(at_exit, "closed"))
        closed.shutdown(wait=False)
        broken = Queue(scheduler, 1, initializer=int, initargs=("x",)).submit(int)
        queues[0].submit(lambda task: say(type(task.exception()).__name__), settled(broken))
        queues[1].submit(say, ThreadPoolExecutor(1).submit(at_exit, "pool"))
        future = Future()
        queues[2].submit(say, future)
        threading.Thread(target=lambda: future.set_result(at_exit("thread"))).start()
        def block():
            with Queue(1) as queue:
                queue.submit(say, queue.submit(at_exit, "inside"))
                inside.set()
            say("after")
        inside = threading.Event()
        threading.Thread(target=block).start()
        inside.wait(DEADLINE)
        ordered = Queue(scheduler, 2, in_order=True)
        for i in range(20):
            ordered.submit(lambda i, _: done.append(i), i, first)
        done = []
        ordered.max_workers = 1
        ordered.submit(lambda: say("in order", done == list(range(20))))
    """)
    words = ["chain 21", "lost x", "closed", "BrokenThreadPool", "pool", "thread", "inside", "after"]
    assert sorted(outcome.lines) == sorted([*map(str, range(10)), *words, "in order True"])
    assert outcome.errors == ""


@pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")), reason="such builds end it late, with any executor"
)
@pytest.mark.parametrize("call", ["queue.submit(Frame)", "queue.submit(lambda frame: frame, Frame())"])
def test_object_of_a_module_s_own_class_ends_before_other_modules(call: str) -> None:
    """What was learned of its class keeps neither the class nor, by its methods, the names of the module."""
    outcome = run(f"""
        class Frame:
            def __del__(self):
                os.write(1, b"freed")
        queue = Queue(1)
        frame = {call}.result(DEADLINE)
    """)
    assert outcome.lines == ["freed"]


def test_late_task_makes_work_ready_for_an_idle_queue() -> None:
    """A thread may no more be started once the standard library's own hook has run, and on CPython
    3.12.0 and 3.12.1 as soon as the main thread has ended: a queue with something pending has one."""
    outcome = run("""
        scheduler = Scheduler()
        first, second = Queue(scheduler, 1), Queue(scheduler, 2)
        late = second.submit(lambda x: say("second", x), first.submit(at_exit, "x"))
        first.submit(lambda _: say("first again"), late)
        assert len(second._threads) == 1
    """)
    assert outcome.lines == ["second x", "first again"]
    assert outcome.errors == ""


@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
@pytest.mark.parametrize("block", ["Queue(1)", "Scheduler() as scheduler, Queue(scheduler, 1)"])
@pytest.mark.parametrize("ended", [False, True])
def test_interrupted_with_block(block: str, ended: bool) -> None:
    """In the block and at its end: pending tasks are cancelled, and the block waits for running tasks."""
    outcome = run(
        """
        gate, inside = Gate(), []
        def interrupt():
            until(lambda: inside or watchers_of(queue.scheduler))
            # Once: a second Ctrl-C leaves at once.
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        with WITH as queue:
            queue.submit(gate).add_done_callback(lambda _: say("ran"))
            gate.wait_entered()
            queue.submit(say, "pending").add_done_callback(lambda _: gate.open())
            threading.Thread(target=interrupt).start()
            until(lambda: ENDED or inside.append(True))  # not before the thread's start has returned
        """.replace("WITH", block).replace("ENDED", str(ended)),
        code=-signal.SIGINT,
    )
    assert outcome.lines == ["ran"]
    assert "KeyboardInterrupt" in outcome.errors


@pytest.mark.skipif(os.name != "posix", reason="ends by a signal")
@pytest.mark.parametrize("first", [True, False])
def test_interrupted_as_a_thread_is_started(first: bool) -> None:
    """KeyboardInterrupt goes to the caller and does not break the queue: the program ends by the signal."""
    outcome = run(
        """
        queue, struck, start = Queue(2), [], threading.Thread.start
        if not FIRST:
            gate, _ = occupy(queue)
            threading.Thread(target=lambda: (until(lambda: struck), gate.open())).start()
        def interrupted(thread):
            struck.append(signal.raise_signal(signal.SIGINT))
            start(thread)
        threading.Thread.start = interrupted
        try:
            queue.submit(int)
        except KeyboardInterrupt:
            say("interrupted")
            threading.Thread.start = start
            say(queue.submit(abs, -1).result(DEADLINE))
            raise
        """.replace("FIRST", str(first)),
        code=-signal.SIGINT,
    )
    assert outcome.lines == ["interrupted", "1"]
    assert "thread for queue" not in outcome.errors


# What is refused


def test_submitting_while_exiting() -> None:
    outcome = run("""
        def late():
            at_exit()
            until(lambda: state_of(queue).refusal)
            say(error_of(queue.submit, int))
            say(error_of(queue.submit, str, Future()))
            say(error_of(Queue(1).submit, int))
            say(error_of(queue.map, int, "1"))
        queue = Queue(1)
        queue.submit(late)
    """)
    words = "RuntimeError: cannot schedule new futures after interpreter shutdown"
    assert outcome.lines == [words] * 4


# A stopped scheduler


def cancelling(tasks: str) -> str:
    return f"cancelling {tasks} at exit: the scheduler is stopped\n"


def test_stopped_scheduler_cancels_what_is_pending_and_lets_running_tasks_finish() -> None:
    outcome = run("""
        scheduler = Scheduler()
        one, two = Queue(scheduler, 1), Queue(scheduler, 1)
        idle = Queue(1)
        idle.submit(int).result()
        idle.scheduler.stop()  # no task: it says nothing
        gate = Gate()
        running = one.submit(lambda: say(gate.enter() or at_exit("finished")))
        gate.wait_entered()
        scheduler.stop()
        tasks = [one.submit(say, "ran"), two.submit(say, running), two.submit(say, Future())]
        tasks.append(one.submit(abs, tasks[1]))
        for task in tasks:
            task.add_done_callback(lambda task: say("cancelled", task.cancelled()))
        gate.open()
    """)
    assert sorted(outcome.lines) == [*["cancelled True"] * 4, "finished"]
    assert outcome.errors == cancelling("4 pending tasks")


@pytest.mark.parametrize("thread", [False, True])
def test_stop_during_exit(thread: bool) -> None:
    """By a task, or by a thread: then no task runs that could notice it, and the dependency never ends."""
    outcome = run(f"""
        def stop():
            at_exit()
            queue.scheduler.stop()
        queue = Queue(1)
        other = Queue(queue.scheduler, 1)
        need = Future() if {thread} else queue.submit(stop)
        pending = [queue.submit(say, need), other.submit(say, need)]
        pending[0].add_done_callback(lambda task: say(task.cancelled()))
        if {thread}:
            threading.Thread(target=stop).start()
    """)
    assert outcome.lines == ["True"]
    assert outcome.errors == cancelling("2 pending tasks")


@pytest.mark.parametrize("order", ["", "queues.reverse()"])
def test_task_waits_for_one_of_a_stopped_scheduler(order: str) -> None:
    outcome = run(f"""
        queues = [Queue(1), Queue(1)]
        {order}
        queues[0].scheduler.stop()
        never = queues[0].submit(int)
        late = queues[1].submit(abs, never)
        late.add_done_callback(lambda task: say(task.cancelled()))
        queues[1].submit(say, settled(queues[1].submit(at_exit)))
    """)
    assert "True" in outcome.lines
    assert len(outcome.lines) == 2
    assert outcome.errors == cancelling("1 pending task")


# Fork

FORKED = "Forked: the queue was made before the fork, and its tasks are the parent's; make a new one"


@forks
def test_child_cannot_use_an_inherited_queue() -> None:
    """Nor wait for room in it."""
    outcome = run("""
        gate = Gate()
        queue, full = Queue(1), Queue(1, max_pending=1)
        queues = [queue, full, Queue(1, in_order=True), Queue(inline=True)]
        done, held, pending = queue.submit(int), queue.submit(gate), queue.submit(int)
        outside = Future()
        waiting = queue.submit(say, outside)
        full.submit(gate)
        gate.wait_entered(2)
        full.submit(say, "full")
        def child():
            for each in queues:
                say(error_of(each.submit, int))
                say(error_of(each.try_submit, int))
            say(error_of(queue.submit, str, held))
            say(error_of(pending.result))
            say(error_of(Queue(1).submit, str, pending))
            say(done.result(), held.done(), pending.cancel(), pending.promote())
            queue.scheduler.stop()
            queue.scheduler.resume()
            try:
                with queue: raise KeyboardInterrupt
            except KeyboardInterrupt: say("Ctrl-C")
            outside.set_result("in the child")
            queue.shutdown(cancel_futures=True)
            say(error_of(queue.submit, int))
            say(Queue(inline=True, max_pending=1).submit(int).result())
        say("code", in_child(child))
        outside.set_result("in the parent")
        gate.open()
    """)
    child, parent = outcome.lines[:15], outcome.lines[15:]
    assert child == [*[FORKED] * 11, "0 False False False", "Ctrl-C", FORKED, "0"]
    assert sorted(parent) == ["code 0", "full", "in the parent"]
    assert outcome.errors == ""


@forks
def test_child_leaves_an_inherited_with_block_and_exits() -> None:
    """Although the parent has pending tasks; those of a queue of its own run to their end."""
    outcome = run("""
        gate = Gate()
        queue, stopped = Queue(2), Queue(1)
        stopped.scheduler.stop()
        kept = [stopped.submit(int)]
        queue.submit(say, queue.submit(gate, "x"))
        with Scheduler() as scheduler, Queue(scheduler, 1) as inner:
            inner.submit(say, inner.submit(gate, "y"))
            gate.wait_entered(2)
            pid = os.fork()
            if pid:
                say("code", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                gate.open()
                stopped.scheduler.resume()
            else:
                limit(10)
        say("child" if pid == 0 else "parent")
        own = Queue(2)
        own.submit(say, own.submit(at_exit, f"exit {pid == 0}"))
    """)
    assert outcome.lines[:3] == ["child", "exit True", "code 0"]
    assert sorted(outcome.lines[3:]) == ["exit False", "parent", "x", "y"]
    assert outcome.errors == ""


@forks
def test_fork_while_other_threads_hold_locks() -> None:
    """A lock that another thread held at the fork stays locked in the child: so the child must need none."""
    outcome = run("""
        sys.setswitchinterval(1e-5)
        scheduler = Scheduler()
        queues = [Queue(scheduler, 2) for _ in range(3)]
        end = threading.Event()
        def feed(i):
            last = None
            while not end.is_set():
                last = queues[i].submit(lambda _: None, last)
                queues[i - 1].submit(int).cancel()
                if queues[i].counts()["waiting"] > 50:
                    last.result(DEADLINE)
                with Queue(scheduler, 1) as short:
                    short.submit(int)
        feeders = [threading.Thread(target=feed, args=(i,)) for i in range(3)]
        for feeder in feeders:
            feeder.start()
        def child():
            assert "before the fork" in error_of(queues[0].submit, int)
            queues[1].shutdown(cancel_futures=True)
            scheduler.shutdown()
            with Queue(2) as own:
                assert own.submit(pow, 2, 3).result(DEADLINE) == 8
        codes = [in_child(child) for _ in range(20)]
        end.set()
        for feeder in feeders:
            feeder.join(DEADLINE)
        say(set(codes))
        assert scheduler.wait(DEADLINE)
        say(queues[0].submit(pow, 2, 3).result(DEADLINE))
    """)
    assert outcome.lines == ["{0}", "8"]


@forks
@pytest.mark.parametrize("inline", [False, True])
def test_fork_inside_a_task(inline: bool) -> None:
    """The child waits in no task of the parent, and begins no worker of the parent's inline queues."""
    outcome = run(f"""
        queue = Queue(1, inline={inline})
        def task():
            if {inline}:
                Queue(queue.scheduler, inline=True).submit(say, "in the parent")
            queue.scheduler.stop()
            pid = os.fork()
            if pid == 0:
                limit(10)
                smqexec.checkpoint()  # nothing may ever resume the scheduler there
                gate, held = occupy(Queue(1), "child")
                threading.Timer(0.1, gate.open).start()
                say(held.result(DEADLINE))
                say(Queue(inline=True).submit(str, "inline").result(DEADLINE))
                say(error_of(queue.submit, int))
                queue.shutdown()
                os._exit(7)
            queue.scheduler.resume()
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        def outer():
            return queue.submit(task).result(DEADLINE)
        say(queue.submit(outer).result(DEADLINE))
        say(queue.submit(str, "parent").result(DEADLINE))
    """)
    assert outcome.lines == ["child", "inline", FORKED, *(["in the parent"] if inline else []), "7", "parent"]


@forks
def test_fork_inside_a_task_that_is_nested_in_a_wait_for_all() -> None:
    """The wait is over in the child."""
    outcome = run("""
        queue, pids = Queue(1), []
        def program():
            queue.submit(lambda: pids.append(os.fork()))
            error = error_of(queue.scheduler.wait)
            if not pids[0]:
                say(error)
                os._exit(7)
            return error, os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1])
        say(queue.submit(program).result(DEADLINE))
    """)
    assert outcome.lines == [FORKED, "(None, 7)"]


@forks
def test_fork_while_the_main_thread_masks_signals() -> None:
    """In the child, whose one thread is its main thread, all signals have their handlers again."""
    outcome = run("""
        from internals import lock_of
        from threads import beside, hold
        from smqexec._calls import interrupts
        def terminate(*_):
            say("terminated")
        def child():
            say(signal.getsignal(signal.SIGTERM) is terminate)
            signal.raise_signal(signal.SIGTERM)
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                say("Ctrl-C")
            with Queue(1) as own:  # masks them, too
                own.submit(say, "own").result(DEADLINE)
            signal.raise_signal(signal.SIGTERM)
            os._exit(7)
        def fork():
            until(lambda: interrupts._block)
            code = in_child(child)
            release()
            return code
        scheduler = Scheduler()
        signal.signal(signal.SIGTERM, terminate)
        release = hold(lock_of(scheduler))
        forked = beside(fork)
        scheduler.stop()  # waits for the lock
        say(forked.result(DEADLINE), signal.getsignal(signal.SIGTERM) is terminate)
    """)
    assert outcome.lines == ["True", "terminated", "Ctrl-C", "own", "terminated", "7 True"]


# The hooks, in this process


def finish(scheduler: Scheduler) -> None:
    """Do what the exit hook does, in another thread, with a deadline."""
    ending = core_of(scheduler).ending
    beside(lambda: (ending.close_at_exit(), ending.cancel_held(), ending.finish_at_exit())).result(DEADLINE)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    """A scheduler, the only one that the hooks know of."""
    scheduler = Scheduler()
    monkeypatch.setattr(process, "schedulers", {core_of(scheduler)})
    monkeypatch.setattr(state.State, "exiting", False)
    return scheduler


def test_stop_while_the_hook_cancels_warns_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one comes when the tasks were counted and none is cancelled yet."""
    scheduler = Scheduler(stopped=True)
    task = Queue(scheduler, 1).submit(int)
    seen: list[bool] = []

    def warn(*_: object) -> None:
        seen.append(task.cancelled())
        if len(seen) == 1:
            core_of(scheduler).ending.cancel_held()

    monkeypatch.setattr(logging.getLogger("smqexec"), "warning", warn)
    finish(scheduler)
    assert seen == [False]
    assert task.cancelled()


def test_stop_at_exit_cancels_what_comes_after_one_that_found_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scheduler = Scheduler(stopped=True)
    queue = Queue(scheduler, 1)
    core_of(scheduler).ending.cancel_held()
    task = queue.submit(int)
    with monkeypatch.context() as patch:
        patch.setattr(state.State, "exiting", True)
        scheduler.stop()
    assert task.cancelled()
    finish(scheduler)


def test_pending_and_paused_tasks_are_cancelled_at_exit(caplog: pytest.LogCaptureFixture) -> None:
    scheduler = Scheduler()
    queue = Queue(scheduler, 1)
    gate = Gate()
    paused = queue.submit(lambda: gate.enter() or checkpoint())
    gate.wait_entered()
    pending = queue.submit(int)
    scheduler.stop()
    gate.open()
    scheduler.stop(wait=True)
    finish(scheduler)
    for task in (paused, pending):
        with pytest.raises(CancelledError):
            task.result(DEADLINE)
    assert caplog.messages == ["cancelling 2 pending tasks at exit: the scheduler is stopped"]


def test_scheduler_that_is_freed_as_the_hooks_go_over_all(
    alone: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another thread: before CPython 3.14 a WeakSet can't be gone through meanwhile."""

    class Shrinking(WeakSet[Any]):
        going = False

        def __iter__(self) -> Iterator[Any]:
            self.going, first = True, not self.going
            for member in super().__iter__():
                yield member
                if first:
                    raise RuntimeError("Set changed size during iteration")

    monkeypatch.setattr(process, "schedulers", Shrinking([core_of(alone)]))
    queue = Queue(alone, 1)
    process._at_exit()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after interpreter shutdown"):
        queue.submit(int)
    alone.shutdown()


def test_abandoned_scheduler_needs_no_lock_that_was_held() -> None:
    scheduler = Scheduler()
    queue, closed = Queue(scheduler, 2), Queue(scheduler, 1)
    closed.shutdown(wait=False)
    gate = Gate()
    held, failing = queue.submit(gate, "x"), queue.submit(lambda: gate.enter() or 1 // 0)
    gate.wait_entered(2)
    pending = queue.submit(int)
    outside: Future[int] = Future()
    waiting = queue.submit(abs, outside)
    lock_of(scheduler).acquire()  # never released, as in a child
    pool = pool_of(queue)
    pool._shutdown_lock.acquire()
    abandon(scheduler)
    calls = [partial(each.submit, abs, pending) for each in (queue, closed, Queue(1))]
    for call in (*calls, partial(held.result, DEADLINE), partial(scheduler.wait, DEADLINE)):
        with pytest.raises(RuntimeError, match="the queue was made before the fork"):
            call()
    outside.set_result(1)
    scheduler.stop()
    scheduler.resume()
    assert not waiting.done()
    assert not pending.cancel()
    assert not pending.promote()
    queue.shutdown(cancel_futures=True)
    scheduler.shutdown()
    assert not pending.done()
    # The threads that are at work here end with their tasks.
    pool._shutdown_lock.release()
    gate.open()
    pool.shutdown()
    assert not held.done() and not failing.done()


def test_thread_that_has_not_begun_leaves_an_abandoned_scheduler() -> None:
    gate = Gate()
    queue = Queue(1, initializer=gate.enter)
    task = queue.submit(int)
    gate.wait_entered()
    abandon(queue)
    gate.open()
    pool_of(queue).join(wait=True)
    assert state_of(queue).done == 0 and not task.done()


def test_abandoned_scheduler_starts_nothing() -> None:
    """No future that ends makes a task ready, no resume starts a thread, and no task is a dependency.

    Shutdown of a queue without threads needs no lock of its pool.
    """
    scheduler = Scheduler(stopped=True)
    outside: Future[int] = Future()
    queue = Queue(scheduler, 1)
    queue.submit(str, outside)
    task = queue.submit(int)
    abandon(scheduler)
    outside.set_result(1)
    scheduler.resume()
    assert (state_of(queue).waiting, state_of(queue).ready) == (1, 1)
    assert not queue._threads
    with Queue(1) as own, pytest.raises(RuntimeError, match="before the fork"):
        own.submit(str, task)
    with pytest.raises(RuntimeError, match="before the fork"):
        Queue(scheduler, 1).submit(int)
    with pool_of(queue)._shutdown_lock:
        beside(queue.shutdown).result(DEADLINE)


@pytest.mark.parametrize("where", ["before", "before our hook", "while it waits"])
def test_interrupted_exit_cancels_what_is_pending(
    where: str, alone: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue(alone, 1)
    gate, held = occupy(queue)
    pending = queue.submit(int)
    pending.add_done_callback(lambda _: gate.open())
    finish = core_of(alone).ending.finish_at_exit
    raised: list[int] = []

    def interrupted() -> None:
        if where == "while it waits" and not raised:
            raised.append(1)
            raise KeyboardInterrupt
        finish()

    monkeypatch.setattr(core_of(alone).ending, "finish_at_exit", interrupted)
    last = KeyboardInterrupt if where == "before" else ValueError
    monkeypatch.setattr(sys, "last_type", last, raising=False)
    if where != "before our hook":
        process._at_exit()
    process._at_exit_if_interrupted()
    assert pending.cancelled() and held.done()
    alone.shutdown()


@forks
@pytest.mark.parametrize("third", slow_but(0, range(3)))
def test_ctrl_c_at_any_line_of_the_exit(third: int) -> None:
    """The first Ctrl-C, at any line, cancels pending tasks; running tasks end."""
    outcome = run(
        """
        import tempfile
        from queue import SimpleQueue
        from internals import Waiter
        from strikes import Strike

        def main():
            queue, told, sleep = Queue(1), SimpleQueue(), Waiter.sleep
            def long():
                told.get(timeout=DEADLINE)
                say("ended" if strike.struck else "not struck")
            # Ctrl-C strikes no line from `put` on until all has ended.
            Waiter.sleep = lambda *args: told.put(None) or sleep(*args)
            queue.submit(long)
            until(lambda: queue.counts()["running"])
            queue.submit(int).cancel()  # not counted
            pending = [queue.submit(int) for _ in range(2)]
            pending[0].add_done_callback(lambda task: task.cancelled() and told.put(None))
            threading._register_atexit(strike.begin)

        # Our hook begins at line 10 or so, and waits at 300.
        for step in [*range(1 + THIRD, 40, 3), *range(40 + 11 * THIRD, 2000, 33)]:
            files = threading.__file__, os.path.dirname(smqexec.__file__)
            strike = Strike(step, *files, spared=("waiter.py",))
            with tempfile.TemporaryFile() as log:
                pid = os.fork()
                if not pid:
                    limit(20)
                    os.dup2(log.fileno(), 2)
                    main()
                    sys.exit()
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                log.seek(0)
                if code or b"cancelled 2 tasks at exit, as Ctrl-C was pressed" not in log.read():
                    break
        say(step)
        """.replace("THIRD", str(third))
    )
    *ended, last, steps = outcome.lines
    assert set(ended) == {"ended"} and last == "not struck", steps
    assert int(steps) > 100


def test_interrupted_shutdown_at_the_end_of_a_with_block() -> None:
    """As with Ctrl-C in its wait, but without a signal."""

    class Interrupted(Queue):
        calls = 0

        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            self.calls += 1
            if self.calls == 1:
                raise KeyboardInterrupt
            super().shutdown(wait, cancel_futures=cancel_futures)

    gate = Gate()
    with pytest.raises(KeyboardInterrupt), Interrupted(1) as queue:
        held = gate.hold(queue, "ran")
        pending = queue.submit(int)
        pending.add_done_callback(lambda _: gate.open())
    assert pending.cancelled()
    assert held.result(0) == "ran"


def test_second_interruption_of_the_exit_leaves_at_once(
    alone: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the standard library; the last hook does not wait then either."""
    asked: list[int] = []

    def interrupted() -> None:
        asked.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(core_of(alone).ending, "finish_at_exit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        process._at_exit()
    process._at_exit_if_interrupted()
    assert len(asked) == 2


@pytest.mark.skipif((3, 12) <= sys.version_info < (3, 12, 2), reason="CPython 3.12.1 starts no late thread")
def test_queue_without_threads_at_exit() -> None:
    """Tasks that another thread makes ready run; tasks that a stop holds are cancelled."""
    outcome = run("""
        scheduler = Scheduler()
        threads, queue = Queue(scheduler, 1), Queue(scheduler, inline=True)
        queue.submit(say, threads.submit(at_exit, "done"))
        stopped = Scheduler(stopped=True)
        held = Queue(stopped, inline=True).submit(say, "held")
        held.add_done_callback(lambda task: say("cancelled", task.cancelled()))
    """)
    assert sorted(outcome.lines) == ["cancelled True", "done"]
