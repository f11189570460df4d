"""Arcee Fusion: take over from the other model only the entries that matter unusually much.

Use it to bring what stands out in one model into another that is to stay what it is.

Source: Arcee AI, https://arcee.ai, as implemented in mergekit 0.1.5.  mergekit estimates quantiles from a random sample of a
million entries, with repetition; here they are exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelbuild.method import method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

EPS = 1e-8
"""Added to probabilities."""


@method(base="first", inputs=(2, 2), revision=2, numerics="device")
def arcee_fusion(tensors: Sequence[Tensor]) -> Tensor:
    """Take x1 where its importance is at least the median + 1.5 times the distance of the quartiles, else x0.

    The importance of an entry is |x1 - x0| times the divergence of its row, sum of p log(p / q), where p and q are the softmax of
    x1 and x0 along the last dimension, each plus 1e-8.  The quantile s of n numbers is the one in place int(s (n - 1)) of
    all in order.

    Args:
        tensors: the base x0 and the other x1, float32, each of shape (*S).

    Returns:
        The merged tensor, shape (*S).

    """
    from torch import softmax, where

    base, other = tensors
    if not base.numel():
        return base
    x0, x1 = (one.reshape(1) if one.dim() == 0 else one for one in (base, other))
    p, q = (softmax(one, dim=-1) + EPS for one in (x1, x0))
    importance = (x1 - x0).abs() * (p * (p / q).log()).sum(dim=-1, keepdim=True)
    ordered = importance.reshape(-1).sort().values
    first, median, third = (ordered[int(share * (len(ordered) - 1))] for share in (0.25, 0.5, 0.75))
    return where(importance >= median + 1.5 * (third - first), x1, x0).reshape(base.shape)
