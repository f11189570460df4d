"""What a tensor's name says: which layer it belongs to, and what comes before and after the layers."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

DEPTH_KEYS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
"""What config.json calls the number of layers, most usual first."""

_EMBEDDING = re.compile(r"(^|[._])(embed\w*|wte|wpe|word_embeddings?|position_embeddings?|token_type_embeddings?|tok_embeddings)([._]|$)")

_FIRST_NUMBER = re.compile(r"(.*?)\.(\d+)(?:\.|\Z)", re.DOTALL)
"""Of a name, what stands before the first component that is a number, and that number."""

_REMEMBERED = 1 << 18
"""Names whose place is remembered: a plan asks several times for each, and models of one architecture share them."""


class Part(Enum):
    """The three parts of a decoder: what slices and gradients tell apart."""

    EMBEDDING = "embedding"
    LAYERS = "layers"
    HEAD = "head"


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The stack of layers of a checkpoint: tensors are called `<stack>.<layer>.…`; no stack, 0 layers."""

    stack: str
    layers: int

    def layer_of(self, name: str) -> int:
        """Return the layer that a tensor belongs to, or -1 for one outside the layers."""
        return _layer_of(self.stack, name) if self.layers else -1

    def part_of(self, name: str) -> Part:
        """Return the part that a tensor belongs to; what is neither embedding nor layer counts as head (final norm, lm_head)."""
        if self.layer_of(name) >= 0:
            return Part.LAYERS
        return Part.EMBEDDING if _is_embedding(name) else Part.HEAD

    def within_layer(self, name: str) -> str:
        """Return what is left of a layer's tensor's name without stack and number: `mlp.up_proj.weight`."""
        return name[len(self.stack) + 1 :].partition(".")[2]

    def moved(self, rest: str, layer: int) -> str:
        """Return the full name of a tensor that is called `rest` within its layer."""
        return f"{self.stack}.{layer}.{rest}"


@lru_cache(maxsize=_REMEMBERED)
def _layer_of(stack: str, name: str) -> int:
    if not name.startswith(stack + "."):
        return -1
    number = name[len(stack) + 1 :].split(".", 1)[0]
    return int(number) if number.isdigit() else -1


@lru_cache(maxsize=_REMEMBERED)
def _is_embedding(name: str) -> bool:
    return _EMBEDDING.search(name) is not None


def dissect(names: Iterable[str], config: Mapping[str, Any]) -> Anatomy:
    """Find the stack of layers from tensor names: the prefix before the first number that the most tensors share.

    Where config.json says how many layers there are, a stack of just so many is preferred.
    """
    indices: dict[str, set[int]] = defaultdict(set)
    counts: dict[str, int] = defaultdict(int)
    for name in names:
        if found := _FIRST_NUMBER.match(name):
            stack = found[1]
            indices[stack].add(int(found[2]))
            counts[stack] += 1
    stacks = [stack for stack, layers in indices.items() if layers == set(range(len(layers)))]
    if not stacks:
        return Anatomy("", 0)
    depth = depth_of(config)
    best = max(stacks, key=lambda stack: (len(indices[stack]) == depth, counts[stack], stack))
    return Anatomy(best, len(indices[best]))


def depth_of(config: Mapping[str, Any]) -> int:
    """Return the number of layers that config.json states, or 0."""
    return next((config[key] for key in DEPTH_KEYS if isinstance(config.get(key), int)), 0)
