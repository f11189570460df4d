"""config.json: JSON in, JSON out, and only the keys that must change are changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelbuild.checkpoint.anatomy import DEPTH_KEYS, depth_of
from modelbuild.checkpoint.dtypes import TORCH_NAMES

Config = Mapping[str, Any]

_NEVER_PER_LAYER = frozenset({"architectures", "eos_token_id", "bos_token_id", "pad_token_id", "label2id", "id2label"})


def with_layers(config: Config, taken: Sequence[tuple[Config, int]]) -> Config:
    """Give a config as many layers as `taken` has, each described by the (config, layer) it came from.

    The count is changed under whichever names the config uses, and every per-layer list (`layer_types` and the like:
    a list of scalars with one entry a layer) is rebuilt from the layers taken.
    """
    depth = depth_of(config)
    changed = dict(config)
    for key in DEPTH_KEYS:
        if key in config:
            changed[key] = len(taken)
    for key in filter(lambda key: is_per_layer(config, key, depth), config):
        entries = [
            (donor[key][layer] if is_per_layer(donor, key, depth_of(donor)) else config[key][min(layer, depth - 1)])
            for donor, layer in taken
        ]
        changed[key] = entries
    return changed


def is_per_layer(config: Config, key: str, depth: int) -> bool:
    """Tell whether `key` holds one scalar for each of the `depth` layers."""
    value = config.get(key)
    return (
        depth > 0
        and key not in _NEVER_PER_LAYER
        and isinstance(value, list)
        and len(value) == depth
        and not any(isinstance(entry, list | dict) for entry in value)
    )


def with_dtype(config: Config, dtype: str) -> Config:
    """State the type that the weights have, under the name that the config uses; a config that states none is left alone."""
    name = TORCH_NAMES.get(dtype)
    keys = [key for key in ("dtype", "torch_dtype") if key in config]
    return {**config, **dict.fromkeys(keys, name)} if name else config
