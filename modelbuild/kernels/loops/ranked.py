"""Random masks whose probability goes by the rank of an element in its row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelbuild.kernels.loops.compiled import f64, i64, kernel, u64

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    I32s = NDArray[np.int32]
    U32s = NDArray[np.uint32]
    U64s = NDArray[np.uint64]


@kernel
def by_rank(patterns: I32s, ordered: I32s, words: U32s, limits: U64s, columns: int, open_ones: U32s, kept: Bools) -> None:
    """Tell where the element's word is below the limit of its rank: the sum of the first and the last place of its pattern.

    Limits rise with ranks, so a word says from which rank on it keeps, and the pattern in the middle of that tells for all but
    its equals.  Ranks themselves need not be known.  `open_ones` is room for a row and one more: places of words that do not decide
    alone.
    """
    lowest, highest = limits[0], limits[2 * columns - 2]
    slope = f64(2 * columns - 2) / f64(highest - lowest) if highest > lowest else f64(0)
    for row in range(0, patterns.size, columns):
        start, size = u64(row), u64(0)
        for i in range(columns):
            word = u64(words[start + u64(i)])
            kept[start + u64(i)] = word < lowest
            open_ones[size] = i
            size += u64((word >= lowest) & (word < highest))
        for k in range(size):
            at = start + u64(open_ones[k])
            word, mine = u64(words[at]), patterns[at]
            rank = i64(f64(word - lowest) * slope)
            while limits[rank] <= word:
                rank += 1
            while rank > 0 and limits[rank - 1] > word:
                rank -= 1
            middle = rank >> 1
            found = ordered[start + u64(middle)]
            kept[at] = mine > found
            if mine == found:
                first, last = middle, middle
                while first > 0 and ordered[start + u64(first - 1)] == mine:
                    first -= 1
                while last < columns - 1 and ordered[start + u64(last + 1)] == mine:
                    last += 1
                kept[at] = first + last >= rank
