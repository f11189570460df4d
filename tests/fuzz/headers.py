"""Safetensors files that lie: in lengths, ranges, names, types and shapes, and in what JSON may hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

from modelbuild import usecases as use_cases
from modelbuild.usecases import Options, Where
from tests.fuzz.mutation import NUMBERS, STRINGS, Json, bytes_changed, deep, text_of
from tests.support.checkpoints import random_tensors, write_model

MODELFILE = """\
[source]
base.from = "base"
bad.from = "bad"
[merge.out]
method = "linear"
inputs = ["base", "bad"]
"""

Pairs = list[tuple[str, Json]]

DTYPES = ("F4", "f32", "F8_E4M3", "F8_E8M0", "BOOL", "I64", "F64", "", "BF16 ", None, 7, [], {}, "F32\0", "\ud800", "F" * 60_000)
STARTS = (
    b"",
    b"\0" * 8,
    b"PK\x03\x04",
    b"\x80\x04\x95",
    b"GGUF",
    b"\x93NUMPY",
    b"{" * 8,
    b"\xff" * 8,
    b"\x7fELF",
    b"#!/bin/sh\n",
    b"\x1f\x8b\x08",
)


def prepare(root: Path) -> None:
    """Write a sound model of one layer, and a merge of it with one that is not."""
    base = random_tensors(0, 1)
    write_model(root / "base", base)
    write_model(root / "bad", random_tensors(1, 1, near=base))
    (root / "Modelfile.toml").write_text(MODELFILE)
    warm(root)
    write_model(root / "base", base)


def warm(root: Path) -> None:
    """Have the loops compiled that merges of any two types need: that takes longer than any case may."""
    base = random_tensors(0, 1)
    for first, second in product(("F16", "F32", "BF16"), repeat=2):
        write_model(root / "base", base, dtype=first)
        write_model(root / "bad", base, dtype=second)
        use_cases.build(Where(root / "Modelfile.toml"), options=Options(jobs=1, device="cpu"))


def case(root: Path, rng: Random) -> Callable[[], object]:
    """Write a file with a mutated header; most are looked at, some locked, and some built."""
    sound = (root / "base" / "model.safetensors").read_bytes()
    (root / "bad" / "model.safetensors").write_bytes(mutated(sound, rng))
    where, how = Where(root / "Modelfile.toml"), rng.random()
    if how < 0.04:
        return lambda: use_cases.build(where, options=Options(jobs=1, device="cpu"))
    if how < 0.1:
        return lambda: use_cases.lock(where, dry_run=True)
    return lambda: use_cases.show(where, "out")


def mutated(sound: bytes, rng: Random) -> bytes:
    """Return a safetensors file that says something else than it should."""
    length = int.from_bytes(sound[:8], "little")
    header, data = json.loads(sound[8 : 8 + length]), sound[8 + length :]
    if rng.random() < 0.03:
        return rng.choice(STARTS) + (sound[rng.randrange(len(sound)) :] if rng.random() < 0.5 else rng.randbytes(rng.randrange(64)))
    pairs: Pairs = list(header.items())
    for _ in range(rng.randint(1, 3)):
        pairs = rng.choice(CHANGES)(pairs, len(data), rng)
    text = ("{" + ",".join(f"{json.dumps(name)}:{json.dumps(entry)}" for name, entry in pairs) + "}").encode("utf-8", "surrogatepass")
    how = rng.random()
    if how < 0.1:
        text = bytes_changed(text, rng)
    elif how < 0.14:
        text = text_of(dict(pairs), rng)
    elif how < 0.16:
        text = rng.choice([b"[" * 50_000, b'{"a":' * 50_000, b"{}", b"[]", b"null", b"", b" " * 1000, json.dumps(deep(900, rng)).encode()])
    said = _length(len(text), len(data), rng) if rng.random() < 0.1 else len(text)
    whole = said.to_bytes(8, "little") + text + data
    return whole[: rng.randrange(len(whole))] if rng.random() < 0.05 else whole


def _length(text: int, data: int, rng: Random) -> int:
    whole = 8 + text + data
    return rng.choice(
        [0, 1, 2, 7, text - 1, text + 1, whole, whole - 8, whole - 7, 10**8, 10**8 + 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
    )


def _some(pairs: Pairs, rng: Random) -> int:
    return rng.randrange(len(pairs)) if pairs else -1


def _entry(pairs: Pairs, rng: Random, change: Callable[[dict[str, Any]], None]) -> Pairs:
    """Change one entry, if it is one still."""
    at = _some(pairs, rng)
    if at < 0 or not isinstance(pairs[at][1], dict):
        return pairs
    entry = dict(pairs[at][1])
    change(entry)
    return [*pairs[:at], (pairs[at][0], entry), *pairs[at + 1 :]]


def _offsets(pairs: Pairs, data: int, rng: Random) -> Pairs:
    def change(entry: dict[str, Any]) -> None:
        span = entry.get("data_offsets")
        start, stop = span if isinstance(span, list) and len(span) == 2 and all(type(one) is int for one in span) else (0, 0)
        k = rng.choice([1, 2, 64, data])
        entry["data_offsets"] = rng.choice(
            [[start + k, stop + k], [start - k, stop - k], [start, stop + k], [stop, start], [0, data], [data, data], [start], [start, stop, stop], [],
             [float(start), float(stop)], [str(start), str(stop)], [False, True], [rng.choice(NUMBERS), rng.choice(NUMBERS)], None, {}, "0,1", [[0], [1]]]
        )  # fmt: skip

    return _entry(pairs, rng, change)


def _shape(pairs: Pairs, data: int, rng: Random) -> Pairs:
    def change(entry: dict[str, Any]) -> None:
        shape = entry.get("shape")
        shape = list(shape) if isinstance(shape, list) else []
        entry["shape"] = rng.choice(
            [[*shape, 1], shape[::-1], [*shape, 0], [-dim for dim in shape if type(dim) is int], [float(data)], [1] * rng.choice([33, 65, 10_000]), [True],
             [2**63, 2**63], [10**400], [10**4000] * 200, [0, 10**400], [0, 2**64], [rng.choice(NUMBERS)], None, {}, "16", [[16]], [str(data)], [2**31] * 3]
        )  # fmt: skip

    return _entry(pairs, rng, change)


def _agreeing(pairs: Pairs, data: int, rng: Random) -> Pairs:
    """Say the same bytes another way: another shape of as many elements, or a type half as wide."""

    def change(entry: dict[str, Any]) -> None:
        span = entry.get("data_offsets")
        if isinstance(span, list) and len(span) == 2 and all(type(one) is int for one in span):
            size = span[1] - span[0]
            dtype, width = rng.choice([("U8", 1), ("I64", 8), ("F32", 4), ("F16", 2), ("F8_E5M2", 1), ("BOOL", 1)])
            entry["dtype"], entry["shape"] = dtype, rng.choice([[size // width], [1, size // width], [size // width, 1, 1], [], [0]])

    return _entry(pairs, rng, change)


def _empty(pairs: Pairs, data: int, rng: Random) -> Pairs:
    """Add tensors of no bytes, some of them of more elements than there are numbers for."""
    names = [*STRINGS, "model.layers.0.empty", "model.layers.7.empty", "model.layers.100000000000.mlp.x"]
    shape = rng.choice([[0], [0, 2**62], [0, 10**300], [2**31, 0, 2**31]])
    return [*pairs, (rng.choice(names), {"dtype": "F32", "shape": shape, "data_offsets": [data, data]})]


def _dtype(pairs: Pairs, data: int, rng: Random) -> Pairs:
    return _entry(pairs, rng, lambda entry: entry.__setitem__("dtype", rng.choice(DTYPES)))


def _keys(pairs: Pairs, data: int, rng: Random) -> Pairs:
    def change(entry: dict[str, Any]) -> None:
        if entry and rng.random() < 0.5:
            del entry[rng.choice(list(entry))]
        else:
            entry[rng.choice(STRINGS)] = rng.choice(NUMBERS)

    return _entry(pairs, rng, change)


def _renamed(pairs: Pairs, data: int, rng: Random) -> Pairs:
    at = _some(pairs, rng)
    return [*pairs[:at], (rng.choice([*STRINGS, "__metadata__"]), pairs[at][1]), *pairs[at + 1 :]] if at >= 0 else pairs


def _twice(pairs: Pairs, data: int, rng: Random) -> Pairs:
    at, other = _some(pairs, rng), _some(pairs, rng)
    return [*pairs, (pairs[at][0], pairs[other][1])] if at >= 0 else pairs


def _gone(pairs: Pairs, data: int, rng: Random) -> Pairs:
    at = _some(pairs, rng)
    return [pair for i, pair in enumerate(pairs) if i != at]


def _wrong(pairs: Pairs, data: int, rng: Random) -> Pairs:
    at = _some(pairs, rng)
    entry = rng.choice([None, [], 7, "x", True, {}, deep(30, rng), {"dtype": "F32"}])
    return [*pairs[:at], (pairs[at][0], entry), *pairs[at + 1 :]] if at >= 0 else pairs


def _metadata(pairs: Pairs, data: int, rng: Random) -> Pairs:
    held = rng.choice([None, [], "x", {"format": rng.choice(STRINGS)}, {"a": {"b": 1}}, deep(300, rng), {str(i): "x" for i in range(1000)}])
    return [("__metadata__", held), *pairs]


CHANGES = (_offsets, _offsets, _shape, _shape, _agreeing, _empty, _dtype, _keys, _renamed, _renamed, _twice, _gone, _wrong, _metadata)
