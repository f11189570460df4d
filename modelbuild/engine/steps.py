"""Steps: tensors computed from tensors of other shapes, a piece at a time, in float32 and rounded once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from modelbuild.checkpoint.dtypes import SIZES
from modelbuild.engine.gates import find_gates
from modelbuild.engine.lora import add_adapters, factorise, set_beside, take_part
from modelbuild.engine.regions import Region
from modelbuild.engine.rows import take_rows
from modelbuild.plan import Step

Floats = NDArray[np.float32]


class Held(Struct, frozen=True):
    """An input of a step."""

    region: Region
    dtype: str
    shape: tuple[int, ...]

    @property
    def width(self) -> int:
        """Elements of a row."""
        return int(np.prod(self.shape[1:], dtype=np.int64))

    def rows(self, first: int, count: int) -> Floats:
        """Read rows that follow each other, as float32 of shape (count, width)."""
        size = self.width * SIZES[self.dtype]
        raw = bytearray(count * size)
        self.region.read_into(memoryview(raw), first * size)
        return widened(raw, self.dtype).reshape(count, self.width)


def widened(raw: bytearray, dtype: str) -> Floats:
    """Return stored numbers as float32."""
    if dtype == "BF16":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):
        return np.frombuffer(raw, {"F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype]).astype(np.float32)


Compute = Callable[[Any, Sequence[Held], int], Iterator[Floats]]
"""compute(payload, inputs, chunk) -> the elements of the result in order, in pieces of about `chunk`."""

STEPS: dict[str, Compute] = {
    "rows": take_rows,
    "lora": add_adapters,
    "gates": find_gates,
    "factors": factorise,
    "part": take_part,
    "beside": set_beside,
}
"""What computes a step, by what the plan calls it."""


def pieces(step: Step, regions: Sequence[Region], chunk: int) -> Iterator[Floats]:
    """Compute a step: yield its elements in order, flat, at most `chunk` at a time."""
    inputs = [Held(region, need.dtype, need.shape) for region, need in zip(regions, step.needs, strict=True)]
    left = step.numel
    for piece in STEPS[step.method.name](step.payload, inputs, chunk):
        flat = np.ascontiguousarray(piece, np.float32).reshape(-1)[:left]
        left -= flat.size
        for start in range(0, flat.size, chunk):
            yield flat[start : start + chunk]
        if not left:
            return
