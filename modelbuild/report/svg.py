"""The graph of merges as an SVG that needs nothing else: no font, no script, no network; for light pages and dark."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise

from msgspec import Struct

from modelbuild.names import portable
from modelbuild.report.layered import Laid, lay_out
from modelbuild.usecases.graphing import GraphNode, GraphView

LIGHT = (
    "--page:#ffffff;--ink:#1f2328;--faint:#59636e;--line:#818b98;--source:#ddf0fb;--source-line:#3b82b6;--merge:#f6f8fa;"
    "--merge-line:#818b98;--target:#fff3da;--target-line:#b07a10"
)
DARK = (
    "--page:#0d1117;--ink:#e6edf3;--faint:#a3acb8;--line:#767f8b;--source:#12293d;--source-line:#58a6d8;--merge:#1a2029;"
    "--merge-line:#767f8b;--target:#33280f;--target-line:#d9a32e"
)
"""Colours of both pages."""

FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif"

DRAWN = (
    f".graph text{{font-family:{FONT};fill:var(--ink);font-size:12px}}"
    ".graph .name{font-size:14px;font-weight:600}.graph .faint{fill:var(--faint)}"
    ".graph rect{stroke-width:1.2}.graph .source{fill:var(--source);stroke:var(--source-line)}"
    ".graph .merge{fill:var(--merge);stroke:var(--merge-line)}.graph .target{fill:var(--target);stroke:var(--target-line)}"
    ".graph path{fill:none;stroke:var(--line);stroke-width:1.4}.graph .base{stroke-dasharray:5 4}"
    ".graph .head{fill:var(--line);stroke:none}"
)
"""How the parts of a graph look, on a page that has the colours."""

MARGIN, PAD, LINE = 16, 11, 17
BETWEEN, BESIDE, LANE = 60, 16, 14
NARROWEST, WIDEST = 92, 250
WIDE = 1300
"""A drawing wider than this runs downwards instead, if that makes it narrower."""
MOST_DETAILS = 6
"""Lines of a box below its name and label."""
_SIZES = {"name": 14, "faint": 12}


class _Box(Struct, frozen=True):
    """A node with its lines as (class, text), and its size."""

    node: GraphNode
    kind: str
    lines: tuple[tuple[str, str], ...]
    width: float
    height: float


def svg(view: GraphView) -> str:
    """Draw the graph as a file of its own."""
    style = f":root{{{LIGHT}}}@media (prefers-color-scheme:dark){{:root{{{DARK}}}}}{DRAWN}.page{{fill:var(--page)}}"
    return plainly(drawn(view, f'<style>{style}</style><rect class="page" width="100%" height="100%"/>'))


def plainly(document: str) -> str:
    """Write a document with nothing but ASCII, whatever it will be served or shown as."""
    return document.encode("ascii", "xmlcharrefreplace").decode()


def drawn(view: GraphView, head: str = "", least: float = 0) -> str:
    """Draw the graph as an element of a page, which has the colours and `DRAWN`.

    Args:
        view: the graph.
        head: stands before all that is drawn.
        least: to which share of its size the page may shrink it; 0 for no page.

    """
    boxes = {box.node.name: box for box in map(_box, view.nodes, _kinds(view))}
    inputs = {node.name: node.inputs for node in view.nodes}
    across = lay_out(inputs, {name: box.height for name, box in boxes.items()}, BESIDE, LANE)
    size, places = _placed(boxes, across, down=False)
    if size[0] > WIDE:
        along = lay_out(inputs, {name: box.width for name, box in boxes.items()}, BESIDE, LANE)
        other, others = _placed(boxes, along, down=True)
        if other[0] < size[0]:
            return "\n".join(
                [*_opened(view, other, head, least), *_edges(boxes, along, others, down=True), *_boxes(boxes, others), "</svg>"]
            )
    return "\n".join([*_opened(view, size, head, least), *_edges(boxes, across, places, down=False), *_boxes(boxes, places), "</svg>"])


def _kinds(view: GraphView) -> Iterator[str]:
    """Yield of each node whether it is a source, a merge, or one that nobody reads."""
    read = {name for node in view.nodes for name in node.inputs}
    for node in view.nodes:
        yield node.kind if node.kind == "source" or node.name in read else "target"


def _box(node: GraphNode, kind: str) -> _Box:
    label = portable(node.label) if node.kind == "source" else node.label
    details = [line for name, value in node.details for line in _wrapped(f"{name} {value}")]
    if len(details) > MOST_DETAILS:
        details = [*details[: MOST_DETAILS - 1], "…"]
    lines = (("name", node.name), *(("faint", part) for part in _wrapped(label)), *(("faint", detail) for detail in details))
    width = min(max(NARROWEST, *(_width(text, _SIZES[kind]) for kind, text in lines)) + 2 * PAD, WIDEST)
    return _Box(node, kind, lines, width, len(lines) * LINE + 2 * PAD - 4)


def _placed(boxes: dict[str, _Box], laid: Laid, *, down: bool) -> tuple[tuple[float, float], dict[str, tuple[float, float]]]:
    """Return the size of the drawing, and the upper left corner of each box."""
    depths = [0.0] * (max(laid.layers.values(), default=-1) + 1)
    for name, layer in laid.layers.items():
        depths[layer] = max(depths[layer], boxes[name].height if down else boxes[name].width)
    starts = [MARGIN + sum(depths[:i]) + BETWEEN * i for i in range(len(depths))]
    end = (starts[-1] + depths[-1] if depths else MARGIN) + MARGIN
    places = {}
    for name, box in boxes.items():
        layer = laid.layers[name]
        along = starts[layer] + (depths[layer] - (box.height if down else box.width)) / 2
        middle = MARGIN + laid.at[name]
        places[name] = (middle - box.width / 2, along) if down else (along, middle - box.height / 2)
    span = laid.span + 2 * MARGIN
    return ((span, end) if down else (end, span)), places


def _opened(view: GraphView, size: tuple[float, float], head: str, least: float) -> Iterator[str]:
    width, height = (f"{one:.0f}" for one in size)
    merges = sum(node.kind == "merge" for node in view.nodes)
    told = f"{len(view.nodes) - merges} sources, {merges} merges"
    fit = f' style="max-width:100%;min-width:{least * size[0]:.0f}px;height:auto"' if least else ""
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="graph" role="img"{fit} aria-label="graph of merges: {told}" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}">{head}'
    )
    yield (
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="head" d="M0 0L8 4L0 8z"/></marker></defs>'
    )


def _edges(boxes: dict[str, _Box], laid: Laid, places: dict[str, tuple[float, float]], *, down: bool) -> Iterator[str]:
    """Yield the edges: through the layers between two boxes straight, between layers in curves."""
    depths: dict[int, list[float]] = {}
    for name, layer in laid.layers.items():
        start = places[name][1 if down else 0]
        depths.setdefault(layer, []).extend((start, start + (boxes[name].height if down else boxes[name].width)))
    for (one, other), middles in laid.edges.items():
        first, last = laid.layers[one], laid.layers[other]
        points: list[tuple[float, float]] = []
        for i, middle in enumerate(middles):
            spans = depths[first + i]
            own = boxes[one if i == 0 else other]
            start = places[one if i == 0 else other][1 if down else 0]
            end = start + (own.height if down else own.width)
            if i == 0:
                points.append((end, middle + MARGIN))
            elif first + i == last:
                points.append((start, middle + MARGIN))
            else:
                points += [(min(spans), middle + MARGIN), (max(spans), middle + MARGIN)]
        kind = ' class="base"' if boxes[other].node.base == one else ""
        yield f'<path{kind} marker-end="url(#head)" d="{_curve(points, down=down)}"><title>{escape(f"{one} → {other}")}</title></path>'


def _curve(points: Sequence[tuple[float, float]], *, down: bool) -> str:
    """Return a path through points (along, across), which leaves and meets each in the direction of the layers."""

    def at(along: float, across: float) -> str:
        return f"{across:.1f} {along:.1f}" if down else f"{along:.1f} {across:.1f}"

    told = [f"M{at(*points[0])}"]
    for (start, left), (end, right) in pairwise(points):
        bend = (end - start) / 2
        told.append(f"L{at(end, right)}" if left == right else f"C{at(start + bend, left)} {at(end - bend, right)} {at(end, right)}")
    return "".join(told)


def _boxes(boxes: dict[str, _Box], places: dict[str, tuple[float, float]]) -> Iterator[str]:
    for name, box in boxes.items():
        x, y = places[name]
        whole = f"{box.node.name}\n{portable(box.node.label) if box.node.kind == 'source' else box.node.label}" + "".join(
            f"\n{key}: {value}" for key, value in box.node.details
        )
        corner = box.height / 2 if box.kind == "source" and len(box.lines) < 3 else 12 if box.kind == "source" else 4
        size = f'width="{box.width:.0f}" height="{box.height:.0f}" rx="{corner:.0f}"'
        yield f'<g><title>{_text(whole)}</title><rect class="{box.kind}" x="{x:.1f}" y="{y:.1f}" {size}/>'
        for i, (kind, text) in enumerate(box.lines):
            line = _cut(text, box.width - 2 * PAD, _SIZES[kind])
            yield f'<text class="{kind}" xml:space="preserve" x="{x + PAD:.1f}" y="{y + PAD + 11 + i * LINE:.1f}">{_text(line)}</text>'
        yield "</g>"


def _text(text: str) -> str:
    """Write text for XML, which has no place for control characters."""
    return escape("".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text))


def _width(text: str, size: int) -> float:
    """Return about how wide a text is, in a font that is rather wide."""
    return sum(_advance(char) for char in text) * size


def _advance(char: str) -> float:
    if unicodedata.east_asian_width(char) in "WF":
        return 1.0
    if char in "il.,:;|![]()'/ ":
        return 0.37
    return 0.9 if char in "mwMW@…→" else 0.7 if char.isupper() else 0.61


def _wrapped(text: str) -> Iterator[str]:
    """Break a setting where a rule or a value ends, into lines that fit the widest box."""
    line = ""
    for word in re.findall(r".*?(?:; |(?<!\[\d)(?<!\[\d\d)(?<!\[\d\d\d), |(?<=[^/])/(?=[^/])|$)", text):
        if line and _width(line + word.rstrip(), _SIZES["faint"]) > WIDEST - 2 * PAD:
            yield line.rstrip()
            line = "    "
        line += word
    if line.strip():
        yield line.rstrip()


def _cut(text: str, room: float, size: int) -> str:
    if _width(text, size) <= room:
        return text
    cut = text
    while cut and _width(cut + "…", size) > room:
        cut = cut[:-1]
    return cut.rstrip() + "…"
