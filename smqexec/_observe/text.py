"""Text for people: names that may hold anything, counts, and files that can't show every character."""

from __future__ import annotations

from typing import Any

# Characters of a name that are shown.
LONGEST = 60


def printable(name: str) -> str:
    """Return *name*, cut in its middle if it is long, with an escape for each unprintable character."""
    if len(name) > LONGEST:
        half = LONGEST // 2
        name = f"{name[:half]}…{name[-half:]}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


def counted(number: int, one: str, many: str = "") -> str:
    """Return *number* and its noun, in the plural if there is not one: *many*, or *one* with an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def write(text: str, file: Any) -> None:
    """Write *text* to *file* at once, with an escape for each character that its encoding lacks."""
    encoding = getattr(file, "encoding", None) or "utf-8"
    file.write(text.encode(encoding, "backslashreplace").decode(encoding))
    file.flush()
