"""What selection by magnitude needs of a chunk.

The pattern of a float32 is its bits without the sign; patterns order as magnitudes do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelbuild.kernels import GROUP
from modelbuild.kernels.loops.access import load, pattern
from modelbuild.kernels.loops.compiled import Scalar, how_many, i32, i64, inside, kernel, lowest, u32, u64

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    I32s = NDArray[np.int32]
    I64s = NDArray[np.int64]
    U32s = NDArray[np.uint32]

Operand = Any

STRETCH = 4096
"""Elements looked through one by one when the one that is sought is among them."""

USUAL = 2
"""As many of a group lie in a bracket as a rule, or fewer."""


@kernel
def magnitudes(x: Operand, apart: int, found: I32s) -> None:
    """Write the patterns of runs, a row for each, whose first elements are so far apart."""
    for run in range(found.shape[0]):
        start = u64(run) * u64(apart)
        for i in range(found.shape[1]):
            found[u64(run), u64(i)] = pattern(load(x, start + u64(i)))


@kernel
def magnitude_histogram(x: Operand, n: int, counts: I64s) -> None:
    """Count high halves."""
    for i in range(n):
        counts[pattern(load(x, i)) >> 16] += 1


@kernel
def refine_histogram(x: Operand, n: int, high_half: int, counts: I64s) -> None:
    """Count low halves under one high half."""
    for i in range(n):
        mine = pattern(load(x, i))
        if mine >> 16 == high_half:
            counts[mine & 0xFFFF] += 1


@kernel
def count_equal(x: Operand, n: int, wanted: np.int32, found: I64s) -> None:
    """Count elements with this pattern."""
    count = u32(0)
    for i in range(n):
        count = u32(count + u32(pattern(load(x, i)) == wanted))
    found[0] = count


@kernel
def nth_equal(x: Operand, n: int, wanted: np.int32, rank: int, found: I64s) -> None:
    """Find the element of this rank, from 0, among those with this pattern; -1 where there are fewer.

    Counting vectorises: of all stretches but the one that holds it, elements are only counted.
    """
    found[0] = -1
    for start in range(0, n, STRETCH):
        stop = min(n, start + STRETCH)
        here = u32(0)
        for i in range(stop - start):
            here = u32(here + u32(pattern(load(x, u64(start) + u64(i))) == wanted))
        if rank < here:
            for i in range(start, stop):
                if pattern(load(x, u64(i))) == wanted:
                    if rank == 0:
                        found[0] = i
                        return
                    rank -= 1
        rank -= i64(here)


@kernel
def nth(patterns: I32s, least: int, shift: int, width: int, places: I64s, counts: U32s, rest: I32s, found: I64s) -> None:
    """Find what would stand at places if patterns were sorted, digit by digit from the upper bits on.

    Args:
        patterns: numbers of shift + width bits on top of the least.
        least: the least of them.
        shift: bits below the first digit.
        width: bits of a digit.
        places: from 0, each less than there are patterns.
        counts: room for two rows of 2^width.
        rest: room for as many patterns.
        found: takes the pattern, how many are less and how many are equal, a row for each place.

    """
    count_digits(patterns, patterns.size, u32(least), u32(shift), counts[0])
    for k in range(places.size):
        below = u32(shift)
        first, place = at_place(counts[0], u32(least), below, places[k])
        size = collect_from(patterns, patterns.size, first, below, rest)
        while below:
            below = u32(max(i64(below) - width, 0))
            count_digits(rest, size, first, below, counts[1])
            first, place = at_place(counts[1], first, below, place)
            size = collect_from(rest, size, first, below, rest)
        found[k, 0] = i64(first)
        found[k, 1] = places[k] - place
        found[k, 2] = size


@kernel
def count_digits(patterns: I32s, n: int, first: Scalar, below: Scalar, counts: U32s) -> None:
    """Count how often each digit occurs: how far patterns are from the first that there may be, without the bits below."""
    for digit in range(counts.size):
        counts[u64(digit)] = u32(0)
    for i in range(n):
        digit = u64(u32(u32(patterns[u64(i)]) - first) >> below)
        counts[digit] = u32(counts[digit] + u32(1))


@kernel
def at_place(counts: U32s, first: Scalar, below: Scalar, place: int) -> tuple[Scalar, int]:
    """Return the first pattern that there may be with the digit at a place, and which of those with this digit is at the place."""
    digit = 0
    while place >= i64(counts[digit]):
        place -= i64(counts[digit])
        digit += 1
    return u32(first + u32(u32(digit) << below)), place


@kernel
def collect_from(patterns: I32s, n: int, first: Scalar, below: Scalar, found: I32s) -> Scalar:
    """Collect what is within 2^below from a first pattern on, in room for n or over what was read; return how many they are.

    All are written, and what is not wanted is written over.  What is less than the first is far from it, as numbers of 32 bits.
    """
    size = u64(0)
    for i in range(n):
        mine = patterns[u64(i)]
        found[size] = mine
        size += u64(u32(u32(mine) - first) >> below == u32(0))
    return i64(size)


@kernel
def brackets(
    inputs: tuple[Operand, ...], n: int, firsts: I64s, lows: I32s, highs: I32s, patterns: I32s, masks: U32s, found: I32s, counts: I64s
) -> None:
    """Look around several brackets of several inputs; every element is read once, and that of a base while it is near.

    Args:
        inputs: the elements.
        n: how many.
        firsts: which bracket is the first of each input, whose number is the next input's less that; one more than there are inputs.
        lows: the lower end of each bracket.
        highs: its upper end.
        patterns: a tile of room for each input, which stays in the nearest cache.
        masks: likewise; a number for each group.
        found: takes the patterns strictly between, a row of n for each bracket.
        counts: takes how many are above high, at high, at low and between, and the highest pattern, a row for each bracket; zeros.

    """
    for start in range(0, n, patterns.shape[1]):
        count = min(patterns.shape[1], n - start)
        for i in range(count):
            for k in range(len(inputs)):
                patterns[k, i] = pattern(load(inputs[k], u64(start) + u64(i)))
        for k in range(len(inputs)):
            highest = highest_of(patterns[k], count)
            for bracket in range(firsts[k], firsts[k + 1]):
                counts[bracket, 4] = max(counts[bracket, 4], highest)
                look_around(patterns[k], count, lows[bracket], highs[bracket], masks, found[bracket], counts[bracket])


@kernel
def highest_of(patterns: I32s, n: int) -> Scalar:
    """Return the highest; a loop of its own, as the one that finds patterns would take vectors half as long."""
    result = i32(0)
    for i in range(n):
        mine = patterns[u64(i)]
        result = mine if mine > result else result  # noqa: FURB136 - the comparison is what vectorises
    return result


@kernel
def collect(patterns: I32s, start: Scalar, mask: Scalar, first: int, stop: int, found: I32s, size: Scalar) -> Scalar:
    """Write the patterns of a mask's lowest bits to places first to stop from `size` on; return the mask without these bits."""
    for k in range(first, stop):
        found[size + u64(k)] = patterns[start + u64(lowest(mask))]
        mask = u32(mask & u32(mask - u32(1)))
    return mask


@kernel
def look_around(patterns: I32s, n: int, low: np.int32, high: np.int32, masks: U32s, found: I32s, counts: I64s) -> None:
    """Go on with one bracket.

    Counting vectorises, and so does finding what lies between, a bit for each.  How many bits a group has set cannot be foreseen: so
    `USUAL` of each group are collected, set or not, more where there are more, and what was not set is written over.
    """
    over_high, from_high, from_low = u32(0), u32(0), u32(0)
    for i in range(n):
        mine = patterns[u64(i)]
        over_high = u32(over_high + u32(mine > high))
        from_high = u32(from_high + u32(mine >= high))
        from_low = u32(from_low + u32(mine >= low))
    groups, some, size = n // GROUP, u32(0), u64(counts[3])
    for group in range(groups):
        mask = inside(patterns, u64(group) * u64(GROUP), low, high)
        masks[u64(group)] = mask
        some = u32(some | mask)
    for group in range(groups if some else 0):
        mask, start = masks[u64(group)], u64(group) * u64(GROUP)
        count = i64(how_many(mask))
        rest = collect(patterns, start, mask, 0, USUAL, found, size)
        collect(patterns, start, rest, USUAL, count, found, size)
        size += u64(count)
    for i in range(groups * GROUP, n):
        mine = patterns[u64(i)]
        found[size] = mine
        size += u64((mine > low) & (mine < high))
    above, at_high, more = i64(over_high), i64(from_high) - i64(over_high), i64(size) - counts[3]
    counts[0] += above
    counts[1] += at_high
    counts[2] += at_high if low == high else i64(from_low) - i64(from_high) - more
    counts[3] += more
