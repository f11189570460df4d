"""Make the checkpoints that the benchmarks merge: a base of random weights, and three fine-tunes near it, in bfloat16.

    python benchmarks/checkpoints.py [--shape qwen2-0.5b] [--place DIR]

All four are written at once, a few megabytes at a time.  The values depend on the shape and on nothing else, and a
family that is there is left alone.  The tokenizer has one token: it is copied, never asked.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from shapes import BYTES, DEFAULT, SHAPES, Shape

from modelbuild.checkpoint.header import lay_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

PLACE = Path(__file__).resolve().parent / "checkpoints"
MODELS = ("base", "a", "b", "c")

CHUNK = 1 << 21
"""Elements that are drawn and written at a time; part of the recipe."""
RECIPE = 1
"""Raised when the values change: what an older recipe made is made anew."""

SPREAD = 0.02
"""Standard deviation of the weights of the base, as in a model at the start of its training."""
TUNED = 0.0005
"""And of what a fine-tune moves them by: a few steps of bfloat16, so that many task vectors agree exactly, as real ones do."""


def make(shape: Shape, place: Path) -> Path:
    """Make the family of a shape below a directory unless it is there; return its own."""
    home = place / shape.name
    recipe = json.dumps({"recipe": RECIPE, "shape": shape.name, "bytes": shape.nbytes()})
    stamp = home / "recipe.json"
    if stamp.is_file() and stamp.read_text() == recipe:
        return home
    partial = home.with_name(f"{home.name}.partial")
    for stale in (home, partial):
        shutil.rmtree(stale, ignore_errors=True)
    for model in MODELS:
        (partial / model).mkdir(parents=True)
        for name, document in _small_files(shape).items():
            (partial / model / name).write_text(json.dumps(document, indent=2) + "\n")
    _write_weights(shape, partial)
    (partial / "recipe.json").write_text(recipe)
    partial.rename(home)
    return home


def _write_weights(shape: Shape, home: Path) -> None:
    layout = lay_out([(name, "BF16", dims) for name, dims in shape.tensors().items()])
    with ExitStack() as opened:
        files = [opened.enter_context((home / model / "model.safetensors").open("wb")) for model in MODELS]
        for file in files:
            file.write(layout.header)
            file.flush()
            file.truncate(layout.size)

        def fill(place: tuple[int, int]) -> None:
            tensor, start = place
            name, _, dims = layout.tensors[tensor]
            count = min(CHUNK, prod(dims) - start)
            for file, values in zip(files, _values(name, (tensor, start // CHUNK), count), strict=True):
                _write_at(file.fileno(), values.data.cast("B"), layout.offsets[tensor] + BYTES * start)

        places = [(i, start) for i, (_, _, dims) in enumerate(layout.tensors) for start in range(0, prod(dims), CHUNK)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for done, _ in enumerate(pool.map(fill, places), 1):
                if done % 64 == 0:
                    print(f"{shape.name}: {done / len(places):.0%}", flush=True)
        for file in files:
            os.fsync(file.fileno())


def _values(name: str, place: tuple[int, int], count: int) -> Iterator[NDArray[np.uint16]]:
    """Yield a chunk of a tensor as each model has it: the base, then its fine-tunes."""
    base = SPREAD * _draw(place, 0, count)
    if "norm" in name:
        base += np.float32(1)
    yield _to_bfloat16(base.copy())
    for model in range(1, len(MODELS)):
        yield _to_bfloat16(base + TUNED * _draw(place, model, count))


def _draw(place: tuple[int, int], model: int, count: int) -> NDArray[np.float32]:
    return np.random.Generator(np.random.SFC64([RECIPE, *place, model])).standard_normal(count, dtype=np.float32)


def _to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round finite values to the nearest, ties to even; overwrites them."""
    bits = values.view(np.uint32)
    bits += ((bits >> 16) & 1) + np.uint32(0x7FFF)
    return (bits >> 16).astype(np.uint16)


def _write_at(handle: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(handle, data, offset)
        data, offset = data[written:], offset + written


def _small_files(shape: Shape) -> dict[str, object]:
    token = "<|endoftext|>"  # noqa: S105 - no secret
    added = {"id": 0, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "config.json": shape.config(),
        "generation_config.json": {"do_sample": False, "eos_token_id": 0},
        "tokenizer_config.json": {"eos_token": token, "tokenizer_class": "PreTrainedTokenizerFast"},
        "tokenizer.json": {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [added],
            "normalizer": None,
            "pre_tokenizer": None,
            "post_processor": None,
            "decoder": None,
            "model": {"type": "BPE", "vocab": {token: 0}, "merges": []},
        },
    }


def main() -> None:
    """Make a family from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default=DEFAULT)
    parser.add_argument("--place", type=Path, default=PLACE)
    arguments = parser.parse_args()
    make(SHAPES[arguments.shape], arguments.place)


if __name__ == "__main__":
    main()
