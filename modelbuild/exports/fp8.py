"""8-bit floats: linear weights as e4m3 with a scale for each row or each tensor, in the form that vLLM and compressed-tensors read.

e4m3: Micikevicius et al., "FP8 Formats for Deep Learning", 2022, https://arxiv.org/abs/2209.05433.  The checkpoint:
compressed-tensors' `float-quantized`, https://github.com/vllm-project/compressed-tensors; activations are rounded as the model runs,
by token.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelbuild import files
from modelbuild.checkpoint.config import json_text
from modelbuild.checkpoint.dtypes import ARITHMETIC
from modelbuild.checkpoint.header import Layout, lay_out
from modelbuild.exports.subject import INDEX, Standing, Subject, Unexportable, widened
from modelbuild.modelfile.model import Export
from modelbuild.names import natural
from modelbuild.plan.layout import index_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LARGEST = 448.0
"""The largest number of e4m3."""

TYPE = "F8_E4M3"
_WEIGHT, _SCALE = ".weight", "_scale"
_EMBEDDINGS = ("embed", "wte", "wpe")


def check(subject: Subject) -> tuple[str, ...]:
    """Refuse what cannot be written, before any work; there is nothing to be said of the rest."""
    if "quantization_config" in subject.config:
        raise Unexportable("the model is quantised already", hint="export the merge of models that are not", key="of")
    if not _linear(subject):
        raise Unexportable("the model has no linear weight to be stored in 8 bits", hint="export a whole language model", key="of")
    return ()


def write(standing: Standing, export: Export, path: Path) -> None:
    """Write a model with 8-bit weights into a new directory, synced.

    Args:
        standing: the model.
        export: how.
        path: the directory, which does not exist yet.

    """
    per_row = export.scales != "tensor"
    linear = frozenset(_linear(standing.subject))
    files.make_directory(path)
    grouped: dict[str, list[str]] = {}
    for name, info in standing.infos.items():
        grouped.setdefault(info.path.name, []).append(name)
    laid = {file: lay_out([one for name in names for one in _stored(standing, name, linear, per_row)]) for file, names in grouped.items()}
    for file, layout in laid.items():
        _write_file(standing, path / file, layout, per_row)
    small = dict(standing.subject.small)
    small["config.json"] = json_text({**standing.subject.config, "quantization_config": _told(standing.subject, linear, per_row)})
    if len(laid) > 1:
        held = [(file, [name for name, _, _ in layout.tensors]) for file, layout in laid.items()]
        ends = {file: (*layout.offsets[1:], layout.size) for file, layout in laid.items()}
        sizes = {
            name: end - start
            for file, layout in laid.items()
            for (name, _, _), start, end in zip(layout.tensors, layout.offsets, ends[file], strict=True)
        }
        small[INDEX] = index_json(held, sizes)
    for name, data in small.items():
        files.write_new(path / name, data)


def _linear(subject: Subject) -> tuple[str, ...]:
    """Return the weights of linear layers, embedding and head excepted: which they are is asked of the architecture.

    Experts count too: transformers holds those of a layer in one tensor, other programs and files hold each by itself.
    """
    matrices = [name for name, (dtype, shape) in subject.tensors.items() if len(shape) == 2 and dtype in ARITHMETIC]
    modules = _linear_modules(subject.config)
    head = {"lm_head", "embed_out", "output"}
    chosen = [
        name
        for name in matrices
        if name.endswith(_WEIGHT)
        and name.removesuffix(_WEIGHT).rpartition(".")[2] not in head
        and (name.removesuffix(_WEIGHT) in modules or ".experts." in name)
    ]
    return tuple(sorted(chosen, key=natural))


def _linear_modules(config: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of a model's linear layers; it is built without memory for its weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        kind = config.get("model_type", "nothing that config.json names")
        raise Unexportable(f"transformers knows no language model of type `{kind}`", str(error)[:200], key="of") from None
    return frozenset(name for name, module in model.named_modules() if type(module) is torch.nn.Linear)


def _stored(standing: Standing, name: str, linear: frozenset[str], per_row: bool) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Yield what a tensor becomes: (name, type, shape)."""
    info = standing.infos[name]
    if name not in linear:
        yield name, info.dtype, info.shape
        return
    yield name, TYPE, info.shape
    yield f"{name}{_SCALE}", "F32", (info.shape[0], 1) if per_row else (1,)


def _write_file(standing: Standing, path: Path, layout: Layout, per_row: bool) -> None:
    at = {name: start for (name, _, _), start in zip(layout.tensors, layout.offsets, strict=True)}
    fd = files.open_new(path)
    try:
        files.allocate(fd, path, layout.size)
        files.write_at(fd, path, layout.header, 0)
        for name, dtype, shape in layout.tensors:
            if name not in standing.infos:
                continue  # the scales of one that is
            if dtype != TYPE:
                size = standing.infos[name].nbytes // max(1, prod(shape))
                for start, raw in standing.raw(name):
                    files.write_at(fd, path, raw, at[name] + start * size)
                continue
            for first, numbers, scales in _rounded(standing, name, shape, per_row):
                files.write_at(fd, path, numbers.data, at[name] + first * shape[1])
                files.write_at(fd, path, scales.data.cast("B"), at[f"{name}{_SCALE}"] + (first * 4 if per_row else 0))
        files.sync(fd, path)
    finally:
        os.close(fd)


def _rounded(
    standing: Standing, name: str, shape: tuple[int, ...], per_row: bool
) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.float32]]]:
    """Yield rows of a weight as (first row, bytes, scales): a number is its byte times its scale.

    The largest number of a row, or of the tensor, becomes the largest there is.
    """
    import numpy as np
    import torch

    def scaled(largest: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.where(largest > 0, largest / np.float32(LARGEST), np.float32(1)).astype(np.float32)

    whole = np.zeros((1, 1), np.float32)
    if not per_row:
        parts = (np.abs(widened(raw, standing.infos[name].dtype)).max(initial=0) for _, raw in standing.raw(name))
        whole = scaled(np.array([[max(parts)]], np.float32))
    for first, rows in standing.rows(name, shape[1]):
        scales = scaled(np.abs(rows).max(axis=1, keepdims=True)) if per_row else whole
        if not np.isfinite(rows).all():
            raise Unexportable(f"`{name}` holds what is no number", hint='build the merge without `nonfinite = "allow"`', key="of")
        numbers = torch.from_numpy(np.clip(rows / scales, -LARGEST, LARGEST)).to(torch.float8_e4m3fn)
        yield first, numbers.view(torch.uint8).numpy().reshape(-1), scales.reshape(-1)


def _told(subject: Subject, linear: frozenset[str], per_row: bool) -> dict[str, Any]:
    """Return `quantization_config`."""
    others = [
        name.removesuffix(_WEIGHT)
        for name, (_, shape) in subject.tensors.items()
        if len(shape) == 2 and name.endswith(_WEIGHT) and name not in linear and not any(word in name for word in _EMBEDDINGS)
    ]
    if "lm_head" not in others and subject.config.get("tie_word_embeddings"):
        others.append("lm_head")
    number = {"num_bits": 8, "type": "float", "symmetric": True}
    weights = {**number, "strategy": "channel" if per_row else "tensor", "dynamic": False}
    return {
        "quant_method": "compressed-tensors",
        "format": "float-quantized",
        "quantization_status": "compressed",
        "config_groups": {
            "group_0": {"targets": ["Linear"], "weights": weights, "input_activations": {**number, "strategy": "token", "dynamic": True}}
        },
        "ignore": sorted(others, key=natural),
    }
