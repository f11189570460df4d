"""How far two checkpoints in bfloat16 are apart, counted in steps of bfloat16.

Tensors are held as the 16 bits on disk, so that nothing here depends on a library that rounds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Bits = NDArray[np.uint16]
    Floats = NDArray[np.float32]
    Mask = NDArray[np.bool_]

NEGLIGIBLE = 2.0**-20
"""Share of an element's largest input up to which a difference is how float32 was rounded on the way, not a formula."""


@dataclass(frozen=True)
class Distance:
    """What a comparison found.

    Args:
        compared: how many elements were.
        equal: how many of them are equal, or differ negligibly.
        halfway: how many are neighbours, and what both round lies in their middle or negligibly beside it.
        ulps: the farthest that two which are not equal are apart, in steps of bfloat16.
        worst: the tensor they stand in.
        excluded: how many elements were left out.

    """

    compared: int = 0
    equal: int = 0
    halfway: int = 0
    ulps: int = 0
    worst: str = ""
    excluded: int = 0

    @property
    def unexplained(self) -> int:
        """How many elements differ although rounding does not explain it."""
        return self.compared - self.equal - self.halfway

    def __add__(self, other: Distance) -> Distance:
        """Sum up two tensors."""
        farthest = max(self, other, key=lambda one: one.ulps)
        return Distance(
            self.compared + other.compared,
            self.equal + other.equal,
            self.halfway + other.halfway,
            farthest.ulps,
            farthest.worst,
            self.excluded + other.excluded,
        )


def read(directory: Path) -> dict[str, Bits]:
    """Read the tensors of all safetensors files in `directory`, sorted by name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: one is not bfloat16, or stands in two files.

    """
    tensors: dict[str, Bits] = {}
    paths = sorted(directory.glob("*.safetensors"))
    if not paths:
        msg = f"{directory} holds no .safetensors file"
        raise FileNotFoundError(msg)
    for path in paths:
        data = path.read_bytes()
        start = 8 + int.from_bytes(data[:8], "little")
        for name, entry in json.loads(data[8:start]).items():
            if name == "__metadata__":
                continue
            if entry["dtype"] != "BF16" or name in tensors:
                msg = f"{path}: {name} is {entry['dtype']}" + (", and there is another" if name in tensors else "")
                raise ValueError(msg)
            shape = entry["shape"]
            tensors[name] = np.frombuffer(data, "<u2", prod(shape), start + entry["data_offsets"][0]).reshape(shape)
    return dict(sorted(tensors.items()))


def compare(
    ours: Mapping[str, Bits],
    theirs: Mapping[str, Bits],
    inputs: Sequence[Mapping[str, Bits]] = (),
    *,
    exact: Mapping[str, NDArray[np.float64]] | None = None,
    negligible: float = NEGLIGIBLE,
    excluded: Mapping[str, Mask] | None = None,
) -> Distance:
    """Compare two checkpoints that hold the same tensors.

    Args:
        ours: tensors by name.
        theirs: tensors by name.
        inputs: what both were made of; without them no difference is negligible.
        exact: what both round, by name of its tensor; without it nothing is known to lie halfway.
        negligible: share of an element's largest input.
        excluded: elements not to compare, by name of their tensor.

    Raises:
        ValueError: there are other tensors in one than in the other, or of other shapes, or none.

    """
    shapes = [{name: tensor.shape for name, tensor in side.items()} for side in (ours, theirs)]
    if shapes[0] != shapes[1] or not shapes[0]:
        differ = sorted({name for name, _ in shapes[0].items() ^ shapes[1].items()})
        msg = f"the tensors or shapes differ: {', '.join(differ) or 'there are none'}"
        raise ValueError(msg)
    total = Distance()
    for name, one in ours.items():
        other = theirs[name]
        slack = np.zeros(one.shape)
        for model in inputs:
            slack = np.maximum(slack, negligible * np.abs(floats(model[name]).astype(np.float64)))
        left_out = excluded[name] if excluded else np.zeros(one.shape, np.bool_)
        pair = np.stack([floats(one), floats(other)]).astype(np.float64)  # (2, *S)
        equal = (one == other) | (np.abs(pair[0] - pair[1]) <= slack) | left_out
        steps = np.where(equal, 0, np.abs(position(one) - position(other)))
        halfway = (steps == 1) & (np.abs(exact[name] - pair.mean(axis=0)) <= slack) if exact else np.zeros(one.shape)
        total += Distance(
            compared=int(np.count_nonzero(~left_out)),
            equal=int(np.count_nonzero(equal & ~left_out)),
            halfway=int(np.count_nonzero(halfway)),
            ulps=int(steps.max(initial=0)),
            worst=name,
            excluded=int(np.count_nonzero(left_out)),
        )
    return total


def floats(bits: Bits) -> Floats:
    """Widen bfloat16 to float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def rounded(values: NDArray[np.floating]) -> Bits:
    """Narrow finite numbers to bfloat16, by way of float32, each time to the nearest, of two the even one."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def position(bits: Bits) -> NDArray[np.int32]:
    """Count the bfloat16 values from zero to each, downwards negative: neighbours are 1 apart."""
    magnitude = (bits & 0x7FFF).astype(np.int32)
    return np.where(bits >> 15 == 1, -magnitude, magnitude)
