"""8-bit integers as torchao makes them, in the form that transformers reads back: `quant_method` is "torchao".

torchao rounds one weight at a time; of its results those of one file are held in memory.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from modelbuild import files
from modelbuild.checkpoint.config import json_text
from modelbuild.checkpoint.dtypes import nbytes
from modelbuild.checkpoint.header import lay_out
from modelbuild.exports.checkpoint import index
from modelbuild.exports.linear import linear_weights
from modelbuild.exports.rounding import Stored
from modelbuild.exports.subject import INDEX, Foreseen, Standing, Subject
from modelbuild.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

_CODES = {"int8": "I8", "uint8": "U8", "float32": "F32", "bfloat16": "BF16", "float16": "F16"}


def foresee(subject: Subject) -> Foreseen:
    """Refuse what cannot be written, before any work; of the rest nothing is to be said, and a rounded number has a byte at least."""
    linear = frozenset(linear_weights(subject))
    return Foreseen(sum(nbytes("I8" if name in linear else dtype, shape) for name, (dtype, shape) in subject.tensors.items()))


@quiet()
def write(standing: Standing, path: Path) -> None:
    """Write a model with weights of 8-bit integers into a new directory, synced.

    Args:
        standing: the model.
        path: the directory, which does not exist yet.

    """
    from torchao.quantization import Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    linear = frozenset(linear_weights(standing.subject))
    files.make_directory(path)
    grouped: dict[str, list[str]] = {}
    for name, info in standing.infos.items():
        grouped.setdefault(info.path.name, []).append(name)
    held = [(file, _write_file(standing, path / file, names, linear)) for file, names in grouped.items()]
    told = TorchAoConfig(Int8WeightOnlyConfig()).to_dict()  # type: ignore[no-untyped-call]
    small = {**standing.subject.small, "config.json": json_text({**standing.subject.config, "quantization_config": told})}
    if len(held) > 1:
        small[INDEX] = index(held)
    for name, data in small.items():
        files.write_new(path / name, data)


def _write_file(standing: Standing, path: Path, names: list[str], linear: frozenset[str]) -> list[Stored]:
    """Write a file, synced, and return what it holds."""
    from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict

    rounded = {name: _rounded(standing, name) for name in names if name in linear}
    made, metadata = flatten_tensor_state_dict(rounded)
    kept = [name for name in names if name not in linear]
    parts: Mapping[str, torch.Tensor] = made
    plain = dict.fromkeys(kept, '{"_type": "Tensor"}')
    metadata = {**metadata, **plain, "tensor_names": json.dumps(names), "format": "pt"}
    stored: list[Stored] = [(name, *standing.subject.tensors[name]) for name in kept]
    stored += [(name, _CODES[str(part.dtype).removeprefix("torch.")], tuple(part.shape)) for name, part in parts.items()]
    layout = lay_out(stored, {key: metadata[key] for key in sorted(metadata)})
    fd = files.open_new(path)
    try:
        files.allocate(fd, path, layout.size)
        files.write_at(fd, path, layout.header, 0)
        for (name, _, _), start in zip(layout.tensors, layout.offsets, strict=True):
            if name in parts:
                import torch

                files.write_at(fd, path, parts[name].contiguous().view(torch.uint8).numpy().tobytes(), start)
                continue
            size = standing.infos[name].nbytes // max(1, standing.infos[name].numel)
            for first, raw in standing.raw(name):
                files.write_at(fd, path, raw, start + first * size)
        files.sync(fd, path)
    finally:
        os.close(fd)
    return stored


def _rounded(standing: Standing, name: str) -> torch.Tensor:
    """Return a weight as torchao rounds it, a tensor of its own kind."""
    import torch
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    info = standing.infos[name]
    rows, width = info.shape
    raw = bytearray(b"".join(raw for _, raw in standing.raw(name)))
    dtype = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32, "F64": torch.float64}[info.dtype]
    layer = torch.nn.Linear(width, rows, bias=False, device="meta")
    layer.weight = torch.nn.Parameter(torch.frombuffer(raw, dtype=dtype).reshape(rows, width), requires_grad=False)
    quantize_(layer, Int8WeightOnlyConfig())
    return layer.weight
