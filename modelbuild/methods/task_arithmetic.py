"""Task arithmetic: add what each model learned to the base.

Source: Ilharco et al., "Editing Models with Task Arithmetic", 2022, https://arxiv.org/abs/2212.04089, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modelbuild.kernels import divisor
from modelbuild.method import Param, always, method

if TYPE_CHECKING:
    from torch import Tensor

    from modelbuild.kernels import Kernels, Operand, Place

PARAMS = (
    Param("weight", float, per="input", default=1.0),
    Param("normalize", bool, default=False),
    Param("lambda", float, default=1.0, arg="scale"),
    Param("int8_mask", bool, default=False, inert=True),
)


@method(space="delta", params=PARAMS, revision=1)
def task_arithmetic(deltas: Sequence[Tensor], *, weight: Sequence[float], normalize: bool, scale: float) -> Tensor:
    """Sum the task vectors: lambda sum of w_i d_i, divided by the sum of w_i where `normalize` is true.

    Args:
        deltas: n task vectors (source minus base), float32, each of shape (*S).
        weight: how much each counts; n numbers.
        normalize: divide by the sum of the weights.
        scale: multiplies the merged task vector; the paper's lambda.

    Returns:
        The merged task vector, shape (*S).

    """
    total = deltas[0] * weight[0]
    for delta, share in zip(deltas[1:], weight[1:], strict=True):
        total = total + delta * share
    shared = divisor(weight, normalize)
    total = total if shared == 1.0 else total / shared
    return total if scale == 1.0 else total * scale


def _apply(
    kernels: Kernels,
    inputs: Sequence[Operand],
    out: Place,
    state: Any,
    offset: int,
    *,
    weight: Sequence[float],
    normalize: bool,
    scale: float,
) -> None:
    kernels.weighted_sum(inputs, weight, divisor(weight, normalize), scale, out)


task_arithmetic = task_arithmetic.streamed(apply=_apply, carries=always)
