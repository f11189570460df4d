"""Consensus task arithmetic: keep only the entries of the summed task vector that matter to several tasks.

Use it for many specialists: it drops what matters to nobody, and what one task alone would force on the others.

Source: Wang et al., "Localizing Task Information for Improved Model Merging and Compression", 2024,
https://arxiv.org/abs/2405.07813, sections 4 and 5 (TALL-masks and consensus merging).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelbuild.kernels.whole import single
from modelbuild.method import Param, method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@method(
    space="delta",
    params=(
        Param("weight", float, per="input", default=1.0),
        Param("tall_mask_lambda", float, per="input", default=0.4, low=0.0),
        Param("consensus_threshold", int, default=2, low=0),
        Param("lambda", float, default=1.0, arg="scale"),
    ),
    revision=1,
)
def consensus_ta(
    deltas: Sequence[Tensor], *, weight: Sequence[float], tall_mask_lambda: Sequence[float], consensus_threshold: int, scale: float
) -> Tensor:
    """Sum w_i d_i to d, and keep the entries that at least k tasks use: lambda d where enough |w_i d_i| >= l_i |d - w_i d_i|.

    Args:
        deltas: n task vectors d_i (source minus base), float32, each of shape (*S).
        weight: how much each counts; n numbers.
        tall_mask_lambda: l_i: how large a task's own entry must be beside what the others add; the authors choose from 0.2 to 0.6.
        consensus_threshold: k: how many tasks must use an entry; with 0 all are kept, with 2 nothing that one task alone uses;
            with more than there are none.
        scale: multiplies the merged task vector; lambda.

    Returns:
        The merged task vector, shape (*S).

    """
    from torch import float32, tensor, where

    weighted = [delta * single(share, delta) for delta, share in zip(deltas, weight, strict=True)]
    together = weighted[0]
    for one in weighted[1:]:
        together = together + one
    users = sum(
        (one.abs() >= (together - one).abs() * single(share, one)).to(float32)
        for one, share in zip(weighted, tall_mask_lambda, strict=True)
    )
    merged = where(users >= tensor(float(consensus_threshold), device=together.device), together, 0.0)
    return merged * single(scale, merged)
