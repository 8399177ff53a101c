"""Which of these files are most alike?  ``python -m smqexec [PATH ...]``

Two texts are alike if one helps to compress the other.  With C(x) the number
of bytes that x needs when compressed, and xy both texts in a row, their
normalised compression distance is ::

    (C(xy) - min(C(x), C(y))) / max(C(x), C(y))

which is near 0 for twins and near 1 for strangers.  So there are three kinds
of task, on two queues, and every pair of files is a sink::

    read (1 slot)       compare (a slot for each core)

    read(x) ----------> C(x) ------+
        +--------------------------+--> distance(x, y)
        +--------------------------+
    read(y) ----------> C(y) ------+

``submit_all`` says what is needed; when each part of it runs is left to the
scheduler.  Nothing is done by phases, so the first distance is known as soon
as two files are read, and a text is released after the last pair that needs it.
The closest pair so far is printed as it changes, so final results can be seen to
come while most files are still to be read.
A file that cannot be read fails its ``read``, that fails all that need it,
and the rest goes on.  Submitting is a task as well, on a queue that is alone: so
the first results come while it goes on, and the main thread can hear Ctrl-C.

The compressor is ``lzma``, which lets go of the GIL while it works.
"""

import argparse
import lzma
import os
import shlex
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext, suppress
from functools import partial
from heapq import nsmallest
from itertools import combinations
from pathlib import Path
from threading import Lock
from time import monotonic, sleep
from typing import Any, NamedTuple, TypeVar

from smqexec import Queue, Scheduler, Task, progress

Files = dict[str, Path]  # by the name to show
Note = Callable[[Any, Future[Any]], object]  # called with a key and its future
K = TypeVar("K")
R = TypeVar("R")

CORES = os.cpu_count() or 1
BUDGET = 300_000_000  # bytes to compress: some 6 s on two cores


def main(argv: Sequence[str] | None = None) -> int:
    """Compare, report, and return the exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    options = parse(arguments)
    runs = {name: Found(say_closest) for name in ["phases", "smqexec"][not options.compare :]}
    usable = 0
    interrupted = False
    try:
        files = named(options.paths) if options.paths else largest_modules()
        where = "" if options.paths else " of the standard library"
        if len(files) > 1:
            say(f"{len(files)} files{where}: which are most alike?  The closest so far:")
        if options.compare:
            say("By phases, on plain executors:")
            by_phases(files, options, runs["phases"])
            say("With smqexec:")
        usable = by_queues(files, options, runs["smqexec"])
    except KeyboardInterrupt:
        interrupted = True
    if usable < 2 and not interrupted:
        print("smqexec: fewer than two usable files: name two, or a folder of some", file=sys.stderr)
        return 2
    report(runs, options.top, interrupted)
    say(f"To see such a run as a timeline, open run.html after\n{timeline(arguments)}")
    return 130 if interrupted else 0


def by_queues(files: Files, options: argparse.Namespace, found: "Found") -> int:
    """Put the distances of all pairs of *files* in *found*; return how many files were usable."""
    found.began = monotonic()
    with Scheduler(order=options.order) as scheduler, Queue(1, "submit") as submit:
        disk = Queue(scheduler, 1, "read")
        cores = Queue(scheduler, options.jobs, "compare")
        try:
            with progress(scheduler) if sys.stderr.isatty() else nullcontext():
                sizes = submit.submit(submit_all, files, disk, cores, options.read_delay, found)
                submit.scheduler.wait()
                scheduler.wait()
        except KeyboardInterrupt:
            scheduler.stop()
            scheduler.shutdown(cancel_futures=True)
            raise
        return sum(size.exception() is None for size in sizes.result())


def submit_all(files: Files, disk: Queue, cores: Queue, delay: float, found: "Found") -> list[Task[int]]:
    """Submit everything: each file's own tasks, and then its pair with each file before it."""
    before: list[tuple[str, Task[bytes], Task[int]]] = []
    for y, path in files.items():
        text_y = disk.options(name=f"read {y}").submit(read, path, delay)
        size_y = cores.options(name=f"C({y})").submit(compressed, text_y)
        for task in (text_y, size_y):
            task.add_done_callback(partial(succeeded, y))
        for x, text_x, size_x in before:
            pair = cores.options(name=f"{x} - {y}").submit(distance, text_x, text_y, size_x, size_y)
            pair.add_done_callback(partial(found.add, (x, y)))
        before.append((y, text_y, size_y))
    return [size for _, _, size in before]


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


def succeeded(name: str, future: Future[Any]) -> bool:
    """Whether *future* has a result.  If the failure is its own, and no dependency's, say why."""
    if future.cancelled():
        return False
    error = future.exception()
    if error is not None and getattr(future, "origin", future) is future:
        complain(name, error)
    return error is None


class Pair(NamedTuple):
    """Two files, how unlike they are, and how long it took to know."""

    distance: float
    x: str
    y: str
    seconds: float


class Found:
    """What one run has found so far; *show* is called with each pair that is closer than all before."""

    def __init__(self, show: Callable[[Pair], object] = lambda pair: None) -> None:
        self.began = monotonic()
        self.pairs: list[Pair] = []
        self._show = show
        self._closest = float("inf")
        self._lock = Lock()  # guards all of these; held while a pair is shown, so that they come in order

    def add(self, names: tuple[str, str], future: Future[float]) -> None:
        """Note a pair that is done.  Called by any thread."""
        if succeeded(" and ".join(names), future):
            pair = Pair(future.result(), *names, monotonic() - self.began)
            with self._lock:
                self.pairs.append(pair)
                if pair.distance < self._closest:
                    self._closest = pair.distance
                    self._show(pair)

    def moments(self) -> list[str]:
        """When the first, the half and the last of the pairs were known."""
        times = sorted(pair.seconds for pair in self.pairs)
        return [f"{times[i]:.2f} s" for i in (0, (len(times) - 1) // 2, -1)] if times else ["-"] * 3


def by_phases(files: Files, options: argparse.Namespace, found: Found) -> None:
    """Do the same on plain executors, where each phase waits for all of the one before."""
    found.began = monotonic()
    texts = phase(1, read, {x: (path, options.read_delay) for x, path in files.items()})
    sizes = phase(options.jobs, compressed, {x: (text,) for x, text in texts.items()})
    rows = {(x, y): (texts[x], texts[y], sizes[x], sizes[y]) for x, y in combinations(sizes, 2)}
    phase(options.jobs, distance, rows, found.add)


def phase(workers: int, call: Callable[..., R], rows: dict[K, Any], *notes: Note) -> dict[K, R]:
    """Call *call* with each of *rows*, and return the results there are."""
    futures: dict[K, Future[R]] = {}
    with ThreadPoolExecutor(workers) as pool:
        try:
            for key, row in rows.items():
                futures[key] = pool.submit(call, *row)
                for note in notes:
                    futures[key].add_done_callback(partial(note, key))
            wait(futures.values())
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    return {key: future.result() for key, future in futures.items() if future.exception() is None}


def named(paths: Sequence[str]) -> Files:
    """Return the files meant by *paths*, each once; a directory means its files, at any depth."""
    names: list[str] = []
    for path in paths:
        names += sorted(files_below(path)) if os.path.isdir(path) else [path]
    return {name: Path(name) for name in names}


def files_below(folder: str) -> Iterator[str]:
    """Yield the files in *folder* and its folders, and complain about those without access."""
    for place, _, names in os.walk(folder, onerror=lambda error: complain(error.filename, error)):
        yield from (os.path.join(place, name) for name in names)


def largest_modules() -> Files:
    """Return the standard library's largest modules, as many as BUDGET allows, by name."""
    files = largest(Path(sysconfig.get_path("stdlib")), BUDGET)
    return dict(sorted(files.items()))  # or the small ones, at the end, would go first


def largest(folder: Path, budget: int) -> Files:
    """Return the largest ``.py`` files below *folder* whose pairs have *budget* bytes at most."""
    skipped = {"test", "tests", "idle_test", "site-packages", "dist-packages"}
    names = [path.relative_to(folder) for path in folder.rglob("*.py") if path.is_file()]
    modules = [(folder / name, str(name)) for name in names if skipped.isdisjoint(name.parts)]
    files: Files = {}
    total = 0
    for path, name in sorted(modules, key=lambda module: module[0].stat().st_size, reverse=True):
        total += path.stat().st_size
        if total * (len(files) + 1) > budget:  # each of n files is compressed n times
            break
        files[name] = path
    return files


def complain(name: str, error: BaseException) -> None:
    """Print one line on standard error: what is wrong with *name*."""
    reason = getattr(error, "strerror", None) or repr(error)
    print(f"smqexec: {name}: {reason}", file=sys.stderr, flush=True)


def say(text: str) -> None:
    """Print *text*, escaping what standard output cannot show: names of files may hold anything."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def say_closest(pair: Pair) -> None:
    """Print the closest pair so far, and when it was known."""
    say(f"{pair.seconds:6.2f} s  {pair.distance:6.3f}  {pair.x}  {pair.y}")


def report(runs: dict[str, Found], top: int, interrupted: bool) -> None:
    """Print the closest pairs, and when the first, the half and the last were known."""
    pairs = max((found.pairs for found in runs.values()), key=len)
    say(f"{'Interrupted.  ' if interrupted else ''}Pairs compared: {len(pairs):,}.  The closest:")
    for pair in nsmallest(top, pairs):
        say(f"{pair.distance:7.3f}  {pair.x}  {pair.y}")
    moments = (found.moments() for found in runs.values())
    for row in [("", *runs), *zip(["first pair", "half", "last pair"], *moments, strict=True)]:
        say(f"{row[0]:10}" + "".join(f"{cell:>11}" for cell in row[1:]))


def timeline(arguments: Sequence[str]) -> str:
    """Return the command line that records a run with *arguments* and makes a page of it."""
    python = min(os.path.relpath(sys.executable), sys.executable, key=len)
    setting = "set SMQEXEC_TRACE=run.json&&" if os.name == "nt" else "SMQEXEC_TRACE=run.json"
    run = [python, "-m", "smqexec", *arguments]
    page = [python, "-m", "smqexec.trace", "run.json", "-o", "run.html"]
    return f"{setting} {shlex.join(run)} && {shlex.join(page)}"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser("python -m smqexec", description="Which files are most alike?")
    add = parser.add_argument
    add("paths", nargs="*", metavar="PATH", help="file or directory (the standard library)")
    add("--top", type=positive, default=10, metavar="N", help="how many pairs to print (10)")
    add("--order", choices=["newest", "oldest"], default="newest", help="what goes first (newest)")
    add("--jobs", type=positive, default=CORES, metavar="N", help="how many at once (all cores)")
    add("--compare", action="store_true", help="before, do it by phases on plain ThreadPoolExecutors")
    add("--read-delay", type=seconds, default=0.0, metavar="S", help="wait S seconds at each file (0)")
    return parser.parse_args(arguments)


def positive(text: str) -> int:
    """Return the number that *text* shows, if it is 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an int of 1 or more, not {text!r}")
    return int(text)


def seconds(text: str) -> float:
    """Return the number that *text* shows, if it is from 0 to 60."""
    with suppress(ValueError):
        if 0 <= (number := float(text)) <= 60:
            return number
    raise argparse.ArgumentTypeError(f"must be a number of seconds from 0 to 60, not {text!r}")


if __name__ == "__main__":
    sys.exit(main())
