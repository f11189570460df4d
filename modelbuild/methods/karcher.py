"""Karcher mean: the point of the sphere whose squared angles to all models sum to the least.

Source: Buss and Fillmore, "Spherical Averages and Applications to Spherical Splines and Interpolation", ACM Transactions on
Graphics 20(2), 2001, algorithm A1, with equal weights and the limits of mergekit's `karcher`.  There tensors of which none is
longer than `tol` come out as zeros, here as their average; what is opposite to the mean, from where no direction is
shortest, pulls nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import acos, cos, sin, sqrt
from typing import TYPE_CHECKING

from modelbuild.kernels import total
from modelbuild.kernels.inner import Gram, combined
from modelbuild.method import Param, Params, always, method

if TYPE_CHECKING:
    from torch import Tensor

    from modelbuild.kernels import Kernels, Operand, Place, Stream

OPPOSITE = 2.0**-23
"""Sines up to this, beyond a right angle, count as of opposite directions: float32 inputs tell no other."""


def _itself(params: Params, count: int) -> int | None:
    return 0 if count == 1 else None


@method(
    params=(Param("max_iter", int, default=10, low=0), Param("tol", float, default=1e-5, low=0.0)),
    alias=_itself,
    revision=1,
)
def karcher(tensors: Sequence[Tensor], *, max_iter: int, tol: float) -> Tensor:
    """Average directions on the sphere by iteration, and lengths.

    With u_i = x_i / |x_i|, m starts as their mean, brought to length 1.  Then v = mean of (a_i / sin a_i)(u_i - cos(a_i) m),
    where a_i is the angle between u_i and m, and m becomes cos(|v|) m + sin(|v|) v / |v|, until |v| is below `tol`.  The
    result is m times the mean of |x_i|.

    Args:
        tensors: n tensors x_i, float32, each of shape (*S), each one vector.
        max_iter: how often m moves at most.
        tol: angles below this count as none, and tensors no longer than this have no direction.

    Returns:
        The mean, shape (*S).

    """
    from modelbuild.kernels import load
    from modelbuild.kernels.inner import gram

    kernels, flat = load(f"torch:{tensors[0].device}"), [tensor.reshape(-1) for tensor in tensors]
    out = flat[0].new_empty(flat[0].shape)
    kernels.weighted_sum(flat, coefficients(gram(kernels, [flat]), max_iter, tol), 1.0, 1.0, out)
    return out.reshape(tensors[0].shape)


def coefficients(gram: Gram, max_iter: int, tol: float) -> list[float]:
    """Turn inner products into the factor of each tensor, in float64 on the host."""
    count = len(gram)
    if count < 2:
        return [1.0] * count
    norms = [sqrt(gram[i][i]) for i in range(count)]
    valid = [i for i, norm in enumerate(norms) if norm > tol]
    if not valid:
        return [1.0 / count] * count
    cosines = [[gram[i][j] / (norms[i] * norms[j]) for j in valid] for i in valid]  # of unit vectors

    mean = [1.0 / len(valid)] * len(valid)  # coefficients of unit vectors
    length = sqrt(max(0.0, combined(cosines, mean, mean)))
    mean = [1.0] + [0.0] * (len(valid) - 1) if length < max(tol, OPPOSITE) else [one / length for one in mean]
    for _ in range(max_iter):
        tangent = _tangent(cosines, mean, tol)
        length = sqrt(max(0.0, combined(cosines, tangent, tangent)))
        if length < tol or length == 0.0:
            break
        mean = [cos(length) * at + sin(length) * one / length for at, one in zip(mean, tangent, strict=True)]
        length = sqrt(max(0.0, combined(cosines, mean, mean)))
        if length > tol:
            mean = [one / length for one in mean]

    size, factors = total(norms) / count, dict(zip(valid, mean, strict=True))
    return [size * factors[i] / norms[i] if i in factors else 0.0 for i in range(count)]


def _tangent(cosines: Gram, mean: Sequence[float], tol: float) -> list[float]:
    """Return the mean pull on m of all unit vectors, as coefficients of these."""
    tangent = [0.0] * len(mean)
    for i, row in enumerate(cosines):
        cosine = min(1.0, max(-1.0, total(product * one for product, one in zip(row, mean, strict=True))))
        angle = acos(cosine)
        if angle < tol or (cosine < 0 and sin(angle) <= OPPOSITE) or angle == 0.0:
            continue
        pull = angle / sin(angle) / len(mean)
        tangent[i] += pull
        tangent = [one - pull * cosine * at for one, at in zip(tangent, mean, strict=True)]
    return tangent


def _stats(stream: Stream, *, max_iter: int, tol: float) -> list[float]:
    from modelbuild.kernels.inner import gram

    return coefficients(gram(stream.kernels, (inputs for _, inputs in stream.chunks())), max_iter, tol)


def _apply(kernels: Kernels, inputs: Sequence[Operand], out: Place, state: Sequence[float], offset: int, **_: object) -> None:
    kernels.weighted_sum(inputs, state, 1.0, 1.0, out)


karcher = karcher.streamed(stats=_stats, apply=_apply, carries=always)
