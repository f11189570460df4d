"""TIES: trim each task vector, elect a sign per entry, average who agrees.

Source: Yadav et al., "TIES-Merging: Resolving Interference When Merging Models", 2023,
https://arxiv.org/abs/2306.01708, section 3.  The paper trims a task vector as a whole, which is `trim = "model"`; the
default trims each tensor for itself, as mergekit does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from modelbuild.kernels import load
from modelbuild.kernels.rescale import factors, scaled
from modelbuild.method import Param, Params, Survey, method

if TYPE_CHECKING:
    from torch import Tensor

    from modelbuild.kernels import Kernels, Operand, Place, Stream
    from modelbuild.kernels.select import Cut


@method(
    space="delta",
    params=(
        Param("density", float, per="input", default=1.0, low=0.0, high=1.0),
        Param("weight", float, per="input", default=1.0),
        Param("trim", str, default="tensor", choices=("tensor", "model")),
        Param("elect", str, default="sum", choices=("sum", "count")),
        Param("rescale", str, default="none", choices=("l1", "none"), also=((True, "l1"), (False, "none"))),
        Param("normalize", bool, default=True),
        Param("lambda", float, default=1.0, arg="scale"),
        Param("int8_mask", bool, default=False, inert=True),
    ),
    revision=1,
)
def ties(
    deltas: Sequence[Tensor],
    *,
    density: Sequence[float],
    weight: Sequence[float],
    trim: str = "tensor",
    elect: str = "sum",
    rescale: str = "none",
    normalize: bool,
    scale: float,
    survey: Sequence[float] = (),
) -> Tensor:
    """Merge task vectors that disagree, without letting them cancel out.

    Args:
        deltas: n task vectors (source minus base), float32, each of shape (*S), in Modelfile order.
        density: share of entries each keeps, by magnitude, in [0, 1]; the paper's k.  Of equal magnitudes the lowest
            indices are kept; at least one entry is.
        weight: how much each counts, before the sign is elected.
        trim: what `density` is a share of: "tensor", or "model" for all tensors with the same densities together, of which
            those of the magnitude at the threshold are kept all.
        elect: "sum" gives each a vote of its weighted entry, as the paper does; "count" one vote of its sign.
        rescale: "l1" restores the sum of magnitudes that trimming took away, "none" does not.
        normalize: divide by the summed weight of those who agree.
        scale: multiplies the merged task vector; the paper's lambda.
        survey: the threshold of each, where the whole model is trimmed.

    Returns:
        The merged task vector, shape (*S).  Entries nobody keeps are 0.

    """
    from torch import where, zeros_like

    trimmed = [
        _above(delta, survey[i]) if survey else _largest(delta, keep) for i, (delta, keep) in enumerate(zip(deltas, density, strict=True))
    ]
    if rescale == "l1":
        flat, kept_ones = [delta.reshape(-1) for delta in deltas], [one.reshape(-1) for one in trimmed]
        found = factors(load(f"torch:{deltas[0].device}"), [(0, flat)], lambda *_: kept_ones)
        trimmed = [one * factor for one, factor in zip(trimmed, found, strict=True)]
    weighted = [one * share for one, share in zip(trimmed, weight, strict=True)]
    ballots = [one.sign().nan_to_num(0.0) for one in weighted] if elect == "count" else weighted
    votes = ballots[0]
    for one in ballots[1:]:
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


def _above(delta: Tensor, threshold: float) -> Tensor:
    from torch import where

    return where(delta.abs() >= threshold, delta, 0.0)


def _thresholds(streams: Sequence[Stream], *, density: Sequence[float]) -> list[float]:
    """Find the magnitude from which on each input keeps its share of all tensors together; -1 for everything."""
    from modelbuild.kernels.select import threshold

    count = sum(stream.numel for stream in streams)
    return [threshold(streams, i, kept(count, share)) if share < 1.0 else -1.0 for i, share in enumerate(density)]


class _Seen(NamedTuple):
    """What the last pass needs: where each selection ends, and what is left of it multiplied with."""

    cuts: Sequence[Cut]
    factors: Sequence[float]


def _stats(stream: Stream, *, density: Sequence[float], rescale: str, **_: object) -> _Seen:
    from modelbuild.kernels.select import at_least, largest

    cuts = tuple(map(at_least, stream.survey)) or largest(stream, [kept(stream.numel, share) for share in density])
    return _Seen(cuts, factors(stream.kernels, stream.chunks(), partial(_trimmed, cuts)) if rescale == "l1" else ())


def _cuts_all(params: Params) -> bool:
    return bool(params["trim"] == "tensor" and max(params["density"]) < 1.0)


def _trimmed(cuts: Sequence[Cut], kernels: Kernels, inputs: Sequence[Operand], offset: int) -> list[Operand]:
    return [kernels.trimmed(delta, cut, offset) for delta, cut in zip(inputs, cuts, strict=True)]


def _apply(
    kernels: Kernels, inputs: Sequence[Operand], out: Place, state: _Seen, offset: int,
    *, weight: Sequence[float], elect: str, normalize: bool, scale: float, **_: object,
) -> None:  # fmt: skip
    trimmed = _trimmed(state.cuts, kernels, inputs, offset)
    if state.factors:
        trimmed = [scaled(kernels, delta, factor, offset) for delta, factor in zip(trimmed, state.factors, strict=True)]
    kernels.consensus(trimmed, weight, normalize, scale, out, count=elect == "count")


ties = ties.streamed(
    stats=_stats,
    apply=_apply,
    carries=_cuts_all,
    survey=Survey("thresholds of the model", _thresholds, ("density",), lambda params: bool(params["trim"] == "model"), 1),
)
