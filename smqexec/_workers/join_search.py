"""What a waiting task needs from its own queue: searches that sleep while the task does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from queue import Empty, SimpleQueue
from threading import TIMEOUT_MAX
from time import monotonic
from typing import Any, NamedTuple

from .._core.searches import SEARCH_LIMIT, searches
from .._core.state import CURRENT, QueueState, Worker
from .._futures.future import PlannedFuture
from .._futures.task import Foreign
from .._limits.resources import QUEUED, Allocation, AllocationWaiter
from .._planner import DONE, NONE, READY, RUNNING, SEARCHING, Node, listed_dependencies


class InLine(NamedTuple):
    """What a search is told of later: an allocation waiter, and its scheduler."""

    waiter: Any
    scheduler: Any


def homes_of(worker: Worker) -> dict[QueueState, Worker]:
    """The queues whose tasks the thread of *run* can do while it waits, each with the run to nest them in.

    In a thread that serves inline queues these are all that it is at, as none of them can go on before.
    """
    return {other.queue: other for other in (*CURRENT.workers, worker)}


class Needs:
    """A depth-first search through all that some futures need, for ready tasks of one queue.

    It visits pending dependencies in argument order; of what runs, all that
    its thread is waiting for; and of what is pending in another queue, what
    those wait for who hold its slots.  In this scheduler and in others.  It
    looks at each node once, and once more where it turns out that a slot is not
    all that it is needed for.  Of what happens since it is told: by `freed` what
    became ready, by `extend` who began to wait, by `forget` what has ended.

    It holds one scheduler's lock at a time, that of the node it looks at, and
    keeps no node that has ended: that would keep its result.
    """

    __slots__ = (
        "anew",
        "bell",
        "circle",
        "count",
        "deadline",
        "depths",
        "elsewhere",
        "frames",
        "futures",
        "held",
        "homes",
        "late",
        "nodes",
        "queue",
        "ready",
        "satisfied",
        "seen",
        "strict",
        "via",
        "worker",
    )  # fmt: skip

    def __init__(
        self,
        worker: Worker,
        futures: Any,
        satisfied: Callable[[], bool],
        strict: bool = True,
        elsewhere: bool = False,
    ) -> None:
        self.worker = worker  # who waits
        self.deadline: float | None = None  # when to give up searching
        # While the thread waits: its runs, and how many tasks are beneath the one that waits in each.
        self.depths: dict[Worker, int] = {}
        self.homes = homes_of(worker)  # where it can do what is needed
        self.queue = worker.queue
        self.futures = futures  # a sequence, or `Everything`
        self.satisfied = satisfied  # whether the wait is over
        self.strict = strict  # all of them are waited for: a circle is an error
        self.elsewhere = elsewhere  # it waits for futures of other executors besides
        self.bell: SimpleQueue[None] = SimpleQueue()
        self.seen: dict[Node, int] = {}  # each that has not ended, with its place in the order
        self.nodes: dict[int, Node] = {}  # the reverse
        # Of those that must end, and not only because a slot could be had otherwise: the place of
        # who needs it, or `ASKED`.
        self.via: dict[int, int] = {}
        self.count = 0  # of the places given
        self.held: set[QueueState] = set()  # other queues, of which a pending task was met
        # Where the search stands: [what is needed, index of the next, the
        # scheduler that those belong to if they are relays, the place of who
        # needs them (or `ASKED`, or `SLOT`)].
        self.frames: list[list[Any]] = [[futures, 0, None, ASKED if strict else SLOT]]
        self.ready: list[int] = []  # a heap of the places of what is or was ready
        self.late: deque[tuple[int, Any]] = deque()
        self.anew = False  # it looks at all once more, to be sure of a circle
        self.circle: list[Node] = []  # found: the one who waits needs itself

    def open(self) -> bool:
        """Listen to what happens from now on; False if it does already."""
        if self in searches:
            return False
        searches[self] = None
        for queue in self.homes:
            queue.helpers[self] = None
        return True

    def close(self) -> None:
        searches.pop(self, None)
        for queue in self.homes:
            queue.helpers.pop(self, None)

    # What happens meanwhile.  Called under the lock of the scheduler of the node, or run.

    def release(self) -> None:
        """Wake the one who waits."""
        self.bell.put(None)

    def freed(self, node: Node) -> None:
        """Note that *node* of this queue has become ready."""
        place = self.seen.get(node)
        if place is not None:
            heappush(self.ready, place)
            self.release()

    def extend(self, worker: Worker, wait: Needs) -> None:
        """Note that the thread of *run* has begun to *wait*: all that it is at needs that."""
        if worker in self.homes.values():
            return
        places = [place for place in map(self.seen.get, worker.tasks()) if place is not None]
        if not places and worker.queue not in self.held:
            return
        must = [place for place in places if place in self.via]
        self.late.append(((must or places or [SLOT])[-1], wait))
        self.release()

    def held_back(self, scheduler: Any, allocation: Allocation) -> None:
        """Note that the task of *allocation* has joined lines since it was met, or needs one more task."""
        place = None if allocation.task is None else self.seen.get(allocation.task)
        if place is not None:
            self.late.append((place, InLine(allocation.waiter, scheduler)))
            self.release()

    def forget(self, node: Node) -> None:
        """Let go of *node*, which has ended."""
        place = self.seen.pop(node, None)
        if place is not None:
            self.via.pop(place, None)
            self.nodes.pop(place, None)

    def spare(self) -> None:
        """Note that a task of this queue is ready, and no other thread free for it."""

    # The one who waits.

    def take(self) -> Any:
        """Start the first ready task that is needed, unless the scheduler is stopped, and return it.

        As `find`.
        """
        scheduler = self.queue.scheduler
        while (node := self.find()) is not None:
            scheduler.planner.start(node)
            if scheduler.allocating.allocate(node):
                break
        return node

    def sleep(self, timeout: float | None) -> bool:
        """Block until there is something to look at; False after *timeout* seconds."""
        try:
            self.bell.get(timeout=None if timeout is None else min(timeout, TIMEOUT_MAX))
        except Empty:
            return False
        return True

    def find(self) -> Node | None:
        """The first ready node that is needed; while the scheduler is stopped, only search.

        The lock of the own scheduler is held, but not all the time.  Where
        the search finds the one who waits, it ends, and leaves that in
        `circle`.

        Cost: one or two steps for each node over the life of the search.
        """
        home: Any = self.queue.scheduler
        held: Any = home
        steps = 0
        while True:
            if held is home and self.ready and not home._stopped:
                node = self.nodes.get(heappop(self.ready))
                if node is not None and node._stage == READY:
                    return node
                continue
            if not self.frames:
                if held is not home:
                    held = _change(held, home)
                elif self.late:
                    place, late = self.late.popleft()
                    if isinstance(late, Needs):
                        self._follow(place, late)
                    else:
                        self.frames.append([(late.waiter,), 0, late.scheduler, place])
                else:
                    self.anew = False
                    return None
                continue
            frame = self.frames[-1]
            needed, index, owner, place = frame
            if type(needed) is Everything:
                held = _change(held, needed.scheduler)
                frame[0] = needed.nodes()
                continue
            try:
                node = needed[index]
            except IndexError:  # all visited, or cleared since: its task has started
                node = None
            if node is None or (place > 0 and place not in self.nodes):  # who needs them has ended
                self.frames.pop()
                continue
            frame[1] += 1
            if isinstance(node, PlannedFuture):
                queue = node._home
                if queue is None:
                    continue  # it is done
                owner = queue.scheduler
            steps += 1
            if steps % SEARCH_LIMIT == 0:
                held._let_in()
                if self.deadline is not None and monotonic() >= self.deadline:
                    if held is not home:
                        _change(held, home)
                    return None
            if owner is not held:
                held = _change(held, owner)
            if self._visit(node, owner, place):
                return None  # *node* is the one who waits, so its lock, which is held, is the own one

    def goes_on(self) -> bool:
        """Whether the one who waits has something to look at.  The lock is held."""
        ready = self.ready and not self.queue.scheduler._stopped
        return bool(ready or self.frames or self.late)

    def _visit(self, node: Node, owner: Any, needing: int) -> bool:
        """Look at *node*, under the lock of its scheduler; True where it closes a circle."""
        if node._stage >= DONE:
            return False
        if type(node) is AllocationWaiter:
            if node.allocation.state == QUEUED:
                must_end, may_end = node.allocation.blockers()
                self.frames.append([may_end, 0, owner, SLOT])
                self.frames.append([must_end, 0, owner, needing])
            return False
        must = needing == ASKED or needing in self.via
        place = self.seen.get(node)
        new = place is None
        if place is None:
            place = self.seen[node] = self.count = self.count + 1
            self.nodes[place] = node
        elif not must or place in self.via:
            return False
        if must:
            self.via[place] = needing
        if node._stage == RUNNING:
            if node in self.worker.tasks():
                # Else who holds that slot waits for us, and helps; or others may do.
                return must and self._close_circle(place)
            for worker in node._queue.workers:
                tasks = [*worker.below, worker.task] if worker.waits else []
                if node in tasks:
                    depth = tasks.index(node)
                    for wait in worker.waits:
                        if wait.depths[worker] >= depth:  # its own, and of what is nested in it
                            self._follow(place, wait)
            return False
        needs: Any = node._dependencies
        if needs is not NONE:
            needs = listed_dependencies(node)
        queue: QueueState | None = node._queue
        if queue in self.homes:
            if new and node._stage == READY:
                heappush(self.ready, place)
        elif queue is not None and queue not in self.held:
            self.held.add(queue)
            for worker in reversed(queue.workers):
                for wait in worker.waits:
                    self._follow(SLOT, wait)
        elif type(node) is Foreign and node.future is not None:
            needs = (node.future,)
        if needs:
            self.frames.append([needs, 0, owner, place])
        return False

    def _follow(self, place: int, wait: Needs) -> None:
        """Search next what another waits for."""
        if wait.depths:  # else that is over
            self.frames.append([wait.futures, 0, None, place if wait.strict else SLOT])

    def _close_circle(self, place: int) -> bool:
        """Tell whether it is a circle: where it was found once more, all anew."""
        circle: list[Node] = []
        while self.anew and (node := self.nodes.get(place)) is not None:
            circle.append(node)
            place = self.via.get(place, SLOT)
        if self.anew and place == ASKED:
            self.circle = circle[::-1]
            return True
        # Someone on the way may have ended since, or given up waiting.
        self.anew = True
        for found in (self.seen, self.nodes, self.via, self.held, self.ready):
            found.clear()
        self.frames[:] = [[self.futures, 0, None, ASKED]]
        return False


# Who needs what a search looks at, where that is no node.
ASKED, SLOT = 0, -1


class Everything:
    """All that is pending or runs in a scheduler, or in one queue of it, but for who waits for just that."""

    def __init__(self, scheduler: Any, queue: QueueState | None) -> None:
        self.scheduler = scheduler
        self.queue = queue

    def nodes(self) -> list[Any]:
        """The lock of the scheduler is held.  Cost: the whole graph."""
        resting = [task for stack in self.scheduler._resting for task in stack]
        running = [task for queue in self.scheduler._queues for task in queue.running_tasks()]
        found = [task for task in running if task not in resting] + self.scheduler.termination.pending()
        return [task for task in found if self.queue in (None, task._queue)]


class Anything(Needs):
    """What a task that waits for its whole scheduler, or for another queue, does meanwhile: all there is."""

    __slots__ = ()

    def freed(self, node: Node) -> None:
        self.release()

    def extend(self, worker: Worker, wait: Needs) -> None:
        pass

    def spare(self) -> None:
        self.release()

    def goes_on(self) -> bool:
        return any(queue.ready for queue in self.homes) and not self.queue.scheduler._stopped

    def take(self) -> Any:
        scheduler = self.queue.scheduler
        for queue in () if scheduler._stopped else self.homes:
            task = scheduler._next(queue, SEARCH_LIMIT)
            if task is SEARCHING:
                self.release()  # others may have the lock; then go on
                return None
            if task is not None:
                return task
        return None


def _change(held: Any, wanted: Any) -> Any:
    """Go over from the lock of one scheduler to that of another."""
    held.lock.release()
    wanted.lock.acquire()
    return wanted
