"""What sets two models apart, said side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modelbuild.checkpoint.config import Config
from modelbuild.checkpoint.sections import at, text_section
from modelbuild.plan.model import Model

SHAPES = (
    "architectures",
    "model_type",
    "num_hidden_layers",
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "tie_word_embeddings",
)
"""Keys of config.json that say which tensors there are."""

MEANING = (
    "model_type",
    "hidden_act",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "rms_norm_eps",
    "layer_norm_eps",
    "num_attention_heads",
    "num_key_value_heads",
    "sliding_window",
    "max_position_embeddings",
)
"""Keys that change what the same weights mean, or how long a text they were trained for."""


def differing(first: Model, other: Model, keys: Sequence[str] = SHAPES) -> tuple[str, ...]:
    """Return "key: value in `a`, value in `b`" for each key that two configs give unlike values."""
    return tuple(_differing(first, other, keys))


def _differing(first: Model, other: Model, keys: Sequence[str]) -> Iterator[str]:
    for key in keys:
        one, two = _stated(first.config, key), _stated(other.config, key)
        if one is not None and two is not None and one != two:
            yield f"{key}: {_shown(one)} in `{first.name}`, {_shown(two)} in `{other.name}`"


def _stated(config: Config, key: str) -> object:
    return at(config, text_section(config)).get(key, config.get(key))


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_shown(entry)}" for key, entry in value.items()) + "}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
