"""What is allowed and seldom meant: the pitfalls of the field, told while planning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from modelbuild.graph import Graph, Node
from modelbuild.plan.actions import Action
from modelbuild.plan.facts import MEANING, differing
from modelbuild.plan.model import Model

DOMINANT = 0.95
"""The share of all weight from which on an input leaves the others no say."""

OFF = 1e-3
"""How far weights may be from a sum of one."""


def lints(node: Node, graph: Graph, models: Mapping[str, Model], actions: Iterable[Action]) -> tuple[str, ...]:
    """Return what the user may not have meant by a merge that can be built.

    Args:
        node: the merge.
        graph: it stands in.
        models: every model that it reads.
        actions: its own.

    """
    distinct = {action.params: action for action in actions}.values()
    own = [part.method for part in node.slices]
    weighted = [action for action in distinct if action.method in own and "weight" in action.arguments]
    found = [*_weights(node, weighted), *_chained(node, graph), *_unlike(node, models)]
    return tuple(dict.fromkeys(f"`{node.name}` {what}" for what in found))


def _weights(node: Node, weighted: Sequence[Action]) -> Iterator[str]:
    """Tell of weights where they are the same for all tensors: a gradient or a rule means what it says."""
    if len({action.arguments["weight"] for action in weighted}) != 1:
        return
    action = weighted[0]
    weight: tuple[float, ...] = action.arguments["weight"]
    total = sum(map(abs, weight))
    largest = max(range(len(weight)), key=lambda i: abs(weight[i]))
    if 1 < len(weight) == len(action.inputs) and total > abs(weight[largest]) >= DOMINANT * total:
        name = node.slices[0].inputs[largest].model
        yield f"gives `{name}` {abs(weight[largest]) / total:.0%} of the weight: the others hardly count"
    if node.merge.method == "linear" and not action.arguments["normalize"] and abs(sum(weight) - 1.0) > OFF:
        yield f"sums weights that come to {sum(weight):g}: without `normalize` every tensor is scaled by that"


def _chained(node: Node, graph: Graph) -> Iterator[str]:
    """Tell of random drops from what was dropped at random before."""
    if not _drops(node):
        return
    for model in node.models:
        if model in graph.nodes and _drops(graph.nodes[model]):
            yield f"drops at random from `{model}`, which was dropped from at random already"


def _drops(node: Node) -> bool:
    return any(part.method.random for part in node.slices)


def _unlike(node: Node, models: Mapping[str, Model]) -> Iterator[str]:
    """Tell of models whose tensors fit and whose configs say that they mean something else."""
    for part in node.slices:
        first, *others = (models[name] for name in part.models)
        for other in others:
            unlike = differing(first, other, MEANING)
            if unlike:
                yield f"merges models whose config.json differ in {'; '.join(unlike)}"
