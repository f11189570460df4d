"""Singular value decompositions of task vectors: of matrices; anything else is averaged by those who use this."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


def decomposed(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return U, s and V^T of a matrix, thin, the largest entry of each column of U positive.

    Args:
        matrix: float32, (rows, columns); with k the smaller of both, U is (rows, k), s (k,) and V^T (k, columns).

    """
    from torch import linalg, where

    u, s, vt = linalg.svd(matrix, full_matrices=False)
    signs = where(u.gather(0, u.abs().argmax(dim=0, keepdim=True)) < 0, -1.0, 1.0)  # (1, k)
    return u * signs, s, vt * signs.T


def orthogonal(matrix: Tensor) -> Tensor:
    """Return the nearest matrix with orthonormal columns, or rows where there are fewer: U V^T."""
    u, _, vt = decomposed(matrix)
    return u @ vt


def of_matrices(deltas: Sequence[Tensor], merge: Callable[[Sequence[Tensor]], Tensor]) -> Tensor:
    """Merge matrices by `merge`; average what is no matrix, or has nothing in it."""
    if deltas[0].dim() == 2 and deltas[0].numel():
        return merge(deltas)
    return summed(deltas) / len(deltas)


def summed(tensors: Sequence[Tensor]) -> Tensor:
    """Add tensors left to right."""
    result = tensors[0]
    for one in tensors[1:]:
        result = result + one
    return result
