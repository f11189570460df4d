"""mergekit configurations that were not meant: YAML changed by tokens and bytes, and YAML made to hurt."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from random import Random

from modelbuild import usecases as use_cases
from tests.fuzz.modelfiles import OTHERS
from tests.fuzz.mutation import bytes_changed, tokens_changed

SOUND = """\
name: skills
merge_method: ties
base_model: base
models:
  - model: code+lora
    parameters: {weight: [0.2, 0.8], density: 0.5}
  - model: org/math
    parameters:
      weight:
        - {filter: mlp, value: 1.0}
        - value: 0.5
parameters: {normalize: true, int8_mask: false}
dtype: bfloat16
tokenizer: {source: union, tokens: {"<s>": {source: base}}}
---
name: deep
merge_method: passthrough
slices:
  - sources: [{model: skills, layer_range: [0, 2]}]
  - sources: [{model: base, layer_range: [1, 2]}]
chat_template: chatml
"""
TOKENS = re.findall(r'"[^"]*"|[\w.]+|\s+|.', SOUND)
TAGS = (
    "!!python/object/apply:os.system ['touch ran']",
    "!!python/name:os.system",
    "!!binary aGk=",
    "!!set {a}",
    "!x y",
    "&a [*a]",
    "*a",
    "2001-99-99",
    "0o99",
    "1:60:60",
)
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)


def prepare(root: Path) -> None:
    """A configuration needs no models."""


def case(root: Path, rng: Random) -> Callable[[], object]:
    """Write a mutated configuration, and read it."""
    (root / "recipe.yml").write_bytes(mutated(rng))
    return lambda: use_cases.import_mergekit([root / "recipe.yml"])


def mutated(rng: Random) -> bytes:
    """Return a configuration that says something else than it should."""
    how = rng.random()
    if how < 0.03:
        deep = rng.choice([100, 2000, 20_000])
        return rng.choice([LAUGHS, "a: " + "[" * deep, "a: " + "{a: " * deep, "? " * deep, "- " * deep, "a: " + "9" * 9000, "&a [*a, *a]", "\0", "%YAML 9.9\n---\n", "--- " * deep]).encode()  # fmt: skip
    text = tokens_changed(TOKENS, [*TOKENS, *OTHERS, *TAGS], rng).encode("utf-8", "surrogatepass")
    return bytes_changed(text, rng) if how < 0.2 else text
