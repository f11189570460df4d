"""Random masks whose probability goes by the rank of an element in its row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelbuild.kernels.loops.access import load, pattern
from modelbuild.kernels.loops.compiled import Scalar, kernel, u32, u64
from modelbuild.kernels.loops.philox import draw

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    U32s = NDArray[np.uint32]
    U64s = NDArray[np.uint64]


@kernel
def by_rank(
    x: Any, offset: Scalar, k0: Scalar, k1: Scalar, limits: U64s, columns: int, shift: Scalar,
    words: U32s, counts: U32s, lows: U64s, highs: U64s, undecided: U32s, kept: Bools,
) -> None:  # fmt: skip
    """Tell where an element's word is below the limit of its rank: the sum of the first and the last place of its pattern.

    No row is sorted.  Its patterns are counted by their upper bits, so that of each is known between which places it lies, and
    limits rise with ranks: below the limit of the first place a word keeps, and from that of the last on it drops, whatever the
    rank.  For the few words between, the patterns of the row that are smaller, and as large, are counted.

    Args:
        x: rows of `columns` elements.
        offset: index in the tensor of the first.
        k0: low word of the key.
        k1: high word of the key.
        limits: of each rank.
        columns: of a row.
        shift: lower bits that are left out when patterns are counted.
        words: room for those of a row, and of the elements beside it under the same counters: columns + 6.
        counts: room for as many numbers as there are upper bits.
        lows: likewise.
        highs: likewise.
        undecided: room for a row, and one more.
        kept: the mask.

    """
    for row in range(0, kept.size, columns):
        start = u64(row)
        element = offset + start
        skipped = element & u64(3)
        draw(element >> u64(2), k0, k1, (u64(columns) + skipped + u64(3)) >> u64(2), words)
        first, last = count_upper(x, start, columns, shift, counts)
        place = bound(u64(0), u64(1), u64(0), counts, limits, lows, highs)
        bound(max(first, u64(1)), last + u64(1), place, counts, limits, lows, highs)
        size = u64(0)
        for i in range(columns):
            upper = u32(pattern(load(x, start + u64(i)))) >> shift
            word = u64(words[skipped + u64(i)])
            kept[start + u64(i)] = word < lows[upper]
            undecided[size] = i
            size += u64((word >= lows[upper]) & (word < highs[upper]))
        for k in range(size):
            at = u64(undecided[k])
            mine, below, equal = pattern(load(x, start + at)), u32(0), u32(0)
            for i in range(columns):
                other = pattern(load(x, start + u64(i)))
                below = u32(below + u32(other < mine))
                equal = u32(equal + u32(other == mine))
            kept[start + at] = u64(words[skipped + at]) < limits[u64(2) * u64(below) + u64(equal) - u64(1)]


@kernel
def count_upper(x: Any, start: Scalar, columns: int, shift: Scalar, counts: U32s) -> tuple[Scalar, Scalar]:
    """Count the upper bits of a row's patterns, and return the least that is not those of zero, and the largest."""
    least, most = u32(0xFFFFFFFF), u32(0)
    for i in range(columns):
        mine = u32(pattern(load(x, start + u64(i))))
        most = u32(mine if mine > most else most)  # noqa: FURB136 - the comparison is what vectorises
        mine = u32(mine - u32(1))  # zero becomes the largest of all
        least = u32(mine if mine < least else least)  # noqa: FURB136
    first, last = u64(u32(least + u32(1)) >> shift), u64(most >> shift)
    counts[0] = 0
    for upper in range(first, last + u64(1)):
        counts[upper] = 0
    for i in range(columns):
        counts[u32(pattern(load(x, start + u64(i)))) >> shift] += u32(1)
    return first, last


@kernel
def bound(first: Scalar, stop: Scalar, place: Scalar, counts: U32s, limits: U64s, lows: U64s, highs: U64s) -> Scalar:
    """Write the limits of the first and of the last place of some upper bits; return the place after them."""
    for upper in range(first, stop):
        here = u64(counts[upper])
        if here:
            lows[upper] = limits[u64(2) * place]
            place += here
            highs[upper] = limits[u64(2) * (place - u64(1))]
    return place
