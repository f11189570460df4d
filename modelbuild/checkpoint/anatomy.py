"""What tensor names say: which stacks of layers a model has, which layer a tensor belongs to, what comes before and after."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from functools import cached_property, lru_cache
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from modelbuild.checkpoint.sections import depths_of, sense_of

_EMBEDDING = re.compile(
    r"(^|[._])(embed(?!_out)\w*|wte|wpe|word_embeddings?|position_embeddings?|token_type_embeddings?|tok_embeddings|shared)([._]|$)"
)

_TOKENS = re.compile(
    r"(^|\.)(embed_tokens|embed_in|wte|word_embeddings?|tok_embeddings|token_embedding|embedding|embeddings|shared)(\.weight)?$"
)
"""The embedding of tokens, among all embeddings."""

_FIRST_NUMBER = re.compile(r"(.*?)\.([0-9]+)(?:\.|\Z)", re.DOTALL)
"""Of a name, what stands before the first component that is a number, and that number."""

_FEWEST = 3
"""Tensors that a layer of a further stack has at least: what has fewer is a list of projections."""

_REMEMBERED = 1 << 18
"""Names whose place is remembered: a plan asks several times for each, and models of one architecture share them."""


class Part(Enum):
    """The three parts of a model: what slices and gradients tell apart."""

    EMBEDDING = "embedding"
    LAYERS = "layers"
    HEAD = "head"


class Stack(Struct, frozen=True):
    """Layers whose tensors are called `<prefix>.<layer>.…`.

    Args:
        prefix: what stands before the number.
        layers: how many there are.
        tower: what the names of all tensors that belong to it start with, those outside the layers too; "" where that is all.

    """

    prefix: str
    layers: int
    tower: str = ""

    @property
    def stem(self) -> str:
        """What stands before the last word of the prefix: `model.` of `model.layers`."""
        return self.prefix.rpartition(".")[0] + "." if "." in self.prefix else ""


class Anatomy(Struct, frozen=True, dict=True):
    """The stacks of a checkpoint; the first is the one that slices are made of, and there may be none."""

    stacks: tuple[Stack, ...]

    @cached_property
    def _prefixes(self) -> tuple[str, ...]:
        return tuple(stack.prefix for stack in self.stacks)

    @property
    def main(self) -> Stack:
        """The stack that slices are made of; one of 0 layers where there is none."""
        return self.stacks[0] if self.stacks else Stack("", 0)

    @property
    def layers(self) -> int:
        """How many layers slices can take."""
        return self.main.layers

    def place_of(self, name: str) -> tuple[int, int]:
        """Return the number of a tensor's stack and its layer there, or (-1, -1) for one outside all layers."""
        return _place_of(self._prefixes, name)

    def layer_of(self, name: str) -> int:
        """Return the layer that a tensor belongs to, in whichever stack, or -1."""
        return self.place_of(name)[1]

    def part_of(self, name: str) -> Part:
        """Return the part that a tensor belongs to; what is neither embedding nor layer counts as head (final norm, lm_head)."""
        if self.layer_of(name) >= 0:
            return Part.LAYERS
        return Part.EMBEDDING if _is_embedding(name) else Part.HEAD

    def end_of(self, name: str) -> Part | None:
        """Return the part of the main stack that a tensor belongs to, or None for one of another stack or tower."""
        stack = self.place_of(name)[0]
        if stack >= 0:
            return None if stack else Part.LAYERS
        if len(self.stacks) > 1 and self.is_aside(name):
            return None
        return Part.EMBEDDING if _is_embedding(name) else Part.HEAD

    def is_aside(self, name: str) -> bool:
        """Tell whether a tensor belongs to another stack than the main one: a vision tower, an encoder."""
        return self.tower_of(name) > 0

    def tower_of(self, name: str) -> int:
        """Return the number of the stack that a tensor belongs to, within its layers or outside, or -1."""
        return _tower_of(tuple(stack.tower for stack in self.stacks), name)

    def within_layer(self, name: str) -> str:
        """Return what is left of a main layer's tensor's name without stack and number: `mlp.up_proj.weight`."""
        return name[len(self.main.prefix) + 1 :].partition(".")[2]

    def moved(self, rest: str, layer: int) -> str:
        """Return the full name of a tensor that is called `rest` within its main layer."""
        return f"{self.main.prefix}.{layer}.{rest}"

    def with_depth(self, layers: int) -> Anatomy:
        """Return the same with another number of layers in the main stack."""
        return Anatomy((replace(self.main, layers=layers), *self.stacks[1:]))

    def focused(self, wanted: Collection[str]) -> Anatomy:
        """Return the same with the first stack of which `wanted` has a tensor as the main one."""
        numbers = {self.place_of(name)[0] for name in wanted} - {-1}
        if not numbers or 0 in numbers:
            return self
        first = min(numbers)
        return Anatomy((self.stacks[first], *(stack for i, stack in enumerate(self.stacks) if i != first)))

    def tokens_of(self, names: Iterable[str]) -> str:
        """Return which of `names` is the embedding of tokens of the main stack, or ""."""
        found = [name for name in names if _is_of_tokens(name) and self.layer_of(name) < 0 and not self.is_aside(name)]
        return min(found, key=lambda name: (not name.startswith(self.main.tower), len(name)), default="")


@lru_cache(maxsize=_REMEMBERED)
def _place_of(prefixes: tuple[str, ...], name: str) -> tuple[int, int]:
    for i, prefix in enumerate(prefixes):
        if name.startswith(prefix) and name[len(prefix) : len(prefix) + 1] == ".":
            number = name[len(prefix) + 1 :].split(".", 1)[0]
            if number.isascii() and number.isdigit():
                return i, int(number)
    return -1, -1


@lru_cache(maxsize=_REMEMBERED)
def _tower_of(towers: tuple[str, ...], name: str) -> int:
    held = [i for i, tower in enumerate(towers) if name.startswith(tower)]
    return max(held, key=lambda i: len(towers[i]), default=-1)


@lru_cache(maxsize=_REMEMBERED)
def _is_embedding(name: str) -> bool:
    return _EMBEDDING.search(name) is not None


@lru_cache(maxsize=_REMEMBERED)
def _is_of_tokens(name: str) -> bool:
    return _TOKENS.search(name) is not None


def dissect(names: Iterable[str], config: Mapping[str, Any]) -> Anatomy:
    """Find the stacks of layers from tensor names: what stands before the first number, where the numbers run from 0 on.

    The main one reads and writes text, is a decoder where there are both, and has as many layers as config.json says; of
    several it is that of the most tensors.
    """
    indices, counts = _numbered(tuple(names))
    sound = [prefix for prefix, layers in indices.items() if layers == set(range(len(layers)))]
    depths = depths_of(config)

    def rank(prefix: str) -> tuple[bool, bool, bool, int, str]:
        return (
            not sense_of(prefix),
            "decoder" in prefix.split("."),
            len(indices[prefix]) in depths,
            counts[prefix],
            prefix,
        )

    ranked = sorted(sound, key=rank, reverse=True)
    prefixes = [prefix for i, prefix in enumerate(ranked) if i == 0 or counts[prefix] >= _FEWEST * len(indices[prefix])]
    return Anatomy(tuple(Stack(prefix, len(indices[prefix]), _tower(prefix, prefixes)) for prefix in prefixes))


@lru_cache(maxsize=8)
def _numbered(names: tuple[str, ...]) -> tuple[Mapping[str, set[int]], Mapping[str, int]]:
    """Return the first numbers in names by what stands before them, and how many names there are of each."""
    indices: dict[str, set[int]] = defaultdict(set)
    counts: dict[str, int] = defaultdict(int)
    for name in names:
        if found := _FIRST_NUMBER.match(name):
            prefix = found[1]
            indices[prefix].add(int(found[2]))
            counts[prefix] += 1
    return dict(indices), dict(counts)


def _tower(prefix: str, prefixes: Collection[str]) -> str:
    """Return the shortest start of a stack's prefix that no other stack has, of whole words; "" for the only stack."""
    others = [other for other in prefixes if other != prefix]
    if not others:
        return ""
    words = prefix.split(".")
    for i in range(1, len(words)):
        start = ".".join(words[:i]) + "."
        if not any(other.startswith(start) for other in others):
            return start
    return ".".join(words[:-1]) + "." if len(words) > 1 else ""
