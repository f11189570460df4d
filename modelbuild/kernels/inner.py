"""Inner products: of inputs with each other, from which whatever lies in their span follows on the host, and of rows."""

from __future__ import annotations

from itertools import combinations, combinations_with_replacement
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from modelbuild.kernels import Kernels, Operand

Gram = list[list[float]]
"""The inner product of each input with each: n rows of n numbers, symmetric."""


def gram(kernels: Kernels, chunks: Iterable[Sequence[Operand]]) -> Gram:
    """Return the inner products of n tensors in one pass over them, in float64, by the tree of `Kernels.products`.

    Args:
        kernels: what sums.
        chunks: one after another, each as n operands; whole tensors are one chunk.

    """
    found: Gram = []
    for operands in chunks:
        n = len(operands)
        found = found or [[0.0] * n for _ in range(n)]
        if n == 3:
            sums = kernels.products(*operands).T
            for (i, j), here in zip(combinations_with_replacement(range(n), 2), sums, strict=True):
                found[i][j] = found[j][i] = kernels.total((found[i][j], *here))
            continue
        for i, j in combinations(range(n), 2) if n > 1 else ((0, 0),):
            of_i, both, of_j = kernels.products(operands[i], operands[j]).T
            found[i][j] = found[j][i] = kernels.total((found[i][j], *both))
            if j == i + 1:
                found[i][i] = kernels.total((found[i][i], *of_i))
            if (i, j) == (n - 2, n - 1):
                found[j][j] = kernels.total((found[j][j], *of_j))
    return found


def combined(gram: Gram, left: Sequence[float], right: Sequence[float]) -> float:
    """Return the inner product of two combinations of the tensors, given by their coefficients."""
    total = 0.0
    for row, of_left in zip(gram, left, strict=True):
        for product, of_right in zip(row, right, strict=True):
            total += of_left * of_right * product
    return total


def row_products(x: Tensor, y: Tensor) -> list[float]:
    """Return the inner product of each row of x with that row of y.

    In float64, where the products of two float32 are exact, by a fixed tree: the last floor(n / 2) of n columns are added to
    the first, until one is left.

    Args:
        x: float32, of shape (rows, columns).
        y: of that shape.

    """
    terms = x.double() * y.double()
    if not terms.shape[1]:
        return [0.0] * len(terms)
    while (columns := terms.shape[1]) > 1:
        half = columns - columns // 2
        folded = terms[:, :half].clone()
        folded[:, : columns // 2] += terms[:, half:]
        terms = folded
    result: list[float] = terms[:, 0].tolist()
    return result
