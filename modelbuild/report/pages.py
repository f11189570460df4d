"""HTML pages that hold all they need: styles, drawings and text in one file, no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from modelbuild.names import portable
from modelbuild.report import svg
from modelbuild.report.words import counted
from modelbuild.usecases.graphing import GraphView

_SMALLEST = 0.75
"""What a drawing may shrink to before its page scrolls."""

_STYLE = (
    f":root{{color-scheme:light dark;{svg.LIGHT}}}@media (prefers-color-scheme:dark){{:root{{{svg.DARK}}}}}"
    f"body{{margin:0 auto;max-width:1240px;padding:24px 20px 64px;background:var(--page);color:var(--ink);font:15px/1.5 {svg.FONT}}}"
    "h1{font-size:26px;margin:0 0 4px}h2{font-size:20px;margin:40px 0 8px}h3{font-size:16px;margin:24px 0 6px}"
    "p{margin:6px 0;max-width:80ch}.faint{color:var(--faint)}.scroll{overflow-x:auto;margin:8px 0}"
    "table{border-collapse:collapse;font-size:13.5px}th,td{text-align:left;vertical-align:top;padding:4px 14px 4px 0;"
    "border-bottom:1px solid color-mix(in srgb,var(--line) 40%,transparent)}th{font-weight:600}td.number{text-align:right;"
    "font-variant-numeric:tabular-nums}code{font:12.5px/1.5 ui-monospace,'DejaVu Sans Mono',monospace;overflow-wrap:anywhere}"
    "summary{cursor:pointer}details{margin:8px 0}"
)


def page(title: str, body: Sequence[str], style: str = "") -> str:
    """Return a whole page."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>{text(title)}</title>'
    policy = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    return svg.plainly(
        "\n".join(
            [
                '<!DOCTYPE html><html lang="en">',
                f"<head>{head}{policy}<style>{_STYLE}{svg.DRAWN}{style}</style></head>",
                "<body>",
                *body,
                "</body></html>",
            ]
        )
    )


def text(value: str) -> str:
    """Write text for a page: what is no character there is shown as one that stands for it."""
    return escape("".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in value))


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: frozenset[int] = frozenset()) -> str:
    """Return a table of cells that are HTML already; the columns `numbers` stand to the right."""
    cells = "".join(
        f"<tr>{''.join(f'<td class=number>{cell}</td>' if i in numbers else f'<td>{cell}</td>' for i, cell in enumerate(row))}</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><tr>{"".join(f"<th>{text(one)}</th>" for one in head)}</tr>{cells}</table></div>'


def graph(view: GraphView) -> str:
    """Return the graph as a page: drawn, and as a table with everything that a box has no room for."""
    merges = [node for node in view.nodes if node.kind == "merge"]
    told = f"{counted(len(view.nodes) - len(merges), 'source')}, {counted(len(merges), 'merge')}"
    return page("graph of merges", [f'<h1>Graph of merges</h1><p class="faint">{told}</p>', figure(view), *listed(view)])


def figure(view: GraphView) -> str:
    """Return the drawing, in a box of its own that scrolls where the page is narrow."""
    note = '<p class="faint">Left or above stands what is read. A dashed line leads from the base, to which differences are taken.</p>'
    return f'<div class="scroll">{svg.drawn(view, least=_SMALLEST)}</div>{note}'


def listed(view: GraphView) -> list[str]:
    """Return the nodes as two tables."""
    sources = [node for node in view.nodes if node.kind == "source"]
    merges = [node for node in view.nodes if node.kind == "merge"]
    rows = [
        [
            f"<b>{text(node.name)}</b>",
            text(node.label),
            text(", ".join(node.inputs)),
            "<br>".join(text(f"{k}: {v}") for k, v in node.details),
        ]
        for node in merges
    ]
    models = [
        [f"<b>{text(node.name)}</b>", f"<code>{text(portable(node.label))}</code>", "<br>".join(text(f"{k} {v}") for k, v in node.details)]
        for node in sources
    ]
    return [
        "<h2>Merges</h2>",
        table(("merge", "method", "reads", "as written"), rows),
        *(["<h2>Sources</h2>", table(("source", "from", ""), models)] if sources else []),
    ]
