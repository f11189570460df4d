"""What selection by magnitude needs of a chunk.

The pattern of a float32 is its bits without the sign; patterns order as magnitudes do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelbuild.kernels.compiled import MAGNITUDE, ZERO, Scalar, bits, i32, kernel, u32, u64

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    F32s = NDArray[np.float32]
    I32s = NDArray[np.int32]
    I64s = NDArray[np.int64]

GROUP = 32
"""Elements counted together; the rare one that lies between sends its group to the slow path."""


@kernel
def pattern(x: Scalar) -> Scalar:
    """Return the bits of |x|."""
    return i32(u32(bits(x) & MAGNITUDE))


@kernel
def magnitude_histogram(x: F32s, counts: I64s) -> None:
    """Count high halves."""
    for i in range(x.size):
        counts[pattern(x[i]) >> 16] += 1


@kernel
def refine_histogram(x: F32s, high_half: int, counts: I64s) -> None:
    """Count low halves under one high half."""
    for i in range(x.size):
        mine = pattern(x[i])
        if mine >> 16 == high_half:
            counts[mine & 0xFFFF] += 1


@kernel
def count_equal(x: F32s, wanted: np.int32) -> Scalar:
    """Count elements with this pattern."""
    count = u32(0)
    for i in range(x.size):
        count = u32(count + u32(pattern(x[i]) == wanted))
    return count


@kernel
def nth_equal(x: F32s, wanted: np.int32, n: int) -> int:
    """Find the n-th element with this pattern."""
    for i in range(x.size):
        if pattern(x[i]) == wanted:
            if n == 0:
                return i
            n -= 1
    return -1


@kernel
def bracket(x: F32s, low: np.int32, high: np.int32, found: I32s) -> tuple[Scalar, Scalar, Scalar, Scalar]:
    """Count patterns above high, at high and at low; collect those strictly between into found, n + 1 long.

    Counting vectorises; collecting writes every pattern of a group and moves on where it belongs, without a branch.
    """
    above, at_high, at_low, size = 0, 0, 0, u64(0)
    grouped = x.size // GROUP * GROUP
    for start in range(0, grouped, GROUP):
        group = x[start : start + GROUP]
        over_high, from_high, over_low, from_low = u32(0), u32(0), u32(0), u32(0)
        for i in range(GROUP):
            mine = pattern(group[i])
            over_high = u32(over_high + u32(mine > high))
            from_high = u32(from_high + u32(mine >= high))
            over_low = u32(over_low + u32(mine > low))
            from_low = u32(from_low + u32(mine >= low))
        above += over_high
        at_high += from_high - over_high
        at_low += from_low - over_low
        if over_low > from_high:
            for i in range(GROUP):
                mine = pattern(group[i])
                found[size] = mine
                size += u64((mine > low) & (mine < high))
    for i in range(grouped, x.size):
        mine = pattern(x[i])
        above += mine > high
        at_high += mine == high
        at_low += mine == low
        found[size] = mine
        size += u64((mine > low) & (mine < high))
    return above, at_high, at_low, size


@kernel
def keep_above(x: F32s, threshold: Scalar, out: F32s | None) -> None:
    """Write x where its pattern is above the threshold, else +0.0."""
    if out is None:
        out = x
    for i in range(x.size):
        value = x[i]
        out[i] = value if pattern(value) > threshold else ZERO


def trim(x: F32s, threshold: int, equals: int, out: F32s | None) -> None:
    """Keep patterns above the threshold; among the first `equals` elements, those equal to it, too."""
    keep_above(x[:equals], i32(threshold - 1), None if out is None else out[:equals])
    keep_above(x[equals:], i32(threshold), None if out is None else out[equals:])
