"""A measurement with live analysis.  The instrument is simulated: a magnet that settles, and a noisy sensor.

The plan is a generator task on a queue of one slot.  Each point is analysed while the next one is taken.
Ctrl-C stops the measurement between two points, again resumes it, and a third time ends it: the plan then
ramps the magnet down.  Results go to SQLite as they come.
"""

import random
import signal
import sqlite3
import statistics
import sys
import time
from concurrent.futures import CancelledError
from contextlib import closing, suppress

from smqexec import Queue, Scheduler


def set_field(magnet, field):
    time.sleep(magnet["settles in"])
    magnet["field"] = field


def plan(magnet, fields):
    try:
        for field in fields:
            set_field(magnet, field)
            yield field, [magnet["field"] + random.gauss(0, 0.01) for _ in range(1000)]
    finally:
        set_field(magnet, 0.0)


def analyse(point):
    field, readings = point
    return field, statistics.fmean(readings), statistics.stdev(readings)


def measure(magnet, fields, path=":memory:"):
    with closing(sqlite3.connect(path)) as database, Scheduler() as scheduler:
        database.execute("create table if not exists points (field real, mean real, deviation real)")
        instrument, analysis = Queue(scheduler, 1), Queue(scheduler)
        points = instrument.submit(plan, magnet, fields)
        actions = iter([scheduler.stop, scheduler.resume, points.cancel])
        before = signal.signal(signal.SIGINT, lambda *_: next(actions, points.cancel)())
        try:
            for result in [analysis.submit(analyse, points[number]) for number in range(len(fields))]:
                with suppress(CancelledError), database:
                    database.execute("insert into points values (?, ?, ?)", result.result())
                    print("field {:5.2f}: {:6.3f} ± {:.3f}".format(*result.result()), flush=True)
        finally:
            signal.signal(signal.SIGINT, before)
        return database.execute("select * from points").fetchall()


if __name__ == "__main__":
    where = sys.argv[1] if len(sys.argv) > 1 else ":memory:"
    measure({"field": 0.0, "settles in": 0.1}, [number / 10 for number in range(21)], where)
