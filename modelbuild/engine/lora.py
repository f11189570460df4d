"""The step that applies adapters: a weight plus products of two factors, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from modelbuild.kernels.lowrank import add_product

if TYPE_CHECKING:
    from modelbuild.engine.steps import Held


def add_adapters(terms: Sequence[tuple[float, bool]], inputs: Sequence[Held], chunk: int) -> Iterator[NDArray[np.float32]]:
    """Yield rows of weight + sum of scale B A.

    Args:
        terms: of each adapter the scale, and whether its product is transposed.
        inputs: the weight, and for each term A and B, or one bias.
        chunk: elements to yield at a time.

    """
    weight, *factors = inputs
    one_dimensional = len(weight.shape) == 1
    whole = [factor.rows(0, factor.shape[0]) for factor in factors]
    step = max(1, chunk // max(1, weight.width))
    for first in range(0, weight.shape[0], step):
        count = min(step, weight.shape[0] - first)
        rows, at = weight.rows(first, count), 0
        for scale, transposed in terms:
            if one_dimensional:
                rows += np.float32(scale) * whole[at][first : first + count]
                at += 1
                continue
            a, b = whole[at], whole[at + 1]
            left, right = (a.T, b.T) if transposed else (b, a)
            add_product(rows, np.ascontiguousarray(left[first : first + count]), np.ascontiguousarray(right), scale)
            at += 2
        yield rows
