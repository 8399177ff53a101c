"""Text for people: names that may hold anything, columns, and files that can't show every character."""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

LONGEST = 60  # characters of a name that are shown


def printable(name: str) -> str:
    """Return *name*, cut in its middle if it is long, with an escape for each unprintable character."""
    if len(name) > LONGEST:
        half = LONGEST // 2
        name = f"{name[:half]}…{name[-half:]}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


def columns(rows: Iterable[Sequence[str]], align: Callable[[str, int], str] = str.ljust) -> list[str]:
    """Return a line for each row, with all columns but the first aligned by *align*."""
    rows = list(rows)
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = ([head.ljust(first), *map(align, cells, others)] for head, *cells in rows)
    return ["  ".join(line).rstrip() for line in lines]


def write(text: str, file: Any) -> None:
    """Write *text* to *file* at once, with an escape for each character that its encoding lacks."""
    encoding = getattr(file, "encoding", None) or "utf-8"
    file.write(text.encode(encoding, "backslashreplace").decode(encoding))
    file.flush()


def is_terminal(file: Any) -> bool:
    try:
        return bool(file.isatty()) and os.environ.get("TERM") not in ("dumb", "unknown")
    except Exception:  # None, closed, or without such a method
        return False
