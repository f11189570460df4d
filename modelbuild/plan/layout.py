"""Which tensors share a file: packs by layers, shards by size, and the index that names them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from modelbuild.checkpoint.anatomy import Anatomy, Part
from modelbuild.checkpoint.config import json_text
from modelbuild.names import natural

PACK_SIZE = 64 << 20
"""Bytes.  Consecutive layers share a pack until it has this many: a small model is one file, a 7B model about one a layer."""

Sizes = Mapping[str, int]
"""Bytes of each tensor by name."""


def packs(sizes: Sizes, anatomy: Anatomy, handed_on: frozenset[str]) -> tuple[tuple[str, ...], ...]:
    """Group tensors into packs, in the order embedding, layers, head.

    Tensors handed on from elsewhere are kept apart from those computed, so that a change rewrites no copies; a model
    that fits into one pack is one file all the same.
    """
    groups = _by_layer(sizes, anatomy)
    if sum(sizes.values()) <= PACK_SIZE:
        return (tuple(name for group in groups for name in group),) if sizes else ()
    apart: list[tuple[str, ...]] = []
    for wanted in (False, True):
        chosen = (tuple(name for name in group if (name in handed_on) is wanted) for group in groups)
        apart += _filled((group for group in chosen if group), sizes, lambda held, _: held >= PACK_SIZE)
    position = {name: i for i, name in enumerate(name for group in groups for name in group)}
    return tuple(sorted(apart, key=lambda group: position[group[0]]))


def shards(sizes: Sizes, anatomy: Anatomy, limit: int) -> tuple[tuple[str, ...], ...]:
    """Group tensors into files of at most `limit` bytes; a larger tensor has a file to itself."""
    single = ((name,) for group in _by_layer(sizes, anatomy) for name in group)
    return tuple(_filled(single, sizes, lambda held, more: held + more > limit))


def _by_layer(sizes: Sizes, anatomy: Anatomy) -> list[tuple[str, ...]]:
    """Group tensors in the order embedding, layers, head; within each group by natural names.

    What is within a layer has the same names in all of them, whose order is found once.
    """
    parts: dict[tuple[int, int], list[tuple[Any, Any, str]]] = {}
    order = {Part.EMBEDDING: 0, Part.LAYERS: 1, Part.HEAD: 2}
    for name in sizes:
        stack, layer = anatomy.place_of(name)
        part, before, rest = Part.LAYERS, "", name
        if stack < 0:
            part = anatomy.part_of(name)
        else:
            before = anatomy.stacks[stack].prefix + "."
            rest = name[len(before) :].lstrip("0123456789")
        parts.setdefault((order[part], layer), []).append((natural(before), natural(rest), name))
    return [tuple(name for *_, name in sorted(group, key=itemgetter(0, 1))) for _, group in sorted(parts.items(), key=itemgetter(0))]


def _filled(groups: Iterable[tuple[str, ...]], sizes: Sizes, full: Callable[[int, int], bool]) -> list[tuple[str, ...]]:
    """Join consecutive groups until `full(bytes held, bytes of the next group)`."""
    files: list[tuple[str, ...]] = []
    held = 0
    for group in groups:
        more = sum(sizes[name] for name in group)
        if files and not full(held, more):
            files[-1] += group
            held += more
        else:
            files.append(group)
            held = more
    return files


ADAPTER = "adapter_model.safetensors"
"""The one file of a LoRA adapter."""


def file_names(count: int) -> tuple[str, ...]:
    """Name the files of a model as the hub does."""
    if count == 1:
        return ("model.safetensors",)
    return tuple(f"model-{i:05}-of-{count:05}.safetensors" for i in range(1, count + 1))


def index_json(files: Sequence[tuple[str, Sequence[str]]], sizes: Sizes) -> bytes:
    """Write model.safetensors.index.json for (file name, tensor names) pairs."""
    weight_map = {tensor: file for file, tensors in files for tensor in tensors}
    table = {
        "metadata": {"total_size": sum(sizes.values())},
        "weight_map": {name: weight_map[name] for name in sorted(weight_map, key=natural)},
    }
    return json_text(table)
