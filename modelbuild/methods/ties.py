"""TIES: trim each task vector, elect a sign per entry, average who agrees.

Source: Yadav et al., "TIES-Merging: Resolving Interference When Merging Models", 2023,
https://arxiv.org/abs/2306.01708, section 3.  Trimming is per tensor, as mergekit does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from modelbuild.method import Param, method

if TYPE_CHECKING:
    from torch import Tensor

    from modelbuild.kernels import Kernels, Operand, Place, Stream
    from modelbuild.kernels.select import Cut


@method(
    space="delta",
    params=(
        Param("density", float, per="input", default=1.0, low=0.0, high=1.0),
        Param("weight", float, per="input", default=1.0),
        Param("normalize", bool, default=True),
        Param("lambda", float, default=1.0, arg="scale"),
        Param("int8_mask", bool, default=False, inert=True),
    ),
    revision=1,
)
def ties(deltas: Sequence[Tensor], *, density: Sequence[float], weight: Sequence[float], normalize: bool, scale: float) -> Tensor:
    """Merge task vectors that disagree, without letting them cancel out.

    Args:
        deltas: n task vectors (source minus base), float32, each of shape (*S), in Modelfile order.
        density: share of entries each keeps, by magnitude, in [0, 1]; the paper's k.  Of equal magnitudes the lowest
            indices are kept; at least one entry is.
        weight: how much each counts, before the sign is elected.
        normalize: divide by the summed weight of those who agree.
        scale: multiplies the merged task vector; the paper's lambda.

    Returns:
        The merged task vector, shape (*S).  Entries nobody keeps are 0.

    """
    from torch import where, zeros_like

    weighted = [_largest(delta, keep) * share for delta, keep, share in zip(deltas, density, weight, strict=True)]
    votes = weighted[0]
    for one in weighted[1:]:
        votes = votes + one
    positive = votes >= 0
    merged, divisor = zeros_like(votes), zeros_like(votes)
    for one, share in zip(weighted, weight, strict=True):
        agrees = where(positive, one > 0, one < 0)
        merged = where(agrees, merged + one, merged)
        divisor = where(agrees, divisor + share, divisor)
    if normalize:
        merged = merged / where(divisor == 0, 1.0, divisor)
    return merged if scale == 1.0 else merged * scale


def kept(count: int, density: float) -> int:
    """Return how many of `count` entries a density keeps: at least one."""
    return max(1, int(density * count)) if density < 1.0 else count


def _largest(delta: Tensor, density: float) -> Tensor:
    from torch import zeros_like

    order = delta.abs().reshape(-1).argsort(descending=True, stable=True)[: kept(delta.numel(), density)]
    out = zeros_like(delta).reshape(-1)
    out[order] = delta.reshape(-1)[order]
    return out.reshape(delta.shape)


def _stats(stream: Stream, *, density: Sequence[float], weight: Sequence[float], normalize: bool, scale: float) -> tuple[Cut, ...]:
    from modelbuild.kernels.select import largest

    return largest(stream, [kept(stream.numel, share) for share in density])


def _apply(
    kernels: Kernels,
    inputs: Sequence[Operand],
    out: Place,
    state: Sequence[Cut],
    offset: int,
    *,
    density: Sequence[float],
    weight: Sequence[float],
    normalize: bool,
    scale: float,
) -> None:
    trimmed = [kernels.trimmed(delta, cut, offset) for delta, cut in zip(inputs, state, strict=True)]
    kernels.consensus(trimmed, weight, normalize, scale, out)


ties = ties.streamed(stats=_stats, apply=_apply)
