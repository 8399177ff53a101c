"""The line of a queue that starts its tasks in the order they were submitted.

Bookkeeping for a planner, as pure as that.  Before each task but the first stands
the *turn* of the one before it: a relay that is done once that task has started
or never will, and so have all before it.  Only the first of a line can be ready;
so a search for what goes first has nothing to do with those between, but for what
they need of others.  A turn depends on the turn of the nearest task that had to
wait for more than its turn, and that on its task, and on the next such turn::

    task 1   turn 1 <-- task 2 <-- turn 2 <----- turn 3 <-- task 4
                          |                        ^
                          v                        |
                     other needs               (task 3)

To the planner's search a task so needs, before all else, what those before it in
the line need.  None of them has to end, and none has to succeed.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from ._nodes import DONE, READY, Node, as_few, dependencies_of, dependents_of
from ._planner import DependencyPlanner


class Turn(Node):
    """A relay: done when its task, and all before it in the line, have started or been dropped."""

    __slots__ = ("line", "over", "previous", "task")
    tolerant = True
    held = True

    def __init__(self, line: Line, task: Node) -> None:
        super().__init__()
        self.line = line
        self.over = False  # its task has started or was dropped
        # For those who ask what comes before: None once it is over, or done.
        self.task: Node | None = task
        self.previous: Turn | None = None

    def leave(self) -> list[Any]:
        """Note that the task has started, or was dropped; return the nodes that became ready.  Cost: O(1)."""
        self.over = True
        self.task = None
        return self.line.advance()

    def withdraw(self) -> list[Any]:
        """Undo what there is of a `join` that an exception has struck; return as `leave` does."""
        if self in self.line.turns:
            return self.leave()
        for other in dependencies_of(self):
            other.dependents = [node for node in dependents_of(other) if node is not self] or None
        return []

    def nearest(self) -> Node | None:
        """The task of it, or the nearest before, that has not started."""
        turn: Turn | None = self
        while turn is not None and turn.task is None:
            turn = turn.previous
        return None if turn is None else turn.task

    def before(self) -> list[Node]:
        """What has to start, or to end without, before it is done, perhaps through others."""
        return [node for node in (self.previous, self.task) if node is not None]


class Line:
    """The line of one queue.  Guarded as its planner is.  Cost of each method: O(1), over all of them."""

    __slots__ = ("_needing", "_planner", "turns")

    def __init__(self, planner: DependencyPlanner) -> None:
        self._planner = planner
        self._needing: Turn | None = None  # the last one whose task has needs of its own
        #: Those that are not done, in order.
        self.turns: deque[Turn] = deque()

    def head(self) -> Any:
        """The task that may start now, if there is one."""
        task = self.turns[0].task if self.turns else None
        return task if task is not None and task.state == READY else None

    def before(self) -> list[Node]:
        """What the next task has to wait for, as its first dependency."""
        return [self.turns[-1]] if self.turns else []

    def join(self, turn: Turn, needing: bool) -> None:
        """Put the task of *turn*, which the planner has just got, at the end.

        Args:
            turn: A new one.
            needing: The task has to wait for more than `before`.
        """
        needs: list[Any] = [turn.task] if needing else []
        if self._needing is not None and self._needing.state < DONE:
            needs.append(self._needing)
        self._planner.admit(turn, None, as_few(needs))
        if self.turns:
            turn.previous = self.turns[-1]
        self.turns.append(turn)
        self._needing = turn if needing else self._needing

    def advance(self) -> list[Any]:
        """End the first turns that are over, and return the nodes that became ready."""
        turns = self.turns
        freed: list[Any] = []
        while turns and turns[0].over:
            done = turns.popleft()
            freed += self._planner.done(done)
            if turns:
                turns[0].previous = None
        return freed
