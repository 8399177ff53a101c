"""The naive search: the order that the planner has to give, by its definition."""


class Model:  # tasks are numbers; one of no queue is a relay, and no sink
    def __init__(self, order="newest"):
        self.newest, self.clock = order == "newest", 0
        self.key, self.queue, self.needs, self.state = {}, {}, {}, {}
        self.lines = {}  # of each queue that starts in order: what has not started, nor been dropped

    def add(self, task, queue, needs, submission=None):
        self.queue[task], self.needs[task], self.state[task] = queue, list(needs), "pending"
        self.clock += 1
        if queue is not None:  # within one submission the first goes first
            self.key[task] = ((submission or self.clock) * (-1 if self.newest else 1), self.clock)
        if queue in self.lines:
            self.lines[queue].append(task)

    def before(self, task):  # those that stand before it in its line
        line = self.lines.get(self.queue[task], [])
        return line[: line.index(task)] if task in line else []

    def ready(self, task):
        ended = all(self.state[need] in ("done", "dropped") for need in self.needs[task])
        return ended and not self.before(task)

    def leave_line(self, task):  # it starts, or is dropped
        line = self.lines.get(self.queue[task], [])
        if task in line:
            line.remove(task)

    def search(self, sinks, deep=True):
        seen, todo = {}, sinks[::-1]
        while todo:
            if self.state[task := todo.pop()] == "pending" and task not in seen:
                seen[task] = None
                todo.extend(reversed([*self.before(task), *self.needs[task]] if deep else ()))
        return list(seen)

    def first(self, queue):
        order = self.search(sorted(self.key, key=self.key.get), self.newest)
        return next((task for task in order if self.queue[task] == queue and self.ready(task)), None)

    def hold_back(self, task, relay):  # newest first it goes before all others, once it can
        self.state[task], self.needs[task] = "pending", [relay]
        if self.newest:
            self.key[task] = (-float("inf"), self.clock)

    def end(self, task):
        self.state[task] = "done"
        self.clock += 1
        for other, key in self.key.items():  # it was held back, and goes by when it is ready again
            if key[0] == -float("inf") and self.needs[other] == [task]:
                self.key[other] = (key[0], self.clock)

    def promote(self, task):
        if self.key[task][0] == -float("inf"):
            return
        self.clock += 1  # oldest first: the task and all its needs
        for place, need in enumerate(self.search([task], not self.newest)):
            self.key[need] = (-self.clock, place)
