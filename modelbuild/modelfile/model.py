"""What the user wrote, as frozen data.  Nothing here is resolved: names are not bound, defaults of methods not filled."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from msgspec.structs import replace

from modelbuild.modelfile.locate import Locator
from modelbuild.names import KeyPath

if TYPE_CHECKING:
    from modelbuild.modelfile.evaluation import Check, Search

Scalar = bool | int | float | str
Gradient = tuple[int | float, ...]


class Rule(Struct, frozen=True):
    """One way to give a parameter its value.

    Args:
        value: the value itself, or a gradient of at least one number over the layers.
        filter: glob over whole components of the tensor's name; "" matches every tensor.
        layers: (first, last + 1) in the node's output, or None where the rule names no layers.
        path: where the rule stands.
        outside: of a gradient, what stands outside of the layers has, or None for its first value, and its last.

    """

    value: Scalar | Gradient
    filter: str
    layers: tuple[int, int] | None
    path: KeyPath
    outside: float | None = None


Setting = tuple[Rule, ...]
"""A parameter as written: a scalar or a gradient is one rule without filter; first rule that matches wins."""


class Input(Struct, frozen=True):
    """A model that a merge reads, by name, with the parameters written beside it."""

    model: str
    params: Mapping[str, Setting]
    layers: tuple[int, int] | None
    """Only in a slice: (first, last + 1) of that model's layers."""
    path: KeyPath


class Slice(Struct, frozen=True):
    """Some layers of the output: one input with layers, or several merged by the node's method."""

    inputs: tuple[Input, ...]
    base: str
    params: Mapping[str, Setting]
    path: KeyPath


class Source(Struct, frozen=True):
    """A checkpoint that is read and never written; `location` is as written (hf://… or a path)."""

    name: str
    location: str
    path: KeyPath
    ranges: bool = False
    """Whether tensors are fetched from the hub, not whole files."""
    pickles: bool = False
    """Whether pickled weights may be read."""
    adapters: tuple[str, ...] = ()
    """What it is read with: names in `Modelfile.adapters`."""


class AdapterSource(Source, frozen=True):
    """A LoRA adapter: read like a source, and named by the program."""

    scale: float = 1.0


class TokenSource(Struct, frozen=True):
    """Where the rows of a token come from: a model, another token of one, "zero" or "mean"; with `force` in models that have it too."""

    source: str
    token: str
    force: bool
    path: KeyPath
    row: int = -1
    """The row itself, by its number; -1 where it goes by the token."""


class Tokenizer(Struct, frozen=True):
    """Which tokens a merge has: empty and 0 where the user said nothing."""

    source: str = ""
    """"base", "union" or a name."""
    tokens: Mapping[str, TokenSource] = field(default_factory=dict)
    multiple: int = 0
    """What the number of rows is brought to a multiple of."""
    chat_template: str = ""
    """A name, a model, a file or the template itself."""

    @property
    def settles(self) -> bool:
        """Whether it says which row is which token."""
        return bool(self.source or self.tokens or self.multiple)

    @property
    def models(self) -> tuple[str, ...]:
        """The models that it names."""
        named = [self.source if self.source not in ("base", "union") else "", *(one.source for one in self.tokens.values())]
        return tuple(dict.fromkeys(name for name in named if name and name not in MADE))


MADE = ("zero", "mean")
"""Rows that are no model's."""


class Expert(Struct, frozen=True):
    """A model of whose layers experts are made, and the texts that are sent to them, or kept from them."""

    model: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    path: KeyPath


class Mixture(Struct, frozen=True):
    """A mixture of experts: empty and 0 where the merge is none."""

    experts: tuple[Expert, ...] = ()
    shared: tuple[Expert, ...] = ()
    gate: str = "hidden"
    per_token: int = 2

    @property
    def models(self) -> tuple[str, ...]:
        """The models that it is made of."""
        return tuple(dict.fromkeys(one.model for one in (*self.experts, *self.shared)))


class Output(Struct, frozen=True):
    """Where and how a target is written; empty and 0 where the user said nothing."""

    path: str = ""
    shard_size: int = 0
    """Bytes, or 0: link the cache's packs."""
    dtype: str = ""
    """safetensors code ("BF16") or ""."""
    push: str = ""
    """Where `push` publishes it, hf://namespace/name[@branch]."""


class Merge(Struct, frozen=True):
    """A node as written.  Either `inputs` or `slices` is non-empty."""

    name: str
    method: str
    base: str
    inputs: tuple[Input, ...]
    slices: tuple[Slice, ...]
    params: Mapping[str, Setting]
    dtype: str
    """safetensors code, or "" for the base's (first input's)."""
    seed: int | None
    keep: bool
    lenient: bool
    """Whether NaN and infinity may be in what is read and written."""
    embed: str
    head: str
    scope: str
    """What of the models is merged: "text", "vision", "audio", "encoder", "decoder", a glob over names, or "" for all."""
    tokenizer: Tokenizer
    common: bool
    """Whether of vocabularies of unlike size the rows that all have are merged."""
    output: Output
    path: KeyPath
    mixture: Mixture = Mixture()
    """Of method "moe"."""
    sweep: str = ""
    """The merge whose matrix made it, or ""."""
    point: Mapping[str, Scalar | Gradient] = field(default_factory=dict)
    """What it has from the matrix, by parameter."""


class Export(Struct, frozen=True):
    """A target in another form; empty where the user said nothing.

    Args:
        name: what it is built by.
        of: the merge.
        format: "gguf", "fp8", "int8", "int4" or "command".
        path: where it stands in the Modelfile.
        type: of a GGUF file: how its matrices are stored.
        pre_tokenizer: of a GGUF file: what llama.cpp calls the way in which text is cut before it is encoded.
        scales: of 8-bit floats: "channel" or "tensor".
        converter: the program that makes it, and its arguments.
        output: where it is written.

    """

    name: str
    of: str
    format: str
    path: KeyPath
    type: str = ""
    pre_tokenizer: str = ""
    scales: str = ""
    converter: tuple[str, ...] = ()
    output: str = ""

    @property
    def place(self) -> str:
        """Where it is written, seen from the Modelfile's directory."""
        suffix = ".gguf" if self.format == "gguf" and not self.name.endswith(".gguf") else ""
        return self.output or f"out/{self.name}{suffix}"


class CacheSettings(Struct, frozen=True):
    """`[cache]`: empty and 0 where the user said nothing."""

    path: str = ""
    max_size: int = 0


class Modelfile(Struct, frozen=True, dict=True):
    """A whole Modelfile, in the order it was written."""

    path: Path
    default: tuple[str, ...]
    seed: int
    sources: Mapping[str, Source]
    merges: Mapping[str, Merge]
    cache: CacheSettings
    adapters: Mapping[str, AdapterSource]
    locator: Locator
    """Finds file, line and column of a key path, and words a Problem there."""
    notes: tuple[str, ...] = ()
    """What was taken another way than it was written."""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Targets that can be built by one name: names of merges and groups, and globs."""
    exports: Mapping[str, Export] = field(default_factory=dict)
    checks: Mapping[str, Check] = field(default_factory=dict)
    searches: Mapping[str, Search] = field(default_factory=dict)
    document: Mapping[str, Any] = field(default_factory=dict)
    """The tables as written, after `--set` and with variables replaced."""

    @property
    def read(self) -> Mapping[str, Source]:
        """Everything that is read: sources and their adapters, by name."""
        return {**self.sources, **self.adapters}

    def means(self, other: Modelfile) -> bool:
        """Tell whether another says the same, in whichever words and wherever in its text."""
        return replace(self, locator=other.locator, document=other.document) == other

    @cached_property
    def sweeps(self) -> Mapping[str, tuple[str, ...]]:
        """The variants of each merge that has a matrix, by its name."""
        found: dict[str, tuple[str, ...]] = {}
        for name, merge in self.merges.items():
            if merge.sweep:
                found[merge.sweep] = (*found.get(merge.sweep, ()), name)
        return found
