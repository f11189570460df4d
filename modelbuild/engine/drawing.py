"""Which file every result of a build belongs in, before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import Struct

from modelbuild.checkpoint.header import Layout, lay_out
from modelbuild.plan import Action, Plan, Ref
from modelbuild.plan.layout import packs

Place = tuple[tuple[str, str] | int, str]
"""A file, as a key of `Drawing.targets` or an index of `Drawing.kept`, and a name in it."""


class Drawing(Struct, frozen=True):
    """Where everything that a build may write belongs.

    Args:
        targets: the weight files of targets, by (target, file name).
        kept: the packs of intermediates that are kept.
        places: for each action that is no double of another, the files that its result is written to as it is computed, all in
            one pass, and its name in each.  The first is where those who need it read it.  What is in no target and of a node
            that is not kept has none.

    """

    targets: Mapping[tuple[str, str], Layout]
    kept: tuple[Layout, ...]
    places: Mapping[Action, tuple[Place, ...]]

    def has(self, ref: Ref, file: tuple[str, str]) -> bool:
        """Tell whether a tensor is written to a target's file as it is computed, and not copied into it."""
        return isinstance(ref, Action) and any(where == file for where, _ in self.places.get(ref, ()))


def draw(plan: Plan, running: Collection[Action], writing: Collection[tuple[str, str]]) -> Drawing:
    """Give everything a place: targets' tensors in their files, and of other kept nodes what may run in packs of its own.

    Args:
        plan: what is built.
        running: the actions that may run.
        writing: the files of targets whose bytes may be needed: in a file that stands nothing has a place.

    """
    targets: dict[tuple[str, str], Layout] = {}
    kept: list[Layout] = []
    places: dict[Action, list[Place]] = {}
    own_files: set[Action] = set()
    for target in plan.targets.values():
        for file, names in target.files.items():
            targets[target.name, file] = lay_out([(name, target.tensors[name].dtype, target.tensors[name].shape) for name in names])
            for name in names:
                ref = target.tensors[name]
                if isinstance(ref, Action) and ref in running and (target.name, file) in writing:
                    first = plan.doubles.get(ref, ref)
                    is_own = target.linked and ref.node in target.own_nodes and first not in own_files
                    places.setdefault(first, []).insert(0 if is_own else len(places[first]), ((target.name, file), name))
                    own_files.update((first,) if is_own else ())
    for node, model in plan.models.items():
        if node not in plan.graph.nodes or not plan.graph.nodes[node].merge.keep:
            continue
        results = {name: ref for name, ref in model.tensors.items() if isinstance(ref, Action) and ref.node == node}
        for table in (results, model.aside):
            own = {name: plan.doubles.get(ref, ref) for name, ref in table.items() if ref in running}
            own = {name: first for name, first in own.items() if first not in own_files}
            own_files.update(own.values())
            for group in packs({name: ref.nbytes for name, ref in own.items()}, model.anatomy, frozenset()):
                for name in group:
                    places.setdefault(own[name], []).insert(0, (len(kept), name))
                kept.append(lay_out([(name, own[name].dtype, own[name].shape) for name in group]))
    return Drawing(targets, tuple(kept), {action: tuple(found) for action, found in places.items()})
