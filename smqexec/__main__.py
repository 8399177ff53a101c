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
the last pair that needs it.  A file that can't be read fails its ``read``, and all tasks that need the text.
The compressor is ``lzma``, which releases the GIL while it works.
"""

import argparse
import lzma
import os
import shlex
import sys
import sysconfig
from bisect import insort
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from smqexec import Queue, Scheduler, Task, as_completed, progress

Files = dict[str, Path]  # by the name to show
BUDGET = 300_000_000  # bytes to compress: some 6 s on two cores


class Pair(NamedTuple):
    """Two files, how unlike they are, and how many seconds it took to know."""

    distance: float
    x: str
    y: str
    seconds: float


def main(argv: Sequence[str] | None = None) -> int:
    """Compare, report, and return the exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    options = parse(arguments)
    pairs: list[Pair] = []  # sorted

    def show(pair: Pair) -> None:
        insort(pairs, pair)
        if pairs[0] is pair:
            say(f"{pair.seconds:6.2f} s  {pair.distance:6.3f}  {pair.x}  {pair.y}")

    interrupted = False
    try:
        files = named(options.paths) if options.paths else largest(Path(sysconfig.get_path("stdlib")), BUDGET)
        if len(files) > 1:
            where = "" if options.paths else " of the standard library"
            say(f"{len(files)} files{where}: which are most alike?  The closest so far:")
        compare(files, options.jobs, options.order, show)
    except KeyboardInterrupt:
        interrupted = True
    if not pairs and not interrupted:
        print("smqexec: fewer than two usable files: name two, or a folder of some", file=sys.stderr)
        return 2
    say(f"{'Interrupted.  ' if interrupted else ''}Pairs compared: {len(pairs):,}.  The closest:")
    for pair in pairs[: options.top]:
        say(f"{pair.distance:7.3f}  {pair.x}  {pair.y}")
    if pairs:
        moments = sorted(pair.seconds for pair in pairs)
        first, half, last = moments[0], moments[(len(moments) - 1) // 2], moments[-1]
        say(f"First pair after {first:.2f} s, half after {half:.2f} s, last after {last:.2f} s")
    run = shlex.join([sys.executable, "-m", "smqexec", *arguments])
    page = shlex.join([sys.executable, "-m", "smqexec.trace", "run.json", "-o", "run.html"])
    say(f"To see such a run as a timeline, open run.html after\nSMQEXEC_TRACE=run.json {run} && {page}")
    return 130 if interrupted else 0


def compare(files: Files, jobs: int, order: str, show: Callable[[Pair], object]) -> None:
    """Call *show* with each pair of *files* as it becomes known; complain about files that can't be used."""
    began = monotonic()
    with Scheduler(order=order) as scheduler:  # after Ctrl-C its end cancels the pending tasks
        disk, cores = Queue(scheduler, 1, "read"), Queue(scheduler, jobs, "compare")
        with progress(scheduler) if sys.stderr.isatty() else nullcontext():
            tasks = submit_all(files, disk, cores)
            for task in as_completed(tasks):
                names = tasks[task]
                error = task.exception()
                if error is None and len(names) == 2:
                    show(Pair(task.result(), *names, monotonic() - began))
                elif error is not None and (len(names) == 1 or task.origin is task):
                    complain(" and ".join(names), error)


def submit_all(files: Files, disk: Queue, cores: Queue) -> dict[Task[Any], tuple[str, ...]]:
    """Submit all tasks; return the files of each but those that read: their results would stay in memory."""
    tasks: dict[Task[Any], tuple[str, ...]] = {}
    before: list[tuple[str, Task[bytes], Task[int]]] = []
    for y, path in files.items():
        text_y = disk.options(name=f"read {y}").submit(read, path)
        size_y = cores.options(name=f"C({y})").submit(compressed, text_y)
        tasks[size_y] = (y,)
        for x, text_x, size_x in before:
            pair = cores.options(name=f"{x} - {y}").submit(distance, text_x, text_y, size_x, size_y)
            tasks[pair] = (x, y)
        before.append((y, text_y, size_y))
    return tasks


def read(path: Path) -> bytes:
    """Return the bytes in *path*, or raise OSError if there are none to compress."""
    if path.exists() and not path.is_file():
        raise OSError(0, "not a regular file")
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


def largest(folder: Path, budget: int) -> Files:
    """Return the largest ``.py`` files below *folder* whose pairs have *budget* bytes at most, by name."""
    skipped = {"test", "tests", "idle_test", "site-packages", "dist-packages"}
    names = [path.relative_to(folder) for path in folder.rglob("*.py") if path.is_file()]
    modules = [(str(name), folder / name) for name in names if skipped.isdisjoint(name.parts)]
    files: Files = {}
    total = 0
    for name, path in sorted(modules, key=lambda module: module[1].stat().st_size, reverse=True):
        total += path.stat().st_size
        if total * (len(files) + 1) > budget:  # each of n files is compressed n times
            break
        files[name] = path
    return dict(sorted(files.items()))  # or the small ones, at the end, would go first


def complain(name: str, error: BaseException) -> None:
    """Print *name* and its *error* as one line on standard error."""
    reason = getattr(error, "strerror", None) or repr(error)
    print(f"smqexec: {name}: {reason}", file=sys.stderr, flush=True)


def say(text: str) -> None:
    """Print *text*, escaping characters that standard output can't show: names of files may hold anything."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options that the command line gives."""
    parser = argparse.ArgumentParser("python -m smqexec", description="Which files are most alike?")
    add = parser.add_argument
    add("paths", nargs="*", metavar="PATH", help="file or directory (the standard library)")
    add("--top", type=int, default=10, metavar="N", help="how many pairs to print (10)")
    add("--order", choices=["newest", "oldest"], default="newest", help="what goes first (newest)")
    add("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="how many at once (all cores)")
    options = parser.parse_args(arguments)
    if options.top < 1 or options.jobs < 1:
        parser.error("--top and --jobs must be 1 or more")
    return options


if __name__ == "__main__":
    sys.exit(main())
