"""DARE: drop entries of task vectors at random and rescale the rest, before task arithmetic or TIES.

Source: Yu et al., "Language Models are Super Mario: Absorbing Abilities from Homologous Models as a Free Lunch", 2023,
https://arxiv.org/abs/2311.03099, section 3.2.  The paper rescales by 1 / density; the default here is mergekit's, which
keeps each task vector's L1 norm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from modelbuild.kernels import divisor, load
from modelbuild.kernels.masks import Masks
from modelbuild.kernels.operands import length
from modelbuild.kernels.rescale import Sums, restoring
from modelbuild.method import Param, Params, method

if TYPE_CHECKING:
    from torch import Tensor

    from modelbuild.kernels import Kernels, Operand, Place, Stream

PARAMS = (
    Param("density", float, per="input", default=1.0, low=0.0, high=1.0),
    Param("weight", float, per="input", default=1.0),
    Param("rescale", str, default="l1", choices=("l1", "inverse_density", "none"), also=((True, "l1"), (False, "none"))),
    Param("normalize", bool, default=False),
    Param("lambda", float, default=1.0, arg="scale"),
    Param("int8_mask", bool, default=False, inert=True),
)


@method(space="delta", params=PARAMS, random=True, revision=2)
def dare_linear(
    deltas: Sequence[Tensor],
    *,
    density: Sequence[float],
    weight: Sequence[float],
    rescale: str,
    normalize: bool,
    scale: float,
    streams: Sequence[int],
) -> Tensor:
    """Drop entries at random, rescale, and sum: lambda sum of w_i (mask_i d_i) r_i.

    Args:
        deltas: n task vectors (source minus base), float32, each of shape (*S).
        density: the probability with which each entry is kept, in [0, 1]; 1 - p in the paper.
        weight: how much each counts; n numbers.
        rescale: r_i: "l1" keeps the sum of magnitudes, "inverse_density" is the paper's 1 / density, "none" is 1.
        normalize: divide by the sum of the weights.
        scale: multiplies the merged task vector; lambda.
        streams: n keys of the random masks, from the seed and the content of each input.

    Returns:
        The merged task vector, shape (*S).

    """
    kernels, dropped, out = _dropped(deltas, density, rescale, streams)
    kernels.weighted_sum(dropped, weight, divisor(weight, normalize), scale, out)
    return out.reshape(deltas[0].shape)


@method(space="delta", params=PARAMS, random=True, revision=2)
def dare_ties(
    deltas: Sequence[Tensor],
    *,
    density: Sequence[float],
    weight: Sequence[float],
    rescale: str,
    normalize: bool,
    scale: float,
    streams: Sequence[int],
) -> Tensor:
    """Drop entries at random, rescale, elect a sign per entry and sum who agrees.

    Args:
        deltas: n task vectors (source minus base), float32, each of shape (*S).
        density: the probability with which each entry is kept, in [0, 1]; 1 - p in the paper.
        weight: how much each counts, before the sign is elected.
        rescale: "l1" keeps the sum of magnitudes, "inverse_density" is the paper's 1 / density, "none" does nothing.
        normalize: divide by the summed weight of those who agree.
        scale: multiplies the merged task vector; lambda.
        streams: n keys of the random masks, from the seed and the content of each input.

    Returns:
        The merged task vector, shape (*S).

    """
    kernels, dropped, out = _dropped(deltas, density, rescale, streams)
    kernels.consensus(dropped, weight, normalize, scale, out)
    return out.reshape(deltas[0].shape)


def _dropped(
    deltas: Sequence[Tensor], density: Sequence[float], rescale: str, streams: Sequence[int]
) -> tuple[Kernels, list[Tensor], Tensor]:
    """Return the kernels, the deltas dropped and rescaled, each flat, and room for the result."""
    kernels = load(f"torch:{deltas[0].device}")
    dropped = []
    for delta, share, stream in zip(deltas, density, streams, strict=True):
        flat = delta.reshape(-1)
        mask = kernels.mask(stream, share, 0, len(flat))
        sums = [kernels.total(some) for some in kernels.abs_sums(flat, mask).T]
        dropped.append(kernels.floats(kernels.masked(flat, mask, _factor(rescale, share, *sums))))
    return kernels, dropped, dropped[0].new_empty(dropped[0].shape)


def _factor(rescale: str, density: float, before: float, after: float) -> float:
    if rescale == "l1":
        return restoring(before, after)
    return 1.0 / density if rescale == "inverse_density" and density > 0 else 1.0


class _Seen(NamedTuple):
    """What the last pass needs: the masks, and what each input is multiplied with."""

    masks: Masks
    factors: Sequence[float]


def _stats(stream: Stream, *, density: Sequence[float], rescale: str, **_: object) -> _Seen:
    masks, sums = Masks(stream, density), Sums(stream, len(density))
    measured = [i for i, share in enumerate(density) if share < 1.0 and rescale == "l1"]
    for offset, deltas in stream.chunks(*measured) if measured else ():
        for i, delta in zip(measured, deltas, strict=True):
            sums.add(i, delta, masks.draw(i, offset, length(delta)))
    return _Seen(masks, [_factor(rescale, share, *both) for share, both in zip(density, sums.found(), strict=True)])


def _measures_all(params: Params) -> bool:
    return bool(params["rescale"] == "l1" and max(params["density"]) < 1.0)


def _drop(kernels: Kernels, inputs: Sequence[Operand], state: _Seen, offset: int) -> list[Operand]:
    return [
        kernels.masked(delta, state.masks.again(i, offset, length(delta)), factor)
        for i, (delta, factor) in enumerate(zip(inputs, state.factors, strict=True))
    ]


def _apply_sum(
    kernels: Kernels, inputs: Sequence[Operand], out: Place, state: _Seen, offset: int,
    *, weight: Sequence[float], normalize: bool, scale: float, **_: object,
) -> None:  # fmt: skip
    kernels.weighted_sum(_drop(kernels, inputs, state, offset), weight, divisor(weight, normalize), scale, out)


def _apply_consensus(
    kernels: Kernels, inputs: Sequence[Operand], out: Place, state: _Seen, offset: int,
    *, weight: Sequence[float], normalize: bool, scale: float, **_: object,
) -> None:  # fmt: skip
    kernels.consensus(_drop(kernels, inputs, state, offset), weight, normalize, scale, out)


dare_linear = dare_linear.streamed(stats=_stats, apply=_apply_sum, carries=_measures_all)
dare_ties = dare_ties.streamed(stats=_stats, apply=_apply_consensus, carries=_measures_all)
