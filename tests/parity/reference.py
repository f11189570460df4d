"""The methods once more, written from their formulas in float64, and where the formula of TIES leaves a choice.

Sources: Wortsman et al., "Model soups", 2022, https://arxiv.org/abs/2203.05482 (linear); Shoemake, "Animating rotation
with quaternion curves", SIGGRAPH 1985, section 3.3 (slerp, of whole tensors); Ilharco et al., "Editing models with task
arithmetic", 2023, https://arxiv.org/abs/2212.04089; Yadav et al., "TIES-Merging: Resolving Interference When Merging
Models", 2023, https://arxiv.org/abs/2306.01708, section 3, trimmed per tensor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .comparing import Floats, Mask

    Exact = NDArray[np.float64]

NEARLY_PARALLEL = 0.9995
"""The cosine beyond which slerp takes the straight line."""


def linear(inputs: Sequence[Floats], *, weight: Sequence[float], normalize: bool) -> Exact:
    """Sum n tensors of shape (*S), each times its weight; divide by the sum of the weights if `normalize`."""
    total = _sum([_wide(tensor) * factor for tensor, factor in zip(inputs, weight, strict=True)])
    return total / sum(weight) if normalize else total


def slerp(base: Floats, other: Floats, *, t: float) -> Exact:
    """Go the share `t` of the arc from one tensor of shape (*S) to another."""
    one, two = _wide(base), _wide(other)
    cosine = float(_sum((one * two).ravel()) / np.sqrt(_sum((one * one).ravel()) * _sum((two * two).ravel())))
    if abs(cosine) > NEARLY_PARALLEL:
        return (1 - t) * one + t * two
    angle = np.arccos(cosine)
    of_one, of_two = np.sin((1 - t) * angle) / np.sin(angle), np.sin(t * angle) / np.sin(angle)
    return np.asarray(of_one * one + of_two * two)


def task_arithmetic(base: Floats, inputs: Sequence[Floats], *, weight: Sequence[float], normalize: bool, scale: float) -> Exact:
    """Add to a tensor of shape (*S) what n others differ from it, each times its weight, and all times `scale`."""
    deltas = [tensor - base for tensor in inputs]
    return base + scale * linear(deltas, weight=weight, normalize=normalize)


def ties(
    base: Floats,
    inputs: Sequence[Floats],
    *,
    density: Sequence[float],
    weight: Sequence[float],
    normalize: bool,
    scale: float,
) -> Exact:
    """Merge task vectors trimmed to their largest entries, of equal ones those with the lowest index.

    What decides is float32: deltas, magnitudes, and the sign of the weighted sum, taken in the order of the inputs.
    What is averaged is float64.

    Args:
        base: shape (*S).
        inputs: n of shape (*S).
        density: n shares of entries to keep, in [0, 1].
        weight: n factors, applied before signs are elected.
        normalize: divide by the summed weight of those who agree.
        scale: multiplies the merged task vector.

    Returns:
        The merged model, shape (*S).

    """
    votes = np.zeros(base.shape, np.float32)
    weighted = []
    for tensor, share, factor in zip(inputs, density, weight, strict=True):
        delta = tensor - base
        trimmed = np.where(_kept(delta, share), delta, np.float32(0))
        votes += trimmed * np.float32(factor)
        weighted.append(_wide(trimmed) * factor)
    elected = np.where(votes >= 0, 1, -1)
    agree = [np.sign(one) == elected for one in weighted]
    merged = _sum([one * yes for one, yes in zip(weighted, agree, strict=True)])
    if normalize:
        divisor = _sum([factor * yes for factor, yes in zip(weight, agree, strict=True)])
        merged = merged / np.where(divisor == 0, 1, divisor)
    return base + scale * merged


def contested(delta: Floats, density: float) -> Mask:
    """Mark the entries of which some are kept and some are not though their magnitudes are equal.

    There are none where all of that magnitude are kept, and it does not matter which zeros are.
    """
    magnitude = np.abs(delta)
    places = _places(delta.size, density)
    if places >= delta.size:
        return np.zeros(delta.shape, np.bool_)
    threshold = np.partition(magnitude, delta.size - places, axis=None)[delta.size - places]
    if threshold == 0 or np.count_nonzero(magnitude >= threshold) == places:
        return np.zeros(delta.shape, np.bool_)
    return np.asarray(magnitude == threshold)


def _kept(delta: Floats, density: float) -> Mask:
    order = np.argsort(-np.abs(delta), axis=None, kind="stable")
    mask = np.zeros(delta.size, np.bool_)
    mask[order[: _places(delta.size, density)]] = True
    return mask.reshape(delta.shape)


def _places(count: int, density: float) -> int:
    return max(1, int(density * count)) if density < 1 else count


def _wide(tensor: Floats) -> Exact:
    return tensor.astype(np.float64)


def _sum(terms: Sequence[Exact] | Exact) -> Exact:
    return np.asarray(np.sum(terms, axis=0, dtype=np.float64))
