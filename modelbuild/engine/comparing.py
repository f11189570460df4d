"""Two tensors compared: how many elements differ, and by how much."""

from __future__ import annotations

from dataclasses import dataclass

from modelbuild.checkpoint.dtypes import TORCH_NAMES
from modelbuild.checkpoint.header import TensorInfo
from modelbuild.engine.regions import FileRegion, Handles, digest_of


@dataclass(frozen=True, slots=True)
class Difference:
    """How two tensors of one type and shape differ: elements, and the largest difference, in float64."""

    elements: int
    numel: int
    largest: float

    def __str__(self) -> str:
        return f"{self.elements} of {self.numel} elements, by at most {self.largest:.3g}"


def digest_in_file(info: TensorInfo) -> str:
    """Return the digest of a tensor in a file.

    Raises:
        ModelbuildError: exit 5 if the file ends before the tensor does.

    """
    handles = Handles()
    try:
        return digest_of(FileRegion(handles.fd(info.path), info.path, info.offset, info.nbytes), info.dtype, info.shape)
    finally:
        handles.close()


def difference(one: TensorInfo, other: TensorInfo) -> Difference | None:
    """Compare two tensors value by value; None where their types or shapes differ, or they hold no floats."""
    if (one.dtype, one.shape) != (other.dtype, other.shape) or one.dtype not in TORCH_NAMES:
        return None
    import torch

    def values(info: TensorInfo) -> torch.Tensor:
        data = bytearray(info.nbytes)
        with info.path.open("rb") as file:
            file.seek(info.offset)
            file.readinto(data)
        return torch.frombuffer(data, dtype=getattr(torch, TORCH_NAMES[info.dtype])).to(torch.float64)

    a, b = values(one), values(other)
    unequal = (a != b) & ~(a.isnan() & b.isnan())
    apart = (a - b).abs()[unequal]
    return Difference(len(apart), one.numel, float(apart.max()) if len(apart) else 0.0)
