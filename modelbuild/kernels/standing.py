"""Which of many patterns would stand at a place if they were sorted, on the host, for whatever device found them.

numpy's `partition` is the library for that, and takes 0.4 ns an element with AVX2.  With AVX-512 it stores what it has compared
by an instruction that fourth generation EPYCs take a hundred cycles for, 5 to 7 ns an element; among equals, of which differences
of bfloat16 numbers are full, it gives up and sorts.  Counting digits takes 1 to 2 ns there, whatever the numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from modelbuild.kernels.machine import Loop

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH = 11
"""Bits of a digit: as many counters stay in the nearest cache."""

_nth = Loop("rank.nth")


class Standing(NamedTuple):
    """A pattern, how many are less, and how many are equal to it, itself among them."""

    pattern: int
    less: int
    equal: int


def nth(patterns: NDArray[np.int32], *places: int) -> tuple[Standing, ...]:
    """Return what would stand at places if patterns were sorted.

    Args:
        patterns: one or more, in one dimension, without gaps; none is negative.
        places: from 0.

    Raises:
        ValueError: if there is none at a place.

    """
    if missing := [place for place in places if not 0 <= place < patterns.size]:
        raise ValueError(f"of {patterns.size} patterns there is none at {missing[0]}")
    least, most = int(patterns.min()), int(patterns.max())
    shift = max((most - least).bit_length() - WIDTH, 0)
    counts, rest = np.empty((2, 1 << WIDTH), np.uint32), np.empty(patterns.size, np.int32)
    found = np.empty((len(places), 3), np.int64)
    _nth(patterns, least, shift, WIDTH, np.array(places, np.int64), counts, rest, found)
    return tuple(Standing(*row) for row in found.tolist())
