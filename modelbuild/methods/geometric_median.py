"""Geometric median: the point whose distances to all models sum to the least.

Source: Vardi and Zhang, "The multivariate L1-median and associated data depth", PNAS 97(4), 2000: the iteration of Weiszfeld
(1937), made to pass through inputs.  Proposed for models by Pillutla, Kakade and Harchaoui, "Robust Aggregation for Federated
Learning", 2019, https://arxiv.org/abs/1912.13445, there of whole models; here of each tensor by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt
from typing import TYPE_CHECKING

from modelbuild.kernels import total
from modelbuild.kernels.inner import Gram, combined, gram
from modelbuild.kernels.operands import Delta
from modelbuild.method import Param, Params, always, method

if TYPE_CHECKING:
    from torch import Tensor

    from modelbuild.kernels import Kernels, Operand, Place, Stream

THERE = 2.0**-26
"""A distance of less than this share of the largest between inputs is none: squares of it are lost beside squares of those."""


def _itself(params: Params, count: int) -> int | None:
    return 0 if count == 1 else None


def _zero_sum(params: Params, count: int) -> str:
    return "" if any(params["weight"]) else "the weights are all 0"


@method(
    params=(
        Param("weight", float, per="input", default=1.0, low=0.0),
        Param("max_iter", int, default=100, low=0),
        Param("tol", float, default=1e-6, low=0.0),
    ),
    alias=_itself,
    check=_zero_sum,
    revision=1,
)
def geometric_median(tensors: Sequence[Tensor], *, weight: Sequence[float], max_iter: int, tol: float) -> Tensor:
    """Find the point y with the smallest sum of w_i |x_i - y|, on which a minority of strange models has little pull.

    y starts as the weighted mean and becomes T = (sum of w_i x_i / |x_i - y|) / (sum of w_i / |x_i - y|), until it moves by
    less than `tol`.  At an input x_k it stays where the others pull with less than w_k: r = |sum of w_i (x_i - y) / |x_i - y||
    and y becomes (1 - w_k / r) T + (w_k / r) y.

    Args:
        tensors: n tensors x_i, float32, each of shape (*S), each one vector.
        weight: how much each counts, at least 0; n numbers.
        max_iter: how often y moves at most; with 0 the result is the weighted mean.
        tol: a move below this share of the largest distance between inputs is the last.

    Returns:
        The median, shape (*S).

    """
    from modelbuild.kernels import load

    kernels, flat = load(f"torch:{tensors[0].device}"), [tensor.reshape(-1) for tensor in tensors]
    out = flat[0].new_empty(flat[0].shape)
    found = gram(kernels, _from_first([flat]))
    kernels.weighted_sum(flat, coefficients(found, weight, max_iter, tol), 1.0, 1.0, out)
    return out.reshape(tensors[0].shape)


def _from_first(chunks: Sequence[Sequence[Operand]] | Iterator[Sequence[Operand]]) -> Iterator[list[Operand]]:
    """Yield differences to the first input: beside the models themselves those between them would be lost in rounding."""
    for first, *others in chunks:
        yield [Delta(one, first) for one in (first, *others)]


def coefficients(gram: Gram, weight: Sequence[float], max_iter: int, tol: float) -> list[float]:
    """Turn inner products of differences into the factor of each tensor, in float64 on the host; the factors sum to 1."""
    n, summed = len(weight), total(weight)
    median = [share / summed for share in weight]
    apart = max((_distance(gram, _place(i, n), _place(j, n)) for i in range(len(gram)) for j in range(i)), default=0.0)
    for _ in range(max_iter if apart > 0.0 else 0):
        distances = [_distance(gram, _place(i, n), median) for i in range(n)]
        here = total(share for share, distance in zip(weight, distances, strict=True) if distance <= THERE * apart)
        pulls = [share / distance if distance > THERE * apart else 0.0 for share, distance in zip(weight, distances, strict=True)]
        pull = total(pulls)
        if pull == 0.0:
            break
        target = [one / pull for one in pulls]
        step = _distance(gram, target, median)
        stay = min(1.0, here / (step * pull)) if here and step > 0.0 else 0.0
        median = [(1.0 - stay) * there + stay * at for there, at in zip(target, median, strict=True)]
        if (1.0 - stay) * step <= tol * apart:
            break
    return median


def _place(i: int, count: int) -> list[float]:
    return [float(i == j) for j in range(count)]


def _distance(gram: Gram, left: Sequence[float], right: Sequence[float]) -> float:
    between = [one - other for one, other in zip(left, right, strict=True)]
    return sqrt(max(0.0, combined(gram, between, between)))


def _stats(stream: Stream, *, weight: Sequence[float], max_iter: int, tol: float) -> list[float]:
    return coefficients(gram(stream.kernels, _from_first(inputs for _, inputs in stream.chunks())), weight, max_iter, tol)


def _apply(kernels: Kernels, inputs: Sequence[Operand], out: Place, state: Sequence[float], offset: int, **_: object) -> None:
    kernels.weighted_sum(inputs, state, 1.0, 1.0, out)


geometric_median = geometric_median.streamed(stats=_stats, apply=_apply, carries=always)
