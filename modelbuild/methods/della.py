"""DELLA: drop entries of task vectors at random, small ones sooner, and rescale, before task arithmetic or TIES.

Use it as dare, when which entries matter is known by their size: between TIES, which keeps the largest, and DARE, which asks for
none.

Source: Deep et al., "DELLA-Merging: Reducing Interference in Model Merging through Magnitude-Based Sampling", 2024,
https://arxiv.org/abs/2406.11617, section 3.  The paper divides each entry by its own probability; the default here is mergekit's,
which keeps each task vector's L1 norm.  mergekit refuses an `epsilon` that takes a probability out of (0, 1), and gives
NaN for rows of one element; here `epsilon` is taken as large as it may be, and such an element has the probability `density`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from modelbuild.kernels import divisor, load
from modelbuild.kernels.masks import KEPT_WHOLE, RankedMasks, columns_of, limits
from modelbuild.kernels.operands import length
from modelbuild.kernels.rescale import Sums, restoring
from modelbuild.method import Param, Params, method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from modelbuild.kernels import Kernels, Operand, Place, Stream


def _params(*, normalize: bool) -> tuple[Param, ...]:
    return (
        Param("density", float, per="input", default=1.0, low=0.0, high=1.0),
        Param("epsilon", float, per="input", default=0.15, low=0.0, high=1.0),
        Param("weight", float, per="input", default=1.0),
        Param("rescale", str, default="l1", choices=("l1", "none"), also=((True, "l1"), (False, "none"))),
        Param("normalize", bool, default=normalize),
        Param("lambda", float, default=1.0, arg="scale"),
        Param("int8_mask", bool, default=False, inert=True),
    )


@method(space="delta", params=_params(normalize=True), random=True, revision=2)
def della(
    deltas: Sequence[Tensor], *, density: Sequence[float], epsilon: Sequence[float], weight: Sequence[float],
    rescale: str, normalize: bool, scale: float, streams: Sequence[int],
) -> Tensor:  # fmt: skip
    """Drop entries at random by their rank, rescale, elect a sign per entry and average who agrees.

    Args:
        deltas: n task vectors (source minus base), float32, each of shape (*S).
        density: the mean probability with which entries are kept, in [0, 1]; with 1 all are.
        epsilon: in each row, along the last dimension, the probability rises with the rank of magnitudes from density - epsilon
            to density + epsilon; at most as much as keeps both in [0, 1].  Equal magnitudes have equal probabilities.
        weight: how much each counts, before the sign is elected.
        rescale: "l1" keeps the sum of magnitudes, "none" does nothing.
        normalize: divide by the summed weight of those who agree.
        scale: multiplies the merged task vector; lambda.
        streams: n keys of the random masks, from the seed and the content of each input.

    Returns:
        The merged task vector, shape (*S).

    """
    kernels, left, out = _left(deltas, density, epsilon, rescale, streams)
    kernels.consensus(left, weight, normalize, scale, out)
    return out.reshape(deltas[0].shape)


@method(space="delta", params=_params(normalize=False), random=True, revision=2)
def della_linear(
    deltas: Sequence[Tensor], *, density: Sequence[float], epsilon: Sequence[float], weight: Sequence[float],
    rescale: str, normalize: bool, scale: float, streams: Sequence[int],
) -> Tensor:  # fmt: skip
    """Drop entries at random by their rank, rescale, and sum: lambda sum of w_i (mask_i d_i) r_i.

    Args:
        deltas: n task vectors (source minus base), float32, each of shape (*S).
        density: the mean probability with which entries are kept, in [0, 1]; with 1 all are.
        epsilon: in each row, along the last dimension, the probability rises with the rank of magnitudes from density - epsilon
            to density + epsilon; at most as much as keeps both in [0, 1].  Equal magnitudes have equal probabilities.
        weight: how much each counts; n numbers.
        rescale: r_i: "l1" keeps the sum of magnitudes, "none" is 1.
        normalize: divide by the sum of the weights.
        scale: multiplies the merged task vector; lambda.
        streams: n keys of the random masks, from the seed and the content of each input.

    Returns:
        The merged task vector, shape (*S).

    """
    kernels, left, out = _left(deltas, density, epsilon, rescale, streams)
    kernels.weighted_sum(left, weight, divisor(weight, normalize), scale, out)
    return out.reshape(deltas[0].shape)


def _left(
    deltas: Sequence[Tensor], density: Sequence[float], epsilon: Sequence[float], rescale: str, streams: Sequence[int]
) -> tuple[Kernels, list[Tensor], Tensor]:
    """Return the kernels, the deltas dropped and rescaled, each flat, and room for the result."""
    kernels, left = load(f"torch:{deltas[0].device}"), []
    for delta, share, spread, stream in zip(deltas, density, epsilon, streams, strict=True):
        flat, columns = delta.reshape(-1), columns_of(delta.shape)
        mask = kernels.ranked_mask(flat, columns, stream, limits(columns, share, spread), 0)
        sums = [kernels.total(some) for some in kernels.abs_sums(flat, mask).T]
        left.append(kernels.floats(kernels.masked(flat, mask, restoring(*sums) if rescale == "l1" else 1.0)))
    return kernels, left, left[0].new_empty(left[0].shape)


class _Seen(NamedTuple):
    """What the last pass needs: the masks, and what each input is multiplied with."""

    masks: RankedMasks
    factors: Sequence[float]


def _stats(stream: Stream, *, density: Sequence[float], epsilon: Sequence[float], rescale: str, **_: object) -> _Seen:
    masks, sums = RankedMasks(stream, density, epsilon), Sums(stream, len(density))
    for offset in range(0, stream.numel, stream.chunk):
        for i in range(len(density)):
            values, mask = masks.draw(i, offset)
            if rescale == "l1":
                sums.add(i, values, mask)
    return _Seen(masks, [restoring(*both) for both in sums.found()])


def _measures(params: Params) -> bool:
    return bool(params["rescale"] == "l1")


def _drop(kernels: Kernels, inputs: Sequence[Operand], state: _Seen, offset: int) -> list[Operand]:
    return [
        kernels.masked(delta, state.masks.again(i, offset, length(delta)), factor)
        for i, (delta, factor) in enumerate(zip(inputs, state.factors, strict=True))
    ]


def _apply_consensus(
    kernels: Kernels, inputs: Sequence[Operand], out: Place, state: _Seen, offset: int,
    *, weight: Sequence[float], normalize: bool, scale: float, **_: object,
) -> None:  # fmt: skip
    kernels.consensus(_drop(kernels, inputs, state, offset), weight, normalize, scale, out)


def _apply_sum(
    kernels: Kernels, inputs: Sequence[Operand], out: Place, state: _Seen, offset: int,
    *, weight: Sequence[float], normalize: bool, scale: float, **_: object,
) -> None:  # fmt: skip
    kernels.weighted_sum(_drop(kernels, inputs, state, offset), weight, divisor(weight, normalize), scale, out)


della = della.streamed(stats=_stats, apply=_apply_consensus, carries=_measures, holds=KEPT_WHOLE)
della_linear = della_linear.streamed(stats=_stats, apply=_apply_sum, carries=_measures, holds=KEPT_WHOLE)
