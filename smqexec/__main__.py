"""Which of these files are most alike?  ``python -m smqexec [PATH ...]``

Two texts are alike if one helps to compress the other.  With C(x) the number of bytes that x needs when
compressed, and xy both texts in a row, their normalised compression distance is ::

    (C(xy) - min(C(x), C(y))) / max(C(x), C(y))

It is near 0 for twins and near 1 for strangers.  So there are three kinds of task, on two queues, and every
pair of files is a sink::

    read (1 slot)       compare (a slot for each core)

    read(x) ----------> C(x) ------+
        +--------------------------+--> distance(x, y)
        +--------------------------+
    read(y) ----------> C(y) ------+

There are no phases: the first distance is known as soon as two files are read, and a text is released after
the last pair that needs it.  A file that can't be read fails its ``read``; that fails all tasks that need the
text, and the others go on.  The compressor is ``lzma``, which releases the GIL while it works.
"""

import argparse
import lzma
import os
import shlex
import sys
import sysconfig
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from heapq import nlargest, nsmallest
from itertools import combinations
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

from smqexec import Queue, Scheduler, Task, as_completed, progress

Files = dict[str, Path]  # by the name to show
FILES = 57  # of the standard library: some 6 s on two cores


class Pair(NamedTuple):
    """Two files, how unlike they are, and how many seconds it took to know."""

    distance: float
    x: str
    y: str
    seconds: float


class Found(list[Pair]):
    """The pairs that one run has found so far; each that is closer than all before is printed."""

    closest = float("inf")

    def add(self, pair: Pair) -> None:
        self.append(pair)
        if pair.distance < self.closest:
            self.closest = pair.distance
            say(f"{pair.seconds:6.2f} s  {pair.distance:6.3f}  {pair.x}  {pair.y}")


def main(argv: Sequence[str] | None = None) -> int:
    """Compare, report, and return the exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    options = parse(arguments)
    runs: dict[str, Found] = {}
    interrupted = False
    try:
        files = named(options.paths) if options.paths else largest(Path(sysconfig.get_path("stdlib")), FILES)
        if len(files) > 1:
            where = "" if options.paths else " of the standard library"
            say(f"{len(files)} files{where}: which are most alike?  The closest so far:")
        if options.compare:
            say("By phases, on plain executors:")
            runs["phases"] = Found()
            by_phases(files, options.jobs, options.read_delay, runs["phases"].add)
            say("With smqexec:")
        runs["smqexec"] = Found()
        compare(files, options.jobs, options.order, options.read_delay, runs["smqexec"].add)
    except KeyboardInterrupt:
        interrupted = True
    pairs = max(runs.values(), key=len, default=Found())
    if not pairs and not interrupted:
        print("smqexec: fewer than two usable files: name two, or a folder of some", file=sys.stderr)
        return 2
    say(f"{'Interrupted.  ' if interrupted else ''}Pairs compared: {len(pairs):,}.  The closest:")
    for pair in nsmallest(options.top, pairs):
        say(f"{pair.distance:7.3f}  {pair.x}  {pair.y}")
    for name, run in runs.items():
        if run:
            first, half, last = (run[i].seconds for i in (0, (len(run) - 1) // 2, -1))
            say(f"{name}: first pair after {first:.2f} s, half after {half:.2f} s, last after {last:.2f} s")
    say(f"To see such a run as a timeline, open run.html after\n{timeline(arguments)}")
    return 130 if interrupted else 0


def compare(files: Files, jobs: int, order: str, delay: float, show: Callable[[Pair], object]) -> None:
    """Call *show* with each pair of *files* as it becomes known; complain about files that can't be used."""
    began = monotonic()
    with Scheduler(order=order) as scheduler:  # after Ctrl-C its end cancels the pending tasks
        disk, cores = Queue(scheduler, 1, "read"), Queue(scheduler, jobs, "compare")
        with progress(scheduler) if sys.stderr.isatty() else nullcontext():
            tasks = submit_all(files, disk, cores, delay)
            for task in as_completed(tasks):
                names = tasks[task]
                error = task.exception()
                if error is None and len(names) == 2:
                    show(Pair(task.result(), *names, monotonic() - began))
                elif error is not None and (len(names) == 1 or task.origin is task):
                    complain(" and ".join(names), error)


def by_phases(files: Files, jobs: int, delay: float, show: Callable[[Pair], object]) -> None:
    """Do the same on plain executors: each phase waits for all calls of the phase before."""
    began = monotonic()
    with ThreadPoolExecutor(1) as disk, ThreadPoolExecutor(jobs) as cores:
        try:
            reads = {name: disk.submit(read, path, delay) for name, path in files.items()}
            texts = {name: text.result() for name, text in reads.items() if text.exception() is None}
            sizes = dict(zip(texts, cores.map(compressed, texts.values()), strict=True))
            calls = {
                cores.submit(distance, texts[x], texts[y], sizes[x], sizes[y]): (x, y)
                for x, y in combinations(texts, 2)
            }
            for call in as_completed(calls):
                if call.exception() is None:
                    show(Pair(call.result(), *calls[call], monotonic() - began))
        except KeyboardInterrupt:
            for pool in (disk, cores):
                pool.shutdown(wait=False, cancel_futures=True)
            raise


def submit_all(files: Files, disk: Queue, cores: Queue, delay: float) -> dict[Task[Any], tuple[str, ...]]:
    """Submit each file's own tasks, then its pair with each file before; return the files of each task.

    The tasks that read are not among these: their results would stay in memory.
    """
    tasks: dict[Task[Any], tuple[str, ...]] = {}
    before: list[tuple[str, Task[bytes], Task[int]]] = []
    for y, path in files.items():
        text_y = disk.options(name=f"read {y}").submit(read, path, delay)
        size_y = cores.options(name=f"C({y})").submit(compressed, text_y)
        tasks[size_y] = (y,)
        for x, text_x, size_x in before:
            pair = cores.options(name=f"{x} - {y}").submit(distance, text_x, text_y, size_x, size_y)
            tasks[pair] = (x, y)
        before.append((y, text_y, size_y))
    return tasks


def read(path: Path, delay: float = 0.0) -> bytes:
    """Return the bytes in *path*, after *delay* seconds, or raise OSError if there are none to compress."""
    if path.exists() and not path.is_file():
        raise OSError(0, "not a regular file")
    sleep(delay)
    text = path.read_bytes()
    if not text:
        raise OSError(0, "empty")
    return text


def compressed(*texts: bytes) -> int:
    """Return C: how many bytes *texts* need, compressed in a row."""
    # The dictionary holds all, or the end could not refer to the beginning.
    size = max(4096, sum(map(len, texts)))
    filters = [{"id": lzma.FILTER_LZMA1, "preset": 1, "dict_size": size}]
    compressor = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=filters)
    return sum(len(compressor.compress(text)) for text in texts) + len(compressor.flush())


def distance(text_x: bytes, text_y: bytes, size_x: int, size_y: int) -> float:
    """Return the normalised compression distance of two texts with these C."""
    return (compressed(text_x, text_y) - min(size_x, size_y)) / max(size_x, size_y)


def named(paths: Sequence[str]) -> Files:
    """Return the files meant by *paths*, each once; a directory means its files, at any depth."""
    names: list[str] = []
    for path in paths:
        if os.path.isdir(path):
            walk = os.walk(path, onerror=lambda error: complain(error.filename, error))
            names += sorted(os.path.join(folder, name) for folder, _, below in walk for name in below)
        else:
            names.append(path)
    return {name: Path(name) for name in names}


def largest(folder: Path, number: int) -> Files:
    """Return the *number* largest ``.py`` files below *folder*, by name."""
    skipped = {"test", "tests", "idle_test", "site-packages", "dist-packages"}
    names = [path.relative_to(folder) for path in folder.rglob("*.py") if path.is_file()]
    modules = {str(name): folder / name for name in names if skipped.isdisjoint(name.parts)}
    chosen = nlargest(number, modules, key=lambda name: modules[name].stat().st_size)
    return {name: modules[name] for name in sorted(chosen)}  # or the small ones, at the end, would go first


def complain(name: str, error: BaseException) -> None:
    """Print *name* and its *error* as one line on standard error."""
    reason = getattr(error, "strerror", None) or repr(error)
    print(f"smqexec: {name}: {reason}", file=sys.stderr, flush=True)


def say(text: str) -> None:
    """Print *text*, escaping characters that standard output can't show: names of files may hold anything."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def timeline(arguments: Sequence[str]) -> str:
    """Return the command line that records a run with *arguments* and makes a page of it."""
    python = min(os.path.relpath(sys.executable), sys.executable, key=len)
    setting = "set SMQEXEC_TRACE=run.json&&" if os.name == "nt" else "SMQEXEC_TRACE=run.json"
    run = shlex.join([python, "-m", "smqexec", *arguments])
    return f"{setting} {run} && {shlex.quote(python)} -m smqexec.trace run.json -o run.html"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m smqexec", description="Which files are most alike?")
    add = parser.add_argument
    add("paths", nargs="*", metavar="PATH", help="file or directory (the standard library)")
    add("--top", type=int, default=10, metavar="N", help="how many pairs to print (10)")
    add("--order", choices=["newest", "oldest"], default="newest", help="what goes first (newest)")
    add("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="how many at once (all cores)")
    add("--compare", action="store_true", help="before, do it by phases on plain ThreadPoolExecutors")
    add("--read-delay", type=float, default=0.0, metavar="S", help="wait S seconds at each file (0)")
    options = parser.parse_args(arguments)
    if options.top < 1 or options.jobs < 1:
        parser.error("--top and --jobs must be 1 or more")
    if not 0 <= options.read_delay <= 60:
        parser.error("--read-delay must be from 0 to 60 seconds")
    return options


if __name__ == "__main__":
    sys.exit(main())
