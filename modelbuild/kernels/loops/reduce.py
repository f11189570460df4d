"""Sums in float64 by a tree that chunks, threads and devices cannot change: see `Kernels.products`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelbuild.kernels import BLOCK, LANES
from modelbuild.kernels.loops.access import load
from modelbuild.kernels.loops.ahead import prefetch
from modelbuild.kernels.loops.compiled import ZERO, Scalar, f64, kernel, u64

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    F64s = NDArray[np.float64]

Operand = Any

TOGETHER = 4
"""Rows that are added to lanes which are read and written once for them."""

STRETCH = 64
"""Lanes that magnitudes are added to in one go, while as many elements of each of the next rows are asked for; divides LANES."""


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
def add_products(x: Operand, y: Operand, row: int, rows: int, count: int, lanes: tuple[F64s, ...]) -> None:
    """Add the products of some rows, the first of which starts at `row`, to the first `count` lanes."""
    xx, xy, yy = lanes
    for i in range(count):
        sum_xx, sum_xy, sum_yy = xx[i], xy[i], yy[i]
        for k in range(rows):
            at = u64(row) + u64(k * LANES) + u64(i)
            a, b = f64(load(x, at)), f64(load(y, at))
            sum_xx += a * a
            sum_xy += a * b
            sum_yy += b * b
        xx[i], xy[i], yy[i] = sum_xx, sum_xy, sum_yy


@kernel
def products(x: Operand, y: Operand, n: int, lanes: tuple[F64s, ...], sums: F64s) -> None:
    """Write the three sums of products of every block; rows that would be padding add nothing."""
    for block in range(sums.shape[0]):
        for k in range(len(lanes)):
            clear(lanes[k])
        first, stop = block * BLOCK, min(n, (block + 1) * BLOCK)
        rest = stop - (stop - first) % (TOGETHER * LANES)
        for row in range(first, rest, TOGETHER * LANES):
            add_products(x, y, row, TOGETHER, LANES, lanes)
        for row in range(rest, stop, LANES):
            add_products(x, y, row, 1, min(LANES, n - row), lanes)
        for k in range(len(lanes)):
            sums[block, k] = fold(lanes[k])


@kernel
def add_products_of_three(x: Operand, y: Operand, z: Operand, row: int, rows: int, count: int, lanes: tuple[F64s, ...]) -> None:
    """Do the same with three inputs."""
    xx, xy, xz, yy, yz, zz = lanes
    for i in range(count):
        sum_xx, sum_xy, sum_xz, sum_yy, sum_yz, sum_zz = xx[i], xy[i], xz[i], yy[i], yz[i], zz[i]
        for k in range(rows):
            at = u64(row) + u64(k * LANES) + u64(i)
            a, b, c = f64(load(x, at)), f64(load(y, at)), f64(load(z, at))
            sum_xx += a * a
            sum_xy += a * b
            sum_xz += a * c
            sum_yy += b * b
            sum_yz += b * c
            sum_zz += c * c
        xx[i], xy[i], xz[i], yy[i], yz[i], zz[i] = sum_xx, sum_xy, sum_xz, sum_yy, sum_yz, sum_zz


@kernel
def products_of_three(x: Operand, y: Operand, z: Operand, n: int, lanes: tuple[F64s, ...], sums: F64s) -> None:
    """Write the six of three inputs, each of which is read once."""
    for block in range(sums.shape[0]):
        for k in range(len(lanes)):
            clear(lanes[k])
        first, stop = block * BLOCK, min(n, (block + 1) * BLOCK)
        rest = stop - (stop - first) % (TOGETHER * LANES)
        for row in range(first, rest, TOGETHER * LANES):
            add_products_of_three(x, y, z, row, TOGETHER, LANES, lanes)
        for row in range(rest, stop, LANES):
            add_products_of_three(x, y, z, row, 1, min(LANES, n - row), lanes)
        for k in range(len(lanes)):
            sums[block, k] = fold(lanes[k])


@kernel
def add_magnitudes(x: Operand, mask: Bools, row: int, rows: int, first: int, count: int, lanes: F64s, kept: F64s) -> None:
    """Add the magnitudes of some rows, the first of which starts at `row`, to `count` lanes from the `first` on."""
    for lane in range(first, first + count):
        i = u64(lane)
        every, some = lanes[i], kept[i]
        for k in range(rows):
            at = u64(row) + u64(k * LANES) + i
            magnitude = abs(load(x, at))
            every += f64(magnitude)
            some += f64(magnitude if mask[at] else ZERO)
        lanes[i], kept[i] = every, some


@kernel
def abs_sums(x: Operand, mask: Bools, n: int, lanes: F64s, kept: F64s, sums: F64s) -> None:
    """Write the sums of magnitudes of every block: of all, and of what is in the mask."""
    for block in range(sums.shape[0]):
        clear(lanes)
        clear(kept)
        first, stop = block * BLOCK, min(n, (block + 1) * BLOCK)
        rest = stop - (stop - first) % (TOGETHER * LANES)
        for row in range(first, rest, TOGETHER * LANES):
            for lane in range(0, LANES, STRETCH):
                following = row + TOGETHER * (LANES + lane)
                prefetch(x, following, TOGETHER * STRETCH)
                prefetch(mask, following, TOGETHER * STRETCH)
                add_magnitudes(x, mask, row, TOGETHER, lane, STRETCH, lanes, kept)
        for row in range(rest, stop, LANES):
            add_magnitudes(x, mask, row, 1, 0, min(LANES, n - row), lanes, kept)
        sums[block, 0], sums[block, 1] = fold(lanes), fold(kept)
