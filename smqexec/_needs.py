"""What a waiting task needs from its own queue: searches that sleep while the task does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from heapq import heappop, heappush
from queue import Empty, SimpleQueue
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING, Any

from ._future import PlannedFuture
from ._nodes import DONE, READY, RUNNING, SEARCHING, SWEEP_FROM, Node
from ._slots import Run, Slots
from ._task import Foreign

if TYPE_CHECKING:
    from ._waiting import Waiting

# Nodes that a search looks at under one hold of the lock: about half a
# millisecond on the slowest machine tried (0.3 to 0.5 µs a node).
SEARCH_LIMIT = 1000


class Needs:
    """A depth-first search through all that some futures need, for ready tasks of one queue.

    It visits pending dependencies in argument order; of what runs, what that
    is itself waiting for; and of what is ready in another queue, what those
    wait for who hold its slots.  In this scheduler and in others.  It looks at
    each node once.  What became ready since is told it by `freed`, what a
    running task began to wait for since by `extend`.

    It holds one scheduler's lock at a time, that of the node it looks at.
    """

    __slots__ = (
        "bell", "circle", "count", "frames", "futures", "held", "late", "limit", "ready", "run",
        "satisfied", "seen", "slots", "strict",
    )  # fmt: skip

    def __init__(
        self,
        run: Run,
        futures: Sequence[PlannedFuture[Any]],
        satisfied: Callable[[], bool],
        strict: bool = True,
    ) -> None:
        self.run = run  # who waits
        self.slots = run.slots
        self.futures = futures
        self.satisfied = satisfied  # whether the wait is over
        self.strict = strict  # all of them are waited for: a circle is an error
        self.bell: SimpleQueue[None] = SimpleQueue()
        self.seen: dict[Node, int] = {}  # each with its place in the order
        self.count = 0  # of those places
        self.limit = SWEEP_FROM
        self.held: set[Slots] = set()  # other queues, of which a ready task was met
        # Where the search stands: [what is needed, index of the next, the
        # scheduler that those belong to if they are relays, who needs them (or
        # None, where it is a slot)].
        self.frames: list[list[Any]] = [[futures, 0, None, futures]]
        self.ready: list[tuple[int, Node]] = []  # a heap of what was met, and is or was ready
        self.late: deque[tuple[Node | None, Sequence[Any]]] = deque()
        self.circle: list[Node] = []  # found: the one who waits needs itself

    # What happens meanwhile.  Called under the lock of the scheduler of the node.

    def release(self) -> None:
        """Wake the one who waits."""
        self.bell.put(None)

    def freed(self, node: Node) -> None:
        """Note that *node* of this queue has become ready."""
        place = self.seen.get(node)
        if place is not None:
            heappush(self.ready, (place, node))
            self.release()

    def extend(self, node: Node, futures: Sequence[Any]) -> None:
        """Note that *node*, which runs, has begun to wait for *futures*."""
        if node in self.seen or node.queue in self.held:
            self.late.append((node if node in self.seen else None, futures))
            self.release()

    def spare(self) -> None:
        """Note that a task of this queue is ready, and no other thread free for it."""

    # The one who waits.

    def take(self, start: bool) -> Any:
        """Start the first ready task that is needed, if *start*, and return it; else only search.

        As `find`.
        """
        node = self.find(start)
        if node is not None:
            self.slots.scheduler.planner.start(node)
        return node

    def sleep(self, timeout: float | None) -> None:
        """Until there is something to look at, or *timeout* seconds are over."""
        with suppress(Empty):
            self.bell.get(timeout=None if timeout is None else min(timeout, TIMEOUT_MAX))

    def find(self, start: bool) -> Node | None:
        """The first ready node that is needed, if *start*; else only search.

        The lock of the own scheduler is held, but not all the time.  Where
        the search finds the one who waits, it ends, and leaves that in
        `circle`.

        Cost: one step for each node over the life of the search.
        """
        home: Waiting = self.slots.scheduler
        held: Waiting = home
        while True:
            if held is home and start:
                while self.ready:
                    node = heappop(self.ready)[1]
                    if node.state == READY:
                        return node
            if not self.frames:
                if held is not home:
                    held = _change(held, home)
                elif self.late:
                    needing, futures = self.late.popleft()
                    self.frames.append([futures, 0, None, needing])
                else:
                    self._sweep()
                    return None
                continue
            frame = self.frames[-1]
            needed, index, owner, _ = frame
            try:
                node = needed[index]
            except IndexError:  # all visited, or cleared since: its task has started
                self.frames.pop()
                continue
            frame[1] += 1
            slots = node._home if isinstance(node, PlannedFuture) else None
            if isinstance(node, PlannedFuture):
                if slots is None:
                    continue  # it is done
                owner = slots.scheduler
            if owner is not held:
                held = _change(held, owner)
            if self._visit(node, owner):
                if held is not home:
                    _change(held, home)
                return None

    def _visit(self, node: Node, owner: Waiting) -> bool:
        """Look at *node*, under the lock of its scheduler; True where it closes a circle."""
        if node in self.seen or node.state >= DONE:
            return False
        place = self.seen[node] = self.count = self.count + 1
        needs: Any = ()
        if node.state == RUNNING:
            if node in self.run.tasks():
                needing = [frame[3] for frame in self.frames]
                if None in needing or not self.strict:
                    return False  # who holds that slot waits for us, and helps; or others may do
                self.circle = [other for other in needing if other is not self.futures] + [node]
                return True
            awaited = owner.awaited.get(node)
            needs = () if awaited is None else awaited.futures
        elif node.state == READY:
            slots: Slots = node.queue
            if slots is self.slots:
                heappush(self.ready, (place, node))
            elif slots not in self.held:
                self.held.add(slots)
                tops = [run.task for run in slots.runs if run.task is not None]
                waits = [owner.awaited[task] for task in tops if task in owner.awaited]
                self.frames.append([[future for wait in waits for future in wait.futures], 0, None, None])
        elif type(node) is Foreign:
            needs = () if node.future is None else (node.future,)
        else:
            needs = node.dependencies
        if needs:
            self.frames.append([needs, 0, owner, node])
        return False

    def _sweep(self) -> None:
        """Let go of what has ended, so that results are not kept for as long as the wait takes."""
        if len(self.seen) > self.limit:
            self.seen = {node: place for node, place in self.seen.items() if node.state < DONE}
            self.limit = 2 * len(self.seen) + SWEEP_FROM


class Anything(Needs):
    """What a task that waits for its whole scheduler, or for another queue, does meanwhile: all there is."""

    __slots__ = ()

    def __init__(self, run: Run, satisfied: Callable[[], bool]) -> None:
        super().__init__(run, (), satisfied)

    def freed(self, node: Node) -> None:
        self.release()

    def spare(self) -> None:
        self.release()

    def take(self, start: bool) -> Any:
        task = self.slots.scheduler.planner.take(self.slots, SEARCH_LIMIT) if start else None
        if task is SEARCHING:
            self.release()  # others may have the lock; then go on
            return None
        return task


def _change(held: Waiting, wanted: Waiting) -> Waiting:
    """Go over from the lock of one scheduler to that of another."""
    held.lock.release()
    wanted.lock.acquire()
    return wanted
