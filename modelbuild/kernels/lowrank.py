"""Products of two thin matrices, added term by term in a fixed order: the same bits for any chunk."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_BLOCK = 1 << 16
"""Elements worked on at a time: two arrays of them stay in the cache."""


def add_product(to: Floats, left: Floats, right: Floats, scale: float) -> None:
    """Add scale left right to a matrix, in float32: the sum over r from the first term to the last, times scale.

    Args:
        to: (n, m), changed in place.
        left: (n, r), r at least 1.
        right: (r, m).
        scale: a factor.

    """
    step = max(1, _BLOCK // max(1, to.shape[1]))
    total, term = np.empty((2, step, to.shape[1]), np.float32)
    for first in range(0, len(to), step):
        rows, factors = to[first : first + step], left[first : first + step]
        summed, product = total[: len(rows)], term[: len(rows)]
        np.multiply(factors[:, :1], right[0], out=summed)
        for k in range(1, factors.shape[1]):
            np.multiply(factors[:, k : k + 1], right[k], out=product)
            np.add(summed, product, out=summed)
        np.multiply(summed, np.float32(scale), out=summed)
        np.add(rows, summed, out=rows)
