"""Indexes of shards that lie: shards elsewhere, missing, of the wrong kind, and files that are no index."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

from modelbuild import usecases as use_cases
from modelbuild.usecases import Options, Where
from tests.fuzz.headers import MODELFILE
from tests.fuzz.mutation import STRINGS, Json, bytes_changed, changed, deep, text_of
from tests.support.checkpoints import random_tensors, write_model

INDEX = "model.safetensors.index.json"


def prepare(root: Path) -> None:
    """Write a sound model in three shards, and a merge of it with one whose index is not."""
    base = random_tensors(0, 1)
    write_model(root / "base", base, shards=3)
    write_model(root / "bad", random_tensors(1, 1, near=base), shards=3)
    (root / "Modelfile.toml").write_text(MODELFILE)
    (root / "secret.safetensors").write_bytes((root / "base" / "model-00001-of-00003.safetensors").read_bytes())


def case(root: Path, rng: Random) -> Callable[[], object]:
    """Write a mutated index; most are looked at, some locked, and some built."""
    table = json.loads((root / "base" / INDEX).read_text())
    (root / "bad" / INDEX).write_bytes(mutated(table, rng))
    where, how = Where(root / "Modelfile.toml"), rng.random()
    if how < 0.02:
        return lambda: use_cases.build(where, options=Options(jobs=1, device="cpu"))
    if how < 0.1:
        return lambda: use_cases.lock(where, dry_run=True)
    return lambda: use_cases.show(where, "out")


def mutated(table: Json, rng: Random) -> bytes:
    """Return an index that says something else than it should."""
    shards = table["weight_map"]
    how = rng.random()
    if how < 0.55:
        elsewhere = (
            "../secret.safetensors",
            "../base/model-00001-of-00003.safetensors",
            "model-00001-of-00003.safetensors/../../secret.safetensors",
            "config.json",
        )
        for name in rng.sample(sorted(shards), rng.choice([1, 1, 2, len(shards)])):
            shards[name] = rng.choice([*STRINGS, *elsewhere])
    elif how < 0.65:
        table = rng.choice(
            [{}, [], None, "x", {"weight_map": None}, {"weight_map": []}, {"weight_map": {}}, {"weight_map": {"a": 1}}, deep(500, rng)]
        )
    elif how < 0.7:
        table = {"weight_map": {f"{i}": rng.choice(STRINGS) for i in range(rng.choice([10, 3000]))}}
    else:
        for _ in range(rng.randint(1, 3)):
            table = changed(table, rng)
    text = text_of(table, rng)
    return bytes_changed(text, rng) if rng.random() < 0.15 else text
