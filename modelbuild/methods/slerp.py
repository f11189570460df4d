"""Slerp: the shortest way between two models on a sphere.

Source: Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985, section 3.3, applied to whole tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import acos, sin, sqrt
from typing import TYPE_CHECKING

from modelbuild.method import Param, Params, always, method

if TYPE_CHECKING:
    from torch import Tensor

    from modelbuild.kernels import Kernels, Operand, Place, Stream

NEARLY_PARALLEL = 0.9995
"""Beyond this cosine the angle is too small to divide by its sine; the straight line is as good."""


def _end(params: Params, count: int) -> int | None:
    return {0.0: 0, 1.0: 1}.get(params["t"])


@method(
    base="first",
    inputs=(2, 2),
    params=(Param("t", float, low=0.0, high=1.0),),
    alias=_end,
    revision=1,
)
def slerp(tensors: Sequence[Tensor], *, t: float) -> Tensor:
    """Interpolate two models along the arc between them: t = 0 is the base, t = 1 the other.

    sin((1-t) a) / sin(a) x0 + sin(t a) / sin(a) x1, where a is the angle between the flattened tensors; the straight
    line where |cos a| > 0.9995.  The tensors themselves are not normalised.

    Args:
        tensors: the base x0 and the other x1, float32, each of shape (*S).
        t: how far to go, in [0, 1].

    Returns:
        The interpolated tensor, shape (*S).

    """
    from modelbuild.kernels import load

    kernels = load(f"torch:{tensors[0].device}")
    flat = [tensor.reshape(-1) for tensor in tensors]
    of_base, of_other = coefficients([kernels.total(sums) for sums in kernels.products(*flat).T], t)
    return tensors[0] * of_base + tensors[1] * of_other


def coefficients(products: Sequence[float], t: float) -> tuple[float, float]:
    """Turn the dot products x0 x0, x0 x1 and x1 x1 of two tensors into their factors, in float64 on the host."""
    aa, ab, bb = products
    norm_a, norm_b = (norm if (norm := sqrt(square)) > 1e-8 else 1.0 for square in (aa, bb))
    cosine = min(1.0, max(-1.0, ab / (norm_a * norm_b)))
    if abs(cosine) > NEARLY_PARALLEL:
        return 1.0 - t, t
    angle = acos(cosine)
    return sin((1.0 - t) * angle) / sin(angle), sin(t * angle) / sin(angle)


def _stats(stream: Stream, *, t: float) -> tuple[float, float]:
    sums = [0.0, 0.0, 0.0]
    for _, ends in stream.chunks():
        sums = [stream.kernels.total((before, *here)) for before, here in zip(sums, stream.kernels.products(*ends).T, strict=True)]
    return coefficients(sums, t)


def _apply(kernels: Kernels, inputs: Sequence[Operand], out: Place, state: tuple[float, float], offset: int, *, t: float) -> None:
    kernels.weighted_sum(inputs, state, 1.0, 1.0, out)


slerp = slerp.streamed(stats=_stats, apply=_apply, carries=always)
