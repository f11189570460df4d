"""Extrapolation, or ExPO: go beyond an aligned model, away from what it was trained from.

Source: Zheng et al., "Model Extrapolation Expedites Alignment", 2024, https://arxiv.org/abs/2404.16792, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modelbuild.method import Param, Params, always, method

if TYPE_CHECKING:
    from torch import Tensor

    from modelbuild.kernels import Kernels, Operand, Place


def _itself(params: Params, count: int) -> int | None:
    return 0 if params["alpha"] == 0.0 else None


@method(space="delta", inputs=(1, 1), params=(Param("alpha", float, low=0.0),), alias=_itself, revision=1)
def extrapolate(deltas: Sequence[Tensor], *, alpha: float) -> Tensor:
    """Lengthen a task vector: (1 + alpha) d, so that the model is x + alpha (x - base).

    Args:
        deltas: the task vector d of one model x, float32, of shape (*S).  The paper's x is a model after preference
            optimisation, and its base the one before, after supervised fine-tuning.
        alpha: how far beyond x, in lengths of d; the authors advise 0.3 or 0.5.

    Returns:
        The task vector, shape (*S).

    """
    return deltas[0] * (1.0 + alpha)


def _apply(kernels: Kernels, inputs: Sequence[Operand], out: Place, state: Any, offset: int, *, alpha: float) -> None:
    kernels.weighted_sum(inputs, (1.0 + alpha,), 1.0, 1.0, out)


extrapolate = extrapolate.streamed(apply=_apply, carries=always)
