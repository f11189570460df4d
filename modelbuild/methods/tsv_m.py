"""TSV-Merge: keep the leading singular vectors of each task, and make those of different tasks orthogonal.

Use it for many specialists of different tasks, whose changes get in each other's way.

Source: Gargiulo et al., "Task Singular Vectors: Reducing Task Interference in Model Merging", 2024,
https://arxiv.org/abs/2412.00081, section 4 (TSV-M).  As the authors do, tensors that are no matrices are averaged.  Assumed where
a matrix has fewer singular values than there are tasks: each keeps one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelbuild.method import Param, method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@method(
    space="delta",
    params=(Param("weight", float, per="input", default=1.0), Param("lambda", float, default=1.0, arg="scale")),
    numerics="device",
    scaled_by="lambda",
    revision=2,
)
def tsv_m(deltas: Sequence[Tensor], *, weight: Sequence[float], scale: float = 1.0) -> Tensor:
    """Put the leading 1 / n of each task's singular vectors side by side, make them orthogonal, and multiply out.

    With U_i S_i V_i^T the leading part of w_i d_i, U = [U_1 ... U_n] and V = [V_1 ... V_n]: lambda P Q diag(S_1 ... S_n) R T, where
    U = P D Q and V^T = R E T are decompositions, of which the singular values are left out.

    Args:
        deltas: n task vectors d_i (source minus base), float32, each of shape (*S); those of other than 2 dimensions are averaged.
        weight: how much each counts; n numbers.
        scale: multiplies the merged task vector; lambda, the authors' alpha.

    Returns:
        The merged task vector, shape (*S).

    """
    from modelbuild.kernels.spectral import of_matrices

    merged = of_matrices([delta * share for delta, share in zip(deltas, weight, strict=True)], _merged)
    return merged if scale == 1.0 else merged * scale


def _merged(deltas: Sequence[Tensor]) -> Tensor:
    from torch import cat

    from modelbuild.kernels.spectral import decomposed, orthogonal

    rank = max(1, min(deltas[0].shape) // len(deltas))
    parts = [(u[:, :rank], s[:rank], vt[:rank]) for u, s, vt in map(decomposed, deltas)]
    u, s, vt = (cat(some, dim=dim) for some, dim in zip(zip(*parts, strict=True), (1, 0, 0), strict=True))
    return (orthogonal(u) * s) @ orthogonal(vt)
