"""A drawing of the seconds that each merge took, as SVG: bars on a logarithmic scale, for the slowest takes a hundred times the fastest."""

from __future__ import annotations

from html import escape
from math import ceil, floor, log10
from typing import TYPE_CHECKING

import figures
from figures import COPY, MERGEKIT, OURS
from workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from figures import Results

COLOURS = {MERGEKIT: "#b0763d", OURS: "#2f6db3", COPY: "#9aa0a6"}
LEFT, RIGHT, WIDTH = 250, 80, 860
TOP, BAR, GAP = 74, 15, 14


def drawing(results: Results, shape: str) -> str:
    """Draw the merges of a shape."""
    workloads = results["shapes"][shape]["workloads"]
    groups = [
        (workload.title, [(name, figures.middle(runs)) for name in COLOURS if (runs := figures.runs_of(workloads, workload, name))])
        for workload in WORKLOADS.values()
        if workload.name in workloads
    ]
    seconds = [value for _, bars in groups for _, value in bars]
    low, high = floor(log10(min(seconds))), ceil(log10(max(seconds)))
    per_decade = (WIDTH - LEFT - RIGHT) / max(1, high - low)
    bottom = TOP + sum(len(bars) * BAR + GAP for _, bars in groups)

    def across(value: float) -> float:
        return LEFT + per_decade * (log10(value) - low)

    parts = [_text(16, 26, f"Seconds to merge {shape}", "font-weight='600' font-size='16'"), *_legend()]
    for power in range(low, high + 1):
        x = across(10.0**power)
        parts.append(f"<line x1='{x:.1f}' y1='{TOP - 6}' x2='{x:.1f}' y2='{bottom}' stroke='#dddddd'/>")
        parts.append(_text(x, bottom + 16, f"{10.0**power:g} s", "text-anchor='middle' fill='#666666'"))
    parts += _bars(groups, across(10.0**low), per_decade, low)
    head = f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{bottom + 28}' font-family='sans-serif' font-size='12'>"
    title = f"<title>Seconds to merge {escape(shape)}, on a logarithmic scale</title>"
    return "\n".join([head, title, "<rect width='100%' height='100%' fill='white'/>", *parts, "</svg>"]) + "\n"


def _legend() -> list[str]:
    parts, x = [], 16
    for name, colour in COLOURS.items():
        parts.append(f"<rect x='{x}' y='42' width='12' height='12' fill='{colour}'/>")
        parts.append(_text(x + 18, 52, name))
        x += 110
    return parts


def _bars(groups: Sequence[tuple[str, Sequence[tuple[str, float]]]], start: float, per_decade: float, low: int) -> list[str]:
    parts, y = [], TOP
    for title, bars in groups:
        parts.append(_text(LEFT - 10, y + len(bars) * BAR / 2 + 4, title, "text-anchor='end'"))
        for name, value in bars:
            width = max(1.0, per_decade * (log10(value) - low))
            parts.append(f"<rect x='{start:.1f}' y='{y}' width='{width:.1f}' height='{BAR - 3}' fill='{COLOURS[name]}'/>")
            parts.append(_text(start + width + 5, y + BAR - 5, f"{value:.3g} s"))
            y += BAR
        y += GAP
    return parts


def _text(x: float, y: float, words: str, more: str = "") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' {more}>{escape(words)}</text>"
