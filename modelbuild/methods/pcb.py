"""PCB-Merging: weigh each entry of each task by its size within the task and its agreement with the others.

Use it for specialists of different tasks, in place of TIES, where some compete for the same entries.

Source: Du et al., "Parameter Competition Balancing for Model Merging", 2024, https://arxiv.org/abs/2410.02396, section 3.  The
authors take a task vector as a whole; here each tensor is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelbuild.method import Param, method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

OUTLIERS = 1e-4
"""The share of the largest and of the smallest magnitudes that are brought to those next to them."""

LEAST = 1e-12
"""A sum of scores below this counts as this much."""


@method(
    space="delta",
    params=(
        Param("density", float, default=0.1, low=0.0, high=1.0),
        Param("lambda", float, default=1.0, arg="scale"),
    ),
    numerics="device",
    revision=2,
)
def pcb(deltas: Sequence[Tensor], *, density: float, scale: float) -> Tensor:
    """Average task vectors entry by entry, by scores: lambda sum of b_i d_i over the sum of b_i.

    With N bringing the numbers of a tensor to [0, 1], the smallest to 0 and the largest to 1: b_i = exp(n N(|d_i|)^2) times
    tanh(d_i sum of d_j); all but the share `density` with the largest b_i count as the smallest of them; then N once more.
    Magnitudes are clipped before to what lies between the smallest and the largest ten-thousandth.

    Args:
        deltas: n task vectors d_i (source minus base), float32, each of shape (*S).
        density: the share of entries of each task that have a score, in [0, 1]; the authors' ratio.
        scale: multiplies the merged task vector; lambda.

    Returns:
        The merged task vector, shape (*S).

    """
    from torch import stack

    if not deltas[0].numel():
        return deltas[0]
    flat = stack([delta.reshape(-1) for delta in deltas])  # (n, entries)
    sizes = _between(flat.abs(), OUTLIERS, OUTLIERS)
    own = (len(deltas) * _brought_to_one(sizes) ** 2).exp()
    score = own * (flat * flat.sum(dim=0)).tanh()
    score = _brought_to_one(_between(score, 1.0 - density, 0.0))
    merged = (flat.sign() * sizes * score).sum(dim=0) / score.sum(dim=0).clamp(min=LEAST)
    return (merged * scale).reshape(deltas[0].shape)


def _between(rows: Tensor, below: float, above: float) -> Tensor:
    """Clip each row to what lies between its smallest and its largest, in shares of it."""
    ordered, count = rows.sort(dim=1).values, rows.shape[1]
    low = ordered[:, min(int(count * below), count - 1), None]
    high = ordered[:, max(int(count * (1.0 - above) - 1), 0), None]
    return rows.clamp(low, high.maximum(low))


def _brought_to_one(rows: Tensor) -> Tensor:
    """Bring each row to [0, 1]; one that does not vary becomes 1."""
    from torch import where

    low, high = rows.min(dim=1, keepdim=True).values, rows.max(dim=1, keepdim=True).values
    spread = high - low
    return where(spread > 0, (rows - low) / where(spread > 0, spread, 1.0), 1.0)
