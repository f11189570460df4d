"""Storage types: safetensors' codes, torch's names, sizes."""

from __future__ import annotations

from math import prod

SIZES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip
"""Bytes per element by safetensors code."""

ARITHMETIC = ("F64", "F32", "F16", "BF16")
"""The types that methods compute on; tensors of any other type are only copied."""

EIGHTHS = ("F8_E4M3", "F8_E5M2")
"""The floating types that mean nothing without scales."""

BY_TORCH_NAME = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
TORCH_NAMES = {code: name for name, code in BY_TORCH_NAME.items()}


def nbytes(dtype: str, shape: tuple[int, ...]) -> int:
    """Bytes that a tensor of this type and shape occupies."""
    return SIZES[dtype] * prod(shape)
