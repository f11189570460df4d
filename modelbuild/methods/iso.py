"""Iso-C and Iso-CTS: give all directions of the merged task vector the same weight.

Use them for specialists of different tasks whose sum is ruled by a few common directions.

Source: Marczak et al., "No Task Left Behind: Isotropic Model Merging with Common and Task-Specific Subspaces", 2025,
https://arxiv.org/abs/2502.04959, sections 4 and 5.  As the authors do, tensors that are no matrices are averaged.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from modelbuild.method import Param, method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

WEIGHT = Param("weight", float, per="input", default=1.0)
LAMBDA = Param("lambda", float, default=1.0, arg="scale")


@method(space="delta", params=(WEIGHT, LAMBDA), numerics="device", scaled_by="lambda", revision=2)
def iso_c(deltas: Sequence[Tensor], *, weight: Sequence[float], scale: float = 1.0) -> Tensor:
    """Replace the singular values of the sum of w_i d_i by their mean: lambda mean(s) U V^T.

    Args:
        deltas: n task vectors d_i (source minus base), float32, each of shape (*S); those of other than 2 dimensions are averaged.
        weight: how much each counts; n numbers.
        scale: multiplies the merged task vector; lambda, the authors' alpha.

    Returns:
        The merged task vector, shape (*S).

    """
    from modelbuild.kernels.spectral import of_matrices

    merged = of_matrices([delta * share for delta, share in zip(deltas, weight, strict=True)], _common)
    return merged if scale == 1.0 else merged * scale


@method(
    space="delta",
    params=(WEIGHT, Param("common_space_fraction", float, default=0.8, low=0.0, high=1.0), LAMBDA),
    numerics="device",
    scaled_by="lambda",
    revision=2,
)
def iso_cts(deltas: Sequence[Tensor], *, weight: Sequence[float], common_space_fraction: float, scale: float = 1.0) -> Tensor:
    """As `iso_c`, but the last directions of the sum make room for the leading ones of what each task has beyond the others.

    Of k singular vectors of the sum of w_i d_i the first are kept; the remaining (1 - fraction) k places, rounded to a multiple of n,
    take as many of the leading vectors of each w_i d_i without its part in the common space.  All are made orthogonal, and have
    the mean of the singular values that they had.

    Args:
        deltas: n task vectors d_i (source minus base), float32, each of shape (*S); those of other than 2 dimensions are averaged.
        weight: how much each counts; n numbers.
        common_space_fraction: the share of directions that are the sum's, in [0, 1].
        scale: multiplies the merged task vector; lambda, the authors' alpha.

    Returns:
        The merged task vector, shape (*S).

    """
    from modelbuild.kernels.spectral import of_matrices

    weighted = [delta * share for delta, share in zip(deltas, weight, strict=True)]
    merged = of_matrices(weighted, partial(_common_and_specific, common_space_fraction))
    return merged if scale == 1.0 else merged * scale


def _common(deltas: Sequence[Tensor]) -> Tensor:
    from modelbuild.kernels.spectral import decomposed, summed

    u, s, vt = decomposed(summed(deltas))
    return (u @ vt) * s.mean()


def _common_and_specific(fraction: float, deltas: Sequence[Tensor]) -> Tensor:
    from torch import cat

    from modelbuild.kernels.spectral import decomposed, orthogonal, summed

    most, count = min(deltas[0].shape), len(deltas)
    each = min(round((most - int(most * fraction)) / count), most // count)
    common = most - each * count
    u, s, vt = (one[..., :common] if i < 2 else one[:common] for i, one in enumerate(decomposed(summed(deltas))))
    parts = [(u, s, vt)]
    for delta in deltas:
        own_u, own_s, own_vt = decomposed(delta - u @ (u.T @ delta))
        parts.append((own_u[:, :each], own_s[:each], own_vt[:each]))
    u, s, vt = (cat(some, dim=dim) for some, dim in zip(zip(*parts, strict=True), (1, 0, 0), strict=True))
    return (orthogonal(u) @ orthogonal(vt)) * s.mean()
