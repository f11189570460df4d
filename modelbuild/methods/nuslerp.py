"""NuSLERP: slerp with a weight for each model, of models or of task vectors, as wholes or vector by vector.

Source: Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985, section 3.3, as mergekit's `nuslerp` applies it.
It differs from `slerp` in how far it goes (by weights, of any sign), in taking differences where a base is named, and in when it
takes the straight line.  That is here where the square of the sine is below 2^-24, the least that float32 can tell from 0, in
which mergekit computes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import acos, sin, sqrt
from typing import TYPE_CHECKING

from modelbuild.method import Param, Params, always, method

if TYPE_CHECKING:
    from torch import Tensor

    from modelbuild.kernels import Kernels, Operand, Place, Stream

SHORTEST = 1e-7
"""Vectors are taken to be at least so long where their angle is measured."""

STRAIGHT = 2.0**-24
"""Squares of sines up to this count as none."""

TOGETHER = 1 << 20
"""Elements of the vectors that are merged at a time, one by one: bounds what is held in float64."""


def _share(weight: Sequence[float]) -> float:
    """Return how far to go from the first to the second."""
    summed = weight[0] + weight[1]
    return 0.5 if abs(summed) < 1e-6 else weight[1] / summed


def _end(params: Params, count: int) -> int | None:
    return {0.0: 0, 1.0: 1}.get(_share(params["weight"]))


@method(
    base="optional",
    inputs=(2, 2),
    params=(
        Param("weight", float, per="input", default=1.0),
        Param("nuslerp_flatten", bool, default=True),
        Param("nuslerp_row_wise", bool, default=False),
    ),
    alias=_end,
    revision=1,
)
def nuslerp(tensors: Sequence[Tensor], *, weight: Sequence[float], nuslerp_flatten: bool, nuslerp_row_wise: bool) -> Tensor:
    """Interpolate two models, or their differences to a base, along the arc between them.

    sin((1-t) a) / sin(a) x0 + sin(t a) / sin(a) x1, where t = w1 / (w0 + w1), or 1/2 where |w0 + w1| < 1e-6, and a is the
    angle between x0 and x1; the straight line where sin(a)^2 <= 2^-24.  The tensors themselves are not normalised.

    Args:
        tensors: x0 and x1, float32, each of shape (*S); task vectors where a base is named.
        weight: w0 and w1.  Of one sign, they go between the two; of different signs, beyond one of them.
        nuslerp_flatten: a tensor is one vector.  Otherwise it is many, each merged by an angle of its own.
        nuslerp_row_wise: these vectors run along the first dimension (of a matrix the columns), otherwise along the last
            (the rows).  Without effect where `nuslerp_flatten` is true.

    Returns:
        The interpolated tensor, shape (*S).

    """
    from modelbuild.kernels import load
    from modelbuild.kernels.inner import gram

    t = _share(weight)
    if not nuslerp_flatten:
        return _one_by_one(tensors, t, 0 if nuslerp_row_wise else -1)
    (aa, ab), (_, bb) = gram(load(f"torch:{tensors[0].device}"), [[tensor.reshape(-1) for tensor in tensors]])
    of_first, of_second = coefficients(aa, ab, bb, t)
    return tensors[0] * of_first + tensors[1] * of_second


def coefficients(aa: float, ab: float, bb: float, t: float) -> tuple[float, float]:
    """Turn the dot products x0 x0, x0 x1 and x1 x1 of two vectors into their factors, in float64 on the host."""
    cosine = min(1.0, max(-1.0, ab / (max(sqrt(aa), SHORTEST) * max(sqrt(bb), SHORTEST))))
    if 1.0 - cosine * cosine <= STRAIGHT:
        return 1.0 - t, t
    angle = acos(cosine)
    return sin((1.0 - t) * angle) / sin(angle), sin(t * angle) / sin(angle)


def _one_by_one(tensors: Sequence[Tensor], t: float, dim: int) -> Tensor:
    from torch import empty_like, float32, tensor

    from modelbuild.kernels.inner import row_products

    x0, x1 = (one.reshape(-1) if one.dim() == 0 else one for one in tensors)
    out = empty_like(x0).movedim(dim, -1)  # (*T, n)
    shape, length = out.shape, out.shape[-1]
    out, x0, x1 = (one.reshape(-1, length) if one.numel() else one for one in (out, x0.movedim(dim, -1), x1.movedim(dim, -1)))
    step = max(1, TOGETHER // max(1, length))
    for at in range(0, len(out), step) if out.numel() else ():
        a, b = x0[at : at + step], x1[at : at + step]
        products = zip(row_products(a, a), row_products(a, b), row_products(b, b), strict=True)
        factors = tensor([coefficients(*three, t) for three in products], dtype=float32, device=a.device)  # (rows, 2)
        out[at : at + step] = a * factors[:, :1] + b * factors[:, 1:]
    return out.reshape(shape).movedim(-1, dim).reshape(tensors[0].shape)


def _whole(params: Params) -> bool:
    return not params["nuslerp_flatten"]


def _stats(stream: Stream, *, weight: Sequence[float], **_: object) -> tuple[float, float]:
    from modelbuild.kernels.inner import gram

    found = gram(stream.kernels, (inputs for _, inputs in stream.chunks()))
    (aa, ab), (_ba, bb) = found or [[0.0, 0.0], [0.0, 0.0]]
    return coefficients(aa, ab, bb, _share(weight))


def _apply(kernels: Kernels, inputs: Sequence[Operand], out: Place, state: tuple[float, float], offset: int, **_: object) -> None:
    kernels.weighted_sum(inputs, state, 1.0, 1.0, out)


nuslerp = nuslerp.streamed(stats=_stats, apply=_apply, whole=_whole, carries=always)
