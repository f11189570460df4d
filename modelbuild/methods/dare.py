"""DARE: drop entries of task vectors at random and rescale the rest, before task arithmetic or TIES.

Source: Yu et al., "Language Models are Super Mario: Absorbing Abilities from Homologous Models as a Free Lunch", 2023,
https://arxiv.org/abs/2311.03099, section 3.2.  The paper rescales by 1 / density; the default here is mergekit's, which
keeps each task vector's L1 norm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from modelbuild.kernels import divisor, load
from modelbuild.method import Param, Stream, method

if TYPE_CHECKING:
    from torch import Tensor

    from modelbuild.kernels import Array, Kernels

PARAMS = (
    Param("density", float, per="input", default=1.0, low=0.0, high=1.0),
    Param("weight", float, per="input", default=1.0),
    Param("rescale", str, default="l1", choices=("l1", "inverse_density", "none"), also=((True, "l1"), (False, "none"))),
    Param("normalize", bool, default=False),
    Param("lambda", float, default=1.0, arg="scale"),
    Param("int8_mask", bool, default=False, inert=True),
)

_NOTHING = 1e-7
"""A sum of magnitudes below this is left as it is: there is nothing to scale."""


@method(space="delta", params=PARAMS, random=True, revision=1)
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
    _sum(kernels, dropped, out, weight, normalize, scale)
    return out.reshape(deltas[0].shape)


@method(space="delta", params=PARAMS, random=True, revision=1)
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
        out = flat.new_empty(flat.shape)
        kernels.drop(flat, stream, share, 0, 1.0, out)
        factor = _factor(rescale, share, kernels.total(kernels.abs_sums(flat)), kernels.total(kernels.abs_sums(out)))
        kernels.drop(flat, stream, share, 0, factor, out)
        dropped.append(out)
    return kernels, dropped, dropped[0].new_empty(dropped[0].shape)


def _sum(kernels: Kernels, dropped: Sequence[Array], out: Array, weight: Sequence[float], normalize: bool, scale: float) -> None:
    kernels.weighted_sum(dropped, weight, divisor(weight, normalize), out)
    if scale != 1.0:
        kernels.scale(out, scale, out)


def _factor(rescale: str, density: float, before: float, after: float) -> float:
    if rescale == "l1":
        return before / after if before >= _NOTHING and after >= _NOTHING else 1.0
    return 1.0 / density if rescale == "inverse_density" and density > 0 else 1.0


def _stats(stream: Stream, *, density: Sequence[float], rescale: str, **_: object) -> tuple[tuple[int, float], ...]:
    """Return (stream, factor) for each input."""
    kernels = stream.kernels

    def factor(i: int, share: float) -> float:
        if share >= 1.0 or rescale != "l1":
            return _factor(rescale, share, 0.0, 0.0)
        before = after = 0.0
        for offset, (delta,) in stream.chunks(i):
            before = kernels.total((before, *kernels.abs_sums(delta)))
            kernels.drop(delta, stream.streams[i], share, offset, 1.0, delta)
            after = kernels.total((after, *kernels.abs_sums(delta)))
        return _factor(rescale, share, before, after)

    return tuple((stream.streams[i], factor(i, share)) for i, share in enumerate(density))


def _drop(kernels: Kernels, inputs: Sequence[Array], state: Sequence[tuple[int, float]], offset: int, density: Sequence[float]) -> None:
    for delta, (stream, factor), share in zip(inputs, state, density, strict=True):
        kernels.drop(delta, stream, share, offset, factor, delta)


def _apply_sum(
    kernels: Kernels, inputs: Sequence[Array], out: Array, state: Sequence[tuple[int, float]], offset: int,
    *, density: Sequence[float], weight: Sequence[float], normalize: bool, scale: float, **_: object,
) -> None:  # fmt: skip
    _drop(kernels, inputs, state, offset, density)
    _sum(kernels, inputs, out, weight, normalize, scale)


def _apply_consensus(
    kernels: Kernels, inputs: Sequence[Array], out: Array, state: Sequence[tuple[int, float]], offset: int,
    *, density: Sequence[float], weight: Sequence[float], normalize: bool, scale: float, **_: object,
) -> None:  # fmt: skip
    _drop(kernels, inputs, state, offset, density)
    kernels.consensus(inputs, weight, normalize, scale, out)


dare_linear = dare_linear.streamed(stats=_stats, apply=_apply_sum)
dare_ties = dare_ties.streamed(stats=_stats, apply=_apply_consensus)
