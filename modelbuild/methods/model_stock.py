"""Model Stock: the average of fine-tunes, drawn back to the base the more they point in different directions.

Use it when several models were fine-tuned from one base on one task, with other seeds or settings; of specialists for
different tasks, whose changes are nearly orthogonal, little is left.

Source: Jang et al., "Model Stock: All we need is just a few fine-tuned models", 2024, https://arxiv.org/abs/2403.19522,
section 4.  The paper takes the angle of each layer; here, as in mergekit, each tensor has one, or each of its rows.
"""

from __future__ import annotations

from itertools import combinations
from math import sqrt
from typing import TYPE_CHECKING

from modelbuild.kernels import total
from modelbuild.method import Param, Params, always, method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from modelbuild.kernels import Kernels, Operand, Place, Stream
    from modelbuild.kernels.inner import Gram

SHORTEST = 1e-6
"""A product of lengths below this counts as this much."""

SINGULAR = 1e-6
"""A denominator below this means that the fine-tunes cancel out: the base stays."""


@method(space="delta", inputs=(2, 1 << 30), params=(Param("filter_wise", bool, default=False),), revision=1)
def model_stock(deltas: Sequence[Tensor], *, filter_wise: bool) -> Tensor:
    """Go from the base towards the average of n models: t mean(d), where t = n c / (1 + (n - 1) c).

    c is the mean over all pairs of the cosine between d_i and d_j, each within [-1, 1].  Where |1 + (n - 1) c| < 1e-6, t is 0.

    Args:
        deltas: n task vectors (source minus base), float32, each of shape (*S).
        filter_wise: an angle and a t for each row, along the last dimension, instead of one for the tensor.

    Returns:
        The merged task vector, shape (*S).

    """
    from modelbuild.kernels import load
    from modelbuild.kernels.inner import gram

    if filter_wise:
        return _by_row(deltas)
    kernels, flat = load(f"torch:{deltas[0].device}"), [delta.reshape(-1) for delta in deltas]
    out = flat[0].new_empty(flat[0].shape)
    kernels.weighted_sum(flat, [1.0] * len(flat), 1.0, share(gram(kernels, [flat])), out)
    return out.reshape(deltas[0].shape)


def share(gram: Gram) -> float:
    """Turn inner products into what each task vector is multiplied with, t / n, in float64 on the host."""
    count = len(gram)
    pairs = list(combinations(range(count), 2))
    cosines = (gram[i][j] / max(sqrt(gram[i][i]) * sqrt(gram[j][j]), SHORTEST) for i, j in pairs)
    mean = total(min(1.0, max(-1.0, cosine)) for cosine in cosines) / len(pairs)
    denominator = 1.0 + (count - 1) * mean
    return mean / denominator if abs(denominator) >= SINGULAR else 0.0


def _by_row(deltas: Sequence[Tensor]) -> Tensor:
    from torch import float32, tensor

    from modelbuild.kernels.inner import row_products

    rows = [delta.reshape(-1, delta.shape[-1] if delta.dim() and delta.numel() else 1) for delta in deltas]
    count = len(rows)
    products = {(i, j): row_products(rows[i], rows[j]) for i in range(count) for j in range(i, count)}
    shares = [share([[products[min(i, j), max(i, j)][row] for j in range(count)] for i in range(count)]) for row in range(len(rows[0]))]
    summed = rows[0]
    for one in rows[1:]:
        summed = summed + one
    factors = tensor(shares, dtype=float32, device=summed.device).reshape(-1, 1)
    return (summed * factors).reshape(deltas[0].shape)


def _whole(params: Params) -> bool:
    return bool(params["filter_wise"])


def _stats(stream: Stream, **_: object) -> float:
    from modelbuild.kernels.inner import gram

    found = gram(stream.kernels, (inputs for _, inputs in stream.chunks()))
    return share(found) if found else 0.0


def _apply(kernels: Kernels, inputs: Sequence[Operand], out: Place, state: float, offset: int, **_: object) -> None:
    kernels.weighted_sum(inputs, [1.0] * len(inputs), 1.0, state, out)


model_stock = model_stock.streamed(stats=_stats, apply=_apply, whole=_whole, carries=always)
