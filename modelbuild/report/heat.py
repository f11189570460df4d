"""Heat maps of layers by modules, as SVG that takes its colours from the page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct

from modelbuild.report.pages import text

STEPS = 7
_LIGHT = ("#eef4fa", "#cfe1f2", "#a6cbe6", "#74aed6", "#3f8bc0", "#1c679f", "#0b3f70")
_DARK = ("#14222f", "#173a54", "#1b5479", "#22709f", "#3c90c4", "#70b2de", "#b5d9f3")
_BRIGHT = 4
"""The step from which the writing in a cell changes to that of the other page."""

STYLE = (
    f":root{{{''.join(f'--h{i}:{one};' for i, one in enumerate(_LIGHT))}--on:#ffffff;--off:#1f2328}}"
    f"@media (prefers-color-scheme:dark){{:root{{{''.join(f'--h{i}:{one};' for i, one in enumerate(_DARK))}--on:#0d1117;--off:#e6edf3}}}}"
    ".heat text{font:11px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:var(--faint)}"
    ".heat .cell{text-anchor:middle;font-size:10.5px}.heat .column{text-anchor:middle}.heat .row{text-anchor:end}"
    f"{''.join(f'.heat .h{i}{{fill:var(--h{i})}}' for i in range(STEPS))}"
    ".heat .on{fill:var(--on)}.heat .off{fill:var(--off)}.heat .none{fill:none;stroke:var(--line);stroke-width:.7;stroke-dasharray:2 2}"
)
"""What a page with heat maps needs."""

_MOST_ROWS = 48
_WRITTEN, _NARROW, _WIDE = 54, 9, 26
_HEIGHT, _GAP = 20, 2
_LETTER = 6.6
_WRITTEN_COLUMNS = 14
"""Up to so many columns a cell has its number written in it."""


class Cell(Struct, frozen=True):
    """A tensor's place and number: None where nothing was measured; a layer of -1 is none."""

    name: str
    module: str
    layer: int
    value: float | None


def heat_map(cells: Sequence[Cell], written: Callable[[float], str]) -> str:
    """Draw a heat map: dark is much on a light page, bright on a dark one.

    Args:
        cells: of one number each; of a model with very many modules those that differ in a number alone share a row, as their mean.
        written: how a number looks.

    """
    table = _table(cells)
    rows = list(dict.fromkeys(row for row, _ in table))
    columns = sorted({column for _, column in table})
    known = [value for value, _, _ in table.values() if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    label = max((len(_shown(row)) for row in rows), default=0) * _LETTER + 10
    wide = _WRITTEN if len(columns) <= _WRITTEN_COLUMNS else max(_NARROW, min(_WIDE, 900 // len(columns)))
    width, height = label + len(columns) * (wide + _GAP) + 10, 18 + len(rows) * (_HEIGHT + _GAP) + 4
    size = f'width="{width:.0f}" height="{height}" viewBox="0 0 {width:.0f} {height}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" class="heat" role="img" {size}>']
    step = max(1, -(-28 // (wide + _GAP)))
    for i, column in enumerate(columns):
        if wide == _WRITTEN or column < 0 or column % step == 0:
            x = label + i * (wide + _GAP) + wide / 2
            parts.append(f'<text class="column" x="{x:.1f}" y="12">{"-" if column < 0 else column}</text>')
    for j, row in enumerate(rows):
        y = 18 + j * (_HEIGHT + _GAP)
        parts.append(f'<text class="row" x="{label - 8:.1f}" y="{y + 14}">{text(_shown(row))}</text>')
        for i, column in enumerate(columns):
            if (row, column) in table:
                value, name, count = table[row, column]
                parts += _cell(
                    label + i * (wide + _GAP),
                    y,
                    wide,
                    value,
                    (low, high),
                    f"{name}{f' and {count - 1} more' if count > 1 else ''}",
                    written,
                )
    return "".join([*parts, "</svg>"])


def legend(cells: Sequence[Cell], written: Callable[[float], str]) -> str:
    """Draw from which number to which the colours go."""
    known = [cell.value for cell in cells if cell.value is not None]
    if not known:
        return ""
    swatches = "".join(f'<rect class="h{i}" x="{i * 16}" width="16" height="10"/>' for i in range(STEPS))
    ramp = f'<svg xmlns="http://www.w3.org/2000/svg" class="heat" width="{16 * STEPS}" height="10" aria-hidden="true">{swatches}</svg>'
    return f'<p class="faint">{written(min(known))} {ramp} {written(max(known))}</p>'


def _cell(
    x: float, y: float, wide: int, value: float | None, ends: tuple[float, float], name: str, written: Callable[[float], str]
) -> Iterator[str]:
    told = "nothing to measure" if value is None else written(value)
    kind = "none" if value is None else f"h{_step(value, *ends)}"
    yield f'<g><title>{text(name)}: {told}</title><rect class="{kind}" x="{x:.1f}" y="{y}" width="{wide}" height="{_HEIGHT}" rx="2"/>'
    if value is not None and wide == _WRITTEN:
        ink = "on" if _step(value, *ends) >= _BRIGHT else "off"
        yield f'<text class="cell {ink}" x="{x + wide / 2:.1f}" y="{y + 14}">{told}</text>'
    yield "</g>"


def _step(value: float, low: float, high: float) -> int:
    return min(STEPS - 1, int((value - low) / (high - low) * STEPS)) if high > low else STEPS // 2


def _table(cells: Sequence[Cell]) -> Mapping[tuple[str, int], tuple[float | None, str, int]]:
    """Return the number of each row and column, with the name of a tensor and how many share the place."""
    many = len({cell.module for cell in cells}) > _MOST_ROWS
    held: dict[tuple[str, int], list[Cell]] = {}
    for cell in cells:
        row = re.sub(r"(?<=\.)\d+(?=\.)", "*", cell.module) if many else cell.module
        held.setdefault((row, cell.layer), []).append(cell)
    found = {}
    for place, shared in held.items():
        known = [cell.value for cell in shared if cell.value is not None]
        found[place] = (sum(known) / len(known) if known else None, shared[0].name, len(shared))
    return found


def _shown(module: str) -> str:
    return module.removesuffix(".weight")
