"""Which file every result of a build belongs in, before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import Struct

from modelbuild.checkpoint.anatomy import Anatomy
from modelbuild.checkpoint.header import Layout, lay_out
from modelbuild.plan import Action, Plan, Ref, Target
from modelbuild.plan.layout import packs

File = tuple[str, str]
"""Of a target: its name, and the file's."""

Place = tuple[File | int, str]
"""A file, as a key of `Drawing.targets` or an index of `Drawing.kept`, and a name in it."""

Contents = tuple[tuple[str, Action], ...]
"""What a file holds: names, and what computes each."""


class Drawing(Struct, frozen=True):
    """Where everything that a build may write belongs.

    Args:
        targets: the weight files of targets, by (target, file name).
        kept: the packs of intermediates that are kept.
        places: for each action that is no double of another, the files that its result is written to as it is computed, all in
            one pass, and its name in each.  The first is where those who need it read it.  What is in no target and of a node
            that is not kept has none.

    """

    targets: Mapping[File, Layout]
    kept: tuple[Layout, ...]
    places: Mapping[Action, tuple[Place, ...]]

    def has(self, ref: Ref, file: File) -> bool:
        """Tell whether a tensor is written to a target's file as it is computed, and not copied into it."""
        return isinstance(ref, Action) and any(where == file for where, _ in self.places.get(ref, ()))


def draw(plan: Plan, running: Collection[Action], writing: Collection[File]) -> Drawing:
    """Give everything a place: targets' tensors in their files, and of other kept nodes what may run in packs of its own.

    Where a target's file is to hold what such a pack would, name by name, it is the pack: a stack begins with layers of what it
    is stacked from.

    Args:
        plan: what is built.
        running: the actions that may run.
        writing: the files of targets whose bytes may be needed: in a file that stands nothing has a place.

    """
    draft = _Draft(plan, running)
    for target in plan.targets.values():
        for name in target.files:
            draft.add_file(target, name, is_open=(target.name, name) in writing)
    for node, model in plan.models.items():
        if node in plan.graph.nodes and plan.graph.nodes[node].merge.keep:
            draft.add_packs({name: ref for name, ref in model.tensors.items() if _is_of(ref, (node,))}, model.anatomy)
            draft.add_packs(model.aside, model.anatomy)
    return Drawing(draft.targets, tuple(draft.kept), {action: tuple(found) for action, found in draft.places.items()})


class _Draft:
    """A drawing, while it is made."""

    def __init__(self, plan: Plan, running: Collection[Action]) -> None:
        self.targets: dict[File, Layout] = {}
        self.kept: list[Layout] = []
        self.places: dict[Action, list[Place]] = {}
        self._plan, self._running = plan, running
        self._packed: set[Action] = set()
        """What a pack holds that is the own one of its node."""
        self._packs: dict[Contents, File] = {}
        """Files of targets that are packs of nothing but what may run."""

    def add_file(self, target: Target, name: str, *, is_open: bool) -> None:
        """Draw a file of a target; in one that is not open nothing has a place."""
        file, refs = (target.name, name), {tensor: target.tensors[tensor] for tensor in target.files[name]}
        self.targets[file] = _lay_out(refs)
        written = self._runs(refs) if is_open else {}
        for tensor, first in written.items():
            is_own = target.linked and _is_of(refs[tensor], target.own_nodes) and first not in self._packed
            places = self.places.setdefault(first, [])
            places.insert(0 if is_own else len(places), (file, tensor))
            self._packed.update((first,) if is_own else ())
        if target.linked and target.kept and len(written) == len(refs):
            self._packs.setdefault(tuple(written.items()), file)

    def add_packs(self, refs: Mapping[str, Ref], anatomy: Anatomy) -> None:
        """Draw packs of an intermediate: of what may run and is not packed yet."""
        own = {name: first for name, first in self._runs(refs).items() if first not in self._packed}
        self._packed.update(own.values())
        for group in packs({name: first.nbytes for name, first in own.items()}, anatomy, frozenset()):
            held = {name: own[name] for name in group}
            file = self._packs.get(tuple(held.items()))
            if file is None:
                self.kept.append(_lay_out(held))
            for name, first in held.items():
                place: Place = (len(self.kept) - 1 if file is None else file, name)
                self.places[first] = [place, *(other for other in self.places.get(first, ()) if other != place)]

    def _runs(self, refs: Mapping[str, Ref]) -> dict[str, Action]:
        """Return what may run of some tensors, of doubles the first."""
        return {name: self._plan.doubles.get(ref, ref) for name, ref in refs.items() if isinstance(ref, Action) and ref in self._running}


def _lay_out(refs: Mapping[str, Ref]) -> Layout:
    return lay_out([(name, ref.dtype, ref.shape) for name, ref in refs.items()])


def _is_of(ref: Ref, nodes: Collection[str]) -> bool:
    return isinstance(ref, Action) and ref.node in nodes
