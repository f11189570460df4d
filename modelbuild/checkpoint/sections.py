"""Where config.json speaks of a stack of layers: at the top, or in a section of its own (`text_config`, `vision_config`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

Config = Mapping[str, Any]
Path = tuple[str, ...]
"""The keys that lead to a section."""

DEPTH_KEYS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "depth")
"""What config.json calls the number of layers, most usual first."""

ENCODER_KEYS = ("encoder_layers", "num_encoder_layers")
DECODER_KEYS = ("decoder_layers", "num_decoder_layers")
"""The same where one section speaks of both halves."""

_SENSES = {
    "vision": re.compile(r"(^|[._])(visual|vision|image|vit|vqmodel)([._]|$)"),
    "audio": re.compile(r"(^|[._])(audio|speech)([._]|$)"),
}
"""What the towers are called that do not read text."""

_DEEPEST = 3

_MOST_LAYERS = 100_000


def is_count(value: object) -> TypeGuard[int]:
    """Tell whether a value can be how many layers there are."""
    return type(value) is int and 0 <= value <= _MOST_LAYERS


def sections(config: Config, path: Path = ()) -> Iterator[tuple[Path, Config]]:
    """Yield the sections of a config that state a number of layers, outer ones first."""
    if any(is_count(config.get(key)) for key in (*DEPTH_KEYS, *ENCODER_KEYS, *DECODER_KEYS)):
        yield path, config
    if len(path) < _DEEPEST:
        for key, value in config.items():
            if isinstance(value, Mapping):
                yield from sections(value, (*path, key))


def depths_of(config: Config) -> frozenset[int]:
    """Return the numbers of layers that a config states."""
    keys = (*DEPTH_KEYS, *ENCODER_KEYS, *DECODER_KEYS)
    return frozenset(section[key] for _, section in sections(config) for key in keys if is_count(section.get(key)))


def section_of(config: Config, prefix: str) -> tuple[Path, tuple[str, ...]]:
    """Return the section that speaks of a stack, and the keys in it that state how many layers it has.

    Args:
        config: config.json.
        prefix: what the stack's tensors are called.

    """
    sense = sense_of(prefix)
    found = list(sections(config))
    fitting = [(path, section) for path, section in found if path and sense_of(path[-1]) == sense]
    path, section = next(iter(fitting or [one for one in found if not one[0]] or found), ((), config))
    words = prefix.split(".")
    for word, keys in (("encoder", ENCODER_KEYS), ("decoder", DECODER_KEYS)):
        if word in words and (own := tuple(key for key in keys if is_count(section.get(key)))):
            return path, own
    return path, tuple(key for key in DEPTH_KEYS if is_count(section.get(key)))


def at(config: Config, path: Path) -> Config:
    """Return a section."""
    for key in path:
        config = config[key]
    return config


def replaced(config: Config, path: Path, section: Config) -> Config:
    """Return a config with another section in that place."""
    if not path:
        return section
    return {**config, path[0]: replaced(config[path[0]], path[1:], section)}


def text_section(config: Config) -> Path:
    """Return where a config speaks of the text that a model reads and writes."""
    for key in ("text_config", "language_config", "llm_config"):
        if isinstance(config.get(key), Mapping):
            return (key,)
    return ()


def sense_of(words: str) -> str:
    """Return "vision" or "audio" for what sees or hears, by its name, and "" for what reads."""
    return next((sense for sense, pattern in _SENSES.items() if pattern.search(words)), "")
