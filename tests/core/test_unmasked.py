"""The user's calls run with Ctrl-C as it is: it strikes there, and a handler that they set stays."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engines import Manual
from gate import DEADLINE, occupy
from internals import blocked_on, paused_in, searches, state_of, waiters_of, watchers_of
from strikes import handling
from threads import beside, planned, until

import smqexec
from smqexec import Queue, Scheduler


@pytest.fixture(autouse=True)
def handler() -> Iterator[Callable[..., Any]]:
    """A handler of the user's, set for the test."""

    def strike(*_: object) -> None:
        raise KeyboardInterrupt

    with handling(signal.SIGINT, strike):
        yield strike


def another(*_: object) -> None:
    """Another handler, which a call of the user's sets."""


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs pthread_kill")
@pytest.mark.parametrize("kind", ["one", "several", "all", "observer", "inline", "pause", "yield", "room"])
def test_ctrl_c_ends_a_wait_at_once_and_leaves_no_record(kind: str) -> None:
    with (
        planned(1) as (scheduler, queue),
        Queue(scheduler, inline=True) as inline,
        planned(1) as (other, observed),
    ):
        gate, task = occupy(queue)
        other.observe(lambda event: event.kind == "submit" and task.result(DEADLINE))
        full = Queue(scheduler, 1, max_pending=1)
        pending = full.submit(str, task)
        calls: dict[str, Callable[[], Any]] = {
            "one": lambda: task.result(DEADLINE),
            "several": lambda: smqexec.wait([task], DEADLINE),
            "all": lambda: scheduler.wait(DEADLINE),
            "observer": lambda: observed.submit(int),
            "inline": lambda: inline.submit(task.result, DEADLINE).result(),
            "pause": lambda: inline.submit(lambda: scheduler.stop() and smqexec.checkpoint()).result(),
            "yield": lambda: inline.submit(values).result(),
            "room": lambda: full.submit(str, 1),
        }

        def values() -> Iterator[Any]:
            yield scheduler.stop()

        def records() -> list[Any]:
            others = [*watchers_of(scheduler), *paused_in(scheduler), *state_of(full).pending_limit._waiting]
            return [*blocked_on(task), *waiters_of(task), *others]

        def strike_once(*_: object) -> None:
            if not struck:
                struck.append(True)
                raise KeyboardInterrupt

        def press() -> None:
            until(records)
            while not over.wait(0.01):  # a signal just before the thread sleeps does not wake it
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        struck: list[bool] = []
        over = threading.Event()
        signal.signal(signal.SIGINT, strike_once)
        pressing, before = beside(press), time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            calls[kind]()
        over.set()
        assert time.monotonic() - before < DEADLINE / 4
        pressing.result(DEADLINE)
        assert not task.done() and not records() and not searches
        scheduler.resume()
        gate.open()
        assert pending.result(DEADLINE) == "None"
        assert full.options(timeout=0).submit(str, 2).result(DEADLINE) == "2"


@pytest.mark.parametrize("call", ["callback", "submit of an executor"])
def test_call_sees_the_users_handler_and_may_set_another(call: str, handler: Callable[..., Any]) -> None:
    seen: list[Any] = []

    def look(*_: object) -> None:
        seen.append(signal.getsignal(signal.SIGINT))
        signal.signal(signal.SIGINT, another)

    engine: Any = Manual()
    submit = engine.submit
    engine.submit = lambda *args: (look(), submit(*args))[1]
    with Scheduler(stopped=True) as scheduler:
        queue = Queue(scheduler, 1, executor=None if call == "callback" else engine)
        task = queue.submit(abs, -1)
        if call == "callback":
            task.add_done_callback(look)
            assert task.cancel()
        scheduler.resume()
        engine.run_all()
    assert seen == [handler]
    assert signal.getsignal(signal.SIGINT) is another


def test_ctrl_c_in_a_callback_reaches_the_caller_after_the_other_callbacks() -> None:
    told: list[str] = []

    def callback(_: object) -> None:
        signal.raise_signal(signal.SIGINT)
        told.append("not struck")

    with Scheduler(stopped=True) as scheduler:
        queue = Queue(scheduler, 1)
        task = queue.submit(int)
        task.add_done_callback(callback)
        task.add_done_callback(lambda _: told.append("second"))
        with pytest.raises(KeyboardInterrupt):
            task.cancel()
        assert told == ["second"]
        assert task.cancelled()
        scheduler.resume()
        assert queue.submit(int).result(DEADLINE) == 0
