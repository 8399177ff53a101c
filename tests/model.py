"""The naive search: the order that the planner has to give, in the words of its definition."""


class Model:
    """Tasks are numbers; those of no queue are relays, and never sinks.  Keys sort submissions."""

    def __init__(self, order="newest"):
        self.newest, self.clock = order == "newest", 0
        self.key, self.queue, self.needs, self.state = {}, {}, {}, {}

    def add(self, task, queue, needs, submission=None):
        self.queue[task], self.needs[task], self.state[task] = queue, list(needs), "pending"
        self.clock += 1  # of one submission the first counts as newest, or as oldest
        if queue is not None:
            self.key[task] = (submission or self.clock, -self.clock if self.newest else self.clock)

    def ready(self, task):
        ended = all(self.state[need] in ("done", "dropped") for need in self.needs[task])
        return ended and self.state[task] == "pending" and self.queue[task] is not None

    def search(self, sinks):
        seen, todo = {}, list(reversed(sinks))
        while todo:
            task = todo.pop()
            if self.state[task] == "pending" and task not in seen:
                seen[task] = None
                todo.extend(reversed(self.needs[task]))
        return list(seen)

    def first(self, queue):
        sinks = sorted(self.key, key=self.key.get, reverse=self.newest)
        order = self.search(sinks) if self.newest else sinks
        return next((task for task in order if self.queue[task] == queue and self.ready(task)), None)

    def promote(self, task):
        self.clock += 1
        needs = [task] if self.newest else self.search([task])
        self.key.update((need, (self.clock if self.newest else -self.clock, place)) for place, need in enumerate(needs))
