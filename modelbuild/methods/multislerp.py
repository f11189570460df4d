"""MultiSLERP: the barycentre of several models on a sphere.

Source: Goddard, "Multi-SLERP", 2024, https://goddard.blog/posts/multislerp-wow-what-a-cool-idea, as mergekit has it.  Where
directions cancel out, mergekit averages two models and fails on more; here any number is averaged, so that parts of a model
which no fine-tune touched come out as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, sin, sqrt
from typing import TYPE_CHECKING

from modelbuild.kernels import total
from modelbuild.kernels.inner import Gram, combined
from modelbuild.method import Param, Params, always, method

if TYPE_CHECKING:
    from torch import Tensor

    from modelbuild.kernels import Kernels, Operand, Place, Stream

CANCELLED = 2.0**-23
"""A mean of unit vectors up to this length has no direction that float32 inputs could tell."""


def _itself(params: Params, count: int) -> int | None:
    return 0 if count == 1 else None


def _zero_sum(params: Params, count: int) -> str:
    weight = params["weight"]
    if not params["normalize_weights"] or abs(total(weight)) >= 1e-8:
        return ""
    return f"the weights {', '.join(f'{share:g}' for share in weight)} sum to {total(weight):g}, and `normalize_weights` divides by that"


@method(
    base="optional",
    params=(
        Param("weight", float, per="input", default=1.0),
        Param("normalize_weights", bool, default=True),
        Param("eps", float, default=1e-8, low=0.0),
    ),
    alias=_itself,
    check=_zero_sum,
    revision=1,
)
def multislerp(tensors: Sequence[Tensor], *, weight: Sequence[float], normalize_weights: bool, eps: float) -> Tensor:
    """Average directions on the sphere, and lengths.

    With u_i = x_i / (|x_i| + eps) and m = sum of w_i u_i, brought to length 1: v = sum of w_i (u_i - (u_i m) m) lies in the
    tangent space at m, and the result is (m cos |v| + v sin |v| / |v|) times the sum of w_i |x_i|.  Where the sum of w_i u_i is
    shorter than `eps`, or than 2^-23, the result is the sum of w_i x_i.  As m is the mean of these u_i with these weights, v is
    0 but for rounding: the result is m times the sum of w_i |x_i|.

    Args:
        tensors: n tensors x_i, float32, each of shape (*S), each one vector; task vectors where a base is named.
        weight: how much each counts; n numbers.
        normalize_weights: divide the weights by their sum.
        eps: what keeps lengths off 0.

    Returns:
        The average, shape (*S).

    """
    from modelbuild.kernels import load
    from modelbuild.kernels.inner import gram

    kernels, flat = load(f"torch:{tensors[0].device}"), [tensor.reshape(-1) for tensor in tensors]
    out = flat[0].new_empty(flat[0].shape)
    kernels.weighted_sum(flat, coefficients(gram(kernels, [flat]), weight, normalize_weights, eps), 1.0, 1.0, out)
    return out.reshape(tensors[0].shape)


def coefficients(gram: Gram, weight: Sequence[float], normalize: bool, eps: float) -> list[float]:
    """Turn inner products into the factor of each tensor, in float64 on the host."""
    if len(weight) == 1:
        return [1.0]
    divisor = total(weight) if normalize else 1.0
    shares = [share / divisor for share in weight]
    norms = [sqrt(gram[i][i]) for i in range(len(shares))]
    units = [1.0 / (norm + eps) if norm + eps > 0.0 else 0.0 for norm in norms]  # u_i = units[i] x_i

    mean = [share * unit for share, unit in zip(shares, units, strict=True)]
    length = sqrt(max(0.0, combined(gram, mean, mean)))
    if length < max(eps, CANCELLED):
        return shares
    mean = [factor / length for factor in mean]

    along = 0.0  # sum of w_i (u_i m)
    tangent = [share * unit for share, unit in zip(shares, units, strict=True)]
    for i, (share, unit) in enumerate(zip(shares, units, strict=True)):
        along += share * unit * total(gram[i][j] * factor for j, factor in enumerate(mean))
    tangent = [one - along * factor for one, factor in zip(tangent, mean, strict=True)]
    angle = sqrt(max(0.0, combined(gram, tangent, tangent))) + eps
    onwards = sin(angle) / angle if angle > 0.0 else 1.0
    size = total(share * norm for share, norm in zip(shares, norms, strict=True))
    return [size * (cos(angle) * at + onwards * one) for at, one in zip(mean, tangent, strict=True)]


def _stats(stream: Stream, *, weight: Sequence[float], normalize_weights: bool, eps: float) -> list[float]:
    from modelbuild.kernels.inner import gram

    found = gram(stream.kernels, (inputs for _, inputs in stream.chunks()))
    return coefficients(found or [[0.0] * len(weight)] * len(weight), weight, normalize_weights, eps)


def _apply(kernels: Kernels, inputs: Sequence[Operand], out: Place, state: Sequence[float], offset: int, **_: object) -> None:
    kernels.weighted_sum(inputs, state, 1.0, 1.0, out)


multislerp = multislerp.streamed(stats=_stats, apply=_apply, carries=always)
