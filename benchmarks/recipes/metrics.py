"""Metrics of a service: an observer that counts, with prometheus_client."""

from prometheus_client import REGISTRY, Counter, Histogram

from smqexec import Queue, Scheduler

ended = Counter("tasks", "Tasks that have ended", ["queue", "outcome"])
seconds = Histogram("task_seconds", "How long they ran", ["queue"])
starts = {}


def measure(event):
    if event.kind == "start":
        starts[event.number] = event.time
    elif event.kind == "end":
        ended.labels(event.queue, event.outcome).inc()
        if event.number in starts:  # else it never ran
            seconds.labels(event.queue).observe(event.time - starts.pop(event.number))


# start_http_server(8000) would show them to Prometheus.
with Scheduler() as scheduler, scheduler.observe(measure), Queue(scheduler, 4, "analysis") as queue:
    tasks = [queue.submit(int, text) for text in ("1", "2", "x")]
labels = [{"queue": "analysis", "outcome": outcome} for outcome in ("done", "failed")]
print([REGISTRY.get_sample_value("tasks_total", label) for label in labels])  # [2.0, 1.0]
