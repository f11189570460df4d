"""Random masks whose probability goes by the rank of an element in its row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelbuild.kernels.loops.access import load, pattern
from modelbuild.kernels.loops.compiled import Scalar, kernel, u8, u32, u64
from modelbuild.kernels.loops.philox import draw, rest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    Bytes = NDArray[np.uint8]
    U32s = NDArray[np.uint32]
    U64s = NDArray[np.uint64]

BYTE = u64(24)
"""Bits below the first byte of a number, and of a limit."""

NONE = u32(0xFFFFFFFF)
"""No pattern."""


@kernel
def by_rank(
    x: Any, offset: Scalar, k0: Scalar, k1: Scalar, limits: U64s, columns: int, shift: Scalar,
    words: U32s, firsts: Bytes, patterns: U32s, places: U32s, undecided: U32s, ranked: U32s, ranks: U32s, kept: Bools,
) -> None:  # fmt: skip
    """Tell where an element's number is below the limit of its rank: the sum of the first and the last place of its pattern.

    Limits rise with ranks, so most numbers are below all of them, or below none, by their first byte.  No row is sorted for the
    others: patterns are counted by their upper bits, so that of each is known between which places it lies, and below the limit
    of the first of them a number keeps, and from that of the last on it drops, whatever the rank.  For the few numbers between,
    the patterns of the row that are smaller, and as large, are counted; what was found last is kept, as differences of rounded
    numbers are often the same.

    Args:
        x: rows of `columns` elements.
        offset: index in the tensor of the first.
        k0: low word of the key.
        k1: high word of the key.
        limits: of each rank.
        columns: of a row.
        shift: lower bits that are left out when patterns are counted.
        words: room for the first bytes of a row's numbers, and of the elements beside it under the same counters: columns + 30.
        firsts: the same room as bytes.
        patterns: room for a row.
        places: room for as many numbers as there are upper bits, and one more.
        undecided: room for a row, and one more.
        ranked: for each of the upper bits the pattern whose rank was found last, 2^32 - 1 where there is none.
        ranks: room for those ranks.
        kept: the mask.

    """
    least, most = limits[0] >> BYTE, min(limits[limits.size - 1] >> BYTE, u64(0xFF))
    span = u8(most - least)
    for row in range(0, kept.size, columns):
        start = u64(row)
        element = offset + start
        skipped = element & u64(15)
        draw(element >> u64(4), k0, k1, (u64(columns) + skipped + u64(15)) >> u64(4), words)
        find_places(x, start, columns, shift, patterns, places)
        size = u64(0)
        for i in range(columns):
            kept[start + u64(i)] = firsts[skipped + u64(i)] < u8(least)
        for i in range(columns):
            undecided[size] = i
            size += u64(u8(firsts[skipped + u64(i)] - u8(least)) <= span)
        left = u64(0)
        for k in range(size):
            at = u64(undecided[k])
            first, upper = u64(firsts[skipped + at]), u64(patterns[at] >> shift)
            low, high = between(limits, places, upper)
            kept[start + at] = first < low >> BYTE
            undecided[left] = at
            left += u64((first >= low >> BYTE) & (first <= high >> BYTE))
        for k in range(left):
            at = u64(undecided[k])
            mine = u32(patterns[at])
            upper = u64(mine >> shift)
            low, high = between(limits, places, upper)
            number = u64(firsts[skipped + at]) << BYTE | rest(k0, k1, element + at)
            if low <= number < high:
                if ranked[upper] != mine:
                    ranked[upper], ranks[upper] = mine, rank(patterns, columns, mine)
                low = limits[ranks[upper]]
            kept[start + at] = number < low
        for k in range(left):
            ranked[u64(patterns[undecided[k]] >> shift)] = NONE


@kernel
def find_places(x: Any, start: Scalar, columns: int, shift: Scalar, patterns: U32s, places: U32s) -> None:
    """Write the patterns of a row, and for the upper bits of each how many have smaller ones; after the largest, how many there are."""
    least, most = NONE, u32(0)
    for i in range(columns):
        mine = u32(pattern(load(x, start + u64(i))))
        patterns[i] = mine
        most = u32(mine if mine > most else most)  # noqa: FURB136 - the comparison is what vectorises
        mine = u32(mine - u32(1))  # zero becomes the largest of all
        least = u32(mine if mine < least else least)  # noqa: FURB136
    first, last = u64(u32(least + u32(1)) >> shift), u64(most >> shift)
    places[0] = 0
    for upper in range(first, last + u64(1)):
        places[upper] = 0
    for i in range(columns):
        places[u64(patterns[i] >> shift)] += u32(1)
    place = places[0]
    places[0] = 0
    if first > u64(1):
        places[1] = place
    for upper in range(max(first, u64(1)), last + u64(1)):
        here = places[upper]
        places[upper] = place
        place = u32(place + here)
    places[last + u64(1)] = place


@kernel
def between(limits: U64s, places: U32s, upper: Scalar) -> tuple[Scalar, Scalar]:
    """Return the limits of the first and of the last place of some upper bits."""
    return limits[u64(2) * u64(places[upper])], limits[u64(2) * u64(places[upper + u64(1)]) - u64(2)]


@kernel
def rank(patterns: U32s, columns: int, mine: Scalar) -> Scalar:
    """Return the sum of the first and the last place of a pattern of the row."""
    below, equal = u32(0), u32(0)
    for i in range(columns):
        below = u32(below + u32(patterns[i] < mine))
        equal = u32(equal + u32(patterns[i] == mine))
    return u32(u32(2) * below + equal - u32(1))
