"""The order in which merges can be built: that of the file where it is one, else what networkx finds."""

from __future__ import annotations

from modelbuild.errors import Problem
from modelbuild.graph.model import Node, digraph_of
from modelbuild.modelfile.model import Modelfile

_LONGEST_CYCLE = 20
"""Merges of a cycle that are named."""


def are_ordered(modelfile: Modelfile, nodes: list[Node]) -> bool:
    """Tell whether each merge stands behind all that it reads: networkx, a fifth of a start, has then nothing to find."""
    behind = {*modelfile.sources}
    for node in nodes:
        if not behind.issuperset(node.models):
            return False
        behind.add(node.name)
    return True


def cycles(modelfile: Modelfile, nodes: list[Node]) -> list[Problem]:
    """Say which merges need each other."""
    import networkx

    problems = []
    for knot in networkx.strongly_connected_components(digraph := digraph_of(modelfile, nodes)):
        if len(knot) == 1 and not any(digraph.has_edge(one, one) for one in knot):
            continue
        start = next(name for name in digraph if name in knot)
        cycle = [start] if len(knot) == 1 else [tail for tail, _ in networkx.find_cycle(digraph.subgraph(knot), start)]
        shown = cycle if len(cycle) <= _LONGEST_CYCLE else [*cycle[:_LONGEST_CYCLE], "…"]
        path = " -> ".join(f"`{name}`" for name in (*shown, cycle[0]))
        problems.append(
            modelfile.locator.problem(
                "these merges need each other", ("merge", start), facts=(path,), hint="let one of them read something else"
            )
        )
    return problems


def ordered(modelfile: Modelfile, nodes: list[Node]) -> list[Node]:
    """Put each merge behind what it reads; where several may come next, the first of the file does."""
    import networkx

    position = {name: i for i, name in enumerate((*modelfile.sources, *modelfile.merges))}
    by_name = {node.name: node for node in nodes}
    order = networkx.lexicographical_topological_sort(digraph_of(modelfile, nodes), key=position.__getitem__)
    return [by_name[name] for name in order if name in by_name]
