"""SCE: select the entries in which task vectors differ most, weigh models by the size of what is left, erase who disagrees.

Use it for specialists that differ much in how far they moved: how much each counts is found, not given.

Source: Wan et al., "FuseChat: Knowledge Fusion of Chat Models", 2024, https://arxiv.org/abs/2408.07990, section 3.3.  The paper
weighs each matrix by the squares of its entries, as here.  mergekit takes sums of weights below 1e-6 for none, whatever
the scale of a model; `scale_invariant = true` asks whether they are 0 instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelbuild.method import Param, method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

LEAST = 1e-6
"""Sums of weights below this count as this much, or as none."""


@method(
    space="delta",
    params=(
        Param("select_topk", float, default=1.0, low=0.0, high=1.0),
        Param("scale_invariant", bool, default=False),
        Param("int8_mask", bool, default=False, inert=True),
    ),
    revision=1,
)
def sce(deltas: Sequence[Tensor], *, select_topk: float, scale_invariant: bool) -> Tensor:
    """Merge task vectors by weights of their own: sum of w_i d_i over the sum of w_i, of those on the elected side.

    Of the entries whose variance over the models is not 0, the share `select_topk` with the largest variance is selected, of equal
    ones the lowest indices; the others are 0.  w_i is the mean of d_i^2, over the sum of these; all are equal where
    that sum is below 1e-6.  The sign of the sum of d_i is elected for each entry, + for 0.  A sum of w_i below 1e-6 counts as 1e-6.

    Args:
        deltas: n task vectors (source minus base), float32, each of shape (*S).
        select_topk: the share of entries that is selected, in [0, 1]; with 1 all are, those that do not vary among them.
        scale_invariant: compare sums of weights with 0 instead of 1e-6, so that models of small changes are merged as others.

    Returns:
        The merged task vector, shape (*S).

    """
    from torch import tensor, where, zeros_like

    from modelbuild.kernels import load, total

    kernels = load(f"torch:{deltas[0].device}")
    flat = [delta.reshape(-1) for delta in deltas]
    if select_topk < 1.0:
        selected = _selected(flat, select_topk)
        flat = [where(selected, delta, 0.0) for delta in flat]
    squares = [kernels.total(kernels.products(delta, delta)[:, 0]) / max(1, len(delta)) for delta in flat]
    summed = total(squares)
    even = summed == 0.0 if scale_invariant else summed < LEAST
    weights = [tensor(1.0 / len(flat) if even else one / summed, dtype=flat[0].dtype, device=flat[0].device) for one in squares]

    positive = _sum(flat) >= 0
    merged, divisor = zeros_like(flat[0]), zeros_like(flat[0])
    for delta, weight in zip(flat, weights, strict=True):
        agrees = where(positive, delta > 0, delta < 0)
        merged = where(agrees, merged + delta * weight, merged)
        divisor = where(agrees, divisor + weight, divisor)
    least = where(divisor == 0, 1.0, divisor) if scale_invariant else divisor.clamp(min=LEAST)
    return (merged / least).reshape(deltas[0].shape)


def _selected(flat: Sequence[Tensor], share: float) -> Tensor:
    """Mark the entries with the largest variance."""
    from torch import tensor, where, zeros_like

    count = tensor(float(len(flat)), dtype=flat[0].dtype, device=flat[0].device)
    mean = _sum(flat) / count
    variance = _sum([(delta - mean) * (delta - mean) for delta in flat]) / count
    varies = _sum([(delta != flat[0]).int() for delta in flat]) > 0
    variance = where(varies, variance, 0.0)  # of equal numbers rounding leaves more than nothing
    places = variance.argsort(descending=True, stable=True)[: int(int(varies.sum()) * share)]
    marked = zeros_like(variance) != 0
    marked[places] = True
    return marked


def _sum(tensors: Sequence[Tensor]) -> Tensor:
    """Add tensors left to right."""
    result = tensors[0]
    for one in tensors[1:]:
        result = result + one
    return result
