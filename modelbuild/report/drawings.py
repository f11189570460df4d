"""The graph of merges drawn: as a tree of text, for mermaid, for graphviz, as SVG and as a page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from modelbuild.report.page import Look
from modelbuild.usecases.flowchart import mermaid, told
from modelbuild.usecases.graphing import GraphNode, GraphView


def tree(view: GraphView, look: Look) -> str:
    """Draw each merge that nobody reads above what it reads; what was drawn before is only named."""
    nodes = {node.name: node for node in view.nodes}
    read = {name for node in view.nodes for name in node.inputs}
    drawn: set[str] = set()
    lines: list[str] = []
    for root in (node for node in view.nodes if node.name not in read):
        lines += _branch(root, nodes, drawn, look, ("", ""))
    return "\n".join(lines)


def _branch(node: GraphNode, nodes: dict[str, GraphNode], drawn: set[str], look: Look, lead: tuple[str, str]) -> Iterator[str]:
    """Draw a node and what it reads.

    Args:
        node: what is drawn.
        nodes: all of them.
        drawn: names of those whose inputs stand above already.
        look: how.
        lead: what stands before its own line, and before the lines below it.

    """
    again = bool(node.inputs) and node.name in drawn
    label = "see above" if again else node.label
    name = look.paint("bold", node.name) if node.kind == "merge" else node.name
    yield f"{lead[0]}{name}  {look.paint('faint', label)}"
    if again:
        return
    drawn.add(node.name)
    fork, bar, end = ("|-- ", "|   ", "`-- ") if look.ascii else ("├── ", "│   ", "└── ")
    for i, name in enumerate(node.inputs, 1):
        last = i == len(node.inputs)
        yield from _branch(nodes[name], nodes, drawn, look, (lead[1] + (end if last else fork), lead[1] + ("    " if last else bar)))


def dot(view: GraphView) -> str:
    """Write the graph in the language of graphviz, from sources to targets."""
    lines = ["digraph modelfile {", "    rankdir=LR;", "    node [shape=box];"]
    for node in view.nodes:
        shape = ", shape=cylinder" if node.kind == "source" else ""
        lines.append(f'    "{_quoted(node.name)}" [label="{_quoted(node.name)}\\n{_quoted(told(node))}"{shape}];')
    lines += [f'    "{_quoted(name)}" -> "{_quoted(node.name)}";' for node in view.nodes for name in node.inputs]
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def drawn(view: GraphView, form: Literal["mermaid", "dot", "svg", "html"]) -> str:
    """Draw the graph in a form that looks the same everywhere."""
    if form == "svg":
        from modelbuild.report.svg import svg

        return svg(view)
    if form == "html":
        from modelbuild.report.pages import graph

        return graph(view)
    return mermaid(view) if form == "mermaid" else dot(view)
