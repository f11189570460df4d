"""Model Breadcrumbs: drop the largest and the smallest entries of task vectors, before task arithmetic or TIES.

Use it when many specialists of one base are merged and a few outliers in each do harm: what is kept is the middle.

Source: Davari and Belilovsky, "Model Breadcrumbs: Scaling Multi-Task Model Merging with Sparse Masks", 2023,
https://arxiv.org/abs/2312.06795, section 3.  As in mergekit, `density` is the share kept and `gamma` the share of the largest
that go; the paper's beta is 1 - density - gamma, and its masks are of layers, here of tensors.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from modelbuild.kernels import divisor, load
from modelbuild.kernels.rescale import factors, scaled
from modelbuild.method import Param, Params, method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from modelbuild.kernels import Kernels, Operand, Place, Stream
    from modelbuild.kernels.select import Cut

PARAMS = (
    Param("density", float, per="input", default=1.0, low=0.0, high=1.0),
    Param("gamma", float, per="input", default=0.01, low=0.0, high=1.0),
    Param("weight", float, per="input", default=1.0),
    Param("rescale", str, default="none", choices=("l1", "none"), also=((True, "l1"), (False, "none"))),
    Param("normalize", bool, default=False),
    Param("lambda", float, default=1.0, arg="scale"),
    Param("int8_mask", bool, default=False, inert=True),
)


class Window(NamedTuple):
    """How many of the largest go, and how many that follow stay."""

    dropped: int
    kept: int


def window(count: int, density: float, gamma: float) -> Window:
    """Return what stays of `count` entries: int(density count), after int(gamma count) at most, or fewer where they would not fit."""
    if density >= 1.0:
        return Window(0, count)
    kept = int(density * count)
    return Window(min(int(gamma * count), count - kept), kept)


@method(space="delta", params=PARAMS, revision=1)
def breadcrumbs(
    deltas: Sequence[Tensor], *, density: Sequence[float], gamma: Sequence[float], weight: Sequence[float],
    rescale: str, normalize: bool, scale: float,
) -> Tensor:  # fmt: skip
    """Drop the largest entries and the smallest, and sum: lambda sum of w_i (mask_i d_i).

    Args:
        deltas: n task vectors (source minus base), float32, each of shape (*S).
        density: the share of entries each keeps, in [0, 1]; with 1 all, the largest among them.
        gamma: the share of the largest that go, in [0, 1]; less where density leaves less.  Of equal magnitudes the lowest
            indices count as the largest.
        weight: how much each counts; n numbers.
        rescale: "l1" restores the sum of magnitudes that dropping took away, "none" does not.
        normalize: divide by the sum of the weights.
        scale: multiplies the merged task vector; lambda.

    Returns:
        The merged task vector, shape (*S).

    """
    kernels, kept, out = _kept(deltas, density, gamma, rescale)
    kernels.weighted_sum(kept, weight, divisor(weight, normalize), scale, out)
    return out.reshape(deltas[0].shape)


@method(space="delta", params=PARAMS, revision=1)
def breadcrumbs_ties(
    deltas: Sequence[Tensor], *, density: Sequence[float], gamma: Sequence[float], weight: Sequence[float],
    rescale: str, normalize: bool, scale: float,
) -> Tensor:  # fmt: skip
    """Drop the largest entries and the smallest, elect a sign per entry and sum who agrees.

    Args:
        deltas: n task vectors (source minus base), float32, each of shape (*S).
        density: the share of entries each keeps, in [0, 1]; with 1 all, the largest among them.
        gamma: the share of the largest that go, in [0, 1]; less where density leaves less.  Of equal magnitudes the lowest
            indices count as the largest.
        weight: how much each counts, before the sign is elected.
        rescale: "l1" restores the sum of magnitudes that dropping took away, "none" does not.
        normalize: divide by the summed weight of those who agree.
        scale: multiplies the merged task vector; lambda.

    Returns:
        The merged task vector, shape (*S).

    """
    kernels, kept, out = _kept(deltas, density, gamma, rescale)
    kernels.consensus(kept, weight, normalize, scale, out)
    return out.reshape(deltas[0].shape)


def _kept(deltas: Sequence[Tensor], density: Sequence[float], gamma: Sequence[float], rescale: str) -> tuple[Kernels, list[Tensor], Tensor]:
    """Return the kernels, what is kept of each delta, flat, and room for the result."""
    kernels, flat, kept = load(f"torch:{deltas[0].device}"), [delta.reshape(-1) for delta in deltas], []
    for delta, share, largest in zip(flat, density, gamma, strict=True):
        first, count = window(len(delta), share, largest)
        chosen = delta.abs().argsort(descending=True, stable=True)[first : first + count]
        one = delta.new_zeros(delta.shape)
        one[chosen] = delta[chosen]
        kept.append(one)
    if rescale == "l1":
        kept = [one * factor for one, factor in zip(kept, factors(kernels, [(0, flat)], lambda *_: kept), strict=True)]
    return kernels, kept, kept[0].new_empty(kept[0].shape)


class _Seen(NamedTuple):
    """What the last pass needs: of each input where the largest end, where those kept end, and what these are multiplied with."""

    cuts: Sequence[tuple[Cut, Cut]]
    factors: Sequence[float]


def _stats(stream: Stream, *, density: Sequence[float], gamma: Sequence[float], rescale: str, **_: object) -> _Seen:
    from modelbuild.kernels.select import largest

    windows = [window(stream.numel, *both) for both in zip(density, gamma, strict=True)]
    keeps = [keep for one in windows for keep in (one.dropped, one.dropped + one.kept)]
    found = largest(stream, keeps, [i for i in range(len(windows)) for _ in range(2)])
    cuts = list(zip(found[::2], found[1::2], strict=True))
    return _Seen(cuts, factors(stream.kernels, stream.chunks(), partial(_middle, cuts)) if rescale == "l1" else ())


def _cuts_all(params: Params) -> bool:
    return bool(max(params["density"]) < 1.0)


def _middle(cuts: Sequence[tuple[Cut, Cut]], kernels: Kernels, inputs: Sequence[Operand], offset: int) -> list[Operand]:
    return [kernels.trimmed(kernels.dropped(delta, top, offset), bottom, offset) for delta, (top, bottom) in zip(inputs, cuts, strict=True)]


def _left(kernels: Kernels, inputs: Sequence[Operand], state: _Seen, offset: int) -> list[Operand]:
    kept = _middle(state.cuts, kernels, inputs, offset)
    return [scaled(kernels, one, factor, offset) for one, factor in zip(kept, state.factors, strict=True)] if state.factors else kept


def _apply_sum(
    kernels: Kernels, inputs: Sequence[Operand], out: Place, state: _Seen, offset: int,
    *, weight: Sequence[float], normalize: bool, scale: float, **_: object,
) -> None:  # fmt: skip
    kernels.weighted_sum(_left(kernels, inputs, state, offset), weight, divisor(weight, normalize), scale, out)


def _apply_consensus(
    kernels: Kernels, inputs: Sequence[Operand], out: Place, state: _Seen, offset: int,
    *, weight: Sequence[float], normalize: bool, scale: float, **_: object,
) -> None:  # fmt: skip
    kernels.consensus(_left(kernels, inputs, state, offset), weight, normalize, scale, out)


breadcrumbs = breadcrumbs.streamed(stats=_stats, apply=_apply_sum, carries=_cuts_all)
breadcrumbs_ties = breadcrumbs_ties.streamed(stats=_stats, apply=_apply_consensus, carries=_cuts_all)
