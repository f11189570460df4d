"""Which file every result of a build belongs in, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modelbuild.checkpoint.header import Layout, lay_out
from modelbuild.plan import Action, Plan
from modelbuild.plan.layout import packs


@dataclass(frozen=True, slots=True)
class Drawing:
    """Where everything that a build may write belongs.

    Args:
        targets: the weight files of targets, by (target, file name).
        kept: the packs of intermediates that are kept.
        places: for each action, the file that its result is written to (a key of `targets` or an index of `kept`), and
            its name there.  Actions of nodes that are not kept have none.

    """

    targets: Mapping[tuple[str, str], Layout]
    kept: tuple[Layout, ...]
    places: Mapping[Action, tuple[tuple[str, str] | int, str]]


def draw(plan: Plan, running: frozenset[Action]) -> Drawing:
    """Give everything a place: targets' tensors in their files, and of other kept nodes what may run in packs of its own."""
    targets: dict[tuple[str, str], Layout] = {}
    kept: list[Layout] = []
    places: dict[Action, tuple[tuple[str, str] | int, str]] = {}
    for target in plan.targets.values():
        for file, names in target.files.items():
            targets[target.name, file] = lay_out([(name, target.tensors[name].dtype, target.tensors[name].shape) for name in names])
            for name in names if target.linked else ():
                ref = target.tensors[name]
                if isinstance(ref, Action) and ref.node in target.own_nodes:
                    places.setdefault(ref, ((target.name, file), name))
    for node, model in plan.models.items():
        if node not in plan.graph.nodes or not plan.graph.nodes[node].merge.keep:
            continue
        own = {
            name: ref
            for name, ref in model.tensors.items()
            if isinstance(ref, Action) and ref.node == node and ref in running and ref not in places
        }
        for group in packs({name: ref.nbytes for name, ref in own.items()}, model.anatomy, frozenset()):
            for name in group:
                places[own[name]] = (len(kept), name)
            kept.append(lay_out([(name, own[name].dtype, own[name].shape) for name in group]))
    return Drawing(targets, tuple(kept), places)
