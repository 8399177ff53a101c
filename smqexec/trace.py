"""Record the run of a scheduler, and look at it: when and where each task ran, and after which others.

::

    with smqexec.trace.record(scheduler, "run.json"):
        ...

or, without touching the program::

    SMQEXEC_TRACE=run.json python program.py

writes a trace file, which https://ui.perfetto.dev and chrome://tracing open, and ::

    python -m smqexec.trace run.json -o run.html
    python -m smqexec.trace run.json --text

show the run, as a page and as tables.  ``SMQEXEC_TRACE`` records all schedulers of the program, but
no program that it starts.

*The page* is one file, for any browser, that fetches nothing.  It has a row for each slot, with the
share of time in which it was busy; a slice for each task, with its facts, and arrows from its
dependencies and to its dependents; the critical path, which is the chain of dependencies that ran
longest; and the curve of final results.  It finds tasks by name, goes by pointer, touch or keys
alone, and is fluent with 100,000 tasks.

*The tables* show each queue with its tasks, how many failed, and the share of time in which its slots
were busy; the functions that took most time; the critical path; and the tasks that were running when
a program was killed.

*The file* is in Chrome's trace format: JSON, an array of events.  Perfetto shows a row for each worker
thread under its queue, and a slice for each task.  The file is written while the program runs: if it is
killed, the file can be read, and lacks the last 0.2 s; tasks that had started and not ended are in it
too.  Tasks of a queue on another executor start when that executor gets them.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from ._observe.text import write
from ._observe.trace.page import page
from ._observe.trace.read import read
from ._observe.trace.tables import text
from ._observe.trace.write import Recording
from ._scheduler import Scheduler

__all__ = ["Recording", "record"]


def record(scheduler: Scheduler, path: str | os.PathLike[str]) -> Recording:
    """Write the events of *scheduler* into the file at *path*, from now on until the recording is closed.

    The end of a ``with`` block closes the recording, as its ``close()`` does, and the interpreter's exit
    after the last task.  Tasks that are pending or running already are in it too, without the time of their
    submission; running ones start with the recording.  A child that this process forks writes nothing.

    Args:
        scheduler: Its queues, also queues made later.  Several recordings at a time may watch it.
        path: An existing file is replaced.

    Raises:
        TypeError: *scheduler* is not a `Scheduler`.
        OSError: The file can't be written.  If that happens later, it is logged, and the recording ends.
        ValueError: Another recording is writing that file.

    Cost: 1.6 to 1.8 µs for each submit, start, item and end; more without the interpreter lock
    (``python -m benchmarks --only trace``).  Some 250 bytes of the file for each task; in memory, a record
    of each pending task, and at most some 30 MB.
    """
    if not isinstance(scheduler, Scheduler):
        raise TypeError(f"record takes a Scheduler, such as queue.scheduler, not {scheduler!r}")
    recording = Recording(path)
    recording.watch(scheduler._core)
    return recording


def main(argv: Sequence[str] | None = None) -> int:
    """Show a trace file as *argv* says, and return the exit status."""
    parser = argparse.ArgumentParser("python -m smqexec.trace", description="Show a recorded run.")
    parser.add_argument("file", help="what smqexec.trace.record or SMQEXEC_TRACE wrote")
    parser.add_argument("-o", "--output", metavar="PAGE.html", help="write a timeline, for any browser")
    parser.add_argument("--text", action="store_true", help="print the facts as tables: also without -o")
    options = parser.parse_args(argv)
    try:
        trace = read(options.file)
        if options.output is not None:
            if os.path.exists(options.output) and os.path.samefile(options.file, options.output):
                raise ValueError(f"{options.output} is the recording itself: name another file for the page")
            with open(options.output, "w", encoding="ascii") as target:
                target.write(page(trace, os.path.basename(options.file)))
        if options.text or options.output is None:
            _print(text(trace, options.file))
    except (OSError, ValueError) as error:
        if not isinstance(error, BrokenPipeError):  # the reader, such as `head`, has closed the pipe
            print(error, file=sys.stderr)
        return 1
    return 0


def _print(words: str) -> None:
    """Write *words* to standard output; after an OSError the rest is left out."""
    try:
        write(words + "\n", sys.stdout)
    except OSError:
        # Else the interpreter would try to write the rest at its exit.
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        raise


if __name__ == "__main__":  # pragma: no cover - seen in a program of its own
    sys.exit(main())
