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
        """The names of each layer's tensors; -1 holds those outside the layers."""
        table: dict[int, list[str]] = {}
        for name in self.tensors:
            table.setdefault(self.anatomy.layer_of(name), []).append(name)
        return {layer: tuple(names) for layer, names in table.items()}

    @classmethod
    def of_source(cls, checkpoint: Checkpoint) -> Model:
        """Take a source as it is."""
        tensors = {name: Leaf(checkpoint.name, info) for name, info in checkpoint.tensors.items()}
        return cls(checkpoint.name, tensors, checkpoint.anatomy, checkpoint.config, checkpoint.carried)
