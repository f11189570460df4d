"""A model as the plan sees it: sources and merges alike."""

from __future__ import annotations

import filecmp
import json
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from modelbuild.checkpoint.anatomy import Anatomy
from modelbuild.checkpoint.config import Config
from modelbuild.checkpoint.vocabulary import Malformed, Vocabulary, read_vocabulary
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.plan.actions import Action, Leaf, Ref
from modelbuild.sources.checkpoint import Checkpoint


class Files(Struct, frozen=True, dict=True):
    """The files that go along with a model's weights.

    Args:
        carried: where those are that are taken as they are, by name.
        written: what makes the bytes of the others, by name.
        readers: what reads a JSON object of those carried, and fetches it first where it is on a hub.
        origins: files beside the models' own that those written are made from.

    """

    carried: Mapping[str, Path] = field(default_factory=dict)
    written: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)
    readers: Mapping[str, Callable[[str], Mapping[str, Any]]] = field(default_factory=dict)
    origins: tuple[Path, ...] = ()

    @property
    def held(self) -> frozenset[str]:
        """All names."""
        return frozenset({*self.carried, *self.written})

    def json(self, name: str) -> Mapping[str, Any]:
        """Read a JSON object."""
        if name in self.written:
            table: Mapping[str, Any] = json.loads(self.written[name]())
            return table
        return self.readers[name](name)

    def edited(self, written: Mapping[str, Callable[[], bytes]]) -> Files:
        """Return the same with some files made instead of taken."""
        carried = {name: path for name, path in self.carried.items() if name not in written}
        return replace(self, carried=carried, written={**self.written, **written})

    def without(self, names: Collection[str]) -> Files:
        """Return the same without some files."""

        def kept(table: Mapping[str, Any]) -> dict[str, Any]:
            return {name: what for name, what in table.items() if name not in names}

        return Files(kept(self.carried), kept(self.written), kept(self.readers), self.origins)

    def with_those_of(self, other: Files, names: Collection[str]) -> Files:
        """Return the same with some files taken from another model, and none of those from here."""
        own, theirs = self.without(names), other.without(other.held - set(names))
        return Files(
            {**own.carried, **theirs.carried},
            {**own.written, **theirs.written},
            {**own.readers, **theirs.readers},
            (*own.origins, *theirs.origins),
        )


class Model(Struct, frozen=True, dict=True):
    """A source or a merge as a table of tensors.

    Args:
        name: in the Modelfile.
        tensors: by name.
        anatomy: its stack of layers.
        config: config.json as it would be, or {}.
        files: those that go along.
        adapter: whether it is a LoRA adapter, no model.
        aside: what its tensors are computed from beside its inputs, by name; kept where the model is.

    """

    name: str
    tensors: Mapping[str, Ref]
    anatomy: Anatomy
    config: Config
    files: Files
    aside: Mapping[str, Action] = field(default_factory=dict)
    adapter: bool = False

    @cached_property
    def vocabulary(self) -> Vocabulary | None:
        """Its tokens, or None where no file says them; of a model on a hub the file is fetched."""
        try:
            return read_vocabulary(self.files.json, self.files.held)
        except Malformed as error:
            problem = Problem(f"the tokenizer of `{self.name}` cannot be read", facts=(str(error),), hint="copy or download it again")
            raise ModelbuildError(problem, Exit.SOURCE) from None

    def is_here(self, name: str) -> bool:
        """Tell whether a file can be read without fetching it."""
        return name in self.files.written or (name in self.files.carried and self.files.carried[name].exists())

    def same_file(self, other: Model, name: str) -> bool:
        """Tell whether two models have one file, byte for byte, that is here."""
        mine, theirs = self.files.carried.get(name), other.files.carried.get(name)
        return mine == theirs or (mine is not None and theirs is not None and filecmp.cmp(mine, theirs, shallow=False))

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
        files = Files(checkpoint.carried, readers=dict.fromkeys(checkpoint.carried, checkpoint.folder.json))
        return cls(checkpoint.name, tensors, checkpoint.anatomy, checkpoint.config, files)
