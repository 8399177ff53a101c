"""The naive search: the order that the planner has to give, in the words of its definition."""


class Model:
    """Tasks are numbers; `order` lists those submitted, oldest first; `state` is w, r or d."""

    def __init__(self, order="newest"):
        self.oldest = order == "oldest"
        self.order, self.queue, self.needs, self.state = [], {}, {}, {}

    def add(self, task, queue, needs):
        self.order.append(task)
        self.queue[task], self.needs[task], self.state[task] = queue, list(needs), "pending"

    def ready(self, task):
        return self.state[task] == "pending" and all(self.state[need] == "done" for need in self.needs[task])

    def first(self, queue):
        seen = set()
        for sink in self.order if self.oldest else reversed(self.order):
            todo = [sink]
            while todo:
                task = todo.pop()
                if self.state[task] == "pending" and task not in seen:
                    seen.add(task)
                    if self.ready(task) and self.queue[task] == queue:
                        return task
                    if not self.oldest:
                        todo.extend(reversed(self.needs[task]))
        return None
