"""How queues end: by shutdown, Ctrl-C, the interpreter's exit, or a fork; and waits that can't end.

A queue is *closed* first: `submit` refuses.  Then it is *drained*: the caller waits until no task of the
queue is pending or running.  Then its threads are joined.  No method is called under the lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from ._calls.interrupts import LOGGER
from ._core.queue_state import EXITING, FORKED, SHUT_DOWN, QueueState
from ._core.state import State
from ._core.termination import Termination
from ._futures.names import counted
from ._observe import why
from ._observe.events import Observers
from ._workers.stall import stalled
from ._workers.waiting import Waiting, at_work


class Ending:
    """How the queues of a scheduler end."""

    def __init__(self, core: State, termination: Termination, waiting: Waiting) -> None:
        # Constant: the state, and the parts that this one calls.
        self._core = core
        self._termination = termination
        self._waiting = waiting
        # The interpreter exits, and the tasks that a stop held back are being cancelled.  Under the lock.
        self._cancels_held = False

    # Waits.

    def warn_if_stalled(self, awaited: Any, elsewhere: bool = False) -> bool:
        """Return True if nothing runs and nothing can start, after logging why a wait may never end.

        Args:
            awaited: A future; or words for what is awaited.
            elsewhere: Also warn if only futures of other executors may still come.
        """
        schedulers = stalled(self._core, elsewhere)
        if not schedulers:
            return False
        reasons = [why.overview(self._core) if isinstance(awaited, str) else awaited.why()]
        reasons += [why.overview(other) for other in schedulers[1:]]
        message = "waiting for %s, but nothing runs and nothing can start: %s"
        LOGGER.warning(message, awaited, "\n".join(reasons))
        return True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is pending or running but tasks that wait here; return False after *timeout*."""
        return self._waiting.until(self._idle, timeout, warn=partial(self.warn_if_stalled, "all tasks"))

    def _idle(self) -> bool:
        """Return True if nothing is pending, nor running but tasks that wait for this.  The lock is held."""
        running = sum(queue.running for queue in self._core.queues)
        if running != len(self._core.waiting_tasks()):
            return False
        return not any(queue.pending for queue in self._core.queues)

    # Shutdown and Ctrl-C.

    def shutdown(self, queue: QueueState, wait: bool, cancel_futures: bool) -> None:
        """Do what `Queue.shutdown` does."""
        self.close(queue)
        if cancel_futures:
            self._termination.cancel_pending(queue)
        if wait and self._drain(queue):
            queue.pool.join(wait=True)

    def close(self, queue: QueueState, why: str = SHUT_DOWN) -> None:
        """Take no more tasks: `submit` says *why*.  The workers leave once nothing is pending."""
        core = self._core
        if core.deferred(self.close, queue, why):
            return
        with core.exclusive() as section:
            if queue.refusal is None:
                queue.refuse(RuntimeError(why))
            # Idle workers leave now; others as they find that the queue ends.  The last one ends the pool; a
            # queue without workers has no last one.
            if queue.ending:
                queue.wake_idle()
            if not queue.workers and queue.ending:
                section.then(queue.pool.join, False)

    def _drain(self, queue: QueueState) -> bool:
        """Wait until nothing of *queue* is pending or running.

        Returns:
            False in a forked child, where the pool has no threads, and its locks may be held for ever.

        Raises:
            RuntimeError: Called from a task of *queue*.
        """

        def drained() -> bool:
            return not queue.waiting and not queue.ready and not queue.running

        with self._core.exclusive():
            if self._core._abandoned:
                return False
            # The calling task would wait for its own end.
            if at_work(self._core, queue):
                raise RuntimeError("a task of a queue cannot await its shutdown: call shutdown(wait=False)")
        warn = partial(self.warn_if_stalled, f"the end of queue {queue.name}", True)
        return self._waiting.until(drained, queue=queue, warn=warn)

    def interrupt(self, queues: Iterable[QueueState] | None = None) -> None:
        """Cancel what is pending, and ask what runs to end; in *queues*, or all."""
        with self._core.exclusive():
            interrupted = list(self._core.queues if queues is None else queues)
        self._cancel(interrupted)
        # After the pending tasks: so the end of a running task lets none of them begin.
        with self._core.exclusive():
            running = [task for queue in interrupted for task in queue.running_tasks()]
        for task in running:
            task.cancel()
        self._cancel(interrupted)  # tasks that running tasks have submitted meanwhile

    def _cancel(self, queues: Iterable[QueueState]) -> None:
        for queue in queues:
            self._termination.cancel_pending(queue)

    # Interpreter exit, in this order.

    def close_at_exit(self) -> None:
        """Take no more tasks.  The workers leave once nothing is pending."""
        for queue in list(self._core.queues):
            self.close(queue, EXITING)

    def cancel_held(self) -> None:
        """Cancel the tasks that a stop holds: at exit nothing may resume the scheduler any more."""
        core = self._core
        with core.exclusive():
            queues = list(core.queues)
            if not core.stopped or self._cancels_held:
                return
            paused = list(core.paused)
            held = sum(queue.pending for queue in queues) + len(paused)
            self._cancels_held = held > 0  # another `stop` meanwhile logs no second warning
        if held:
            tasks = counted(held, "pending task")
            LOGGER.warning("cancelling %s at exit: the scheduler is stopped", tasks)
            self._cancel(queues)
            for task in paused:
                task.cancel()

    def finish_at_exit(self) -> None:
        """Wait until nothing is pending or running; cancel what can never start."""
        warned = False

        def warn() -> bool:
            nonlocal warned
            if stalled(self._core):
                warned = True
                self._cancel_stalled()
            elif not warned and stalled(self._core, elsewhere=True, endless=True):
                warned = True
                message = "the interpreter's exit waits for what may never end: %s"
                LOGGER.warning(message, why.overview(self._core))
            return False  # ask again: the awaited end may come, and other tasks be stalled then

        self._waiting.until(self._idle, warn=warn)

    def _cancel_stalled(self) -> None:
        with self._core.exclusive():
            queues = list(self._core.queues)
            count = sum(queue.pending for queue in queues)
        if count:
            message = "cancelling %s at exit, as nothing runs and nothing can start: %s"
            LOGGER.warning(message, counted(count, "pending task"), why.overview(self._core))
            self._cancel(queues)

    def join(self) -> None:
        """Wait until the threads of all queues have ended."""
        for queue in list(self._core.queues):
            self.shutdown(queue, wait=True, cancel_futures=False)

    # Fork.

    def abandon(self) -> None:
        """Refuse everything: this is a forked child, and the threads, and so the tasks, are the parent's."""
        self._core.lock = threading.RLock()  # a thread of the parent may have held the old one
        self._core._abandoned = True
        for queue in self._core.queues:
            queue.update_rules()
            if queue.refusal is None:
                queue.refuse(RuntimeError(FORKED))
        self._core.observers = Observers()
        self._core.condition_waiters.clear()


def leave(
    kind: type[BaseException] | None, shut_down: Callable[[], None], interrupt: Callable[[], None]
) -> None:
    """Leave a ``with`` block that ended with an exception of *kind*, or with none.

    Ctrl-C, in the block or in the wait at its end, cancels what is pending; then the block waits for what
    runs.
    """
    if kind is not None and issubclass(kind, KeyboardInterrupt):
        interrupt()
    try:
        shut_down()
    except KeyboardInterrupt:
        interrupt()
        shut_down()
        raise
