"""A model as the plan sees it: sources and merges alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from modelbuild.checkpoint.anatomy import Anatomy
from modelbuild.checkpoint.config import Config
from modelbuild.plan.actions import Action, Leaf, Ref
from modelbuild.sources.checkpoint import Checkpoint


@dataclass(frozen=True)
class Model:
    """A source or a merge as a table of tensors.

    Args:
        name: in the Modelfile.
        tensors: by name.
        anatomy: its stack of layers.
        config: config.json as it would be, or {}.
        carried: the files that go along, by file name.
        aside: what its tensors are computed from beside its inputs, by name; kept where the model is.

    """

    name: str
    tensors: Mapping[str, Ref] = field(repr=False)
    anatomy: Anatomy
    config: Config = field(repr=False)
    carried: Mapping[str, Path]
    aside: Mapping[str, Action] = field(default_factory=dict, repr=False)

    @cached_property
    def by_layer(self) -> Mapping[int, tuple[str, ...]]:
        """The names of each main layer's tensors; -1 holds those outside them."""
        table: dict[int, list[str]] = {}
        for name in self.tensors:
            stack, layer = self.anatomy.place_of(name)
            table.setdefault(-1 if stack else layer, []).append(name)
        return {layer: tuple(names) for layer, names in table.items()}

    @cached_property
    def first_only(self) -> tuple[str, ...]:
        """What layer 0 has beside what all other layers have, and what therefore stays where it is: T5's relative positions."""
        held = [{self.anatomy.within_layer(name) for name in self.by_layer.get(i, ())} for i in range(self.anatomy.layers)]
        if len(held) < 2 or not held[1] < held[0] or any(names != held[1] for names in held[2:]):
            return ()
        return tuple(name for name in self.by_layer[0] if self.anatomy.within_layer(name) not in held[1])

    def names_at(self, layer: int, *, first: bool) -> tuple[str, ...]:
        """Return the tensors that a layer brings along where it comes first, or later."""
        if not self.first_only:
            return self.by_layer[layer]
        names = tuple(name for name in self.by_layer[layer] if name not in self.first_only)
        return (*self.first_only, *names) if first else names

    @classmethod
    def of_source(cls, checkpoint: Checkpoint) -> Model:
        """Take a source as it is."""
        tensors = {name: Leaf(checkpoint.name, info) for name, info in checkpoint.tensors.items()}
        return cls(checkpoint.name, tensors, checkpoint.anatomy, checkpoint.config, checkpoint.carried)
