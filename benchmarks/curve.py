"""A picture of final results over time, as SVG.  Legible on white and on black: it has no background."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 860, 400
TOP, BOTTOM = 64, 345  # of both panels
GREY = "#808080"  # has the same contrast to white and to black, nearly
COLOURS = ("#2a7de1", "#e0701a", "#16a070")
DASHES = ("", "7 5", "")  # the second one may lie on the first
TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)

Curves = Mapping[str, Sequence[float]]  # when the first, second, ... result was there, in ms


class Panel(NamedTuple):
    """A diagram of its own: up to *ms* and *results*, between *left* and *right*."""

    left: float
    right: float
    ms: float
    results: float

    def x(self, ms: float) -> float:
        return self.left + (self.right - self.left) * ms / self.ms

    def y(self, results: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * results / self.results


def svg(curves: Curves) -> str:
    """Draw *curves*: all of them on the left, their beginning on the right."""
    last = max(times[-1] for times in curves.values())
    latest = max(times[0] for times in curves.values())
    count = max(len(times) for times in curves.values())
    begun = 1.6 * latest
    there = max(max(sum(at <= begun for at in times) for times in curves.values()), 1)
    return picture(
        HEIGHT,
        *legend(list(curves)),
        *diagram(Panel(62, 415, 1.04 * last, 1.04 * count), curves, "all"),
        *diagram(Panel(500, 848, begun, 1.04 * there), curves, "the beginning"),
    )


def picture(height: float, *lines: str) -> str:
    """Return an SVG picture of that *height*, in which *lines* are drawn."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="Helvetica, Arial, sans-serif" font-size="14" fill="{GREY}">'
    )
    return "\n".join([head, *lines, "</svg>", ""])


def legend(names: Sequence[str]) -> Iterator[str]:
    x = 62
    for name, colour, dash in zip(names, COLOURS, DASHES, strict=False):
        yield f'<path d="M{x} 20h34" stroke="{colour}" stroke-width="3" stroke-dasharray="{dash}"/>'
        yield f'<text x="{x + 42}" y="25" fill="{colour}" font-weight="bold">{escape(name)}</text>'
        x += 80 + 8 * len(name)


def diagram(panel: Panel, curves: Curves, title: str) -> Iterator[str]:
    yield f'<path d="M{panel.left} {TOP}V{BOTTOM}H{panel.right}" fill="none" stroke="{GREY}"/>'
    for ms in ticks(panel.ms):
        x = panel.x(ms)
        yield f'<path d="M{x:.1f} {BOTTOM}v5" stroke="{GREY}"/>'
        yield f'<text x="{x:.1f}" y="{BOTTOM + 20}" text-anchor="middle">{ms}</text>'
    for results in ticks(panel.results):
        y = panel.y(results)
        yield f'<path d="M{panel.left} {y:.1f}H{panel.right}" stroke="{GREY}" stroke-opacity="0.3"/>'
        yield f'<text x="{panel.left - 7}" y="{y + 5:.1f}" text-anchor="end">{results}</text>'
    middle = (panel.left + panel.right) / 2
    yield f'<text x="{middle}" y="{BOTTOM + 42}" text-anchor="middle">ms since the first submission</text>'
    yield f'<text x="{panel.left}" y="{TOP - 10}">final results: {title}</text>'
    for times, colour, dash in zip(curves.values(), COLOURS, DASHES, strict=False):
        yield (
            f'<path d="{steps(panel, times)}" fill="none" stroke="{colour}" stroke-width="2.5" '
            f'stroke-dasharray="{dash}"/>'
        )


def ticks(limit: float) -> range:
    """Round numbers from 0, some six of them."""
    step = next((tick for tick in TICKS if limit / tick <= 7), TICKS[-1])
    return range(0, int(limit) + 1, step)


def steps(panel: Panel, times: Sequence[float]) -> str:
    """The path of a curve, which rises by one at each of *times*."""
    path = [f"M{panel.x(0):.1f} {panel.y(0):.1f}"]
    seen = 0
    for at in times:
        if at > panel.ms:
            break
        seen += 1
        path.append(f"H{panel.x(at):.1f}V{panel.y(seen):.1f}")
    if seen < len(times):
        path.append(f"H{panel.x(panel.ms):.1f}")
    return "".join(path)
