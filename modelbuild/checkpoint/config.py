"""config.json: JSON in, JSON out, and only the keys that must change are changed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from modelbuild.checkpoint.dtypes import TORCH_NAMES
from modelbuild.checkpoint.sections import DEPTH_KEYS, at, is_count, replaced, section_of

Config = Mapping[str, Any]

CODE_KEYS = ("auto_map", "custom_pipelines", "trust_remote_code")
"""What names Python code that programs run when they load a model."""

_NEVER_PER_LAYER = frozenset({"architectures", "eos_token_id", "bos_token_id", "pad_token_id", "label2id", "id2label"})

_INDICES = ("mlp_only_layers", "cross_attention_layers", "fullatt_block_indexes")
"""Lists of the layers that are of one kind."""

_FIRST = ("first_k_dense_replace",)
"""How many layers from the first on are of one kind."""

_EVERY = {"gemma2": 2, "gemma3_text": 6, "cohere2": 4}
"""Which of so many layers have full attention, where config.json leaves that to the architecture."""


class Taken(NamedTuple):
    """A layer of a stack: of which config, which stack, and which layer of it."""

    config: Config
    prefix: str
    layer: int


class Inexpressible(Exception):
    """No config says what the layers taken are."""


def with_layers(config: Config, prefix: str, taken: Sequence[Taken]) -> Config:
    """Give the stack called `prefix` the layers `taken`, in the section that speaks of it.

    The count is changed under whichever names the config uses; lists with one scalar a layer (`layer_types` and the like),
    lists of the layers of one kind, and counts of the first layers of one kind are made anew from the layers taken.

    Raises:
        Inexpressible: with the facts.

    """
    path, keys = section_of(config, prefix)
    section = _spelled_out(at(config, path))
    changed = dict(section) | dict.fromkeys(keys, len(taken))
    depth = next((section[key] for key in keys), 0)
    donors = [_donor(one) for one in taken]
    for key in (key for key in section if is_per_layer(section, key, depth)):
        changed[key] = [
            donor[key][layer] if is_per_layer(donor, key, theirs) else section[key][min(layer, depth - 1)]
            for donor, layer, theirs in donors
        ]
    for key in (key for key in _INDICES if isinstance(section.get(key), list)):
        changed[key] = [i for i, (donor, layer, _) in enumerate(donors) if layer in (donor.get(key) or ())]
    for key in (key for key in _FIRST if isinstance(section.get(key), int)):
        kinds = [layer < (donor.get(key) or 0) for donor, layer, _ in donors]
        changed[key] = sum(kinds)
        if not all(kinds[: sum(kinds)]) and not _lists_kinds(changed):
            raise Inexpressible(f"`{key}` counts the first layers of one kind, and those taken are at {_places(kinds)}")
    return config if changed == at(config, path) else replaced(config, path, changed)


def _donor(one: Taken) -> tuple[Config, int, int]:
    """Return the section that speaks of a layer, its number, and how many there are."""
    path, keys = section_of(one.config, one.prefix)
    section = _spelled_out(at(one.config, path))
    return section, one.layer, next((section[key] for key in keys), 0)


def _lists_kinds(section: Config) -> bool:
    return isinstance(section.get("mlp_layer_types"), list)


def _places(kinds: Sequence[bool]) -> str:
    return ", ".join(str(i) for i, kind in enumerate(kinds) if kind)


def _spelled_out(section: Config) -> Config:
    """Write out which layers have full attention, where the architecture alone knows it."""
    depth = next((section[key] for key in DEPTH_KEYS if is_count(section.get(key))), 0)
    every = section.get("sliding_window_pattern") or section.get("_sliding_window_pattern") or _EVERY.get(str(section.get("model_type")))
    if "layer_types" in section or section.get("model_type") not in _EVERY or not isinstance(every, int):
        return section
    types = ["sliding_attention" if (i + 1) % every else "full_attention" for i in range(depth)]
    return {**section, "layer_types": types}


def is_per_layer(config: Config, key: str, depth: int) -> bool:
    """Tell whether `key` holds one scalar for each of the `depth` layers."""
    value = config.get(key)
    return (
        depth > 0
        and key not in _NEVER_PER_LAYER
        and key not in _INDICES
        and isinstance(value, list)
        and len(value) == depth
        and not any(isinstance(entry, list | dict) for entry in value)
    )


def without_code(config: Config) -> Config:
    """Return a config that names no code to be run: code is not carried, and what names it would fetch it from elsewhere."""
    changed = {key: without_code(value) if isinstance(value, Mapping) else value for key, value in config.items() if key not in CODE_KEYS}
    return config if changed == config else changed


def json_text(table: Config) -> bytes:
    """Write a JSON object as the files beside weights are written."""
    text = json.dumps(table, indent=2, ensure_ascii=False) + "\n"
    try:
        return text.encode()
    except UnicodeEncodeError:  # halves of characters, which JSON can escape and UTF-8 cannot say
        return (json.dumps(table, indent=2) + "\n").encode()


def with_dtype(config: Config, dtype: str) -> Config:
    """State the type that the weights have, under the name that the config uses; a config that states none is left alone."""
    name = TORCH_NAMES.get(dtype)
    if not name:
        return config
    stated = {**config, **{key: name for key in ("dtype", "torch_dtype") if key in config}}
    return {
        key: with_dtype(value, dtype) if key.endswith("_config") and isinstance(value, Mapping) else value for key, value in stated.items()
    }
