"""Sums in float64 by a tree that chunks, threads and devices cannot change: see `Kernels.dots`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from modelbuild.kernels import BLOCK, LANES
from modelbuild.kernels.compiled import Scalar, f64, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    F32s = NDArray[np.float32]
    F64s = NDArray[np.float64]


@kernel
def fold(lanes: F64s) -> Scalar:
    """Add the upper half to the lower until one lane is left."""
    half = lanes.size // 2
    while half:
        for i in range(half):
            lanes[i] += lanes[i + half]
        half //= 2
    return lanes[0]


@kernel
def dots(a: F32s, b: F32s, sums: F64s) -> None:
    """Write the sum of products of every block; rows that would be padding add nothing."""
    lanes = np.empty(LANES, np.float64)
    for block in range(sums.size):
        lanes[:] = 0.0
        for row in range(block * BLOCK, min(a.size, (block + 1) * BLOCK), LANES):
            x, y = a[row : row + LANES], b[row : row + LANES]
            for i in range(x.size):
                lanes[i] += f64(x[i]) * f64(y[i])
        sums[block] = fold(lanes)


@kernel
def abs_sums(a: F32s, sums: F64s) -> None:
    """Write the sum of magnitudes of every block."""
    lanes = np.empty(LANES, np.float64)
    for block in range(sums.size):
        lanes[:] = 0.0
        for row in range(block * BLOCK, min(a.size, (block + 1) * BLOCK), LANES):
            x = a[row : row + LANES]
            for i in range(x.size):
                lanes[i] += f64(abs(x[i]))
        sums[block] = fold(lanes)
