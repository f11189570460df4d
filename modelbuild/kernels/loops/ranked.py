"""Random masks whose probability goes by the rank of an element in its row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelbuild.kernels.loops.compiled import f64, kernel, u64

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    I32s = NDArray[np.int32]
    U32s = NDArray[np.uint32]
    U64s = NDArray[np.uint64]


@kernel
def by_rank(patterns: I32s, ordered: I32s, words: U32s, limits: U64s, columns: int, kept: Bools) -> None:
    """Tell where the element's word is below the limit of its rank, of equal patterns the first being the lowest.

    Limits rise with the rank.  Most words are below all of them or above; of the others, the first rank whose limit is above
    the word is compared with, so that ranks need not be known; among equals it is counted.
    """
    lowest, highest = limits[0], limits[columns - 1]
    slope = f64(columns - 1) / f64(highest - lowest) if highest > lowest else f64(0)
    for start in range(0, patterns.size, columns):
        for i in range(columns):
            word = u64(words[start + i])
            if word < lowest or word >= highest:
                kept[start + i] = word < lowest
                continue
            rank = int(f64(word - lowest) * slope)
            while limits[rank] <= word:
                rank += 1
            while rank > 0 and limits[rank - 1] > word:
                rank -= 1
            mine, least = patterns[start + i], ordered[start + rank]
            if mine != least:
                kept[start + i] = mine > least
                continue
            before = rank
            while before > 0 and ordered[start + before - 1] == mine:
                before -= 1
            missing = rank - before
            for j in range(i):
                if missing == 0:
                    break
                missing -= patterns[start + j] == mine
            kept[start + i] = missing == 0
