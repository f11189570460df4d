"""Subspace boosting: lift the small singular values of a merged task vector, which merging made too small.

Use it on the sum of many specialists; and on the result of another merge, as the only input beside its base.

Source: Skorobogat et al., "Subspace-Boosted Model Merging", 2025, https://arxiv.org/abs/2506.16506, section 4.  Assumed: the
share `beta` is of the sum of singular values; tensors that are no matrices stay sums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelbuild.method import Param, method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@method(
    space="delta",
    params=(
        Param("weight", float, per="input", default=1.0),
        Param("beta", float, default=0.01, low=0.0, high=1.0),
        Param("lambda", float, default=1.0, arg="scale"),
    ),
    numerics="device",
    scaled_by="lambda",
    revision=2,
)
def subspace_boosting(deltas: Sequence[Tensor], *, weight: Sequence[float], beta: float, scale: float = 1.0) -> Tensor:
    """Sum w_i d_i, and raise the singular values of the sum to at least the one at which their running sum reaches the share beta.

    Args:
        deltas: n task vectors d_i (source minus base), float32, each of shape (*S); those of other than 2 dimensions are summed.
        weight: how much each counts; n numbers.
        beta: in [0, 1]: 0 raises all to the largest, 1 none.
        scale: multiplies the merged task vector; lambda.

    Returns:
        The merged task vector, shape (*S).

    """
    from modelbuild.kernels.spectral import decomposed, summed

    merged = summed([delta * share for delta, share in zip(deltas, weight, strict=True)])
    if merged.dim() == 2 and merged.numel():
        u, s, vt = decomposed(merged)
        running = s.cumsum(0)
        reached = int((running < beta * running[-1]).sum())
        merged = (u * s.clamp(min=float(s[min(reached, len(s) - 1)]))) @ vt
    return merged if scale == 1.0 else merged * scale
