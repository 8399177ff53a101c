"""How queues end: by shutdown, Ctrl-C or the interpreter's exit; and waits that can't end.

A queue is *closed* first: `submit` refuses.  Then the caller waits until no task of the queue is pending or
running, and joins its threads.  No method but `_idle` and `_held` is called under the lock.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

from ._calls.interrupts import LOGGER
from ._core.exclusive import Forked
from ._core.queue_state import EXITING, SHUT_DOWN, QueueState
from ._core.state import State
from ._futures.names import counted
from ._observe import why
from ._workers.stall import stalled
from ._workers.waiting import at_work

Queues: TypeAlias = Sequence[QueueState] | None  # None: all of the scheduler


class Ending:
    def __init__(self, core: State) -> None:
        self._core = core  # constant
        # The tasks that a stop held at exit are being cancelled.  Under the lock.
        self._cancels_held = False

    def warn_if_stalled(self, awaited: Any, elsewhere: bool = False, over: Callable[[], bool] = bool) -> bool:
        """Return True if nothing runs and nothing can start, after logging why a wait may never end.

        *awaited*: a future, or words.  *elsewhere*: also warn if only futures of other executors may come.
        """
        schedulers = stalled(self._core, elsewhere)
        if not schedulers or over():  # what ran may have ended before that look: then the wait is over
            return False
        reasons = [why.overview(self._core) if isinstance(awaited, str) else awaited.why()]
        reasons += [why.overview(other) for other in schedulers[1:]]
        message = "waiting for %s, but nothing runs and nothing can start: %s"
        LOGGER.warning(message, awaited, "\n".join(reasons))
        return True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is pending or running but tasks that wait here; return False after *timeout*."""
        warn = partial(self.warn_if_stalled, "all tasks")
        return bool(self._core.waiting.until(self._idle, warn, timeout))

    def _idle(self) -> bool:
        """Return True if nothing is pending, nor running but tasks that wait for this.  The lock is held."""
        queues = self._core.queues
        running = sum(queue.running for queue in queues)
        return running == len(self._core.waiting_tasks()) and not any(queue.pending for queue in queues)

    def shutdown(self, queues: Queues = None, wait: bool = True, cancel_futures: bool = False) -> None:
        """Shut down *queues*, or all: see `Queue.shutdown`."""
        core = self._core
        queues = core.queues.copy() if queues is None else queues
        for queue in queues:  # all are closed before the first is waited for
            self.close(queue)
            if cancel_futures:
                core.termination.cancel_pending(queue)
        if wait and any(at_work(core, queue) for queue in queues):  # it would wait for its own end
            raise RuntimeError("a task of a queue cannot await its shutdown: call shutdown(wait=False)")
        with suppress(Forked):  # in a forked child the pools have no threads
            for queue in queues if wait else ():
                warn = partial(self.warn_if_stalled, f"the end of queue {queue.name}", True)
                core.waiting.until(lambda q=queue: not q.pending and not q.running, warn, queue=queue)
                queue.backend.join(wait=True)

    def close(self, queue: QueueState, message: str = SHUT_DOWN) -> None:
        """Take no more tasks: `submit` says *message*.  The workers leave once nothing is pending."""
        core = self._core
        if core.deferred(self.close, queue, message):
            return
        with core.changing() as section:
            if queue.refusal is None:
                queue.refuse(RuntimeError(message))
            # Idle workers leave now; others as they find that the queue ends.  The last one ends the backend:
            # a queue without workers has no last one.
            if queue.ending:
                queue.wake_idle()
            if not queue.workers and queue.ending:
                section.then(queue.backend.join, False)

    def interrupt(self, queues: Queues = None) -> None:
        """Cancel the pending tasks of *queues*, or of all, and ask the running ones to end."""
        if self._core.deferred(self.interrupt, queues):
            return
        queues = self._core.queues.copy() if queues is None else queues
        self._cancel(queues)
        # After the pending tasks: so the end of a running task lets none of them begin.
        with self._core.exclusive():
            running = self._core.running_tasks(queues)
        for task in running:
            task.cancel()
        self._cancel(queues)  # tasks that running tasks have submitted meanwhile

    def _cancel(self, queues: Sequence[QueueState]) -> None:
        for queue in queues:
            self._core.termination.cancel_pending(queue)

    def leave(
        self, kind: type[BaseException] | None, shut_down: Callable[..., None], queues: Queues = None
    ) -> None:
        """Call *shut_down* at the end of a ``with`` block that raised *kind*, or None; cancel at Ctrl-C."""
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self.interrupt(queues)
        try:
            shut_down(wait=True)
        except KeyboardInterrupt:
            self.interrupt(queues)
            shut_down(wait=True)
            raise

    def close_at_exit(self) -> None:
        """Take no more tasks.  Interpreter exit calls this, then `cancel_held`, then `finish_at_exit`."""
        for queue in self._core.queues.copy():
            self.close(queue, EXITING)

    def cancel_held(self) -> None:
        """Cancel the tasks that a stop holds: at exit nothing may resume the scheduler any more."""
        with self._core.exclusive():
            if not self._core.stopped or self._cancels_held:
                return
            self._cancels_held = self._held() > 0  # another `stop` meanwhile logs no second warning
        self._cancel_at_exit("cancelling %s at exit: the scheduler is stopped")

    def finish_at_exit(self) -> None:
        """Wait until nothing is pending or running; cancel tasks that can never start."""
        warned = False

        def warn(over: object) -> bool:
            nonlocal warned
            if stalled(core := self._core):
                message = "cancelling %s at exit, as nothing runs and nothing can start: %s"
                self._cancel_at_exit(message, why.overview(core))
            elif not warned and stalled(core, elsewhere=True, endless=True):
                warned = True
                LOGGER.warning("the interpreter's exit waits for what may never end: %s", why.overview(core))
            return False  # ask again: the awaited end may come, and other tasks be stalled then

        self._core.waiting.until(self._idle, warn)

    def _cancel_at_exit(self, message: str, *details: str) -> None:
        """Cancel pending and paused tasks; log *message* with their number and *details*."""
        with self._core.exclusive():
            paused, held = list(self._core.paused), self._held()
        if held:
            LOGGER.warning(message, counted(held, "pending task"), *details)
            self._cancel(self._core.queues.copy())
            for task in paused:
                task.cancel()

    def _held(self) -> int:
        """Return how many tasks are pending or paused.  The lock is held."""
        return sum(queue.pending for queue in self._core.queues) + len(self._core.paused)
