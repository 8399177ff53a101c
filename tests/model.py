"""The naive search: the order that the planner has to give, in the words of its definition."""


class Model:  # tasks are numbers; one of no queue is a relay, and no sink
    def __init__(self, order="newest"):
        self.newest, self.clock = order == "newest", 0
        self.key, self.queue, self.needs, self.state = {}, {}, {}, {}

    def add(self, task, queue, needs, submission=None):
        self.queue[task], self.needs[task], self.state[task] = queue, list(needs), "pending"
        self.clock = number = self.clock + 1
        if queue is not None:  # within one submission the first goes first
            self.key[task] = (-(submission or number) if self.newest else submission or number, number)

    def search(self, sinks):
        seen, todo = {}, sinks[::-1]
        while todo:
            if self.state[task := todo.pop()] == "pending" and task not in seen:
                seen[task] = None
                todo.extend(reversed(self.needs[task]))
        return list(seen)

    def first(self, queue):
        sinks = [task for task in sorted(self.key, key=self.key.get) if self.state[task] == "pending"]
        order = self.search(sinks) if self.newest else sinks
        own = [task for task in order if self.queue[task] == queue]
        ended = {task for task, state in self.state.items() if state in ("done", "dropped")}
        return next((task for task in own if ended.issuperset(self.needs[task])), None)

    def promote(self, task):
        self.clock += 1
        needs = [task] if self.newest else self.search([task])
        self.key.update((need, (-self.clock, place)) for place, need in enumerate(needs))
