"""The steps of LoRA: a weight plus products of two factors, row by row; the factors of a matrix; adapters side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modelbuild.engine.serial import serial
from modelbuild.kernels.lowrank import add_product

if TYPE_CHECKING:
    from torch import Tensor

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
        with np.errstate(all="ignore"):  # what overflows is counted where it is rounded
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


def factorise(payload: tuple[Any, int], inputs: Sequence[Held], chunk: int) -> Iterator[NDArray[np.float32]]:
    """Return the factors A (r, in) and B (out, r) of the nearest matrix of rank r, each with the square roots of the singular values.

    Args:
        payload: the rank, and what the matrix is: ("difference", whether it is transposed) of two tensors, or the scales of
            the products of A and B of several adapters.
        inputs: those tensors.
        chunk: has no meaning: the matrix is held whole.

    """
    import torch

    del chunk
    terms, rank = payload
    whole = [torch.from_numpy(held.rows(0, held.shape[0])) for held in inputs]
    with serial():
        matrix = _matrix(terms, whole)
        if not torch.isfinite(matrix).all():  # it has no singular values; what is returned is counted, and told with its name
            return iter([np.full(rank * sum(matrix.shape), np.nan, np.float32)])
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    roots = values[:rank].sqrt()
    return iter([factor.contiguous().numpy().reshape(-1) for factor in (roots[:, None] * right[:rank], left[:, :rank] * roots)])


def _matrix(terms: Any, whole: Sequence[Tensor]) -> Tensor:
    if terms[0] == "difference":
        matrix = whole[0] - whole[1]
        return matrix.T if terms[1] else matrix
    matrix = whole[0].new_zeros(whole[1].shape[0], whole[0].shape[1])
    for i, scale in enumerate(terms):
        matrix += scale * (whole[2 * i + 1] @ whole[2 * i])
    return matrix


def take_part(start: int, inputs: Sequence[Held], chunk: int) -> Iterator[NDArray[np.float32]]:
    """Yield what follows `start` in a flat tensor; as much as is asked for is taken of it."""
    held = inputs[0]
    for first in range(start, held.shape[0], chunk):
        yield held.rows(first, min(chunk, held.shape[0] - first))


def set_beside(scales: Sequence[float], inputs: Sequence[Held], chunk: int) -> Iterator[NDArray[np.float32]]:
    """Yield matrices side by side, each times its scale."""
    del chunk
    with np.errstate(all="ignore"):
        side = np.concatenate([np.float32(scale) * held.rows(0, held.shape[0]) for scale, held in zip(scales, inputs, strict=True)], axis=1)
    yield side
