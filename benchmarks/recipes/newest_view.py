"""Replace the pending call of a key, so that only the newest view of each window is computed.

``cancel()`` takes back a call that has not begun; a running one it asks to end, at its next
``checkpoint()`` or ``yield``.
"""

from threading import Event

from smqexec import Queue


class Newest:
    def __init__(self, queue):
        self.queue, self.last = queue, {}

    def submit(self, key, fn, *args):
        if key in self.last:
            self.last[key].cancel()
        self.last[key] = task = self.queue.submit(fn, *args)
        return task


with Queue(1) as queue:
    views, free = Newest(queue), Event()
    queue.submit(free.wait)  # the queue is busy, while the user scrolls
    tasks = [views.submit("window 1", "view of line {}".format, line) for line in (10, 20, 30)]
    free.set()
print([task.cancelled() for task in tasks], tasks[-1].result())  # [True, True, False] view of line 30
