"""The graph of merges as a mermaid flowchart, which hubs and forges draw."""

from __future__ import annotations

from modelbuild.names import portable
from modelbuild.usecases.graphing import GraphNode, GraphView


def mermaid(view: GraphView) -> str:
    """Write the graph as a mermaid flowchart, from sources to targets."""
    ids = {node.name: f"n{i}" for i, node in enumerate(view.nodes)}
    lines = ["flowchart LR"]
    for node in view.nodes:
        text = f'"{_entities(node.name)}<br>{_entities(told(node))}"'
        lines.append(f"    {ids[node.name]}{f'[({text})]' if node.kind == 'source' else f'[{text}]'}")
    lines += [f"    {ids[name]} --> {ids[node.name]}" for node in view.nodes for name in node.inputs]
    return "\n".join(lines)


def told(node: GraphNode) -> str:
    """Return a node's label as it may be shown to others."""
    return portable(node.label) if node.kind == "source" else node.label


def _entities(text: str) -> str:
    """Write as mermaid's entities what its quoted strings or its HTML would take for their own."""
    return "".join(f"#{ord(char)};" if char in '#"<>&`\\' else char for char in text)
