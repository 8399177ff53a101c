"""A time limit for each task: an observer that cancels.

It ends a task at its next ``checkpoint()`` or ``yield``.  A call that never comes to one can be ended
in a process alone.
"""

from threading import Timer

from smqexec import Queue, Scheduler, checkpoint


def limit(scheduler, seconds):
    timers = {}

    def watch(event):
        if event.kind == "start":
            timers[event.number] = timer = Timer(seconds, event.task.cancel)
            timer.start()
        elif event.kind == "end" and event.number in timers:
            timers.pop(event.number).cancel()

    return scheduler.observe(watch)


def settle():
    while True:
        checkpoint()


with Scheduler() as scheduler, limit(scheduler, 0.1), Queue(scheduler, 1) as queue:
    tasks = [queue.submit(settle), queue.submit(abs, -1)]
print([task.cancelled() for task in tasks])  # [True, False]
