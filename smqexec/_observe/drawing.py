"""Boxes and arrows in the language of Mermaid.

A name may hold any character.  In Mermaid almost each of them may have a meaning, also in quotes:
``#`` begins an entity, ``__`` bold text.  So all but letters, digits and spaces become entities.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from string import ascii_letters, digits
from typing import NamedTuple

from .text import printable

# The frame of a box: dashed, it waits; solid, it is ready; bold, it runs; dotted, it is from outside.
_STYLES = {
    "waiting": "stroke-dasharray:6 3",
    "ready": "stroke-width:1px",
    "running": "stroke-width:4px",
    "outside": "stroke-dasharray:1 3",
}

_PLAIN = frozenset(f"{ascii_letters}{digits} ")


class Box(NamedTuple):
    """A node as it is drawn."""

    title: str
    detail: str  # a second line
    queue: str  # the frame around it; empty: no frame
    state: str  # its style


#: From one of the boxes to another, by index, and a label.
Arrow = tuple[int, int, str]


def mermaid(boxes: Sequence[Box], arrows: Iterable[Arrow]) -> str:
    """Return the drawing in the language of Mermaid."""
    frames: dict[str, list[str]] = {}
    for place, (title, detail, queue, state) in enumerate(boxes):
        box = f'n{place}["{_in_mermaid(title)}<br/>{_in_mermaid(detail)}"]:::{state}'
        frames.setdefault(queue, []).append(box)
    lines = ["flowchart LR"]
    for number, (queue, inside) in enumerate(frames.items()):
        if queue:
            lines.append(f'  subgraph q{number}["{_in_mermaid(printable(queue))}"]')
            lines += [*(f"    {box}" for box in inside), "  end"]
        else:
            lines += [f"  {box}" for box in inside]
    for source, target, label in arrows:
        mark = f'|"{_in_mermaid(label)}"|' if label else ""
        lines.append(f"  n{source} -->{mark} n{target}")
    lines += [f"  classDef {state} {style}" for state, style in _STYLES.items()]
    return "\n".join([*lines, ""])


def _in_mermaid(text: str) -> str:
    return "".join(c if c in _PLAIN else f"#{ord(c)};" for c in text)
