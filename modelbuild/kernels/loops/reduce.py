"""Sums in float64 by a tree that chunks, threads and devices cannot change: see `Kernels.products`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelbuild.kernels import BLOCK, LANES
from modelbuild.kernels.loops.access import load
from modelbuild.kernels.loops.compiled import Scalar, f64, kernel, u64

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    F64s = NDArray[np.float64]

Operand = Any


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
def clear(lanes: F64s) -> None:
    """Start from +0.0."""
    for i in range(lanes.size):
        lanes[i] = 0.0


@kernel
def products(x: Operand, y: Operand, n: int, lanes: tuple[F64s, ...], sums: F64s) -> None:
    """Write the three sums of products of every block; rows that would be padding add nothing."""
    xx, xy, yy = lanes
    for block in range(sums.shape[0]):
        clear(xx)
        clear(xy)
        clear(yy)
        for row in range(block * BLOCK, min(n, (block + 1) * BLOCK), LANES):
            for i in range(min(LANES, n - row)):
                at = u64(row) + u64(i)
                a, b = f64(load(x, at)), f64(load(y, at))
                xx[i] += a * a
                xy[i] += a * b
                yy[i] += b * b
        sums[block, 0], sums[block, 1], sums[block, 2] = fold(xx), fold(xy), fold(yy)


@kernel
def products_of_three(x: Operand, y: Operand, z: Operand, n: int, lanes: tuple[F64s, ...], sums: F64s) -> None:
    """Write the six of three inputs, each of which is read once."""
    xx, xy, xz, yy, yz, zz = lanes
    for block in range(sums.shape[0]):
        for k in range(len(lanes)):
            clear(lanes[k])
        for row in range(block * BLOCK, min(n, (block + 1) * BLOCK), LANES):
            for i in range(min(LANES, n - row)):
                at = u64(row) + u64(i)
                a, b, c = f64(load(x, at)), f64(load(y, at)), f64(load(z, at))
                xx[i] += a * a
                xy[i] += a * b
                xz[i] += a * c
                yy[i] += b * b
                yz[i] += b * c
                zz[i] += c * c
        for k in range(len(lanes)):
            sums[block, k] = fold(lanes[k])


@kernel
def abs_sums(x: Operand, mask: Bools, n: int, lanes: F64s, kept: F64s, sums: F64s) -> None:
    """Write the sums of magnitudes of every block: of all, and of what is in the mask."""
    for block in range(sums.shape[0]):
        clear(lanes)
        clear(kept)
        for row in range(block * BLOCK, min(n, (block + 1) * BLOCK), LANES):
            for i in range(min(LANES, n - row)):
                at = u64(row) + u64(i)
                magnitude = f64(abs(load(x, at)))
                lanes[i] += magnitude
                kept[i] += magnitude if mask[at] else 0.0
        sums[block, 0], sums[block, 1] = fold(lanes), fold(kept)
